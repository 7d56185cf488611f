// A session of an engine that runs single statements and nothing else.

import type {
  BatchCommand,
  BatchOutcome,
  BeginCommand,
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
} from "../../src/query/engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import type { StatementDescription } from "../../src/wire/response_payload.ts";

/** Answers everything but execute with `unknown_command`. */
export class ExecuteOnlySession implements EngineSession {
  readonly #execute: EngineSession["execute"];

  constructor(execute: EngineSession["execute"]) {
    this.#execute = execute;
  }

  execute(command: ExecuteCommand, sink: ResultSink): Execution {
    return this.#execute(command, sink);
  }

  batch(_: BatchCommand, reply: Reply<BatchOutcome>): RunningCommand {
    return refuse(reply);
  }

  prepare(_: PrepareCommand, reply: Reply<StatementDescription>): RunningCommand {
    return refuse(reply);
  }

  begin(_: BeginCommand, reply: Reply<void>): EngineTransaction {
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

  subscribe(_: SubscribeCommand, sink: FeedSink): Execution {
    queueMicrotask(() => sink.onError(new SqpError("unknown_command")));
    return { pull() {}, cancel() {} };
  }

  close(): void {}
}

function refuse(reply: Reply<never>): RunningCommand {
  queueMicrotask(() => reply.onError(new SqpError("unknown_command")));
  return { cancel() {} };
}
