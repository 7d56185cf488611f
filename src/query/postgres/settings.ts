// The limits of the PostgreSQL engine with their defaults, in one table.

/** Limits of the engine. Sizes are bytes and times milliseconds. */
export const POSTGRES_LIMITS = {
  /** Connections of one login, and with it of one set of permissions. */
  connectionsMax: 16,
  /** Connections that transactions of clients may have of these; further ones wait. The rest is for single commands. */
  transactionsMax: 12,
  /** Commands that wait for a connection. More: `overloaded`. */
  queueMax: 1_024,
  /** How long opening a connection may take, its first answer included. */
  connectMs: 5_000,
  /** After a connection could not be opened, the pause before the next attempt; it doubles up to `retryMsMax`. */
  retryMs: 100,
  retryMsMax: 5_000,
  /** How long a connection stays without work before it is closed. */
  idleMs: 30_000,
  /** A command without a deadline of its own: the longest time until its next page. */
  pageMsMax: 30_000,
  /** How long a result may wait for its reader. */
  stallMsMax: 60_000,
  /** How long the server may take to let go of a cancelled statement before its connection is closed. */
  killAfterMs: 150,
  /** How much later than a command's deadline the server's own `statement_timeout` ends it. */
  statementTimeoutSlackMs: 500,
  /** How long an idle connection may take to end when the engine is closed. */
  closeMs: 1_000,
  /** How often the times above are looked at. */
  tickMs: 10,
  /** The largest message that is taken from the server. A row in text is at most some times its encoded size. */
  messageBytesMax: 8 * 1024 * 1024,
  /** The first page of a result, so that a small result fits its Response. */
  firstPageBytesMax: 16 * 1024,
  /** Time after which rows are sent although their page is not full. */
  sendMsMax: 50,
  /** Rows that a cursor is asked for at once. */
  batchRowsMax: 2_000,
  /** Statements that one connection keeps prepared; beyond, it is replaced. */
  preparedMax: 256,
  /** Texts of which the engine remembers how their last run went. */
  habitsMax: 1_024,
  /** A statement that was run within this time not long ago, the last time in one page, is asked without a cursor. */
  shortMsMax: 20,
  /**
   * Short queries of one principal that run together on one connection, at most; what such a one may take beyond the
   * quickest statement of all; and how often one that did not go well together is run by itself then.
   */
  togetherMax: 16,
  togetherMsMax: 4,
  apartRuns: 100,
  /** How long changes are kept for feeds that come back: seven days. */
  changesMsMax: 7 * 24 * 60 * 60 * 1000,
  /** Bytes of the changes that are kept; the oldest go first. */
  changesBytesMax: 256 * 1024 * 1024,
  /** How often changes that are too old or too much are removed. */
  pruneMs: 30_000,
  /** Connections that change feeds share, and as many more for their snapshots. */
  feedConnectionsMax: 4,
  /** What a transaction that is decoded may change. Larger: feeds of its tables end with `transaction_too_large`. */
  decodedBytesMax: 64 * 1024 * 1024,
  /** The largest message of the stream that is decoded: a row before and after. Larger ends the feeds of all tables. */
  decodedMessageBytesMax: 16 * 1024 * 1024,
  /** How long the decoder pauses before it tries again, where another one is at work or something fails. */
  decoderRetryMs: 500,
  /** How long making a replication slot may take; it waits for transactions that are under way. */
  slotMsMax: 30_000,
  /** How long it is waited until what was committed before is decoded: `database_busy`. */
  settleMsMax: 10_000,
  /** The outcome of a write with an idempotency key. Larger: `result_too_large`, and nothing is written. */
  outcomeBytesMax: 64 * 1024,
  /** How long such an outcome is kept, at least: seven days. */
  outcomesMsMax: 7 * 24 * 60 * 60 * 1000,
  /** How often outcomes that have been kept for longer are removed, while there are writes with keys. */
  expireMs: 10 * 60 * 1000,
  /** Times that a read, or a write with a key, is run in all where connections are lost. */
  attemptsMax: 3,
} as const;

/** Limits that a configuration may replace. */
export type PostgresLimits = { readonly [Name in keyof typeof POSTGRES_LIMITS]: number };
