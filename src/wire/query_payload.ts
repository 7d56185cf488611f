// Query: the command that a client sends (PROTOCOL.md, "Query").

import { DecodeError } from "../base/byte_reader.ts";
import { type BatchStep, encodeSteps, readSteps } from "./batch_payload.ts";
import { type ControlMap, decodeControl, encodeControl, wholeMs } from "./control.ts";
import type { Fields } from "./control_fields.ts";
import { SqpError } from "./errors.ts";
import { encodeFeedTables, type FeedTableRequest, readFeedTables } from "./feed_payload.ts";
import { LIMITS } from "./limits.ts";
import { encodeSource, readSource, type StatementSource } from "./statement_source.ts";
import { utf8LengthBytes } from "./text_length.ts";
import { URGENCY_FIRST, URGENCY_LAST } from "./urgency.ts";

/** What every command may carry. */
export interface CommandOptions {
  /** How long the client waits, in milliseconds from the arrival of the command. */
  readonly deadlineMs?: number;
  /** W3C trace context as it was received; an invalid one is for its reader to ignore. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** When the answer goes, beside others: `URGENCY_FIRST` to `URGENCY_LAST`, `URGENCY_DEFAULT` where it is left out. */
  readonly urgency?: number;
}

/** The place of a command in a transaction. */
export interface TransactionStep {
  /** The number that the client gave the transaction. */
  readonly transaction: number;
  /** Commands of a transaction run in the order of their steps, which count from 0. */
  readonly step: number;
}

/** Runs one statement and answers with its rows or its changes. */
export interface ExecuteCommand extends CommandOptions, StatementSource {
  readonly cmd: "execute";
  readonly at?: TransactionStep;
  /** The columns of the answer say where they come from. */
  readonly origins?: boolean;
  /** A write with the same key takes effect once. */
  readonly idempotencyKey?: string;
}

/** Runs statements one after the other: all of them take effect, or none does. */
export interface BatchCommand extends CommandOptions {
  readonly cmd: "batch";
  readonly steps: readonly BatchStep[];
  readonly at?: TransactionStep;
  readonly idempotencyKey?: string;
}

/** Checks a statement, describes it, and gives it a number to execute it by. */
export interface PrepareCommand extends CommandOptions {
  readonly cmd: "prepare";
  readonly sql: string;
  readonly at?: TransactionStep;
}

/** Forgets a prepared statement. */
export interface UnprepareCommand extends CommandOptions {
  readonly cmd: "unprepare";
  readonly statement: number;
}

/** An isolation level by its name in SQL. */
export type IsolationLevel = "read_committed" | "repeatable_read" | "serializable";

/** The isolation levels, the weakest first. */
export const ISOLATION_LEVELS: readonly IsolationLevel[] = [
  "read_committed",
  "repeatable_read",
  "serializable",
];

/** Begins a transaction. */
export interface BeginCommand extends CommandOptions {
  readonly cmd: "begin";
  /** A number of the client's choice, used once in a session. */
  readonly transaction: number;
  /** It writes nothing. */
  readonly readOnly?: boolean;
  /** The least that is asked for; the engine's own level where it is left out. */
  readonly isolation?: IsolationLevel;
}

/** Commits a transaction. */
export interface CommitCommand extends CommandOptions {
  readonly cmd: "commit";
  readonly at: TransactionStep;
}

/** Rolls a transaction back: as a whole, or to a savepoint, which stays. */
export interface RollbackCommand extends CommandOptions {
  readonly cmd: "rollback";
  readonly at: TransactionStep;
  readonly savepoint?: number;
}

/** Makes a savepoint, or forgets one and keeps what came after it. */
export interface SavepointCommand extends CommandOptions {
  readonly cmd: "savepoint" | "release";
  readonly at: TransactionStep;
  /** A number of the client's choice. */
  readonly savepoint: number;
}

/** Asks to be told of changes to tables, from now on or from a cursor on. */
export interface SubscribeCommand extends CommandOptions {
  readonly cmd: "subscribe";
  readonly tables: readonly FeedTableRequest[];
  /** The rows as they are come first. */
  readonly snapshot?: boolean;
  /** Where an earlier feed of these tables ended. */
  readonly cursor?: string;
}

