// What ends a transport: a fault of the peer. And what refuses a call: a limit of this side.

import { type CodePoint, codePointName } from "../base/code_points.ts";

/** What a peer did wrong. */
export const TransportFaultCode = {
  /** A packet or a payload that does not have its form. */
  MALFORMED: 1,
  /** A session_id other than the session's. */
  WRONG_SESSION: 2,
  /** A message that the peer's role may not send, or with a request_id that it may not have. */
  UNEXPECTED_MESSAGE: 3,
  /** An Ack of a packet that was never sent. */
  ACK_NEVER_SENT: 4,
  /** Fragments of one message that contradict each other. */
  FRAGMENT_CONFLICT: 5,
  /** A message longer than allowed. */
  MESSAGE_TOO_LARGE: 6,
  /** More bytes than the credit granted. */
  CREDIT_EXCEEDED: 7,
  /** A stream whose final size changes or lies below what was sent. */
  FINAL_SIZE: 8,
  /** A stream_id that the peer may not use, or use so. */
  STREAM_STATE: 9,
  /** Too many requests, streams or gaps. */
  LIMIT_EXCEEDED: 10,
} as const;
export type TransportFaultCode = CodePoint<typeof TransportFaultCode>;

/** A fault of the peer. It reaches the layer above as an event, never as an exception. */
export class TransportFault extends Error {
  override readonly name = "TransportFault";
  readonly code: TransportFaultCode;

  constructor(code: TransportFaultCode, message: string) {
    super(`${codePointName(TransportFaultCode, code)}: ${message}`);
    this.code = code;
  }
}

/** A call that would break a limit of this side or of the peer; nothing was changed by it. */
export class TransportLimitError extends Error {
  override readonly name = "TransportLimitError";
}
