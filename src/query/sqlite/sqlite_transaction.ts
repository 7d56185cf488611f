// The server's end of a client's transaction: the jobs of its commands, in order, and the process that has it.

import { SqpError } from "../../wire/errors.ts";
import type { StatementDescription } from "../../wire/response_payload.ts";
import type {
  BatchCommand,
  BatchOutcome,
  BeginCommand,
  Caller,
  EngineTransaction,
  ExecuteCommand,
  Execution,
  PrepareCommand,
  Reply,
  ResultSink,
  RunningCommand,
} from "../engine.ts";
import { ControlKind } from "./ipc_requests.ts";
import { Job, type JobSink, type JobSpec, type JobTransaction } from "./job.ts";
import {
  batchJob,
  batchSink,
  controlJob,
  descriptionSink,
  doneSink,
  executeJob,
  type JobPlace,
  prepareJob,
  resultSink,
} from "./job_specs.ts";
import { permissionMask, SCHEMA, WRITE } from "./permissions.ts";
import type { EngineSlot } from "./slot.ts";

/** What a transaction needs of the engine. */
export interface TransactionHost {
  /** Why no job can be taken now, if so. */
  refusal(): SqpError | undefined;
  /** Notes a job, and that it waits. */
  admit(job: Job): void;
  /** Queues the job that begins a transaction. */
  queueBegin(transaction: SqliteTransaction, job: Job): void;
  /** Gives a job that waited to a process. */
  send(slot: EngineSlot, job: Job): void;
  /** What handles a job from outside. */
  handleOf(job: Job): Execution;
  /** Answers a job that waits. */
  dismissWaiting(job: Job, error: SqpError): void;
  /** Answers a job that is in no process any more. */
  dismiss(job: Job, error: SqpError): void;
  /** Ends a job that a process has, with this error at once. */
  endNow(job: Job, error: SqpError): void;
  /** The command that ends the transaction was sent: others may be sent behind it. */
  onFinishing(transaction: SqliteTransaction): void;
  /** Its process has nothing to do with it any more. */
  onReleased(transaction: SqliteTransaction): void;
}

/** Nobody waits for the answer. */
const NOBODY: Reply<void> = { onEnd() {}, onError() {} };

/** A transaction of one client. */
export class SqliteTransaction implements EngineTransaction, JobTransaction {
  /** The number that the processes know it by. */
  readonly number: number;
  readonly readOnly: boolean;
  readonly #host: TransactionHost;
  readonly #place: JobPlace;
  readonly #begin: Job;
  /** Jobs without an answer in the order of their commands, `#begin` excepted. */
  readonly #jobs = new Set<Job>();
  /** The one that commits or rolls back. */
  #finish: Job | undefined;
  #slot: EngineSlot | undefined;
  #isBegun = false;
  #over: SqpError | undefined;

