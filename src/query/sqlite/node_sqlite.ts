// The part of node:sqlite that is used here, with types that its own declarations lack.

import { DatabaseSync } from "node:sqlite";

/** What SQLite gives for a value and takes for a parameter: integers are `bigint`, floats `number`. */
export type SqliteValue = null | bigint | number | string | Uint8Array;

/** Options of a connection. */
export interface NodeDatabaseOptions {
  readonly readOnly?: boolean;
  readonly enableForeignKeyConstraints?: boolean;
  readonly allowExtension?: boolean;
  readonly enableDoubleQuotedStringLiterals?: boolean;
  readonly defensive?: boolean;
  /** Milliseconds that a statement waits for a lock. Ignored on a read-only connection. */
  readonly timeout?: number;
  readonly readBigInts?: boolean;
  readonly returnArrays?: boolean;
  readonly limits?: Readonly<Record<string, number>>;
}

/** Asked for each action that a statement would do; returns SQLITE_OK (0) or SQLITE_DENY (1). */
export type AuthorizerCallback = (
  action: number,
  argument1: string | null,
  argument2: string | null,
  database: string | null,
  trigger: string | null,
) => number;

/** A column of a prepared statement. */
export interface NodeColumn {
  readonly name: string;
  readonly type: string | null;
  /** Where it comes from: `null` for an expression. */
  readonly database: string | null;
  readonly table: string | null;
  readonly column: string | null;
}

/** A prepared statement whose rows are arrays. */
export interface NodeStatement {
  all(...params: unknown[]): SqliteValue[][];
  get(...params: unknown[]): SqliteValue[] | undefined;
  run(...params: unknown[]): { changes: bigint; lastInsertRowid: bigint };
  iterate(...params: unknown[]): IterableIterator<SqliteValue[]>;
  columns(): NodeColumn[];
  readonly sourceSQL: string;
  readonly expandedSQL: string;
}

/** Records what becomes of rows from its creation on, against the database as it is when it is asked. */
export interface NodeSession {
  /** What has changed, in the format of SQLite's session extension; empty for nothing. */
  changeset(): Uint8Array;
  close(): void;
}

/** A connection. */
export interface NodeDatabase {
  prepare(sql: string): NodeStatement;
  exec(sql: string): void;
  close(): void;
  setAuthorizer(callback: AuthorizerCallback | null): void;
  function(name: string, callback: () => unknown): void;
  /** Records one table, which need not exist yet. */
  createSession(options: { readonly table: string }): NodeSession;
  readonly isTransaction: boolean;
}

const Database = DatabaseSync as unknown as new (
  path: string,
  options: NodeDatabaseOptions,
) => NodeDatabase;

/** Opens a connection. Throws what node:sqlite throws. */
export function openDatabase(path: string, options: NodeDatabaseOptions): NodeDatabase {
  return new Database(path, options);
}

/** SQLite refuses a function's name of more than 255 bytes as misuse, without touching the connection's last error. */
const REFUSED_NAME = "x".repeat(256);
const NO_ERROR = "not an error";

/**
 * The text of the connection's last error, or `undefined` where its last call succeeded. This is how a stream proves
 * that it is whole:
 * `iterate()` ends in silence when a step fails (tried on Deno 2.9.6), but a call that SQLite refuses before it does
 * anything reports the
 * connection's last error as its own.
 */
export function lastErrorText(database: NodeDatabase): string | undefined {
  try {
    database.function(REFUSED_NAME, () => null);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text === NO_ERROR ? undefined : text;
  }
  return "the connection no longer tells its last error";
}
