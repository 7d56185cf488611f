// The snapshot of a change feed: one transaction reads all its tables, and which row of the log they stand at.

import { concatBytes } from "../../base/bytes.ts";
import { SqpError } from "../../wire/errors.ts";
import { appendChange, CHANGE_BYTES_MAX, encodeChanges } from "../../wire/feed_page.ts";
import { ValueWriter } from "../../wire/value_writer.ts";
import type { FedTable, PartReader, SnapshotPart } from "../feed_backend.ts";
import { filterChanges } from "../feed_filter.ts";
import type { ChangeCapture } from "./change_capture.ts";
import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import { borrow } from "./own_connection.ts";
import { readRow, type RowShapes } from "./row_shapes.ts";

/** Rows that are asked for at once: first, and at most. */
const BATCH_ROWS_FIRST = 16;
const BATCH_ROWS_MAX = 200;

/** Characters that the rows of a batch should have together, if they are as long as those before. */
const BATCH_CHARACTERS = 1024 * 1024;

/** Bytes of rows in one page, unless a single row is larger. */
const PAGE_BYTES = 32 * 1024;

/** What a snapshot is read with. */
export interface SnapshotHost {
  readonly pool: ConnectionPool;
  readonly shapes: RowShapes;
  /** How changes come into the log. */
  capture(): ChangeCapture;
  /** How long reading a part may take. */
  readonly readMsMax: number;
  /** How long a part may wait for its reader: the connection and what the transaction sees are kept for it. */
  readonly stallMsMax: number;
}

/** Reads tables as they are at one moment. */
export class SnapshotReader implements PartReader<SnapshotPart> {
  readonly #host: SnapshotHost;
  readonly #tables: readonly FedTable[];
  #connection: PostgresConnection | undefined;
  #table = -1;
  #batchRows = BATCH_ROWS_FIRST;
  #isOver = false;
  #isReading = false;
  #stall: ReturnType<typeof setTimeout> | undefined;
  #hasStalled = false;

  constructor(host: SnapshotHost, tables: readonly FedTable[]) {
    this.#host = host;
    this.#tables = tables;
  }

  async next(): Promise<SnapshotPart | undefined> {
    clearTimeout(this.#stall);
    if (this.#hasStalled) {
      const message = "The snapshot was not read for too long.";
      throw new SqpError("deadline_exceeded", { message });
    }
    this.#isReading = true;
    const timer = setTimeout(() => this.#connection?.destroy(), this.#host.readMsMax);
    try {
      return await this.#next();
    } finally {
      clearTimeout(timer);
      this.#isReading = false;
      if (this.#isOver) this.close();
      else this.#stall = setTimeout(() => this.#onStall(), this.#host.stallMsMax);
    }
  }

  #onStall(): void {
    this.#hasStalled = true;
    this.close();
  }

  async #next(): Promise<SnapshotPart | undefined> {
    if (this.#isOver) return undefined;
    if (this.#connection === undefined) return await this.#begin();
    if (this.#table < 0) await this.#open(0);
    const rows = await this.#connection.values(`FETCH ${this.#batchRows} FROM sqp_snapshot`);
    if (rows.length > 0) {
      const characters = rows.reduce((sum, [text]) => sum + text!.length, 0);
      const fitting = Math.floor(BATCH_CHARACTERS * rows.length / characters);
      this.#batchRows = Math.min(BATCH_ROWS_MAX, Math.max(1, fitting));
      return { parts: [this.#page(rows)] };
    }
    if (this.#table + 1 < this.#tables.length) {
      await this.#connection.values("CLOSE sqp_snapshot");
      await this.#open(this.#table + 1);
      return { parts: [] };
    }
    await this.#connection.values("COMMIT");
    this.#isOver = true;
    return undefined;
  }

  async #begin(): Promise<SnapshotPart> {
    const connection = await borrow(this.#host.pool);
    this.#connection = connection;
    const names = this.#tables.map(({ watched }) => watched.name);
    const place = await this.#host.capture().beginSnapshot(connection, names);
    // Until the end no table gets another shape.
    const watched = await connection.values(
      "SELECT table_name, shape FROM sqp_feeds.watched WHERE shape = sqp_feeds.shape(relid)",
    );
    const shapes = new Map(watched.map(([name, shape]) => [name, shape]));
    const other = this.#tables.find(({ watched: { name, shape } }) => shapes.get(name) !== shape);
    return {
      head: { ...place, otherTable: other?.watched.name },
      parts: [],
    };
  }

  async #open(table: number): Promise<void> {
    this.#table = table;
    this.#batchRows = BATCH_ROWS_FIRST;
    const { name } = this.#tables[table]!.watched;
    // The rows of tables that inherit from it are told by feeds of those.
    await this.#connection!.values(
      `DECLARE sqp_snapshot CURSOR FOR SELECT sqp_row::text FROM ONLY ${name} AS sqp_row`,
    );
  }

  #page(rows: readonly (readonly (string | null)[])[]): Uint8Array {
    const { watched, filter } = this.#tables[this.#table]!;
    const shape = this.#host.shapes.of(watched.shape);
    const parts: Uint8Array[] = [];
    let changes: Uint8Array[] = [];
    let bytes = 0;
    const take = () => {
      const kept = filterChanges({ count: changes.length, bytes: concatBytes(...changes) }, filter);
      if (kept.count > 0) parts.push(encodeChanges(this.#table, kept.count, kept.bytes));
      [changes, bytes] = [[], 0];
    };
    for (const [text] of rows) {
      const writer = new ValueWriter(256);
      appendChange(writer, null, readRow(text!, shape)!, shape.kinds);
      if (writer.length > CHANGE_BYTES_MAX) throw new SqpError("row_too_large");
      if (bytes + writer.length > PAGE_BYTES) take();
      changes.push(writer.view());
      bytes += writer.length;
    }
    take();
    return concatBytes(...parts);
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#stall);
    if (this.#isReading || this.#connection === undefined) return;
    const connection = this.#connection;
    this.#connection = undefined;
    // With its transaction open, it is not lent again.
    this.#host.pool.release(connection, performance.now());
  }
}
