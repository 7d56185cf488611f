// Round-trip time estimation (RFC 9002, section 5).

import type { Milliseconds } from "../base/core.ts";
import { GRANULARITY_MS, INITIAL_RTT_MS, MAX_ACK_DELAY_MS } from "./limits.ts";

/** Estimates the round-trip time of a path. All times in milliseconds. */
export class RttEstimator {
  latestRtt = 0;
  minRtt = 0;
  smoothedRtt = INITIAL_RTT_MS;
  rttvar = INITIAL_RTT_MS / 2;
  /** When the first sample was taken, `undefined` before. */
  firstSampleAt: Milliseconds | undefined;
  /** Whether the SQP handshake is done, after which the peer keeps to its maximum delay. */
  handshakeConfirmed = false;

  /** Begins with what is known of the path, until the first sample. */
  setInitial(rttMs: number): void {
    this.smoothedRtt = rttMs;
    this.rttvar = rttMs / 2;
  }

  /** Another path: nothing is known of it, or what `initialRttMs` says. */
  restart(initialRttMs: number = INITIAL_RTT_MS): void {
    this.latestRtt = 0;
    this.minRtt = 0;
    this.firstSampleAt = undefined;
    this.setInitial(initialRttMs);
  }

  /** Takes the time from sending a packet to its acknowledgement, and the delay that the peer reported. */
  update(latestRtt: number, reportedAckDelayMs: number, now: Milliseconds): void {
    this.latestRtt = latestRtt;
    if (this.firstSampleAt === undefined) {
      // "On the first RTT sample after initialization, smoothed_rtt and rttvar are set as follows" (section 5.3).
      this.firstSampleAt = now;
      this.minRtt = latestRtt;
      this.smoothedRtt = latestRtt;
      this.rttvar = latestRtt / 2;
      return;
    }
    // "min_rtt [...] ignoring acknowledgment delay" (section 5.2).
    this.minRtt = Math.min(this.minRtt, latestRtt);
    // "MUST use the lesser of the acknowledgment delay and the peer's max_ack_delay after the handshake is
    // confirmed" (section 5.3).
    const ackDelay = this.handshakeConfirmed
      ? Math.min(reportedAckDelayMs, MAX_ACK_DELAY_MS)
      : reportedAckDelayMs;
    // "MUST NOT subtract the acknowledgment delay from the RTT sample if the resulting value is smaller than the
    // min_rtt" (section 5.3).
    const adjusted = latestRtt >= this.minRtt + ackDelay ? latestRtt - ackDelay : latestRtt;
    this.rttvar = (3 * this.rttvar + Math.abs(this.smoothedRtt - adjusted)) / 4;
    this.smoothedRtt = (7 * this.smoothedRtt + adjusted) / 8;
  }

  /** What the path needs at least is learnt anew, from the newest sample on. */
  restartMin(): void {
    this.minRtt = this.latestRtt;
  }

  /** "PTO = smoothed_rtt + max(4*rttvar, kGranularity) + max_ack_delay" (section 6.2.1), before back-off. */
  get probeTimeoutMs(): number {
    return this.smoothedRtt + Math.max(4 * this.rttvar, GRANULARITY_MS) + MAX_ACK_DELAY_MS;
  }
}
