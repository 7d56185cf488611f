// How the changes of watched tables come into the log: by triggers of the tables, or from the server's own log. Which
// it is, is settled when the log of changes is made; whoever reads that log need not know.

import { type CaptureSchema, LIMIT_LOCK_TIME } from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";

/** A table that is about to be watched, locked against whoever writes to it. */
export interface LockedTable {
  readonly oid: string;
  /** Its name as SQL has it. */
  readonly name: string;
  /** The names of its key's columns. */
  readonly keys: readonly string[];
}

/** Asks the database something of the engine's own. Rejects with `SqpError`. */
export type Ask = (
  sql: string,
  parameters?: readonly string[],
) => Promise<(string | null)[][]>;

/** Where in the log a snapshot stands. */
export interface SnapshotPlace {
  readonly id: number;
  readonly atMs: number;
}

/** A way to capture changes. What it is asked for rejects with `SqpError`. */
export interface ChangeCapture {
  readonly schema: CaptureSchema;
  /** Watches the table $1, whose number is $2. */
  readonly watchSql: string;
  /** Why the changes of a table cannot be captured, for a person; `undefined` where they can. */
  refusal(connection: PostgresConnection, oid: string, name: string): Promise<string | undefined>;
  /** Has the changes of a table captured from the end of the transaction on that is open. */
  capture(connection: PostgresConnection, table: LockedTable): Promise<void>;
  /** Waits until the log holds all that was committed before. */
  settle(): Promise<void>;
  /** Waits for that, and notes from when on tables are captured that were watched before. */
  settleWatched(): Promise<void>;
  /** Begins a transaction that sees tables as they are at one moment, and keeps their shapes. */
  beginSnapshot(
    connection: PostgresConnection,
    tables: readonly string[],
  ): Promise<SnapshotPlace>;
}

/** Begins a transaction in which tables keep their shapes. What it sees is settled by the next query. */
export async function beginWithShapes(
  connection: PostgresConnection,
  tables: readonly string[],
): Promise<void> {
  await connection.values("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  await connection.values(LIMIT_LOCK_TIME);
  await connection.values(`LOCK TABLE ONLY ${tables.join(", ONLY ")} IN ACCESS SHARE MODE`);
}
