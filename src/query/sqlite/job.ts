// One command on its way through the SQLite engine.

import { SqpError } from "../../wire/errors.ts";
import type { Column } from "../../wire/response_payload.ts";
import type { MessageKind, ProcessRole } from "./ipc.ts";
import type { PermissionMask } from "./permissions.ts";

/** What a job asks of the process that has it. */
export interface JobProcess {
  pull(job: Job, pages: number): void;
  cancel(job: Job): void;
  /** Whether the job is what the process is at, rather than waiting behind another. */
  isRunning(job: Job): boolean;
  /** Whether it has results that are half told: no other process can tell the rest of them. */
  isTelling(): boolean;
  /** Kills the process. Returns whether nobody had before. */
  kill(): boolean;
}

/** Why a job is ended before its time. */
export type EndReason = "cancelled" | "deadline" | "stall";

/** What its sink is told. */
export function endError(why: EndReason): SqpError {
  if (why === "cancelled") return new SqpError("cancelled");
  if (why === "deadline") return new SqpError("deadline_exceeded");
  return new SqpError("deadline_exceeded", { message: "The result was not read for too long." });
}

/** Takes what a process answers. */
export interface JobSink {
  onHead(columns: readonly Column[]): void;
  onPage(page: Uint8Array, last: boolean): void;
  /** The body of the last message. */
  onEnd(body: Uint8Array): void;
  onError(error: SqpError): void;
}

/** What of its transaction a job has to do with. */
export interface JobTransaction {
  /** A job that waits for its turn was ended. */
  onWaitingEnded(job: Job, error: SqpError): void;
}

/** What is to be done. */
export interface JobSpec {
  /** The message that it is for a process. */
  readonly kind: MessageKind;
  readonly body: Uint8Array;
  readonly permissions: PermissionMask;
  /** Its SQL texts, by which it is known whether it writes. */
  readonly texts: readonly string[];
  readonly route: ProcessRole;
  /** It takes effect once, however often it is run. */
  readonly isKeyed: boolean;
  /** The transaction that it belongs to. */
  readonly transaction?: JobTransaction;
  readonly deadlineMs?: number | undefined;
}

/** A command and where it stands. */
export class Job {
  readonly spec: JobSpec;
  readonly sink: JobSink;
  route: ProcessRole;
  /** The process that has it, `undefined` while it waits for one. */
  slot: JobProcess | undefined;
  /** Its number in that process; each attempt has its own. */
  attemptId = 0;
  attempts = 0;
  /** Pages that were asked for and have not come. */
  outstandingPages = 1;
  /** The sink has had a head, so it cannot be run again unseen. */
  headSeen = false;
  /** It is a write that may be committed by now. */
  begun = false;
  /** The sink has had its last call. */
  answered = false;
  /** It is to end with this error, and since when. */
  ending: SqpError | undefined;
  endingSinceMs = 0;
  /** When it ends in any case. */
  readonly deadlineAtMs: number;
  /** When the last page came or the last pull was made, whichever was later. */
  activeAtMs: number;

  constructor(spec: JobSpec, sink: JobSink, nowMs: number) {
    this.spec = spec;
    this.sink = sink;
    this.route = spec.route;
    this.activeAtMs = nowMs;
    this.deadlineAtMs = nowMs + (spec.deadlineMs ?? Infinity);
  }

  /** Tells the sink how this command ended. */
  end(body: Uint8Array): void {
    this.answered = true;
    this.sink.onEnd(body);
  }

  /** Tells the sink of the error that ends this command. Harmless when it has ended. */
  fail(error: SqpError): void {
    if (this.answered) return;
    this.answered = true;
    this.sink.onError(error);
  }
}
