// The SQLite engine: the commands that wait for its processes, and which of them is given to which.

import { Counters } from "../../base/counters.ts";
import { Queue } from "../../base/queue.ts";
import { SqpError } from "../../wire/errors.ts";
import type {
  BeginCommand,
  Caller,
  EngineSession,
  EngineStatus,
  ExecuteCommand,
  Execution,
  FeedSink,
  Reply,
  ResultSink,
  SubscribeCommand,
} from "../engine.ts";
import type { CounterName } from "./counter_names.ts";
import { type DatabaseLocation, locateDatabase } from "./database_location.ts";
import { FEED_LIMITS } from "../feed_limits.ts";
import { InPlaceReads } from "./in_place_reads.ts";
import type { ProcessRole } from "./ipc.ts";
import { Job, type JobSink, type JobSpec } from "./job.ts";
import { ownJob, resultSink } from "./job_specs.ts";
import type { SqliteDatabase, SqliteEngineOptions } from "./options.ts";
import { permissionMask, SCHEMA, WRITE } from "./permissions.ts";
import { POOL_LIMITS, type PoolLimits } from "./pool_limits.ts";
import { ProcessPool } from "./process_pool.ts";
import { RouteTable } from "./route_table.ts";
import { sqliteSettings } from "./settings.ts";
import type { EngineSlot } from "./slot.ts";
import { SqliteFeeds } from "./sqlite_feeds.ts";
import { type SessionHost, SqliteSession } from "./sqlite_session.ts";
import { SqliteTransaction, type TransactionHost } from "./sqlite_transaction.ts";
import { Supervisor } from "./supervisor.ts";

/**
 * Opens a SQLite database and starts its processes. Throws {@linkcode SqpError}: `not_a_database`, `database_io`,
 * `bad_configuration`.
 */
