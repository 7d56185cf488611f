// How messages travel, and how long each may be.

import { MessageType } from "../wire/frame.ts";
import {
  HANDSHAKE_REQUEST_BYTES_MAX,
  HANDSHAKE_RESPONSE_BYTES_MAX,
  type Role,
  WHOLE_PAYLOAD_BYTES_MAX,
} from "./limits.ts";

/**
 * Longest payload of a message that this side may send reliably. `peerBytesMax` is what the peer accepts.
 * Throws `TypeError` for a type that is not sent so: those of streams, acknowledgement and credit, and Heartbeat.
 */
export function payloadBytesMax(type: MessageType, sender: Role, peerBytesMax: number): number {
  switch (type) {
    case MessageType.HANDSHAKE_REQUEST:
      return HANDSHAKE_REQUEST_BYTES_MAX;
    case MessageType.HANDSHAKE_RESPONSE:
      return HANDSHAKE_RESPONSE_BYTES_MAX;
    case MessageType.QUERY:
    case MessageType.RESPONSE:
      return peerBytesMax;
    case MessageType.ERROR:
      // A client's Error is never in fragments: see Inbox.
      if (sender === "client") return WHOLE_PAYLOAD_BYTES_MAX;
      // An Error always fits one frame: a peer that wants no long messages is told of it, too.
      return Math.max(peerBytesMax, WHOLE_PAYLOAD_BYTES_MAX);
    case MessageType.TERMINATION:
    case MessageType.CANCEL:
    case MessageType.MOVE:
      return WHOLE_PAYLOAD_BYTES_MAX;
    default:
      throw new TypeError(`message type ${type} is not sent as a reliable message`);
  }
}

/** Whether a message asks or answers something, so that it has the urgency of its request. */
export function isOfRequest(type: MessageType): boolean {
  return type === MessageType.QUERY || type === MessageType.RESPONSE || type === MessageType.ERROR;
}

/** Whether the fragments of a message count against session credit: all but those of the handshake. */
export function isCharged(type: MessageType): boolean {
  return type !== MessageType.HANDSHAKE_REQUEST && type !== MessageType.HANDSHAKE_RESPONSE;
}
