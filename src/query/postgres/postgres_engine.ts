// The PostgreSQL engine: a pool of connections for each set of permissions, and the statements that run on them.

import { Counters } from "../../base/counters.ts";
import { SqpError } from "../../wire/errors.ts";
import type {
  Engine,
  EngineStatus,
  ExecuteCommand,
  Execution,
  Permission,
  ResultSink,
} from "../engine.ts";
import { Catalog } from "./catalog.ts";
import type { BackendEnd, PostgresConnection } from "./connection.ts";
import { type ConnectionRequest, ConnectionPool } from "./connection_pool.ts";
import { Habits } from "./habits.ts";
import { type Login, parseLogin, roleName } from "./login.ts";
import { postgresParameters } from "./parameters.ts";
import { fromPostgres } from "./postgres_errors.ts";
import { POSTGRES_LIMITS, type PostgresLimits } from "./settings.ts";
import { StatementJob } from "./statement_job.ts";

/** How a PostgreSQL database is reached. */
export interface PostgresEngineOptions {
  /** `postgres://user:password@host:port/database?sslmode=...`; the user is the login of all permissions. */
  readonly url: string;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<PostgresLimits>;
}

type CounterName =
  | "executed"
  | "overloaded"
  | "deadlines"
  | "cancelled"
  | "retried"
  | "lost"
  | "refused";

type Timer = ReturnType<typeof setTimeout>;

/** Transactions belong to the protocol's own commands; a text that has one ends its connection. */
const TRANSACTION_COMMANDS = new Set([
  "BEGIN",
  "START TRANSACTION",
  "COMMIT",
  "ROLLBACK",
  "SAVEPOINT",
  "RELEASE",
  "PREPARE TRANSACTION",
  "COMMIT PREPARED",
  "ROLLBACK PREPARED",
]);

/** Commands that change nothing but the session, which nobody is promised to meet again. */
const SESSION_COMMANDS = new Set([
  "SET",
  "RESET",
  "LISTEN",
  "UNLISTEN",
  "PREPARE",
  "DEALLOCATE",
  "DEALLOCATE ALL",
  "DISCARD",
  "DISCARD ALL",
  "DISCARD PLANS",
  "DISCARD SEQUENCES",
  "DISCARD TEMP",
  "LOAD",
]);

/**
 * Opens a PostgreSQL database. Throws {@linkcode SqpError}: `bad_configuration`, `permission_denied`,
 * `engine_not_run` where it cannot be reached.
 */