export async function openSqliteEngine(options: SqliteEngineOptions): Promise<SqliteDatabase> {
  const location = await locateDatabase(options.database, options.temporaryFolder);
  const engine = new SqliteEngine(location, options);
  try {
    await engine.opened;
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

class SqliteEngine implements SqliteDatabase, SessionHost, TransactionHost {
  readonly #limits: PoolLimits;
  readonly #counters = new Counters<CounterName>();
  readonly #routes = new RouteTable();
  readonly #inPlace: InPlaceReads;
  readonly #pool: ProcessPool;
  readonly #supervisor: Supervisor;
  readonly #feeds: SqliteFeeds;
  readonly #jobs = new Set<Job>();
  readonly #queues = { reader: new Queue<Job>(), writer: new Queue<Job>() };
  /** Begins of transactions that only read, each of which wants a process of its own. */
  readonly #readBegins = new Queue<Job>();
  /** Transactions that have not begun, by the job that begins them. */
  readonly #beginning = new Map<Job, SqliteTransaction>();
  /** The transaction that the writer has: what else writes waits until its last command was sent. */
  #writing: SqliteTransaction | undefined;
  readonly #inProcess = new Set<SqliteTransaction>();
  /** Jobs that wait for a process and have not been answered. */
  #queuedCount = 0;
  #nextAttemptId = 1;
  #nextTransaction = 1;
  #dispatchPending = false;
  #closing: Promise<void> | undefined;

  constructor(location: DatabaseLocation, options: SqliteEngineOptions) {
    this.#limits = { ...POOL_LIMITS, ...options.pool };
    const settings = sqliteSettings(location.path, options);
    this.#inPlace = new InPlaceReads(settings);
    const counters = this.#counters;
    this.#feeds = new SqliteFeeds(this, { ...FEED_LIMITS, ...options.feeds });
    this.#pool = new ProcessPool({ location, settings, limits: this.#limits, counters }, {
      onRoom: () => this.#dispatchSoon(),
      onHandOff: (job, step) => this.#onHandOff(job, step),
      onShort: ({ spec }) => this.#inPlace.learn(spec.texts[0]!, spec.permissions),
      onJobEnd: (job) => {
        this.#jobs.delete(job);
        if (job.route === "writer") this.#feeds.wake();
      },
      onExit: (slot) => this.#onExit(slot),
      onHopeless: (role, detail) => this.#failWaiting(role, detail),
    });
    this.#supervisor = new Supervisor(
      this.#pool,
      {
        jobs: this.#jobs,
        dismissWaiting: (job, error) => this.dismissWaiting(job, error),
        dismiss: (job, error) => this.dismiss(job, error),
        requeue: (job) => {
          job.attempts--;
          this.#enqueue(job);
        },
        onTick: () => this.#dispatchSoon(),
      },
      this.#limits,
      counters,
    );
  }

  /** Resolves when the first commands can run. */
  get opened(): Promise<void> {
    return this.#pool.opened;
  }

  open(caller: Caller): EngineSession {
    return new SqliteSession(this, caller);
  }

  // Jobs

  routeOf(texts: readonly string[]): ProcessRole {
    return texts.some((sql) => this.#routes.get(sql) === "writer") ? "writer" : "reader";
  }

  readInPlace(caller: Caller, command: ExecuteCommand, sink: ResultSink): boolean {
    const { sql, params, idempotencyKey } = command;
    if (idempotencyKey !== undefined || this.#closing !== undefined) return false;
    const permissions = permissionMask(caller.permissions);
    if (!this.#inPlace.run({ sql, params, permissions }, sink)) return false;
    this.#counters.add("inPlace");
    return true;
  }

  submit(spec: JobSpec, sink: JobSink): Execution {
    const job = new Job(spec, sink, performance.now());
    const refusal = this.refusal();
    if (refusal !== undefined) queueMicrotask(() => job.fail(refusal));
    else {
      this.#counters.add("executed");
      this.#enqueue(job);
    }
    return this.handleOf(job);
  }

  begin(caller: Caller, command: BeginCommand, reply: Reply<void>): SqliteTransaction {
    this.#counters.add("transactions");
    return new SqliteTransaction(this, caller, this.#nextTransaction++, command, reply);
  }

  subscribe(command: SubscribeCommand, sink: FeedSink): Execution {
    return this.#feeds.open(command, sink);
  }

  runOwn(role: ProcessRole, command: ExecuteCommand, sink: ResultSink): Execution {
    return this.submit(ownJob(role, command), resultSink(sink));
  }

  refusal(): SqpError | undefined {
    if (this.#closing !== undefined) return new SqpError("shutting_down");
    const { queueMax } = this.#limits;
    if (this.#queuedCount < queueMax) return undefined;
    this.#counters.add("overloaded");
    return new SqpError("overloaded", { message: `${queueMax} commands wait already.` });
  }

  handleOf(job: Job): Execution {
    return {
      pull: (pages) => this.#pull(job, pages),
      cancel: () => queueMicrotask(() => this.#supervisor.end(job, "cancelled")),
    };
  }

  #pull(job: Job, pages: number): void {
    if (job.answered || pages <= 0) return;
    if (job.outstandingPages === 0) job.activeAtMs = performance.now();
    job.outstandingPages += pages;
    job.slot?.pull(job, pages);
  }

  admit(job: Job): void {
    job.slot = undefined;
    this.#jobs.add(job);
    this.#queuedCount++;
    this.#supervisor.watch();
  }

  #enqueue(job: Job): void {
    this.admit(job);
    this.#queues[job.route].push(job);
    this.#dispatchSoon();
  }

  queueBegin(transaction: SqliteTransaction, job: Job): void {
    this.#beginning.set(job, transaction);
    this.admit(job);
    (transaction.readOnly ? this.#readBegins : this.#queues.writer).push(job);
    this.#dispatchSoon();
  }

  dismissWaiting(job: Job, error: SqpError): void {
    if (job.answered) return;
    this.#queuedCount--;
    this.dismiss(job, error);
  }

  dismiss(job: Job, error: SqpError): void {
    this.#beginning.delete(job);
    this.#jobs.delete(job);
    job.fail(error);
  }

  endNow(job: Job, error: SqpError): void {
    this.#supervisor.endNow(job, error);
  }

  // Dispatch: commands that arrive together are written together.

  #dispatchSoon(): void {
    if (this.#dispatchPending) return;
    this.#dispatchPending = true;
    queueMicrotask(() => {
      this.#dispatchPending = false;
      if (this.#closing !== undefined) return;
      this.#dispatch("writer");
      this.#dispatch("reader");
      this.#dispatchReadBegins();
    });
  }

  #dispatch(role: ProcessRole): void {
    const queue = this.#queues[role];
    for (let job = peekOpen(queue); job !== undefined; job = peekOpen(queue)) {
      if (role === "writer" && this.#writing !== undefined) return;
      const slot = this.#pool.freeSlot(role);
      if (slot === undefined) {
        if (role === "reader") this.#pool.growReaders();
        return;
      }
      queue.shift();
      const transaction = this.#beginning.get(job);
      if (transaction === undefined) this.send(slot, job);
      else this.#sendBegin(slot, job, transaction);
    }
  }

  #dispatchReadBegins(): void {
    const queue = this.#readBegins;
    for (let job = peekOpen(queue); job !== undefined; job = peekOpen(queue)) {
      const slot = this.#pool.reserveReader();
      if (slot === undefined) return;
      queue.shift();
      this.#sendBegin(slot, job, this.#beginning.get(job)!);
    }
  }

  #sendBegin(slot: EngineSlot, job: Job, transaction: SqliteTransaction): void {
    this.#beginning.delete(job);
    this.#inProcess.add(transaction);
    if (!transaction.readOnly) this.#writing = transaction;
    this.send(slot, job);
    transaction.onSent(slot);
  }

  send(slot: EngineSlot, job: Job): void {
    this.#queuedCount--;
    slot.run(job, this.#nextAttemptId, performance.now());
    this.#nextAttemptId = (this.#nextAttemptId + 1) >>> 0;
  }

  onFinishing(transaction: SqliteTransaction): void {
    if (this.#writing !== transaction) return;
    this.#writing = undefined;
    this.#dispatchSoon();
  }

  onReleased(transaction: SqliteTransaction): void {
    this.onFinishing(transaction);
    if (!this.#inProcess.delete(transaction)) return;
    const { slot } = transaction;
    if (slot?.isReserved === true) this.#pool.unreserve(slot);
  }

  #onHandOff(job: Job, step: number): void {
    this.#counters.add("handedOff");
    this.#routes.addWrite(job.spec.texts[step]!);
    if ((job.spec.permissions & (WRITE | SCHEMA)) === 0) {
      const message = 'The principal lacks the permission "write" or "schema".';
      return this.dismiss(job, new SqpError("permission_denied", { message }));
    }
    job.route = "writer";
    job.attempts = 0;
    this.#enqueue(job);
  }

  // Processes that are gone

  #onExit(slot: EngineSlot): void {
    for (const transaction of [...this.#inProcess]) {
      if (transaction.slot !== slot) continue;
      this.#inProcess.delete(transaction);
      this.onFinishing(transaction);
      const mayBeginAgain = this.#closing === undefined &&
        transaction.attempts < this.#limits.attemptsMax;
      transaction.onProcessGone(mayBeginAgain);
    }
    for (const job of [...slot.jobs()]) this.#abandon(job, slot);
    // What was answered before and not let go of is gone with the process.
    for (const job of this.#jobs) if (job.answered && job.slot === slot) this.#jobs.delete(job);
  }

  /** A job whose process is gone. */
  #abandon(job: Job, slot: EngineSlot): void {
    const error = this.#abandonError(job, slot);
    if (error === undefined) this.#enqueue(job);
    else this.dismiss(job, error);
  }

  /** `undefined` where the job is run again. */
  #abandonError(job: Job, slot: EngineSlot): SqpError | undefined {
    const isOpen = this.#closing === undefined;
    if (slot.role === "writer" && job.begun) {
      // Whoever has a key may ask what became of it.
      const mayAsk = job.spec.isKeyed && isOpen && job.ending === undefined &&
        job.attempts < this.#limits.attemptsMax;
      return mayAsk ? undefined : new SqpError("outcome_unknown");
    }
    if (!isOpen) return new SqpError("shutting_down");
    if (job.ending !== undefined) return job.ending;
    if (job.headSeen) {
      return new SqpError("engine_failure", {
        message: `The engine process ended while it read the result (${slot.exitDetail}).`,
        retry: "now",
      });
    }
    // It was killed for another's sake.
    if (slot.retired) job.attempts--;
    if (job.attempts < this.#limits.attemptsMax) return undefined;
    const message = `The engine process ended ${job.attempts} times before it ran the command.`;
    return new SqpError("engine_not_run", { message, retry: "no" });
  }

  #failWaiting(role: ProcessRole, detail: string): void {
    const message = `The engine's processes end again and again (${detail}).`;
    const error = new SqpError("engine_not_run", { message, retry: "later" });
    const queues = role === "reader" ? [this.#queues.reader, this.#readBegins] : [
      this.#queues.writer,
    ];
    for (const queue of queues) {
      for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
        const transaction = this.#beginning.get(job);
        if (transaction === undefined) this.dismissWaiting(job, error);
        else transaction.abort(error);
      }
    }
  }

  // The whole

  status(): EngineStatus {
    return {
      engine: "sqlite",
      queued: this.#queuedCount,
      running: this.#jobs.size - this.#queuedCount,
      processes: this.#pool.readyCount,
      counters: { ...this.#counters.snapshot(), ...this.#feeds.counts },
    };
  }

  processIds(role: ProcessRole): number[] {
    return [...this.#pool.slots].filter((slot) => slot.role === role && slot.ready)
      .map(({ process }) => process.pid);
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#supervisor.close();
    this.#feeds.close();
    for (const job of [...this.#jobs]) {
      // A write that its process has may be committed: it is heard until the process ends.
      const heard = job.route === "writer" && job.slot !== undefined;
      if (!heard) job.fail(new SqpError("shutting_down"));
    }
    this.#inPlace.close();
    await this.#pool.close();
  }
}

/** The first job of a queue that was not answered while it waited. */
function peekOpen(queue: Queue<Job>): Job | undefined {
  while (queue.peek()?.answered === true) queue.shift();
  return queue.peek();
}