/** Ends a change feed in order: what is on its way still comes. */
export interface UnsubscribeCommand extends CommandOptions {
  readonly cmd: "unsubscribe";
  /** The number of the feed's stream. */
  readonly stream: number;
}

/** Asks what the server is doing. */
export interface StatusCommand extends CommandOptions {
  readonly cmd: "status";
}

/** A command that this side knows. */
export type KnownCommand =
  | ExecuteCommand
  | BatchCommand
  | PrepareCommand
  | UnprepareCommand
  | BeginCommand
  | CommitCommand
  | RollbackCommand
  | SavepointCommand
  | SubscribeCommand
  | UnsubscribeCommand
  | StatusCommand;

/** A command of a later version, to be answered with `unknown_command`. */
export interface UnknownCommand {
  readonly cmd: "unknown";
  readonly name: string;
}

/** A command, by its tag. */
export type Command = KnownCommand | UnknownCommand;

/** The largest number of a transaction, a step, a savepoint or a prepared statement. */
export const NUMBER_MAX = 0xffff_ffff;

/**
 * Encodes a command. Throws `SqpError` `text_not_unicode` for SQL text with a lone surrogate, and `bad_request` for a
 * deadline, a key, an urgency or a number of steps that is out of bounds.
 */
export function encodeQuery(command: KnownCommand): Uint8Array {
  const { cmd, deadlineMs, traceparent, tracestate, urgency } = command;
  if (deadlineMs !== undefined && !(deadlineMs >= 1 && deadlineMs <= LIMITS.deadlineMsMax)) {
    throw badRequest("A deadline is out of bounds.");
  }
  if (urgency !== undefined && !isUrgency(urgency)) {
    throw badRequest("An urgency is a whole number from 0 to 7.");
  }
  const common = {
    deadline_ms: deadlineMs === undefined ? undefined : wholeMs(deadlineMs),
    traceparent,
    tracestate,
    urgency,
  };
  return encodeControl({ cmd, ...encodeOwn(command), ...common });
}

function encodeOwn(command: KnownCommand): ControlMap {
  switch (command.cmd) {
    case "execute":
      return {
        ...encodeSource(command),
        origins: command.origins,
        ...encodeAt(command.at),
        key: checkedKey(command),
      };
    case "batch":
      return {
        steps: encodeSteps(command.steps),
        ...encodeAt(command.at),
        key: checkedKey(command),
      };
    case "prepare":
      return { sql: command.sql, ...encodeAt(command.at) };
    case "unprepare":
      return { statement: command.statement };
    case "begin":
      return {
        txn: command.transaction,
        read_only: command.readOnly,
        isolation: command.isolation,
      };
    case "commit":
      return encodeAt(command.at);
    case "rollback":
    case "savepoint":
    case "release":
      return { ...encodeAt(command.at), savepoint: command.savepoint };
    case "subscribe":
      return {
        tables: encodeFeedTables(command.tables),
        snapshot: command.snapshot,
        cursor: command.cursor,
      };
    case "unsubscribe":
      return { stream: command.stream };
    case "status":
      return {};
  }
}

function encodeAt(at: TransactionStep | undefined): ControlMap {
  return at === undefined ? {} : { txn: at.transaction, step: at.step };
}

function checkedKey({ at, idempotencyKey: key }: ExecuteCommand | BatchCommand) {
  if (key === undefined) return undefined;
  if (key === "" || utf8LengthBytes(key) > LIMITS.idempotencyKeyBytesMax) {
    throw badRequest("An idempotency key is empty or too long.");
  }
  if (at !== undefined) throw badRequest("A command of a transaction has no idempotency key.");
  return key;
}

function badRequest(message: string): SqpError {
  return new SqpError("bad_request", { message });
}

function isUrgency(urgency: number): boolean {
  return Number.isInteger(urgency) && urgency >= URGENCY_FIRST && urgency <= URGENCY_LAST;
}

/** Decodes a command, its parameters excepted. Throws `DecodeError`. */
export function decodeQuery(payload: Uint8Array): Command {
  const fields = decodeControl(payload);
  const cmd = fields.text("cmd", { minBytes: 1, maxBytes: LIMITS.nameBytesMax });
  const decode = Object.hasOwn(DECODERS, cmd) ? DECODERS[cmd as KnownCommand["cmd"]] : undefined;
  if (decode === undefined) return { cmd: "unknown", name: cmd };
  return { ...decode(fields), ...readOptions(fields) };
}

