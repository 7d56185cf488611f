// The strict DER reader: what X.690 allows in one way only is read in that way only.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { DecodeError } from "../../../src/base/byte_reader.ts";
import { DerReader } from "../../../src/dtls/x509/der_reader.ts";
import { integer, octetString, oid, time, tlv } from "./certificate_builder.ts";
import { utf8Bytes } from "../../../src/base/bytes.ts";

function refuses(hex: string, read: (reader: DerReader) => unknown): void {
  assertThrows(() => read(new DerReader(Uint8Array.fromHex(hex))), DecodeError);
}

function reads<Value>(hex: string, read: (reader: DerReader) => Value): Value {
  const reader = new DerReader(Uint8Array.fromHex(hex));
  const value = read(reader);
  reader.expectEnd();
  return value;
}

Deno.test("lengths are definite and the shortest", () => {
  for (const hex of ["0480", "048100", "04817f" + "00".repeat(127), "04820080", "0485", "04ff"]) {
    refuses(hex, (reader) => reader.element());
  }
  refuses("040200", (reader) => reader.element());
  refuses("1f8100", (reader) => reader.element());
});

Deno.test("an element of any length is read back", () => {
  fc.assert(
    fc.property(fc.nat(70_000), (length) => {
      const content = new Uint8Array(length);
      assertEquals(new DerReader(octetString(content)).content(0x04).length, length);
    }),
    { seed: 1, numRuns: 50 },
  );
});

Deno.test("integers are the shortest and not negative; booleans are 00 or ff", () => {
  assertEquals(reads("020100", (reader) => reader.smallInteger()), 0);
  assertEquals(reads("02020080", (reader) => reader.smallInteger()), 128);
  for (const hex of ["0200", "0201ff", "0202007f", "02050080000000"]) {
    refuses(hex, (reader) => reader.smallInteger());
  }
  assertEquals(reads("0101ff", (reader) => reader.boolean()), true);
  for (const hex of ["010101", "0100", "01020000"]) refuses(hex, (reader) => reader.boolean());
});

Deno.test("integers and object identifiers are read back", () => {
  fc.assert(
    fc.property(fc.nat(0x7fff_ffff), (value) => {
      assertEquals(new DerReader(integer(value)).smallInteger(), value);
    }),
    { seed: 2 },
  );
  const arcs = fc.tuple(fc.nat(2), fc.nat(39), fc.array(fc.nat(), { maxLength: 8 }));
  fc.assert(
    fc.property(arcs, ([first, second, rest]) => {
      const dotted = [first, second, ...rest].join(".");
      assertEquals(new DerReader(oid(dotted)).objectIdentifier(), dotted);
    }),
    { seed: 3 },
  );
  for (const hex of ["0600", "060180", "0603558001"]) {
    refuses(hex, (reader) => reader.objectIdentifier());
  }
});

Deno.test("named bits: trailing zero bits are removed, unused bits are zero", () => {
  assertEquals(reads("03020780", (reader) => reader.namedBits()), 1);
  assertEquals(reads("03020106", (reader) => reader.namedBits()), 0b110_0000);
  assertEquals(reads("0303078080" + "", (reader) => reader.namedBits()), 0b1_0000_0001);
  assertEquals(reads("030100", (reader) => reader.namedBits()), 0);
  for (const hex of ["0300", "030108", "030107", "03020080", "03020781", "03020880"]) {
    refuses(hex, (reader) => reader.namedBits());
  }
});

Deno.test("times are of Zulu, with seconds, without fractions, and exist", () => {
  const timeOf = (tag: number, text: string) => new DerReader(tlv(tag, utf8Bytes(text))).time();
  assertEquals(timeOf(0x17, "500101000000Z"), Date.UTC(1950, 0, 1));
  assertEquals(timeOf(0x17, "491231235959Z"), Date.UTC(2049, 11, 31, 23, 59, 59));
  assertEquals(timeOf(0x18, "99991231235959Z"), Date.UTC(9999, 11, 31, 23, 59, 59));
  assertEquals(timeOf(0x18, "00500101000000Z"), new Date("0050-01-01T00:00:00Z").getTime());
  for (const text of ["5001010000Z", "500101000000", "500101000000+0100", "500230000000Z"]) {
    assertThrows(() => timeOf(0x17, text), DecodeError);
  }
  for (const text of ["20260101000000.5Z", "20260101000060Z", "20261301000000Z", "260101000000Z"]) {
    assertThrows(() => timeOf(0x18, text), DecodeError);
  }
  const range = { min: Date.UTC(1950), max: Date.UTC(2200) - 1 };
  fc.assert(
    fc.property(fc.integer(range), (at) => {
      const whole = Math.floor(at / 1000) * 1000;
      assertEquals(new DerReader(time(whole)).time(), whole);
    }),
    { seed: 4 },
  );
});
