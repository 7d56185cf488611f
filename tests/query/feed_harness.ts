// What the tests of change feeds share: a feed read to a point, and what its subscriber makes of it.

import { assert } from "@std/assert";
import type { Engine, Execution, FeedSink, FeedStart, Permission } from "../../src/query/engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { decodeFeedPage, FEED_PAGE_BYTES_MAX, type FeedMark } from "../../src/wire/feed_page.ts";
import { PageCutter } from "../../src/wire/page_cutter.ts";
import { encodeParams } from "../../src/wire/params.ts";
import type { Row, SqlValue } from "../../src/wire/value.ts";

/** A change with the name of its table. */
export interface NamedChange {
  readonly table: string;
  readonly before: Row | null;
  readonly after: Row | null;
}

/** A mark with the changes before it. */
export type FeedEvent = FeedMark & { readonly changes: readonly NamedChange[] };

/** What is subscribed to. */
export interface Wanted {
  /** Names, or names with what columns must be equal to. */
  readonly tables: readonly (string | readonly [string, Readonly<Record<string, SqlValue>>])[];
  readonly snapshot?: boolean;
  readonly cursor?: string;
  readonly permissions?: readonly Permission[];
  /** Pages are not asked for by themselves; see {@linkcode TestFeed.pull}. */
  readonly slow?: boolean;
}

/** A feed of an engine, decoded. */
export class TestFeed implements FeedSink {
  readonly #execution: Execution;
  readonly #cutter = new PageCutter(FEED_PAGE_BYTES_MAX);
  readonly #isSlow: boolean;
  readonly #started = Promise.withResolvers<FeedStart>();
  readonly #ended = Promise.withResolvers<void>();
  #start: FeedStart | undefined;
  #changes: NamedChange[] = [];
  readonly #events: FeedEvent[] = [];
  #onEvent: (() => void) | undefined;
  /** Bytes that were handed over. */
  bytes = 0;

  constructor(engine: Engine, wanted: Wanted) {
    this.#isSlow = wanted.slow === true;
    this.#started.promise.catch(() => {});
    this.#ended.promise.catch(() => {});
    const permissions = new Set(wanted.permissions ?? ["read"] as const);
    const { cursor } = wanted;
    this.#execution = engine.open({ principal: "reader", permissions }).subscribe({
      tables: wanted.tables.map((table) =>
        typeof table === "string" ? { table } : { table: table[0], where: encodeParams(table[1]) }
      ),
      snapshot: wanted.snapshot === true,
      ...(cursor !== undefined && { cursor }),
    }, this);
  }

  /** Resolves when it is registered. Rejects with the error that it ended with instead. */
  get started(): Promise<FeedStart> {
    return this.#started.promise;
  }

  /** Resolves when it has ended; rejects where that was with an error. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  pull(pages: number): void {
    this.#execution.pull(pages);
  }

  cancel(): void {
    this.#execution.cancel();
  }

  /** The next mark that is not a resolved one, with the changes before it. */
  async next(): Promise<FeedEvent> {
    for (;;) {
      const event = await this.nextMark();
      if (event.kind !== "resolved" || event.changes.length > 0) return event;
    }
  }

  /** The next mark. */
  async nextMark(): Promise<FeedEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onEvent = resolve;
      await Promise.race([promise, this.ended.then(() => promise)]);
    }
  }

  onStart(start: FeedStart): void {
    assert(this.#start === undefined);
    this.#start = start;
    this.#started.resolve(start);
  }

  onPage(pages: Uint8Array): void {
    assert(this.#start !== undefined);
    this.bytes += pages.length;
    this.#cutter.push(pages);
    const counts = this.#start.tables.map(({ columns }) => columns.length);
    for (let payload; (payload = this.#cutter.next()) !== undefined;) {
      const page = decodeFeedPage(payload, counts);
      assert(page !== undefined);
      if (page.kind === "changes") {
        const table = this.#start.tables[page.table]!.name;
        for (const change of page.changes) this.#changes.push({ table, ...change });
      } else {
        this.#events.push({ ...page, changes: this.#changes });
        this.#changes = [];
      }
    }
    this.#onEvent?.();
    if (!this.#isSlow) this.pull(1);
  }

  onEnd(): void {
    this.#ended.resolve();
    this.#onEvent?.();
  }

  onError(error: SqpError): void {
    this.#started.reject(error);
    this.#ended.reject(error);
  }
}

/** A table as a subscriber has it from a feed. */
export class Replica {
  /** Rows by their key's text. */
  readonly rows = new Map<string, Row>();
  readonly #keys: readonly number[];

  constructor(keys: readonly number[] = [0]) {
    this.#keys = keys;
  }

  #key(row: Row): string {
    return this.#keys.map((key) => `${typeof row[key]}:${String(row[key])}`).join();
  }

  /** Applies changes. Throws where one does not fit the rows before it. */
  apply(changes: readonly NamedChange[]): void {
    // A transaction's changes have no order: what goes, goes first.
    for (const { before } of changes) {
      if (before === null) continue;
      const key = this.#key(before);
      assert(JSON.stringify(this.rows.get(key)) === JSON.stringify(before), `${key} before`);
      this.rows.delete(key);
    }
    for (const { after } of changes) {
      if (after === null) continue;
      assert(!this.rows.has(this.#key(after)), `${this.#key(after)} is there`);
      this.rows.set(this.#key(after), after);
    }
  }

  /** The rows in the order of their keys. */
  sorted(): Row[] {
    return [...this.rows].sort(([a], [b]) => a < b ? -1 : 1).map(([, row]) => row);
  }
}
