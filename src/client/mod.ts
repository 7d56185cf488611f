/**
 * The SQP client: a session with a server over DTLS, and statements over it.
 *
 * @module
 */

export { Client, connect, type ServerInfo } from "./client.ts";
export {
  Feed,
  type FeedEvent,
  type FeedSource,
  type RowChange,
  type SubscribeOptions,
  type TableFilter,
} from "./feed.ts";
export type { ConnectOptions } from "./options.ts";
export type { RequestObserver, ResultEnd } from "./requests.ts";
export type { RequestOptions, Result } from "./request_table.ts";
export { type RowSource, RowStream } from "./row_stream.ts";
export {
  type BatchOptions,
  type BatchResult,
  type BatchStep,
  type ExecuteOptions,
  PreparedStatement,
  type WriteOptions,
} from "./statements.ts";
export { Transaction, type TransactionOptions } from "./transaction.ts";
export type { EventLog, LogEvent } from "../transport/event_log.ts";
export { type EngineError, type ErrorPayload, SqpError } from "../wire/errors.ts";
export type { RetryAdvice } from "../wire/error_codes.ts";
export type { FeedTable } from "../wire/feed_payload.ts";
export type { StepCondition, StepTest } from "../wire/batch_payload.ts";
export type { IsolationLevel } from "../wire/query_payload.ts";
export type { Column, ColumnOrigin, ParameterDescription } from "../wire/response_payload.ts";
export type { ServerStatus } from "../wire/status_payload.ts";
export { type Row, type SqlParams, type SqlValue, Timestamp } from "../wire/value.ts";
