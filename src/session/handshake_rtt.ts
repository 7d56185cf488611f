// A first idea of the path's round-trip time, from the flights of the security layer's handshake.

import type { Milliseconds } from "../base/core.ts";
import { INITIAL_RTT_MS } from "../transport/limits.ts";

/** The least that a path is taken to need, whatever a handshake among retransmissions looked like. */
const RTT_MS_MIN = 10;

/** Times the answers to the datagrams of a handshake. */
export class HandshakeRtt {
  #sentAt: Milliseconds | undefined;
  #rttMs: number | undefined;

  /** A datagram was sent. */
  onSent(now: Milliseconds): void {
    this.#sentAt = now;
  }

  /** A datagram was received. */
  onReceived(now: Milliseconds): void {
    if (this.#sentAt === undefined) return;
    // The answer to one that was sent again seems to come early: the longest time counts.
    this.#rttMs = Math.max(this.#rttMs ?? RTT_MS_MIN, now - this.#sentAt);
  }

  /** The round-trip time, RFC 9002's guess where there is none; never more, which one lost datagram would make it. */
  get estimateMs(): number {
    return Math.min(this.#rttMs ?? INITIAL_RTT_MS, INITIAL_RTT_MS);
  }
}
