// A first-in, first-out queue without the cost of Array.shift.

/** A queue; the owner bounds it by looking at {@linkcode Queue.length} before it pushes. */
export class Queue<Item> {
  #items: (Item | undefined)[] = [];
  #head = 0;

  /** How many items wait. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Adds an item at the end. */
  push(item: Item): void {
    this.#items.push(item);
  }

  /** The first item, left where it is. */
  peek(): Item | undefined {
    return this.#items[this.#head];
  }

  /** Takes the first item. */
  shift(): Item | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= 64 && 2 * this.#head >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Drops all items. */
  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
  }
}
