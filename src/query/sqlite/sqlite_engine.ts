// The SQLite engine: one process that writes, a pool of processes that read, and the commands that wait for them.

import { Counters } from "../../base/counters.ts";
import { Queue } from "../../base/queue.ts";
import { SqpError } from "../../wire/errors.ts";
import type {
  Caller,
  EngineSession,
  EngineStatus,
  ExecuteCommand,
  Execution,
  FeedSink,
  ResultSink,
  SubscribeCommand,
} from "../engine.ts";
import type { CounterName } from "./counter_names.ts";
import { type DatabaseLocation, locateDatabase } from "./database_location.ts";
import type { OpenMessage, ProcessRole } from "./ipc.ts";
import { FEED_LIMITS } from "./feed_limits.ts";
import { SqliteFeeds } from "./sqlite_feeds.ts";
import { endError, type EndReason, Job, type JobProcess } from "./job.ts";
import type { SqliteDatabase, SqliteEngineOptions } from "./options.ts";
import { OWN, permissionMask, READ, SCHEMA, WRITE } from "./permissions.ts";
import { POOL_LIMITS, type PoolLimits } from "./pool_limits.ts";
import { RouteTable } from "./route_table.ts";
import { type SqliteSettings, sqliteSettings } from "./settings.ts";
import { SqliteSession } from "./sqlite_session.ts";
import { EngineSlot, type SlotListener } from "./slot.ts";

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

