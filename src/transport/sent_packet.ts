// A packet that was sent, and what it carried for whom.

import type { Milliseconds } from "../base/core.ts";

/**
 * Whatever was sent and learns what became of it: a message, a stream, a grant of credit. `start` and `end` mean what
 * the owner wants; bytes for messages and streams.
 */
export interface SentOwner {
  /** The range has arrived. */
  onAcked(start: number, end: number): void;
  /** The range has to be sent again, unless it arrived in another packet or is no longer wanted. */
  onLost(start: number, end: number): void;
}

/** A part of an owner that a packet carried. */
export interface SentFrame {
  readonly owner: SentOwner;
  readonly start: number;
  readonly end: number;
}

/** A packet that was sent and is neither acknowledged nor lost. */
export interface SentPacket {
  readonly number: number;
  readonly sentAt: Milliseconds;
  readonly bytes: number;
  /** Ack-eliciting packets are those in flight; nothing else counts against the congestion window. */
  readonly ackEliciting: boolean;
  /** A probe of the path's MTU: its loss is no sign of congestion. */
  readonly isMtuProbe: boolean;
  readonly frames: readonly SentFrame[];
}
