// The processes of the SQLite engine: one that writes, several that read; started, replaced and ended.

import type { Counters } from "../../base/counters.ts";
import { SqpError } from "../../wire/errors.ts";
import type { CounterName } from "./counter_names.ts";
import type { DatabaseLocation } from "./database_location.ts";
import type { OpenMessage, ProcessRole } from "./ipc.ts";
import type { Job } from "./job.ts";
import type { PoolLimits } from "./pool_limits.ts";
import type { SqliteSettings } from "./settings.ts";
import { EngineSlot } from "./slot.ts";

/** What a pool is made of. */
export interface PoolOptions {
  readonly location: DatabaseLocation;
  readonly settings: SqliteSettings;
  readonly limits: PoolLimits;
  readonly counters: Counters<CounterName>;
}

/** What the pool's owner hears. */
export interface PoolListener {
  /** A process has room for another job. */
  onRoom(): void;
  /** A reading process does not do what it was given. `step`: which one of a batch writes. */
  onHandOff(job: Job, step: number): void;
  /** A job's statement cannot run for long. */
  onShort(job: Job): void;
  /** A job had its last answer. */
  onJobEnd(job: Job): void;
  /** A process is gone; its jobs are still in the slot. */
  onExit(slot: EngineSlot): void;
  /** Processes of a role end again and again: what waits for one is not to wait on. */
  onHopeless(role: ProcessRole, detail: string): void;
}

type Timer = ReturnType<typeof setTimeout>;

