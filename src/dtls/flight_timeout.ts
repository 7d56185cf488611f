// How long a flight waits for its answer (RFC 9147 section 5.8.2).

import type { Milliseconds } from "../base/core.ts";
import type { DtlsLimits } from "./limits.ts";

/** RFC 9147 section 5.8.2: "1.5 times the measured round trip time". */
const TIMEOUT_ROUND_TRIPS = 1.5;

/** The retransmission timeout of one association. */
export class FlightTimeout {
  readonly #limits: DtlsLimits;
  /** What a flight begins with. */
  #firstMs: Milliseconds;
  #ms: Milliseconds;

  constructor(limits: DtlsLimits) {
    this.#limits = limits;
    this.#firstMs = limits.initialTimeoutMs;
    this.#ms = limits.initialTimeoutMs;
  }

  /** The timeout as it is. */
  get ms(): Milliseconds {
    return this.#ms;
  }

  /**
   * A flight begins. The RFC would retain the doubled timeout of the last one until a round trip is measured: with
   * random loss that would make the next flight wait for the misfortune of the last.
   */
  restart(): void {
    this.#ms = this.#firstMs;
  }

  /** RFC 9147 section 5.8.2: "double the value at each retransmission, up to no less than 60 seconds". */
  double(): void {
    this.#ms = Math.min(2 * this.#ms, this.#limits.timeoutMsMax);
  }

  /**
   * RFC 9147 section 5.8.2: a message that is "acknowledged without having to be retransmitted" shows the round trip:
   * "the value SHOULD be adjusted to 1.5 times the measured round trip time for that message".
   */
  measure(roundTripMs: Milliseconds): void {
    const { timeoutMsMin, initialTimeoutMs, timeoutMsMax } = this.#limits;
    const leastMs = Math.min(timeoutMsMin, initialTimeoutMs);
    const measuredMs = TIMEOUT_ROUND_TRIPS * roundTripMs;
    this.#firstMs = Math.min(Math.max(measuredMs, leastMs), timeoutMsMax);
  }

  /** Changes the first timeout while one that was doubled so often is running; returns by how much that one grows. */
  change(firstMs: Milliseconds, doublings: number): Milliseconds {
    const before = this.#ms;
    this.#firstMs = firstMs;
    this.#ms = Math.min(2 ** doublings * firstMs, this.#limits.timeoutMsMax);
    return this.#ms - before;
  }
}
