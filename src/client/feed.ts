// A change feed as an asynchronous iterable of events that is read no faster than its user takes them.

import { DecodeError } from "../base/byte_reader.ts";
import { SqpError } from "../wire/errors.ts";
import {
  decodeFeedPage,
  FEED_PAGE_BYTES_MAX,
  type FeedChanges,
  type FeedMark,
} from "../wire/feed_page.ts";
import { decodeFeedResponse, type FeedTable } from "../wire/feed_payload.ts";
import { PageCutter } from "../wire/page_cutter.ts";
import { encodeParams } from "../wire/params.ts";
import type { SubscribeCommand } from "../wire/query_payload.ts";
import type { Row, SqlValue } from "../wire/value.ts";

/** What `Client.subscribe` is asked for. */
export interface SubscribeOptions {
  /**
   * The tables, each by its name or with what the columns of its rows must be equal to. A row that comes to pass such
   * a filter is told as a new one, a row that no longer does as one that is gone.
   */
  readonly tables: readonly (string | TableFilter)[];
  /** The rows as they are come first. Not together with `cursor`. */
  readonly snapshot?: boolean;
  /** Go on where an earlier feed of these tables ended: the cursor of the last event that was dealt with. */
  readonly cursor?: string;
  /** Ends the feed, which fails with `cancelled`. */
  readonly signal?: AbortSignal;
}

/** A table, and which of its rows. */
export interface TableFilter {
  /** Its name. */
  readonly table: string;
  /** What columns must be equal to, by name; null is equal to null. */
  readonly where: Readonly<Record<string, SqlValue>>;
}

/** A row before and after a transaction. */
export interface RowChange {
  /** The name of the table, as the schema spells it. */
  readonly table: string;
  /** All its values before; `null` where the row is new. */
  readonly before: Row | null;
  /** All its values after; `null` where the row is gone. */
  readonly after: Row | null;
}

/** What a feed tells. */
export type FeedEvent =
  /** Rows of the snapshot. */
  | { readonly kind: "snapshot"; readonly table: string; readonly rows: readonly Row[] }
  /** The snapshot is complete. */
  | { readonly kind: "snapshot-end"; readonly cursor: string }
  /** What one transaction changed, in no order; each row once. Transactions come in the order of their commits. */
  | {
    readonly kind: "transaction";
    readonly cursor: string;
    readonly committedAt: Date;
    readonly changes: readonly RowChange[];
  }
  /** Whatever was committed before this time has been told. */
  | { readonly kind: "resolved"; readonly cursor: string; readonly at: Date }
  /**
   * The feed cannot go on, and ends: begin again with a snapshot. `reason` is `cursor_unknown`, `cursor_too_old`,
   * `too_slow`, `schema_changed`, `transaction_too_large`, `null_key`, `truncated`, `changes_lost`; others
   * may come.
   */
  | { readonly kind: "reset"; readonly reason: string; readonly message: string };

/** The command that subscribes. Throws `SqpError` for a value of a filter that cannot be sent. */
export function subscribeCommand(options: SubscribeOptions): SubscribeCommand {
  const { tables, snapshot, cursor } = options;
  return {
    cmd: "subscribe",
    tables: tables.map((table) =>
      typeof table === "string"
        ? { table }
        : { table: table.table, where: encodeParams(table.where) }
    ),
    ...(snapshot === true && { snapshot }),
    ...(cursor !== undefined && { cursor }),
  };
}

/** What a feed asks of its session. */
export interface FeedSource {
  /** Bytes of the stream that have come, `undefined` where there are none. */
  read(streamId: number): Uint8Array | undefined;
  /** Everything was read. */
  finish(): void;
  /** Gives the request up. */
  cancel(): void;
  /** Asks the server to end the feed. */
  unsubscribe(streamId: number): void;
  /** The request is over, whoever ended it. */
  release(): void;
}

interface Waiter {
  readonly resolve: (result: IteratorResult<FeedEvent, undefined>) => void;
  readonly reject: (error: SqpError) => void;
}

/**
 * The events of a change feed. Leaving the loop ends the subscription. Iterating fails with `SqpError` where the feed
 * does; it may go on in another session from {@linkcode Feed.cursor}.
 */
export class Feed implements AsyncIterableIterator<FeedEvent, undefined> {
  /**
   * The tables in the order in which they were asked for, once the server has registered the subscription. Rejects with
   * `SqpError`, also where the feed is left before.
   */
  readonly tables: Promise<readonly FeedTable[]>;
  readonly #tables = Promise.withResolvers<readonly FeedTable[]>();
  readonly #pages = new PageCutter(FEED_PAGE_BYTES_MAX);
  #known: readonly FeedTable[] = [];
  #columnCounts: number[] = [];
  #source: FeedSource | undefined;
  #streamId = 0;
  #inSnapshot: boolean;
  #changes: RowChange[] = [];
  #cursor: string | undefined;
  #waiter: Waiter | undefined;
  #isFinished = false;
  #isOver = false;
  #error: SqpError | undefined;

