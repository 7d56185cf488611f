// A statement whose whole result is held: a step of a batch, or a write whose outcome is stored.

import { SqpError } from "../../wire/errors.ts";
import { LIMITS } from "../../wire/limits.ts";
import type { PageResult } from "../../wire/response_payload.ts";
import { RowPageWriter } from "../../wire/row_page.ts";
import type { SqlValue } from "../../wire/value.ts";
import type { Catalog } from "./catalog.ts";
import type { BackendEnd, PostgresConnection } from "./connection.ts";
import type { BackendColumn, BackendRow } from "./driver.ts";
import { changesOf, readRow, type RowFormat, rowFormat } from "./rows.ts";
import type { BoundStatement, StatementReceiver, StatementRunner } from "./statement_runner.ts";

/** The payload of a page without rows. */
const EMPTY_PAGE = new Uint8Array([0x90]);

/** Takes rows into one page. */
class CollectedRows implements StatementReceiver {
  readonly mayUseCursor = false;
  readonly isSmall = false;
  readonly #bytesMax: number;
  readonly #onTooLarge: () => void;
  readonly #writer = new RowPageWriter({ pageBytesMax: Infinity });
  #format: RowFormat | undefined;
  #values: SqlValue[] = [];
  /** Why not all rows were taken. */
  error: SqpError | undefined;

  constructor(bytesMax: number, onTooLarge: () => void) {
    this.#bytesMax = bytesMax;
    this.#onTooLarge = onTooLarge;
  }

  get rowCount(): number {
    return this.#writer.rowCount;
  }

  onStart(): void {}

  onBatch(): Promise<number> {
    return Promise.resolve(1);
  }

  onRow(row: BackendRow, columns: readonly BackendColumn[]): void {
    if (this.error !== undefined) return;
    this.#format ??= rowFormat(columns);
    try {
      if (this.#writer.full) throw new SqpError("result_too_large");
      this.#writer.append(readRow(row, this.#format, this.#values), this.#format.kinds);
      if (this.#writer.lengthBytes > this.#bytesMax) throw new SqpError("result_too_large");
    } catch (error) {
      this.error = error instanceof SqpError ? error : new SqpError("internal", { cause: error });
      this.#onTooLarge();
    }
  }

  page(): Uint8Array {
    return this.#writer.rowCount > 0 ? this.#writer.takePayload() : EMPTY_PAGE;
  }
}

/** What a statement is collected with. */
export interface CollectingContext {
  readonly runner: StatementRunner;
  readonly catalog: Catalog;
  /** Bytes of its rows. */
  readonly bytesMax: number;
}

/** A whole result. */
export interface CollectedResult {
  readonly result: PageResult;
  /** The words of the command tag. */
  readonly command: string | undefined;
}

/** Runs a statement in a transaction and holds its result. Throws {@linkcode SqpError}. */
export async function collectStatement(
  connection: PostgresConnection,
  statement: BoundStatement,
  context: CollectingContext,
): Promise<CollectedResult> {
  const rows = new CollectedRows(context.bytesMax, () => connection.abort());
  let end: BackendEnd;
  try {
    end = await context.runner.run(connection, statement, rows, "transaction");
  } catch (error) {
    throw rows.error ?? error;
  }
  if (rows.error !== undefined) throw rows.error;
  const { command, count } = end;
  if (end.columns.length > LIMITS.columnsMax) throw new SqpError("too_many_columns");
  const changes = changesOf(command, count, rows.rowCount);
  const columns = await context.catalog.describe(end.columns);
  return { command, result: { columns, page: rows.page(), changes, rowid: null } };
}
