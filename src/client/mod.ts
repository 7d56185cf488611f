/**
 * The SQP client: a session with a server over DTLS, and statements over it.
 *
 * @module
 */

export { Client, connect, type RequestOptions, type Result, type ServerInfo } from "./client.ts";
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
export { type RowSource, RowStream } from "./row_stream.ts";
export type { EventLog, LogEvent } from "../transport/event_log.ts";
export { type EngineError, type ErrorPayload, SqpError } from "../wire/errors.ts";
export type { RetryAdvice } from "../wire/error_codes.ts";
export type { FeedTable } from "../wire/feed_payload.ts";
export type { Column, ColumnOrigin } from "../wire/response_payload.ts";
export { type Row, type SqlParams, type SqlValue, Timestamp } from "../wire/value.ts";
