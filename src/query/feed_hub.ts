// What all change feeds of a database share: the newest rows of its log, read once for all of them, and the clock of
// their marks. A feed that is behind reads the log by itself.

import { SqpError } from "../wire/errors.ts";
import type { FeedBackend, LogRow } from "./feed_backend.ts";
import type { FeedLimits } from "./feed_limits.ts";

/** What there is for a feed. */
export interface LogPart {
  /** The rows after its place, not all of them. */
  readonly rows: readonly LogRow[];
  /** Without rows: what was committed before this time has been told. */
  readonly resolvedAtMs?: number;
}

/** A feed that is open. */
export interface OpenFeed {
  /** Ends it with this error. */
  fail(error: SqpError): void;
}

interface Waiter {
  readonly id: number;
  readonly resolve: (part: LogPart) => void;
  readonly reject: (error: SqpError) => void;
}

/** Reads the log for the feeds of one database. */
export class FeedHub {
  readonly #backend: Pick<FeedBackend, "logAfter" | "settle">;
  readonly #limits: FeedLimits;
  /** The newest rows that were read, consecutive. */
  #recent: LogRow[] = [];
  #recentBytes = 0;
  /** The last row that was read; `undefined` while no feed waits. */
  #headId: number | undefined;
  /** By the feed that waits. */
  readonly #waiters = new Map<OpenFeed, Waiter>();
  readonly #feeds = new Set<OpenFeed>();
  #reading = false;
  #readAgain = false;
  /** What was committed before this time is in the log, and was told. */
  #settledAtMs = 0;
  #resolvedAtMs = 0;
  #settling = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #behind = 0;
  readonly #behindQueue: (() => void)[] = [];
  #closed: SqpError | undefined;
  #openedCount = 0;
  #endedCount = 0;

  constructor(backend: Pick<FeedBackend, "logAfter" | "settle">, limits: FeedLimits) {
    this.#backend = backend;
    this.#limits = limits;
  }

