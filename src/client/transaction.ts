// A transaction of a client.

import { SqpError } from "../wire/errors.ts";
import type { IsolationLevel, KnownCommand, TransactionStep } from "../wire/query_payload.ts";
import type { SqlParams } from "../wire/value.ts";
import type { CommandSource, RequestOptions, RequestTable, Result } from "./request_table.ts";
import type { RowStream } from "./row_stream.ts";
import {
  batchCommand,
  type BatchResult,
  type BatchStep,
  decodeBatch,
  executeCommand,
  type ExecuteOptions,
  PreparedStatement,
} from "./statements.ts";

/** How a transaction begins. */
export interface TransactionOptions extends Pick<RequestOptions, "urgency"> {
  /** It writes nothing, and sees one state of the database. */
  readonly readOnly?: boolean;
  /** The least that is asked for; the engine's own level by default. */
  readonly isolation?: IsolationLevel;
  /**
   * How often `Client.transaction` runs its function at most, where the server says that the same may succeed if it is
   * tried again at once, such as after a serialization failure. Default 1.
   */
  readonly attempts?: number;
}

/**
 * An open transaction. Its statements run in the order in which they are given; each may be given without waiting for
 * the one before, so that all of them take one round trip. A statement runs when the rows of the one before it were
 * taken. After a failure nothing more of it runs but a rollback: see {@linkcode Transaction.savepoint}.
 */
export class Transaction implements AsyncDisposable {
  readonly #requests: RequestTable;
  readonly #number: number;
  readonly #options: TransactionOptions;
  readonly #begun: Promise<void>;
  #nextStep = 0;
  #nextSavepoint = 1;
  #isOver = false;
  /** A command could not be sent. */
  #isIncomplete = false;

  /** See `Client.begin`. */
  constructor(requests: RequestTable, number: number, options: TransactionOptions) {
    this.#requests = requests;
    this.#number = number;
    this.#options = options;
    const { readOnly, isolation } = options;
    this.#begun = requests.ask(
      {
        command: () => ({
          cmd: "begin",
          transaction: number,
          ...(readOnly === true && { readOnly }),
          ...(isolation !== undefined && { isolation }),
        }),
      },
      this.#defaults,
      () => {},
    );
    // Whoever does not wait for it sees the failure in what follows.
    this.#begun.catch(() => {});
  }

  get #defaults(): RequestOptions {
    const { urgency } = this.#options;
    return urgency === undefined ? {} : { urgency };
  }

  /** Resolves when it has begun. Rejects with {@linkcode SqpError}. */
  get begun(): Promise<void> {
    return this.#begun;
  }

  /** Gives the next command its place. One that cannot be sent takes none, and nothing is committed without it. */
  #next(make: (at: TransactionStep) => KnownCommand): CommandSource {
    return {
      command: () => {
        if (this.#isOver) throw new SqpError("unknown_transaction");
        return make({ transaction: this.#number, step: this.#nextStep });
      },
      onSent: () => void this.#nextStep++,
      onUnsent: () => void (this.#isIncomplete = true),
    };
  }

  /** Runs one statement and gives its whole result. Throws {@linkcode SqpError}. */
  execute(
    sql: string | PreparedStatement,
    params: SqlParams = [],
    options: ExecuteOptions = {},
  ): Promise<Result> {
    return this.#requests.result(
      this.#next((at) => executeCommand(sourceOf(sql), params, options, at)),
      { ...this.#defaults, ...options },
    );
  }

  /** Runs one statement and gives its rows as they come. */
  stream(
    sql: string | PreparedStatement,
    params: SqlParams = [],
    options: ExecuteOptions = {},
  ): RowStream {
    return this.#requests.rows(
      this.#next((at) => executeCommand(sourceOf(sql), params, options, at)),
      { ...this.#defaults, ...options },
    );
  }

  /** Runs statements of which all take effect, or none does: see `Client.batch`. */
  batch(
    steps: readonly (string | BatchStep)[],
    options: RequestOptions = {},
  ): Promise<BatchResult[]> {
    return this.#requests.ask(
      this.#next((at) => batchCommand(steps, {}, at)),
      { ...this.#defaults, ...options },
      decodeBatch,
    );
  }

  /**
   * Runs a function whose statements are undone, and whose failure is made good, where it throws; the transaction goes
   * on after that. Throws what the function throws.
   */
  async savepoint<Outcome>(run: () => Promise<Outcome>): Promise<Outcome> {
    const savepoint = this.#nextSavepoint++;
    const made = this.#control((at) => ({ cmd: "savepoint", at, savepoint }));
    made.catch(() => {});
    let outcome: Outcome;
    try {
      outcome = await run();
    } catch (error) {
      await made;
      await this.#control((at) => ({ cmd: "rollback", at, savepoint }));
      throw error;
    }
    await this.#control((at) => ({ cmd: "release", at, savepoint }));
    return outcome;
  }

  /** Commits. Throws {@linkcode SqpError}: `transaction_failed` where a statement failed, and it is rolled back. */
  async commit(): Promise<void> {
    if (this.#isIncomplete && !this.#isOver) {
      await this.rollback();
      throw new SqpError("transaction_failed");
    }
    const committed = this.#control((at) => ({ cmd: "commit", at }));
    this.#isOver = true;
    committed.catch(() => {});
    // Why it could not begin says more than that nothing could be committed.
    await this.#begun;
    await committed;
  }

  /** Rolls back. Harmless when it is over. */
  async rollback(): Promise<void> {
    if (this.#isOver) return;
    const rolledBack = this.#control((at) => ({ cmd: "rollback", at }));
    this.#isOver = true;
    await rolledBack;
  }

  #control(make: (at: TransactionStep) => KnownCommand): Promise<void> {
    return this.#requests.ask(this.#next(make), this.#defaults, () => {});
  }

  /** Rolls back at the end of `await using`, where it was not committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback().catch(() => {});
  }
}

function sourceOf(sql: string | PreparedStatement): string | number {
  return typeof sql === "string" ? sql : sql.number;
}
