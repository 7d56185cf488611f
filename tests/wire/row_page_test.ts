import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { decode as msgpackDecode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { concatBytes, fromHex, toHex } from "../../src/base/bytes.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { PageStream } from "../../src/wire/page_stream.ts";
import {
  decodeRowPage,
  decodeTrailer,
  encodeTrailer,
  isTrailer,
  RowPageWriter,
} from "../../src/wire/row_page.ts";
import type { Row } from "../../src/wire/value.ts";
import { NumberKind } from "../../src/wire/value_writer.ts";
import { asInRow, engineValues, SEEDED } from "./values.ts";

/** All pages of some rows, each with its length before it. */
function pagesOf(rows: readonly Row[], writer: RowPageWriter): Uint8Array[] {
  const pages: Uint8Array[] = [];
  for (const row of rows) {
    writer.append(row);
    while (writer.full) pages.push(writer.takePage());
  }
  if (writer.rowCount > 0) pages.push(writer.takePage());
  return pages;
}

function readAll(stream: PageStream): Row[] {
  const rows: Row[] = [];
  for (let page = stream.nextRows(); page !== undefined; page = stream.nextRows()) {
    rows.push(...page);
  }
  return rows;
}

const tables = fc.integer({ min: 1, max: 5 }).chain((columnCount) =>
  fc.array(fc.array(engineValues, { minLength: columnCount, maxLength: columnCount }), {
    minLength: 1,
    maxLength: 30,
  })
);

Deno.test("rows survive pages of any size, cut into any pieces", () => {
  fc.assert(
    fc.property(
      tables,
      fc.integer({ min: 1, max: 3_000 }),
      fc.integer({ min: 1, max: 5_000 }),
      (rows, pageBytesMax, step) => {
        const pages = pagesOf(rows, new RowPageWriter({ pageBytesMax }));
        const trailer = { rows: rows.length, changes: 0, rowid: null };
        const bytes = concatBytes(...pages, encodeTrailer(trailer));
        const stream = new PageStream(rows[0]!.length);
        const received: Row[] = [];
        for (let at = 0; at < bytes.length; at += step) {
          stream.push(bytes.subarray(at, at + step));
          received.push(...readAll(stream));
        }
        assertEquals(received, rows.map((row) => row.map(asInRow)));
        assertEquals(stream.finish(), trailer);
      },
    ),
    { ...SEEDED, numRuns: 150 },
  );
});

Deno.test("a page's payload is at most the limit unless one row alone is larger", () => {
  fc.assert(
    fc.property(tables, fc.integer({ min: 1, max: 500 }), (rows, pageBytesMax) => {
      for (const page of pagesOf(rows, new RowPageWriter({ pageBytesMax }))) {
        assertEquals(new DataView(page.buffer).getUint32(0), page.length - 4);
        const count = decodeRowPage(page.subarray(4), rows[0]!.length).length;
        assert(count >= 1 && (count === 1 || page.length - 4 <= pageBytesMax));
      }
    }),
    { ...SEEDED, numRuns: 100 },
  );
});

Deno.test("a page is what any MessagePack decoder reads", () => {
  const writer = new RowPageWriter();
  for (let i = 0; i < 20; i++) writer.append([BigInt(i), `row ${i}`, null]);
  assertEquals(
    msgpackDecode(writer.takePayload()),
    Array.from({ length: 20 }, (_, i) => [i, `row ${i}`, null]),
  );
  assertEquals(writer.rowCount, 0);
});

Deno.test("kinds say for each column what a number is", () => {
  const writer = new RowPageWriter();
  writer.append([1, 1, 1], [NumberKind.INT64, NumberKind.FLOAT64, NumberKind.AUTO]);
  assertEquals(toHex(writer.takePayload()), "919301cb3ff000000000000001");
  writer.append([1, 1n]);
  assertEquals(toHex(writer.takePayload()), "9192cb3ff000000000000001");
  assertEquals(toHex(writer.takePayload()), "90");
});

Deno.test("a row that is too large or has no encoding leaves the page as it was", () => {
  const writer = new RowPageWriter({ rowBytesMax: 100 });
  writer.append(["kept"]);
  for (
    const row of [["x".repeat(101)], ["x".repeat(60), "y".repeat(60)], [new Uint8Array(101)], [
      "€".repeat(50),
    ]]
  ) {
    const error = assertThrows(() => writer.append(row), SqpError);
    assertEquals(error.codeName, "row_too_large");
  }
  assertThrows(() => writer.append(["\ud800"]), RangeError);
  assertEquals(decodeRowPage(writer.takePayload(), 1), [["kept"]]);
});

Deno.test("a full page must be taken first", () => {
  const writer = new RowPageWriter({ pageBytesMax: 10 });
  writer.append(["x".repeat(20)]);
  assert(writer.full);
  assertThrows(() => writer.append([null]), RangeError);
});

Deno.test("a malformed page is refused with a typed error", () => {
  for (
    const [hex, columnCount] of [
      ["", 1],
      ["c0", 1],
      ["91", 1], // a row is missing
      ["9191", 1], // a value is missing
      ["9192c0c0", 1], // a value too many
      ["9191c0c0", 1], // bytes follow
      ["919191c0", 1], // a nested value
      ["ddffffffff", 0], // more rows than bytes
      ["91dd00000002c0", 2], // more values than bytes
      ["8190c0", 0],
    ] as const
  ) assertThrows(() => decodeRowPage(fromHex(hex), columnCount), DecodeError, undefined, hex);
  const manyEmptyRows = concatBytes(fromHex("dd00010001"), new Uint8Array(65_537).fill(0x90));
  assertThrows(() => decodeRowPage(manyEmptyRows, 0), DecodeError);
});

Deno.test("single-bit flips and truncations of a page never throw anything but DecodeError", () => {
  const writer = new RowPageWriter();
  writer.append([1n, 2 ** 40, "text", new Uint8Array(3), new Date(5), null, true]);
  const payload = writer.takePayload();
  for (let bit = 0; bit < 8 * payload.length; bit++) {
    const bytes = payload.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    try {
      decodeRowPage(bytes, 7);
    } catch (error) {
      assertInstanceOf(error, DecodeError);
    }
  }
  for (let end = 0; end < payload.length; end++) {
    assertThrows(() => decodeRowPage(payload.subarray(0, end), 7), DecodeError);
  }
});

Deno.test("a stream proves its completeness: no last page, a wrong count, bytes after it are faults", () => {
  const writer = new RowPageWriter();
  writer.append([1n]);
  const page = writer.takePage();
  const last = encodeTrailer({ rows: 1, changes: 0, rowid: null });
  const finish = (...parts: Uint8Array[]) => {
    const stream = new PageStream(1);
    for (const part of parts) stream.push(part);
    readAll(stream);
    return stream.finish();
  };
  assertEquals(finish(page, last).rows, 1);
  assertThrows(() => finish(page), DecodeError);
  assertThrows(() => finish(), DecodeError);
  assertThrows(() => finish(last), DecodeError);
  assertThrows(() => finish(page, page, last), DecodeError);
  assertThrows(() => finish(page, last, page), DecodeError);
  assertThrows(() => finish(page, last, fromHex("00")), DecodeError);
  assertThrows(() => finish(page.subarray(0, 5), last), DecodeError);
});

Deno.test("a page larger than the row limit allows is refused by its announced length", () => {
  const stream = new PageStream(1, 100);
  stream.push(fromHex("00010001"));
  assertThrows(() => stream.nextRows(), DecodeError);
});

Deno.test("the last page carries changes and an exact row id", () => {
  for (const rowid of [null, 0, -5, 2n ** 63n - 1n, -(2n ** 63n), 2 ** 53 - 1]) {
    const payload = encodeTrailer({ rows: 3, changes: 2, rowid }).subarray(4);
    assert(isTrailer(payload));
    assertEquals(decodeTrailer(payload), { rows: 3, changes: 2, rowid });
  }
  assertThrows(() => decodeTrailer(fromHex("80")), DecodeError);
});

Deno.test("kept bytes do not change when the page's buffer is used again", () => {
  const writer = new RowPageWriter();
  writer.append([
    new Uint8Array([1, 2]),
    new Uint8Array(200).fill(7),
    new Uint8Array(0),
    new Uint8Array([3]),
  ]);
  const payload = writer.takePayload();
  const [row] = decodeRowPage(payload, 4);
  payload.fill(0xff);
  assertEquals(row, [
    new Uint8Array([1, 2]),
    new Uint8Array(200).fill(7),
    new Uint8Array(0),
    new Uint8Array([3]),
  ]);
});
