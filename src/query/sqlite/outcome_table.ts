// Outcomes of writes that must take effect once, by principal and idempotency key. They are stored in the transaction
// that writes: whoever finds one knows that the write is in the database, and whoever finds none that it is not.

import { equalBytes } from "../../base/bytes.ts";
import { SqpError } from "../../wire/errors.ts";
import type { SqliteConnection } from "./connection.ts";
import type { SqliteLimits } from "./settings.ts";

/** Whose command it is, and which. */
export interface OutcomeKey {
  readonly principal: string;
  readonly key: string;
  /** What the command does, by `commandHash`. */
  readonly hash: Uint8Array;
}

const CREATE = `
  CREATE TABLE IF NOT EXISTS main.sqp_outcomes (
    id INTEGER PRIMARY KEY,
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    hash BLOB NOT NULL,
    outcome BLOB NOT NULL,
    stored_at_ms INTEGER NOT NULL,
    UNIQUE (principal, key)
  )`;
const FIND = "SELECT hash, outcome FROM main.sqp_outcomes WHERE principal = ? AND key = ?";
const STORE = `
  INSERT INTO main.sqp_outcomes (principal, key, hash, outcome, stored_at_ms)
  VALUES (?, ?, ?, ?, ?)`;
/** Ids rise with time. Each write removes more than it adds, and never much. */
const EXPIRE = `
  DELETE FROM main.sqp_outcomes
  WHERE id < (SELECT min(id) FROM main.sqp_outcomes) + 4 AND stored_at_ms < ?`;

/**
 * The stored outcome of a command, `undefined` where it has none. Throws {@linkcode SqpError}, among them
 * `idempotency_mismatch`.
 */
export function findOutcome(
  connection: SqliteConnection,
  { principal, key, hash }: OutcomeKey,
): Uint8Array | undefined {
  connection.own(CREATE);
  const found = connection.own(FIND, principal, key) as [Uint8Array, Uint8Array] | undefined;
  if (found === undefined) return undefined;
  if (!equalBytes(found[0], hash)) throw new SqpError("idempotency_mismatch");
  return found[1];
}

/** Stores an outcome, and removes some that have been kept for long enough. Throws {@linkcode SqpError}. */
export function storeOutcome(
  connection: SqliteConnection,
  { principal, key, hash }: OutcomeKey,
  outcome: Uint8Array,
  limits: SqliteLimits,
): void {
  if (outcome.length > limits.outcomeBytesMax) {
    throw new SqpError("result_too_large", {
      message: `The outcome to be stored is larger than ${limits.outcomeBytesMax} bytes.`,
    });
  }
  const nowMs = Date.now();
  connection.own(EXPIRE, BigInt(nowMs - limits.outcomesMsMax));
  connection.own(STORE, principal, key, hash, outcome, BigInt(nowMs));
}
