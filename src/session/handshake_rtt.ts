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
    // What comes late was held up by a loss, which says nothing of the path: the shortest time counts. An answer that
    // comes after a retransmission of what it answers may seem early; that costs a probe too many.
    this.#rttMs = Math.max(Math.min(this.#rttMs ?? INITIAL_RTT_MS, now - this.#sentAt), RTT_MS_MIN);
    this.#sentAt = undefined;
  }

  /** The round-trip time, RFC 9002's guess where there is none; never more than that. */
  get estimateMs(): number {
    return this.#rttMs ?? INITIAL_RTT_MS;
  }
}
