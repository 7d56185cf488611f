// What all principals with one set of permissions share: a login, its connections, and what is known of its
// statements.

import type { SqpError } from "../../wire/errors.ts";
import type { Execution, FeedSink, SubscribeCommand } from "../engine.ts";
import type { Catalog } from "./catalog.ts";
import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import type { OutcomeStore } from "./outcome_store.ts";
import type { ReadGroups } from "./read_group.ts";
import type { PostgresLimits } from "./settings.ts";
import type { StatementRunner } from "./statement_runner.ts";
import type { Work } from "./work.ts";

/** A login and what belongs to it. */
export interface Role {
  /** Its name in the database. */
  readonly user: string;
  readonly pool: ConnectionPool;
  readonly runner: StatementRunner;
  /** Where short queries run together. */
  readonly reads: ReadGroups;
  readonly catalog: Catalog;
  readonly limits: PostgresLimits;
  /** It may neither write nor change the schema. */
  readonly readOnly: boolean;
}

/** What sessions need of the engine. */
export interface SessionHost {
  /** Admits one more command. Throws {@linkcode SqpError} where none is taken. */
  admit(): Role;
  /** The outcomes of writes with keys, for this role. Throws {@linkcode SqpError}. */
  outcomes(role: Role): Promise<OutcomeStore>;
  /** Watches over the times of a piece of work, until it is over. */
  watch(work: Work): void;
  /** The work is over. */
  unwatch(work: Work): void;
  /** Ends a piece of work before its time. */
  end(work: Work, error: SqpError): void;
  /** Opens a change feed. */
  subscribe(command: SubscribeCommand, sink: FeedSink): Execution;
  /** Counts something. */
  count(name: CounterName): void;
}

/** What is counted. */
export type CounterName =
  | "executed"
  | "batches"
  | "prepared"
  | "transactions"
  | "overloaded"
  | "deadlines"
  | "cancelled"
  | "keyed"
  | "retried"
  | "together"
  | "lost";

/** After which time the server itself ends the work, rounded up so that it is not told anew for every statement. */
export function statementTimeoutMs(
  work: Work,
  { statementTimeoutSlackMs }: PostgresLimits,
): number {
  if (work.deadlineAtMs === Infinity) return 0;
  const leftMs = Math.max(0, work.deadlineAtMs - performance.now());
  const timeoutMs = (Math.ceil(leftMs / statementTimeoutSlackMs) + 1) * statementTimeoutSlackMs;
  return Math.min(2 ** 31 - 1, timeoutMs);
}

/** Runs with a connection that is lent to the work; gives it back. Throws {@linkcode SqpError}. */
export async function withConnection<Outcome>(
  { pool, limits }: Role,
  work: Work,
  principal: string,
  run: (connection: PostgresConnection) => Promise<Outcome>,
): Promise<Outcome> {
  const connection = await work.borrow(pool, principal);
  try {
    connection.setStatementTimeout(statementTimeoutMs(work, limits));
    return await run(connection);
  } finally {
    work.letGo();
    pool.release(connection, performance.now());
  }
}
