// The engine's own command to its writer: to keep the changes of tables from now on.

import { RowPageWriter } from "../../wire/row_page.ts";
import type { WatchOutcome } from "../feed_backend.ts";
import type { SqliteConnection } from "./connection.ts";
import { NO_WRITE, type ResultPart, type RunningStatement } from "./running_statement.ts";

/** The text of the command that watches tables. */
export function watchText(tables: readonly string[]): string {
  return JSON.stringify(tables);
}

/** Reads the one value of its result. */
export function readWatchOutcome(value: string): WatchOutcome {
  return JSON.parse(value);
}

/** Watches the tables of a text. Doing it again is harmless. */
export class WatchStatement implements RunningStatement {
  readonly kind = "running";
  readonly columns = [{ name: "outcome", declaredType: null }];
  readonly short = false;
  readonly atOnce = true;
  readonly #connection: SqliteConnection;
  readonly #tables: readonly string[];

  constructor(connection: SqliteConnection, text: string) {
    this.#connection = connection;
    this.#tables = JSON.parse(text);
  }

  next(): ResultPart {
    const writer = new RowPageWriter();
    writer.append([JSON.stringify(this.#connection.watch(this.#tables))]);
    return { page: writer.takePage(), end: { ...NO_WRITE, rowCount: 1 } };
  }

  close(): void {}
}
