// What one client has in the SQLite engine.

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
import type { StatementDescription } from "../../wire/response_payload.ts";

/** Runs statements for a caller. */
export interface SessionHost {
  execute(caller: Caller, command: ExecuteCommand, sink: ResultSink): Execution;
  subscribe(command: SubscribeCommand, sink: FeedSink): Execution;
}

const NOTHING_RUNS: RunningCommand = { cancel() {} };

/** The session of one caller. */
export class SqliteSession implements EngineSession {
  readonly #host: SessionHost;
  readonly #caller: Caller;

  constructor(host: SessionHost, caller: Caller) {
    this.#host = host;
    this.#caller = caller;
  }

  execute(command: ExecuteCommand, sink: ResultSink): Execution {
    if (command.idempotencyKey !== undefined) {
      // Better refused than taken for a promise that is not kept.
      const message = "Idempotency keys are not supported.";
      queueMicrotask(() => sink.onError(new SqpError("bad_request", { message })));
      return { ...NOTHING_RUNS, pull() {} };
    }
    return this.#host.execute(this.#caller, command, sink);
  }

  batch(_command: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand {
    return refuse(reply);
  }

  prepare(_command: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand {
    return refuse(reply);
  }

  begin(_command: BeginCommand, reply: Reply<void>): EngineTransaction {
    refuse(reply);
    const fail = (_: unknown, of: Reply<never>) => refuse(of);
    return {
      execute: (_, sink) => ({ ...refuse(sink), pull() {} }),
      batch: fail,
      prepare: fail,
      savepoint: fail,
      release: fail,
      rollbackTo: fail,
      commit: refuse,
      rollback: refuse,
      abort() {},
    };
  }

  subscribe(command: SubscribeCommand, sink: FeedSink): Execution {
    if (this.#caller.permissions.has("read")) return this.#host.subscribe(command, sink);
    const message = 'The principal lacks the permission "read".';
    queueMicrotask(() => sink.onError(new SqpError("permission_denied", { message })));
    return { ...NOTHING_RUNS, pull() {} };
  }

  close(): void {}
}

function refuse(reply: Reply<never>): RunningCommand {
  queueMicrotask(() => reply.onError(new SqpError("unknown_command")));
  return NOTHING_RUNS;
}
