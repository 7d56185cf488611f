// The engine interface: what runs commands, whichever database is behind it. It is asynchronous and lives outside the
// pure cores.

import type { BatchStep } from "../wire/batch_payload.ts";
import type { SqpError } from "../wire/errors.ts";
import type { FeedTable, FeedTableRequest } from "../wire/feed_payload.ts";
import type { IsolationLevel } from "../wire/query_payload.ts";
import type { Column, StatementDescription } from "../wire/response_payload.ts";

/** What a principal may do. The engine enforces the first three; the others belong to the session. */
export type Permission = "read" | "write" | "schema" | "subscribe" | "admin";

/** Who asks. */
export interface Caller {
  /** The name that the session gave; outcomes are stored by it. */
  readonly principal: string;
  /** What it may do. */
  readonly permissions: ReadonlySet<Permission>;
}

/** What every command may say. */
export interface CommandLimits {
  /** Milliseconds from now until the command is ended; `undefined` for the engine's default. */
  readonly deadlineMs?: number;
}

/** One statement to run. */
export interface ExecuteCommand extends CommandLimits {
  /** One statement; text after it is an error. */
  readonly sql: string;
  /** Encoded parameters as they came in the Query; the engine decodes them where it binds them. */
  readonly params: Uint8Array;
  /**
   * The write takes effect once for the caller's principal and this key; a later command with the same key and the same
   * content is answered with the outcome of the first, one with another content with `idempotency_mismatch`. Never in a
   * transaction.
   */
  readonly idempotencyKey?: string;
}

/** A statement of a batch, its prepared number replaced by its text. */
export interface BatchStatement extends BatchStep {
  readonly sql: string;
}

/** Statements of which all take effect, or none does. */
export interface BatchCommand extends CommandLimits {
  readonly steps: readonly BatchStatement[];
  /** As in {@linkcode ExecuteCommand}. */
  readonly idempotencyKey?: string;
}

/** A statement to check and describe. */
export interface PrepareCommand extends CommandLimits {
  readonly sql: string;
}

/** How a transaction begins. */
export interface BeginCommand extends CommandLimits {
  /** It writes nothing, and keeps nobody from writing where the engine can do that. */
  readonly readOnly: boolean;
  /** The least that is asked for; `undefined` for the engine's own. */
  readonly isolation?: IsolationLevel;
}

/**
 * Takes what comes of a command: exactly one of the two is called, once, and never from inside the call that started
 * or cancelled the command.
 */
export interface Reply<Outcome> {
  /** The command has run. */
  onEnd(outcome: Outcome): void;
  /** The command has failed, or nobody knows. */
  onError(error: SqpError): void;
}

/** How a statement ended. */
export interface ResultEnd {
  /** Rows inserted, updated or deleted; 0 for what is no write. */
  readonly changes: number;
  /** The row id of the last row that this statement inserted, `null` where it inserted none. */
  readonly lastInsertRowid: bigint | null;
  /** Rows of all pages: the proof that the result is whole. */
  readonly rowCount: number;
}

/** Takes a result. `onHead` comes first, unless `onError` comes instead; the end comes last. */
export interface ResultSink extends Reply<ResultEnd> {
  /** The columns of the result, none for a statement without rows. */
  onHead(columns: readonly Column[]): void;
  /**
   * A page of rows as it stands in a stream, its length before it. With `last`, `onEnd` follows at once. The first
   * page holds at most
   * 16 KiB unless its one row is larger; it is the whole result where `last` is set.
   */
  onPage(page: Uint8Array, last: boolean): void;
}

/** What came of a batch. */
export interface BatchOutcome {
  /** The whole Response, as `encodeBatchResponse` gives it. */
  readonly payload: Uint8Array;
}

/** A command under way. Harmless after its end. */
export interface RunningCommand {
  /** Ends the command. It still ends with one of its reply's calls: a write may have been committed before. */
  cancel(): void;
}

