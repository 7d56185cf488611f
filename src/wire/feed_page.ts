// The pages of a change feed: changes to the rows of one table, and the marks between them (PROTOCOL.md, "Change
// feeds").

import { DecodeError } from "../base/byte_reader.ts";
import { decodeControl, encodeControl } from "./control.ts";
import { LIMITS } from "./limits.ts";
import { pageOf } from "./page_cutter.ts";
import type { Row, SqlValue } from "./value.ts";
import { ValueReader } from "./value_reader.ts";
import { NumberKind, ValueWriter } from "./value_writer.ts";

/** Bytes of the largest change: two rows as large as a row may be, and their heads. */
export const CHANGE_BYTES_MAX: number = 2 * LIMITS.rowBytesMax + 16;

/** Bytes of the largest page of a feed: one such change, behind the number of its table. */
export const FEED_PAGE_BYTES_MAX: number = CHANGE_BYTES_MAX + 16;

/** A row before and after a change: `before` is `null` where it is new, `after` where it is gone. */
export interface FeedChange {
  readonly before: Row | null;
  readonly after: Row | null;
}

/** Changes to one table; a snapshot's rows are new ones. */
export interface FeedChanges {
  readonly kind: "changes";
  /** The table's place in the list of the subscription. */
  readonly table: number;
  readonly changes: readonly FeedChange[];
}

/** What stands between changes. */
export type FeedMark =
  /** The snapshot is complete. */
  | { readonly kind: "snapshot-end"; readonly cursor: string }
  /** The changes since the last mark are a transaction. */
  | { readonly kind: "commit"; readonly cursor: string; readonly atMs: number }
  /** There is nothing more up to this cursor. */
  | { readonly kind: "resolved"; readonly cursor: string; readonly atMs: number }
  /** The feed cannot go on; the stream ends. */
  | { readonly kind: "reset"; readonly reason: string; readonly message: string };

/** Appends a change to those of a page. `kinds` says how the `number`s of each column are encoded. */
export function appendChange(
  writer: ValueWriter,
  before: readonly SqlValue[] | null,
  after: readonly SqlValue[] | null,
  kinds: readonly NumberKind[] = [],
): void {
  writer.arrayHead(2);
  for (const row of [before, after]) {
    if (row === null) {
      writer.nil();
      continue;
    }
    writer.arrayHead(row.length);
    for (let i = 0; i < row.length; i++) writer.value(row[i]!, kinds[i] ?? NumberKind.FLOAT64);
  }
}

/** A page of `count` changes, as {@linkcode appendChange} wrote them, with its length before it. */
export function encodeChanges(table: number, count: number, changes: Uint8Array): Uint8Array {
  const head = new ValueWriter(16);
  head.arrayHead(1 + count);
  head.int(table);
  return pageOf(head.view(), changes);
}

/** A mark with its length before it. */
export function encodeMark(mark: FeedMark): Uint8Array {
  if (mark.kind === "reset") {
    const { reason, message } = mark;
    return pageOf(encodeControl({ mark: "reset", reason, message }));
  }
  const { cursor } = mark;
  if (mark.kind === "snapshot-end") return pageOf(encodeControl({ mark: "snapshot", cursor }));
  return pageOf(encodeControl({ mark: mark.kind, cursor, at: mark.atMs }));
}

/**
 * Decodes the payload of a page; `columnCounts` are those of the subscription's tables. Throws {@linkcode
 * DecodeError}. `undefined` for a mark of a later version.
 */
export function decodeFeedPage(
  payload: Uint8Array,
  columnCounts: readonly number[],
): FeedChanges | FeedMark | undefined {
  const reader = new ValueReader(payload);
  if (reader.atMap) return decodeMark(payload);
  const count = reader.arrayHead(1 + LIMITS.pageRowsMax) - 1;
  if (count < 0) throw new DecodeError("a page of changes without its table");
  const table = reader.value();
  const columnCount = typeof table === "number" ? columnCounts[table] : undefined;
  if (columnCount === undefined) throw new DecodeError("changes to a table that is none");
  const changes: FeedChange[] = [];
  for (let i = 0; i < count; i++) changes.push(readChange(reader, columnCount));
  reader.expectEnd();
  return { kind: "changes", table: table as number, changes };
}

function readChange(reader: ValueReader, columnCount: number): FeedChange {
  if (reader.arrayHead(2) !== 2) throw new DecodeError("a change is two rows");
  const before = readRow(reader, columnCount);
  const after = readRow(reader, columnCount);
  if (before === null && after === null) throw new DecodeError("a change without a row");
  return { before, after };
}

function readRow(reader: ValueReader, columnCount: number): Row | null {
  if (reader.takeNil()) return null;
  if (reader.arrayHead(LIMITS.columnsMax) !== columnCount) {
    throw new DecodeError("a row has not one value for each column");
  }
  const row: Row = [];
  for (let i = 0; i < columnCount; i++) row.push(reader.value());
  return row;
}

function decodeMark(payload: Uint8Array): FeedMark | undefined {
  const fields = decodeControl(payload);
  const kind = fields.text("mark", { minBytes: 1, maxBytes: LIMITS.nameBytesMax });
  if (kind === "reset") {
    return { kind, reason: fields.text("reason"), message: fields.text("message") };
  }
  if (kind !== "snapshot" && kind !== "commit" && kind !== "resolved") return undefined;
  const cursor = fields.text("cursor", { minBytes: 1, maxBytes: LIMITS.cursorBytesMax });
  if (kind === "snapshot") return { kind: "snapshot-end", cursor };
  return { kind, cursor, atMs: fields.int("at") };
}