  /** Made by `Client.subscribe`. */
  constructor(options: SubscribeOptions) {
    this.tables = this.#tables.promise;
    // Whoever does not ask for them sees the failure where it iterates.
    this.tables.catch(() => {});
    this.#inSnapshot = options.snapshot === true;
    this.#cursor = options.cursor;
  }

  /** Where to go on after the last event that was taken; `undefined` before the end of a snapshot. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** The session, once the request was sent. */
  attach(source: FeedSource): void {
    this.#source = source;
  }

  /** The Response arrived. */
  onResponse(payload: Uint8Array): void {
    this.#decode(() => {
      const { streamId, tables, cursor } = decodeFeedResponse(payload);
      this.#streamId = streamId;
      this.#known = tables;
      this.#columnCounts = tables.map(({ columns }) => columns.length);
      this.#cursor ??= cursor;
      this.#tables.resolve(tables);
      this.#give();
    });
  }

  /** The stream has bytes, or all of them were read. */
  onStream(kind: "stream-readable" | "stream-finished"): void {
    if (kind === "stream-finished") this.#isFinished = true;
    this.#give();
  }

  /** The request failed. */
  onFailed(error: SqpError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#tables.reject(error);
    this.#source?.release();
    this.#give();
  }

  /** The next event. Throws `SqpError` where the feed failed. */
  next(): Promise<IteratorResult<FeedEvent, undefined>> {
    if (this.#waiter !== undefined) {
      return Promise.reject(new SqpError("bad_request", { message: "A call of next() waits." }));
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      this.#give();
    });
  }

  /** Ends the subscription. */
  return(): Promise<IteratorResult<FeedEvent, undefined>> {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#source?.cancel();
      this.#tables.reject(new SqpError("cancelled"));
      this.#give();
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  /**
   * Asks the server to end the feed in order: the loop over it ends after the events that were on their way. Throws
   * `SqpError`.
   */
  async unsubscribe(): Promise<void> {
    await this.tables;
    if (!this.#isOver) this.#source?.unsubscribe(this.#streamId);
  }

  /** The events themselves. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the subscription. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Hands a waiting call what there is for it. */
  #give(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    let event: FeedEvent | undefined;
    this.#decode(() => event = this.#isOver ? undefined : this.#nextEvent());
    if (event === undefined && !this.#isOver) return;
    this.#waiter = undefined;
    if (event !== undefined) waiter.resolve({ done: false, value: event });
    else if (this.#error !== undefined) waiter.reject(this.#error);
    else waiter.resolve({ done: true, value: undefined });
  }

  #nextEvent(): FeedEvent | undefined {
    for (;;) {
      const payload = this.#pages.next();
      if (payload !== undefined) {
        const page = decodeFeedPage(payload, this.#columnCounts);
        const event = page === undefined ? undefined : this.#onPage(page);
        if (event !== undefined) return event;
        continue;
      }
      const bytes = this.#streamId === 0 ? undefined : this.#source?.read(this.#streamId);
      if (bytes !== undefined) {
        this.#pages.push(bytes);
        continue;
      }
      if (this.#isFinished) this.#finish();
      return undefined;
    }
  }

  #finish(): void {
    if (this.#pages.bufferedBytes > 0) throw new DecodeError("a feed ends within a page");
    this.#isOver = true;
    this.#source?.finish();
  }

  #onPage(page: FeedChanges | FeedMark): FeedEvent | undefined {
    if (page.kind === "reset") return page;
    if (page.kind === "changes") return this.#onChanges(page);
    this.#cursor = page.cursor;
    switch (page.kind) {
      case "snapshot-end":
        this.#inSnapshot = false;
        return page;
      case "resolved":
        return { kind: "resolved", cursor: page.cursor, at: new Date(page.atMs) };
      case "commit": {
        const changes = this.#changes;
        this.#changes = [];
        const committedAt = new Date(page.atMs);
        return { kind: "transaction", cursor: page.cursor, committedAt, changes };
      }
    }
  }

  #onChanges({ table, changes }: FeedChanges): FeedEvent | undefined {
    const { name } = this.#known[table]!;
    if (!this.#inSnapshot) {
      for (const { before, after } of changes) this.#changes.push({ table: name, before, after });
      return undefined;
    }
    const rows = changes.map(({ before, after }) => {
      if (before !== null || after === null) throw new DecodeError("a snapshot has rows only");
      return after;
    });
    return { kind: "snapshot", table: name, rows };
  }

  /** What cannot be decoded ends this feed alone. */
  #decode(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (this.#isOver) return;
      const { message } = error;
      this.#source?.cancel();
      this.onFailed(new SqpError("incomplete_result", { message, cause: error }));
    }
  }
}
