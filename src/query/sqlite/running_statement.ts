// A command under way, whatever it does.

import type { SqpError } from "../../wire/errors.ts";
import type { Column } from "../../wire/response_payload.ts";
import type { ResultEnd } from "../engine.ts";
import type { SqliteConnection } from "./connection.ts";

/** The next part of an answer: a page, what follows the last one, or all of it in one. */
export interface ResultPart {
  readonly page?: Uint8Array;
  /** Set with or after the last page. */
  readonly end?: ResultEnd;
  /** The whole Response to a batch; then there is nothing else. */
  readonly payload?: Uint8Array;
}

/** A command that is prepared and has not run yet. */
export interface RunningStatement {
  readonly kind: "running";
  /** The columns of its rows, `undefined` for a batch. */
  readonly columns: readonly Column[] | undefined;
  /** It cannot run for long. */
  readonly short: boolean;
  /** It has a transaction of its own, and runs when it is taken: later, one of a client may be open. */
  readonly atOnce?: boolean;
  /**
   * Runs until the next page is full or the statement is at its end. Throws {@linkcode SqpError}; then it is
   * closed.
   */
  next(): ResultPart;
  /** Ends it early. Harmless after its end. */
  close(): void;
}

/** A command that was taken and not answered to its end. */
export interface OpenCommand {
  readonly id: number;
  readonly running: RunningStatement;
  /** Pages that were asked for and not given. */
  credit: number;
  headSent: boolean;
}

/** Where a command stands after it was run for a part. */
export type StepOutcome = "more" | "ended" | "failed";

/** A statement writes, and its connection only reads: it is for the writer. */
export class HandOffError extends Error {
  /** Which one of a batch. */
  step = 0;
}

/**
 * The error of a read; that it is to be handed off, where it turned out to write. What was prepared as DROP TABLE IF
 * EXISTS, when there was no such table, does.
 */
export function readError(connection: SqliteConnection, thrown: unknown): Error {
  const error = connection.errorOf(thrown);
  return error.codeName === "database_read_only" ? new HandOffError() : error;
}

/** A command that writes. It runs inside a transaction, its own or a client's, and tells nothing before it has. */
export interface Write extends RunningStatement {
  /** Where it runs. Only writes of one connection can be committed together. */
  readonly connection: SqliteConnection;
  /** Whether it has run. */
  readonly isDone: boolean;
  /** The error that it ended with. */
  readonly failure: SqpError | undefined;
  /** Runs inside the transaction that is open. Never throws: see {@linkcode Write.failure}. */
  execute(): void;
  /** Fails it, whatever came of it before. */
  fail(error: SqpError): void;
}

/** Whether a command writes. */
export function isWrite(running: RunningStatement): running is Write {
  return "execute" in running;
}

/** The end of a statement that changed nothing, its row count excepted. */
export const NO_WRITE = { changes: 0, lastInsertRowid: null } as const;
