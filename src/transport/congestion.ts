// Congestion control behind one interface; what the controllers share is in window_controller.ts.

import type { Milliseconds } from "../base/core.ts";
import type { RttEstimator } from "./rtt.ts";

/** What a controller learns of one packet. */
export interface ControlledPacket {
  readonly number: number;
  readonly sentAt: Milliseconds;
  readonly bytes: number;
}

/** Decides how many bytes may be in flight. The owner counts them. */
export interface CongestionController {
  /** Its name, for people. */
  readonly name: string;
  /** The congestion window in bytes. */
  readonly congestionWindow: number;
  /** The slow start threshold in bytes, `Infinity` before the first loss. */
  readonly ssthresh: number;
  /** An ack-eliciting packet was sent. */
  onPacketSent(packet: ControlledPacket): void;
  /** An ack-eliciting packet was acknowledged for the first time; `limited` says that the window was not used up. */
  onPacketAcked(
    packet: ControlledPacket,
    rtt: RttEstimator,
    limited: boolean,
    now: Milliseconds,
  ): void;
  /** Packets were lost, the last of them sent at `lastSentAt`. Returns whether this began a recovery period. */
  onPacketsLost(lastSentAt: Milliseconds, now: Milliseconds): boolean;
  /** All packets that the newest recovery period was entered for have arrived: there was no congestion. */
  onSpuriousLoss(): void;
  /** All packets of a long time were lost. */
  onPersistentCongestion(): void;
  /** The path is another one: everything is as in the beginning. */
  restart(): void;
  /** The size of a full packet changed. */
  setMaxPacketBytes(maxPacketBytes: number): void;
}
