// The numbers, names, texts and retry advice of every error (PROTOCOL.md, "Error numbers").

/** Whether and how a request that met an error may be tried again. */
export type RetryAdvice = "no" | "now" | "later" | "reconnect";

/** One row of the table of errors. */
export interface ErrorEntry {
  /** The stable number; a number is never given to another error. */
  readonly code: number;
  /** What a person reads where nothing more exact is known. */
  readonly text: string;
  /** Whether and how a retry makes sense. */
  readonly retry: RetryAdvice;
}

function row(code: number, retry: RetryAdvice, text: string): ErrorEntry {
  return { code, retry, text };
}

/**
 * Errors that travel in Error, StreamEnd and Termination's company, by name. 1xxx: the peer broke the protocol; 2xxx:
 * who it is and what it may; 3xxx: the request; 4xxx: limits; 5xxx: the engine; 6xxx: availability.
 */
export const WIRE_ERRORS = {
  protocol_violation: row(1000, "reconnect", "The protocol was broken."),
  malformed_packet: row(1001, "reconnect", "A packet could not be read."),
  malformed_payload: row(1002, "no", "A payload could not be read."),
  unknown_message_type: row(1003, "reconnect", "A message has an unknown type."),
  unexpected_message: row(
    1004,
    "reconnect",
    "A message is not allowed from this side or at this time.",
  ),
  bad_session_id: row(1005, "reconnect", "A frame names another session."),
  bad_request_id: row(1006, "reconnect", "A request id is 0 or too far ahead."),
  credit_exceeded: row(1007, "reconnect", "More bytes were sent than credit was given for."),
  fragment_mismatch: row(1008, "reconnect", "Fragments of one message contradict each other."),
  ack_of_unsent: row(1009, "reconnect", "A packet was acknowledged that was never sent."),
  bad_stream_id: row(1010, "reconnect", "A stream id is 0, used twice or of the wrong side."),
  stream_mismatch: row(1011, "reconnect", "Parts of one stream contradict each other."),
  no_common_version: row(1012, "no", "Client and server share no protocol version."),
  no_common_serialization: row(1013, "no", "Client and server share no serialization."),
  incomplete_result: row(1014, "no", "A result ended without proof that it is whole."),
  limit_exceeded: row(
    1015,
    "reconnect",
    "More requests, streams or gaps were opened than are allowed.",
  ),

  no_credential: row(2000, "no", "No credential was presented."),
  credential_kind_refused: row(2001, "no", "This kind of credential is not accepted here."),
  certificate_refused: row(2002, "no", "The certificate was refused."),
  token_malformed: row(2003, "no", "The token could not be read."),
  token_bad_signature: row(2004, "no", "The signature of the token is wrong."),
  token_unknown_key: row(2005, "no", "The key that signed the token is not known."),
  token_wrong_issuer: row(2006, "no", "The issuer of the token is not accepted."),
  token_wrong_audience: row(2007, "no", "The token is for another audience."),
  token_expired: row(2008, "reconnect", "The token has expired."),
  token_not_yet_valid: row(2009, "later", "The token is not valid yet."),
  token_not_bound: row(2010, "no", "The token is bound to a key that was not proved."),
  token_claim_refused: row(2011, "no", "A claim of the token is missing or not accepted."),
  permission_denied: row(2050, "no", "The principal may not do this."),

  bad_request: row(3000, "no", "The request is not valid."),
  unknown_command: row(3001, "no", "The command is not known."),
  syntax: row(3002, "no", "The SQL text has a syntax error."),
  empty_statement: row(3003, "no", "The SQL text holds no statement."),
  multiple_statements: row(3004, "no", "The SQL text holds more than one statement."),
  parameter_count: row(3005, "no", "The number of parameters is wrong."),
  parameter_name: row(3006, "no", "A parameter name is missing or not known."),
  parameter_type: row(3007, "no", "A parameter has a type that is not supported."),
  parameter_range: row(3008, "no", "A parameter is outside the range of its type."),
  text_not_unicode: row(3009, "no", "A text is not valid Unicode."),
  unknown_table: row(3010, "no", "A table does not exist."),
  unknown_column: row(3011, "no", "A column does not exist."),
  statement_not_allowed: row(3012, "no", "This statement is not allowed here."),
  unknown_statement: row(3013, "no", "The prepared statement is not known in this session."),
  unknown_savepoint: row(3014, "no", "The savepoint does not exist."),
  unknown_transaction: row(3015, "no", "The transaction is not open in this session."),
  transaction_failed: row(
    3016,
    "no",
    "An earlier command of the transaction failed; it can only be rolled back.",
  ),
  feed_not_supported: row(3018, "no", "The changes of a table cannot be told."),
  constraint: row(3020, "no", "A constraint was violated."),
  constraint_unique: row(3021, "no", "A unique or primary key constraint was violated."),
  constraint_not_null: row(3022, "no", "A NOT NULL constraint was violated."),
  constraint_check: row(3023, "no", "A CHECK constraint was violated."),
  constraint_foreign_key: row(3024, "no", "A foreign key constraint was violated."),
  constraint_type: row(3025, "no", "A value does not have the type of its column."),
  value_error: row(3030, "no", "A value could not be computed."),
  idempotency_mismatch: row(3040, "no", "The idempotency key was used for another command."),

  message_too_large: row(4000, "no", "A message is larger than the limit."),
  row_too_large: row(4001, "no", "A row is larger than the limit."),
  too_many_requests: row(4002, "later", "Too many requests are open."),
  too_many_sessions: row(4003, "later", "Too many sessions are open."),
  too_many_streams: row(4004, "later", "Too many streams are open."),
  too_many_columns: row(4005, "no", "The result has too many columns."),
  too_many_parameters: row(4006, "no", "The command has too many parameters."),
  too_many_statements: row(4007, "no", "Too many statements are prepared."),
  too_many_transactions: row(4008, "later", "Too many transactions are open."),
  result_too_large: row(4009, "no", "The result is larger than the limit; nothing took effect."),
  deadline_exceeded: row(
    4010,
    "no",
    "The deadline passed; whether a write took effect is not said.",
  ),
  cancelled: row(4011, "no", "The request was cancelled."),
  handshake_deadline: row(4012, "reconnect", "The handshake took too long."),
  transaction_idle: row(
    4013,
    "now",
    "The transaction was idle for too long and was rolled back.",
  ),
  transaction_too_long: row(
    4014,
    "now",
    "The transaction was open for too long and was rolled back.",
  ),
  engine_limit: row(4020, "no", "A limit of the engine was reached."),

  engine_failure: row(5000, "no", "The engine failed."),
  outcome_unknown: row(5001, "no", "The write had begun; whether it took effect is not known."),
  engine_not_run: row(5002, "now", "The engine stopped before it began the request."),
  database_corrupt: row(5010, "no", "The database is damaged."),
  not_a_database: row(5011, "no", "The file is not a database."),
  database_read_only: row(5012, "no", "The database is read-only."),
  database_busy: row(5013, "later", "The database is locked by another writer."),
  database_full: row(5014, "later", "The disk or the database is full."),
  database_io: row(5015, "later", "The database file could not be read or written."),
  database_schema_changed: row(5016, "now", "The schema changed while the statement was prepared."),
  transaction_rolled_back: row(
    5017,
    "now",
    "The transaction was rolled back; nothing of it took effect.",
  ),
  serialization_failure: row(
    5018,
    "now",
    "The transaction met another one and was rolled back; nothing of it took effect.",
  ),
  internal: row(5099, "no", "The server failed in a way that it did not foresee."),

  draining: row(6000, "reconnect", "The server takes no new requests; it is about to stop."),
  overloaded: row(6001, "later", "The server has too much to do."),
  shutting_down: row(6002, "reconnect", "The server stops."),
  session_closed: row(6003, "reconnect", "The session was closed."),
  heartbeat_lost: row(6004, "reconnect", "The peer did not answer."),
  idle_timeout: row(6005, "reconnect", "The session was idle for too long."),
} as const satisfies Readonly<Record<string, ErrorEntry>>;

