// Keeps texts from ending the transaction that they run in. A command tag tells only afterwards what a text was; COMMIT
// has taken effect then.

import { SqpError } from "../../wire/errors.ts";
import type { PostgresConnection, TransactionStatus } from "./connection.ts";
import { fromPostgres } from "./postgres_errors.ts";

/**
 * Every command that ends a transaction begins with one of these words. They decide nothing: about a text that holds
 * one, anywhere, the server is asked, and any other text is no such command.
 */
const ENDING_WORD = /\b(?:ABORT|COMMIT|END|PREPARE|ROLLBACK)\b/i;

/** Fails the subtransaction that is open. */
const FAIL = "ROLLBACK TO SAVEPOINT sqp_nowhere";

const FAILED_TRANSACTION = "25P02";

/** Whether the server has to be asked what a text is before it runs in a transaction. */
export function mayEndTransaction(sql: string): boolean {
  return ENDING_WORD.test(sql);
}

/**
 * Asks the server whether a text would end the transaction that is open, and goes on as if nothing had happened where
 * it would not. A transaction that has failed takes nothing but such commands, and refuses any other text when it is
 * parsed, before anything of it runs; so it is parsed in a subtransaction that was made to fail. Throws
 * {@linkcode SqpError}, `statement_not_allowed` for a text that would; the transaction is rolled back then.
 */
export async function refuseTransactionEnd(
  connection: PostgresConnection,
  sql: string,
): Promise<void> {
  if (!isIn(connection, "open")) return;
  const [, , description] = await Promise.allSettled([
    connection.values("SAVEPOINT sqp_question"),
    connection.values(FAIL),
    connection.describe(sql),
  ]);
  const refusal = description.status === "rejected" ? fromPostgres(description.reason) : undefined;
  // It was ended meanwhile.
  if (refusal?.codeName === "deadline_exceeded") throw refusal;
  // What else may be wrong with the text, running it tells.
  if (refusal !== undefined || !isIn(connection, "failed")) {
    for (const command of ["ROLLBACK TO", "RELEASE"]) {
      // Whatever keeps it from running ends the statement behind it as well.
      connection.values(`${command} SAVEPOINT sqp_question`).catch(() => {});
    }
    return;
  }
  // A text without a statement can be parsed as well, but not be bound. Anything else rolls the transaction back.
  const error = await connection.values(sql).then(() => undefined, fromPostgres);
  if (error?.engine?.code === FAILED_TRANSACTION) throw new SqpError("empty_statement");
  connection.destroy();
  const message = "A transaction is not ended by a text: it has commands of its own for that.";
  throw new SqpError("statement_not_allowed", { message });
}

function isIn({ transactionStatus }: PostgresConnection, status: TransactionStatus): boolean {
  return transactionStatus === status;
}
