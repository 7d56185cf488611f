import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { decode as msgpackDecode, encode as msgpackEncode } from "@msgpack/msgpack";
import { encode as stdEncode, type ValueType as StdValue } from "@std/msgpack";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { decodeControl, encodeControl, wholeMs } from "../../src/wire/control.ts";
import { readControlValue } from "../../src/wire/control_reader.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { clipText, utf8LengthBytes } from "../../src/wire/text_length.ts";
import { bins, SEEDED, texts } from "./values.ts";

Deno.test("texts, bytes and integers of control payloads survive, a leading U+FEFF too", () => {
  fc.assert(
    fc.property(
      texts,
      texts,
      bins,
      fc.maxSafeInteger(),
      fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      (a, b, bytes, int, big) => {
        const fields = decodeControl(
          encodeControl({ a, deep: { b, c: "\ufeff" }, bytes, int, big }),
        );
        assertEquals(fields.text("a"), a);
        assertEquals(fields.map("deep").text("b"), b);
        assertEquals(fields.map("deep").text("c"), "\ufeff");
        assertEquals(toHex(fields.bytes("bytes")), toHex(bytes));
        assertEquals(fields.int("int", Number.MIN_SAFE_INTEGER), int);
        assertEquals(BigInt(fields.optionalInt64("big")!), big);
      },
    ),
    SEEDED,
  );
});

Deno.test("integers of control payloads take the shortest form, and are read from it", () => {
  for (
    const value of [
      0,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 53 - 1,
      -1,
      -32,
      -33,
      -128,
      -129,
      -(2 ** 15),
      -(2 ** 15) - 1,
      -(2 ** 31),
      -(2 ** 31) - 1,
    ]
  ) {
    const theirs = toHex(msgpackEncode({ a: value }));
    assertEquals(toHex(encodeControl({ a: value })), theirs);
    assertEquals(toHex(encodeControl({ a: BigInt(value) })), theirs);
    assertEquals(decodeControl(fromHex(theirs)).int("a", Number.MIN_SAFE_INTEGER), value);
  }
  assertThrows(() => encodeControl({ a: 0.5 }), RangeError);
  assertThrows(() => encodeControl({ a: 2 ** 53 }), RangeError);
  assertThrows(() => encodeControl({ a: 2n ** 64n }), RangeError);
  for (const value of [2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]) {
    assertEquals(toHex(encodeControl({ a: value })), toHex(stdEncode({ a: value })));
  }
  assertEquals(
    assertThrows(() => encodeControl({ a: ["\ud800"] }), SqpError).codeName,
    "text_not_unicode",
  );
});

Deno.test("an entry that is undefined is left out, and nil counts as missing", () => {
  assertEquals(msgpackDecode(encodeControl({ a: undefined, b: null })), { b: null });
  const fields = decodeControl(encodeControl({ b: null }));
  assertEquals([fields.has("a"), fields.has("b")], [false, false]);
  assertEquals(fields.optionalText("b"), undefined);
  assertThrows(() => fields.text("b"), DecodeError);
  // Nothing that objects inherit is a field.
  assertThrows(() => decodeControl(fromHex("80")).text("constructor"), DecodeError);
});

Deno.test("types and bounds of fields are checked", () => {
  const fields = decodeControl(
    encodeControl({
      text: "€€",
      int: 5,
      bool: true,
      bytes: new Uint8Array(3),
      list: ["a", 1, null],
      map: {},
      big: 2n ** 63n,
    }),
  );
  assertEquals(
    [fields.text("text", { maxBytes: 6 }), fields.int("int", 5, 5), fields.bool("bool")],
    ["€€", 5, true],
  );
  assertEquals(fields.list("list", 3).textOrNullAt(2), null);
  for (
    const read of [
      () => fields.text("text", { maxBytes: 5 }),
      () => fields.text("text", { minBytes: 7 }),
      () => fields.text("int"),
      () => fields.int("int", 6),
      () => fields.int("int", 0, 4),
      () => fields.int("text"),
      () => fields.int("big"),
      () => fields.optionalInt64("big"),
      () => fields.optionalInt64("text"),
      () => fields.bool("int"),
      () => fields.bytes("text"),
      () => fields.bytes("bytes", { maxBytes: 2 }),
      () => fields.list("list", 2),
      () => fields.list("map", 2),
      () => fields.list("list", 3).texts({}),
      () => fields.list("list", 3).ints(0, 9),
      () => fields.list("list", 3).lists(1),
      () => fields.list("list", 3).textAt(3),
      () => fields.map("list"),
      () => fields.map("none"),
      () => fields.textOrInt("bool"),
    ]
  ) assertThrows(read, DecodeError);
});

