// BEGIN, COMMIT and ROLLBACK on a connection, and what each leaves it as.

import { SqpError } from "../../wire/errors.ts";
import type { IsolationLevel } from "../../wire/query_payload.ts";
import type { PostgresConnection } from "./connection.ts";
import { fromPostgres } from "./postgres_errors.ts";

/** How a transaction begins. */
export interface BlockOptions {
  readonly readOnly?: boolean;
  readonly isolation?: IsolationLevel;
}

/** The statement that begins a transaction. One that only reads sees one state of the database. */
function beginText({ readOnly, isolation }: BlockOptions): string {
  const level = readOnly === true && isolation !== "serializable" ? "repeatable_read" : isolation;
  const words = level?.replaceAll("_", " ").toUpperCase();
  return `BEGIN${words === undefined ? "" : ` ISOLATION LEVEL ${words}`}` +
    (readOnly === true ? " READ ONLY" : "");
}

/** Begins a transaction. Throws {@linkcode SqpError}. */
export async function begin(connection: PostgresConnection, options: BlockOptions): Promise<void> {
  await connection.values(beginText(options));
}

/**
 * Commits. Throws {@linkcode SqpError}: `transaction_failed` where it had failed before and is rolled back now,
 * `outcome_unknown` where the connection was lost in between.
 */
export async function commit(connection: PostgresConnection): Promise<void> {
  const { transactionStatus } = connection;
  try {
    await connection.values("COMMIT");
  } catch (thrown) {
    connection.forgetSettings();
    const error = fromPostgres(thrown);
    if (!isDoubtful(connection, error)) throw error;
    const { message, engine } = error;
    throw new SqpError("outcome_unknown", {
      ...{ message, cause: error },
      ...(engine !== undefined && { engine }),
    });
  }
  if (transactionStatus === "open") return;
  connection.forgetSettings();
  throw new SqpError("transaction_failed");
}

/** Whether a transaction may have been committed whose COMMIT ended with an error. */
function isDoubtful(connection: PostgresConnection, { codeName }: SqpError): boolean {
  // The server may end a session after it has committed and before it says so.
  if (!connection.isOpen) return codeName === "engine_not_run";
  // It may fail because another server, which has committed, did not say so.
  return connection.isDistributed && codeName === "engine_failure";
}

/** Rolls back what is open. Throws {@linkcode SqpError} where the connection is lost, which does the same. */
export async function rollBack(connection: PostgresConnection): Promise<void> {
  connection.forgetSettings();
  if (connection.transactionStatus !== "idle") await connection.values("ROLLBACK");
}

/** Runs in a transaction, which `run` commits; it is rolled back where that throws. Throws what `run` throws. */
export async function inTransaction<Outcome>(
  connection: PostgresConnection,
  options: BlockOptions,
  run: () => Promise<Outcome>,
): Promise<Outcome> {
  try {
    await begin(connection, options);
    return await run();
  } catch (error) {
    if (connection.isOpen) await rollBack(connection).catch(() => connection.destroy());
    throw error;
  }
}
