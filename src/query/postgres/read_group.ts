// Short queries of one principal that were given at about the same time: they run one behind the other on one
// connection and are sent without waiting in between, so that the way to the server is shared. Whatever does not go
// well together is run again by itself, which is why nothing of it may have taken effect: for a login that could write,
// the server is told to refuse it.

import type { BackendEnd, PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import { fromPostgres } from "./postgres_errors.ts";
import type { PostgresLimits } from "./settings.ts";
import type { StatementJob } from "./statement_job.ts";
import type { BoundStatement, StatementRunner } from "./statement_runner.ts";
import type { Waiting } from "./work.ts";

/** What the groups of a login run with. */
export interface GroupHost {
  readonly pool: ConnectionPool;
  readonly runner: StatementRunner;
  readonly limits: PostgresLimits;
  /** It may neither write nor change the schema. */
  readonly readOnly: boolean;
}

/** A query that waits, or runs. */
interface Member extends Waiting {
  readonly job: StatementJob;
  readonly statement: BoundStatement;
  /** Takes its end, or `undefined` where it did not come to one here. */
  readonly onOver: (end: BackendEnd | undefined) => void;
}

/** The groups of one login. */
export class ReadGroups {
  readonly #host: GroupHost;
  /** Those that wait for a connection and take more members, by the principal. */
  readonly #waiting = new Map<string, Member[]>();
  readonly #running = new Set<ReadGroup>();

  constructor(host: GroupHost) {
    this.#host = host;
  }

  /**
   * Whether queries may run together. Other servers that run parts of them are not told to refuse what writes, so a
   * login that could write would write twice by what is run again.
   */
  get isOpen(): boolean {
    return this.#host.readOnly || !this.#host.pool.isDistributed;
  }

  /**
   * Runs a query together with others, and resolves with its end; with `undefined` where it has to be run by itself,
   * unless its job has ended meanwhile. Throws {@linkcode SqpError} where that was while it waited, and where nobody
   * knows whether it was run.
   */
  run(
    job: StatementJob,
    statement: BoundStatement,
    principal: string,
  ): Promise<BackendEnd | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<BackendEnd | undefined>();
    const member: Member = { job, statement, onOver: resolve, onError: reject };
    job.wait(member);
    const members = this.#waiting.get(principal);
    if (members === undefined) this.#open(principal, [member]);
    else {
      members.push(member);
      if (members.length >= this.#host.limits.togetherMax) this.#waiting.delete(principal);
    }
    return promise;
  }

  /** Whether any is running. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** Looks for queries that take too long. */
  checkTimes(): void {
    for (const group of this.#running) group.checkTimes();
  }

  #open(principal: string, members: Member[]): void {
    this.#waiting.set(principal, members);
    const close = () => {
      if (this.#waiting.get(principal) === members) this.#waiting.delete(principal);
      for (const { job } of members) job.letGo();
    };
    this.#host.pool.request({
      principal,
      readsOnly: !this.#host.readOnly,
      onConnection: (connection) => {
        close();
        this.#start(connection, members.filter(({ withdrawn }) => withdrawn !== true));
      },
      // Each is told when it asks for a connection of its own.
      onError: () => {
        close();
        for (const { onOver } of members) onOver(undefined);
      },
    });
  }

  async #start(connection: PostgresConnection, members: readonly Member[]): Promise<void> {
    const group = new ReadGroup(this.#host, connection);
    this.#running.add(group);
    await group.run(members);
    this.#running.delete(group);
    this.#host.pool.release(connection, performance.now());
  }
}

/** Queries that run together. */
class ReadGroup {
  readonly #host: GroupHost;
  readonly #connection: PostgresConnection;
  /** Since when the first one that has no end yet is running. */
  #firstSinceMs = performance.now();
  /** How long that one may run until the server is asked to end it. */
  #patienceMs: number;

  constructor(host: GroupHost, connection: PostgresConnection) {
    this.#host = host;
    this.#connection = connection;
    this.#patienceMs = host.limits.shortMsMax;
  }

  /** Resolves when nothing runs any more. */
  async run(members: readonly Member[]): Promise<void> {
    await Promise.all(members.map((member) => this.#run(member)));
    await this.#connection.cancelled();
  }

  async #run({ job, statement, onOver, onError }: Member): Promise<void> {
    const { runner, readOnly } = this.#host;
    job.onOutgrown = () => this.#connection.cancel();
    let end: BackendEnd | undefined;
    try {
      end = await runner.runTogether(this.#connection, statement, job);
    } catch (thrown) {
      const error = fromPostgres(thrown);
      // Of one that may write, what the server does not undo would be done twice.
      if (!readOnly && error.codeName === "outcome_unknown") return onError(error);
      // Run by itself, any other tells what is wrong with it.
    }
    if (job.isOutgrown) end = undefined;
    if (end === undefined) runner.noteApart(statement);
    else runner.noteRun(statement, end, { tookMs: this.#runningMs, isSmall: true });
    this.#firstSinceMs = performance.now();
    this.#patienceMs = this.#host.limits.shortMsMax;
    onOver(end);
  }

  /**
   * One that is not short after all is ended, again and again until the server lets go of it. Nobody waits for that but
   * those behind it; at last the connection is.
   */
  checkTimes(): void {
    const { shortMsMax, pageMsMax } = this.#host.limits;
    if (this.#runningMs >= pageMsMax) this.#connection.destroy();
    else if (this.#runningMs >= this.#patienceMs) {
      this.#patienceMs += Math.max(shortMsMax, this.#runningMs);
      this.#connection.cancel();
    }
  }

  get #runningMs(): number {
    return performance.now() - this.#firstSinceMs;
  }
}
