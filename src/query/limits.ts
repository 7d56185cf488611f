// The limits of what one session may have open in the query layer, with their defaults, in one table.

/** Limits of a session; sizes are bytes and times milliseconds. */
export const QUERY_LIMITS = {
  /** Bytes of one result that may wait between the engine and the transport. */
  streamBufferBytes: 256 * 1024,
  /** Statements that one session has prepared. More: `too_many_statements`. */
  statementsMax: 256,
  /** Characters of their texts in total. */
  statementCharactersMax: 1024 * 1024,
  /** Characters of the texts of a batch, those of prepared statements included. More: `message_too_large`. */
  batchCharactersMax: 2 * 1024 * 1024,
  /** Transactions that one session has open. More: `too_many_transactions`. */
  transactionsMax: 8,
  /** How far the number of a transaction may lie above the largest one used before. */
  transactionGapMax: 4_096,
  /** Steps of a transaction that wait for one before them. More: `too_many_requests`. */
  waitingStepsMax: 1_024,
  /** How long nothing of a transaction may run before it is rolled back: `transaction_idle`. */
  transactionIdleMs: 5_000,
  /** How long a transaction may be open in total: `transaction_too_long`. */
  transactionMsMax: 60_000,
} as const;

/** Limits that a test or a configuration may replace. */
export type QueryLimits = { readonly [Name in keyof typeof QUERY_LIMITS]: number };
