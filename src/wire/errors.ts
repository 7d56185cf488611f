// The one error type that every layer hands to its caller, and that travels as an Error payload.

import { errorEntry, type ErrorName, type RetryAdvice } from "./error_codes.ts";

/** What the engine itself said. */
export interface EngineError {
  /** The engine's own code: SQLite's extended result code, PostgreSQL's SQLSTATE. */
  readonly code: number | string;
  /** The engine's name of the code, such as `SQLITE_CONSTRAINT_UNIQUE`. */
  readonly name?: string;
}

/** An error as it travels, in a message of type Error and in a StreamEnd. */
export interface ErrorPayload {
  /** The stable number, 16 bits. */
  readonly code: number;
  /** The stable name of the number. */
  readonly name: string;
  /** The text for a person. */
  readonly message: string;
  /** Whether and how a retry makes sense. */
  readonly retry: RetryAdvice;
  /** How long to wait before a retry, in milliseconds. */
  readonly afterMs?: number;
  /** What the engine itself said, where it was asked. */
  readonly engine?: EngineError;
  /** The step of a batch that failed, counted from 0. */
  readonly step?: number;
}

/** Parts of an {@linkcode SqpError} that differ from the table of errors. */
export interface SqpErrorOptions {
  /** The text for a person, instead of the table's. */
  readonly message?: string;
  /** The retry advice, instead of the table's. */
  readonly retry?: RetryAdvice;
  /** How long to wait before a retry, in milliseconds. */
  readonly afterMs?: number;
  /** What the engine itself said, where it was asked. */
  readonly engine?: EngineError;
  /** The step of a batch that failed, counted from 0. */
  readonly step?: number;
  /** The local error behind this one; it does not travel. */
  readonly cause?: unknown;
}

/** A failure with a stable number, a name, a text for a person and advice whether to try again. */
export class SqpError extends Error {
  /** Always `SqpError`. */
  override readonly name = "SqpError";
  /** The stable number (PROTOCOL.md, "Error numbers"); one that this version does not know survives. */
  readonly code: number;
  /** The stable name of the number, such as `permission_denied`. */
  readonly codeName: string;
  /** Whether and how a retry makes sense. */
  readonly retry: RetryAdvice;
  /** How long to wait before a retry, in milliseconds. */
  readonly afterMs?: number;
  /** What the engine itself said, where it was asked. */
  readonly engine?: EngineError;
  /** The step of a batch that failed, counted from 0. */
  readonly step?: number;

  /** An error of the table by its name, or one that came from the peer as its payload says. */
  constructor(error: ErrorName | ErrorPayload, options: SqpErrorOptions = {}) {
    const parts = typeof error === "string" ? fromTable(error, options) : error;
    super(parts.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = parts.code;
    this.codeName = parts.name;
    this.retry = parts.retry;
    if (parts.afterMs !== undefined) this.afterMs = parts.afterMs;
    if (parts.engine !== undefined) this.engine = parts.engine;
    if (parts.step !== undefined) this.step = parts.step;
  }

  /** What of this error travels. */
  toPayload(): ErrorPayload {
    const { code, codeName, message, retry, afterMs, engine, step } = this;
    return {
      code,
      name: codeName,
      message,
      retry,
      ...(afterMs !== undefined && { afterMs }),
      ...(engine !== undefined && { engine }),
      ...(step !== undefined && { step }),
    };
  }
}

function fromTable(name: ErrorName, options: SqpErrorOptions): ErrorPayload {
  const { code, text, retry } = errorEntry(name);
  const { afterMs, engine, step } = options;
  return {
    code,
    name,
    message: options.message ?? text,
    retry: options.retry ?? retry,
    ...(afterMs !== undefined && { afterMs }),
    ...(engine !== undefined && { engine }),
    ...(step !== undefined && { step }),
  };
}
