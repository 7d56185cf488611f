// Rows as text: an aligned table, JSON lines, or CSV. Written as they come, except that a table looks at its first
// rows for widths.

import type { Column, Row, SqlValue } from "../client/mod.ts";

/** The forms in which rows are printed. */
export type OutputFormat = "table" | "json" | "csv";

/** Rows that a table looks at before it settles on the widths of its columns. */
const TABLE_SAMPLE_ROWS = 200;

/** Characters of the widest column of a table. */
const TABLE_WIDTH_MAX = 60;

/** The text of a result, piece by piece. */
export async function* formatRows(
  format: OutputFormat,
  columns: readonly Column[],
  rows: AsyncIterable<Row>,
): AsyncGenerator<string> {
  // A statement without columns has nothing to print, but is run to its end all the same.
  if (columns.length === 0) {
    for await (const _ of rows);
    return;
  }
  if (format === "table") return yield* formatTable(columns, rows);
  const names = columns.map(({ name }) => name);
  if (format === "csv") yield csvLine(names);
  for await (const row of rows) {
    yield format === "csv" ? csvLine(row.map(plainText)) : `${jsonObject(names, row)}\n`;
  }
}

async function* formatTable(
  columns: readonly Column[],
  rows: AsyncIterable<Row>,
): AsyncGenerator<string> {
  const names = columns.map(({ name }) => printable(name));
  let sample: string[][] = [];
  let widths: number[] | undefined;
  let rowCount = 0;
  for await (const row of rows) {
    rowCount++;
    const cells = row.map((value) => printable(cellText(value)));
    if (widths !== undefined) {
      yield tableLine(cells, widths);
      continue;
    }
    sample.push(cells);
    if (sample.length < TABLE_SAMPLE_ROWS) continue;
    widths = columnWidths(names, sample);
    yield tableHead(names, widths);
    for (const each of sample) yield tableLine(each, widths);
    sample = [];
  }
  if (widths === undefined) {
    widths = columnWidths(names, sample);
    yield tableHead(names, widths);
    for (const each of sample) yield tableLine(each, widths);
  }
  yield `(${rowCount} row${rowCount === 1 ? "" : "s"})\n`;
}

function columnWidths(names: readonly string[], rows: readonly string[][]): number[] {
  return names.map((name, i) => {
    const widest = Math.max(name.length, ...rows.map((row) => row[i]!.length));
    return Math.min(widest, TABLE_WIDTH_MAX);
  });
}

function tableHead(names: readonly string[], widths: readonly number[]): string {
  return tableLine(names, widths) + `${widths.map((width) => "-".repeat(width)).join("-+-")}\n`;
}

function tableLine(cells: readonly string[], widths: readonly number[]): string {
  return `${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ").trimEnd()}\n`;
}

function cellText(value: SqlValue): string {
  return value === null ? "NULL" : plainText(value);
}

/** A value as text; bytes as an SQL literal, and nothing for null. */
function plainText(value: SqlValue): string {
  if (value === null) return "";
  if (value instanceof Uint8Array) return `x'${value.toHex()}'`;
  if (value instanceof Date) return value.toISOString();
  return Object.is(value, -0) ? "-0" : String(value);
}

/** What a terminal would take for a command, or what would break a line, is shown as an escape. */
function printable(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (control) =>
      control === "\n"
        ? "\\n"
        : control === "\t"
        ? "\\t"
        : `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** RFC 4180 section 2: fields with quotes, commas or line breaks are quoted, and quotes doubled. */
function csvLine(fields: readonly string[]): string {
  const quoted = fields.map((field) =>
    /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
  );
  return `${quoted.join(",")}\r\n`;
}

/** One object; of columns with one name the last stands. What JSON cannot hold becomes text. */
export function jsonObject(names: readonly string[], row: readonly SqlValue[]): string {
  const fields = names.map((name, i) => `${JSON.stringify(name)}:${jsonValue(row[i]!)}`);
  return `{${fields.join(",")}}`;
}

function jsonValue(value: SqlValue): string {
  // An integer of any size is a JSON number; whether its reader keeps it exact is the reader's choice.
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") {
    return Object.is(value, -0) ? "-0.0" : Number.isFinite(value) ? String(value) : `"${value}"`;
  }
  if (value === null || typeof value === "boolean") return String(value);
  return JSON.stringify(value instanceof Uint8Array ? value.toBase64() : plainText(value));
}
