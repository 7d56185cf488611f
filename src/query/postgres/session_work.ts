// How commands are started, in a session and in a transaction alike.

import { SqpError } from "../../wire/errors.ts";
import type { ParameterDescription, StatementDescription } from "../../wire/response_payload.ts";
import type { Execution, Reply, ResultSink, RunningCommand } from "../engine.ts";
import type { PostgresConnection } from "./connection.ts";
import { fromPostgres } from "./postgres_errors.ts";
import type { Role, SessionHost } from "./role.ts";
import { StatementJob } from "./statement_job.ts";
import type { Work } from "./work.ts";

/** Starts a command where the engine takes one; otherwise answers it with why it does not. */
export function admitted(
  host: SessionHost,
  reply: Pick<Reply<never>, "onError">,
  start: (role: Role) => Execution | RunningCommand,
): Execution {
  try {
    return { pull() {}, ...start(host.admit()) };
  } catch (thrown) {
    const error = fromPostgres(thrown);
    queueMicrotask(() => reply.onError(error));
    return { pull() {}, cancel() {} };
  }
}

/** Makes the job of a statement, and has its times watched. */
export function startJob(
  host: SessionHost,
  { catalog, limits, readOnly }: Role,
  { sink, deadlineMs }: { readonly sink: ResultSink; readonly deadlineMs: number | undefined },
): StatementJob {
  const context = { catalog, limits, readOnly, deadlineMs };
  const job: StatementJob = new StatementJob(sink, context, () => host.unwatch(job));
  host.watch(job);
  return job;
}

/** What a client may do with the statement of a job. */
export function executionOf(host: SessionHost, job: StatementJob): Execution {
  return { ...runningWork(host, job), pull: (pages) => job.pull(pages) };
}

/** What a client may do with a piece of work. */
export function runningWork(host: SessionHost, work: Work): RunningCommand {
  return { cancel: () => queueMicrotask(() => host.end(work, new SqpError("cancelled"))) };
}

/** Describes a statement without running it. Throws {@linkcode SqpError}. */
export async function describeStatement(
  connection: PostgresConnection,
  sql: string,
  { catalog }: Role,
): Promise<StatementDescription> {
  const { columns, parameterTypes } = await connection.describe(sql);
  const types = await catalog.typeNames(parameterTypes);
  const parameters = types.map((type): ParameterDescription => ({ name: null, type }));
  return { columns: await catalog.describe(columns), parameters };
}
