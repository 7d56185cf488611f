// The sliding window that refuses a record which was received before (RFC 9147 section 4.5.1).

import { lastingBytes } from "../base/short_bytes.ts";

/** Records that a window has room for at first: most associations receive few, and there may be many associations. */
const FIRST_RECORDS = 64;

/**
 * Remembers which of the newest record numbers of one epoch were received. Checking never changes it; only
 * {@linkcode ReplayWindow.accept} does, after the record was authenticated.
 */
export class ReplayWindow {
  /** One bit for each record, at its number modulo their count, which grows up to the window's. */
  #bits: Uint8Array;
  readonly #windowRecords: number;
  /** The record number after the largest accepted one. */
  #next = 0;

  /** `windowRecords` is a multiple of 8. */
  constructor(windowRecords: number) {
    this.#windowRecords = windowRecords;
    this.#bits = lastingBytes(Math.min(windowRecords, FIRST_RECORDS) / 8);
  }

  /** The record number after the largest that was accepted. */
  get next(): number {
    return this.#next;
  }

  /** What a record number is to this window. */
  check(recordNumber: number): "new" | "replay" | "too-old" {
    if (recordNumber >= this.#next) return "new";
    if (recordNumber < this.#next - this.#windowRecords) return "too-old";
    const slot = this.#slot(recordNumber);
    return (this.#bits[slot >>> 3]! & (1 << (slot & 7))) === 0 ? "new" : "replay";
  }

  /**
   * RFC 9147 section 4.5.1: "The window MUST NOT be updated due to a received record until that record has been
   * deprotected successfully."
   */
  accept(recordNumber: number): void {
    const ahead = recordNumber - this.#next;
    this.#grow(recordNumber);
    if (ahead >= this.#windowRecords) this.#bits.fill(0);
    else for (let number = this.#next; number < recordNumber; number++) this.#clear(number);
    if (ahead >= 0) this.#next = recordNumber + 1;
    const slot = this.#slot(recordNumber);
    this.#bits[slot >>> 3]! |= 1 << (slot & 7);
  }

  #slot(recordNumber: number): number {
    return recordNumber % (8 * this.#bits.length);
  }

  /** Until the window has its whole size, no number was above that of its bits, so each bit keeps its place. */
  #grow(recordNumber: number): void {
    let records = 8 * this.#bits.length;
    if (recordNumber < records || records === this.#windowRecords) return;
    while (records <= recordNumber && records < this.#windowRecords) records *= 2;
    const bits = lastingBytes(Math.min(records, this.#windowRecords) / 8);
    bits.set(this.#bits);
    this.#bits = bits;
  }

  #clear(recordNumber: number): void {
    const slot = this.#slot(recordNumber);
    this.#bits[slot >>> 3]! &= ~(1 << (slot & 7));
  }
}
