// Spreads packets over the round trip (RFC 9002, section 7.7).

import { type Milliseconds, NEVER } from "../base/core.ts";
import {
  GRANULARITY_MS,
  INITIAL_WINDOW_PACKETS,
  PACING_BURST_MS,
  PACING_GAIN,
  PACING_GAIN_SLOW_START,
} from "./limits.ts";

/** Time differences below this are lost in the number of milliseconds since the epoch. */
const RESOLUTION_MS = 0.001;

/** What the rate follows from. */
export interface PacedPath {
  readonly congestionWindow: number;
  readonly ssthresh: number;
  readonly smoothedRtt: number;
  readonly maxPacketBytes: number;
}

/** A bucket that fills at the pace of the congestion window, and that each packet takes its bytes out of, into debt. */
export class Pacer {
  #bytes = 0;
  #filledAt: Milliseconds = -Infinity;
  /** When a packet may be sent that was held back; `NEVER` where none was. */
  heldUntil: Milliseconds = NEVER;

  /** Whether a packet may be sent now; otherwise {@linkcode Pacer.heldUntil} says when. */
  maySend(path: PacedPath, now: Milliseconds): boolean {
    const gain = path.congestionWindow < path.ssthresh ? PACING_GAIN_SLOW_START : PACING_GAIN;
    // "rate = N * congestion_window / smoothed_rtt" (section 7.7).
    const bytesPerMs = gain * path.congestionWindow / Math.max(path.smoothedRtt, GRANULARITY_MS);
    // "Senders SHOULD limit bursts to the initial congestion window" (section 7.7), or to what one turn of the timer
    // needs where the path is fast.
    const capacity = Math.max(
      INITIAL_WINDOW_PACKETS * path.maxPacketBytes,
      bytesPerMs * PACING_BURST_MS,
    );
    const elapsedMs = now - this.#filledAt;
    if (elapsedMs > 0) {
      this.#bytes = Math.min(capacity, this.#bytes + elapsedMs * bytesPerMs);
      this.#filledAt = now;
    }
    if (this.#bytes > 0) return true;
    // The time has a resolution: what is missing must take long enough to be seen in it.
    this.heldUntil = now + Math.max(-this.#bytes / bytesPerMs, RESOLUTION_MS) + RESOLUTION_MS;
    return false;
  }

  /** An ack-eliciting packet was sent. */
  onPacketSent(lengthBytes: number): void {
    this.#bytes = Math.max(this.#bytes, 0) - lengthBytes;
  }

  /** Nothing is held back. */
  release(): void {
    this.heldUntil = NEVER;
  }
}
