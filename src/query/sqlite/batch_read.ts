// A batch on a connection that only reads: if no step writes, all of them see one state of the database, and the
// writer has no work with it.

import type { BatchStatement } from "../engine.ts";
import { type BatchHost, runSteps } from "./batch_write.ts";
import type { SqliteConnection } from "./connection.ts";
import type { ResultPart, RunningStatement } from "./running_statement.ts";

/** A batch of which nobody knows yet whether it writes. */
export class BatchRead implements RunningStatement {
  readonly kind = "running";
  readonly columns = undefined;
  readonly short = false;
  readonly #connection: SqliteConnection;
  readonly #steps: readonly BatchStatement[];
  readonly #host: BatchHost;

  constructor(connection: SqliteConnection, steps: readonly BatchStatement[], host: BatchHost) {
    this.#connection = connection;
    this.#steps = steps;
    this.#host = host;
  }

  /** Throws `HandOffError` at the first step that writes. */
  next(): ResultPart {
    this.#connection.beginRead();
    try {
      return { payload: runSteps(this.#connection, this.#steps, this.#host) };
    } finally {
      this.#connection.rollback();
    }
  }

  close(): void {}
}
