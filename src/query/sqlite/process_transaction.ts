// A client's transaction in an engine process: its commands run in order, each when the one before it has ended.

import { SqpError } from "../../wire/errors.ts";
import type { SqliteConnection } from "./connection.ts";
import { type Message, MessageKind, type MessageWriter } from "./ipc.ts";
import { ControlKind, readBatch, readControl, readExecute, readPrepare } from "./ipc_requests.ts";
import {
  isWrite,
  type OpenCommand,
  type RunningStatement,
  type StepOutcome,
} from "./running_statement.ts";
import type { StatementRunner } from "./statement_runner.ts";

/** What a transaction needs of the loop that it is part of. */
export interface TransactionHost {
  readonly out: MessageWriter;
  readonly runner: StatementRunner;
  announce(id: number): void;
  flush(): void;
  step(command: OpenCommand): StepOutcome;
  fail(id: number, error: unknown): void;
}

/** The transaction that is open on a connection. */
export class ProcessTransaction {
  readonly number: number;
  readonly #host: TransactionHost;
  readonly #connection: SqliteConnection;
  readonly #queue: Message[] = [];
  /** Pages that were asked for of commands that wait. */
  readonly #credits = new Map<number, number>();
  readonly #cancelled = new Set<number>();
  #current: OpenCommand | undefined;
  /** A command failed, and no rollback to a savepoint has made that good. */
  #hasFailed = false;
  #isOver = false;

  constructor(host: TransactionHost, connection: SqliteConnection, number: number) {
    this.#host = host;
    this.#connection = connection;
    this.number = number;
  }

  /** Whether it was committed or rolled back. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Takes a command. */
  add(message: Message): void {
    this.#queue.push(message);
  }

  /** More pages of a command are wanted. */
  pull(id: number, pages: number): void {
    if (this.#current?.id === id) this.#current.credit += pages;
    else this.#credits.set(id, (this.#credits.get(id) ?? 0) + pages);
  }

  /** Ends a command, and with it the good of the transaction. Returns whether it is one of this transaction. */
  cancel(id: number): boolean {
    if (this.#current?.id === id) {
      this.#current.running.close();
      this.#current = undefined;
      this.#hasFailed = true;
      this.#host.out.bare(MessageKind.CLOSED, id);
      return true;
    }
    if (!this.#queue.some((message) => message.id === id)) return false;
    this.#cancelled.add(id);
    return true;
  }

  /** Runs commands as far as there is credit for their rows. */
  run(): void {
    while (!this.#isOver) {
      if (this.#current === undefined) {
        const message = this.#queue.shift();
        if (message === undefined) return;
        this.#start(message);
      } else if (this.#current.credit === 0) return;
      else this.#step(this.#current);
    }
  }

  #step(command: OpenCommand): void {
    if (!isWrite(command.running)) this.#host.announce(command.id);
    const outcome = this.#host.step(command);
    if (outcome === "more") return this.#host.flush();
    this.#current = undefined;
    if (outcome === "failed") this.#hasFailed = true;
  }

  #start(message: Message): void {
    const { id, kind } = message;
    const credit = 1 + (this.#credits.get(id) ?? 0);
    this.#credits.delete(id);
    if (this.#cancelled.delete(id)) {
      this.#hasFailed = true;
      return this.#host.out.bare(MessageKind.CLOSED, id);
    }
    try {
      if (kind === MessageKind.CONTROL) return this.#control(message);
      this.#check();
      if (kind === MessageKind.PREPARE) return this.#describe(message);
      this.#host.announce(id);
      const running = this.#startStatement(message);
      this.#current = { id, running, credit, headSent: false };
      if (isWrite(running)) running.execute();
    } catch (error) {
      this.#hasFailed = true;
      this.#host.fail(id, error);
    }
  }

  #startStatement({ kind, body }: Message): RunningStatement {
    const { runner } = this.#host;
    if (kind === MessageKind.BATCH) {
      return runner.startBatchIn(this.#connection, readBatch(body).steps);
    }
    const running = runner.startIn(this.#connection, readExecute(body));
    if (running.kind === "handOff") throw readOnly();
    return running;
  }

  #describe({ id, body }: Message): void {
    this.#host.announce(id);
    const description = this.#host.runner.describe(readPrepare(body), this.#connection);
    if ("kind" in description) throw readOnly();
    this.#host.out.description(id, description);
  }

  /** Throws {@linkcode SqpError} where no command may run any more. */
  #check(): void {
    // Some errors, and INSERT OR ROLLBACK, undo the whole transaction.
    if (!this.#connection.inTransaction) throw new SqpError("transaction_rolled_back");
    if (this.#hasFailed) throw new SqpError("transaction_failed");
  }

  #control({ id, body }: Message): void {
    const { kind, savepoint } = readControl(body);
    const connection = this.#connection;
    const name = `sqp_${savepoint}` as const;
    switch (kind) {
      case ControlKind.COMMIT:
        this.#commit(id);
        break;
      case ControlKind.ROLLBACK:
        this.#isOver = true;
        connection.rollback();
        break;
      case ControlKind.SAVEPOINT:
        this.#check();
        connection.savepoint(name);
        break;
      case ControlKind.RELEASE:
        this.#check();
        named(() => connection.release(name));
        break;
      case ControlKind.ROLLBACK_TO:
        if (!connection.inTransaction) this.#check();
        named(() => connection.rollbackTo(name));
        this.#hasFailed = false;
        break;
      default:
        throw new SqpError("bad_request", { message: "The transaction was begun before." });
    }
    this.#host.out.bare(MessageKind.DONE, id);
  }

  #commit(id: number): void {
    this.#isOver = true;
    try {
      this.#check();
    } catch (error) {
      this.#connection.rollback();
      throw error;
    }
    this.#host.out.bare(MessageKind.RUNNING, id);
    this.#host.out.bare(MessageKind.BEGUN, id);
    this.#host.flush();
    this.#connection.commit();
  }

  /** The process ends. */
  close(): void {
    this.#current?.running.close();
  }
}

/** SQLite has no code of its own for a savepoint that it does not know. */
function named(step: () => void): void {
  try {
    step();
  } catch (error) {
    const isUnknown = error instanceof SqpError && error.message.startsWith("no such savepoint");
    throw isUnknown ? new SqpError("unknown_savepoint", { cause: error }) : error;
  }
}

function readOnly(): SqpError {
  return new SqpError("permission_denied", { message: "The transaction only reads." });
}