  constructor(
    host: TransactionHost,
    caller: Caller,
    number: number,
    command: BeginCommand,
    reply: Reply<void>,
  ) {
    this.#host = host;
    this.number = number;
    const permissions = permissionMask(caller.permissions);
    // One that writes keeps everybody else from writing, which is not for who may not.
    this.readOnly = command.readOnly || (permissions & (WRITE | SCHEMA)) === 0;
    this.#place = { caller, route: this.readOnly ? "reader" : "writer", transaction: this };
    const kind = this.readOnly ? ControlKind.BEGIN_READ : ControlKind.BEGIN;
    this.#begin = new Job(
      controlJob(this.#place, kind, command),
      doneSink({
        onEnd: () => {
          this.#isBegun = true;
          reply.onEnd();
        },
        onError: (error) => {
          reply.onError(error);
          this.#end(error);
          this.#host.onReleased(this);
        },
      }),
      performance.now(),
    );
    const refusal = permissions === 0 ? new SqpError("permission_denied") : host.refusal();
    if (refusal === undefined) host.queueBegin(this, this.#begin);
    else queueMicrotask(() => this.#begin.fail(refusal));
  }

  /** Whether it takes no more commands. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** The process that has it. */
  get slot(): EngineSlot | undefined {
    return this.#slot;
  }

  /** The process was given the transaction's begin: what waits follows. */
  onSent(slot: EngineSlot): void {
    this.#slot = slot;
    for (const job of [...this.#jobs]) this.#send(slot, job);
  }

  #send(slot: EngineSlot, job: Job): void {
    this.#host.send(slot, job);
    if (job === this.#finish) this.#host.onFinishing(this);
  }

  #add(spec: JobSpec, sink: JobSink): Job {
    const job = new Job(spec, {
      onHead: (columns) => sink.onHead(columns),
      onPage: (page, last) => sink.onPage(page, last),
      onEnd: (body) => {
        this.#onAnswered(job);
        sink.onEnd(body);
      },
      onError: (error) => {
        this.#onAnswered(job);
        sink.onError(error);
      },
    }, performance.now());
    const refusal = this.#over ?? this.#host.refusal();
    if (refusal !== undefined) {
      queueMicrotask(() => job.fail(refusal));
      // A command that is missing is not to be passed over by those behind it.
      this.abort(new SqpError("transaction_failed"));
      return job;
    }
    this.#jobs.add(job);
    this.#host.admit(job);
    if (this.#slot !== undefined) this.#send(this.#slot, job);
    return job;
  }

  #onAnswered(job: Job): void {
    this.#jobs.delete(job);
    if (job !== this.#finish) return;
    this.#end(new SqpError("unknown_transaction"));
    this.#host.onReleased(this);
  }

  execute(command: ExecuteCommand, sink: ResultSink): Execution {
    const job = this.#add(executeJob(this.#place, command), resultSink(sink));
    return this.#host.handleOf(job);
  }

  batch(command: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand {
    return this.#host.handleOf(this.#add(batchJob(this.#place, command), batchSink(reply)));
  }

  prepare(command: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand {
    const job = this.#add(prepareJob(this.#place, command), descriptionSink(reply));
    return this.#host.handleOf(job);
  }

  savepoint(savepoint: number, reply: Reply<void>): void {
    this.#control(ControlKind.SAVEPOINT, reply, savepoint);
  }

  release(savepoint: number, reply: Reply<void>): void {
    this.#control(ControlKind.RELEASE, reply, savepoint);
  }

  rollbackTo(savepoint: number, reply: Reply<void>): void {
    this.#control(ControlKind.ROLLBACK_TO, reply, savepoint);
  }

  commit(reply: Reply<void>): void {
    this.#finishWith(ControlKind.COMMIT, reply);
  }

  rollback(reply: Reply<void>): void {
    this.#finishWith(ControlKind.ROLLBACK, reply);
  }

  #control(kind: ControlKind, reply: Reply<void>, savepoint = 0): void {
    this.#add(controlJob(this.#place, kind, { savepoint }), doneSink(reply));
  }

  #finishWith(kind: ControlKind, reply: Reply<void>): void {
    const spec = controlJob(this.#place, kind);
    if (this.#finish === undefined && this.#over === undefined) {
      this.#finish = new Job(spec, this.#finishSink(reply), performance.now());
      this.#jobs.add(this.#finish);
      this.#host.admit(this.#finish);
      if (this.#slot !== undefined) this.#send(this.#slot, this.#finish);
      return;
    }
    const why = this.#over ?? new SqpError("unknown_transaction");
    queueMicrotask(() => reply.onError(why));
  }

  #finishSink(reply: Reply<void>): JobSink {
    const sink = doneSink(reply);
    return {
      ...sink,
      onEnd: (body) => {
        this.#onAnswered(this.#finish!);
        sink.onEnd(body);
      },
      onError: (error) => {
        this.#onAnswered(this.#finish!);
        sink.onError(error);
      },
    };
  }

  onWaitingEnded(job: Job, error: SqpError): void {
    if (job === this.#begin) return this.abort(error);
    this.#host.dismissWaiting(job, error);
    this.abort(new SqpError("transaction_failed"));
  }

  abort(error: SqpError): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    const slot = this.#slot;
    if (slot === undefined) {
      for (const job of [...this.#jobs]) this.#host.dismissWaiting(job, error);
      if (!this.#begin.answered) this.#host.dismissWaiting(this.#begin, error);
      return;
    }
    for (const job of [...this.#jobs]) if (job !== this.#finish) this.#host.endNow(job, error);
    if (this.#finish !== undefined) return;
    const rollback = controlJob(this.#place, ControlKind.ROLLBACK);
    this.#finish = new Job(rollback, this.#finishSink(NOBODY), performance.now());
    this.#jobs.add(this.#finish);
    this.#host.admit(this.#finish);
    this.#send(slot, this.#finish);
  }

  /** What is left fails. */
  #end(error: SqpError): void {
    this.#over ??= error;
    const over = this.#over;
    for (const job of [...this.#jobs]) {
      if (job.slot === undefined) this.#host.dismissWaiting(job, over);
      else this.#host.endNow(job, over);
    }
  }

  /**
   * The process that had it is gone, and so is all that it did. Returns whether it can begin again, in another one:
   * then nothing of it was heard.
   */
  onProcessGone(mayBeginAgain: boolean): boolean {
    this.#slot = undefined;
    if (mayBeginAgain && !this.#isBegun && this.#over === undefined) {
      for (const job of this.#jobs) {
        job.slot = undefined;
        this.#host.admit(job);
      }
      this.#host.queueBegin(this, this.#begin);
      return true;
    }
    const lost = new SqpError("transaction_rolled_back");
    this.#over ??= lost;
    this.#host.dismiss(this.#begin, lost);
    for (const job of [...this.#jobs]) {
      this.#host.dismiss(job, job.begun ? new SqpError("outcome_unknown") : job.ending ?? lost);
    }
    return false;
  }

  /** The begin was sent so many times. */
  get attempts(): number {
    return this.#begin.attempts;
  }
}
