// HyStart++: leaves slow start when the round-trip time rises, before packets are lost (RFC 9406).

import {
  CSS_GROWTH_DIVISOR,
  CSS_ROUNDS,
  HYSTART_RTT_SAMPLES,
  HYSTART_RTT_THRESHOLD_MS_MAX,
  HYSTART_RTT_THRESHOLD_MS_MIN,
  MIN_RTT_DIVISOR,
} from "./limits.ts";

/** The first slow start of a path, and the conservative slow start (CSS) in which its end is tried. */
export class HyStart {
  #largestSent = -1;
  /** The round ends with the acknowledgement of a packet above this. */
  #windowEnd = -1;
  #lastRoundMinRtt = Infinity;
  #currentRoundMinRtt = Infinity;
  #sampleCount = 0;
  /** The round-trip time at which CSS began, `Infinity` outside of it. */
  #cssBaselineMinRtt = Infinity;
  #cssRounds = 0;

  /** What the growth of slow start is divided by. */
  get growthDivisor(): number {
    return this.#cssBaselineMinRtt === Infinity ? 1 : CSS_GROWTH_DIVISOR;
  }

  /** A packet was sent. */
  onPacketSent(number: number): void {
    this.#largestSent = number;
  }

  /** Takes the round-trip time of an acknowledged packet. Returns whether slow start is over. */
  onPacketAcked(number: number, rttMs: number): boolean {
    // "When windowEnd is ACKed, the current round ends" (section 4.2).
    if (number > this.#windowEnd && this.#endRound()) return true;
    this.#currentRoundMinRtt = Math.min(this.#currentRoundMinRtt, rttMs);
    if (++this.#sampleCount < HYSTART_RTT_SAMPLES) return false;
    if (this.#cssBaselineMinRtt === Infinity) this.#enterCssIfDelayed();
    // "If the current round's minRTT drops below the baseline, resume slow start" (section 4.2).
    else if (this.#currentRoundMinRtt < this.#cssBaselineMinRtt) this.#cssBaselineMinRtt = Infinity;
    return false;
  }

  /** Returns whether enough rounds of CSS have passed. */
  #endRound(): boolean {
    this.#lastRoundMinRtt = this.#currentRoundMinRtt;
    this.#currentRoundMinRtt = Infinity;
    this.#sampleCount = 0;
    this.#windowEnd = this.#largestSent;
    // "CSS lasts at most CSS_ROUNDS rounds" (section 4.2).
    return this.#cssBaselineMinRtt !== Infinity && ++this.#cssRounds >= CSS_ROUNDS;
  }

  #enterCssIfDelayed(): void {
    if (this.#lastRoundMinRtt === Infinity) return;
    const threshold = Math.max(
      HYSTART_RTT_THRESHOLD_MS_MIN,
      Math.min(this.#lastRoundMinRtt / MIN_RTT_DIVISOR, HYSTART_RTT_THRESHOLD_MS_MAX),
    );
    // "if (currentRoundMinRTT >= (lastRoundMinRTT + RttThresh)) cssBaselineMinRtt = currentRoundMinRTT, exit slow
    // start and enter CSS" (section 4.2).
    if (this.#currentRoundMinRtt < this.#lastRoundMinRtt + threshold) return;
    this.#cssBaselineMinRtt = this.#currentRoundMinRtt;
    this.#cssRounds = 0;
  }
}