function readOptions(fields: Fields): CommandOptions {
  const trace = { maxBytes: LIMITS.traceBytesMax };
  const deadlineMs = fields.optionalInt("deadline_ms", 1, LIMITS.deadlineMsMax);
  const traceparent = fields.optionalText("traceparent", trace);
  const tracestate = fields.optionalText("tracestate", trace);
  const urgency = fields.optionalInt("urgency", URGENCY_FIRST, URGENCY_LAST);
  return {
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
    ...(urgency !== undefined && { urgency }),
  };
}

const DECODERS: { readonly [Cmd in KnownCommand["cmd"]]: (fields: Fields) => KnownCommand } = {
  execute: (fields) => ({
    cmd: "execute",
    ...readSource(fields),
    ...(fields.optionalBool("origins") === true && { origins: true }),
    ...readOptionalAt(fields),
    ...readKey(fields),
  }),
  batch: (fields) => ({
    cmd: "batch",
    steps: readSteps(fields.list("steps", LIMITS.batchStepsMax)),
    ...readOptionalAt(fields),
    ...readKey(fields),
  }),
  prepare: (fields) => ({ cmd: "prepare", sql: fields.text("sql"), ...readOptionalAt(fields) }),
  unprepare: (fields) => ({ cmd: "unprepare", statement: readNumber(fields, "statement") }),
  begin: (fields) => ({
    cmd: "begin",
    transaction: readNumber(fields, "txn"),
    ...(fields.optionalBool("read_only") === true && { readOnly: true }),
    ...readIsolation(fields),
  }),
  commit: (fields) => ({ cmd: "commit", at: readAt(fields) }),
  rollback: (fields) => ({
    cmd: "rollback",
    at: readAt(fields),
    ...(fields.has("savepoint") && { savepoint: readNumber(fields, "savepoint") }),
  }),
  savepoint: (fields) => readSavepoint("savepoint", fields),
  release: (fields) => readSavepoint("release", fields),
  subscribe: (fields) => readSubscribe(fields),
  unsubscribe: (fields) => ({ cmd: "unsubscribe", stream: readNumber(fields, "stream") }),
  status: () => ({ cmd: "status" }),
};

function readSavepoint(cmd: SavepointCommand["cmd"], fields: Fields): SavepointCommand {
  return { cmd, at: readAt(fields), savepoint: readNumber(fields, "savepoint") };
}

function readSubscribe(fields: Fields): SubscribeCommand {
  const tables = readFeedTables(fields.list("tables", LIMITS.feedTablesMax));
  if (tables.length === 0) throw new DecodeError("a subscription without a table");
  const snapshot = fields.optionalBool("snapshot") === true;
  const cursor = fields.optionalText("cursor", { minBytes: 1, maxBytes: LIMITS.cursorBytesMax });
  if (cursor === undefined) return { cmd: "subscribe", tables, ...(snapshot && { snapshot }) };
  if (snapshot) throw new DecodeError("a subscription has a snapshot or a cursor, not both");
  return { cmd: "subscribe", tables, cursor };
}

function readNumber(fields: Fields, key: string): number {
  return fields.int(key, 1, NUMBER_MAX);
}

function readAt(fields: Fields): TransactionStep {
  return { transaction: readNumber(fields, "txn"), step: fields.int("step", 0, NUMBER_MAX) };
}

function readOptionalAt(fields: Fields): { at?: TransactionStep } {
  return fields.has("txn") || fields.has("step") ? { at: readAt(fields) } : {};
}

function readKey(fields: Fields): { idempotencyKey?: string } {
  const bounds = { minBytes: 1, maxBytes: LIMITS.idempotencyKeyBytesMax };
  const idempotencyKey = fields.optionalText("key", bounds);
  if (idempotencyKey === undefined) return {};
  if (fields.has("txn")) throw new DecodeError("a command of a transaction has no key");
  return { idempotencyKey };
}

function readIsolation(fields: Fields): { isolation?: IsolationLevel } {
  const name = fields.optionalText("isolation", { maxBytes: LIMITS.nameBytesMax });
  if (name === undefined) return {};
  const isolation = ISOLATION_LEVELS.find((level) => level === name);
  if (isolation === undefined) throw new DecodeError("the isolation level is not known");
  return { isolation };
}
