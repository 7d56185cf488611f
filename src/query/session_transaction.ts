// One transaction of a session: its commands may arrive in any order, and run in the order of their steps.

import { SqpError } from "../wire/errors.ts";
import type { EngineTransaction, RunningCommand } from "./engine.ts";
import type { QueryLimits } from "./limits.ts";

/** A command of a transaction, when its turn has come. */
export interface StepWork {
  /** Starts it. `onOver` is to be called when it was answered. Throws {@linkcode SqpError} where it cannot. */
  start(transaction: EngineTransaction, onOver: () => void): RunningCommand;
  /** Answers it with an error; it is not started. */
  fail(error: SqpError): void;
}

/** Steps that have arrived, in their order, and the limits of how long the transaction may be idle or open. */
export class SessionTransaction {
  readonly #limits: QueryLimits;
  readonly #onOver: (why: SqpError) => void;
  /** Steps before the transaction has begun, and those that wait for one before them. */
  readonly #waiting = new Map<number, StepWork>();
  #engine: EngineTransaction | undefined;
  #nextStep = 0;
  #runningCount = 0;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #timer: ReturnType<typeof setTimeout>;
  #over: SqpError | undefined;

  /** `onOver` is called once, with the error that later commands are to be answered with. */
  constructor(limits: QueryLimits, onOver: (why: SqpError) => void) {
    this.#limits = limits;
    this.#onOver = onOver;
    this.#timer = setTimeout(
      () => this.abort(new SqpError("transaction_too_long")),
      limits.transactionMsMax,
    );
    this.#watchIdle();
  }

  /** Whether it was told to begin. */
  get isBegun(): boolean {
    return this.#engine !== undefined;
  }

  /** Begins it by `begin`, which is given what to call when the engine has answered. */
  begin(begin: (onOver: (error?: SqpError) => void) => EngineTransaction): void {
    this.#runningCount++;
    this.#engine = begin((error) => {
      this.#stepOver();
      if (error !== undefined) this.abort(error);
    });
    this.#startSteps();
  }

  /** Takes a command, and starts it when every one before it was started. */
  add(step: number, work: StepWork): RunningCommand {
    if (step < this.#nextStep || this.#waiting.has(step)) {
      work.fail(new SqpError("bad_request", { message: `The step ${step} was used before.` }));
      return { cancel() {} };
    }
    if (this.#waiting.size >= this.#limits.waitingStepsMax) {
      work.fail(new SqpError("too_many_requests"));
      return { cancel() {} };
    }
    let running: RunningCommand | undefined;
    const waiting: StepWork = {
      start: (transaction, onOver) => running = work.start(transaction, onOver),
      fail: (error) => work.fail(error),
    };
    this.#waiting.set(step, waiting);
    this.#startSteps();
    return {
      cancel: () => {
        if (running !== undefined) return running.cancel();
        if (this.#waiting.get(step) !== waiting) return;
        // The steps behind it count on it.
        this.#waiting.delete(step);
        work.fail(new SqpError("cancelled"));
        this.abort(new SqpError("transaction_failed"));
      },
    };
  }

  #startSteps(): void {
    while (this.#engine !== undefined && this.#over === undefined) {
      const work = this.#waiting.get(this.#nextStep);
      if (work === undefined) break;
      this.#waiting.delete(this.#nextStep++);
      this.#start(work, this.#engine);
    }
    this.#watchIdle();
  }

  #start(work: StepWork, transaction: EngineTransaction): void {
    this.#runningCount++;
    try {
      work.start(transaction, () => this.#stepOver());
    } catch (error) {
      if (!(error instanceof SqpError)) throw error;
      this.#runningCount--;
      work.fail(error);
      this.abort(new SqpError("transaction_failed"));
    }
  }

  #stepOver(): void {
    this.#runningCount--;
    this.#watchIdle();
  }

  #watchIdle(): void {
    clearTimeout(this.#idleTimer);
    if (this.#runningCount > 0 || this.#over !== undefined) return;
    this.#idleTimer = setTimeout(
      () => this.abort(new SqpError("transaction_idle")),
      this.#limits.transactionIdleMs,
    );
  }

  /** It was committed or rolled back: what waits still has come too late. */
  finish(): void {
    this.#end(new SqpError("unknown_transaction"));
  }

  /** Rolls it back; what is left of it fails with this error. Harmless when it is over. */
  abort(error: SqpError): void {
    if (!this.#end(error)) return;
    this.#engine?.abort(error);
  }

  #end(why: SqpError): boolean {
    if (this.#over !== undefined) return false;
    this.#over = why;
    clearTimeout(this.#timer);
    clearTimeout(this.#idleTimer);
    const left = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const work of left) work.fail(why);
    this.#onOver(why);
    return true;
  }
}
