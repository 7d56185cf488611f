// A statement that writes.

import { SqpError } from "../../wire/errors.ts";
import { LIMITS } from "../../wire/limits.ts";
import type { Column, PageResult } from "../../wire/response_payload.ts";
import { PAGE_PREFIX_BYTES } from "../../wire/page_cutter.ts";
import { RowPageWriter } from "../../wire/row_page.ts";
import type { ResultEnd } from "../engine.ts";
import type { Bindings } from "./bindings.ts";
import type { ConnectionCounts, PreparedStatement, SqliteConnection } from "./connection.ts";
import { NO_WRITE, type ResultPart, type Write } from "./running_statement.ts";
import { NO_HOOKS, runWriteGroup } from "./write_group.ts";

/** The payload of a page without rows. */
const EMPTY_PAGE = new Uint8Array([0x90]);

/** How many names there are that only the engine gives. */
const COUNT_OWN_NAMES =
  "SELECT count(*) FROM sqlite_schema WHERE lower(substr(name, 1, 4)) = 'sqp_'";

/** Bounds of the rows that a write returns. */
export interface ReturningLimits {
  /** Bytes of all of them, encoded. */
  readonly bytesMax: number;
  /** Bytes of a page of them. */
  readonly pageBytesMax?: number;
}

/**
 * A write. Its rows are held until it is committed: SQLite would commit it when the last row was read, and a reader
 * may be slow. Nothing is
 * known of it outside before the commit.
 */
export class WriteStatement implements Write {
  readonly kind = "running";
  readonly short = false;
  readonly connection: SqliteConnection;
  readonly #prepared: PreparedStatement;
  readonly #bindings: Bindings;
  readonly #limits: ReturningLimits;
  #pages: Uint8Array[] = [];
  #outcome: ResultEnd | SqpError | undefined;

  constructor(
    connection: SqliteConnection,
    prepared: PreparedStatement,
    bindings: Bindings,
    limits: ReturningLimits,
  ) {
    this.connection = connection;
    this.#prepared = prepared;
    this.#bindings = bindings;
    this.#limits = limits;
  }

  get columns(): readonly Column[] {
    return this.#prepared.columns;
  }

  /** Whether it changes the database, rather than being run as what might. */
  get writes(): boolean {
    return this.#prepared.effects.writes;
  }

  get isDone(): boolean {
    return this.#outcome !== undefined;
  }

  get failure(): SqpError | undefined {
    return this.#outcome instanceof SqpError ? this.#outcome : undefined;
  }

