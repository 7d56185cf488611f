import { assert, assertEquals, assertThrows } from "@std/assert";
import { decode as msgpackDecode, encode as msgpackEncode } from "@msgpack/msgpack";
import { decode as stdDecode, encode as stdEncode } from "@std/msgpack";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { type SqlValue, Timestamp } from "../../src/wire/value.ts";
import { ValueReader } from "../../src/wire/value_reader.ts";
import { NumberKind, ValueWriter } from "../../src/wire/value_writer.ts";
import { asInRow, bins, engineValues, floats, integers, SEEDED, texts, times } from "./values.ts";

function write(value: SqlValue, kind: NumberKind = NumberKind.FLOAT64): Uint8Array {
  const writer = new ValueWriter(1);
  writer.value(value, kind);
  return writer.view().slice();
}

function read(bytes: Uint8Array, integersAsBigInt = false): SqlValue {
  const reader = new ValueReader(bytes, { integersAsBigInt });
  const value = reader.value();
  reader.expectEnd();
  return value;
}

Deno.test("every value survives: integers exact, -0, NaN and infinities, texts, bytes, times", () => {
  fc.assert(
    fc.property(engineValues, (value) => {
      const bytes = write(value);
      assertEquals(read(bytes, true), value);
      // Equality takes -0 for 0.
      if (typeof value === "number") assert(Object.is(read(bytes), value));
      assertEquals(read(bytes), asInRow(value));
    }),
    { ...SEEDED, numRuns: 2_000 },
  );
});

Deno.test("an integer and a float of the same value differ on the wire", () => {
  assertEquals(toHex(write(1, NumberKind.INT64)), "01");
  assertEquals(toHex(write(1, NumberKind.FLOAT64)), "cb3ff0000000000000");
  assertEquals(toHex(write(1, NumberKind.AUTO)), "01");
  assertEquals(toHex(write(-0, NumberKind.AUTO)), "cb8000000000000000");
  assertEquals(toHex(write(2 ** 53, NumberKind.AUTO)), "cb4340000000000000");
  assertEquals(read(fromHex("01"), true), 1n);
  assertEquals(read(fromHex("cb3ff0000000000000"), true), 1);
  assertThrows(() => write(1.5, NumberKind.INT64), RangeError);
});

Deno.test("integers, texts and bytes take the shortest form, as @msgpack/msgpack writes them", () => {
  fc.assert(
    fc.property(integers, (value) => {
      const exact = Number(value);
      if (!Number.isSafeInteger(exact)) assertEquals(write(value).length, 9);
      else assertEquals(toHex(write(value)), toHex(msgpackEncode(exact)));
    }),
    { ...SEEDED, numRuns: 2_000 },
  );
  fc.assert(
    fc.property(fc.oneof(texts, bins), (value) => {
      assertEquals(toHex(write(value)), toHex(msgpackEncode(value)));
      assertEquals(toHex(write(value)), toHex(stdEncode(value)));
    }),
    SEEDED,
  );
});

Deno.test("@msgpack/msgpack and @std/msgpack read what is written here", () => {
  fc.assert(
    fc.property(engineValues, (value) => {
      if (value instanceof Timestamp) return;
      const bytes = write(value);
      assertEquals(
        msgpackDecode(bytes, { useBigInt64: true }),
        bytes.length < 9 ? asInRow(value) : value,
      );
      if (value instanceof Date || (typeof value === "string" && value.startsWith("\ufeff"))) {
        return;
      }
      const theirs = stdDecode(bytes);
      assertEquals(typeof theirs === "bigint" ? asInRow(theirs) : theirs, asInRow(value));
    }),
    { ...SEEDED, numRuns: 2_000 },
  );
});

Deno.test("what @msgpack/msgpack and @std/msgpack write is read here", () => {
  fc.assert(
    fc.property(engineValues, (value) => {
      if (value instanceof Timestamp) return;
      assertEquals(read(msgpackEncode(value, { useBigInt64: true })), asInRow(value));
      // It writes -0 as the integer 0, and knows no timestamps.
      if (value instanceof Date || Object.is(value, -0)) return;
      assertEquals(read(stdEncode(value)), asInRow(value));
    }),
    { ...SEEDED, numRuns: 2_000 },
  );
  fc.assert(fc.property(floats, (value) => assertEquals(read(write(value)), value)), SEEDED);
});

Deno.test("a timestamp finer than a millisecond keeps its nanoseconds", () => {
  const time = read(write(new Timestamp(-1, 999_999)));
  assert(time instanceof Timestamp);
  assertEquals([time.getTime(), time.nanosecondsInMillisecond], [-1, 999_999]);
  fc.assert(fc.property(times, (value) => assertEquals(read(write(value)), value)), SEEDED);
  assertThrows(() => new Timestamp(0, 1_000_000), RangeError);
});

Deno.test("every strict prefix of a value is refused with a typed error, and so is what follows it", () => {
  fc.assert(
    fc.property(engineValues, (value) => {
      const bytes = write(value);
      const step = Math.max(1, Math.floor(bytes.length / 50));
      for (let end = 0; end < bytes.length; end += step) {
        assertThrows(() => read(bytes.subarray(0, end)), DecodeError);
      }
      assertThrows(() => read(new Uint8Array([...bytes.slice(0, 300), 0xc0, 0xc0])), DecodeError);
    }),
    { ...SEEDED, numRuns: 300 },
  );
});

Deno.test("random bytes give a value or a DecodeError, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        assert(error instanceof DecodeError, String(error));
      }
    }),
    { ...SEEDED, numRuns: 20_000 },
  );
});

Deno.test("what is no value is refused: float 32, other extensions, nested values, invalid UTF-8", () => {
  for (
    const hex of [
      "", // nothing
      "c1", // never used
      "ca3f800000", // float 32
      "cf8000000000000000", // 2^63
      "91c0", // array
      "81a16101", // map
      "d6fe00000000", // extension -2
      "d40001", // extension of one byte
      "c704ff00000000", // timestamp in a form that is none
      "d7ffee6b280000000000", // 1,000,000,000 nanoseconds
      "c70cff3b9aca000000000000000000", // the same in the long form
      "c70cff000000017fffffffffffffff", // beyond what a date holds
      "c70cff00000001000007dba8218000", // one nanosecond past the last date
      "a2c080", // overlong UTF-8
      "a3eda080", // a surrogate
      "a1ff",
      "d920" + "61".repeat(31) + "ff",
      "c4056162", // shorter than announced
      "dbffffffff61",
    ]
  ) assertThrows(() => read(fromHex(hex)), DecodeError, undefined, hex);
});

Deno.test("longer forms than needed are read all the same", () => {
  for (
    const hex of [
      "cc05",
      "cd0005",
      "ce00000005",
      "cf0000000000000005",
      "d005",
      "d30000000000000005",
    ]
  ) {
    assertEquals(read(fromHex(hex)), 5);
  }
  assertEquals(read(fromHex("db0000000161")), "a");
  assertEquals(read(fromHex("c70cff000000000000000000000000")), new Date(0));
});

Deno.test("a value without an encoding is a RangeError where it is written", () => {
  for (
    const value of [
      2n ** 63n,
      -(2n ** 63n) - 1n,
      "\ud800",
      "x".repeat(100) + "\udc00",
      new Date(NaN),
      undefined,
      {},
    ]
  ) {
    assertThrows(() => write(value as SqlValue), RangeError);
  }
});