/** A statement under way. Both methods are harmless after its end. */
export interface Execution extends RunningCommand {
  /**
   * Asks for more pages. One page, and the end where nothing is left, comes unasked; the engine computes no more
   * than was asked for.
   */
  pull(pages: number): void;
}

/** Where statements run: a session, or a transaction of it. No method throws; every failure goes to the reply. */
export interface StatementScope {
  /** Runs one statement. */
  execute(command: ExecuteCommand, sink: ResultSink): Execution;
  /** Runs statements one after the other, all or none. In a transaction, none means as before the batch. */
  batch(command: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand;
  /** Describes a statement without running it. Its text may then be executed; the engine keeps no number for it. */
  prepare(command: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand;
}

/**
 * A transaction. Commands are run in the order in which they are given, also those that are given before the
 * transaction has begun; each runs when the one before it has ended. After a failure every later command fails with
 * `transaction_failed`, `commit` included, which then rolls back; `rollbackTo` a savepoint makes it good again. Once
 * the transaction is over, whatever ended it, every command that is left fails with the error that tells why.
 */
export interface EngineTransaction extends StatementScope {
  /** Makes a savepoint; the same number may be used again, as SQL says. */
  savepoint(savepoint: number, reply: Reply<void>): void;
  /** Forgets a savepoint and keeps what came after it. */
  release(savepoint: number, reply: Reply<void>): void;
  /** Undoes what came after a savepoint, which stays. */
  rollbackTo(savepoint: number, reply: Reply<void>): void;
  /** Commits. `outcome_unknown` where nobody knows whether it did. */
  commit(reply: Reply<void>): void;
  /** Rolls back. */
  rollback(reply: Reply<void>): void;
  /** Ends it at once, whatever runs: it is rolled back, what is left of it fails with this error. Harmless later. */
  abort(error: SqpError): void;
}

/** Tables whose changes are wanted. */
export interface SubscribeCommand {
  readonly tables: readonly FeedTableRequest[];
  /** The rows as they are come first. Never with `cursor`. */
  readonly snapshot: boolean;
  /** Where an earlier feed of these tables ended. */
  readonly cursor?: string;
}

/** What a feed tells when it is registered. */
export interface FeedStart {
  readonly tables: readonly FeedTable[];
  /** Where it begins; `undefined` where a snapshot's end tells. */
  readonly cursor?: string;
}

/** Takes a change feed. `onStart` comes first, unless `onError` comes instead; one of the last two comes last. */
export interface FeedSink {
  /** Every change from now on is told. */
  onStart(start: FeedStart): void;
  /** Pages of a feed as they stand in its stream, one or more. The first come unasked, more are pulled. */
  onPage(pages: Uint8Array): void;
  /** The feed cannot go on; its last page has told why. */
  onEnd(): void;
  /** The feed was cancelled, or has failed. */
  onError(error: SqpError): void;
}

/** What one client has in the engine. */
export interface EngineSession extends StatementScope {
  /** Tells changes as they are committed, whole transactions in the order of their commits, until it is cancelled. */
  subscribe(command: SubscribeCommand, sink: FeedSink): Execution;
  /** Begins a transaction; `reply` hears when it has begun. */
  begin(command: BeginCommand, reply: Reply<void>): EngineTransaction;
  /** The client is gone: its transactions are rolled back. What runs outside of them was cancelled before. */
  close(): void;
}

/** What an engine is doing. */
export interface EngineStatus {
  /** Its name, such as `sqlite`. */
  readonly engine: string;
  /** Commands that wait for their turn. */
  readonly queued: number;
  /** Commands under way, paused streams included. */
  readonly running: number;
  /** Processes or connections that are up. */
  readonly processes: number;
  /** Counts since the engine was opened. */
  readonly counters: Readonly<Record<string, number>>;
}

/** Runs commands on one database. */
export interface Engine {
  /** Opens a session for one caller. */
  open(caller: Caller): EngineSession;
  /** What it is doing now. */
  status(): EngineStatus;
  /** Ends what runs with `shutting_down`, and releases every process, file and timer. */
  close(): Promise<void>;
}
