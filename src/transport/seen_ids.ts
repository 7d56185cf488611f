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

  /** Whether a new id may come: not where too many gaps lie between those that are over. */
  get hasRoom(): boolean {
    return this.#over.rangeCount <= SEEN_RANGES_MAX;
  }

  /**
   * Notes that an id is in use. Throws {@linkcode TransportFault} where it lies too far above all others, and
   * where the peer skipped too many: each id that it used is over or in a table that is smaller than the gaps
   * allowed.
   */
  use(id: number): void {
    if (id > this.#largest + this.#gapMax) {
      throw new TransportFault(
        TransportFaultCode.LIMIT_EXCEEDED,
        `id ${id} leaves too large a gap`,
      );
    }
    if (!this.hasRoom) {
      throw new TransportFault(TransportFaultCode.LIMIT_EXCEEDED, "too many ids were skipped");
    }
    this.#largest = Math.max(this.#largest, id);
  }

  /** Notes that an id is over. */
  end(id: number): void {
    this.#over.add(id);
  }

  /** Forgets all ids. */
  clear(): void {
    this.#over.clear();
  }
}
