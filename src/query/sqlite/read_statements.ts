// Statements that read: a few rows at once, or many as pages are asked for.

import type { Column } from "../../wire/response_payload.ts";
import { RowPageWriter } from "../../wire/row_page.ts";
import type { Bindings } from "./bindings.ts";
import type { PreparedStatement, SqliteConnection } from "./connection.ts";
import type { SqliteValue } from "./node_sqlite.ts";
import {
  NO_WRITE,
  readError,
  type ResultPart,
  type RunningStatement,
} from "./running_statement.ts";

/** A read whose few rows are held all at once: `all()` throws where `iterate()` is silent, and is much faster. */
export class ShortRead implements RunningStatement {
  readonly kind = "running";
  readonly short: boolean;
  readonly #pages = new RowPageWriter();
  readonly #connection: SqliteConnection;
  readonly #prepared: PreparedStatement;
  readonly #bindings: Bindings;
  #rowCount: number | undefined;

  constructor(connection: SqliteConnection, prepared: PreparedStatement, bindings: Bindings) {
    this.short = prepared.short;
    this.#connection = connection;
    this.#prepared = prepared;
    this.#bindings = bindings;
  }

  get columns(): readonly Column[] {
    return this.#prepared.columns;
  }

  next(): ResultPart {
    this.#rowCount ??= this.#run();
    const page = this.#pages.rowCount > 0 ? this.#pages.takePage() : undefined;
    if (this.#pages.rowCount > 0) return { page: page! };
    const end = { ...NO_WRITE, rowCount: this.#rowCount };
    return page === undefined ? { end } : { page, end };
  }

  #run(): number {
    let rows: SqliteValue[][];
    try {
      // `all()` takes as many values of a row as the statement had columns before it was prepared anew.
      do rows = this.#prepared.statement.all(...this.#bindings); while (
        this.#connection.isRenewed(this.#prepared)
      );
    } catch (error) {
      throw readError(this.#connection, error);
    }
    for (const row of rows) this.#pages.append(row);
    return rows.length;
  }

  close(): void {}
}

/** How rows are gathered into pages. */
export interface StreamOptions {
  readonly firstPageBytesMax: number;
  readonly pageMsMax: number;
  readonly clockMs: () => number;
  /** Bytes of the largest row, where it is not that of a result for a client. */
  readonly rowBytesMax?: number;
}

/** A read that is stepped as pages are asked for. Between pages its snapshot of the database stays open. */
export class StreamedRead implements RunningStatement {
  readonly kind = "running";
  readonly short = false;
  readonly #writer: RowPageWriter;
  readonly #connection: SqliteConnection;
  readonly #prepared: PreparedStatement;
  readonly #bindings: Bindings;
  readonly #options: StreamOptions;
  #rows: IterableIterator<SqliteValue[]> | undefined;
  #rowCount = 0;
  #hasBegun = false;
  #closed = false;
  #pageBytesMax: number;

  constructor(
    connection: SqliteConnection,
    prepared: PreparedStatement,
    bindings: Bindings,
    options: StreamOptions,
  ) {
    this.#connection = connection;
    this.#prepared = prepared;
    this.#bindings = bindings;
    this.#options = options;
    const { rowBytesMax } = options;
    this.#writer = new RowPageWriter(rowBytesMax === undefined ? {} : { rowBytesMax });
    this.#pageBytesMax = options.firstPageBytesMax;
    prepared.busy = true;
  }

  get columns(): readonly Column[] {
    return this.#prepared.columns;
  }

  next(): ResultPart {
    try {
      return this.#fillPage();
    } catch (error) {
      this.close();
      throw readError(this.#connection, error);
    }
  }

  #fillPage(): ResultPart {
    const rows = this.#rows ??= this.#iterate();
    const writer = this.#writer;
    const { clockMs, pageMsMax } = this.#options;
    const dueMs = clockMs() + pageMsMax;
    while (!writer.full) {
      const step = rows.next();
      if (this.#rowCount === 0) this.#connection.isRenewed(this.#prepared);
      if (step.done) return this.#finish();
      writer.append(step.value);
      this.#rowCount++;
      if (writer.lengthBytes >= this.#pageBytesMax || clockMs() >= dueMs) break;
    }
    this.#pageBytesMax = Infinity;
    return { page: writer.takePage() };
  }

  #iterate(): IterableIterator<SqliteValue[]> {
    this.#connection.openStreams++;
    this.#hasBegun = true;
    return this.#prepared.statement.iterate(...this.#bindings);
  }

  /** `iterate()` ends in the same way at the last row and at an error, so the connection is asked which it was. */
  #finish(): ResultPart {
    const error = this.#connection.silentError();
    if (error !== undefined) throw error;
    this.#rows = undefined;
    this.close();
    const end = { ...NO_WRITE, rowCount: this.#rowCount };
    return this.#writer.rowCount > 0 ? { page: this.#writer.takePage(), end } : { end };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#rows?.return?.();
    this.#rows = undefined;
    this.#prepared.busy = false;
    if (this.#hasBegun) this.#connection.openStreams--;
  }
}
