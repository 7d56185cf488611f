import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  concatBytes,
  EMPTY_BYTES,
  equalBytes,
  fromBase64,
  fromHex,
  toBase64,
  toHex,
  utf8Bytes,
  utf8Text,
} from "../../src/base/bytes.ts";

const bytes = fc.uint8Array({ maxLength: 40 });

Deno.test("what toHex writes, fromHex reads, in either case and with white space between", () => {
  fc.assert(fc.property(bytes, (value) => {
    const hex = toHex(value);
    assertEquals(hex.length, 2 * value.length);
    assertEquals(fromHex(hex), value);
    assertEquals(fromHex(hex.toUpperCase().replace(/../g, "$& \n")), value);
  }));
  assertEquals(toHex(Uint8Array.of(0, 1, 0x0f, 0xa0, 0xff)), "00010fa0ff");
});

Deno.test("what is not hexadecimal is a RangeError, not a wrong byte", () => {
  for (const text of ["0", "000", "0g", "0x00", "-1", "é0"]) {
    assertThrows(() => fromHex(text), RangeError);
  }
});

Deno.test("what toBase64 writes, fromBase64 reads: it is what the runtime writes", () => {
  fc.assert(fc.property(bytes, (value) => {
    assertEquals(toBase64(value), value.toBase64());
    assertEquals(fromBase64(toBase64(value)), value);
  }));
});

Deno.test("what is not the one base64 text of its bytes is a RangeError", () => {
  for (
    const text of [
      "A",
      "AA",
      "AAA",
      "AB==",
      "AAB=",
      "A===",
      "====",
      "AA==AA==",
      "AA A",
      "A-_A",
      "é",
    ]
  ) {
    assertThrows(() => fromBase64(text), RangeError, "", text);
  }
});

Deno.test("joined bytes are the parts in order, in memory of their own", () => {
  fc.assert(fc.property(fc.array(bytes, { maxLength: 6 }), (parts) => {
    assertEquals(toHex(concatBytes(...parts)), parts.map(toHex).join(""));
  }));
  const part = Uint8Array.of(1, 2);
  const joined = concatBytes(part);
  part[0] = 9;
  assertEquals(joined, Uint8Array.of(1, 2));
  assertEquals(concatBytes(), EMPTY_BYTES);
});

Deno.test("bytes are equal exactly when length and every byte are", () => {
  fc.assert(fc.property(bytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, change) => {
    assertEquals(equalBytes(value, value.slice()), true);
    assertEquals(equalBytes(value, concatBytes(value, Uint8Array.of(0))), false);
    if (value.length === 0) return;
    const other = value.slice();
    other[at % value.length]! ^= change;
    assertEquals(equalBytes(value, other), false);
  }));
});

Deno.test("text survives UTF-8 exactly, a byte order mark included; invalid UTF-8 is refused", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => {
    assertEquals(utf8Text(utf8Bytes(text)), text);
  }));
  assertEquals(utf8Text(fromHex("efbbbf 61")), "\ufeffa");
  // A lone continuation byte, an overlong slash, a surrogate, beyond U+10FFFF, a text cut off.
  for (const hex of ["80", "c0af", "eda080", "f4908080", "e282"]) {
    assertThrows(() => utf8Text(fromHex(hex)), TypeError);
  }
});
