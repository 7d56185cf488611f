// How often and how long a client tries to make an association, whose handshake noise may spoil.

import { type Milliseconds, NEVER } from "../base/core.ts";
import type { SessionSettings } from "./limits.ts";

/** Counts and times the associations that a client tries. */
export class Connecting {
  readonly #settings: SessionSettings;
  readonly #until: Milliseconds;
  #attempts = 1;
  #attemptUntil: Milliseconds;
  /** When the next association begins; `NEVER` while there is one. */
  #nextAt: Milliseconds = NEVER;
  #lastFailure: string | undefined;
  #sameFailures = 0;

  constructor(settings: SessionSettings, now: Milliseconds) {
    this.#settings = settings;
    this.#until = now + settings.handshakeMsMax;
    this.#attemptUntil = now + settings.associationAttemptMs;
  }

  /** How many associations were tried. */
  get attempts(): number {
    return this.#attempts;
  }

  /**
   * The present association has failed. `failure` tells what may be a refusal, if it comes often enough, from others.
   * Returns whether there may be another association, after a pause.
   */
  giveUp(failure: string | undefined, now: Milliseconds): boolean {
    const isSame = failure !== undefined && failure === this.#lastFailure;
    this.#sameFailures = isSame ? this.#sameFailures + 1 : 1;
    this.#lastFailure = failure;
    const { associationAttemptsMax, associationPauseMs, associationPauseMsMax, sameFailuresMax } =
      this.#settings;
    const isFinal = this.#attempts >= associationAttemptsMax ||
      this.#sameFailures >= sameFailuresMax;
    if (isFinal) return false;
    // What the server still sends to this one is to have arrived before the next one begins.
    const pauseMs = associationPauseMs * 2 ** (this.#attempts - 1);
    this.#nextAt = now + Math.min(pauseMs, associationPauseMsMax);
    this.#attemptUntil = NEVER;
    return true;
  }

  /** When {@linkcode Connecting.onTimeout} is due. */
  deadline(): Milliseconds {
    return Math.min(this.#until, this.#attemptUntil, this.#nextAt);
  }

  /** What is due. `isVouchedFor`: something of the present association was authenticated; it is given its time. */
  onTimeout(now: Milliseconds, isVouchedFor: boolean): "wait" | "begin" | "fail" {
    if (now >= this.#until) return "fail";
    if (now < this.#attemptUntil && now < this.#nextAt) return "wait";
    const { associationAttemptsMax, associationAttemptMs, associationAttemptMsMax } =
      this.#settings;
    const isGivenTime = this.#nextAt === NEVER && isVouchedFor;
    if (isGivenTime || this.#attempts >= associationAttemptsMax) {
      this.#attemptUntil = NEVER;
      return "wait";
    }
    this.#nextAt = NEVER;
    const attemptMs = associationAttemptMs * 2 ** this.#attempts++;
    this.#attemptUntil = now + Math.min(attemptMs, associationAttemptMsMax);
    return "begin";
  }
}
