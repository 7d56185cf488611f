import { assert } from "@std/assert";
import { headOfLine } from "./head_of_line.ts";

Deno.test("64 point queries in flight over 2 % loss each way: 1,450 answers a second, p99 of 130 ms", () => {
  const { perSecond, p99Ms } = headOfLine(1, 64, 20_000);
  assert(perSecond >= 1_450, `${perSecond} a second`);
  assert(p99Ms <= 130, `${p99Ms} ms`);
});
