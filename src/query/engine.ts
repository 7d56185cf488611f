// The engine interface: what runs commands, whichever database is behind it. It is asynchronous and lives outside the
// pure cores.

import type { SqpError } from "../wire/errors.ts";
import type { Column } from "../wire/response_payload.ts";

/** What a principal may do. The engine enforces the first three; the others belong to the session. */
export type Permission = "read" | "write" | "schema" | "subscribe" | "admin";

/** One statement to run. */
export interface ExecuteCommand {
  /** One statement; text after it is an error. */
  readonly sql: string;
  /** Encoded parameters as they came in the Query; the engine decodes them where it binds them. */
  readonly params: Uint8Array;
  /** What the principal may do. */
  readonly permissions: ReadonlySet<Permission>;
  /** For logs and, later, for outcomes that are kept by principal. */
  readonly principal: string;
  /** Milliseconds from now until the statement is ended; `undefined` for the engine's default. */
  readonly deadlineMs?: number;
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

/**
 * Takes a result. `onHead` comes first, unless `onError` comes instead; exactly one of `onEnd` and `onError` comes,
 * and comes last. None is
 * called from inside `execute`, `pull` or `cancel`.
 */
export interface ResultSink {
  /** The columns of the result, none for a statement without rows. */
  onHead(columns: readonly Column[]): void;
  /**
   * A page of rows as it stands in a stream, its length before it. With `last`, `onEnd` follows at once. The first
   * page holds at most
   * 16 KiB unless its one row is larger; it is the whole result where `last` is set.
   */
  onPage(page: Uint8Array, last: boolean): void;
  /** The command has run. */
  onEnd(end: ResultEnd): void;
  /** The command has failed, or nobody knows. */
  onError(error: SqpError): void;
}

/** A command under way. Both methods are harmless after its end. */
export interface Execution {
  /**
   * Asks for more pages. One page, and the end where nothing is left, comes unasked; the engine computes no more
   * than was asked for.
   */
  pull(pages: number): void;
  /** Ends the command. It still ends with one of `onEnd` and `onError`: a write may have been committed before. */
  cancel(): void;
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
  /** Runs a command. Never throws: every failure goes to the sink. */
  execute(command: ExecuteCommand, sink: ResultSink): Execution;
  /** What it is doing now. */
  status(): EngineStatus;
  /** Ends what runs with `shutting_down`, and releases every process, file and timer. */
  close(): Promise<void>;
}
