// Congestion control behind one interface, and New Reno (RFC 9002, section 7 and appendix B).

import type { Milliseconds } from "../base/core.ts";
import {
  CONGESTION_WINDOW_PACKETS_MAX,
  INITIAL_WINDOW_BYTES,
  INITIAL_WINDOW_PACKETS,
  LOSS_REDUCTION_FACTOR,
  MINIMUM_WINDOW_PACKETS,
} from "./limits.ts";
import type { RttEstimator } from "./rtt.ts";

/** What a controller learns of one acknowledged packet. */
export interface AckedPacket {
  readonly number: number;
  readonly sentAt: Milliseconds;
  readonly bytes: number;
}

/** Decides how many bytes may be in flight. The owner counts them. */
export interface CongestionController {
  /** The congestion window in bytes. */
  readonly congestionWindow: number;
  /** The slow start threshold in bytes, `Infinity` before the first loss. */
  readonly ssthresh: number;
  /** An ack-eliciting packet was sent; `bytesInFlight` counts it. */
  onPacketSent(packet: AckedPacket, bytesInFlight: number): void;
  /** An ack-eliciting packet was acknowledged for the first time; `limited` says that the window was not used up. */
  onPacketAcked(packet: AckedPacket, rtt: RttEstimator, limited: boolean, now: Milliseconds): void;
  /** Packets were lost, the last of them sent at `lastSentAt`. Returns whether this began a recovery period. */
  onPacketsLost(lastSentAt: Milliseconds, now: Milliseconds): boolean;
  /** All packets that the newest recovery period began with have arrived: it was none. */
  onSpuriousLoss(): void;
  /** All packets of a long time were lost. */
  onPersistentCongestion(): void;
  /** The size of a full packet changed. */
  setMaxPacketBytes(maxPacketBytes: number): void;
}

/** New Reno as RFC 9002 has it. */
export class NewReno implements CongestionController {
  congestionWindow: number;
  ssthresh = Infinity;
  #maxPacketBytes: number;
  #recoveryStartedAt: Milliseconds = -Infinity;
  /** Window and threshold before the newest recovery period. */
  #before: { readonly congestionWindow: number; readonly ssthresh: number } | undefined;

  constructor(maxPacketBytes: number) {
    this.#maxPacketBytes = maxPacketBytes;
    // "an initial congestion window of ten times the maximum datagram size, while limiting the window to the
    // larger of 14,720 bytes or twice the maximum datagram size" (section 7.2).
    this.congestionWindow = Math.min(
      INITIAL_WINDOW_PACKETS * maxPacketBytes,
      Math.max(INITIAL_WINDOW_BYTES, 2 * maxPacketBytes),
    );
  }

  get #minimumWindow(): number {
    return MINIMUM_WINDOW_PACKETS * this.#maxPacketBytes;
  }

  onPacketSent(): void {}

  onPacketAcked(packet: AckedPacket, _rtt: RttEstimator, limited: boolean): void {
    // "When bytes in flight is smaller than the congestion window [...] and sending is not pacing limited, the
    // congestion window is underutilized. [...] SHOULD NOT be increased" (section 7.8).
    if (limited) return;
    // "during a recovery period, the congestion window does not change" (section 7.3.2).
    if (packet.sentAt <= this.#recoveryStartedAt) return;
    this.congestionWindow += this.congestionWindow < this.ssthresh
      // "increases by the number of bytes acknowledged" (section 7.3.1).
      ? packet.bytes
      // "at most one maximum datagram size for each congestion window that is acknowledged" (section 7.3.3).
      : (this.#maxPacketBytes * packet.bytes) / this.congestionWindow;
    this.congestionWindow = Math.min(
      this.congestionWindow,
      CONGESTION_WINDOW_PACKETS_MAX * this.#maxPacketBytes,
    );
  }

  onPacketsLost(lastSentAt: Milliseconds, now: Milliseconds): boolean {
    // "A sender that is already in a recovery period stays in it and does not reenter it" (section 7.3.2).
    if (lastSentAt <= this.#recoveryStartedAt) return false;
    this.#recoveryStartedAt = now;
    this.#before = { congestionWindow: this.congestionWindow, ssthresh: this.ssthresh };
    // "a sender MUST set the slow start threshold to half the value of the congestion window" (section 7.3.2).
    this.ssthresh = this.congestionWindow * LOSS_REDUCTION_FACTOR;
    this.congestionWindow = Math.max(this.ssthresh, this.#minimumWindow);
    return true;
  }

  onSpuriousLoss(): void {
    if (this.#before === undefined) return;
    this.congestionWindow = Math.max(this.congestionWindow, this.#before.congestionWindow);
    this.ssthresh = this.#before.ssthresh;
    this.#recoveryStartedAt = -Infinity;
    this.#before = undefined;
  }

  onPersistentCongestion(): void {
    // "the sender's congestion window MUST be reduced to the minimum congestion window" (section 7.6.2).
    this.congestionWindow = this.#minimumWindow;
    this.#recoveryStartedAt = -Infinity;
  }

  setMaxPacketBytes(maxPacketBytes: number): void {
    this.#maxPacketBytes = maxPacketBytes;
    this.congestionWindow = Math.max(this.congestionWindow, this.#minimumWindow);
  }
}
