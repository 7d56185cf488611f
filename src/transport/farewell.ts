// The last packet of a transport that has stopped at a fault.

import { HEADER_BYTES, MessageType } from "../wire/frame.ts";
import { WHOLE_PAYLOAD_BYTES_MAX } from "./limits.ts";
import type { PacketBuilder } from "./packer.ts";

/** Puts a Termination into a packet and, where there is one and both fit, an Error before it. */
export function packFarewell(
  builder: PacketBuilder,
  termination: Uint8Array,
  error: Uint8Array | undefined,
): void {
  const room = builder.remaining - HEADER_BYTES - termination.length;
  if (error !== undefined && error.length <= Math.min(room, WHOLE_PAYLOAD_BYTES_MAX)) {
    builder.frame(MessageType.ERROR, 0, 0, error.length).set(error);
  }
  builder.frame(MessageType.TERMINATION, 0, 0, termination.length).set(termination);
}
