import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";

Deno.test("what a writer writes a reader reads", () => {
  fc.assert(fc.property(
    fc.nat(0xff),
    fc.nat(0xffff),
    fc.nat(0xffffff),
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.maxSafeNat(),
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.uint8Array({ maxLength: 300 }),
    (a, b, c, d, e, f, bytes) => {
      const writer = new ByteWriter(1);
      writer.u8(a).u16(b).u24(c).u32(d).u64Number(e).u64(f).u48(e % 2 ** 48).opaque(2, bytes);
      const encoded = writer.finish();
      const reader = new ByteReader(encoded);
      assertEquals([reader.u8(), reader.u16(), reader.u24(), reader.u32()], [a, b, c, d]);
      assertEquals([reader.u64Number(), reader.u64(), reader.u48()], [e, f, e % 2 ** 48]);
      assertEquals(toHex(reader.opaque(2)), toHex(bytes));
      reader.expectEnd();
    },
  ));
});

Deno.test("no read reaches past the end, nor past a nested part's bounds", () => {
  const reader = new ByteReader(fromHex("02 0102 03"));
  const nested = reader.vector(1);
  assertEquals(nested.u16(), 0x0102);
  assertThrows(() => nested.u8(), DecodeError);
  assertThrows(() => reader.u16(), DecodeError);
  assertEquals(reader.u8(), 3);
  reader.expectEnd();
  assertThrows(() => new ByteReader(fromHex("ff 00")).opaque(1), DecodeError);
  assertThrows(() => new ByteReader(fromHex("0020 0000 0000 0000")).u64Number(), DecodeError);
  assertThrows(() => new ByteReader(fromHex("01 ff")).text(2), DecodeError);
  assertThrows(() => new ByteReader(fromHex("00")).expectEnd(), DecodeError);
});

Deno.test("a vector longer than its length field is refused where it is written", () => {
  assertThrows(() => new ByteWriter().opaque(1, new Uint8Array(256)), RangeError);
});
