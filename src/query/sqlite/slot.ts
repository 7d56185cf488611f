// A place for an engine process and the commands that it has.

import type { SqpError } from "../../wire/errors.ts";
import {
  type Message,
  MessageKind,
  type OpenMessage,
  type ProcessRole,
  readError,
  readHandOff,
  readHead,
} from "./ipc.ts";
import type { Job, JobProcess } from "./job.ts";
import { EngineProcess } from "./process_host.ts";

/** What the slot's owner hears. */
export interface SlotListener {
  onReady(slot: EngineSlot): void;
  onFatal(slot: EngineSlot, error: SqpError): void;
  /** A job of a reader that is for the writer. `step`: which one of a batch writes. */
  onHandOff(job: Job, step: number): void;
  /** A job's statement cannot run for long. */
  onShort(job: Job): void;
  /** A job had its last answer. */
  onJobEnd(job: Job): void;
  /** The process has room for another job. */
  onRoom(slot: EngineSlot): void;
  /** The process is gone. Its jobs are still in the slot. */
  onExit(slot: EngineSlot, detail: string): void;
}

/** A job as one process has it. */
interface Attempt {
  readonly job: Job;
  /** Nothing was heard of it yet. */
  waiting: boolean;
  /** It may be committed by now. */
  begun: boolean;
  /** Its columns were told, and the process has not let go of it. */
  isOpen: boolean;
  /** It came too late: the job is for another process. */
  isDropped: boolean;
  /** When the process was last told to let go of it. */
  cancelledAtMs: number | undefined;
}

/** One engine process with its jobs. When the process is gone, so is the slot: its owner makes another. */
export class EngineSlot implements JobProcess {
  readonly role: ProcessRole;
  readonly process: EngineProcess;
  /** By the number that they have in this process, cancelled ones until the process has let go of them. */
  readonly #attempts = new Map<number, Attempt>();
  ready = false;
  /** It was killed or told to end: it takes no more jobs, and its end is no crash. */
  retired = false;
  /** How the process ended, for a person; empty while it has not. */
  exitDetail = "";
  /** It has a transaction that only reads, and does nothing else. */
  isReserved = false;
  /** When the process last said something, or was given something to do while it had nothing. */
  progressAtMs: number;
  /** The progress that was the last one when the owner found the process silent. */
  silentSinceMs: number | undefined;
  /** It stands in one statement; others are not to wait for it. */
  stuck = false;
  #waitingCount = 0;
  #openResults = 0;
  #isKilled = false;
  /** The job that it said it turns to, until it answers, and when that was read. */
  #runningId: number | undefined;
  #runningSinceMs = 0;
  readonly #listener: SlotListener;

  constructor(open: OpenMessage, listener: SlotListener) {
    this.role = open.role;
    this.#listener = listener;
    this.progressAtMs = performance.now();
    this.process = new EngineProcess(open, {
      onReady: () => {
        this.ready = true;
        listener.onReady(this);
      },
      onFatal: (error) => {
        this.retired = true;
        listener.onFatal(this, error);
      },
      onMessage: (message) => this.#receive(message),
      onExit: (detail) => {
        this.ready = false;
        this.exitDetail = detail;
        listener.onExit(this, detail);
      },
    });
  }

  /** Whether it may be given any job. */
  get isFree(): boolean {
    return this.ready && !this.retired && !this.isReserved;
  }

  /** Jobs that the process has, those among them that it has to let go of included. */
  get jobCount(): number {
    return this.#attempts.size;
  }

  /** Jobs of which nothing was heard yet. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  /** Results that were begun and that the process has not let go of. */
  get openResults(): number {
    return this.#openResults;
  }

  isTelling(): boolean {
    for (const { headSeen } of this.jobs()) if (headSeen) return true;
    return false;
  }

