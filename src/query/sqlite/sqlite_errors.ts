// SQLite's result codes, and which error of SQP each is.

import type { ErrorName } from "../../wire/error_codes.ts";
import { SqpError } from "../../wire/errors.ts";

/**
 * SQLite's primary result codes in its order, each with the text that SQLite has for it and the error of SQP that
 * it is.
 */
const PRIMARY_CODES: readonly (readonly [number, string, string, ErrorName])[] = [
  [1, "SQLITE_ERROR", "SQL logic error", "value_error"],
  [2, "SQLITE_INTERNAL", "", "engine_failure"],
  [3, "SQLITE_PERM", "access permission denied", "database_io"],
  [4, "SQLITE_ABORT", "query aborted", "engine_failure"],
  [5, "SQLITE_BUSY", "database is locked", "database_busy"],
  [6, "SQLITE_LOCKED", "database table is locked", "database_busy"],
  [7, "SQLITE_NOMEM", "out of memory", "engine_limit"],
  [8, "SQLITE_READONLY", "attempt to write a readonly database", "database_read_only"],
  [9, "SQLITE_INTERRUPT", "interrupted", "cancelled"],
  [10, "SQLITE_IOERR", "disk I/O error", "database_io"],
  [11, "SQLITE_CORRUPT", "database disk image is malformed", "database_corrupt"],
  [12, "SQLITE_NOTFOUND", "unknown operation", "engine_failure"],
  [13, "SQLITE_FULL", "database or disk is full", "database_full"],
  [14, "SQLITE_CANTOPEN", "unable to open database file", "database_io"],
  [15, "SQLITE_PROTOCOL", "locking protocol", "database_busy"],
  [16, "SQLITE_EMPTY", "", "engine_failure"],
  [17, "SQLITE_SCHEMA", "database schema has changed", "database_schema_changed"],
  [18, "SQLITE_TOOBIG", "string or blob too big", "engine_limit"],
  [19, "SQLITE_CONSTRAINT", "constraint failed", "constraint"],
  [20, "SQLITE_MISMATCH", "datatype mismatch", "constraint_type"],
  [21, "SQLITE_MISUSE", "bad parameter or other API misuse", "engine_failure"],
  [22, "SQLITE_NOLFS", "large file support is disabled", "database_full"],
  [23, "SQLITE_AUTH", "authorization denied", "permission_denied"],
  [24, "SQLITE_FORMAT", "", "engine_failure"],
  [25, "SQLITE_RANGE", "column index out of range", "parameter_count"],
  [26, "SQLITE_NOTADB", "file is not a database", "not_a_database"],
];

/** Extended codes that are another error of SQP than their primary code. */
const EXTENDED_CODES: readonly (readonly [number, string, ErrorName])[] = [
  [275, "SQLITE_CONSTRAINT_CHECK", "constraint_check"],
  [531, "SQLITE_CONSTRAINT_COMMITHOOK", "constraint"],
  [787, "SQLITE_CONSTRAINT_FOREIGNKEY", "constraint_foreign_key"],
  [1043, "SQLITE_CONSTRAINT_FUNCTION", "constraint"],
  [1299, "SQLITE_CONSTRAINT_NOTNULL", "constraint_not_null"],
  [1555, "SQLITE_CONSTRAINT_PRIMARYKEY", "constraint_unique"],
  [1811, "SQLITE_CONSTRAINT_TRIGGER", "constraint"],
  [2067, "SQLITE_CONSTRAINT_UNIQUE", "constraint_unique"],
  [2323, "SQLITE_CONSTRAINT_VTAB", "constraint"],
  [2579, "SQLITE_CONSTRAINT_ROWID", "constraint_unique"],
  [2835, "SQLITE_CONSTRAINT_PINNED", "constraint"],
  [3091, "SQLITE_CONSTRAINT_DATATYPE", "constraint_type"],
];

const BY_CODE = new Map(PRIMARY_CODES.map(([code, name, , error]) => [code, { name, error }]));
const BY_EXTENDED = new Map(EXTENDED_CODES.map(([code, name, error]) => [code, { name, error }]));
const BY_TEXT = new Map(PRIMARY_CODES.map(([code, , text]) => [text, code]));

/** Where an error came from: SQLite's code 1 means a faulty text at preparation, and a faulty value afterwards. */
export type ErrorPhase = "open" | "prepare" | "step";

/** The extended result code of an error that node:sqlite threw, `undefined` for one that is not SQLite's. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}

/** The error of SQP for what node:sqlite threw. */
export function fromSqlite(error: unknown, phase: ErrorPhase): SqpError {
  if (error instanceof SqpError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = sqliteCode(error) ?? BY_TEXT.get(text);
  if (code === undefined) return new SqpError("engine_failure", { message: text, cause: error });
  return fromCode(code, text, phase);
}

/**
 * The error of SQP for the text of a step's error whose code is lost: SQLite's own texts tell it, any other is a
 * function's.
 */
export function fromStepText(text: string): SqpError {
  return fromCode(BY_TEXT.get(text) ?? 1, text, "step");
}

/** SQLITE_MISMATCH and SQLITE_CONSTRAINT_DATATYPE. */
const MAY_LEAVE_ROWS: ReadonlySet<unknown> = new Set([20, 3091]);

/**
 * Whether a statement that failed so may have left rows in the transaction that was open: with these errors SQLite
 * undoes a transaction of the statement's own, but not always the statement in another's (tried on 3.53.2: UPDATE of a
 * STRICT table, UPDATE OR REPLACE of a row id).
 */
export function mayLeaveRows({ engine }: SqpError): boolean {
  return MAY_LEAVE_ROWS.has(engine?.code);
}

function fromCode(code: number, text: string, phase: ErrorPhase): SqpError {
  const known = BY_EXTENDED.get(code) ?? BY_CODE.get(code & 0xff);
  const name = code === 1 ? logicError(text, phase) : known?.error;
  return new SqpError(name ?? "engine_failure", {
    message: text,
    engine: known === undefined ? { code } : { code, name: known.name },
  });
}

/** A statement is prepared anew, and fails as if for the first time, when it runs by another schema. */
function logicError(text: string, phase: ErrorPhase): ErrorName {
  if (text.startsWith("no such table: ")) return "unknown_table";
  if (text.startsWith("no such column: ") || text.includes(" has no column named ")) {
    return "unknown_column";
  }
  return phase === "prepare" ? "syntax" : "value_error";
}
