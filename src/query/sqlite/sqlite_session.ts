// What one client has in the SQLite engine.

import type { StatementDescription } from "../../wire/response_payload.ts";
import { SqpError } from "../../wire/errors.ts";
import type {
  BatchCommand,
  BatchOutcome,
  BeginCommand,
  Caller,
  EngineSession,
  EngineTransaction,
  ExecuteCommand,
  Execution,
  FeedSink,
  PrepareCommand,
  Reply,
  ResultSink,
  RunningCommand,
  SubscribeCommand,
} from "../engine.ts";
import type { ProcessRole } from "./ipc.ts";
import type { JobSink, JobSpec } from "./job.ts";
import {
  batchJob,
  batchSink,
  descriptionSink,
  executeJob,
  prepareJob,
  resultSink,
} from "./job_specs.ts";

import type { SqliteTransaction } from "./sqlite_transaction.ts";

/** A command whose answer is on its way already. */
const ANSWERED: Execution = { pull() {}, cancel() {} };

/** What a session needs of the engine. */
export interface SessionHost {
  /** Where a command with these texts is tried first. */
  routeOf(texts: readonly string[]): ProcessRole;
  /** Answers a read in this thread, where that cannot take long. Returns whether it does. */
  readInPlace(caller: Caller, command: ExecuteCommand, sink: ResultSink): boolean;
  /** Takes a job that belongs to no transaction. */
  submit(spec: JobSpec, sink: JobSink): Execution;
  begin(caller: Caller, command: BeginCommand, reply: Reply<void>): SqliteTransaction;
  subscribe(command: SubscribeCommand, sink: FeedSink): Execution;
}

/** The session of one caller. */
export class SqliteSession implements EngineSession {
  readonly #host: SessionHost;
  readonly #caller: Caller;
  readonly #transactions = new Set<SqliteTransaction>();

  constructor(host: SessionHost, caller: Caller) {
    this.#host = host;
    this.#caller = caller;
  }

  execute(command: ExecuteCommand, sink: ResultSink): Execution {
    if (this.#host.readInPlace(this.#caller, command, sink)) return ANSWERED;
    const place = this.#place([command.sql], command.idempotencyKey);
    return this.#host.submit(executeJob(place, command), resultSink(sink));
  }

  batch(command: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand {
    const place = this.#place(command.steps.map(({ sql }) => sql), command.idempotencyKey);
    return this.#host.submit(batchJob(place, command), batchSink(reply));
  }

  prepare(command: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand {
    return this.#host.submit(
      prepareJob(this.#place([command.sql]), command),
      descriptionSink(reply),
    );
  }

  #place(texts: readonly string[], key?: string) {
    // Outcomes are stored where writes are run.
    const route = key === undefined ? this.#host.routeOf(texts) : "writer" as const;
    return { caller: this.#caller, route };
  }

  begin(command: BeginCommand, reply: Reply<void>): EngineTransaction {
    for (const old of this.#transactions) if (old.isOver) this.#transactions.delete(old);
    const transaction = this.#host.begin(this.#caller, command, reply);
    this.#transactions.add(transaction);
    return transaction;
  }

  subscribe(command: SubscribeCommand, sink: FeedSink): Execution {
    if (this.#caller.permissions.has("read")) return this.#host.subscribe(command, sink);
    const message = 'The principal lacks the permission "read".';
    queueMicrotask(() => sink.onError(new SqpError("permission_denied", { message })));
    return { pull() {}, cancel() {} };
  }

  close(): void {
    const error = new SqpError("session_closed");
    for (const transaction of this.#transactions) transaction.abort(error);
    this.#transactions.clear();
  }
}
