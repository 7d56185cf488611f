// How much of the congestion window is used where the application does not fill it (RFC 7661, "pipeACK").

import type { Milliseconds } from "../base/core.ts";
import { WINDOW_USE_MS_MIN, WINDOW_USE_ROUND_TRIPS } from "./limits.ts";

/** Measures what is acknowledged in a round trip; the largest of some is what the path is known to carry. */
export class WindowUse {
  #startedAt: Milliseconds | undefined;
  #ackedBytes = 0;
  #largestBytes = 0;
  #largestAt: Milliseconds = 0;

  /** Counts acknowledged bytes. */
  onAcked(lengthBytes: number, smoothedRtt: number, now: Milliseconds): void {
    this.#startedAt ??= now;
    if (now - this.#startedAt >= smoothedRtt) {
      this.#startedAt = now;
      this.#ackedBytes = 0;
    }
    this.#ackedBytes += lengthBytes;
    // "a pipeACK sampling period [...] of max(3*RTT, 1 second)" (RFC 7661, section 4.2).
    const keptMs = Math.max(WINDOW_USE_ROUND_TRIPS * smoothedRtt, WINDOW_USE_MS_MIN);
    if (this.#ackedBytes < this.#largestBytes && now - this.#largestAt < keptMs) return;
    this.#largestBytes = this.#ackedBytes;
    this.#largestAt = now;
  }

  /** Whether at least half of the window is used: "pipeACK >= (1/2)*cwnd" (RFC 7661, section 4.3), and it may grow. */
  isValidated(congestionWindow: number): boolean {
    return this.#largestBytes >= congestionWindow / 2;
  }
}
