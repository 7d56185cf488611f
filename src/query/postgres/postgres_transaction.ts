// A transaction of a client, on a connection of its own: one command after the other, in the order in which they came.

import { SqpError } from "../../wire/errors.ts";
import type { StatementDescription } from "../../wire/response_payload.ts";
import type {
  BatchCommand,
  BatchOutcome,
  BeginCommand,
  EngineTransaction,
  ExecuteCommand,
  Execution,
  PrepareCommand,
  Reply,
  ResultSink,
  RunningCommand,
} from "../engine.ts";
import { bindSteps, runSteps } from "./batch.ts";
import type { PostgresConnection } from "./connection.ts";
import { postgresParameters } from "./parameters.ts";
import { fromPostgres } from "./postgres_errors.ts";
import { admitted, describeStatement, executionOf, runningWork, startJob } from "./session_work.ts";
import { type Role, type SessionHost, statementTimeoutMs } from "./role.ts";
import { SingleWork } from "./single_work.ts";
import { begin, commit, rollBack } from "./transaction_block.ts";
import type { Work } from "./work.ts";

/** Commands that a failed transaction still takes. */
type Kind = "statement" | "repair";

/** A transaction. */
export class PostgresTransaction implements EngineTransaction {
  readonly #host: SessionHost;
  readonly #principal: string;
  #role: Role | undefined;
  #connection: PostgresConnection | undefined;
  /** Ends when everything that was given so far has ended. */
  #tail: Promise<void> = Promise.resolve();
  /** What runs now. */
  #current: Work | undefined;
  #failed = false;
  /** Why it is over. */
  #over: SqpError | undefined;
  /** Called once, when its connection was given back. */
  onOver: () => void = () => {};

