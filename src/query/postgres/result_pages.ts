// Rows gathered into pages, which wait for the reader that asks for them.

import { Queue } from "../../base/queue.ts";
import type { SqpError } from "../../wire/errors.ts";
import type { Column } from "../../wire/response_payload.ts";
import { RowPageWriter } from "../../wire/row_page.ts";
import type { SqlValue } from "../../wire/value.ts";
import type { NumberKind } from "../../wire/value_writer.ts";
import type { ResultEnd, ResultSink } from "../engine.ts";

/** Writers of results that are over, for the next ones: to allocate their room takes longer than to fill it. */
const spareWriters: RowPageWriter[] = [];

/** Writers that are kept, and the largest room of one that is. */
const SPARE_WRITERS_MAX = 64;
const SPARE_ROOM_BYTES_MAX = 16 * 1024;

/** The pages of one result on their way to its sink. */
export class ResultPages {
  readonly #sink: ResultSink;
  readonly #firstPageBytesMax: number;
  /** Gone when the sink has had its last call: another result has it then. */
  #writer: RowPageWriter | undefined = spareWriters.pop() ?? new RowPageWriter();
  readonly #waiting = new Queue<Uint8Array>();
  /** Pages that were asked for and have not come; the first comes unasked. */
  #credit = 1;
  #rowCount = 0;
  /** The average of rows that were looked at last. */
  #rowBytes = 64;
  #firstPageTaken = false;
  #headSent = false;
  #end: Omit<ResultEnd, "rowCount"> | undefined;
  #over = false;
  /** When the last page was sent. */
  sentAtMs = 0;
  /** Called when the pages that waited are gone and more are asked for. */
  onRoom: () => void = () => {};
  /** Called when the sink has had its last call. */
  onOver: () => void = () => {};

  constructor(sink: ResultSink, firstPageBytesMax: number) {
    this.#sink = sink;
    this.#firstPageBytesMax = firstPageBytesMax;
  }

  /** Rows so far. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Whether the sink has had its last call. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Whether the sink has had the head, so that the statement cannot be run again unseen. */
  get headSent(): boolean {
    return this.#headSent;
  }

  /** Whether more rows are wanted now. */
  get hasRoom(): boolean {
    return this.#credit > 0 && this.#waiting.length === 0;
  }

  /** Whether the reader is waited for. */
  get isStalled(): boolean {
    return this.#credit === 0 && !this.#over;
  }

  /** Whether the rows so far fit one page, the first. */
  get isSmall(): boolean {
    return !this.#firstPageTaken;
  }

  /** Rows that fill a page of that size, if all are like those that wait for one. */
  rowsOfPage(pageBytes: number): number {
    const { rowCount = 0, lengthBytes = 0 } = this.#writer ?? {};
    if (rowCount > 0) this.#rowBytes = lengthBytes / rowCount;
    return Math.ceil(pageBytes / this.#rowBytes);
  }

  /** Gives the columns, before any page. */
  head(columns: readonly Column[]): void {
    if (this.#over || this.#headSent) return;
    this.#headSent = true;
    this.#sink.onHead(columns);
    this.#deliver();
  }

  /** Adds a row. Throws {@linkcode SqpError} `row_too_large`. */
  append(row: readonly SqlValue[], kinds: readonly NumberKind[]): void {
    this.#writer!.append(row, kinds);
    this.#rowCount++;
    while (this.#writer?.full) this.#takePage();
    if (!this.#firstPageTaken && this.#writer!.lengthBytes >= this.#firstPageBytesMax) {
      this.#takePage();
    }
  }

  /** Adds a row to a result that is told as a whole. Returns whether it still fits the first page. */
  hold(row: readonly SqlValue[], kinds: readonly NumberKind[]): boolean {
    const writer = this.#writer!;
    writer.append(row, kinds);
    this.#rowCount++;
    return !writer.full && writer.lengthBytes < this.#firstPageBytesMax;
  }

  /** Forgets the rows of an attempt of which nothing was sent. */
  restart(): void {
    if (this.#rowCount === 0) return;
    this.#writer?.clear();
    this.#rowCount = 0;
  }

  #takePage(): void {
    this.#firstPageTaken = true;
    this.#waiting.push(this.#writer!.takePage());
    this.#deliver();
  }

  /** Sends the rows that have come although their page is not full. */
  flush(): void {
    if (!this.#over && this.hasRoom && this.#writer!.rowCount > 0) this.#takePage();
  }

  /** Asks for more pages. */
  pull(pages: number): void {
    if (this.#over || pages <= 0) return;
    this.#credit += pages;
    queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    if (this.#over || !this.#headSent) return;
    while (this.#credit > 0 && this.#waiting.length > 0) {
      const last = this.#end !== undefined && this.#waiting.length === 1;
      this.#credit--;
      this.sentAtMs = performance.now();
      this.#sink.onPage(this.#waiting.shift()!, last);
      if (this.#over) return;
    }
    if (this.#end !== undefined && this.#waiting.length === 0) {
      this.#finish();
      return this.#sink.onEnd({ ...this.#end, rowCount: this.#rowCount });
    }
    if (this.hasRoom) this.onRoom();
  }

  /** All rows have come. */
  end(end: Omit<ResultEnd, "rowCount">): void {
    if (this.#over) return;
    if (this.#writer!.rowCount > 0) this.#waiting.push(this.#writer!.takePage());
    this.#end = end;
    this.#deliver();
  }

  /** Tells the sink of an error, unless it has had its last call. */
  fail(error: SqpError): void {
    if (this.#over) return;
    this.#finish();
    this.#sink.onError(error);
  }

  #finish(): void {
    this.#over = true;
    this.#waiting.clear();
    const writer = this.#writer!;
    this.#writer = undefined;
    writer.clear();
    if (spareWriters.length < SPARE_WRITERS_MAX && writer.roomBytes <= SPARE_ROOM_BYTES_MAX) {
      spareWriters.push(writer);
    }
    this.onOver();
  }
}
