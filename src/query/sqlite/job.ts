// One command on its way through the SQLite engine.

import { SqpError } from "../../wire/errors.ts";
import type { ExecuteCommand, ResultSink } from "../engine.ts";
import type { PermissionMask } from "./permissions.ts";
import type { ProcessRole } from "./ipc.ts";

/** What a job asks of the process that has it. */
export interface JobProcess {
  pull(job: Job, pages: number): void;
  cancel(job: Job): void;
  /** Whether the job is what the process is at, rather than waiting behind another. */
  isRunning(job: Job): boolean;
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

/** A command and where it stands. */
export class Job {
  readonly sql: string;
  readonly params: Uint8Array;
  readonly permissions: PermissionMask;
  readonly sink: ResultSink;
  route: ProcessRole = "reader";
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

  constructor(
    permissions: PermissionMask,
    command: ExecuteCommand,
    sink: ResultSink,
    nowMs: number,
  ) {
    this.sql = command.sql;
    this.params = command.params;
    this.permissions = permissions;
    this.sink = sink;
    this.activeAtMs = nowMs;
    this.deadlineAtMs = nowMs + (command.deadlineMs ?? Infinity);
  }

  /** Tells the sink of the error that ends this command. Harmless when it has ended. */
  fail(error: SqpError): void {
    if (this.answered) return;
    this.answered = true;
    this.sink.onError(error);
  }
}
