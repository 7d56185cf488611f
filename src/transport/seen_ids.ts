// Ids that are used once and rise: which of them are over.

import { RangeSet } from "../base/range_set.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import { SEEN_RANGES_MAX } from "./limits.ts";

/** The ids of a peer that were used up, with a limit on the gaps between them. */
export class SeenIds {
  readonly #over = new RangeSet();
  readonly #gapMax: number;
  #largest = 0;

  constructor(gapMax: number) {
    this.#gapMax = gapMax;
  }

  /** Whether an id is over. */
  has(id: number): boolean {
    return this.#over.has(id);
  }

  /** Notes that an id is in use. Throws {@linkcode TransportFault} where it lies too far above all others. */
  use(id: number): void {
    if (id > this.#largest + this.#gapMax) {
      throw new TransportFault(
        TransportFaultCode.LIMIT_EXCEEDED,
        `id ${id} leaves too large a gap`,
      );
    }
    this.#largest = Math.max(this.#largest, id);
  }

  /**
   * Notes that an id is over. Throws {@linkcode TransportFault} where too many gaps lie between those that are: the peer skips ids,
   * because each that it used would be over or in a table that is smaller.
   */
  end(id: number): void {
    this.#over.add(id);
    if (this.#over.rangeCount > SEEN_RANGES_MAX) {
      throw new TransportFault(TransportFaultCode.LIMIT_EXCEEDED, "too many ids were skipped");
    }
  }

  /** Forgets all ids. */
  clear(): void {
    this.#over.clear();
  }
}
