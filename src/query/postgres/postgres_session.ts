// What one client has in the PostgreSQL engine.

import { SqpError } from "../../wire/errors.ts";
import type { StatementDescription } from "../../wire/response_payload.ts";
import type {
  BatchCommand,
  BatchOutcome,
  BeginCommand,
  EngineSession,
  EngineTransaction,
  ExecuteCommand,
  Execution,
  FeedSink,
  PrepareCommand,
  Reply,
  ResultSink,
  RunningCommand,
  SubscribeCommand,
} from "../engine.ts";
import { commandHash } from "../command_hash.ts";
import { bindSteps, runSteps } from "./batch.ts";
import type { BackendEnd, PostgresConnection } from "./connection.ts";
import { onlyReads, outcomeReply, runKeyed, runKeyedStatement } from "./keyed_write.ts";
import { postgresParameters } from "./parameters.ts";
import { fromPostgres } from "./postgres_errors.ts";
import { PostgresTransaction } from "./postgres_transaction.ts";
import { type Role, type SessionHost, withConnection } from "./role.ts";
import { admitted, describeStatement, executionOf, runningWork, startJob } from "./session_work.ts";
import { SingleWork } from "./single_work.ts";
import type { StatementJob } from "./statement_job.ts";
import type { BoundStatement } from "./statement_runner.ts";
import { commit, inTransaction } from "./transaction_block.ts";
import type { Work } from "./work.ts";

/** The session of one caller. */
export class PostgresSession implements EngineSession {
  readonly #host: SessionHost;
  readonly #principal: string;
  readonly #transactions = new Set<PostgresTransaction>();

  constructor(host: SessionHost, principal: string) {
    this.#host = host;
    this.#principal = principal;
  }

  execute(command: ExecuteCommand, sink: ResultSink): Execution {
    return admitted(this.#host, sink, (role) => {
      const { sql, params, deadlineMs } = command;
      const statement = { sql, parameters: postgresParameters(params) };
      if (command.idempotencyKey !== undefined) {
        const bytesMax = role.limits.outcomeBytesMax;
        return this.#keyed(
          role,
          command,
          outcomeReply(sink),
          (connection) => runKeyedStatement(connection, statement, { ...role, bytesMax }),
        );
      }
      this.#host.count("executed");
      const job = startJob(this.#host, role, { sink, deadlineMs });
      this.#run(job, statement, role);
      return executionOf(this.#host, job);
    });
  }

  async #run(job: StatementJob, statement: BoundStatement, role: Role): Promise<void> {
    try {
      const end = role.reads.isOpen && role.runner.runsTogether(statement)
        ? await this.#runTogether(job, statement, role)
        : undefined;
      // At once where it runs alone: whoever comes next counts those that wait.
      job.finish(end ?? await this.#runAlone(job, statement, role));
    } catch (thrown) {
      job.fail(fromPostgres(thrown));
    }
  }

  /** Runs a statement together with others, and resolves with `undefined` where it has to run alone. */
  async #runTogether(
    job: StatementJob,
    statement: BoundStatement,
    { reads }: Role,
  ): Promise<BackendEnd | undefined> {
    this.#host.count("together");
    const end = await reads.run(job, statement, this.#principal);
    if (end !== undefined) return end;
    if (job.ending !== undefined) throw job.ending;
    this.#host.count("retried");
    return undefined;
  }

  async #runAlone(job: StatementJob, statement: BoundStatement, role: Role): Promise<BackendEnd> {
    const { attemptsMax } = role.limits;
    for (let attempts = 1;; attempts++) {
      try {
        return await withConnection(
          role,
          job,
          this.#principal,
          (connection) => role.runner.run(connection, statement, job, "alone"),
        );
      } catch (thrown) {
        const error = fromPostgres(thrown);
        const isLost = error.codeName === "outcome_unknown";
        if (isLost) this.#host.count("lost");
        const repeats = isLost && job.isRepeatable && job.ending === undefined &&
          attempts < attemptsMax;
        if (!repeats) throw isLost && role.readOnly ? lostRead(error) : error;
        this.#host.count("retried");
      }
    }
  }

  batch(command: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand {
    return admitted(this.#host, reply, (role) => {
      const steps = bindSteps(command.steps);
      this.#host.count("batches");
      if (command.idempotencyKey !== undefined) {
        const payloadReply: Reply<Uint8Array> = {
          onEnd: (payload) => reply.onEnd({ payload }),
          onError: (error) => reply.onError(error),
        };
        return this.#keyed(
          role,
          command,
          payloadReply,
          (connection, work) => runSteps(connection, steps, { role, work }),
        );
      }
      return this.#single(
        role,
        reply,
        command.deadlineMs,
        (connection, work) =>
          inTransaction(connection, {}, async () => {
            const payload = await runSteps(connection, steps, { role, work });
            await commit(connection);
            return { payload };
          }),
      );
    });
  }

  prepare({ sql, deadlineMs }: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand {
    return admitted(this.#host, reply, (role) => {
      this.#host.count("prepared");
      return this.#single(
        role,
        reply,
        deadlineMs,
        (connection) => describeStatement(connection, sql, role),
      );
    });
  }

  /** Runs a write once for its key. */
  #keyed(
    role: Role,
    command: ExecuteCommand | BatchCommand,
    reply: Reply<Uint8Array>,
    run: (connection: PostgresConnection, work: Work) => Promise<Uint8Array>,
  ): RunningCommand {
    if (role.readOnly) throw onlyReads();
    this.#host.count("keyed");
    const key = {
      principal: this.#principal,
      key: command.idempotencyKey!,
      hash: commandHash(command),
    };
    const work = new SingleWork(reply, command.deadlineMs);
    this.#host.watch(work);
    work.answer(async () => {
      const store = await this.#host.outcomes(role);
      if (work.ending !== undefined) throw work.ending;
      return await runKeyed(role, work, { key, store, run: (one) => run(one, work) });
    }).finally(() => this.#host.unwatch(work));
    return runningWork(this.#host, work);
  }

  /** Runs something with one answer on a connection of its own. */
  #single<Outcome>(
    role: Role,
    reply: Reply<Outcome>,
    deadlineMs: number | undefined,
    run: (connection: PostgresConnection, work: Work) => Promise<Outcome>,
  ): RunningCommand {
    const work = new SingleWork(reply, deadlineMs);
    this.#host.watch(work);
    work.answer(() =>
      withConnection(role, work, this.#principal, (connection) => run(connection, work))
    ).finally(() => this.#host.unwatch(work));
    return runningWork(this.#host, work);
  }

  subscribe(command: SubscribeCommand, sink: FeedSink): Execution {
    return admitted(this.#host, sink, () => this.#host.subscribe(command, sink));
  }

  begin(command: BeginCommand, reply: Reply<void>): EngineTransaction {
    const transaction = new PostgresTransaction(this.#host, this.#principal, command, reply);
    this.#transactions.add(transaction);
    transaction.onOver = () => this.#transactions.delete(transaction);
    return transaction;
  }

  close(): void {
    for (const transaction of this.#transactions) {
      transaction.abort(new SqpError("session_closed"));
    }
  }
}

function lostRead(error: SqpError): SqpError {
  return new SqpError("engine_failure", { message: error.message, retry: "now", cause: error });
}
