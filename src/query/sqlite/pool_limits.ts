// The limits of the SQLite engine's processes and queues with their defaults, in one table.

/** Limits of the pool with their defaults; times in milliseconds. */
export const POOL_LIMITS = {
  /** Processes that read and are always there. */
  readersMin: 2,
  /** Processes that read while others are stuck in long statements. */
  readersMax: 6,
  /** Transactions that only read, each of which has a reading process to itself; further ones wait. */
  readTransactionsMax: 4,
  /** Commands that wait for a process. More: `overloaded`. */
  queueMax: 1_024,
  /** Commands that one reading process is given before it has answered. */
  readerDepth: 32,
  /** Commands that the writing process is given before it has answered. */
  writerDepth: 64,
  /** A command without a deadline of its own: the longest time until its next page. */
  pageMsMax: 30_000,
  /** How long a result may wait for its reader. */
  stallMsMax: 60_000,
  /** How long a process may take to let go of a cancelled command before it is killed. */
  killAfterMs: 100,
  /** How long a process may be at a command that nobody waits for any more, before it is killed. */
  orphanMsMax: 1_000,
  /** The same where it has given part of a result besides, which would be lost with it. */
  orphanBesideResultMsMax: 10_000,
  /** After this time without a sign of life, what waits behind the running command of a process is given to another. */
  stuckMs: 25,
  /** How long a reading process beyond `readersMin` stays without work. */
  idleMs: 30_000,
  /** How often the times above are looked at. */
  tickMs: 10,
  /** The longest pause before a process that ended by itself is started again; it doubles from `tickMs`. */
  restartMsMax: 5_000,
  /** Ends in a row, with nothing answered in between, after which waiting commands fail instead of waiting on. */
  crashesMax: 6,
  /** Times that a read is run again because its process ended. */
  attemptsMax: 3,
  /** How long the writer may take to end when the engine is closed. */
  closeMs: 2_000,
} as const;

/** Pool limits that a configuration may replace. */
export type PoolLimits = { readonly [Name in keyof typeof POOL_LIMITS]: number };