/** The processes of one database. */
export class ProcessPool {
  readonly #options: PoolOptions;
  readonly #listener: PoolListener;
  readonly #slots = new Set<EngineSlot>();
  readonly #restarts: Record<ProcessRole, { crashes: number; timer?: Timer }> = {
    reader: { crashes: 0 },
    writer: { crashes: 0 },
  };
  readonly #opened = Promise.withResolvers<void>();
  #writerOpened = false;
  #isClosing = false;

  /** Starts the first process; {@linkcode ProcessPool.opened} tells whether the database could be opened. */
  constructor(options: PoolOptions, listener: PoolListener) {
    this.#options = options;
    this.#listener = listener;
    // The writer makes the database where there is none; readers come when it has.
    this.#start("writer");
  }

  /** Resolves when the first commands can run. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** All processes, to look at. */
  get slots(): ReadonlySet<EngineSlot> {
    return this.#slots;
  }

  /** How many processes are up. */
  get readyCount(): number {
    let count = 0;
    for (const slot of this.#slots) if (slot.ready) count++;
    return count;
  }

  /**
   * The process with the least to do that takes another job. One without open results comes first: a statement that
   * does not end would hold them up, and end them when the process is killed.
   */
  freeSlot(role: ProcessRole): EngineSlot | undefined {
    const { readerDepth, writerDepth } = this.#options.limits;
    const depth = role === "reader" ? readerDepth : writerDepth;
    let best: EngineSlot | undefined;
    let bestLoad = Infinity;
    for (const slot of this.#slots) {
      if (slot.role !== role || !slot.isFree || slot.waitingCount >= depth) continue;
      if (role === "reader" && slot.stuck) continue;
      const openCount = slot.openResults > 0 ? depth : 0;
      const load = (openCount + slot.waitingCount) * 1_000 + slot.jobCount;
      if (load < bestLoad) [best, bestLoad] = [slot, load];
    }
    return best;
  }

  /** Starts another reader, where there may be more. Returns whether one is on its way. */
  growReaders(): boolean {
    let readers = 0;
    for (const slot of this.#slots) {
      if (slot.role !== "reader" || slot.retired || slot.isReserved) continue;
      if (!slot.ready) return true;
      readers++;
    }
    if (readers >= this.#options.limits.readersMax) return false;
    if (this.#restarts.reader.timer === undefined) this.#start("reader");
    return true;
  }

  /** Starts another reader where the best one has open results. */
  growPastResults(): void {
    const slot = this.freeSlot("reader");
    if (slot !== undefined && slot.openResults > 0) this.growReaders();
  }

  /** Whether what waits in one reader is to go to another. It stays while one without results is on its way. */
  hasPlaceElsewhere(): boolean {
    const slot = this.freeSlot("reader");
    const isClear = slot !== undefined && slot.openResults === 0;
    return isClear || !this.growReaders() && slot !== undefined;
  }

  /**
   * Takes a reader that has nothing to do out of the others' use, for one transaction. `undefined` where there is none
   * now; then one is on its way, unless so many are taken as may be.
   */
  reserveReader(): EngineSlot | undefined {
    let reserved = 0;
    let idle: EngineSlot | undefined;
    for (const slot of this.#slots) {
      if (slot.role !== "reader") continue;
      if (slot.isReserved) reserved++;
      else if (slot.isFree && slot.jobCount === 0) idle = slot;
    }
    if (reserved >= this.#options.limits.readTransactionsMax) return undefined;
    if (idle === undefined) this.growReaders();
    else {
      idle.isReserved = true;
      this.#replace("reader");
    }
    return idle;
  }

  /** Gives a reader that was reserved back. */
  unreserve(slot: EngineSlot): void {
    slot.isReserved = false;
    this.#listener.onRoom();
  }

  /** Ends readers that have had nothing to do for long. Returns whether there are more of them than there must be. */
  retireIdleReaders(nowMs: number): boolean {
    const { readersMin, idleMs } = this.#options.limits;
    const readers = [...this.#slots].filter((slot) =>
      slot.role === "reader" && !slot.retired && !slot.isReserved && slot.openResults === 0
    );
    let spare = readers.length - readersMin;
    for (const slot of readers) {
      if (spare <= 0) break;
      if (!slot.ready || slot.jobCount > 0 || nowMs - slot.progressAtMs < idleMs) continue;
      slot.retired = true;
      slot.process.close();
      spare--;
    }
    return spare > 0;
  }

  #start(role: ProcessRole): void {
    const { location: { removeAtExit }, settings } = this.#options;
    const open: OpenMessage = {
      role,
      settings,
      ...(role === "writer" && removeAtExit !== undefined && { removeAtExit }),
    };
    try {
      this.#slots.add(
        new EngineSlot(open, {
          onReady: (slot) => this.#onReady(slot),
          onFatal: (slot, error) => this.#onFatal(slot, error),
          onHandOff: (job, step) => this.#listener.onHandOff(job, step),
          onShort: (job) => this.#listener.onShort(job),
          onJobEnd: (job) => this.#listener.onJobEnd(job),
          onRoom: (slot) => {
            this.#restarts[slot.role].crashes = 0;
            this.#listener.onRoom();
          },
          onExit: (slot, detail) => this.#onExit(slot, detail),
        }),
      );
    } catch (error) {
      const message = `An engine process cannot be started: ${(error as Error).message}`;
      this.#opened.reject(new SqpError("engine_failure", { message, cause: error }));
      this.#onCrash(role, message);
    }
  }

  #onReady(slot: EngineSlot): void {
    if (slot.role === "writer" && !this.#writerOpened) {
      this.#writerOpened = true;
      for (let i = 0; i < this.#options.limits.readersMin; i++) this.#start("reader");
    }
    if (slot.role === "reader") this.#opened.resolve();
    this.#listener.onRoom();
  }

  #onFatal(slot: EngineSlot, error: SqpError): void {
    this.#opened.reject(error);
    slot.process.close();
    if (!this.#isClosing) this.#onCrash(slot.role, error.message);
  }

  #onExit(slot: EngineSlot, detail: string): void {
    this.#slots.delete(slot);
    this.#listener.onExit(slot);
    if (this.#isClosing) return;
    this.#opened.reject(new SqpError("engine_failure", { message: detail }));
    if (!slot.retired) this.#onCrash(slot.role, detail);
    else this.#replace(slot.role);
    this.#listener.onRoom();
  }

  /** Starts a process in the place of one that is not there any more, where it is needed. */
  #replace(role: ProcessRole): void {
    let present = 0;
    for (const slot of this.#slots) {
      if (slot.role === role && !slot.retired && !slot.isReserved) present++;
    }
    if (this.#restarts[role].timer !== undefined) return;
    if (present < (role === "writer" ? 1 : this.#options.limits.readersMin)) this.#start(role);
  }

  #onCrash(role: ProcessRole, detail: string): void {
    this.#options.counters.add("crashed");
    const restart = this.#restarts[role];
    const { tickMs, restartMsMax, crashesMax } = this.#options.limits;
    if (++restart.crashes >= crashesMax) this.#listener.onHopeless(role, detail);
    if (restart.timer !== undefined || !this.#writerOpened) return;
    const pauseMs = Math.min(restartMsMax, tickMs * 2 ** (restart.crashes - 1));
    restart.timer = setTimeout(() => {
      delete restart.timer;
      this.#replace(role);
    }, pauseMs);
  }

  /** Ends all processes. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const { timer } of Object.values(this.#restarts)) clearTimeout(timer);
    // Nothing is lost with a reader. The writer ends last: whoever closes the database last puts its log into the file.
    await this.#endProcesses("reader", 0);
    await this.#endProcesses("writer", this.#options.limits.closeMs);
    await this.#options.location.remove();
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
