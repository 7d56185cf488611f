// How much reordering is borne before a packet counts as lost (RFC 9002, section 6.1).

import {
  PACKET_THRESHOLD,
  PACKET_THRESHOLD_MAX,
  THRESHOLDS_KEPT_PERIODS,
  TIME_THRESHOLD,
  TIME_THRESHOLD_MAX,
  TIME_THRESHOLD_STEP,
} from "./limits.ts";

/**
 * The thresholds of loss detection: "Implementations that detect spurious retransmissions and increase the reordering
 * threshold in packets or time" (section 6.1) are what this is for. They fall back when nothing has been late for long.
 */
export class ReorderingThresholds {
  /** Packet numbers that an acknowledged packet has to lie above one that counts as lost. */
  packets = PACKET_THRESHOLD;
  /** Round-trip times after which a packet counts as lost that was sent before an acknowledged one. */
  time = TIME_THRESHOLD;
  #periodsWithoutLate = 0;

  /** A packet was late that had counted as lost when the largest acknowledged number lay `distance` above it. */
  onLate(distance: number): void {
    this.#periodsWithoutLate = 0;
    if (distance >= this.packets) this.packets = Math.min(distance + 1, PACKET_THRESHOLD_MAX);
    else this.time = Math.min(this.time + TIME_THRESHOLD_STEP, TIME_THRESHOLD_MAX);
  }

  /** A recovery period began. */
  onRecoveryPeriod(): void {
    if (++this.#periodsWithoutLate <= THRESHOLDS_KEPT_PERIODS) return;
    this.packets = PACKET_THRESHOLD;
    this.time = TIME_THRESHOLD;
  }
}
