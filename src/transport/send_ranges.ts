// Which bytes of something are still to be sent, and which have arrived.

import { type Range, RangeSet } from "../base/range_set.ts";

/** Tracks the bytes of a message or stream from 0 up. Lost bytes go before new ones. */
export class SendRanges {
  /** Bytes below were sent at least once. */
  #next = 0;
  /** Bytes to be sent again; made when needed, because most things are never lost. */
  #lost: RangeSet | undefined;
  readonly #acked = new RangeSet();

  /** Bytes sent at least once. */
  get sentBytes(): number {
    return this.#next;
  }

  /** How many bytes from 0 have arrived without a gap. */
  get ackedPrefix(): number {
    return this.#acked.firstGap(0, Infinity)?.start ?? 0;
  }

  /** Whether bytes wait to be sent again. */
  get hasLost(): boolean {
    return this.#lost !== undefined && !this.#lost.isEmpty;
  }

  /** Whether there is something to send below `limit`. */
  wantsToSend(limit: number): boolean {
    return this.#next < limit || this.hasLost;
  }

  /** Takes the next bytes to send, at most `lengthMax` of them; new ones only below `limit`. */
  take(limit: number, lengthMax: number): Range | undefined {
    const lost = this.#lost;
    const start = lost?.min;
    if (lost !== undefined && start !== undefined) {
      const end = lost.firstGap(start, start + lengthMax)?.start ?? start + lengthMax;
      lost.removeRange(start, end);
      return { start, end };
    }
    if (this.#next >= limit) return undefined;
    const range = { start: this.#next, end: Math.min(limit, this.#next + lengthMax) };
    this.#next = range.end;
    return range;
  }

  /** Notes that bytes have arrived. */
  onAcked(start: number, end: number): void {
    this.#acked.addRange(start, end);
    this.#lost?.removeRange(start, end);
  }

  /** Has bytes sent again, those that have not arrived. */
  onLost(start: number, end: number): void {
    for (let gap; (gap = this.#acked.firstGap(start, end)) !== undefined; start = gap.end) {
      (this.#lost ??= new RangeSet()).addRange(gap.start, gap.end);
    }
  }
}
