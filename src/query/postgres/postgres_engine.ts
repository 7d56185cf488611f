// The PostgreSQL engine: a login and its connections for each set of permissions, and the work that runs on them.

import { Counters } from "../../base/counters.ts";
import { SqpError } from "../../wire/errors.ts";
import type { Caller, Engine, EngineSession, EngineStatus, Permission } from "../engine.ts";
import { FEED_LIMITS, type FeedLimits } from "../feed_limits.ts";
import { Catalog } from "./catalog.ts";
import { ConnectionPool } from "./connection_pool.ts";
import { Decoder } from "./decoder.ts";
import { type Login, parseLogin, roleName } from "./login.ts";
import { OutcomeStore } from "./outcome_store.ts";
import { PostgresFeeds } from "./postgres_feeds.ts";
import { PostgresSession } from "./postgres_session.ts";
import { ReadGroups } from "./read_group.ts";
import type { CounterName, Role } from "./role.ts";
import { RowShapes } from "./row_shapes.ts";
import { POSTGRES_LIMITS, type PostgresLimits } from "./settings.ts";
import { StatementRunner } from "./statement_runner.ts";
import type { Work } from "./work.ts";

/** How a PostgreSQL database is reached. */
export interface PostgresEngineOptions {
  /** `postgres://user:password@host:port/database?sslmode=...`; the user is the login of all permissions. */
  readonly url: string;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<PostgresLimits>;
  /** Limits of change feeds that differ from the defaults. */
  readonly feeds?: Partial<FeedLimits>;
}

/**
 * Opens a PostgreSQL database. Throws {@linkcode SqpError}: `bad_configuration`, `permission_denied`, and
 * `engine_not_run` where it cannot be reached.
 */
