// The deadlines of many things, of which only the earliest is ever asked for: a binary heap that knows its places.

import { type Milliseconds, NEVER } from "./core.ts";

interface Entry<Key> {
  readonly key: Key;
  at: Milliseconds;
  index: number;
}

/** One deadline for each key; setting, clearing and taking cost the logarithm of their number. */
export class DeadlineHeap<Key> {
  readonly #entries = new Map<Key, Entry<Key>>();
  readonly #heap: Entry<Key>[] = [];

  /** How many keys have a deadline. */
  get size(): number {
    return this.#heap.length;
  }

  /** Sets a key's deadline, in place of the one it had; {@linkcode NEVER} clears it. */
  set(key: Key, at: Milliseconds): void {
    if (at === NEVER) return this.clear(key);
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const added = { key, at, index: this.#heap.length };
      this.#entries.set(key, added);
      this.#heap.push(added);
      this.#rise(added);
    } else if (entry.at !== at) {
      entry.at = at;
      this.#rise(entry);
      this.#sink(entry);
    }
  }

  /** Forgets a key's deadline. */
  clear(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#place(last, entry.index);
    this.#rise(last);
    this.#sink(last);
  }

  /** The earliest deadline, {@linkcode NEVER} where there is none. */
  next(): Milliseconds {
    return this.#heap[0]?.at ?? NEVER;
  }

  /** Takes out a key whose deadline is due, the earliest first; `undefined` where none is. */
  takeDue(now: Milliseconds): Key | undefined {
    const entry = this.#heap[0];
    if (entry === undefined || entry.at > now) return undefined;
    this.clear(entry.key);
    return entry.key;
  }

  #place(entry: Entry<Key>, index: number): void {
    this.#heap[index] = entry;
    entry.index = index;
  }

  #rise(entry: Entry<Key>): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >>> 1]!;
      if (parent.at <= entry.at) return;
      this.#swap(parent, entry);
    }
  }

  #sink(entry: Entry<Key>): void {
    for (;;) {
      const left = this.#heap[2 * entry.index + 1];
      const right = this.#heap[2 * entry.index + 2];
      if (left === undefined) return;
      const child = right !== undefined && right.at < left.at ? right : left;
      if (child.at >= entry.at) return;
      this.#swap(entry, child);
    }
  }

  #swap(upper: Entry<Key>, lower: Entry<Key>): void {
    const { index } = upper;
    this.#place(upper, lower.index);
    this.#place(lower, index);
  }
}
