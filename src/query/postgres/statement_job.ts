// One statement on its way through the PostgreSQL engine: its rows from a connection into pages, as they are asked for.

import { SqpError } from "../../wire/errors.ts";
import { LIMITS } from "../../wire/limits.ts";
import type { SqlValue } from "../../wire/value.ts";
import type { NumberKind } from "../../wire/value_writer.ts";
import type { ResultSink } from "../engine.ts";
import type { Catalog } from "./catalog.ts";
import type {
  BackendColumn,
  BackendEnd,
  BackendRow,
  PostgresConnection,
  RowReceiver,
} from "./connection.ts";
import type { PostgresParameter } from "./parameters.ts";
import { ResultPages } from "./result_pages.ts";
import type { PostgresLimits } from "./settings.ts";
import { type ValueParser, valueFormat } from "./values.ts";

/** Command tags whose number is one of rows that were changed. */
const CHANGING = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/** What is asked of the database. */
export interface StatementRequest {
  readonly sql: string;
  readonly parameters: readonly PostgresParameter[];
  readonly principal: string;
  /** The login may only read: the statement can be given up or run again without harm. */
  readonly readOnly: boolean;
  readonly deadlineMs: number | undefined;
}

/** How the values of a result are read. */
interface RowFormat {
  readonly parsers: readonly ValueParser[];
  readonly kinds: readonly NumberKind[];
}

/** Formats by the columns of a prepared statement, which are the same object at each of its runs. */
const formats = new WeakMap<readonly BackendColumn[], RowFormat>();

function rowFormat(columns: readonly BackendColumn[]): RowFormat {
  let format = formats.get(columns);
  if (format === undefined) {
    const each = columns.map(({ type }) => valueFormat(type));
    format = { parsers: each.map(({ parse }) => parse), kinds: each.map(({ numbers }) => numbers) };
    formats.set(columns, format);
  }
  return format;
}

/** A statement and where it stands. */
export class StatementJob implements RowReceiver {
  readonly request: StatementRequest;
  readonly pages: ResultPages;
  /** When it ends in any case. */
  readonly deadlineAtMs: number;
  /** It is to end with this error, and since when. */
  ending: SqpError | undefined;
  endingSinceMs = 0;
  attempts = 0;
  #askedAtMs: number;
  readonly #catalog: Catalog;
  readonly #limits: PostgresLimits;
  #connection: PostgresConnection | undefined;
  #byCursor = true;
  #described: readonly BackendColumn[] | undefined;
  #format: RowFormat | undefined;
  #values: SqlValue[] = [];
  #batchRows = 1;
  #batchAtMs = 0;
  /** Rows came after it was to end: what it did is known, its result is not whole. */
  #rowsDropped = false;

  constructor(
    request: StatementRequest,
    sink: ResultSink,
    context: { readonly catalog: Catalog; readonly limits: PostgresLimits },
  ) {
    this.request = request;
    this.#catalog = context.catalog;
    this.#limits = context.limits;
    this.pages = new ResultPages(sink, context.limits.firstPageBytesMax);
    this.#askedAtMs = performance.now();
    this.deadlineAtMs = this.#askedAtMs + (request.deadlineMs ?? Infinity);
  }