  /** Feeds that began and ended. */
  get counts(): Readonly<Record<string, number>> {
    return { feedsOpened: this.#openedCount, feedsEnded: this.#endedCount };
  }

  /** A feed begins. Throws {@linkcode SqpError} where there are too many. */
  enter(feed: OpenFeed): void {
    if (this.#closed !== undefined) throw this.#closed;
    const { feedsMax } = this.#limits;
    if (this.#feeds.size >= feedsMax) {
      throw new SqpError("overloaded", { message: `${feedsMax} change feeds are open.` });
    }
    this.#feeds.add(feed);
    this.#openedCount++;
    this.#startTimer();
  }

  /** The log is known to reach this row. What came before, feeds read by themselves. */
  noteHead(id: number): void {
    this.#headId ??= id;
  }

  /** A feed ends. */
  leave(feed: OpenFeed): void {
    if (this.#feeds.delete(feed)) this.#endedCount++;
    this.#waiters.delete(feed);
    if (this.#feeds.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#headId = undefined;
    this.#recent = [];
    this.#recentBytes = 0;
  }

  /** Something was committed, perhaps. */
  wake(): void {
    if (this.#waiters.size > 0) this.#read();
  }

  /** What comes after a row of the log, as soon as there is something to tell. Rejects with {@linkcode SqpError}. */
  after(feed: OpenFeed, id: number): Promise<LogPart> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const headId = this.#headId ??= id;
    const first = this.#recent[0];
    if (first !== undefined && id >= first.previousId && id < headId) {
      return Promise.resolve({ rows: this.#slice(this.#recent.findIndex((row) => row.id > id)) });
    }
    if (id < headId) return this.#readBehind(id);
    const { promise, resolve, reject } = Promise.withResolvers<LogPart>();
    this.#waiters.set(feed, { id, resolve, reject });
    // What was committed while this feed was busy.
    this.#read();
    return promise;
  }

  /** Fails all feeds with this error, now and later. */
  close(error: SqpError): void {
    this.#closed = error;
    clearTimeout(this.#timer);
    for (const feed of this.#feeds) feed.fail(error);
  }

  #slice(from: number): LogRow[] {
    let bytes = 0;
    let to = from;
    while (to < this.#recent.length && bytes < this.#limits.partBytesMax) {
      bytes += this.#recent[to++]!.body.length;
    }
    return this.#recent.slice(from, to);
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return;
    // Another server of the same database may have written.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.wake();
      if (this.#feeds.size > 0 && this.#closed === undefined) this.#startTimer();
    }, this.#limits.pollMs);
  }

  async #read(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true;
      return;
    }
    this.#reading = true;
    try {
      do {
        this.#readAgain = false;
        await this.#readNew();
      } while (this.#readAgain && this.#waiters.size > 0);
    } catch {
      // The next wake tries again; a database that is gone for good ends every command with an error of its own.
    } finally {
      this.#reading = false;
    }
  }

  async #readNew(): Promise<void> {
    if (this.#headId === undefined) return;
    this.#settle();
    const settledAtMs = this.#settledAtMs;
    const reader = this.#backend.logAfter(this.#headId);
    for (let rows; (rows = await reader.next()) !== undefined;) {
      // The last feed may have ended meanwhile.
      if (this.#headId === undefined) return reader.close();
      this.#append(rows);
    }
    this.#resolve(settledAtMs);
  }

  /** Finds out, now and then, up to when everything is in the log; nobody waits for that. */
  #settle(): void {
    const atMs = Date.now();
    if (this.#settling || atMs - this.#resolvedAtMs < this.#limits.resolvedMs) return;
    this.#settling = true;
    this.#backend.settle().then(() => {
      this.#settledAtMs = atMs;
      this.wake();
    }, () => {
      // The next wake tries again.
    }).finally(() => this.#settling = false);
  }

  #append(rows: readonly LogRow[]): void {
    for (const row of rows) {
      if (row.id <= this.#headId!) continue;
      // Rows that were removed before they were read: who waits for them finds that out by itself.
      if (row.previousId !== this.#headId) this.#forget(this.#recent.length);
      this.#recent.push(row);
      this.#recentBytes += row.body.length;
      this.#headId = row.id;
    }
    let surplus = 0;
    for (let bytes = this.#recentBytes; bytes > this.#limits.recentBytesMax;) {
      bytes -= this.#recent[surplus++]!.body.length;
    }
    if (surplus > 0) this.#forget(surplus);
    for (const [feed, { id, resolve, reject }] of this.#waiters) {
      if (id >= this.#headId!) continue;
      this.#waiters.delete(feed);
      this.after(feed, id).then(resolve, reject);
    }
  }

  #forget(count: number): void {
    for (const { body } of this.#recent.splice(0, count)) this.#recentBytes -= body.length;
  }

  /** Tells those who wait that there was nothing, now and then. */
  #resolve(atMs: number): void {
    if (atMs - this.#resolvedAtMs < this.#limits.resolvedMs) return;
    this.#resolvedAtMs = atMs;
    for (const { resolve } of this.#waiters.values()) resolve({ rows: [], resolvedAtMs: atMs });
    this.#waiters.clear();
  }

  /** Reads for one feed that is behind; not many do at the same time. */
  async #readBehind(id: number): Promise<LogPart> {
    if (this.#behind >= this.#limits.behindMax) {
      await new Promise<void>((resolve) => this.#behindQueue.push(resolve));
    }
    this.#behind++;
    try {
      const rows: LogRow[] = [];
      let bytes = 0;
      const reader = this.#backend.logAfter(id);
      for (let more; (more = await reader.next()) !== undefined;) {
        for (const row of more) {
          rows.push(row);
          bytes += row.body.length;
        }
        if (bytes >= this.#limits.partBytesMax) break;
      }
      reader.close();
      return { rows };
    } finally {
      this.#behind--;
      this.#behindQueue.shift()?.();
    }
  }
}
