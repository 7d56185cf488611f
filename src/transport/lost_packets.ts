// Packets that were declared lost, remembered for a while: one that is acknowledged after all was not lost but late.

import type { Milliseconds } from "../base/core.ts";
import { type Ack, isAcked } from "../wire/ack.ts";
import { LOST_HISTORY_PACKETS } from "./limits.ts";
import type { SentPacket } from "./sent_packet.ts";

interface LostPacket {
  readonly packet: SentPacket;
  readonly period: number;
  readonly distance: number;
}

/** A packet that was declared lost and has arrived. */
export interface LatePacket {
  readonly packet: SentPacket;
  /** How far above its number the largest acknowledged one was when it was given up. */
  readonly distance: number;
}

/**
 * Remembers lost packets, and which recovery period they belong to. When all packets of the newest period have arrived
 * after all, there was no congestion, and the response to it may be undone (RFC 9438, section 4.9.2).
 */
export class LostPackets {
  readonly #lost = new Map<number, LostPacket>();
  #period = 0;
  /** Packets of the newest period that are still missing. */
  #missing = 0;

  /** Begins a recovery period: packets added from now on are what it was entered for. */
  beginPeriod(): void {
    this.#period++;
    this.#missing = 0;
  }

  /** The newest period can no longer be undone. */
  forgetPeriod(): void {
    this.#period++;
    this.#missing = Infinity;
  }

  /** Remembers a lost packet. */
  add(packet: SentPacket, largestAcked: number): void {
    if (this.#lost.size >= LOST_HISTORY_PACKETS) {
      // One that is forgotten stays missing, so its period stays as it is.
      this.#lost.delete(this.#lost.keys().next().value!);
    }
    const distance = largestAcked - packet.number;
    this.#lost.set(packet.number, { packet, period: this.#period, distance });
    this.#missing++;
  }

  /** Forgets packets that were sent before `sentBefore`. */
  expire(sentBefore: Milliseconds): void {
    for (const [number, { packet }] of this.#lost) {
      if (packet.sentAt >= sentBefore) return;
      this.#lost.delete(number);
    }
  }

  /** Takes out the packets that an Ack reports. */
  takeAcked(ack: Ack): { late: LatePacket[]; isPeriodSpurious: boolean } {
    const late: LatePacket[] = [];
    let isPeriodSpurious = false;
    for (const [number, { packet, period, distance }] of this.#lost) {
      if (!isAcked(ack, number)) continue;
      this.#lost.delete(number);
      late.push({ packet, distance });
      if (period !== this.#period) continue;
      this.#missing--;
      isPeriodSpurious = this.#missing === 0;
    }
    return { late, isPeriodSpurious };
  }

  /** Forgets everything. */
  clear(): void {
    this.#lost.clear();
    this.forgetPeriod();
  }
}