  /** Its outcome; commits it alone where {@linkcode runWriteGroup} has not run it. */
  next(): ResultPart {
    if (this.#outcome === undefined) runWriteGroup([this], NO_HOOKS);
    const end = this.#outcome!;
    if (end instanceof SqpError) throw end;
    const page = this.#pages.shift();
    if (page === undefined) return { end };
    return this.#pages.length > 0 ? { page } : { page, end };
  }

  /** The whole result, once it has run and where one page holds its rows. Throws {@linkcode SqpError}. */
  result(): PageResult {
    const end = this.#outcome!;
    if (end instanceof SqpError) throw end;
    if (this.#pages.length > 1) throw new SqpError("result_too_large");
    return {
      columns: this.columns,
      page: this.#pages[0]?.subarray(PAGE_PREFIX_BYTES) ?? EMPTY_PAGE,
      changes: end.changes,
      rowid: end.lastInsertRowid,
    };
  }

  execute(): void {
    this.#pages = [];
    const before = this.connection.counts();
    try {
      const rowCount = this.columns.length === 0 ? this.#runPlain() : this.#runReturning();
      this.connection.noteReplaced(this.#prepared.effects);
      this.#outcome = this.#endAfter(before, rowCount);
    } catch (error) {
      this.fail(this.connection.errorOf(error));
    }
  }

  fail(error: SqpError): void {
    this.#pages = [];
    this.#outcome = error;
  }

  #runPlain(): number {
    if (this.#prepared.effects.altersTable) this.#alterTable();
    else this.#prepared.statement.run(...this.#bindings);
    return 0;
  }

  /** SQLite does not say what name a table is to get: the engine's own stay its own. */
  #alterTable(): void {
    const { connection } = this;
    connection.savepoint();
    try {
      const before = connection.own(COUNT_OWN_NAMES)![0]!;
      this.#prepared.statement.run(...this.#bindings);
      if (connection.own(COUNT_OWN_NAMES)![0]! > before) {
        const message = "Names that begin with sqp_ are the engine's own.";
        throw new SqpError("statement_not_allowed", { message });
      }
    } catch (error) {
      const exact = connection.errorOf(error);
      connection.rollbackToSavepoint();
      throw exact;
    }
    connection.release();
  }

  #runReturning(): number {
    const { connection } = this;
    connection.savepoint();
    let outcome: number | SqpError;
    try {
      outcome = this.#collect();
    } catch (error) {
      const exact = connection.errorOf(error);
      connection.rollbackToSavepoint();
      throw exact;
    }
    if (outcome instanceof SqpError) outcome = this.#exactError(outcome);
    if (connection.inTransaction) connection.release();
    if (outcome instanceof SqpError) throw outcome;
    return outcome;
  }

  /** The number of rows, or the error that ended them in silence. Throws where there are too many. */
  #collect(): number | SqpError {
    const { bytesMax, pageBytesMax = LIMITS.pageBytesMax } = this.#limits;
    const writer = new RowPageWriter({ pageBytesMax });
    let rowCount = 0;
    let heldBytes = 0;
    const take = () => {
      const page = writer.takePage();
      heldBytes += page.length;
      if (heldBytes > bytesMax) throw tooLarge(bytesMax);
      this.#pages.push(page);
    };
    for (const row of this.#prepared.statement.iterate(...this.#bindings)) {
      writer.append(row);
      rowCount++;
      if (writer.full) take();
    }
    const silent = this.connection.silentError();
    if (silent !== undefined) return silent;
    this.connection.isRenewed(this.#prepared);
    while (writer.rowCount > 0) take();
    return rowCount;
  }

  /**
   * A silent error has lost its code, and a constraint's matters. A second attempt on the same state fails in the same
   * way, this time aloud, and leaves what SQLite leaves of a statement that failed: INSERT OR FAIL keeps the rows that
   * came before. Where SQLite has undone the whole transaction (INSERT OR ROLLBACK), the attempt has one of its own.
   */
  #exactError(silent: SqpError): SqpError {
    const { connection } = this;
    const isUndone = !connection.inTransaction;
    try {
      if (isUndone) connection.begin();
      else connection.rollbackTo("sqp");
      this.#prepared.statement.get(...this.#bindings);
      if (!isUndone) connection.rollbackTo("sqp");
    } catch (error) {
      return connection.errorOf(error);
    } finally {
      if (isUndone) connection.rollback();
    }
    return silent;
  }

  #endAfter(before: ConnectionCounts, rowCount: number): ResultEnd {
    const { writes, inserts, updates, changesSchema } = this.#prepared.effects;
    // After a statement that changes no rows, SQLite still tells the counts of the one before.
    if (!writes || changesSchema) return { ...NO_WRITE, rowCount };
    const after = this.connection.counts();
    // An upsert that updated leaves the row id of an earlier statement.
    const inserted = inserts && after.changes > 0 &&
      !(updates && after.lastInsertRowid === before.lastInsertRowid);
    return {
      changes: after.changes,
      lastInsertRowid: inserted ? after.lastInsertRowid : null,
      rowCount,
    };
  }

  close(): void {}
}

function tooLarge(bytesMax: number): SqpError {
  return new SqpError("result_too_large", {
    message: `The rows that the write returns are larger than ${bytesMax} bytes.`,
  });
}
