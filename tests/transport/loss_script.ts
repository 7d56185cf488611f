// A small language for loss recovery: send, ack, advance, wantLost.

import { assertAlmostEquals, assertEquals } from "@std/assert";
import { LossState } from "../../src/transport/loss_state.ts";
import { NewReno } from "../../src/transport/new_reno.ts";
import { PathMtu } from "../../src/transport/path_mtu.ts";
import { decodeAck } from "../../src/wire/ack.ts";
import { ack } from "../harness/script.ts";

/** Bytes of each packet unless told otherwise. */
export const PACKET = 1_200;

/** The sender of packets, after lossTest of golang.org/x/net/quic. */
export class LossTest {
  now = 1_000_000;
  readonly congestion = new NewReno(PACKET);
  readonly pathMtu = new PathMtu(PACKET, PACKET);
  readonly state: LossState;
  readonly lost: number[] = [];
  readonly acked: number[] = [];

  constructor(dead = { deadProbeTimeoutsMin: 5, deadSilenceMs: 20_000 }) {
    this.state = new LossState(this.congestion, dead, this.pathMtu);
    this.state.onPacketReceived(this.now);
    this.state.limited = false;
  }

  send(count: number, { bytes = PACKET, eliciting = true, isMtuProbe = false } = {}): void {
    for (; count > 0; count--) {
      const number = this.state.nextNumber;
      const owner = {
        onAcked: () => void this.acked.push(number),
        onLost: () => void this.lost.push(number),
      };
      this.state.onPacketSent({
        number,
        sentAt: this.now,
        bytes,
        ackEliciting: eliciting,
        isMtuProbe,
        frames: [{ owner, start: 0, end: 0 }],
      });
    }
  }

  ack(...numbers: number[]): void {
    this.state.onAckReceived(decodeAck(ack(...numbers).payload), this.now);
  }

  advance(ms: number): void {
    this.now += ms;
  }

  /** Runs the timer after `ms`, which must be when it is due. */
  timeout(ms: number): string {
    assertAlmostEquals(this.state.deadline() - this.now, ms, 1e-6);
    this.now = this.state.deadline();
    return this.state.onTimeout(this.now);
  }

  wantLost(...numbers: number[]): void {
    assertEquals(this.lost.splice(0), numbers);
  }

  wantAcked(...numbers: number[]): void {
    assertEquals(this.acked.splice(0), numbers);
  }

  wantWindow(packets: number): void {
    assertAlmostEquals(this.congestion.congestionWindow / PACKET, packets, 0.01);
  }
}
