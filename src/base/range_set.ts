// A set of integers kept as ordered, disjoint, half-open ranges.

/** A half-open range of integers: `start` belongs to it, `end` does not. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * A set of non-negative safe integers, stored as ranges: packet numbers received, request ids seen,
 * bytes of a message that are there. The caller bounds it by looking at {@linkcode RangeSet.rangeCount}.
 */
export class RangeSet {
  /** Starts and ends in turn: `[start0, end0, start1, end1, ...]`, rising, never touching. */
  readonly #edges: number[] = [];

  /** How many separate ranges the set has. */
  get rangeCount(): number {
    return this.#edges.length / 2;
  }

  /** Whether the set has no member. */
  get isEmpty(): boolean {
    return this.#edges.length === 0;
  }

  /** The smallest member, or `undefined` in an empty set. */
  get min(): number | undefined {
    return this.#edges[0];
  }

  /** The largest member, or `undefined` in an empty set. */
  get max(): number | undefined {
    const end = this.#edges.at(-1);
    return end === undefined ? undefined : end - 1;
  }

  /** How many members the set has. */
  get size(): number {
    let size = 0;
    for (let i = 0; i < this.#edges.length; i += 2) size += this.#edges[i + 1]! - this.#edges[i]!;
    return size;
  }

  /** The index of the first edge that is greater than `value`. */
  #edgeAbove(value: number): number {
    let low = 0;
    let high = this.#edges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#edges[middle]! > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Whether `value` is a member. */
  has(value: number): boolean {
    return this.#edgeAbove(value) % 2 === 1;
  }

  /** Whether every member of `[start, end)` belongs to the set; true for an empty range. */
  hasRange(start: number, end: number): boolean {
    if (start >= end) return true;
    const edge = this.#edgeAbove(start);
    return edge % 2 === 1 && this.#edges[edge]! >= end;
  }

  /** Adds one member. Returns whether it was new. */
  add(value: number): boolean {
    if (this.has(value)) return false;
    this.addRange(value, value + 1);
    return true;
  }

  /** Adds every member of `[start, end)`; nothing where it is empty. */
  addRange(start: number, end: number): void {
    if (start >= end) return;
    const edges = this.#edges;
    // The common case in every user: the set grows at its end.
    const last = edges.length - 1;
    if (last > 0 && start === edges[last]) {
      edges[last] = end;
      return;
    }
    if (last < 0) {
      edges.push(start, end);
      return;
    }
    this.#replace(start, end, true);
  }

  /** Removes every member of `[start, end)`; nothing where it is empty. */
  removeRange(start: number, end: number): void {
    if (start >= end) return;
    const edges = this.#edges;
    const isAll = edges.length > 0 && start <= edges[0]! && end >= edges.at(-1)!;
    if (isAll) edges.length = 0;
    else if (edges.length > 0) this.#replace(start, end, false);
  }

  /** Makes all of `[start, end)` member or not; ranges that touch a new member become one. */
  #replace(start: number, end: number, member: boolean): void {
    const first = this.#edgeAbove(start - 1);
    const after = this.#edgeAbove(end);
    // An edge is needed where membership changes: outside before a new member, inside before a removed one.
    const outside = member ? 0 : 1;
    const edges: number[] = [];
    if (first % 2 === outside) edges.push(start);
    if (after % 2 === outside) edges.push(end);
    this.#edges.splice(first, after - first, ...edges);
  }

  /** The range at an index below {@linkcode RangeSet.rangeCount}, in rising order. */
  rangeAt(index: number): Range {
    return { start: this.#edges[2 * index]!, end: this.#edges[2 * index + 1]! };
  }

  /** The ranges in rising order. */
  *ranges(): Generator<Range> {
    for (let i = 0; i < this.rangeCount; i++) yield this.rangeAt(i);
  }

  /** The first range that is missing from `[start, end)`, or `undefined` where all of it is there. */
  firstGap(start: number, end: number): Range | undefined {
    const edge = this.#edgeAbove(start);
    const gapStart = edge % 2 === 1 ? this.#edges[edge]! : start;
    if (gapStart >= end) return undefined;
    const next = edge % 2 === 1 ? edge + 1 : edge;
    return { start: gapStart, end: Math.min(end, this.#edges[next] ?? end) };
  }

  /** Removes every member. */
  clear(): void {
    this.#edges.length = 0;
  }
}
