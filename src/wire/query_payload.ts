// Query: the command that a client sends (PROTOCOL.md, "Query").

import { decodeControl, encodeControl, wholeMs } from "./control.ts";
import { SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { utf8LengthBytes } from "./text_length.ts";
import { URGENCY_FIRST, URGENCY_LAST } from "./urgency.ts";

/** Runs one statement and answers with its rows or its changes. */
export interface ExecuteCommand {
  readonly cmd: "execute";
  readonly sql: string;
  /**
   * What `encodeParams` gave; whoever binds the values decodes them with `decodeParams`. A view where it was
   * received.
   */
  readonly params: Uint8Array;
  /** How long the client waits, in milliseconds from the arrival of the command. */
  readonly deadlineMs?: number;
  /** W3C trace context as it was received; an invalid one is for its reader to ignore. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** A write with the same key takes effect once. */
  readonly idempotencyKey?: string;
  /** When the answer goes, beside others: `URGENCY_FIRST` to `URGENCY_LAST`, `URGENCY_DEFAULT` where it is left out. */
  readonly urgency?: number;
}

/** A command of a later version, to be answered with `unknown_command`. */
export interface UnknownCommand {
  readonly cmd: "unknown";
  readonly name: string;
}

/** A command, by its tag. */
export type Command = ExecuteCommand | UnknownCommand;

/** The encoding of no parameters: an empty array. */
export const NO_PARAMS: Uint8Array = new Uint8Array([0x90]);

/**
 * Encodes a command. Throws `SqpError` `text_not_unicode` for SQL text with a lone surrogate, and `bad_request` for a
 * deadline, key or urgency that is out of bounds.
 */
export function encodeQuery(command: ExecuteCommand): Uint8Array {
  const { params, deadlineMs, idempotencyKey: key, urgency } = command;
  if (deadlineMs !== undefined && !(deadlineMs >= 1 && deadlineMs <= LIMITS.deadlineMsMax)) {
    throw new SqpError("bad_request", { message: "A deadline is out of bounds." });
  }
  if (key !== undefined && (key === "" || utf8LengthBytes(key) > LIMITS.idempotencyKeyBytesMax)) {
    throw new SqpError("bad_request", { message: "An idempotency key is empty or too long." });
  }
  if (urgency !== undefined && !isUrgency(urgency)) {
    throw new SqpError("bad_request", { message: "An urgency is a whole number from 0 to 7." });
  }
  const empty = params.length === 1 && params[0] === NO_PARAMS[0];
  return encodeControl({
    cmd: command.cmd,
    sql: command.sql,
    params: empty ? undefined : params,
    deadline_ms: deadlineMs === undefined ? undefined : wholeMs(deadlineMs),
    traceparent: command.traceparent,
    tracestate: command.tracestate,
    key,
    urgency,
  });
}

function isUrgency(urgency: number): boolean {
  return Number.isInteger(urgency) && urgency >= URGENCY_FIRST && urgency <= URGENCY_LAST;
}

/** Decodes a command, its parameters excepted. Throws `DecodeError`. */
export function decodeQuery(payload: Uint8Array): Command {
  const fields = decodeControl(payload);
  const cmd = fields.text("cmd", { minBytes: 1, maxBytes: LIMITS.nameBytesMax });
  if (cmd !== "execute") return { cmd: "unknown", name: cmd };
  const trace = { maxBytes: LIMITS.traceBytesMax };
  const deadlineMs = fields.optionalInt("deadline_ms", 1, LIMITS.deadlineMsMax);
  const traceparent = fields.optionalText("traceparent", trace);
  const tracestate = fields.optionalText("tracestate", trace);
  const key = fields.optionalText("key", {
    minBytes: 1,
    maxBytes: LIMITS.idempotencyKeyBytesMax,
  });
  const urgency = fields.optionalInt("urgency", URGENCY_FIRST, URGENCY_LAST);
  return {
    cmd,
    sql: fields.text("sql"),
    params: fields.optionalBytes("params", { minBytes: 1 }) ?? NO_PARAMS,
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
    ...(key !== undefined && { idempotencyKey: key }),
    ...(urgency !== undefined && { urgency }),
  };
}