/** Bytes that no control payload may be, by the reason. */
const REFUSED: Readonly<Record<string, string>> = {
  "nothing": "",
  "no map": "91c0",
  "cut short in a map": "81a161",
  "bytes follow": "80c0",
  "a key twice": "82a16101a16102",
  "a key twice in two forms": "82a16101d9016102",
  "a key that is an integer": "810101",
  "a key that is empty": "81a001",
  "a key that is too long": "81d921" + "61".repeat(33) + "01",
  "a key in capitals": "81a14101",
  "__proto__": "81a95f5f70726f746f5f5f80",
  "a key that is a digit": "81a13101",
  "float 64": "81a161cb3ff0000000000000",
  "float 32": "81a161ca3f800000",
  "an extension": "81a161d6ff00000000",
  "never used": "81a161c1",
  "overlong UTF-8": "81a161a2c080",
  "a surrogate in UTF-8": "81a161a3eda080",
  "half a character": "81a161a1c3",
  "a text beyond the end": "81a161dbffffffff",
  "bytes beyond the end": "81a161c6ffffffff",
  "an array beyond the end": "81a161ddffffffff",
  "a map beyond the end": "dfffffffff",
  "nested 17 deep": "81a161" + "91".repeat(16) + "c0",
};

Deno.test("what a control payload may not be is refused with a typed error", () => {
  for (const [reason, hex] of Object.entries(REFUSED)) {
    assertThrows(() => decodeControl(fromHex(hex)), DecodeError, undefined, reason);
  }
  readControlValue(fromHex("81a161" + "91".repeat(15) + "c0"));
});

Deno.test("depth, number of values and announced lengths are bounded before anything is allocated for them", () => {
  // 65,536 values with the map and the array; one more is refused.
  const nils = (count: number) =>
    fromHex("81a161dd" + count.toString(16).padStart(8, "0") + "c0".repeat(count));
  readControlValue(nils(65_534));
  assertThrows(() => readControlValue(nils(65_535)), DecodeError);
  assertThrows(() => readControlValue(new Uint8Array(1_000_000).fill(0x91)), DecodeError);
});

Deno.test("whatever the guard passes the decoder takes: random bytes, truncations and bit flips", () => {
  const check = (bytes: Uint8Array) => {
    try {
      decodeControl(bytes);
    } catch (error) {
      assertInstanceOf(error, DecodeError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), check), { ...SEEDED, numRuns: 20_000 });
  const valid = encodeControl({
    a: "text",
    b: [1, -5, 2n ** 60n, null],
    c: { d: new Uint8Array(40), e: "\ufeff" },
    f: "x".repeat(300),
  });
  for (let end = 0; end < valid.length; end++) {
    assertThrows(() => decodeControl(valid.subarray(0, end)), DecodeError);
  }
  for (let bit = 0; bit < 8 * valid.length; bit++) {
    const bytes = valid.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    check(bytes);
  }
});

Deno.test("what other encoders write is read as what it was", () => {
  const controlValue = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.constant(null),
      fc.boolean(),
      fc.integer(),
      texts,
      bins,
      fc.array(tie("value"), { maxLength: 20 }),
      fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9_]{0,20}$/), tie("value"), {
        maxKeys: 20,
        noNullPrototype: true,
      }),
    ),
  })).value;
  fc.assert(
    fc.property(controlValue, (value) => {
      const theirs = [msgpackEncode({ value }), stdEncode({ value } as { value: StdValue })];
      for (const bytes of theirs) assertEquals<unknown>(readControlValue(bytes), { value });
    }),
    { ...SEEDED, numRuns: 300 },
  );
});

Deno.test("lengths of texts are those of their UTF-8, and a text is cut between characters", () => {
  fc.assert(
    fc.property(texts, fc.nat(100), (text, maxBytes) => {
      const encoder = new TextEncoder();
      assertEquals(utf8LengthBytes(text), encoder.encode(text).length);
      const clipped = clipText(text, maxBytes);
      assert(text.startsWith(clipped) && encoder.encode(clipped).length <= maxBytes);
      if (clipped !== text) assert(encoder.encode(clipped).length > maxBytes - 4);
    }),
    { ...SEEDED, numRuns: 1_000 },
  );
  assertEquals(clipText("a\ud800b", 10), "a\ufffdb");
});

Deno.test("durations travel as whole milliseconds", () => {
  assertEquals([0.2, -5, 3, Infinity].map(wholeMs), [1, 0, 3, 2 ** 31 - 1]);
});
