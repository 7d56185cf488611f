// The sliding window that refuses a record which was received before (RFC 9147 section 4.5.1).

/**
 * Remembers which of the newest record numbers of one epoch were received. Checking never changes it; only
 * {@linkcode ReplayWindow.accept} does, after the record was authenticated.
 */
export class ReplayWindow {
  readonly #bits: Uint32Array;
  readonly #windowRecords: number;
  /** The record number after the largest accepted one. */
  #next = 0;

  /** `windowRecords` is a multiple of 32. */
  constructor(windowRecords: number) {
    this.#windowRecords = windowRecords;
    this.#bits = new Uint32Array(windowRecords / 32);
  }

  /** The record number after the largest that was accepted. */
  get next(): number {
    return this.#next;
  }

  /** What a record number is to this window. */
  check(recordNumber: number): "new" | "replay" | "too-old" {
    if (recordNumber >= this.#next) return "new";
    if (recordNumber < this.#next - this.#windowRecords) return "too-old";
    const slot = recordNumber % this.#windowRecords;
    return (this.#bits[slot >>> 5]! & (1 << (slot & 31))) === 0 ? "new" : "replay";
  }

  /**
   * RFC 9147 section 4.5.1: "The window MUST NOT be updated due to a received record until that record has been
   * deprotected successfully."
   */
  accept(recordNumber: number): void {
    const ahead = recordNumber - this.#next;
    if (ahead >= this.#windowRecords) this.#bits.fill(0);
    else for (let number = this.#next; number < recordNumber; number++) this.#clear(number);
    if (ahead >= 0) this.#next = recordNumber + 1;
    const slot = recordNumber % this.#windowRecords;
    this.#bits[slot >>> 5]! |= 1 << (slot & 31);
  }

  #clear(recordNumber: number): void {
    const slot = recordNumber % this.#windowRecords;
    this.#bits[slot >>> 5]! &= ~(1 << (slot & 31));
  }
}
