// Rows of a result as an asynchronous iterable that is read no faster than its user takes them.

import { SqpError } from "../wire/errors.ts";
import type { Column } from "../wire/response_payload.ts";
import type { Row } from "../wire/value.ts";
import type { RequestObserver, ResultEnd } from "./requests.ts";

/** What a stream asks of its request. */
export interface RowSource {
  /** Reads so many more pages. */
  pull(pages: number): void;
  /** Ends the request. */
  cancel(): unknown;
}

interface Waiter {
  readonly resolve: (result: IteratorResult<Row, undefined>) => void;
  readonly reject: (error: SqpError) => void;
}

/**
 * The rows of a result, in order, each an array in the order of the columns. Leaving the loop early cancels the
 * request. Iterating fails with `SqpError` where the result does.
 */
export class RowStream implements AsyncIterableIterator<Row, undefined>, RequestObserver {
  /** The columns, once the head of the result is there. Rejects with `SqpError`, also where the loop is left before. */
  readonly columns: Promise<readonly Column[]>;
  /** What the statement changed, once all rows were taken. Rejects as {@linkcode RowStream.columns} does. */
  readonly end: Promise<ResultEnd>;
  readonly #columns = Promise.withResolvers<readonly Column[]>();
  readonly #end = Promise.withResolvers<ResultEnd>();
  #source: RowSource | undefined;
  #rows: Row[] = [];
  #next = 0;
  #waiter: Waiter | undefined;
  #ended: ResultEnd | undefined;
  #error: SqpError | undefined;
  #isCancelled = false;

  /** Made by `Client.stream`. */
  constructor() {
    this.columns = this.#columns.promise;
    this.end = this.#end.promise;
    // Whoever does not ask for these sees the failure where it iterates.
    this.columns.catch(() => {});
    this.end.catch(() => {});
  }

  /** The request that the rows come from, once it was sent. The first rows are asked for at once. */
  attach(source: RowSource): void {
    this.#source = source;
    source.pull(1);
  }

  /** See {@linkcode RequestObserver}. */
  onColumns(columns: readonly Column[]): void {
    this.#columns.resolve(columns);
  }

  /** See {@linkcode RequestObserver}. */
  onRows(rows: Row[]): void {
    this.#rows = this.#next === this.#rows.length
      ? rows
      : [...this.#rows.slice(this.#next), ...rows];
    this.#next = 0;
    this.#give();
  }

  /** See {@linkcode RequestObserver}. */
  onEnd(end: ResultEnd): void {
    this.#ended = end;
    this.#give();
  }

  /** See {@linkcode RequestObserver}. */
  onError(error: SqpError): void {
    this.#error = error;
    this.#columns.reject(error);
    this.#end.reject(error);
    this.#give();
  }

  /** Hands a waiting call what there is for it. */
  #give(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const result = this.#take();
    if (result === undefined) return;
    this.#waiter = undefined;
    if (result === "failed") waiter.reject(this.#error!);
    else waiter.resolve(result);
  }

  #take(): IteratorResult<Row, undefined> | "failed" | undefined {
    if (this.#next < this.#rows.length) return { done: false, value: this.#rows[this.#next++]! };
    if (this.#error !== undefined) return "failed";
    if (this.#ended === undefined && !this.#isCancelled) return undefined;
    if (this.#ended !== undefined) this.#end.resolve(this.#ended);
    return { done: true, value: undefined };
  }

  /** The next row. Throws `SqpError` where the result failed. */
  next(): Promise<IteratorResult<Row, undefined>> {
    const result = this.#take();
    if (result === "failed") return Promise.reject(this.#error);
    if (result !== undefined) return Promise.resolve(result);
    if (this.#waiter !== undefined) return this.#afterWaiter();
    const promise = new Promise<IteratorResult<Row, undefined>>((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
    this.#source?.pull(1);
    return promise;
  }

  /** A second call while one waits is served after it. */
  async #afterWaiter(): Promise<IteratorResult<Row, undefined>> {
    const { resolve, reject } = this.#waiter!;
    const first = Promise.withResolvers<void>();
    this.#waiter = {
      resolve: (result) => {
        resolve(result);
        first.resolve();
      },
      reject: (error) => {
        reject(error);
        first.resolve();
      },
    };
    await first.promise;
    return await this.next();
  }

  /** Ends the iteration; a request that has not ended is cancelled. */
  return(): Promise<IteratorResult<Row, undefined>> {
    if (this.#ended !== undefined) this.#end.resolve(this.#ended);
    else if (this.#error === undefined) {
      this.#isCancelled = true;
      this.#source?.cancel();
      const cancelled = new SqpError("cancelled");
      this.#columns.reject(cancelled);
      this.#end.reject(cancelled);
      this.#give();
    }
    this.#rows = [];
    this.#next = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  /** The rows themselves. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the iteration. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
