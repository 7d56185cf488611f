// A write that takes effect once for its principal and idempotency key, whatever becomes of connections in between.

import { SqpError } from "../../wire/errors.ts";
import { pageOf } from "../../wire/page_cutter.ts";
import { decodeResponse, encodeResponse } from "../../wire/response_payload.ts";
import { pageRowCount } from "../../wire/row_page.ts";
import type { Reply, ResultSink } from "../engine.ts";
import { type CollectingContext, collectStatement } from "./collected_statement.ts";
import type { PostgresConnection } from "./connection.ts";
import type { OutcomeKey, OutcomeStore } from "./outcome_store.ts";
import { fromPostgres } from "./postgres_errors.ts";
import { type Role, withConnection } from "./role.ts";
import type { BoundStatement } from "./statement_runner.ts";
import { commit, inTransaction } from "./transaction_block.ts";
import type { Work } from "./work.ts";

/** What a keyed write is made of. */
export interface KeyedWrite {
  readonly key: OutcomeKey;
  readonly store: OutcomeStore;
  /** Runs the write in the transaction that is open, and gives its outcome. */
  run(connection: PostgresConnection): Promise<Uint8Array>;
}

/** Runs a write unless its outcome is known, and gives that. Throws {@linkcode SqpError}. */
export async function runKeyed(role: Role, work: Work, write: KeyedWrite): Promise<Uint8Array> {
  const { limits } = role;
  let doubt: SqpError | undefined;
  for (let attempts = 1;; attempts++) {
    try {
      return await withConnection(
        role,
        work,
        write.key.principal,
        (connection) =>
          inTransaction(connection, {}, () => runOnce(connection, write, limits.outcomeBytesMax)),
      );
    } catch (thrown) {
      const error = fromPostgres(thrown);
      const isLost = error.codeName === "outcome_unknown" || error.codeName === "engine_not_run";
      // Where the database has answered, it has also told whether the write of an earlier attempt is there.
      if (!isLost) throw error;
      if (error.codeName === "outcome_unknown") doubt = knownByRetry(error);
      if (work.ending !== undefined || attempts >= limits.attemptsMax) throw doubt ?? error;
    }
  }
}

/** With its key, a retry finds out what became of it. */
function knownByRetry({ message }: SqpError): SqpError {
  return new SqpError("outcome_unknown", { message, retry: "now" });
}

async function runOnce(
  connection: PostgresConnection,
  { key, store, run }: KeyedWrite,
  outcomeBytesMax: number,
): Promise<Uint8Array> {
  const ask: PostgresConnection["values"] = (sql, parameters) => connection.values(sql, parameters);
  const known = await store.claim(ask, key);
  const outcome = known ?? await run(connection);
  if (known === undefined) {
    if (outcome.length > outcomeBytesMax) {
      const message = `The outcome to be stored is larger than ${outcomeBytesMax} bytes.`;
      throw new SqpError("result_too_large", { message });
    }
    await store.store(ask, key, outcome);
  }
  await commit(connection);
  return outcome;
}

/** Tags of what reads, unless a function or a part of it writes. */
const READING_COMMANDS: ReadonlySet<unknown> = new Set(["SELECT", "SHOW", "EXPLAIN", "FETCH"]);

const READ_ONLY_TRANSACTION = "25006";

/**
 * Runs one statement and gives its outcome as it is stored. Throws {@linkcode SqpError}, `bad_request` for a statement
 * that only reads.
 */
export async function runKeyedStatement(
  connection: PostgresConnection,
  statement: BoundStatement,
  context: CollectingContext,
): Promise<Uint8Array> {
  const { result, command } = await collectStatement(connection, statement, context);
  const mayRead = READING_COMMANDS.has(command);
  if (mayRead && !await writes(connection, statement, context)) throw onlyReads();
  return encodeResponse({ kind: "page", ...result });
}

/** Whether a statement writes: the server runs it once more, as one that may not, and what that did is undone. */
async function writes(
  connection: PostgresConnection,
  statement: BoundStatement,
  context: CollectingContext,
): Promise<boolean> {
  await connection.values("SAVEPOINT sqp_again");
  await connection.values("SET TRANSACTION READ ONLY");
  try {
    await collectStatement(connection, statement, context);
    return false;
  } catch (error) {
    if (fromPostgres(error).engine?.code === READ_ONLY_TRANSACTION) return true;
    throw error;
  } finally {
    if (connection.isOpen) await connection.values("ROLLBACK TO SAVEPOINT sqp_again");
  }
}

/** The error of a key with a statement that only reads. */
export function onlyReads(): SqpError {
  const message = "An idempotency key is for a statement that writes.";
  return new SqpError("bad_request", { message });
}

/** Gives a stored outcome of one statement to its sink. */
export function outcomeReply(sink: ResultSink): Reply<Uint8Array> {
  return {
    onError: (error) => sink.onError(error),
    onEnd(outcome) {
      const response = decodeResponse(outcome);
      if (response.kind === "stream") return sink.onError(new SqpError("internal"));
      const { columns, page, changes, rowid } = response;
      const rowCount = pageRowCount(page);
      sink.onHead(columns);
      if (rowCount > 0) sink.onPage(pageOf(page), true);
      const lastInsertRowid = rowid === null ? null : BigInt(rowid);
      sink.onEnd({ changes, lastInsertRowid, rowCount });
    },
  };
}
