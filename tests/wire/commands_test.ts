// Commands and the answers that belong to them: what is encoded is what is decoded, and nothing else is.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import {
  type BatchStep,
  decodeBatchResponse,
  encodeBatchResponse,
  isMet,
  STEP_TESTS,
  type StepResult,
} from "../../src/wire/batch_payload.ts";
import { type ControlMap, encodeControl } from "../../src/wire/control.ts";
import { SqpError } from "../../src/wire/errors.ts";
import {
  decodeQuery,
  encodeQuery,
  ISOLATION_LEVELS,
  type KnownCommand,
  NUMBER_MAX,
} from "../../src/wire/query_payload.ts";
import { decodePrepared, encodePrepared } from "../../src/wire/response_payload.ts";
import { decodeStatus, encodeStatus } from "../../src/wire/status_payload.ts";
import { NO_PARAMS } from "../../src/wire/statement_source.ts";

const text = fc.string({ unit: "grapheme", maxLength: 20 });
const number = fc.integer({ min: 1, max: NUMBER_MAX });
const at = fc.record({ transaction: number, step: fc.integer({ min: 0, max: NUMBER_MAX }) });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const options = {
  deadlineMs: optional(fc.integer({ min: 1, max: 2 ** 31 - 1 })),
  traceparent: optional(text),
  tracestate: optional(text),
  urgency: optional(fc.integer({ min: 0, max: 7 })),
};
const source = {
  sql: fc.oneof(text, number),
  params: fc.uint8Array({ minLength: 1, maxLength: 9 }),
};
const place = fc.oneof(
  fc.record({ at }),
  fc.record({ idempotencyKey: optional(fc.string({ minLength: 1, maxLength: 128 })) }),
);
const steps: fc.Arbitrary<BatchStep[]> = fc.array(
  fc.record({ ...source, mayFail: fc.boolean(), tests: fc.array(fc.constantFrom(...STEP_TESTS)) }),
  { minLength: 1, maxLength: 5 },
).map((all) =>
  all.map(({ tests, ...step }, i) => ({
    ...step,
    conditions: i === 0 ? [] : tests.slice(0, 16).map((is, k) => ({ step: k % i, is })),
  }))
);

/** What stands under `undefined` is not there. */
function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}

const commands = fc.oneof(
  fc.tuple(fc.record({ cmd: fc.constant("execute"), ...source, ...options }), place),
  fc.tuple(fc.record({ cmd: fc.constant("batch"), steps, ...options }), place),
  fc.tuple(fc.record({ cmd: fc.constant("prepare"), sql: text, at: optional(at), ...options })),
  fc.tuple(fc.record({ cmd: fc.constant("unprepare"), statement: number })),
  fc.tuple(
    fc.record({
      cmd: fc.constant("begin"),
      transaction: number,
      readOnly: optional(fc.constant(true)),
      isolation: optional(fc.constantFrom(...ISOLATION_LEVELS)),
      ...options,
    }),
  ),
  fc.tuple(fc.record({ cmd: fc.constant("commit"), at, ...options })),
  fc.tuple(fc.record({ cmd: fc.constant("rollback"), at, savepoint: optional(number) })),
  fc.tuple(fc.record({ cmd: fc.constantFrom("savepoint", "release"), at, savepoint: number })),
  fc.tuple(fc.record({ cmd: fc.constant("status"), ...options })),
).map((parts) => compact(Object.assign({}, ...parts)) as KnownCommand);

Deno.test("every command is decoded as it was encoded, and no part of one is a command", () => {
  fc.assert(
    fc.property(commands, (command) => {
      const payload = encodeQuery(command);
      assertEquals(decodeQuery(payload), command);
      for (let end = 0; end < payload.length; end += 1 + (payload.length >> 4)) {
        assertThrows(() => decodeQuery(payload.subarray(0, end)), DecodeError);
      }
    }),
    { seed: 5, numRuns: 400 },
  );
});

