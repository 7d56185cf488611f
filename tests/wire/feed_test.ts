// Subscriptions, their answers and the pages of feeds: what is encoded is what is decoded, and nothing else is.

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import {
  appendChange,
  decodeFeedPage,
  encodeChanges,
  encodeMark,
  type FeedMark,
} from "../../src/wire/feed_page.ts";
import {
  decodeFeedResponse,
  encodeFeedResponse,
  type FeedResponse,
} from "../../src/wire/feed_payload.ts";
import { PAGE_PREFIX_BYTES } from "../../src/wire/page_cutter.ts";
import { decodeQuery, encodeQuery, type SubscribeCommand } from "../../src/wire/query_payload.ts";
import { ValueWriter } from "../../src/wire/value_writer.ts";
import { asInRow, engineValues, SEEDED } from "./values.ts";

const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
const cursor = fc.string({ minLength: 1, maxLength: 256 });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

/** What stands under `undefined` is not there. */
function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}

const subscribes = fc.record({
  tables: fc.array(
    fc.record({ table: name, where: optional(fc.uint8Array({ maxLength: 9 })) }).map(compact),
    { minLength: 1, maxLength: 5 },
  ),
  from: fc.oneof(fc.constant({}), fc.constant({ snapshot: true }), fc.record({ cursor })),
}).map(({ tables, from }): SubscribeCommand =>
  ({ cmd: "subscribe", tables, ...from }) as SubscribeCommand
);

Deno.test("a subscription and its answer survive", () => {
  fc.assert(
    fc.property(subscribes, (command) => {
      assertEquals(decodeQuery(encodeQuery(command)), command);
    }),
    SEEDED,
  );
  const tables = fc.array(
    fc.record({
      name,
      columns: fc.array(fc.record({ name, declaredType: fc.option(name) }), {
        minLength: 1,
        maxLength: 4,
      }),
    }).map((table) => ({ ...table, keys: [table.columns.length - 1] })),
    { maxLength: 3 },
  );
  const responses = fc.record({
    streamId: fc.integer({ min: 1 }),
    tables,
    cursor: optional(cursor),
  });
  fc.assert(
    fc.property(responses, (record) => {
      const response = compact(record) as FeedResponse;
      assertEquals(decodeFeedResponse(encodeFeedResponse(response)), response);
    }),
    SEEDED,
  );
});

const row = fc.array(engineValues, { minLength: 3, maxLength: 3 });
const change = fc.oneof(
  fc.record({ before: fc.constant(null), after: row }),
  fc.record({ before: row, after: fc.constant(null) }),
  fc.record({ before: row, after: row }),
);
const pages = fc.record({ table: fc.nat(4), changes: fc.array(change, { maxLength: 6 }) }).map(
  ({ table, changes }) => {
    const writer = new ValueWriter();
    for (const { before, after } of changes) appendChange(writer, before, after);
    const page = encodeChanges(table, changes.length, writer.view());
    return { table, changes, payload: page.subarray(PAGE_PREFIX_BYTES) };
  },
);
const COUNTS = [3, 3, 3, 3, 3];

Deno.test("a page of changes survives", () => {
  fc.assert(
    fc.property(pages, ({ table, changes, payload }) => {
      assertEquals(decodeFeedPage(payload, COUNTS), {
        kind: "changes",
        table,
        changes: changes.map(({ before, after }) => ({
          before: before?.map(asInRow) ?? null,
          after: after?.map(asInRow) ?? null,
        })),
      });
    }),
    SEEDED,
  );
});

Deno.test("a page that is cut is refused with a typed error, and no bit flip throws another", () => {
  fc.assert(
    fc.property(pages, fc.nat(), fc.nat(7), ({ payload }, at, bit) => {
      for (let length = 0; length < Math.min(payload.length, 300); length++) {
        assertThrows(() => decodeFeedPage(payload.subarray(0, length), COUNTS), DecodeError);
      }
      const flipped = payload.slice();
      flipped[at % flipped.length]! ^= 1 << bit;
      try {
        decodeFeedPage(flipped, COUNTS);
      } catch (error) {
        assertInstanceOf(error, DecodeError);
      }
    }),
    { ...SEEDED, numRuns: 60 },
  );
});

Deno.test("marks survive, and one of a later version is ignored", () => {
  const marks: FeedMark[] = [
    { kind: "snapshot-end", cursor: "a" },
    { kind: "commit", cursor: "b", atMs: 0 },
    { kind: "resolved", cursor: "c".repeat(256), atMs: 2 ** 50 },
    { kind: "reset", reason: "", message: "é" },
  ];
  for (const mark of marks) {
    const payload = encodeMark(mark).subarray(PAGE_PREFIX_BYTES);
    assertEquals(decodeFeedPage(payload, []), mark);
    for (let length = 0; length < payload.length; length++) {
      assertThrows(() => decodeFeedPage(payload.subarray(0, length), []), DecodeError);
    }
  }
  const later = encodeMark({ kind: "later", cursor: "x", atMs: 1 } as unknown as FeedMark);
  assert(decodeFeedPage(later.subarray(PAGE_PREFIX_BYTES), []) === undefined);
});
