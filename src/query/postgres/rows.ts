// From the rows of a connection to those that travel.

import type { SqlValue } from "../../wire/value.ts";
import type { NumberKind } from "../../wire/value_writer.ts";
import type { BackendColumn, BackendRow } from "./driver.ts";
import { valueFormat, type ValueParser } from "./values.ts";

/** How the values of a result are read. */
export interface RowFormat {
  readonly parsers: readonly ValueParser[];
  readonly kinds: readonly NumberKind[];
}

/** Formats by the columns of a prepared statement, which are the same object at each of its runs. */
const formats = new WeakMap<readonly BackendColumn[], RowFormat>();

/** How the values of these columns are read. */
export function rowFormat(columns: readonly BackendColumn[]): RowFormat {
  let format = formats.get(columns);
  if (format === undefined) {
    const each = columns.map(({ type }) => valueFormat(type));
    format = { parsers: each.map(({ parse }) => parse), kinds: each.map(({ numbers }) => numbers) };
    formats.set(columns, format);
  }
  return format;
}

/** Reads a row into `values`, which is returned. */
export function readRow(row: BackendRow, { parsers }: RowFormat, values: SqlValue[]): SqlValue[] {
  for (let i = 0; i < row.length; i++) {
    const bytes = row[i]!;
    values[i] = bytes === null ? null : parsers[i]!(bytes);
  }
  return values;
}

/** Command tags whose number is one of rows that were changed. */
const CHANGING = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/** How many rows a statement changed. What a cursor has returned is not counted again in the tag at its end. */
export function changesOf(
  command: string | undefined,
  count: number | null,
  rowCount: number,
): number {
  return CHANGING.has(command ?? "") ? Math.max(count ?? 0, rowCount) : 0;
}
