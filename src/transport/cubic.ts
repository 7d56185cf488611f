// CUBIC (RFC 9438): the congestion window follows the time since it was last reduced.

import type { Milliseconds } from "../base/core.ts";
import { CUBIC_BETA, CUBIC_C } from "./limits.ts";
import {
  type AckedInAvoidance,
  type AvoidanceRule,
  WindowController,
} from "./window_controller.ts";

/** CUBIC: the window follows a cubic function of the time since it was last reduced. */
export class Cubic extends WindowController<CubicMemory> {
  constructor(maxPacketBytes: number) {
    super(new CubicRule(), maxPacketBytes);
  }
}

/** What a reduction changes. Windows are packets. */
interface CubicMemory {
  /** W_max: "the size of the window just before it was reduced" (section 4.1.2), or less. */
  readonly windowMax: number;
  readonly epoch: Epoch | undefined;
}

/** A congestion avoidance stage. Windows are packets, times seconds where they are the formula's. */
interface Epoch {
  /** When it began, later by all that the window was not used up. */
  readonly startedAt: Milliseconds;
  /** K: when the window is W_max again. */
  readonly kSeconds: number;
  /** W_est: the window that Reno would have. */
  readonly windowOfReno: number;
}

/** "alpha_cubic = 3 * (1 - beta_cubic) / (1 + beta_cubic)" (section 4.3). */
const ALPHA = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA);

/** The rule of congestion avoidance. */
class CubicRule implements AvoidanceRule<CubicMemory> {
  readonly name = "cubic";
  #windowMax = 0;
  #epoch: Epoch | undefined;
  #grownAt: Milliseconds = 0;
  /** Since when the window has not been used up: since it last grew. */
  #limitedSince: Milliseconds | undefined;

  reduce(congestionWindow: number, maxPacketBytes: number): number {
    const window = congestionWindow / maxPacketBytes;
    // Fast convergence (section 4.7): a flow whose maximum has fallen leaves room for others.
    this.#windowMax = window < this.#windowMax ? (window * (1 + CUBIC_BETA)) / 2 : window;
    this.#epoch = undefined;
    this.#limitedSince = undefined;
    return congestionWindow * CUBIC_BETA;
  }

  grow(congestionWindow: number, acked: AckedInAvoidance): number {
    const { maxPacketBytes, smoothedRtt, now } = acked;
    const window = congestionWindow / maxPacketBytes;
    const epoch = this.#advanceEpoch(window, acked);
    const seconds = (now - epoch.startedAt) / 1000;
    // "If W_cubic(t) is less than W_est(t), CUBIC is in the Reno-friendly region" (section 4.3).
    if (this.#windowAt(seconds, epoch) < epoch.windowOfReno) {
      return Math.max(congestionWindow, epoch.windowOfReno * maxPacketBytes);
    }
    // The target is W_cubic(t + RTT), at least the window and at most half more (section 4.2).
    const ahead = this.#windowAt(seconds + smoothedRtt / 1000, epoch);
    const target = Math.min(Math.max(ahead, window), 1.5 * window);
    // "cwnd MUST be incremented by (target - cwnd) / cwnd for each received new ACK" (section 4.4).
    return congestionWindow + ((target - window) / window) * acked.bytes;
  }

  /** W_cubic: "W_cubic(t) = C * (t - K)^3 + W_max" (section 4.2). */
  #windowAt(seconds: number, { kSeconds }: Epoch): number {
    return CUBIC_C * (seconds - kSeconds) ** 3 + this.#windowMax;
  }

  #advanceEpoch(window: number, { bytes, maxPacketBytes, now }: AckedInAvoidance): Epoch {
    const epoch = this.#epoch ?? this.#beginEpoch(window, now);
    // "t [...] SHOULD NOT include periods during which cwnd has not been updated due to application-limited
    // behavior" (section 5.8).
    const pausedMs = this.#limitedSince === undefined ? 0 : now - this.#limitedSince;
    this.#limitedSince = undefined;
    this.#grownAt = now;
    // "Once W_est has grown to reach the cwnd at the time of most recently setting ssthresh [...] the sender SHOULD
    // set alpha_cubic to 1" (section 4.3).
    const alpha = epoch.windowOfReno < this.#windowMax ? ALPHA : 1;
    return this.#epoch = {
      startedAt: epoch.startedAt + pausedMs,
      kSeconds: epoch.kSeconds,
      windowOfReno: epoch.windowOfReno + (alpha * bytes) / maxPacketBytes / window,
    };
  }

  #beginEpoch(window: number, now: Milliseconds): Epoch {
    // Where nothing was lost since the last restart, the window is taken for W_max, and K is 0 (section 4.10).
    this.#windowMax = Math.max(this.#windowMax, window);
    // "K = cubic_root((W_max - cwnd_epoch) / C)" (section 4.2).
    const kSeconds = Math.cbrt((this.#windowMax - window) / CUBIC_C);
    return { startedAt: now, kSeconds, windowOfReno: window };
  }

  onLimited(): void {
    if (this.#epoch !== undefined) this.#limitedSince ??= this.#grownAt;
  }

  restart(): void {
    this.#windowMax = 0;
    this.#epoch = undefined;
    this.#limitedSince = undefined;
  }

  remember(): CubicMemory {
    return { windowMax: this.#windowMax, epoch: this.#epoch };
  }

  restore({ windowMax, epoch }: CubicMemory): void {
    this.#windowMax = windowMax;
    this.#epoch = epoch;
  }
}