export async function openPostgresEngine(options: PostgresEngineOptions): Promise<Engine> {
  const login = parseLogin(options.url);
  const engine = new PostgresEngine(login, { ...POSTGRES_LIMITS, ...options.limits });
  try {
    await engine.check();
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

/** A set of permissions: its pool, and what is remembered of its statements. */
interface Role {
  readonly pool: ConnectionPool;
  readonly habits: Habits;
  readonly readOnly: boolean;
}

class PostgresEngine implements Engine {
  readonly #login: Login;
  readonly #limits: PostgresLimits;
  readonly #counters = new Counters<CounterName>();
  readonly #roles = new Map<string, Role>();
  readonly #catalogPool: ConnectionPool;
  readonly #catalog: Catalog;
  readonly #jobs = new Set<StatementJob>();
  readonly #queued = new Map<StatementJob, ConnectionRequest>();
  #ticker: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor(login: Login, limits: PostgresLimits) {
    this.#login = login;
    this.#limits = limits;
    this.#catalogPool = new ConnectionPool(login, { ...limits, connectionsMax: 1 });
    this.#catalog = new Catalog(this.#catalogPool);
  }

  /** Connects once with the login of all permissions. Throws {@linkcode SqpError}. */
  check(): Promise<void> {
    return this.#catalog.check();
  }

  execute(command: ExecuteCommand, sink: ResultSink): Execution {
    const { sql, principal, permissions, deadlineMs } = command;
    try {
      const role = this.#admit(permissions);
      const parameters = postgresParameters(command.params);
      const { readOnly } = role;
      const request = { sql, parameters, principal, readOnly, deadlineMs };
      const context = { catalog: this.#catalog, limits: this.#limits };
      const job = new StatementJob(request, sink, context);
      this.#counters.add("executed");
      this.#jobs.add(job);
      job.pages.onOver = () => this.#jobs.delete(job);
      this.#enqueue(job, role);
      this.#tickWhileNeeded();
      return {
        pull: (pages) => job.pull(pages),
        cancel: () => queueMicrotask(() => this.#end(job, new SqpError("cancelled"))),
      };
    } catch (error) {
      const refusal = fromPostgres(error);
      queueMicrotask(() => sink.onError(refusal));
      return { pull() {}, cancel() {} };
    }
  }

  /** The role of a set of permissions. Throws {@linkcode SqpError}. */
  #admit(permissions: ReadonlySet<Permission>): Role {
    if (this.#closing !== undefined) throw new SqpError("shutting_down");
    const user = roleName(this.#login.user, permissions);
    if (user === undefined) throw new SqpError("permission_denied");
    const { queueMax } = this.#limits;
    if (this.#queued.size >= queueMax) {
      this.#counters.add("overloaded");
      throw new SqpError("overloaded", { message: `${queueMax} commands wait already.` });
    }
    let role = this.#roles.get(user);
    if (role === undefined) {
      role = {
        pool: new ConnectionPool({ ...this.#login, user }, this.#limits),
        habits: new Habits(this.#limits.habitsMax),
        readOnly: !permissions.has("write") && !permissions.has("schema"),
      };
      this.#roles.set(user, role);
    }
    return role;
  }

  #enqueue(job: StatementJob, role: Role): void {
    const request: ConnectionRequest = {
      principal: job.request.principal,
      onConnection: (connection) => {
        this.#queued.delete(job);
        this.#run(job, role, connection);
      },
      onError: (error) => {
        this.#queued.delete(job);
        job.pages.fail(error);
      },
    };
    this.#queued.set(job, request);
    role.pool.request(request);
  }

  async #run(job: StatementJob, role: Role, connection: PostgresConnection): Promise<void> {
    const { sql } = job.request;
    const how = role.habits.of(sql);
    const startMs = performance.now();
    try {
      const end = await job.runOn(connection, how);
      const refusal = refusalOf(end);
      if (refusal !== undefined) {
        this.#counters.add("refused");
        // Whatever it has left in the session goes with the connection.
        connection.destroy();
        throw refusal;
      }
      const short = performance.now() - startMs <= this.#limits.shortMsMax && job.pages.isSmall;
      role.habits.note(sql, { short });
      role.pool.release(connection, performance.now());
      job.finish(end);
    } catch (thrown) {
      const error = fromPostgres(thrown);
      role.pool.release(connection, performance.now());
      this.#onFailure(job, role, error);
    }
  }

  #onFailure(job: StatementJob, role: Role, error: SqpError): void {
    const isLost = error.codeName === "outcome_unknown";
    if (isLost) this.#counters.add("lost");
    if (job.ending !== undefined) {
      // The deadline's own text says that a write may have taken effect.
      const isDoubtful = isLost && job.ending.codeName === "cancelled";
      return job.pages.fail(isDoubtful ? error : job.ending);
    }
    if (!isLost || !job.request.readOnly) return job.pages.fail(error);
    if (!job.pages.headSent && job.attempts < this.#limits.attemptsMax) {
      this.#counters.add("retried");
      return this.#enqueue(job, role);
    }
    const { message } = error;
    job.pages.fail(new SqpError("engine_failure", { message, retry: "now", cause: error }));
  }

  // Time: deadlines, readers that do not read, servers that do not answer.

  #tickWhileNeeded(): void {
    if (this.#ticker !== undefined || this.#closing !== undefined) return;
    this.#ticker = setTimeout(() => {
      this.#ticker = undefined;
      const nowMs = performance.now();
      for (const job of this.#jobs) this.#checkTimes(job, nowMs);
      const connections = this.#closeIdle(nowMs);
      if (this.#jobs.size > 0 || connections > 0) this.#tickWhileNeeded();
    }, this.#jobs.size > 0 ? this.#limits.tickMs : this.#limits.idleMs);
  }

  /** How many connections are left. */
  #closeIdle(nowMs: number): number {
    let left = 0;
    for (const { pool } of this.#roles.values()) {
      pool.closeIdle(nowMs);
      left += pool.size;
    }
    this.#catalogPool.closeIdle(nowMs);
    return left + this.#catalogPool.size;
  }

  #checkTimes(job: StatementJob, nowMs: number): void {
    const { killAfterMs, pageMsMax, stallMsMax } = this.#limits;
    if (job.ending !== undefined) {
      if (nowMs - job.endingSinceMs >= killAfterMs) job.insist();
      return;
    }
    const silentMs = nowMs - job.activeAtMs;
    const hasDeadline = job.deadlineAtMs !== Infinity;
    if (nowMs >= job.deadlineAtMs) this.#end(job, new SqpError("deadline_exceeded"));
    else if (job.pages.isStalled) {
      if (silentMs < stallMsMax) return;
      const message = "The result was not read for too long.";
      this.#end(job, new SqpError("deadline_exceeded", { message }));
    } else if (!hasDeadline && silentMs >= pageMsMax) {
      this.#end(job, new SqpError("deadline_exceeded"));
    }
  }

  #end(job: StatementJob, error: SqpError): void {
    if (job.pages.isOver || job.ending !== undefined) return;
    this.#counters.add(error.codeName === "cancelled" ? "cancelled" : "deadlines");
    const request = this.#queued.get(job);
    if (request === undefined) return job.end(error);
    request.withdrawn = true;
    this.#queued.delete(job);
    job.pages.fail(error);
  }

  status(): EngineStatus {
    let processes = 0;
    for (const { pool } of this.#roles.values()) processes += pool.size;
    return {
      engine: "postgres",
      queued: this.#queued.size,
      running: this.#jobs.size - this.#queued.size,
      processes,
      counters: this.#counters.snapshot(),
    };
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#ticker);
    for (const job of this.#jobs) this.#end(job, new SqpError("shutting_down"));
    const { killAfterMs, tickMs } = this.#limits;
    const giveUpAtMs = performance.now() + killAfterMs;
    while (this.#jobs.size > 0 && performance.now() < giveUpAtMs) {
      await new Promise((resolve) => setTimeout(resolve, tickMs));
    }
    for (const job of this.#jobs) job.insist();
    const pools = [...this.#roles.values()].map(({ pool }) => pool);
    await Promise.all([this.#catalogPool, ...pools].map((pool) => pool.close()));
  }
}

/** Why what a statement did is not accepted, by its command tag. */
function refusalOf({ command }: BackendEnd): SqpError | undefined {
  if (command === undefined) return new SqpError("empty_statement");
  if (TRANSACTION_COMMANDS.has(command)) {
    const message = `${command} in text is not allowed; transactions have commands of their own.`;
    return new SqpError("statement_not_allowed", { message });
  }
  if (!SESSION_COMMANDS.has(command)) return undefined;
  const message = `${command} is not allowed: it would change a session that others use.`;
  return new SqpError("statement_not_allowed", { message });
}
