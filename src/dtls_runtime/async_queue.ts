// A bounded queue between a core, which pushes, and a reader, who awaits.

import { Queue } from "../base/queue.ts";

/** What bounds a queue. */
export interface AsyncQueueBounds<Item> {
  /** Items that wait, at most. */
  readonly itemsMax: number;
  /** The sum of their sizes, at most. Default: no limit. */
  readonly sizeMax?: number;
  /** The size of one item. Default: 0. */
  readonly sizeOf?: (item: Item) => number;
}

interface Reader<Item> {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Items that are read in their order, by one reader or several. Leaving a loop over it ends nothing: the next loop
 * goes on with the next item.
 */
export class AsyncQueue<Item> implements AsyncIterable<Item> {
  readonly #bounds: AsyncQueueBounds<Item>;
  readonly #items = new Queue<Item>();
  readonly #readers = new Queue<Reader<Item>>();
  #size = 0;
  #end: { readonly error: unknown } | undefined;

  /** An empty queue. */
  constructor(bounds: AsyncQueueBounds<Item>) {
    this.#bounds = bounds;
  }

  /** Adds an item; `false` where it has ended or is full, and the item is not in it. */
  push(item: Item): boolean {
    if (this.#end !== undefined) return false;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: item });
      return true;
    }
    const { itemsMax, sizeMax = Infinity, sizeOf } = this.#bounds;
    const size = sizeOf?.(item) ?? 0;
    if (this.#items.length >= itemsMax || this.#size + size > sizeMax) return false;
    this.#size += size;
    this.#items.push(item);
    return true;
  }

  /** Nothing more comes: after what waits, readers find the end, or the error where there is one. */
  end(error?: Error): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    for (let reader; (reader = this.#readers.shift()) !== undefined;) this.#tellEnd(reader);
  }

  /** Takes out what waits, unread. */
  takeAll(): Item[] {
    const items: Item[] = [];
    for (let item; (item = this.#items.shift()) !== undefined;) items.push(item);
    this.#size = 0;
    return items;
  }

  /** The next item; rejects with the error that ended the queue. */
  next(): Promise<IteratorResult<Item, undefined>> {
    return new Promise((resolve, reject) => {
      const reader = { resolve, reject };
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#size -= this.#bounds.sizeOf?.(item) ?? 0;
        resolve({ done: false, value: item });
      } else if (this.#end !== undefined) this.#tellEnd(reader);
      else this.#readers.push(reader);
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Item, undefined> {
    return { next: () => this.next() };
  }

  #tellEnd({ resolve, reject }: Reader<Item>): void {
    if (this.#end?.error === undefined) resolve({ done: true, value: undefined });
    else reject(this.#end.error);
  }
}
