// Lines of the log for traced commands: which ones, what is in them, and how many.

import { assert, assertEquals } from "@std/assert";
import type { LogFields, Logger } from "../../src/server/log.ts";
import { parseTraceparent, TraceLog } from "../../src/server/trace_log.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { LiveServer, liveTest } from "../harness/live_server.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const SAMPLED = `00-${TRACE}-${PARENT}-01`;

/** A log that keeps its lines. */
class KeptLog implements Logger {
  readonly lines: [string, LogFields][] = [];
  info = (message: string, fields: LogFields = {}): void => void this.lines.push([message, fields]);
  warn = this.info;
  error = this.info;
}

Deno.test("a traceparent is read as W3C Trace Context says", () => {
  const context = { traceId: TRACE, parentId: PARENT };
  assertEquals(parseTraceparent(SAMPLED), { ...context, isSampled: true });
  assertEquals(parseTraceparent(`00-${TRACE}-${PARENT}-00`), { ...context, isSampled: false });
  // Flags and fields that are not known yet are for later versions.
  assertEquals(parseTraceparent(`00-${TRACE}-${PARENT}-03`), { ...context, isSampled: true });
  assertEquals(parseTraceparent(`cc-${TRACE}-${PARENT}-01-what`), { ...context, isSampled: true });
  const invalid = [
    "",
    "00",
    `00-${TRACE}-${PARENT}`,
    `00-${TRACE}-${PARENT}-01-what`,
    `00-${TRACE}-${PARENT}-01-`,
    `cc-${TRACE}-${PARENT}-01what`,
    `ff-${TRACE}-${PARENT}-01`,
    `00-${TRACE.toUpperCase()}-${PARENT}-01`,
    `00-${"0".repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE}0-${PARENT}-01`,
    ` ${SAMPLED}`,
    `${SAMPLED}\n`,
  ];
  for (const text of invalid) assertEquals(parseTraceparent(text), undefined, JSON.stringify(text));
});

Deno.test("a sampled command has one line when it is answered, others have none", () => {
  const log = new KeptLog();
  let now = 1_000;
  const traces = new TraceLog(log, () => now, 10);
  assertEquals(traces.begin(`00-${TRACE}-${PARENT}-00`, "execute", "anna"), undefined);
  assertEquals(traces.begin("nonsense", "execute", "anna"), undefined);
  const first = traces.begin(SAMPLED, "execute", "anna")!;
  const second = traces.begin(SAMPLED, "commit", "anna")!;
  now += 12.3456;
  second.onAnswered(new SqpError("transaction_failed"));
  now += 1;
  first.onAnswered(undefined);
  const fields = { principal: "anna", trace: TRACE, parent: PARENT };
  assertEquals(log.lines, [
    ["command", { command: "commit", ...fields, ms: 12.346, error: "transaction_failed" }],
    ["command", { command: "execute", ...fields, ms: 13.346 }],
  ]);
});

Deno.test("beyond so many lines a second commands are only counted", () => {
  const log = new KeptLog();
  let now = 0;
  const traces = new TraceLog(log, () => now, 10);
  const run = (count: number) => {
    for (let n = 0; n < count; n++) {
      traces.begin(SAMPLED, "execute", "anna")!.onAnswered(undefined);
      now += 1;
    }
  };
  run(999);
  assertEquals(log.lines.length, 10);
  now = 1_000;
  run(1);
  assertEquals(log.lines[10], ["traced commands not logged", { count: 989 }]);
  assert(log.lines.length === 12);
});

liveTest(
  "a server logs the commands that a client traces, and nothing of what they say",
  async () => {
    await using server = await LiveServer.start();
    await using client = await server.connect();
    await client.execute("select 'a secret of others' as x", [], { traceparent: SAMPLED });
    for await (const _ of client.stream("select 'a secret'", [], { traceparent: SAMPLED }));
    await client.execute("selec", [], { traceparent: SAMPLED }).catch(() => {});
    await client.execute("select 1", [], { traceparent: `00-${TRACE}-${PARENT}-00` });
    await client.execute("select 1");
    const lines = server.log.filter(({ message }) => message === "command");
    const facts = lines.map(({ fields: { command, trace, parent, error } }) => [
      ...[command, trace, parent, error],
    ]);
    assertEquals(facts, [
      ["execute", TRACE, PARENT, undefined],
      ["execute", TRACE, PARENT, undefined],
      ["execute", TRACE, PARENT, "syntax"],
    ]);
    for (const { fields: { ms } } of lines) assert(Number(ms) > 0);
    assert(!JSON.stringify(server.log).includes("secret"));
  },
);