/**
 * Errors that one side finds by itself. They never travel: a peer that sends one of these numbers breaks the
 * protocol.
 */
export const LOCAL_ERRORS = {
  connection_failed: row(9000, "later", "The connection could not be made."),
  handshake_timeout: row(9001, "later", "The server did not answer."),
  connection_lost: row(
    9002,
    "reconnect",
    "The connection was lost; whether a write took effect is not known.",
  ),
  closed: row(9003, "no", "The client is closed."),
  secure_channel_failed: row(9004, "no", "The secure channel was refused or broken."),
  server_not_trusted: row(9005, "no", "The server's certificate was refused."),
  bad_configuration: row(9006, "no", "The configuration is not valid."),
} as const satisfies Readonly<Record<string, ErrorEntry>>;

/** The name of an error. */
export type ErrorName = keyof typeof WIRE_ERRORS | keyof typeof LOCAL_ERRORS;

const BY_NAME: Readonly<Record<ErrorName, ErrorEntry>> = { ...WIRE_ERRORS, ...LOCAL_ERRORS };

/** The table's row of a name. */
export function errorEntry(name: ErrorName): ErrorEntry {
  return BY_NAME[name];
}

/** Whether a number may travel: it has 16 bits and is not of the local group. */
export function isWireCode(code: number): boolean {
  return Number.isInteger(code) && code >= 1000 && code <= 0xffff &&
    !(code >= 9000 && code <= 9999);
}
