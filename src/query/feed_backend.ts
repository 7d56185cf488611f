// What change feeds ask of an engine.

import type { Column } from "../wire/response_payload.ts";
import type { SqlValue } from "../wire/value.ts";
import type { RowFilter } from "./feed_filter.ts";

/** One row of a log of changes. A transaction is one or more in a row, the last of which ends it. */
export interface LogRow {
  readonly id: number;
  /** The row before it, kept or not: a reader that was there has missed nothing. */
  readonly previousId: number;
  /** It is the last one of its transaction. */
  readonly ends: boolean;
  /** When it was written, in milliseconds since 1970. */
  readonly atMs: number;
  /** `null` where it tells nothing. */
  readonly table: string | null;
  /** 0 where `body` is the reason for a reset, in UTF-8. */
  readonly count: number;
  /** Changes as `appendChange` writes them. */
  readonly body: Uint8Array;
}

/** From when on the changes of a table are in the log. */
export interface WatchedSince {
  /** The last row of the log before they were kept. */
  readonly sinceId: number;
  /** The last one before the table had the shape that it has. */
  readonly shapeSinceId: number;
}

/** A table whose changes are kept. */
export interface WatchedTable extends WatchedSince {
  /** Its name as log rows have it. */
  readonly name: string;
  readonly columns: readonly Column[];
  /** The places of the primary key's columns, in its order. */
  readonly keys: readonly number[];
  /** Everything about it that a feed relies on. */
  readonly shape: string;
}

/** A table of a feed. */
export interface FedTable {
  readonly watched: WatchedTable;
  readonly filter: RowFilter;
}

/** Why a table's changes cannot be told, for a person. `missing`: there is no such table. */
export interface UnsupportedTable {
  readonly missing: boolean;
  readonly why: string;
}

/** A log and its last row. */
export interface LogHead {
  readonly logId: string;
  readonly headId: number;
  /** When that row was written, in milliseconds since 1970. */
  readonly headAtMs: number;
}

/** The tables in the order in which they were asked for; none where one of them cannot be watched. */
export type WatchOutcome =
  | { readonly unsupported: readonly UnsupportedTable[] }
  | LogHead & { readonly tables: readonly WatchedTable[] };

/** What the log says of the row of a cursor. */
export interface CursorFacts {
  /** The first row from which a feed can go on, and the last one. */
  readonly minId: number;
  readonly maxId: number;
  /** When the row was written, `null` where it is not there or ends no transaction. */
  readonly atMs: number | null;
}

/** A part of a snapshot. */
export interface SnapshotPart {
  /** In the first part: where in the log the snapshot stands. */
  readonly head?: {
    readonly id: number;
    readonly atMs: number;
    /** The first of the tables that no longer has its shape. */
    readonly otherTable: string | undefined;
  };
  /** Pages of rows, as they stand in the stream of a feed. */
  readonly parts: readonly Uint8Array[];
}

/** Something that is read in parts. */
export interface PartReader<Part> {
  /** The next part, `undefined` after the last. Rejects with `SqpError`. */
  next(): Promise<Part | undefined>;
  /** Ends it early. Harmless after its end. */
  close(): void;
}

/** Reads the log of one database. */
export interface FeedBackend {
  /** Keeps the changes of tables from now on, where that can be. Rejects with `SqpError`. */
  watch(tables: readonly string[]): Promise<WatchOutcome>;
  /** What a value of a filter is in a row. Throws `SqpError` for one that no row can have. */
  filterValue(value: SqlValue, label: string): SqlValue;
  /** Looks at the row of a cursor. Rejects with `SqpError`. */
  cursorFacts(id: number): Promise<CursorFacts>;
  /** Reads the rows of tables as they are at one moment. */
  snapshot(tables: readonly FedTable[]): PartReader<SnapshotPart>;
  /** Resolves when the log holds all that was committed before. Rejects with `SqpError`. */
  settle(): Promise<void>;
  /** The rows of the log after one. */
  logAfter(id: number): PartReader<readonly LogRow[]>;
}
