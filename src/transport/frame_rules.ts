// Rules for single frames and packets.

import { Flag, type Frame, MessageType } from "../wire/frame.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import { PACKET_BYTES_MIN } from "./limits.ts";

/** The end of a stream and the handshake: waiting for more to acknowledge only costs the peer time. */
export function isAckedAtOnce(frame: Frame): boolean {
  return (frame.flags & Flag.FIN) !== 0 || frame.type === MessageType.HANDSHAKE_REQUEST ||
    frame.type === MessageType.HANDSHAKE_RESPONSE;
}

/** Throws {@linkcode TransportFault} for a frame that names a request and may not. */
export function checkNoRequest(frame: Frame): void {
  if (frame.requestId === 0) return;
  throw new TransportFault(
    TransportFaultCode.UNEXPECTED_MESSAGE,
    `type ${frame.type} belongs to no request`,
  );
}

/** Throws `RangeError` for a packet size that what is sent whole does not fit. */
export function checkPacketBytes(maxPacketBytes: number): void {
  if (maxPacketBytes < PACKET_BYTES_MIN) {
    throw new RangeError(`packets of ${maxPacketBytes} bytes, at least ${PACKET_BYTES_MIN} wanted`);
  }
}