export async function openPostgresEngine(options: PostgresEngineOptions): Promise<Engine> {
  const login = parseLogin(options.url);
  const limits = { ...POSTGRES_LIMITS, ...options.limits };
  const engine = new PostgresEngine(login, limits, { ...FEED_LIMITS, ...options.feeds });
  try {
    await engine.check();
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

class PostgresEngine implements Engine {
  readonly #login: Login;
  readonly #limits: PostgresLimits;
  readonly #counters = new Counters<CounterName>();
  /** Roles by their names. */
  readonly #roles = new Map<string, Role>();
  readonly #catalogPool: ConnectionPool;
  readonly #catalog: Catalog;
  readonly #feedPool: ConnectionPool;
  readonly #snapshotPool: ConnectionPool;
  readonly #feeds: PostgresFeeds;
  readonly #work = new Set<Work>();
  /** The store of outcomes, as each role may use it. */
  readonly #outcomes = new Map<string, Promise<OutcomeStore>>();
  #expiredAtMs = -Infinity;
  /** Changes of the schema that were seen. */
  #schemaVersion = 0;
  #ticker: ReturnType<typeof setTimeout> | undefined;
  #closing: Promise<void> | undefined;

  constructor(login: Login, limits: PostgresLimits, feeds: FeedLimits) {
    this.#login = login;
    this.#limits = limits;
    this.#catalogPool = new ConnectionPool(login, { ...limits, connectionsMax: 1 }, () => 0);
    this.#catalog = new Catalog(this.#catalogPool);
    const connectionsMax = limits.feedConnectionsMax;
    this.#feedPool = new ConnectionPool(login, { ...limits, connectionsMax }, () => 0);
    this.#snapshotPool = new ConnectionPool(login, { ...limits, connectionsMax }, () => 0);
    const shapes = new RowShapes();
    this.#feeds = new PostgresFeeds(
      {
        ...{ pool: this.#feedPool, snapshotPool: this.#snapshotPool, shapes },
        decoder: new Decoder(login, limits, shapes),
      },
      limits,
      feeds,
    );
  }

  /** Connects once with the login of all permissions. Throws {@linkcode SqpError}. */
  check(): Promise<void> {
    return this.#catalog.check();
  }

  open({ principal, permissions }: Caller): EngineSession {
    return new PostgresSession({
      admit: () => this.#admit(permissions),
      outcomes: (role) => this.#outcomesOf(role),
      watch: (work) => {
        this.#work.add(work);
        if (this.#work.size === 1) this.#tickWhileNeeded();
      },
      unwatch: (work) => this.#work.delete(work),
      end: (work, error) => this.#end(work, error),
      subscribe: (command, sink) => {
        // `admit` has found a role for these permissions.
        const role = roleName(this.#login.user, permissions)!;
        return this.#feeds.open(role, command, sink);
      },
      count: (name) => this.#counters.add(name),
    }, principal);
  }

  /** The role of a set of permissions. Throws {@linkcode SqpError}. */
  #admit(permissions: ReadonlySet<Permission>): Role {
    if (this.#closing !== undefined) throw new SqpError("shutting_down");
    const user = roleName(this.#login.user, permissions);
    if (user === undefined) throw new SqpError("permission_denied");
    const { queueMax } = this.#limits;
    if (this.#queuedCount() >= queueMax) {
      this.#counters.add("overloaded");
      throw new SqpError("overloaded", { message: `${queueMax} commands wait already.` });
    }
    let role = this.#roles.get(user);
    if (role === undefined) {
      role = this.#makeRole(user, !permissions.has("write") && !permissions.has("schema"));
      this.#roles.set(user, role);
    }
    return role;
  }

  #makeRole(user: string, readOnly: boolean): Role {
    const onSchemaChange = () => {
      this.#schemaVersion++;
      this.#catalog.forget();
    };
    const login = { ...this.#login, user };
    const limits = this.#limits;
    const pool = new ConnectionPool(login, limits, () => this.#schemaVersion);
    const runner = new StatementRunner(limits, onSchemaChange);
    const reads = new ReadGroups({ pool, runner, limits, readOnly });
    return { user, pool, runner, reads, catalog: this.#catalog, limits, readOnly };
  }

  /** The store of outcomes, which this role may use. Throws {@linkcode SqpError}. */
  #outcomesOf({ user }: Role): Promise<OutcomeStore> {
    const ask = (sql: string, parameters?: readonly string[]) => this.#catalog.ask(sql, parameters);
    const nowMs = performance.now();
    if (nowMs - this.#expiredAtMs > this.#limits.expireMs && this.#outcomes.size > 0) {
      this.#expiredAtMs = nowMs;
      // What is left is removed the next time.
      OutcomeStore.expire(ask, this.#limits.outcomesMsMax).catch(() => {});
    }
    let store = this.#outcomes.get(user);
    if (store === undefined) {
      store = OutcomeStore.open(ask).then(async (opened) => {
        if (user !== this.#login.user) await OutcomeStore.grant(ask, user);
        return opened;
      });
      this.#outcomes.set(user, store);
      store.catch(() => this.#outcomes.delete(user));
    }
    return store;
  }

  #queuedCount(): number {
    let queued = 0;
    for (const work of this.#work) if (work.isWaiting) queued++;
    return queued;
  }

  // Time: deadlines, readers that do not read, servers that do not answer.

  #tickWhileNeeded(): void {
    clearTimeout(this.#ticker);
    if (this.#closing !== undefined) return;
    this.#ticker = setTimeout(() => {
      const nowMs = performance.now();
      for (const work of this.#work) {
        work.checkTimes(nowMs, this.#limits, (error) => this.#end(work, error));
      }
      for (const { reads } of this.#roles.values()) reads.checkTimes();
      if (this.#closeIdle(nowMs) > 0 || this.#isBusy) this.#tickWhileNeeded();
    }, this.#isBusy ? this.#limits.tickMs : this.#limits.idleMs);
  }

  get #isBusy(): boolean {
    return this.#work.size > 0 || this.#roles.values().some(({ reads }) => reads.isBusy);
  }

  /** How many connections are left. */
  #closeIdle(nowMs: number): number {
    let left = 0;
    for (const pool of this.#pools()) {
      pool.closeIdle(nowMs);
      left += pool.size;
    }
    return left;
  }

  #pools(): ConnectionPool[] {
    return [
      this.#catalogPool,
      this.#feedPool,
      this.#snapshotPool,
      ...[...this.#roles.values()].map(({ pool }) => pool),
    ];
  }

  #end(work: Work, error: SqpError): void {
    if (work.end(error)) {
      this.#counters.add(error.codeName === "cancelled" ? "cancelled" : "deadlines");
    }
  }

  status(): EngineStatus {
    const queued = this.#queuedCount();
    return {
      engine: "postgres",
      queued,
      running: this.#work.size - queued,
      processes: this.#pools().reduce((sum, { size }) => sum + size, 0),
      counters: this.#counters.snapshot(),
    };
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#ticker);
    const feedsClosed = this.#feeds.close();
    for (const work of this.#work) this.#end(work, new SqpError("shutting_down"));
    const { killAfterMs, tickMs } = this.#limits;
    const giveUpAtMs = performance.now() + killAfterMs;
    while (this.#work.size > 0 && performance.now() < giveUpAtMs) {
      await new Promise((resolve) => setTimeout(resolve, tickMs));
    }
    for (const work of this.#work) work.insist();
    await Promise.all([feedsClosed, ...this.#pools().map((pool) => pool.close())]);
  }
}
