// One statement of a caller: its rows from a connection into pages, as they are asked for.

import { SqpError } from "../../wire/errors.ts";
import { LIMITS } from "../../wire/limits.ts";
import type { SqlValue } from "../../wire/value.ts";
import type { ResultSink } from "../engine.ts";
import type { Catalog } from "./catalog.ts";
import type { BackendEnd } from "./connection.ts";
import type { BackendColumn, BackendRow } from "./driver.ts";
import { ResultPages } from "./result_pages.ts";
import { changesOf, readRow, type RowFormat, rowFormat } from "./rows.ts";
import type { PostgresLimits } from "./settings.ts";
import type { RowWay, StatementReceiver } from "./statement_runner.ts";
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
  #way: RowWay = "cursor";
  #columns: readonly BackendColumn[] | undefined;
  #format: RowFormat | undefined;
  #values: SqlValue[] = [];
  #batchRows = 1;
  #batchAtMs = 0;
  /** Rows came after it was to end: what it did is known, its result is not whole. */
  #rowsDropped = false;
  #isOutgrown = false;
  /** Called when its rows are more than may come together with others. */
  onOutgrown: () => void = () => {};

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

  /** Its rows are more than may come together with others: they were dropped, and it has to be run again. */
  get isOutgrown(): boolean {
    return this.#isOutgrown;
  }

  get isSmall(): boolean {
    return this.#pages.isSmall;
  }

  /** Whether it can be run again unseen, as nothing came of it. */
  get isRepeatable(): boolean {
    return this.#context.readOnly && !this.#pages.headSent && this.rowCount === 0;
  }

  onStart(way: RowWay): void {
    this.#way = way;
    this.#columns = undefined;
    this.#isOutgrown = false;
    this.#rowsDropped = false;
    this.#pages.restart();
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
    if (this.ending !== undefined || this.#pages.isOver || this.#isOutgrown) {
      this.#rowsDropped = true;
      return;
    }
    const isFirst = this.#columns === undefined;
    this.#learn(columns);
    if (isFirst && this.#way !== "together") this.#tellHead();
    try {
      const { kinds } = this.#format!;
      const values = readRow(row, this.#format!, this.#values);
      if (this.#way !== "together") this.#pages.append(values, kinds);
      else if (!this.#pages.hold(values, kinds)) this.#outgrow();
    } catch (error) {
      this.end(error instanceof SqpError ? error : new SqpError("internal", { cause: error }));
      return;
    }
    if (this.#way === "whole" && !this.#pages.hasRoom) this.connection?.pause();
  }

  #outgrow(): void {
    this.#isOutgrown = true;
    this.onOutgrown();
  }

  /** Learns how the rows of an attempt are read. */
  #learn(columns: readonly BackendColumn[]): void {
    if (this.#columns !== undefined) return;
    this.#columns = columns;
    this.#format = rowFormat(columns);
    this.#values = new Array(columns.length);
    if (columns.length > LIMITS.columnsMax) this.end(new SqpError("too_many_columns"));
  }

  #tellHead(): void {
    const described = this.#context.catalog.describe(this.#columns!);
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
    this.#learn(columns);
    this.#tellHead();
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
