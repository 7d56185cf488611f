import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes, EMPTY_BYTES, fromHex, toHex, utf8Bytes } from "../../src/base/bytes.ts";

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
  assertThrows(() => new ByteReader(fromHex("00")).bytes(-1), DecodeError);
  assertThrows(() => new ByteReader(fromHex("00")).bytes(NaN), DecodeError);
});

Deno.test("a vector longer than its length field is refused where it is written", () => {
  assertThrows(() => new ByteWriter().opaque(1, new Uint8Array(256)), RangeError);
});

/** One field: how it is written, and how it is read and compared. */
interface Field {
  write(writer: ByteWriter): void;
  readAndCheck(reader: ByteReader): void;
}

const numberField = (name: "u8" | "u16" | "u24" | "u32" | "u48" | "u64Number", bits: number) =>
  fc.integer({ min: 0, max: Math.min(2 ** bits - 1, Number.MAX_SAFE_INTEGER) }).map((
    value,
  ): Field => ({
    write: (writer) => void writer[name](value),
    readAndCheck: (reader) => assertEquals(reader[name](), value),
  }));

const fields = fc.array(
  fc.oneof(
    numberField("u8", 8),
    numberField("u16", 16),
    numberField("u24", 24),
    numberField("u32", 32),
    numberField("u48", 48),
    numberField("u64Number", 64),
    fc.bigInt(0n, 2n ** 64n - 1n).map((value): Field => ({
      write: (writer) => void writer.u64(value),
      readAndCheck: (reader) => assertEquals(reader.u64(), value),
    })),
    fc.tuple(fc.constantFrom(1, 2, 3), fc.uint8Array({ maxLength: 30 })).map((
      [size, value],
    ): Field => ({
      write: (writer) => void writer.opaque(size, value),
      readAndCheck: (reader) => assertEquals(toHex(reader.opaque(size)), toHex(value)),
    })),
    fc.string({ unit: "grapheme", maxLength: 8 }).map((value): Field => ({
      write: (writer) => void writer.bytes(utf8Bytes(value)),
      readAndCheck: (reader) => assertEquals(reader.text(utf8Bytes(value).length), value),
    })),
  ),
  { minLength: 1, maxLength: 12 },
);

Deno.test("any fields are read as they were written, and every strict prefix is a DecodeError", () => {
  fc.assert(fc.property(fields, fc.nat(), (list, at) => {
    const writer = new ByteWriter(0);
    for (const field of list) field.write(writer);
    const lengthBytes = writer.length;
    const encoded = writer.finish();
    assertEquals(lengthBytes, encoded.length);
    const readAll = (bytes: Uint8Array) => {
      const reader = new ByteReader(bytes);
      for (const field of list) field.readAndCheck(reader);
      assertEquals([reader.offset, reader.remaining], [bytes.length, 0]);
      reader.expectEnd();
    };
    readAll(encoded);
    if (encoded.length === 0) return;
    assertThrows(() => readAll(encoded.subarray(0, at % encoded.length)), DecodeError);
    assertThrows(() => {
      const reader = new ByteReader(concatBytes(encoded, Uint8Array.of(0)));
      for (const field of list) field.readAndCheck(reader);
      reader.expectEnd();
    }, DecodeError);
  }));
});

Deno.test("integers are big-endian, from the smallest to the largest of each size", () => {
  const writer = new ByteWriter();
  writer.u8(0xff).u16(0x0102).u24(0x030405).u32(0xfffefdfc).u48(0x0102_0304_0506);
  writer.u64(0xffff_ffff_ffff_ffffn).u64Number(Number.MAX_SAFE_INTEGER);
  assertEquals(
    toHex(writer.view()),
    "ff" + "0102" + "030405" + "fffefdfc" + "010203040506" + "ff".repeat(8) + "001fffffffffffff",
  );
  const reader = new ByteReader(writer.finish());
  assertEquals([reader.u8(), reader.u16(), reader.u24()], [0xff, 0x0102, 0x030405]);
  assertEquals([reader.u32(), reader.u48()], [0xfffefdfc, 0x0102_0304_0506]);
  assertEquals([reader.u64(), reader.u64Number()], [2n ** 64n - 1n, Number.MAX_SAFE_INTEGER]);
});

Deno.test("a failed read moves the cursor nowhere", () => {
  const reader = new ByteReader(fromHex("0102"));
  assertThrows(() => reader.u32(), DecodeError);
  assertThrows(() => reader.bytes(3), DecodeError);
  assertEquals([reader.offset, reader.u16()], [0, 0x0102]);
  assertEquals(reader.rest(), EMPTY_BYTES);
});

Deno.test("a vector outside its bounds is refused, one at them is read", () => {
  const vector = () => new ByteReader(fromHex("0002 abcd"));
  assertEquals(toHex(vector().opaque(2, 2, 2)), "abcd");
  assertThrows(() => vector().opaque(2, 3), DecodeError);
  assertThrows(() => vector().vector(2, 0, 1), DecodeError);
});

Deno.test("vectors nest, and each length is that of what was written inside", () => {
  const writer = new ByteWriter(1);
  writer.vector(2, (outer) => {
    outer.vector(1, (inner) => inner.u8(7)).vector(3, () => {});
  });
  const bytes = writer.finish();
  assertEquals(toHex(bytes), "0005" + "0107" + "000000");
  const outer = new ByteReader(bytes).vector(2);
  assertEquals([outer.vector(1).u8(), outer.vector(3).remaining, outer.remaining], [7, 0, 0]);
});

Deno.test("what a reader returns is a view, what finish returns is a copy that no other writer has", () => {
  const bytes = fromHex("010203");
  assertEquals(new ByteReader(bytes).sub(2).bytes(2).buffer, bytes.buffer);
  const writer = new ByteWriter().bytes(bytes);
  const finished = writer.finish();
  assertEquals([writer.length, writer.view()], [0, EMPTY_BYTES]);
  const others = [writer, new ByteWriter()].map((each) => each.u8(9).u8(9));
  assertEquals([toHex(finished), ...others.map((each) => toHex(each.finish()))], [
    "010203",
    "0909",
    "0909",
  ]);
});

Deno.test("a writer keeps what it holds however often it grows", () => {
  const writer = new ByteWriter(1);
  for (let i = 0; i < 5000; i++) writer.u16(i);
  const reader = new ByteReader(writer.finish());
  for (let i = 0; i < 5000; i++) assertEquals(reader.u16(), i);
  reader.expectEnd();
});
