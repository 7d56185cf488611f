// What holds of a transport at every moment of every simulation.

import { assert, assertEquals } from "@std/assert";
import type { TransportLimits } from "../../src/transport/limits.ts";
import type { TransportStats } from "../../src/transport/stats.ts";
import type { Transport } from "../../src/transport/transport.ts";

/** Bytes that a transport may hold beyond what its limits say: whole blocks of streams that are partly there. */
const BLOCKS_BYTES = 1_048_576;

/** Watches one transport. */
export class TransportInvariants {
  readonly #transport: Transport;
  readonly #limits: TransportLimits;
  #before: TransportStats;
  #lostAtExcess = 0;
  #timeoutsAtExcess = 0;
  /** Packets that went out past a full window. */
  #excess = 0;

  constructor(transport: Transport, limits: TransportLimits) {
    this.#transport = transport;
    this.#limits = limits;
    this.#before = transport.stats();
  }

  /** Looks at it, at any time. */
  check(): void {
    const stats = this.#transport.stats();
    const { packetsSent, packetsAcked, packetsLost, packetsInFlight } = stats;
    assertEquals(packetsSent, packetsAcked + packetsLost + packetsInFlight, "sent packets");
    assert(stats.packetsLate <= packetsLost && stats.bytesInFlight >= 0);
    // What a stream sends past its credit, its receiver takes for a fault.
    assert(stats.sessionBytesSent <= stats.sessionCreditBytes, "more sent than credit");
    assert(stats.sessionBytesConsumed <= stats.sessionBytesReceived);
    const { sessionCreditBytesMax, sendMessageBytesMax, streamsMax } = this.#limits;
    const heldMax = Math.max(sessionCreditBytesMax, this.#limits.sessionCreditBytes) +
      sendMessageBytesMax + stats.sendStreams * this.#limits.sendStreamBytesMax + BLOCKS_BYTES;
    assert(this.#transport.bufferedBytes <= heldMax, `${this.#transport.bufferedBytes} bytes held`);
    assert(stats.sendStreams <= streamsMax && stats.receiveStreams <= streamsMax);
  }

  /**
   * Looks at it after each thing that it did. A packet past a full window is a probe, or the one of a recovery period
   * that begins, or the end of a session.
   */
  checkEach(): void {
    this.check();
    const stats = this.#transport.stats();
    this.#checkWindow(stats);
    this.#before = stats;
  }

  #checkWindow(stats: TransportStats): void {
    const sent = stats.packetsSent - this.#before.packetsSent;
    if (sent === 0 || stats.bytesInFlight <= stats.congestionWindow) return;
    this.#excess += sent;
    const isRecovery = stats.packetsLost > this.#lostAtExcess;
    const isProbe = stats.ptoCount !== this.#timeoutsAtExcess || stats.ptoCount > 0;
    assert(isRecovery || isProbe || this.#excess <= 2, "a packet past a full window");
    this.#lostAtExcess = stats.packetsLost;
    this.#timeoutsAtExcess = stats.ptoCount;
    if (isRecovery || isProbe) this.#excess = 0;
  }
}
