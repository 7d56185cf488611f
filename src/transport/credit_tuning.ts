// Credit that follows the measured bandwidth-delay product of a stream, within what a session may hold.

import type { Milliseconds } from "../base/core.ts";
import type { ReceiveCredit, TunedWindow } from "./credit.ts";
import { CREDIT_ROUND_TRIPS, type TransportLimits } from "./limits.ts";
import type { RttEstimator } from "./rtt.ts";

/**
 * Lends streams more credit than they begin with. What one of them has more, the session grants more, so that the
 * session's credit is never less than what slow readers of all streams may hold. Past the session's limit nothing is
 * lent.
 */
export class CreditTuning {
  readonly rtt: RttEstimator;
  readonly #sessionCredit: ReceiveCredit;
  readonly #streamBytesMax: number;
  /** Bytes that the session's window may still grow. */
  #roomBytes: number;
  /** Bytes by which it has grown and that no stream uses. */
  #spareBytes = 0;

  constructor(sessionCredit: ReceiveCredit, rtt: RttEstimator, limits: TransportLimits) {
    this.#sessionCredit = sessionCredit;
    this.rtt = rtt;
    this.#streamBytesMax = limits.streamCreditBytesMax;
    this.#roomBytes = Math.max(0, limits.sessionCreditBytesMax - limits.sessionCreditBytes);
  }

  /** Lends bytes to a stream whose window is `windowBytes`: as many as it wants, or as there are. */
  lend(wantedBytes: number, windowBytes: number): number {
    const lentBytes = Math.max(
      0,
      Math.min(wantedBytes, this.#streamBytesMax - windowBytes, this.#spareBytes + this.#roomBytes),
    );
    const grownBytes = Math.max(0, lentBytes - this.#spareBytes);
    this.#spareBytes -= lentBytes - grownBytes;
    this.#roomBytes -= grownBytes;
    this.#sessionCredit.grow(grownBytes);
    return lentBytes;
  }

  /** Takes bytes back. */
  takeBack(lentBytes: number): void {
    this.#spareBytes += lentBytes;
  }
}

/** The window of one stream. */
export class StreamWindow implements TunedWindow {
  readonly #tuning: CreditTuning;
  #lentBytes = 0;
  #measuredAt: Milliseconds | undefined;
  #measuredBytes = 0;

  constructor(tuning: CreditTuning) {
    this.#tuning = tuning;
  }

  growth(windowBytes: number, consumedBytes: number, now: Milliseconds): number {
    const { smoothedRtt } = this.#tuning.rtt;
    const begin = this.#measuredAt;
    const elapsedMs = now - (begin ?? now);
    // What is consumed at once says nothing of the path.
    if (begin !== undefined && elapsedMs < smoothedRtt / 4) return 0;
    const bytes = consumedBytes - this.#measuredBytes;
    this.#measuredAt = now;
    this.#measuredBytes = consumedBytes;
    if (begin === undefined) return 0;
    const productBytes = Math.round((bytes * smoothedRtt) / elapsedMs);
    const wantedBytes = CREDIT_ROUND_TRIPS * productBytes - windowBytes;
    if (wantedBytes <= 0) return 0;
    const lentBytes = this.#tuning.lend(wantedBytes, windowBytes);
    this.#lentBytes += lentBytes;
    return lentBytes;
  }

  /** The stream is over: what it was lent is free for others. */
  close(): void {
    this.#tuning.takeBack(this.#lentBytes);
    this.#lentBytes = 0;
  }
}
