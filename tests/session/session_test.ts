import { assertEquals } from "@std/assert";
import { SqpPair } from "../harness/sqp_pair.ts";

Deno.test("a client is let in, asks and leaves, and nothing is left", () => {
  const pair = new SqpPair();
  const asked = pair.client.ask("echo", { params: [1, "a", null] });
  const rows = pair.client.ask("rows 200 1000");
  pair.answerAll();
  assertEquals([asked.outcome, asked.rows], ["done", [[1, "a", null]]]);
  assertEquals([rows.outcome, rows.rows.length], ["done", 200]);
  pair.finish();
});
