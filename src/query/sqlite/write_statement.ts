// Statements that write, and how several are committed together: the disk is waited for once.

import { SqpError } from "../../wire/errors.ts";
import type { Column } from "../../wire/response_payload.ts";
import { RowPageWriter } from "../../wire/row_page.ts";
import type { ResultEnd } from "../engine.ts";
import type { Bindings } from "./bindings.ts";
import type { ConnectionCounts, PreparedStatement, SqliteConnection } from "./connection.ts";
import { NO_WRITE, type ResultPart, type RunningStatement } from "./running_statement.ts";

/**
 * A write. Its rows are held until it is committed: SQLite would commit it when the last row was read, and a reader
 * may be slow. Nothing is
 * known of it outside before the commit.
 */
export class WriteStatement implements RunningStatement {
  readonly kind = "running";
  readonly columns: readonly Column[];
  readonly short = false;
  /** Where it runs. Only statements of one connection can be committed together. */
  readonly connection: SqliteConnection;
  readonly #prepared: PreparedStatement;
  readonly #bindings: Bindings;
  readonly #bytesMax: number;
  #pages: Uint8Array[] = [];
  #outcome: ResultEnd | SqpError | undefined;

  constructor(
    connection: SqliteConnection,
    prepared: PreparedStatement,
    bindings: Bindings,
    bytesMax: number,
  ) {
    this.columns = prepared.columns;
    this.connection = connection;
    this.#prepared = prepared;
    this.#bindings = bindings;
    this.#bytesMax = bytesMax;
  }

  /** What came of it, `undefined` as long as it has not run. */
  get outcome(): ResultEnd | SqpError | undefined {
    return this.#outcome;
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

  /** Runs inside the transaction that is open. */
  execute(): void {
    this.#pages = [];
    const before = this.connection.counts();
    this.connection.noteDrops(this.#prepared.effects);
    try {
      const rowCount = this.columns.length === 0 ? this.#runPlain() : this.#runReturning();
      this.#outcome = this.#endAfter(before, rowCount);
    } catch (error) {
      this.fail(this.connection.errorOf(error));
    }
  }

  /** Fails it, whatever came of it before. */
  fail(error: SqpError): void {
    this.#pages = [];
    this.#outcome = error;
  }

  #runPlain(): number {
    this.#prepared.statement.run(...this.#bindings);
    return 0;
  }

  #runReturning(): number {
    this.connection.savepoint();
    try {
      const rowCount = this.#collect();
      this.connection.release();
      return rowCount;
    } catch (error) {
      const exact = this.connection.errorOf(error);
      this.connection.rollbackToSavepoint();
      throw exact;
    }
  }

  #collect(): number {
    const writer = new RowPageWriter();
    let rowCount = 0;
    let heldBytes = 0;
    const take = () => {
      const page = writer.takePage();
      heldBytes += page.length;
      if (heldBytes > this.#bytesMax) throw tooLarge(this.#bytesMax);
      this.#pages.push(page);
    };
    for (const row of this.#prepared.statement.iterate(...this.#bindings)) {
      writer.append(row);
      rowCount++;
      if (writer.full) take();
    }
    const silent = this.connection.silentError();
    if (silent !== undefined) throw this.#exactError(silent);
    while (writer.rowCount > 0) take();
    return rowCount;
  }

  /**
   * A silent error has lost its code, and a constraint's matters. SQLite has undone the statement, so a second
   * attempt inside the same
   * savepoint fails in the same way, this time aloud; should it succeed, it is rolled back with the savepoint.
   */
  #exactError(silent: SqpError): SqpError {
    if (!this.connection.inTransaction) return silent;
    try {
      this.#prepared.statement.get(...this.#bindings);
    } catch (error) {
      return this.connection.errorOf(error);
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
  return new SqpError("row_too_large", {
    message: `The rows that the write returns are larger than ${bytesMax} bytes.`,
  });
}

/** What is told, and asked, while a group runs. */
export interface WriteGroupHooks {
  /** This write runs next. */
  onRunning(write: WriteStatement): void;
  /** Whether the group has run for so long that it should be committed before it goes on. */
  isLong(): boolean;
  /** From here on these may be committed, and not before. */
  onCommitting(writes: readonly WriteStatement[]): void;
  /** These have their outcome. */
  onDone(writes: readonly WriteStatement[]): void;
}

const NO_HOOKS: WriteGroupHooks = {
  onRunning() {},
  isLong: () => false,
  onCommitting() {},
  onDone() {},
};

/**
 * Runs writes of one connection in order and commits as many together as it may. A write that fails is undone by
 * SQLite and the others go
 * on, each as if it were alone. (With one exception: a constraint that is deferred is checked when the group is
 * committed.) Where a group
 * cannot be committed, each of its writes runs alone.
 */
export function runWriteGroup(writes: readonly WriteStatement[], hooks: WriteGroupHooks): void {
  for (let from = 0; from < writes.length;) from += runTogether(writes.slice(from), hooks);
}

/** Runs the first of the writes, or more, in one transaction. Returns how many. */
function runTogether(writes: readonly WriteStatement[], hooks: WriteGroupHooks): number {
  const { connection } = writes[0]!;
  try {
    connection.begin();
  } catch (error) {
    // The database is locked or cannot be written; the next one would fare no better.
    const exact = connection.errorOf(error);
    for (const write of writes) write.fail(exact);
    hooks.onDone(writes);
    return writes.length;
  }
  let count = 0;
  do {
    hooks.onRunning(writes[count]!);
    writes[count++]!.execute();
    // Some errors, and INSERT OR ROLLBACK, undo the whole transaction.
  } while (
    connection.inTransaction && count < writes.length && !hooks.isLong() && endUnit(connection)
  );
  const ran = writes.slice(0, count);
  const error = commitGroup(ran, hooks);
  if (error !== undefined && count > 1) {
    for (const write of ran) runWriteGroup([write], hooks);
    return count;
  }
  // Its own error says more than that of the commit which could not follow.
  if (error !== undefined && !(ran[0]!.outcome instanceof SqpError)) ran[0]!.fail(error);
  hooks.onDone(ran);
  return count;
}

/** Ends what change feeds see as one transaction. Returns whether that could be; else nothing is left of the group. */
function endUnit(connection: SqliteConnection): boolean {
  try {
    connection.endUnit();
    return true;
  } catch {
    // What it was shows when each write runs alone.
    return false;
  }
}

/** The error that kept the writes from being committed; then nothing of them is in the database. */
function commitGroup(
  writes: readonly WriteStatement[],
  hooks: WriteGroupHooks,
): SqpError | undefined {
  const { connection } = writes[0]!;
  if (!connection.inTransaction) return new SqpError("engine_failure");
  hooks.onCommitting(writes);
  try {
    connection.commit();
    return undefined;
  } catch (error) {
    return connection.errorOf(error);
  }
}
