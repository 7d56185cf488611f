// New Reno (RFC 9002, section 7.3).

import { LOSS_REDUCTION_FACTOR } from "./limits.ts";
import {
  type AckedInAvoidance,
  type AvoidanceRule,
  WindowController,
} from "./window_controller.ts";

/** New Reno as RFC 9002 has it. */
export class NewReno extends WindowController<undefined> {
  constructor(maxPacketBytes: number) {
    super(new NewRenoRule(), maxPacketBytes);
  }
}

class NewRenoRule implements AvoidanceRule<undefined> {
  readonly name = "newreno";

  reduce(congestionWindow: number): number {
    // "a sender MUST set the slow start threshold to half the value of the congestion window" (section 7.3.2).
    return congestionWindow * LOSS_REDUCTION_FACTOR;
  }

  grow(window: number, { bytes, maxPacketBytes }: AckedInAvoidance): number {
    // "at most one maximum datagram size for each congestion window that is acknowledged" (section 7.3.3).
    return window + (maxPacketBytes * bytes) / window;
  }

  onLimited(): void {}

  restart(): void {}

  remember(): undefined {}

  restore(): void {}
}
