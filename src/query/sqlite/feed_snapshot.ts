// The snapshot of a change feed: one statement reads all its tables, and which row of the log they stand at, so that
// they are of one moment.

import { ValueReader } from "../../wire/value_reader.ts";
import { LIMITS } from "../../wire/limits.ts";
import { encodeChanges } from "../../wire/feed_page.ts";
import { PAGE_PREFIX_BYTES } from "../../wire/page_cutter.ts";
import { concatBytes } from "../../base/bytes.ts";
import type { FedTable, SnapshotPart } from "../feed_backend.ts";
import type { SqlValue } from "../../wire/value.ts";
import { quoteName } from "./table_shape.ts";

/** Columns of the first row behind its mark. */
const HEAD_COLUMNS = 3;

/** The first column of the first row; in every other it is the number of a table. */
const HEAD_MARK = -1;

/** [nil, before a row that is new. */
const HEAD_OF_NEW = new Uint8Array([0x92, 0xc0]);

/** The statement that reads a snapshot, and its parameters. */
export function snapshotStatement(
  tables: readonly FedTable[],
): { sql: string; params: SqlValue[] } {
  const width = Math.max(HEAD_COLUMNS, ...tables.map(({ watched }) => watched.columns.length));
  const padded = (columns: readonly string[]) =>
    [...columns, ...new Array(width - columns.length).fill("NULL")].join();
  const params: SqlValue[] = [];
  const shapes = tables.map(({ watched }, index) => {
    params.push(watched.name, watched.shape);
    return `WHEN NOT EXISTS (SELECT 1 FROM main.sqp_watched WHERE table_name = ? AND shape = ?) THEN ${index}`;
  });
  const head = padded(["id", "at_ms", `CASE ${shapes.join(" ")} END`]);
  const selects = tables.map(({ watched, filter }, index) => {
    const columns = watched.columns.map(({ name }) => quoteName(name));
    const terms = Array.from(filter, ([column, value]) => {
      const name = columns[column]!;
      if (value === null) return `${name} IS NULL`;
      params.push(value, value);
      // The first may use an index; the second is what the filter means, without the column's collation and affinity.
      return `${name} = ? AND +${name} = ? COLLATE BINARY`;
    });
    const where = terms.length === 0 ? "" : ` WHERE ${terms.join(" AND ")}`;
    return `SELECT ${index}, ${padded(columns)} FROM main.${quoteName(watched.name)}${where}`;
  });
  const first =
    `SELECT * FROM (SELECT ${HEAD_MARK}, ${head} FROM main.sqp_changes ORDER BY id DESC LIMIT 1)`;
  return { sql: [first, ...selects].join(" UNION ALL "), params };
}

/** A page of a snapshot's result: its head, where it is the first one, and the rows as pages of a feed. */
export function readSnapshotPage(
  page: Uint8Array,
  tables: readonly FedTable[],
): SnapshotPart {
  const bytes = page.subarray(PAGE_PREFIX_BYTES);
  const reader = new ValueReader(bytes);
  const parts: Uint8Array[] = [];
  let head: SnapshotPart["head"];
  let rows: Uint8Array[] = [];
  let tableOfRows = 0;
  const take = () => {
    if (rows.length > 0) {
      parts.push(encodeChanges(tableOfRows, rows.length / 3, concatBytes(...rows)));
    }
    rows = [];
  };
  for (let left = reader.arrayHead(LIMITS.pageRowsMax); left > 0; left--) {
    const columnCount = reader.arrayHead(LIMITS.columnsMax);
    const table = reader.value() as number;
    if (table === HEAD_MARK) {
      const values = Array.from({ length: columnCount - 1 }, () => reader.value());
      const [id, atMs, other] = values as [number, number, number | null];
      head = { id, atMs, otherTable: other === null ? undefined : tables[other]!.watched.name };
      continue;
    }
    if (table !== tableOfRows) take();
    tableOfRows = table;
    const width = tables[table]!.watched.columns.length;
    const from = reader.offset;
    for (let i = 0; i < width; i++) reader.value();
    rows.push(HEAD_OF_NEW, rowHead(width), bytes.subarray(from, reader.offset));
    for (let i = width; i < columnCount - 1; i++) reader.value();
  }
  take();
  return { ...(head !== undefined && { head }), parts };
}

/** The head of an array in its shortest form. */
function rowHead(count: number): Uint8Array {
  return count < 16
    ? new Uint8Array([0x90 | count])
    : new Uint8Array([0xdc, count >> 8, count & 0xff]);
}