type Timer = ReturnType<typeof setTimeout>;
class SqliteEngine implements SqliteDatabase {
  readonly #location: DatabaseLocation;
  readonly #settings: SqliteSettings;
  readonly #limits: PoolLimits;
  readonly #counters = new Counters<CounterName>();
  readonly #routes = new RouteTable();
  readonly #slots = new Set<EngineSlot>();
  readonly #jobs = new Set<Job>();
  readonly #queues = { reader: new Queue<Job>(), writer: new Queue<Job>() };
  readonly #restarts: Record<ProcessRole, { crashes: number; timer?: Timer }> = {
    reader: { crashes: 0 },
    writer: { crashes: 0 },
  };
  readonly #listener: SlotListener;
  readonly #feeds: SqliteFeeds;
  /** Jobs in both queues that have not been answered. */
  #queuedCount = 0;
  #nextAttemptId = 1;
  #ticker: Timer | undefined;
  #dispatchPending = false;
  #closing: Promise<void> | undefined;
  #writerOpened = false;
  readonly #opened = Promise.withResolvers<void>();

  /** Starts the first process; {@linkcode SqliteEngine.opened} tells whether the database could be opened. */
  constructor(location: DatabaseLocation, options: SqliteEngineOptions) {
    this.#location = location;
    this.#limits = { ...POOL_LIMITS, ...options.pool };
    this.#settings = sqliteSettings(location.path, options);
    this.#feeds = new SqliteFeeds(this, { ...FEED_LIMITS, ...options.feeds });
    this.#listener = {
      onReady: (slot) => this.#onReady(slot),
      onFatal: (slot, error) => this.#onFatal(slot, error),
      onHandOff: (job) => this.#onHandOff(job),
      onJobEnd: (job) => {
        this.#jobs.delete(job);
        if (job.route === "writer") this.#feeds.wake();
      },
      onRoom: (slot) => {
        this.#restarts[slot.role].crashes = 0;
        this.#dispatchSoon();
      },
      onExit: (slot, detail) => this.#onExit(slot, detail),
    };
    // The writer makes the database where there is none; readers come when it has.
    this.#start("writer");
  }

  /** Resolves when the first commands can run. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  open(caller: Caller): EngineSession {
    return new SqliteSession(this, caller);
  }

  execute(caller: Caller, command: ExecuteCommand, sink: ResultSink): Execution {
    const mask = permissionMask(caller.permissions);
    const job = new Job(mask, command, sink, performance.now());
    job.route = this.#routes.get(job.sql);
    return this.#submit(job);
  }

  subscribe(command: SubscribeCommand, sink: FeedSink): Execution {
    return this.#feeds.open(command, sink);
  }

  runOwn(role: ProcessRole, command: ExecuteCommand, sink: ResultSink): Execution {
    const job = new Job(READ | OWN, command, sink, performance.now());
    job.route = role;
    return this.#submit(job);
  }

  #submit(job: Job): Execution {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      queueMicrotask(() => job.fail(refusal));
    } else {
      this.#counters.add("executed");
      this.#jobs.add(job);
      this.#enqueue(job);
      this.#tickWhileNeeded();
    }
    return {
      pull: (pages) => this.#pull(job, pages),
      cancel: () => queueMicrotask(() => this.#end(job, "cancelled")),
    };
  }

  #refusal(): SqpError | undefined {
    if (this.#closing !== undefined) return new SqpError("shutting_down");
    const { queueMax } = this.#limits;
    if (this.#queuedCount < queueMax) return undefined;
    this.#counters.add("overloaded");
    return new SqpError("overloaded", { message: `${queueMax} commands wait already.` });
  }

  #pull(job: Job, pages: number): void {
    if (job.answered || pages <= 0) return;
    if (job.outstandingPages === 0) job.activeAtMs = performance.now();
    job.outstandingPages += pages;
    job.slot?.pull(job, pages);
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
    });
  }

  #dispatch(role: ProcessRole): void {
    const queue = this.#queues[role];
    const nowMs = performance.now();
    for (let job = queue.peek(); job !== undefined; job = queue.peek()) {
      if (job.answered) {
        queue.shift();
        continue;
      }
      const slot = this.#freeSlot(role);
      if (slot === undefined) {
        if (role === "reader") this.#growReaders();
        return;
      }
      queue.shift();
      this.#queuedCount--;
      slot.run(job, this.#nextAttemptId, nowMs);
      this.#nextAttemptId = (this.#nextAttemptId + 1) >>> 0;
    }
  }

  /** The process with the least to do that takes another job. Paused streams count less than what has yet to run. */
  #freeSlot(role: ProcessRole): EngineSlot | undefined {
    const depth = role === "reader" ? this.#limits.readerDepth : this.#limits.writerDepth;
    let best: EngineSlot | undefined;
    let bestLoad = Infinity;
    for (const slot of this.#slots) {
      if (slot.role !== role || !slot.ready || slot.retired || slot.waitingCount >= depth) continue;
      if (role === "reader" && slot.stuck) continue;
      const load = slot.waitingCount * 1_000 + slot.jobCount;
      if (load < bestLoad) [best, bestLoad] = [slot, load];
    }
    return best;
  }

  #growReaders(): void {
    let readers = 0;
    for (const slot of this.#slots) {
      if (slot.role !== "reader" || slot.retired) continue;
      if (!slot.ready) return;
      readers++;
    }
    if (readers < this.#limits.readersMax && this.#restarts.reader.timer === undefined) {
      this.#start("reader");
    }
  }

  #onHandOff(job: Job): void {
    this.#counters.add("handedOff");
    this.#routes.addWrite(job.sql);
    if ((job.permissions & (WRITE | SCHEMA)) === 0) {
      const message = 'The principal lacks the permission "write" or "schema".';
      return this.#dismiss(job, new SqpError("permission_denied", { message }));
    }
    job.route = "writer";
    job.attempts = 0;
    this.#enqueue(job);
  }

  #enqueue(job: Job): void {
    job.slot = undefined;
    this.#queuedCount++;
    this.#queues[job.route].push(job);
    this.#dispatchSoon();
  }

  /** Answers a job that is in no process. */
  #dismiss(job: Job, error: SqpError): void {
    job.fail(error);
    this.#jobs.delete(job);
  }

  // Time: deadlines, readers that do not read, processes that do not answer.

  #tickWhileNeeded(): void {
    if (this.#ticker !== undefined || this.#closing !== undefined) return;
    this.#ticker = setTimeout(() => {
      this.#ticker = undefined;
      this.#tick(performance.now());
      if (this.#jobs.size > 0 || this.#slots.size > this.#limits.readersMin + 1) {
        this.#tickWhileNeeded();
      }
    }, this.#limits.tickMs);
  }

  #tick(nowMs: number): void {
    for (const job of this.#jobs) this.#checkTimes(job, nowMs);
    this.#findStuck(nowMs);
    this.#retireIdleReader(nowMs);
    this.#dispatchSoon();
  }

  #checkTimes(job: Job, nowMs: number): void {
    const { killAfterMs, pageMsMax, stallMsMax } = this.#limits;
    if (job.ending !== undefined) {
      if (nowMs - job.endingSinceMs >= killAfterMs) this.#insist(job);
      return;
    }
    const silentMs = nowMs - job.activeAtMs;
    if (nowMs >= job.deadlineAtMs) this.#end(job, "deadline");
    else if (job.outstandingPages > 0) {
      if (job.deadlineAtMs === Infinity && silentMs >= pageMsMax) this.#end(job, "deadline");
    } else if (silentMs >= stallMsMax) this.#end(job, "stall");
  }

  /**
   * Looks for readers that stand in one statement. What they wrote may lie unread when this thread itself was busy,
   * so it takes two looks
   * at which nothing had come, with a turn of the event loop in between.
   */
  #findStuck(nowMs: number): void {
    for (const slot of this.#slots) {
      if (slot.role !== "reader" || !slot.ready) continue;
      const silent = slot.waitingCount > 0 && nowMs - slot.progressAtMs >= this.#limits.stuckMs;
      const seenBefore = slot.silentSinceMs === slot.progressAtMs;
      slot.stuck = silent && seenBefore;
      slot.silentSinceMs = silent ? slot.progressAtMs : undefined;
      if (slot.stuck) this.#unload(slot);
    }
  }

  /** Takes from a process what waits behind the job that it is running. */
  #unload(slot: EngineSlot): void {
    for (const job of slot.jobs()) {
      if (job.headSeen || job.ending !== undefined || slot.isRunning(job)) continue;
      slot.cancel(job);
      this.#counters.add("moved");
      this.#enqueue(job);
    }
  }

  #retireIdleReader(nowMs: number): void {
    let spare = -this.#limits.readersMin;
    for (const slot of this.#slots) if (slot.role === "reader" && !slot.retired) spare++;
    for (const slot of this.#slots) {
      if (spare <= 0) return;
      const idle = slot.role === "reader" && slot.ready && !slot.retired && slot.jobCount === 0;
      if (!idle || nowMs - slot.progressAtMs < this.#limits.idleMs) continue;
      slot.retired = true;
      slot.process.close();
      spare--;
    }
  }

  // Ends before their time.

  #end(job: Job, why: EndReason): void {
    if (job.answered || job.ending !== undefined) return;
    this.#counters.add(why === "cancelled" ? "cancelled" : "deadlines");
    const error = endError(why);
    if (job.slot === undefined) {
      this.#queuedCount--;
      return this.#dismiss(job, error);
    }
    job.ending = error;
    job.endingSinceMs = performance.now();
    job.slot.cancel(job);
    // What a read would still say interests nobody; a write may have been committed, so its process is heard first.
    if (job.route === "reader") job.fail(error);
  }

  /** A process was told to let go of a job and did not: it stands in a statement that does not yield. */
  #insist(job: Job): void {
    const slot = job.slot!;
    // A commit ends by itself, and what it makes of the others is not to be left in doubt.
    if (job.begun) this.#dismiss(job, new SqpError("outcome_unknown"));
    else if (slot.isRunning(job)) this.#kill(slot);
    // Another statement is in its way. It is let go of as soon as that one ends.
    else this.#dismiss(job, job.ending!);
  }

  #kill(slot: JobProcess): void {
    if (slot.kill()) this.#counters.add("killed");
  }

  // Processes.

  #start(role: ProcessRole): void {
    const { removeAtExit } = this.#location;
    const open: OpenMessage = {
      role,
      settings: this.#settings,
      ...(role === "writer" && removeAtExit !== undefined && { removeAtExit }),
    };
    try {
      this.#slots.add(new EngineSlot(open, this.#listener));
    } catch (error) {
      const message = `An engine process cannot be started: ${(error as Error).message}`;
      this.#opened.reject(new SqpError("engine_failure", { message, cause: error }));
      this.#onCrash(role, message);
    }
  }

  #onReady(slot: EngineSlot): void {
    if (slot.role === "writer" && !this.#writerOpened) {
      this.#writerOpened = true;
      for (let i = 0; i < this.#limits.readersMin; i++) this.#start("reader");
    }
    if (slot.role === "reader") this.#opened.resolve();
    this.#dispatchSoon();
  }

  #onFatal(slot: EngineSlot, error: SqpError): void {
    this.#opened.reject(error);
    slot.process.close();
    if (this.#closing === undefined) this.#onCrash(slot.role, error.message);
  }

  #onExit(slot: EngineSlot, detail: string): void {
    this.#slots.delete(slot);
    for (const job of [...slot.jobs()]) this.#abandon(job, slot);
    // What was answered before and not let go of is gone with the process.
    for (const job of this.#jobs) if (job.answered && job.slot === slot) this.#jobs.delete(job);
    if (this.#closing !== undefined) return;
    this.#opened.reject(new SqpError("engine_failure", { message: detail }));
    if (!slot.retired) this.#onCrash(slot.role, detail);
    else this.#replace(slot.role);
    this.#dispatchSoon();
  }

  /** Starts a process in the place of one that was told to end, where it is needed. */
  #replace(role: ProcessRole): void {
    let present = 0;
    for (const slot of this.#slots) if (slot.role === role && !slot.retired) present++;
    if (this.#restarts[role].timer !== undefined) return;
    if (present < (role === "writer" ? 1 : this.#limits.readersMin)) this.#start(role);
  }

  #onCrash(role: ProcessRole, detail: string): void {
    this.#counters.add("crashed");
    const restart = this.#restarts[role];
    const { tickMs, restartMsMax, crashesMax } = this.#limits;
    if (++restart.crashes >= crashesMax) this.#failWaiting(role, detail);
    if (restart.timer !== undefined || !this.#writerOpened) return;
    const pauseMs = Math.min(restartMsMax, tickMs * 2 ** (restart.crashes - 1));
    restart.timer = setTimeout(() => {
      delete restart.timer;
      this.#replace(role);
    }, pauseMs);
  }

  #failWaiting(role: ProcessRole, detail: string): void {
    const queue = this.#queues[role];
    const message = `The engine's processes end again and again (${detail}).`;
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      if (job.answered) continue;
      this.#queuedCount--;
      this.#dismiss(job, new SqpError("engine_not_run", { message, retry: "later" }));
    }
  }

  /** A job whose process is gone. */
  #abandon(job: Job, slot: EngineSlot): void {
    const error = this.#abandonError(job, slot);
    if (error === undefined) this.#enqueue(job);
    else this.#dismiss(job, error);
  }

  /** `undefined` where the job is run again. */
  #abandonError(job: Job, slot: EngineSlot): SqpError | undefined {
    if (slot.role === "writer" && job.begun) return new SqpError("outcome_unknown");
    if (this.#closing !== undefined) return new SqpError("shutting_down");
    if (job.ending !== undefined) return job.ending;
    if (job.headSeen) {
      return new SqpError("engine_failure", {
        message: "The engine process ended while it read the result.",
        retry: "now",
      });
    }
    if (job.attempts < this.#limits.attemptsMax) return undefined;
    const message = `The engine process ended ${job.attempts} times before it ran the command.`;
    return new SqpError("engine_not_run", { message, retry: "no" });
  }

  status(): EngineStatus {
    let processes = 0;
    for (const slot of this.#slots) if (slot.ready) processes++;
    return {
      engine: "sqlite",
      queued: this.#queuedCount,
      running: this.#jobs.size - this.#queuedCount,
      processes,
      counters: { ...this.#counters.snapshot(), ...this.#feeds.counts },
    };
  }

  processIds(role: ProcessRole): number[] {
    const ids: number[] = [];
    for (const slot of this.#slots) {
      if (slot.role === role && slot.ready) ids.push(slot.process.pid);
    }
    return ids;
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#ticker);
    this.#feeds.close();
    for (const { timer } of Object.values(this.#restarts)) clearTimeout(timer);
    for (const job of this.#jobs) {
      // A write that its process has may be committed: it is heard until the process ends.
      const heard = job.route === "writer" && job.slot !== undefined;
      if (!heard) job.fail(new SqpError("shutting_down"));
    }
    // Nothing is lost with a reader. The writer ends last: whoever closes the database last puts its log into the file.
    await this.#endProcesses("reader", 0);
    await this.#endProcesses("writer", this.#limits.closeMs);
    await this.#location.remove();
    // Nobody may be waiting for it.
    this.#opened.promise.catch(() => {});
    this.#opened.reject(new SqpError("shutting_down"));
  }

  async #endProcesses(role: ProcessRole, killAfterMs: number): Promise<void> {
    const slots = [...this.#slots].filter((slot) => slot.role === role);
    const kill = () => slots.forEach(({ process }) => process.kill());
    for (const slot of slots) {
      slot.retired = true;
      slot.process.close();
    }
    if (killAfterMs === 0) kill();
    const killer = setTimeout(kill, killAfterMs);
    await Promise.all(slots.map(({ process }) => process.finished));
    clearTimeout(killer);
  }
}
