// Prints how many pages of 100 rows of 8 columns a second each codec encodes and decodes: deno run
// tests/wire/bench_row_page.ts
// deno-lint-ignore-file no-console

import { decode as stdDecode, encode as stdEncode } from "@std/msgpack";
import { decode as msgpackDecode, Encoder } from "@msgpack/msgpack";
import { decodeRowPage, RowPageWriter } from "../../src/wire/row_page.ts";
import type { Row } from "../../src/wire/value.ts";
import { NumberKind } from "../../src/wire/value_writer.ts";

const ROWS = 100;
const COLUMNS = 8;

/**
 * Rows as a table of people might have them: integers of several sizes, floats, short and longer texts, bytes, nulls.
 */
function makeRows(integersAsBigInt: boolean): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < ROWS; i++) {
    const integer = (value: number) => integersAsBigInt ? BigInt(value) : value;
    rows.push([
      integer(i),
      integer(1_700_000_000_000 + i),
      i * 1.25 + 0.1,
      `name ${i}`,
      `somebody.${i}@example.com`,
      i % 10 === 0 ? `Grüße aus Köln ${i}` : `a remark of ordinary length for row ${i}`,
      i % 3 === 0 ? null : integer(i * 1000),
      new Uint8Array([i, 1, 2, 3, 4, 5, 6, 7]),
    ]);
  }
  return rows;
}

/** Pages a second: the best of some turns of half a second each. */
function measure(label: string, run: () => void): void {
  for (let i = 0; i < 300; i++) run();
  let best = 0;
  for (let turn = 0; turn < 4; turn++) {
    const start = performance.now();
    let count = 0;
    while (performance.now() - start < 400) {
      for (let i = 0; i < 20; i++) run();
      count += 20;
    }
    best = Math.max(best, count / (performance.now() - start) * 1000);
  }
  console.log(`${label.padEnd(34)} ${Math.round(best).toLocaleString("en").padStart(8)} pages/s`);
}

if (import.meta.main) {
  const rows = makeRows(false);
  const bigRows = makeRows(true);
  const kinds = [1, 1, 2, 0, 0, 0, 1, 0] as NumberKind[];
  const writer = new RowPageWriter({ pageBytesMax: 1 << 20 });
  const page = (from: readonly Row[], hints?: readonly NumberKind[]) => {
    for (const row of from) writer.append(row, hints);
    return writer.takePayload();
  };
  const bytes = page(rows, kinds);
  const msgpack = new Encoder();
  console.log(`${ROWS} rows of ${COLUMNS} columns, ${bytes.length} bytes`);
  measure("encode, kinds given", () => page(rows, kinds));
  measure("encode, integers as bigint", () => page(bigRows));
  measure("encode, @msgpack/msgpack", () => msgpack.encode(rows));
  measure("encode, @std/msgpack", () => stdEncode(rows as Parameters<typeof stdEncode>[0]));
  measure("decode", () => decodeRowPage(bytes, COLUMNS));
  measure("decode, @msgpack/msgpack", () => msgpackDecode(bytes));
  measure("decode, @std/msgpack", () => stdDecode(bytes));
}
