// Puts the fragments of one message together.

import { RangeSet } from "../base/range_set.ts";
import type { Fragment } from "../wire/fragment.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import { BYTE_RANGES_MAX } from "./limits.ts";

/** A message of which some fragments have arrived. */
export class MessageAssembler {
  readonly #bytes: Uint8Array;
  readonly #present = new RangeSet();

  constructor(totalBytes: number) {
    this.#bytes = new Uint8Array(totalBytes);
  }

  /** Length of the whole message. */
  get totalBytes(): number {
    return this.#bytes.length;
  }

  /**
   * Takes a fragment, in any order, and returns the message when it is complete. Throws {@linkcode TransportFault}
   * where it contradicts an earlier one.
   */
  add({ offset, totalBytes, bytes }: Fragment): Uint8Array | undefined {
    if (totalBytes !== this.#bytes.length) {
      throw new TransportFault(TransportFaultCode.FRAGMENT_CONFLICT, "total lengths differ");
    }
    const end = offset + bytes.length;
    let start = offset;
    for (let gap; (gap = this.#present.firstGap(start, end)) !== undefined; start = gap.end) {
      this.#compare(bytes, offset, start, gap.start);
      this.#bytes.set(bytes.subarray(gap.start - offset, gap.end - offset), gap.start);
    }
    this.#compare(bytes, offset, start, end);
    this.#present.addRange(offset, end);
    if (this.#present.rangeCount > BYTE_RANGES_MAX) {
      throw new TransportFault(TransportFaultCode.LIMIT_EXCEEDED, "a message has too many gaps");
    }
    return this.#present.hasRange(0, this.#bytes.length) ? this.#bytes : undefined;
  }

  /** Fragments may overlap only with equal bytes. */
  #compare(bytes: Uint8Array, offset: number, start: number, end: number): void {
    for (let i = start; i < end; i++) {
      if (bytes[i - offset] !== this.#bytes[i]) {
        throw new TransportFault(TransportFaultCode.FRAGMENT_CONFLICT, "overlapping bytes differ");
      }
    }
  }
}
