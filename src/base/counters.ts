// Counts by reason. What is dropped in silence is counted, so that an operator can see it.

/** Counts of named things. The set of names is fixed by the type, so it is bounded. */
export class Counters<Name extends string> {
  /** There are many counters of which nothing is ever counted. */
  #counts: Map<Name, number> | undefined;

  /** Adds one, or `count`, to a name. */
  add(name: Name, count = 1): void {
    this.#counts ??= new Map();
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  /** The count of a name, 0 if it was never added to. */
  get(name: Name): number {
    return this.#counts?.get(name) ?? 0;
  }

  /** The sum over all names. */
  total(): number {
    let total = 0;
    for (const count of this.#counts?.values() ?? []) total += count;
    return total;
  }

  /** All names that were counted, with their counts. */
  snapshot(): Record<string, number> {
    return Object.fromEntries(this.#counts ?? []);
  }
}
