// Which error a client or an operator sees for what went wrong below: the one place that translates.

import { DecodeError } from "../base/byte_reader.ts";
import { TransportFault, TransportFaultCode } from "../transport/fault.ts";
import type { ErrorName } from "../wire/error_codes.ts";
import { SqpError } from "../wire/errors.ts";
import { encodeTermination, type Termination } from "../wire/termination_payload.ts";

const BY_CODE: Readonly<Record<TransportFaultCode, ErrorName>> = {
  [TransportFaultCode.MALFORMED]: "malformed_packet",
  [TransportFaultCode.WRONG_SESSION]: "bad_session_id",
  [TransportFaultCode.UNEXPECTED_MESSAGE]: "unexpected_message",
  [TransportFaultCode.ACK_NEVER_SENT]: "ack_of_unsent",
  [TransportFaultCode.FRAGMENT_CONFLICT]: "fragment_mismatch",
  [TransportFaultCode.MESSAGE_TOO_LARGE]: "message_too_large",
  [TransportFaultCode.CREDIT_EXCEEDED]: "credit_exceeded",
  [TransportFaultCode.FINAL_SIZE]: "stream_mismatch",
  [TransportFaultCode.STREAM_STATE]: "bad_stream_id",
  [TransportFaultCode.LIMIT_EXCEEDED]: "limit_exceeded",
};

/** The error for a peer's fault in transport, or for a payload that could not be read. */
export function faultError(fault: TransportFault | DecodeError): SqpError {
  const name = fault instanceof TransportFault ? BY_CODE[fault.code] : "malformed_payload";
  return new SqpError(name, { message: fault.message, cause: fault });
}

/** The Termination that tells the peer of its fault. */
export function faultTermination({ codeName, message }: SqpError): Uint8Array {
  return encodeTermination({ reason: "fault", message: `${codeName}: ${message}`, drainMs: 0 });
}

const TERMINATION_ERRORS: Readonly<Record<string, ErrorName>> = {
  draining: "shutting_down",
  shutdown: "shutting_down",
  idle: "idle_timeout",
  fault: "protocol_violation",
  overloaded: "overloaded",
};

/** The error that a client sees for the Termination of its server. */
export function terminationError({ reason, message }: Termination): SqpError {
  return new SqpError(TERMINATION_ERRORS[reason] ?? "session_closed", { message });
}
