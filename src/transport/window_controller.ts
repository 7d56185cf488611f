// A congestion controller made of slow start (RFC 9002 and 9406) and a rule for congestion avoidance.

import type { Milliseconds } from "../base/core.ts";
import type { CongestionController, ControlledPacket } from "./congestion.ts";
import { HyStart } from "./hystart.ts";
import {
  CONGESTION_WINDOW_PACKETS_MAX,
  INITIAL_WINDOW_BYTES,
  INITIAL_WINDOW_PACKETS,
  MINIMUM_WINDOW_PACKETS,
} from "./limits.ts";
import type { RttEstimator } from "./rtt.ts";
import { WindowUse } from "./window_use.ts";

/** How a controller grows its window in congestion avoidance and reduces it. Windows are bytes. */
export interface AvoidanceRule<Memory> {
  readonly name: string;
  /** What is left of the window after a loss; at least the minimum is kept by the controller. */
  reduce(congestionWindow: number, maxPacketBytes: number): number;
  /** The window after `packet` was acknowledged. */
  grow(window: number, acked: AckedInAvoidance): number;
  /** The window was not used up, so it stays as it is and so does the rule's time. */
  onLimited(): void;
  /** Slow start ended without a loss, or begins again: after one that says nothing of the path, or on another path. */
  restart(): void;
  /** What a reduction changes, so that it can be undone. */
  remember(): Memory;
  restore(memory: Memory): void;
}

/** An acknowledgement in congestion avoidance. */
export interface AckedInAvoidance {
  readonly bytes: number;
  readonly maxPacketBytes: number;
  readonly smoothedRtt: number;
  readonly now: Milliseconds;
}

interface BeforeLoss<Memory> {
  readonly congestionWindow: number;
  readonly ssthresh: number;
  readonly rule: Memory;
}

/** Window, threshold and recovery periods, as RFC 9002 section 7 and appendix B have them. */
export class WindowController<Memory> implements CongestionController {
  congestionWindow: number;
  ssthresh = Infinity;
  readonly #rule: AvoidanceRule<Memory>;
  #hyStart = new HyStart();
  #use = new WindowUse();
  #maxPacketBytes: number;
  #recoveryStartedAt: Milliseconds = -Infinity;
  #before: BeforeLoss<Memory> | undefined;

  constructor(rule: AvoidanceRule<Memory>, maxPacketBytes: number) {
    this.#rule = rule;
    this.#maxPacketBytes = maxPacketBytes;
    this.congestionWindow = this.#initialWindow;
  }

  get name(): string {
    return this.#rule.name;
  }

  /**
   * "an initial congestion window of ten times the maximum datagram size, while limiting the window to the larger of
   * 14,720 bytes or twice the maximum datagram size" (section 7.2).
   */
  get #initialWindow(): number {
    const bytes = this.#maxPacketBytes;
    return Math.min(INITIAL_WINDOW_PACKETS * bytes, Math.max(INITIAL_WINDOW_BYTES, 2 * bytes));
  }

  get #minimumWindow(): number {
    return MINIMUM_WINDOW_PACKETS * this.#maxPacketBytes;
  }

  onPacketSent({ number }: ControlledPacket): void {
    this.#hyStart.onPacketSent(number);
  }

  onPacketAcked(
    packet: ControlledPacket,
    rtt: RttEstimator,
    limited: boolean,
    now: Milliseconds,
  ): void {
    this.#use.onAcked(packet.bytes, rtt.smoothedRtt, now);
    // "When bytes in flight is smaller than the congestion window [...] and sending is not pacing limited, the
    // congestion window is underutilized. [...] SHOULD NOT be increased. [...] A sender MAY implement alternative
    // mechanisms to update its congestion window after periods of underutilization, such as those proposed for TCP in
    // [RFC7661]" (section 7.8): there a window that is used by half may grow.
    const isUsed = !limited || this.#use.isValidated(this.congestionWindow);
    if (!isUsed) return this.#rule.onLimited();
    // "during a recovery period, the congestion window does not change" (section 7.3.2).
    if (packet.sentAt <= this.#recoveryStartedAt) return;
    if (this.congestionWindow < this.ssthresh) this.#growInSlowStart(packet, now);
    else {
      this.congestionWindow = this.#rule.grow(this.congestionWindow, {
        bytes: packet.bytes,
        maxPacketBytes: this.#maxPacketBytes,
        smoothedRtt: rtt.smoothedRtt,
        now,
      });
    }
    this.congestionWindow = Math.min(
      this.congestionWindow,
      CONGESTION_WINDOW_PACKETS_MAX * this.#maxPacketBytes,
    );
  }

  #growInSlowStart(packet: ControlledPacket, now: Milliseconds): void {
    // HyStart++ is for the first slow start: "it is used in the initial slow start" (RFC 9406, section 4.3).
    if (this.ssthresh < Infinity) {
      this.congestionWindow += packet.bytes;
      return;
    }
    // "increases by the number of bytes acknowledged" (section 7.3.1), or a part of that.
    this.congestionWindow += packet.bytes / this.#hyStart.growthDivisor;
    if (!this.#hyStart.onPacketAcked(packet.number, now - packet.sentAt)) return;
    this.ssthresh = this.congestionWindow;
    this.#rule.restart();
  }

  onPacketsLost(lastSentAt: Milliseconds, now: Milliseconds): boolean {
    // "A sender that is already in a recovery period stays in it and does not reenter it" (section 7.3.2).
    if (lastSentAt <= this.#recoveryStartedAt) return false;
    this.#recoveryStartedAt = now;
    const { congestionWindow, ssthresh } = this;
    this.#before = { congestionWindow, ssthresh, rule: this.#rule.remember() };
    this.ssthresh = this.#rule.reduce(congestionWindow, this.#maxPacketBytes);
    this.congestionWindow = Math.max(this.ssthresh, this.#minimumWindow);
    return true;
  }

  onSpuriousLoss(): void {
    const before = this.#before;
    if (before === undefined) return;
    this.congestionWindow = Math.max(this.congestionWindow, before.congestionWindow);
    this.ssthresh = before.ssthresh;
    this.#rule.restore(before.rule);
    this.#recoveryStartedAt = -Infinity;
    this.#before = undefined;
  }

  onPersistentCongestion(): void {
    // "the sender's congestion window MUST be reduced to the minimum congestion window" (section 7.6.2).
    this.congestionWindow = this.#minimumWindow;
    this.#recoveryStartedAt = -Infinity;
    this.#before = undefined;
    this.#rule.restart();
  }

  restart(): void {
    this.congestionWindow = this.#initialWindow;
    this.ssthresh = Infinity;
    this.#hyStart = new HyStart();
    this.#use = new WindowUse();
    this.#recoveryStartedAt = -Infinity;
    this.#before = undefined;
    this.#rule.restart();
  }

  setMaxPacketBytes(maxPacketBytes: number): void {
    this.#maxPacketBytes = maxPacketBytes;
    this.congestionWindow = Math.max(this.congestionWindow, this.#minimumWindow);
  }
}
