// One statement of a caller: its rows from a connection into pages, as they are asked for.

import { SqpError } from "../../wire/errors.ts";
import { LIMITS } from "../../wire/limits.ts";
import type { SqlValue } from "../../wire/value.ts";
import type { ResultSink } from "../engine.ts";
import type { Catalog } from "./catalog.ts";
import type { BackendColumn, BackendEnd, BackendRow } from "./connection.ts";
import { ResultPages } from "./result_pages.ts";
import { changesOf, readRow, type RowFormat, rowFormat } from "./rows.ts";
import type { PostgresLimits } from "./settings.ts";
import type { StatementReceiver } from "./statement_runner.ts";
import { Work } from "./work.ts";

/** What a job is given beside its statement. */
export interface JobContext {
  readonly catalog: Catalog;
  readonly limits: PostgresLimits;
  readonly deadlineMs: number | undefined;
  /** The login may only read: the statement can be given up or run again without harm. */
  readonly readOnly: boolean;
}

/** A statement and where it stands. */
export class StatementJob extends Work implements StatementReceiver {
  readonly mayUseCursor = true;
  readonly #pages: ResultPages;
  readonly #context: JobContext;
  #askedAtMs = performance.now();
  #byCursor = true;
  #described: readonly BackendColumn[] | undefined;
  #format: RowFormat | undefined;
  #values: SqlValue[] = [];
  #batchRows = 1;
  #batchAtMs = 0;
  /** Rows came after it was to end: what it did is known, its result is not whole. */
  #rowsDropped = false;

  /** `onOver` is called when the sink has had its last call. */
  constructor(sink: ResultSink, context: JobContext, onOver: () => void) {
    super(context.deadlineMs);
    this.#context = context;
    this.#pages = new ResultPages(sink, context.limits.firstPageBytesMax);
    this.#pages.onOver = onOver;
  }

  get activeAtMs(): number {
    return Math.max(this.#askedAtMs, this.#pages.sentAtMs);
  }

  get isStalled(): boolean {
    return this.#pages.isStalled;
  }

  get rowCount(): number {
    return this.#pages.rowCount;
  }

  get isSmall(): boolean {
    return this.#pages.isSmall;
  }

  /** Whether it can be run again unseen, as nothing came of it. */
  get isRepeatable(): boolean {
    return this.#context.readOnly && !this.#pages.headSent && this.rowCount === 0;
  }

  onStart(byCursor: boolean): void {
    this.#byCursor = byCursor;
    this.#batchRows = 1;
    this.#batchAtMs = performance.now();
    this.#askedAtMs = this.#batchAtMs;
    this.#pages.onRoom = () => this.connection?.resume();
  }

  override letGo(): void {
    this.#pages.onRoom = () => {};
    this.connection?.resume();
    super.letGo();
  }

  onRow(row: BackendRow, columns: readonly BackendColumn[]): void {
    if (this.ending !== undefined || this.#pages.isOver) {
      this.#rowsDropped = true;
      return;
    }
    this.#describe(columns);
    try {
      const { kinds } = this.#format!;
      this.#pages.append(readRow(row, this.#format!, this.#values), kinds);
    } catch (error) {
      this.end(error instanceof SqpError ? error : new SqpError("internal", { cause: error }));
      return;
    }
    if (!this.#byCursor && !this.#pages.hasRoom) this.connection?.pause();
  }

  /** Gives the columns to the sink, once. */
  #describe(columns: readonly BackendColumn[]): void {
    if (this.#described !== undefined) return;
    this.#described = columns;
    this.#format = rowFormat(columns);
    this.#values = new Array(columns.length);
    if (columns.length > LIMITS.columnsMax) return void this.end(new SqpError("too_many_columns"));
    const described = this.#context.catalog.describe(columns);
    if (described instanceof Promise) described.then((head) => this.#pages.head(head));
    else this.#pages.head(described);
  }

  async onBatch(): Promise<number> {
    const nowMs = performance.now();
    const tookMs = nowMs - this.#batchAtMs;
    const { sendMsMax, batchRowsMax } = this.#context.limits;
    // Rows that come slowly are sent as they come.
    if (tookMs * 2 > sendMsMax) this.#pages.flush();
    const pageRows = this.#pages.rowsOfPage(LIMITS.pageBytesMax);
    const fastRows = tookMs * 4 < sendMsMax
      ? 8 * this.#batchRows
      : Math.ceil(this.#batchRows * sendMsMax / (2 * tookMs));
    this.#batchRows = Math.max(1, Math.min(fastRows, pageRows, batchRowsMax));
    if (!this.#pages.hasRoom) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#pages.onRoom = resolve;
      await promise;
    }
    this.#batchAtMs = performance.now();
    return this.#batchRows;
  }

  /** Takes what the statement ended with. */
  finish({ command, count, columns }: BackendEnd): void {
    const { ending } = this;
    if (ending !== undefined && (this.#context.readOnly || this.#rowsDropped)) {
      return this.#pages.fail(ending);
    }
    this.#describe(columns);
    this.#pages.end({ changes: changesOf(command, count, this.rowCount), lastInsertRowid: null });
  }

  /** Takes what kept the statement from running to its end. */
  fail(error: SqpError): void {
    if (this.ending === undefined) return this.#pages.fail(error);
    // The deadline's own text says that a write may have taken effect.
    const isDoubtful = error.codeName === "outcome_unknown" && !this.#context.readOnly &&
      this.ending.codeName === "cancelled";
    this.#pages.fail(isDoubtful ? error : this.ending);
  }

  /** Asks for more pages. */
  pull(pages: number): void {
    if (this.#pages.isStalled) this.#askedAtMs = performance.now();
    this.#pages.pull(pages);
  }

  override end(error: SqpError): boolean {
    if (this.#pages.isOver || !super.end(error)) return false;
    // What a read would still say interests nobody; a write may have been committed, so the server is heard first.
    if (this.#context.readOnly || this.connection === undefined) this.#pages.fail(error);
    return true;
  }
}