  constructor(host: SessionHost, principal: string, command: BeginCommand, reply: Reply<void>) {
    this.#host = host;
    this.#principal = principal;
    const work = new SingleWork(reply, command.deadlineMs);
    this.#enqueue(work, "repair", () =>
      work.answer(async () => {
        try {
          await this.#begin(work, command);
        } catch (error) {
          this.#finish(fromPostgres(error));
          throw error;
        }
      }), (error) => reply.onError(error));
  }

  async #begin(work: Work, { readOnly, isolation }: BeginCommand): Promise<void> {
    const role = this.#role = this.#host.admit();
    this.#host.count("transactions");
    const connection = await work.borrow(role.pool, this.#principal, true);
    this.#connection = connection;
    await begin(connection, { readOnly, ...(isolation !== undefined && { isolation }) });
    if (work.ending !== undefined) throw work.ending;
  }

  /**
   * Runs a command when those before it have ended. `run` answers it and throws nothing; `fail` answers it where it is
   * not run.
   */
  #enqueue(
    work: Work,
    kind: Kind,
    run: (connection: PostgresConnection) => Promise<void>,
    fail: (error: SqpError) => void,
  ): void {
    this.#tail = this.#tail.then(async () => {
      const refusal = this.#over ?? work.ending ??
        (this.#failed && kind === "statement" ? new SqpError("transaction_failed") : undefined);
      if (refusal !== undefined) {
        this.#failed = true;
        return fail(refusal);
      }
      this.#current = work;
      this.#host.watch(work);
      const connection = this.#connection;
      if (connection !== undefined) {
        work.hold(connection);
        // A failed transaction takes no setting.
        if (kind === "statement") connection.setStatementTimeout(this.#timeoutMs(work));
      }
      await run(connection!);
      work.letGo();
      this.#host.unwatch(work);
      this.#current = undefined;
      this.#afterCommand();
    });
  }

  #timeoutMs(work: Work): number {
    return statementTimeoutMs(work, this.#role!.limits);
  }

  /** Looks at what a command has left of the transaction. */
  #afterCommand(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#over !== undefined) return;
    if (!connection.isOpen || connection.transactionStatus === "idle") {
      this.#finish(new SqpError("transaction_rolled_back"));
    } else if (connection.transactionStatus === "failed") this.#failed = true;
  }

  /** It is over; its connection goes back. */
  #finish(why: SqpError): void {
    this.#over ??= why;
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) this.#role!.pool.release(connection, performance.now());
    this.onOver();
    this.onOver = () => {};
  }

  execute({ sql, params, deadlineMs }: ExecuteCommand, sink: ResultSink): Execution {
    return this.#admitted(sink, (role) => {
      const statement = { sql, parameters: postgresParameters(params) };
      const { promise: over, resolve } = Promise.withResolvers<void>();
      const onEnd: ResultSink = {
        onHead: (columns) => sink.onHead(columns),
        onPage: (page, last) => sink.onPage(page, last),
        onEnd: (end) => {
          resolve();
          sink.onEnd(end);
        },
        onError: (error) => {
          this.#failed = true;
          resolve();
          sink.onError(error);
        },
      };
      const job = startJob(this.#host, role, { sink: onEnd, deadlineMs });
      this.#enqueue(job, "statement", async (connection) => {
        try {
          job.finish(await role.runner.run(connection, statement, job, "transaction"));
        } catch (error) {
          job.fail(fromPostgres(error));
        }
        await over;
      }, (error) => job.fail(error));
      return executionOf(this.#host, job);
    });
  }

  batch(command: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand {
    return this.#admitted(reply, (role) => {
      const steps = bindSteps(command.steps);
      return this.#single(reply, "statement", async (connection, work) => {
        await connection.values("SAVEPOINT sqp_batch");
        try {
          const payload = await runSteps(connection, steps, { role, work });
          await connection.values("RELEASE SAVEPOINT sqp_batch");
          return { payload };
        } catch (error) {
          this.#failed = true;
          throw error;
        }
      }, command.deadlineMs);
    });
  }

  prepare({ sql, deadlineMs }: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand {
    return this.#admitted(reply, (role) =>
      this.#single(
        reply,
        "statement",
        (connection) => describeStatement(connection, sql, role),
        deadlineMs,
      ));
  }

  /** A command with one answer. */
  #single<Outcome>(
    reply: Reply<Outcome>,
    kind: Kind,
    run: (connection: PostgresConnection, work: Work) => Promise<Outcome>,
    deadlineMs?: number,
  ): RunningCommand {
    const work = new SingleWork(reply, deadlineMs);
    this.#enqueue(
      work,
      kind,
      (connection) => work.answer(() => run(connection, work)),
      (error) => reply.onError(error),
    );
    return runningWork(this.#host, work);
  }

  /** A command whose arguments are no good fails, and the transaction with it. */
  #admitted(
    reply: Pick<Reply<never>, "onError">,
    start: (role: Role) => Execution | RunningCommand,
  ): Execution {
    return admitted(this.#host, {
      onError: (error) => {
        this.#failed = true;
        reply.onError(error);
      },
    }, start);
  }

  savepoint(savepoint: number, reply: Reply<void>): void {
    this.#single(reply, "statement", async (connection) => {
      await connection.values(`SAVEPOINT sqp_${savepoint}`);
    });
  }

  release(savepoint: number, reply: Reply<void>): void {
    this.#single(reply, "statement", async (connection) => {
      await connection.values(`RELEASE SAVEPOINT sqp_${savepoint}`);
    });
  }

  rollbackTo(savepoint: number, reply: Reply<void>): void {
    this.#single(reply, "repair", async (connection) => {
      connection.forgetSettings();
      await connection.values(`ROLLBACK TO SAVEPOINT sqp_${savepoint}`);
      this.#failed = false;
    });
  }

  commit(reply: Reply<void>): void {
    this.#single(reply, "repair", async (connection) => {
      try {
        if (!this.#failed) return await commit(connection);
        await rollBack(connection);
        throw new SqpError("transaction_failed");
      } finally {
        this.#finish(new SqpError("unknown_transaction"));
      }
    });
  }

  rollback(reply: Reply<void>): void {
    this.#single(reply, "repair", async (connection) => {
      try {
        await rollBack(connection);
      } finally {
        this.#finish(new SqpError("unknown_transaction"));
      }
    });
  }

  abort(error: SqpError): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    if (this.#current !== undefined) this.#host.end(this.#current, error);
    this.#tail = this.#tail.then(async () => {
      const connection = this.#connection;
      if (connection !== undefined) {
        await rollBack(connection).catch(() => connection.destroy());
      }
      this.#finish(error);
    });
  }
}
