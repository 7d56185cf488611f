// A write that takes effect once for its principal and idempotency key.

import { SqpError } from "../../wire/errors.ts";
import { type Column, decodeResponse, encodeResponse } from "../../wire/response_payload.ts";
import { pageOf } from "../../wire/page_cutter.ts";
import { pageRowCount } from "../../wire/row_page.ts";
import { BatchWrite } from "./batch_write.ts";
import type { SqliteConnection } from "./connection.ts";
import { findOutcome, type OutcomeKey, storeOutcome } from "./outcome_table.ts";
import type { ResultPart, Write } from "./running_statement.ts";
import type { SqliteLimits } from "./settings.ts";
import { NO_HOOKS, runWriteGroup } from "./write_group.ts";
import type { WriteStatement } from "./write_statement.ts";

/** A write around another one: it is run where its outcome is not stored, and its outcome is stored with it. */
export class KeyedWrite implements Write {
  readonly kind = "running";
  readonly short = false;
  readonly #write: WriteStatement | BatchWrite;
  readonly #key: OutcomeKey;
  readonly #limits: SqliteLimits;
  #outcome: Uint8Array | SqpError | undefined;

  constructor(write: WriteStatement | BatchWrite, key: OutcomeKey, limits: SqliteLimits) {
    this.#write = write;
    this.#key = key;
    this.#limits = limits;
  }

  get connection(): SqliteConnection {
    return this.#write.connection;
  }

  /** Those of the stored outcome, once there is one: the schema may have changed since. */
  get columns(): readonly Column[] | undefined {
    if (this.#write instanceof BatchWrite || !(this.#outcome instanceof Uint8Array)) {
      return this.#write.columns;
    }
    return decodeResponse(this.#outcome).columns;
  }

  get isDone(): boolean {
    return this.#outcome !== undefined;
  }

  get failure(): SqpError | undefined {
    return this.#outcome instanceof SqpError ? this.#outcome : undefined;
  }

  execute(): void {
    const { connection } = this;
    try {
      connection.savepoint();
      this.#outcome = findOutcome(connection, this.#key) ?? this.#executeNow();
      connection.release();
    } catch (error) {
      const exact = connection.errorOf(error);
      connection.rollbackToSavepoint();
      this.fail(exact);
    }
  }

  #executeNow(): Uint8Array {
    const write = this.#write;
    write.execute();
    if (write.failure !== undefined) throw write.failure;
    const outcome = write instanceof BatchWrite
      ? write.next().payload!
      : encodeResponse({ kind: "page", ...write.result() });
    storeOutcome(this.connection, this.#key, outcome, this.#limits);
    return outcome;
  }

  fail(error: SqpError): void {
    this.#outcome = error;
  }

  next(): ResultPart {
    if (this.#outcome === undefined) runWriteGroup([this], NO_HOOKS);
    const outcome = this.#outcome!;
    if (outcome instanceof SqpError) throw outcome;
    return this.#write instanceof BatchWrite ? { payload: outcome } : resultOf(outcome);
  }

  close(): void {}
}

function resultOf(outcome: Uint8Array): ResultPart {
  const response = decodeResponse(outcome);
  if (response.kind === "stream") throw new SqpError("internal");
  const { page, changes, rowid } = response;
  const rowCount = pageRowCount(page);
  const end = {
    changes,
    lastInsertRowid: rowid === null ? null : BigInt(rowid),
    rowCount,
  };
  if (rowCount === 0) return { end };
  return { page: pageOf(page), end };
}