  /** When the last page was sent or asked for, whichever was later. */
  get activeAtMs(): number {
    return Math.max(this.#askedAtMs, this.pages.sentAtMs);
  }

  /** Runs it once. Throws {@linkcode SqpError}. */
  async runOn(
    connection: PostgresConnection,
    how: { readonly prepare: boolean; readonly byCursor: boolean },
  ): Promise<BackendEnd> {
    const { sql, parameters, deadlineMs } = this.request;
    this.attempts++;
    this.#connection = connection;
    this.#byCursor = how.byCursor;
    this.#batchRows = 1;
    this.#batchAtMs = performance.now();
    this.#askedAtMs = this.#batchAtMs;
    this.pages.onRoom = () => connection.resume();
    connection.setStatementTimeout(this.#statementTimeoutMs(deadlineMs));
    try {
      const cursor = how.byCursor ? { cursorRows: this.#batchRows } : {};
      return await connection.run({ sql, parameters, prepare: how.prepare, ...cursor }, this);
    } finally {
      this.pages.onRoom = () => {};
      this.#connection = undefined;
      connection.resume();
    }
  }

  /** Rounded up, so that a connection is not told anew for every statement. */
  #statementTimeoutMs(deadlineMs: number | undefined): number {
    if (deadlineMs === undefined) return 0;
    const slackMs = this.#limits.statementTimeoutSlackMs;
    return Math.min(2 ** 31 - 1, Math.ceil((deadlineMs + slackMs) / slackMs) * slackMs);
  }

  onRow(row: BackendRow, columns: readonly BackendColumn[]): void {
    if (this.ending !== undefined || this.pages.isOver) {
      this.#rowsDropped = true;
      return;
    }
    this.describe(columns);
    const { parsers, kinds } = this.#format!;
    const values = this.#values;
    for (let i = 0; i < row.length; i++) {
      const bytes = row[i]!;
      values[i] = bytes === null ? null : parsers[i]!(bytes);
    }
    try {
      this.pages.append(values, kinds);
    } catch (error) {
      return this.#endWith(error);
    }
    if (!this.#byCursor && !this.pages.hasRoom) this.#connection?.pause();
  }

  #endWith(error: unknown): void {
    this.end(error instanceof SqpError ? error : new SqpError("internal", { cause: error }));
  }

  /** Gives the columns to the sink, once. */
  describe(columns: readonly BackendColumn[]): void {
    if (this.#described !== undefined) return;
    this.#described = columns;
    this.#format = rowFormat(columns);
    this.#values = new Array(columns.length);
    if (columns.length > LIMITS.columnsMax) return this.#endWith(new SqpError("too_many_columns"));
    const described = this.#catalog.describe(columns);
    if (described instanceof Promise) described.then((head) => this.pages.head(head));
    else this.pages.head(described);
  }

  async onBatch(): Promise<number> {
    const nowMs = performance.now();
    const tookMs = nowMs - this.#batchAtMs;
    const { sendMsMax, batchRowsMax } = this.#limits;
    // Rows that come slowly are sent as they come.
    if (tookMs * 2 > sendMsMax) this.pages.flush();
    const pageRows = this.pages.rowsOfPage(LIMITS.pageBytesMax);
    const fastRows = tookMs * 4 < sendMsMax
      ? 8 * this.#batchRows
      : Math.ceil(this.#batchRows * sendMsMax / (2 * tookMs));
    this.#batchRows = Math.max(1, Math.min(fastRows, pageRows, batchRowsMax));
    if (!this.pages.hasRoom) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.pages.onRoom = resolve;
      await promise;
    }
    this.#batchAtMs = performance.now();
    return this.#batchRows;
  }

  /** Takes what the statement ended with. */
  finish({ command, count, columns }: BackendEnd): void {
    if (this.ending !== undefined && (this.request.readOnly || this.#rowsDropped)) {
      return this.pages.fail(this.ending);
    }
    this.describe(columns);
    // What a cursor has given is not counted again at its end.
    const rows = Math.max(count ?? 0, this.pages.rowCount);
    const changes = CHANGING.has(command ?? "") ? rows : 0;
    this.pages.end({ changes, lastInsertRowid: null });
  }

  /** Asks for more pages. */
  pull(pages: number): void {
    if (this.pages.isStalled) this.#askedAtMs = performance.now();
    this.pages.pull(pages);
  }

  /** Ends it before its time. */
  end(error: SqpError): void {
    if (this.ending !== undefined || this.pages.isOver) return;
    this.ending = error;
    this.endingSinceMs = performance.now();
    this.#connection?.abort();
    // What a read would still say interests nobody; a write may have been committed, so the server is heard first.
    if (this.request.readOnly) this.pages.fail(error);
  }

  /** The server did not let go of it in time. */
  insist(): void {
    this.#connection?.destroy();
  }
}
