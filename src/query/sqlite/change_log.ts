// The log of changes: a table of the database itself, written in the transaction whose changes it tells, so that both
// are committed or neither is.
//
// A transaction is one or more rows in a row, the last of which `ends` it. Their ids are consecutive, in the order of
// commits, and the last row is never removed: a reader that finds the row of its cursor has missed nothing.

import type { LogHead, WatchedSince } from "../feed_backend.ts";
import type { NodeDatabase, NodeStatement } from "./node_sqlite.ts";

/** Why a feed of a table cannot go on after a transaction. */
export type LogResetReason = "schema_changed" | "transaction_too_large" | "null_key";

/** A row of the log, before it is numbered. */
export interface LogEntry {
  /** `null` for the first row of a log. */
  readonly table: string | null;
  /** 0 where `body` is a {@linkcode LogResetReason}. */
  readonly changeCount: number;
  /** Changes as `appendChange` writes them. */
  readonly body: Uint8Array;
}

/** A table whose changes are kept. */
interface Watched extends WatchedSince {
  /** Its shape when that was last looked at. */
  readonly shape: string;
}

const SCHEMA = [
  `CREATE TABLE sqp_changes (
    id INTEGER PRIMARY KEY,
    ends INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    table_name TEXT,
    change_count INTEGER NOT NULL,
    body BLOB NOT NULL
  )`,
  `CREATE TABLE sqp_watched (
    table_name TEXT PRIMARY KEY,
    shape TEXT NOT NULL,
    since_id INTEGER NOT NULL,
    shape_since_id INTEGER NOT NULL
  ) WITHOUT ROWID`,
  "CREATE TABLE sqp_log (log_id TEXT NOT NULL)",
];

const APPEND = `INSERT INTO sqp_changes (ends, at_ms, total_bytes, table_name, change_count, body)
  VALUES (?1, ?2, ?6 + (SELECT total_bytes FROM sqp_changes ORDER BY id DESC LIMIT 1), ?3, ?4, ?5)`;

const OLDEST = `SELECT id, at_ms, total_bytes FROM sqp_changes
  WHERE id < (SELECT max(id) FROM sqp_changes) ORDER BY id LIMIT ?`;

/** Bytes that a row of the log takes beside its body, about. */
const ENTRY_BYTES = 40;

/** How many rows are appended between two looks at what is too old, and how many are removed then at most. */
const PRUNE_EVERY = 64;
const PRUNE_ROWS_MAX = 256;

/** How long changes are kept. */
export interface ChangeRetention {
  readonly changesMsMax: number;
  readonly changesBytesMax: number;
}

const utf8 = new TextEncoder();

/** The entry that says that feeds of a table end here. */
export function resetEntry(table: string, reason: LogResetReason): LogEntry {
  return { table, changeCount: 0, body: utf8.encode(reason) };
}

/** The log as one writing connection sees it. Every method is called inside a write transaction. */
export class ChangeLog {
  readonly #database: NodeDatabase;
  readonly #retention: ChangeRetention;
  readonly #statements = new Map<string, NodeStatement>();
  #appendedSincePrune = 0;

  constructor(database: NodeDatabase, retention: ChangeRetention) {
    this.#database = database;
    this.#retention = retention;
  }

  #prepared(sql: string): NodeStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Whether there is a log: from the first subscription on. */
  exists(): boolean {
    const found = this.#prepared("SELECT 1 FROM sqlite_schema WHERE name = 'sqp_watched'").get();
    return found !== undefined;
  }

  /** Makes the log. */
  create(nowMs: number): void {
    for (const sql of SCHEMA) this.#database.prepare(sql).run();
    this.#database.prepare("INSERT INTO sqp_log VALUES (?)").run(crypto.randomUUID());
    this.#database.prepare("INSERT INTO sqp_changes VALUES (1, 1, ?, 0, NULL, 0, x'')")
      .run(BigInt(nowMs));
  }

  /** The tables whose changes are kept. */
  watched(): Map<string, Watched> {
    const rows = this.#prepared(
      "SELECT table_name, shape, since_id, shape_since_id FROM sqp_watched",
    ).all();
    return new Map(rows.map(([name, shape, sinceId, shapeSinceId]) => [
      name as string,
      { shape: shape as string, sinceId: Number(sinceId), shapeSinceId: Number(shapeSinceId) },
    ]));
  }

  /** Keeps the changes of a table from now on, or keeps them on in another shape. */
  watch(table: string, shape: string): WatchedSince {
    const row = this.#prepared(
      `INSERT INTO sqp_watched SELECT ?, ?, max(id), max(id) FROM sqp_changes WHERE true
       ON CONFLICT DO UPDATE SET shape = excluded.shape, shape_since_id = excluded.shape_since_id
       RETURNING since_id, shape_since_id`,
    ).get(table, shape)!;
    return { sinceId: Number(row[0]), shapeSinceId: Number(row[1]) };
  }

  /** No longer keeps the changes of a table. */
  unwatch(table: string): void {
    this.#prepared("DELETE FROM sqp_watched WHERE table_name = ?").run(table);
  }

  /** Which log this is and where it ends. */
  head(): LogHead {
    const [logId, id, atMs] = this.#prepared(
      `SELECT (SELECT log_id FROM sqp_log), id, at_ms FROM sqp_changes ORDER BY id DESC LIMIT 1`,
    ).get() as [string, bigint, bigint];
    return { logId, headId: Number(id), headAtMs: Number(atMs) };
  }

  /** Appends a transaction. */
  append(entries: readonly LogEntry[], nowMs: number): void {
    const statement = this.#prepared(APPEND);
    entries.forEach(({ table, changeCount, body }, index) => {
      const ends = index === entries.length - 1 ? 1n : 0n;
      const sizeBytes = BigInt(body.length + ENTRY_BYTES);
      statement.run(ends, BigInt(nowMs), table, BigInt(changeCount), body, sizeBytes);
    });
    this.#appendedSincePrune += entries.length;
    if (this.#appendedSincePrune >= PRUNE_EVERY) this.#prune(nowMs);
  }

  /** Removes rows that are too old or too many, a part at a time: more than are appended meanwhile. */
  #prune(nowMs: number): void {
    this.#appendedSincePrune = 0;
    const { changesMsMax, changesBytesMax } = this.#retention;
    const [last] = this.#prepared(
      "SELECT total_bytes FROM sqp_changes ORDER BY id DESC LIMIT 1",
    ).get() as [bigint];
    const bytesFrom = Number(last) - changesBytesMax;
    let end: bigint | undefined;
    for (const row of this.#prepared(OLDEST).all(BigInt(PRUNE_ROWS_MAX))) {
      const [id, atMs, totalBytes] = row as [bigint, bigint, bigint];
      if (Number(atMs) >= nowMs - changesMsMax && Number(totalBytes) > bytesFrom) break;
      end = id;
    }
    if (end !== undefined) this.#prepared("DELETE FROM sqp_changes WHERE id <= ?").run(end);
  }
}