  /** The jobs that this process is to answer. */
  *jobs(): Generator<Job> {
    for (const [id, { job }] of this.#attempts) if (this.#isCurrent(job, id)) yield job;
  }

  /** Whether the process is in the middle of this job, as far as it said. */
  isRunning(job: Job): boolean {
    return this.#runningId !== undefined && this.#attempts.get(this.#runningId)?.job === job;
  }

  /**
   * For how long the process has been at a job that it was told to let go of and that nobody waits for. It had turned
   * to it before it could be told, or before that was heard.
   */
  orphanMs(nowMs: number): number {
    const attempt = this.#runningId === undefined ? undefined : this.#attempts.get(this.#runningId);
    if (attempt?.cancelledAtMs === undefined || attempt.begun) return 0;
    if (this.#isCurrent(attempt.job, this.#runningId!)) return 0;
    return nowMs - Math.max(attempt.cancelledAtMs, this.#runningSinceMs);
  }

  /** A job that was answered or moved to another process is here only until the process has let go of it. */
  #isCurrent(job: Job, id: number): boolean {
    return job.slot === this && job.attemptId === id && !job.answered;
  }

  /** Gives a job to the process. */
  run(job: Job, attemptId: number, nowMs: number): void {
    if (this.#waitingCount === 0) this.progressAtMs = nowMs;
    job.slot = this;
    job.attemptId = attemptId;
    job.attempts++;
    job.begun = false;
    this.#attempts.set(attemptId, {
      job,
      waiting: true,
      begun: false,
      isOpen: false,
      isDropped: false,
      cancelledAtMs: undefined,
    });
    this.#waitingCount++;
    this.process.send((out) => {
      out.whole(job.spec.kind, attemptId, job.spec.body);
      if (job.outstandingPages > 1) out.pull(attemptId, job.outstandingPages - 1);
    });
  }

  /** Asks for more pages of a job. */
  pull(job: Job, pages: number): void {
    this.process.send((out) => out.pull(job.attemptId, pages));
  }

  kill(): boolean {
    if (this.retired) return false;
    this.retired = true;
    this.#isKilled = true;
    this.process.kill();
    return true;
  }

  /** Tells the process to let go of a job; it answers. */
  cancel(job: Job): void {
    const attempt = this.#attempts.get(job.attemptId);
    if (attempt !== undefined) attempt.cancelledAtMs ??= performance.now();
    this.process.send((out) => out.bare(MessageKind.CANCEL, job.attemptId));
  }

  #receive({ kind, id, body }: Message): void {
    this.progressAtMs = performance.now();
    this.stuck = false;
    const attempt = this.#attempts.get(id);
    // What the process still says of a job that it was told to let go of after it had ended.
    if (attempt === undefined || attempt.isDropped) return;
    const { job } = attempt;
    const current = this.#isCurrent(job, id);
    if (kind === MessageKind.RUNNING) {
      this.#runningId = id;
      this.#runningSinceMs = this.progressAtMs;
      return;
    }
    if (kind === MessageKind.SHORT) return this.#listener.onShort(job);
    if (kind === MessageKind.BEGUN) {
      attempt.begun = true;
      if (current) job.begun = true;
      return;
    }
    if (attempt.waiting) {
      attempt.waiting = false;
      this.#waitingCount--;
    }
    if (kind === MessageKind.HEAD) {
      attempt.isOpen = true;
      this.#openResults++;
      // What a process wrote before it was killed ends somewhere: no result is begun that it may not tell to its end.
      attempt.isDropped = this.#isKilled && this.role === "reader";
      if (!current || attempt.isDropped) return;
      job.headSeen = true;
      job.sink.onHead(readHead(body));
    } else if (kind === MessageKind.PAGE) {
      if (this.#runningId === id) this.#runningId = undefined;
      if (!current) return;
      job.outstandingPages--;
      job.activeAtMs = this.progressAtMs;
      job.sink.onPage(body.subarray(1), body[0] === 1);
    } else {
      if (this.#runningId === id) this.#runningId = undefined;
      if (attempt.isOpen) this.#openResults--;
      this.#attempts.delete(id);
      if (current) this.#answer(job, kind, body);
      else if (job.slot === this && job.attemptId === id) this.#listener.onJobEnd(job);
      this.#listener.onRoom(this);
    }
  }

  #answer(job: Job, kind: number, body: Uint8Array): void {
    if (kind === MessageKind.HAND_OFF) return this.#listener.onHandOff(job, readHandOff(body));
    if (kind === MessageKind.ERROR) job.fail(readError(body));
    else if (kind !== MessageKind.CLOSED) job.end(body);
    else if (job.ending !== undefined) job.fail(job.ending);
    this.#listener.onJobEnd(job);
  }
}
