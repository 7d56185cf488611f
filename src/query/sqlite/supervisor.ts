// Watches the time of jobs and processes: deadlines, readers that do not read, processes that do not answer.

import type { Counters } from "../../base/counters.ts";
import { SqpError } from "../../wire/errors.ts";
import type { CounterName } from "./counter_names.ts";
import { endError, type EndReason, type Job, type JobProcess } from "./job.ts";
import type { PoolLimits } from "./pool_limits.ts";
import type { ProcessPool } from "./process_pool.ts";
import type { EngineSlot } from "./slot.ts";

/** What a supervisor needs of the engine. */
export interface SupervisedJobs {
  /** Jobs that were not let go of. */
  readonly jobs: ReadonlySet<Job>;
  /** Answers a job that waits for a process. */
  dismissWaiting(job: Job, error: SqpError): void;
  /** Answers a job and lets go of it. */
  dismiss(job: Job, error: SqpError): void;
  /** Gives a job that a process did not come to, to another one. */
  requeue(job: Job): void;
  /** Time has passed. */
  onTick(): void;
}

/** Ends what is to end, and kills what does not. */
export class Supervisor {
  readonly #limits: PoolLimits;
  readonly #counters: Counters<CounterName>;
  readonly #pool: ProcessPool;
  readonly #owner: SupervisedJobs;
  #ticker: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(
    pool: ProcessPool,
    owner: SupervisedJobs,
    limits: PoolLimits,
    counters: Counters<CounterName>,
  ) {
    this.#limits = limits;
    this.#counters = counters;
    this.#pool = pool;
    this.#owner = owner;
  }

  /** Looks at the clock from now on, as long as there is something to watch. */
  watch(): void {
    if (this.#ticker !== undefined || this.#isClosed) return;
    this.#ticker = setTimeout(() => {
      this.#ticker = undefined;
      if (this.#tick(performance.now())) this.watch();
    }, this.#limits.tickMs);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#ticker);
  }

  /** Returns whether there is something left to watch. */
  #tick(nowMs: number): boolean {
    for (const job of this.#owner.jobs) this.#checkTimes(job, nowMs);
    this.#endOrphans(nowMs);
    this.#findStuck(nowMs);
    this.#pool.growPastResults();
    const hasSpare = this.#pool.retireIdleReaders(nowMs);
    this.#owner.onTick();
    const isBusy = [...this.#pool.slots].some((slot) => slot.jobCount > 0);
    return this.#owner.jobs.size > 0 || isBusy || hasSpare;
  }

  #checkTimes(job: Job, nowMs: number): void {
    const { killAfterMs, pageMsMax, stallMsMax } = this.#limits;
    if (job.ending !== undefined) {
      if (nowMs - job.endingSinceMs >= killAfterMs) this.#insist(job);
      return;
    }
    const silentMs = nowMs - job.activeAtMs;
    if (nowMs >= job.deadlineAtMs) this.end(job, "deadline");
    else if (job.outstandingPages > 0) {
      if (job.deadlineAtMs === Infinity && silentMs >= pageMsMax) this.end(job, "deadline");
    } else if (silentMs >= stallMsMax) this.end(job, "stall");
  }

  /** A process that stands in a statement that nobody waits for any more is of no use to anybody. */
  #endOrphans(nowMs: number): void {
    const { orphanMsMax, pageMsMax } = this.#limits;
    for (const slot of this.#pool.slots) {
      const orphanMs = slot.orphanMs(nowMs);
      if (orphanMs < orphanMsMax) continue;
      // It may yet end, and then goes on with its results.
      if (!slot.isTelling() || orphanMs >= pageMsMax) this.#kill(slot);
    }
  }

  #kill(slot: JobProcess): void {
    if (slot.kill()) this.#counters.add("killed");
  }

  /**
   * Looks for readers that stand in one statement. What they wrote may lie unread when this thread itself was busy,
   * so it takes two looks
   * at which nothing had come, with a turn of the event loop in between.
   */
  #findStuck(nowMs: number): void {
    for (const slot of this.#pool.slots) {
      if (slot.role !== "reader" || !slot.ready || slot.isReserved) continue;
      const silent = slot.waitingCount > 0 && nowMs - slot.progressAtMs >= this.#limits.stuckMs;
      const seenBefore = slot.silentSinceMs === slot.progressAtMs;
      slot.stuck = silent && seenBefore;
      slot.silentSinceMs = silent ? slot.progressAtMs : undefined;
      if (!slot.stuck) continue;
      // A process may turn to a job while it is taken away, in vain: not unless there is another one for it.
      if (this.#pool.hasPlaceElsewhere()) this.#unload(slot);
    }
  }

  /** Takes from a process what waits behind the job that it is running. */
  #unload(slot: EngineSlot): void {
    for (const job of slot.jobs()) {
      if (job.headSeen || job.ending !== undefined || slot.isRunning(job)) continue;
      slot.cancel(job);
      this.#counters.add("moved");
      this.#owner.requeue(job);
    }
  }

  /** Ends a job before its time. Harmless when it has ended. */
  end(job: Job, why: EndReason): void {
    if (job.answered || job.ending !== undefined) return;
    this.#counters.add(why === "cancelled" ? "cancelled" : "deadlines");
    const error = endError(why);
    const { transaction } = job.spec;
    if (job.slot !== undefined) return this.#tell(job, error);
    if (transaction === undefined) this.#owner.dismissWaiting(job, error);
    else transaction.onWaitingEnded(job, error);
  }

  #tell(job: Job, error: SqpError): void {
    job.ending = error;
    job.endingSinceMs = performance.now();
    job.slot!.cancel(job);
    // What a read would still say interests nobody; a write may have been committed, so its process is heard first.
    if (job.route === "reader") job.fail(error);
  }

  /** Ends a job that a process has, and answers it without hearing the process. */
  endNow(job: Job, error: SqpError): void {
    if (job.ending === undefined && !job.answered) this.#tell(job, error);
    job.fail(error);
  }

  /** A process was told to let go of a job and did not: it stands in a statement that does not yield. */
  #insist(job: Job): void {
    const slot = job.slot!;
    // A commit ends by itself, and what it makes of the others is not to be left in doubt.
    if (job.begun) this.#owner.dismiss(job, new SqpError("outcome_unknown"));
    else if (slot.isRunning(job) && !this.#isSpared(job)) this.#kill(slot);
    // It is let go of as soon as the statement in its way ends, be it its own.
    else this.#owner.dismiss(job, job.ending!);
  }

  /** Whether a process is left to a statement that nobody waits for, as long as others can be asked. */
  #isSpared({ route, slot }: Job): boolean {
    return route === "reader" && slot!.isTelling() && this.#pool.freeSlot("reader") !== undefined;
  }
}