Deno.test("commands that no server takes are refused where they are encoded and where they are decoded", () => {
  const step: BatchStep = { sql: "x", params: NO_PARAMS, conditions: [], mayFail: false };
  const refused: KnownCommand[] = [
    { cmd: "batch", steps: [] },
    { cmd: "batch", steps: Array(1_025).fill(step) },
    { cmd: "batch", steps: [{ ...step, conditions: [{ step: 0, is: "ok" }] }] },
    { cmd: "batch", steps: [step, { ...step, conditions: Array(17).fill({ step: 0, is: "ok" }) }] },
    { ...step, cmd: "execute", at: { transaction: 1, step: 0 }, idempotencyKey: "k" },
  ];
  for (const command of refused) {
    assertEquals(assertThrows(() => encodeQuery(command), SqpError).codeName, "bad_request");
  }
  const malformed: ControlMap[] = [
    { cmd: "execute" },
    { cmd: "execute", statement: 0 },
    { cmd: "execute", sql: "x", txn: 1 },
    { cmd: "batch", steps: [] },
    { cmd: "batch", steps: [1] },
    { cmd: "batch", steps: [{ sql: "x", if: [[0, "ok"]] }] },
    { cmd: "batch", steps: [{ sql: "x" }, { sql: "x", if: [[0, "perhaps"]] }] },
    { cmd: "batch", steps: [{ sql: "x" }, { sql: "x", if: [["ok"]] }] },
    { cmd: "begin" },
    { cmd: "begin", txn: 2 ** 32 },
    { cmd: "begin", txn: 1, isolation: "chaos" },
    { cmd: "commit", txn: 1 },
    { cmd: "savepoint", txn: 1, step: 0 },
    { cmd: "unprepare" },
    { cmd: "prepare", statement: 1 },
  ];
  for (const fields of malformed) {
    assertThrows(() => decodeQuery(encodeControl(fields)), DecodeError);
  }
});

const PAGE: StepResult = {
  kind: "page",
  columns: [{
    name: "a",
    declaredType: null,
    origin: { schema: "main", table: "t", column: "b" },
  }],
  page: new Uint8Array([0x91, 0x91, 1]),
  changes: 0,
  rowid: null,
};
const EMPTY: StepResult = { ...PAGE, page: new Uint8Array([0x90]), changes: 2, rowid: 9n ** 18n };
const FAILED: StepResult = {
  kind: "error",
  error: new SqpError("constraint", { step: 1, engine: { code: "23505" } }).toPayload(),
};

Deno.test("answers of a batch, a prepare and a status are decoded as they were encoded", () => {
  const results = [PAGE, EMPTY, null, FAILED];
  assertEquals(decodeBatchResponse(encodeBatchResponse(results)), results);
  const prepared = {
    statement: NUMBER_MAX,
    columns: PAGE.columns,
    parameters: [{ name: null, type: "int8" }, { name: "a", type: null }],
  };
  assertEquals(decodePrepared(encodePrepared(prepared)), prepared);
  const status = { engine: "sqlite", statements: 1, transactions: 2 };
  assertEquals(decodeStatus(encodeStatus(status)), status);
  const server = { queued: 1, running: 2, processes: 3, counters: { handedOff: 4 } };
  assertEquals(decodeStatus(encodeStatus({ ...status, server })), { ...status, server });
  for (const results of [1, [1], [{}], [{ error: {} }], [{ columns: [], page: "", changes: 0 }]]) {
    assertThrows(() => decodeBatchResponse(encodeControl({ results })), DecodeError);
  }
});

Deno.test("a condition holds by what became of the step before", () => {
  const holding = (result: StepResult) =>
    STEP_TESTS.filter((is) => isMet({ step: 0, is }, [result]));
  assertEquals(holding(PAGE), ["ok", "unchanged", "rows"]);
  assertEquals(holding(EMPTY), ["ok", "changed", "no_rows"]);
  assertEquals(holding(null), ["skipped"]);
  assertEquals(holding(FAILED), ["failed"]);
});
