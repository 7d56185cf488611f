// What the transport tells the layer above.

import type { MessageType } from "../wire/frame.ts";
import type { TransportFault } from "./fault.ts";

/** A whole message, exactly once for its (type, request_id). `payload` may be a view of a received packet. */
export interface MessageEvent {
  readonly kind: "message";
  readonly type: MessageType;
  readonly requestId: number;
  readonly payload: Uint8Array;
}

/** Something happened to a stream. */
export interface StreamEvent {
  /**
   * - `stream-opened`: the peer's first frame of it arrived, perhaps before the message that announces it.
   * - `stream-readable`: `readStream` has bytes. It comes again only after `readStream` has returned `undefined`.
   * - `stream-finished`: the last byte up to FIN was read.
   * - `stream-writable`: bytes that wait to be sent fell below the low-water mark.
   */
  readonly kind: "stream-opened" | "stream-readable" | "stream-finished" | "stream-writable";
  readonly requestId: number;
  readonly streamId: number;
}

/** The peer ended a stream without FIN. `error` is the Error payload; bytes not read are gone. */
export interface StreamEndedEvent {
  readonly kind: "stream-ended";
  readonly requestId: number;
  readonly streamId: number;
  readonly error: Uint8Array;
}

/** The peer is at fault: the transport has stopped, only `sendFarewell` and `close` are left. */
export interface FaultEvent {
  readonly kind: "fault";
  readonly error: TransportFault;
}

/** The peer has not answered for long. Timers stop until it does. */
export interface DeadEvent {
  readonly kind: "dead";
  readonly reason: string;
}

/** An event of the transport. */
export type TransportEvent = MessageEvent | StreamEvent | StreamEndedEvent | FaultEvent | DeadEvent;
