// How SQLite is opened, and the limits of this engine with their defaults, in one table.

/** Limits of the SQLite engine. Sizes are bytes and times milliseconds. */
const SQLITE_LIMITS = {
  /** The largest text, blob or row that SQLite computes with. Larger: `engine_limit`. */
  valueBytesMax: 16 * 1024 * 1024,
  /** The same for reads in the serving thread, which is not to be long at one; an engine process reads larger rows. */
  inPlaceBytesMax: 64 * 1024,
  /** The longest SQL text. */
  sqlBytesMax: 1024 * 1024,
  /** Memory that SQLite may take in one process; its own error, `engine_limit`, comes beyond. */
  heapBytesMax: 256 * 1024 * 1024,
  /** How long a write waits for a lock that somebody outside SQP holds. */
  busyTimeoutMs: 2_000,
  /** Prepared statements that one connection keeps. */
  cachedStatementsMax: 256,
  /** Texts longer than this are not kept prepared. */
  cachedSqlCharactersMax: 16 * 1024,
  /**
   * Runs of one prepared statement before it is prepared anew: node:sqlite keeps some bytes of every `iterate()`
   * until then.
   */
  statementUsesMax: 10_000,
  /**
   * Rows that a write returns, encoded; they are held until the write is committed. Larger: `result_too_large`, and
   * nothing is written.
   */
  returningBytesMax: 4 * 1024 * 1024,
  /** The answer to a batch, which is one message. Larger: `result_too_large`, and nothing is written. */
  batchBytesMax: 1024 * 1024,
  /** The outcome of a write with an idempotency key. Larger: `result_too_large`, and nothing is written. */
  outcomeBytesMax: 64 * 1024,
  /** How long such an outcome is kept, at least: seven days. */
  outcomesMsMax: 7 * 24 * 60 * 60 * 1000,
  /** Connections that a reading process opens because results that are read slowly hold others. */
  connectionsMax: 64,
  /** The first page of a result, so that a small result fits its Response. */
  firstPageBytesMax: 16 * 1024,
  /** Time after which rows are sent although their page is not full. */
  pageMsMax: 50,
  /** How long changes are kept for feeds that come back: seven days. */
  changesMsMax: 7 * 24 * 60 * 60 * 1000,
  /** Bytes of the changes that are kept; the oldest go first. */
  changesBytesMax: 256 * 1024 * 1024,
  /** What one transaction may change of one table for feeds to be told; of more they are told that it was. */
  changesetBytesMax: 32 * 1024 * 1024,
} as const;

/** Limits that a test or a configuration may replace. */
export type SqliteLimits = { readonly [Name in keyof typeof SQLITE_LIMITS]: number };

/**
 * When a commit is on the disk. `full`: before it is acknowledged, so that a loss of power loses no acknowledged
 * write. `normal`: at the next
 * checkpoint; killing processes loses nothing, a loss of power may lose the last commits, never the consistency.
 */
export type Synchronous = "full" | "normal";

/** A database and how it is opened. */
export interface SqliteSettings {
  readonly path: string;
  readonly synchronous: Synchronous;
  readonly limits: SqliteLimits;
}

/** Settings with the defaults filled in. */
export function sqliteSettings(
  path: string,
  options: { synchronous?: Synchronous; limits?: Partial<SqliteLimits> } = {},
): SqliteSettings {
  return {
    path,
    synchronous: options.synchronous ?? "full",
    limits: { ...SQLITE_LIMITS, ...options.limits },
  };
}
