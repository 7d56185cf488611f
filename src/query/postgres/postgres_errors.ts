// PostgreSQL's SQLSTATEs, and which error of SQP each is.

import type { ErrorName, RetryAdvice } from "../../wire/error_codes.ts";
import { SqpError } from "../../wire/errors.ts";

/** Codes in their order, each with its name and the error of SQP that it is (PostgreSQL, appendix A). */
const CODES: readonly (readonly [string, string, ErrorName, RetryAdvice?])[] = [
  ["0A000", "feature_not_supported", "statement_not_allowed"],
  // Said of a server behind this one, which may have committed what it was sent.
  ["08000", "connection_exception", "outcome_unknown"],
  ["08003", "connection_does_not_exist", "outcome_unknown"],
  ["08006", "connection_failure", "outcome_unknown"],
  ["08007", "transaction_resolution_unknown", "outcome_unknown"],
  ["08P01", "protocol_violation", "parameter_count"],
  ["22003", "numeric_value_out_of_range", "value_error"],
  ["22021", "character_not_in_repertoire", "parameter_range"],
  ["22P02", "invalid_text_representation", "parameter_range"],
  ["23502", "not_null_violation", "constraint_not_null"],
  ["23503", "foreign_key_violation", "constraint_foreign_key"],
  ["23505", "unique_violation", "constraint_unique"],
  ["23514", "check_violation", "constraint_check"],
  ["23P01", "exclusion_violation", "constraint"],
  ["25006", "read_only_sql_transaction", "permission_denied"],
  ["25P02", "in_failed_sql_transaction", "transaction_failed"],
  ["25P03", "idle_in_transaction_session_timeout", "transaction_idle"],
  ["26000", "invalid_sql_statement_name", "statement_not_allowed"],
  ["28000", "invalid_authorization_specification", "permission_denied"],
  ["28P01", "invalid_password", "permission_denied"],
  ["3D000", "invalid_catalog_name", "bad_configuration"],
  ["3F000", "invalid_schema_name", "unknown_table"],
  ["3B001", "invalid_savepoint_specification", "unknown_savepoint"],
  ["40001", "serialization_failure", "serialization_failure"],
  ["40003", "statement_completion_unknown", "outcome_unknown"],
  ["40P01", "deadlock_detected", "serialization_failure"],
  ["42501", "insufficient_privilege", "permission_denied"],
  ["42601", "syntax_error", "syntax"],
  ["42703", "undefined_column", "unknown_column"],
  ["42804", "datatype_mismatch", "constraint_type"],
  ["42883", "undefined_function", "syntax"],
  ["42P01", "undefined_table", "unknown_table"],
  ["42P02", "undefined_parameter", "parameter_count"],
  ["42P18", "indeterminate_datatype", "parameter_type"],
  ["53100", "disk_full", "database_full"],
  ["53200", "out_of_memory", "engine_limit"],
  ["53300", "too_many_connections", "overloaded"],
  ["55P03", "lock_not_available", "database_busy"],
  ["57014", "query_canceled", "deadline_exceeded"],
  ["57P01", "admin_shutdown", "engine_not_run"],
  ["57P02", "crash_shutdown", "outcome_unknown"],
  ["57P03", "cannot_connect_now", "engine_not_run", "later"],
];

/** Classes, the first two characters of a code, for the codes that do not stand above. */
const CLASSES: readonly (readonly [string, ErrorName, RetryAdvice?])[] = [
  ["08", "engine_failure", "later"],
  ["21", "value_error"],
  ["22", "value_error"],
  ["23", "constraint"],
  ["25", "statement_not_allowed"],
  ["28", "permission_denied"],
  ["2F", "value_error"],
  ["38", "value_error"],
  ["39", "value_error"],
  ["40", "transaction_rolled_back"],
  ["42", "syntax"],
  ["44", "constraint_check"],
  ["53", "engine_limit", "later"],
  ["54", "engine_limit"],
  ["55", "database_busy"],
  ["57", "engine_not_run", "later"],
  ["58", "database_io"],
  ["P0", "value_error"],
  ["XX", "engine_failure"],
];

const BY_CODE = new Map(CODES.map(([code, name, error, retry]) => [code, { name, error, retry }]));
const BY_CLASS = new Map(CLASSES.map(([prefix, error, retry]) => [prefix, { error, retry }]));

/** Errors that are told apart by where in the server they arise, beside their code. */
const BY_ROUTINE: Readonly<Record<string, readonly [code: string, error: ErrorName]>> = {
  exec_parse_message: ["42601", "multiple_statements"],
  RevalidateCachedQuery: ["0A000", "database_schema_changed"],
};

function errorOfRoutine(error: unknown, code: string): ErrorName | undefined {
  const { routine } = error as { routine?: unknown };
  if (typeof routine !== "string" || !Object.hasOwn(BY_ROUTINE, routine)) return undefined;
  const [ofCode, name] = BY_ROUTINE[routine]!;
  return ofCode === code ? name : undefined;
}

/** The SQLSTATE of what the driver threw, `undefined` where it did not come from the server. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("severity" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The error of SQP for a code with which the server ended the connection. */
export function fromFatalCode(code: string, cause: unknown): SqpError {
  const message = `The server ended the connection (${code}).`;
  return fromPostgres(Object.assign(new Error(message, { cause }), { code, severity: "FATAL" }));
}

/** The error of SQP for what the server or the driver said. */
export function fromPostgres(error: unknown): SqpError {
  if (error instanceof SqpError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const code = sqlState(error);
  if (code === undefined) return new SqpError("engine_failure", { message: text, cause: error });
  const exact = BY_CODE.get(code);
  const { error: name, retry } = exact ?? BY_CLASS.get(code.slice(0, 2)) ??
    { error: "engine_failure" as const, retry: undefined };
  return new SqpError(errorOfRoutine(error, code) ?? name, {
    message: text,
    ...(retry !== undefined && { retry }),
    engine: exact === undefined ? { code } : { code, name: exact.name },
    cause: error,
  });
}
