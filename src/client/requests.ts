// One request of a client from its Query to its end, as a promise of a result or as rows that are asked for.

import { DecodeError } from "../base/byte_reader.ts";
import type { ClientSession } from "../session/client_session.ts";
import { SqpError } from "../wire/errors.ts";
import { PageStream } from "../wire/page_stream.ts";
import { type Column, decodeResponse } from "../wire/response_payload.ts";
import { decodeRowPage } from "../wire/row_page.ts";
import type { Row } from "../wire/value.ts";

/** What a statement changed. */
export interface ResultEnd {
  /** Rows that the statement inserted, updated or deleted. */
  readonly changes: number;
  /** The row id of the last row that it inserted; `null` where it inserted none. */
  readonly lastInsertRowid: number | bigint | null;
}

/** What a request's owner is told. Exactly one of `onEnd` and `onError` comes, and comes last. */
export interface RequestObserver {
  /** The head of the result. */
  onColumns(columns: readonly Column[]): void;
  /** Rows arrived; more are read only after {@linkcode Request.pull}. */
  onRows(rows: Row[]): void;
  /** The statement ran to its end. */
  onEnd(end: ResultEnd): void;
  /** The request failed. */
  onError(error: SqpError): void;
}

/** Decodes what comes for one request, and reads its stream no faster than its owner asks. */
export class Request {
  readonly requestId: number;
  readonly #session: ClientSession;
  readonly #observer: RequestObserver;
  readonly #onOver: () => void;
  #pages: PageStream | undefined;
  #streamId = 0;
  #isReadable = false;
  #isFinished = false;
  #isOver = false;
  #wanted = 0;

  /** `onOver` is called once, when the request ends or is given up. */
  constructor(
    requestId: number,
    session: ClientSession,
    observer: RequestObserver,
    onOver: () => void,
  ) {
    this.requestId = requestId;
    this.#session = session;
    this.#observer = observer;
    this.#onOver = onOver;
  }

  /** Asks for `pages` more pages of rows. */
  pull(pages: number): void {
    this.#wanted += pages;
    this.#read();
  }

  /** The Response arrived. */
  onResponse(payload: Uint8Array): void {
    this.#decode(() => {
      const response = decodeResponse(payload);
      this.#observer.onColumns(response.columns);
      if (response.kind === "page") {
        const rows = decodeRowPage(response.page, response.columns.length);
        if (rows.length > 0) this.#observer.onRows(rows);
        return this.#end({ changes: response.changes, lastInsertRowid: response.rowid });
      }
      this.#streamId = response.streamId;
      this.#pages = new PageStream(response.columns.length);
      this.#read();
    });
  }

  /** The stream has bytes, or all of them were read. */
  onStream(kind: "stream-readable" | "stream-finished"): void {
    if (kind === "stream-readable") this.#isReadable = true;
    else this.#isFinished = true;
    this.#read();
  }

  /** The request failed. */
  onFailed(error: SqpError): void {
    if (!this.#finish()) return;
    this.#observer.onError(error);
  }

  /** Gives the request up: the server is told, its owner is not, any more. Returns whether it had not ended. */
  cancel(): boolean {
    if (!this.#finish()) return false;
    this.#session.cancel(this.requestId);
    return true;
  }

  #finish(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#onOver();
    return true;
  }

  #read(): void {
    const pages = this.#pages;
    if (pages === undefined) return;
    this.#decode(() => {
      while (!this.#isOver && this.#wanted > 0) {
        const rows = pages.nextRows();
        if (rows !== undefined) {
          this.#wanted--;
          this.#observer.onRows(rows);
          continue;
        }
        const bytes = this.#isReadable ? this.#session.readStream(this.#streamId) : undefined;
        if (bytes !== undefined) {
          pages.push(bytes);
          continue;
        }
        this.#isReadable = false;
        if (!this.#isFinished) return;
        const { changes, rowid } = pages.finish();
        return this.#end({ changes, lastInsertRowid: rowid });
      }
    });
  }

  #end(end: ResultEnd): void {
    this.#finish();
    this.#session.finish(this.requestId);
    this.#observer.onEnd(end);
  }

  /** What cannot be decoded ends this request alone. */
  #decode(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (!this.cancel()) return;
      const { message } = error;
      this.#observer.onError(new SqpError("incomplete_result", { message, cause: error }));
    }
  }
}
