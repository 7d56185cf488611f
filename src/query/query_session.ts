// What one client asks, from the payload of a Query to the engine, and what it has open: prepared statements and
// transactions.

import { DecodeError } from "../base/byte_reader.ts";
import { SqpError } from "../wire/errors.ts";
import {
  type BatchCommand,
  type BeginCommand,
  type Command,
  decodeQuery,
  type ExecuteCommand,
  type PrepareCommand,
  type RollbackCommand,
  type SavepointCommand,
  type SubscribeCommand,
  type TransactionStep,
} from "../wire/query_payload.ts";
import { encodeDone, encodePrepared, type StatementDescription } from "../wire/response_payload.ts";
import { encodeStatus } from "../wire/status_payload.ts";
import { Answer, replyTo, type Responder } from "./answer.ts";
import type {
  BatchOutcome,
  Caller,
  Engine,
  EngineSession,
  EngineTransaction,
  Reply,
  RunningCommand,
  StatementScope,
} from "./engine.ts";
import { FeedAnswer } from "./feed_answer.ts";
import { QUERY_LIMITS, type QueryLimits } from "./limits.ts";
import { PreparedStatements } from "./prepared_statements.ts";
import { SessionTransactions } from "./session_transactions.ts";

const NOTHING_RUNS: RunningCommand = { cancel() {} };

/** Starts a command in a scope; what came of it goes to the responder. */
type Start = (scope: StatementScope, responder: Responder) => RunningCommand;

/** The commands of one client. */
export class QuerySession {
  readonly #engine: Engine;
  readonly #caller: Caller;
  readonly #limits: QueryLimits;
  readonly #session: EngineSession;
  readonly #statements: PreparedStatements;
  readonly #transactions: SessionTransactions;
  readonly #feeds = new Set<FeedAnswer>();

  constructor(engine: Engine, caller: Caller, limits: Partial<QueryLimits> = {}) {
    this.#engine = engine;
    this.#caller = caller;
    this.#limits = { ...QUERY_LIMITS, ...limits };
    this.#session = engine.open(caller);
    this.#statements = new PreparedStatements(this.#limits);
    this.#transactions = new SessionTransactions(this.#limits);
  }

  /**
   * Runs the command of a Query's payload. Every failure goes to the responder; nothing is thrown. What it returns
   * cancels the request, because the client asked for that or is gone; it is still answered.
   */
  run(payload: Uint8Array, responder: Responder): RunningCommand {
    try {
      return this.#run(decodeQuery(payload), responder);
    } catch (error) {
      responder.error(asRequestError(error));
      return NOTHING_RUNS;
    }
  }

  #run(command: Command, responder: Responder): RunningCommand {
    if (command.cmd !== "unknown") {
      const { cmd, urgency, traceparent } = command;
      if (urgency !== undefined) responder.setUrgency(urgency);
      if (traceparent !== undefined) responder.setTrace(cmd, traceparent);
    }
    switch (command.cmd) {
      case "execute":
        return this.#inScope(command.at, responder, this.#execute(command));
      case "batch":
        return this.#inScope(command.at, responder, this.#batch(command));
      case "prepare":
        return this.#inScope(command.at, responder, this.#prepare(command));
      case "unprepare":
        this.#statements.remove(command.statement);
        responder.respond(encodeDone());
        return NOTHING_RUNS;
      case "begin":
        return this.#begin(command, responder);
      case "commit":
        return this.#finish(
          command.at,
          responder,
          (transaction, reply) => transaction.commit(reply),
        );
      case "rollback":
        return this.#rollback(command, responder);
      case "savepoint":
      case "release":
        return this.#savepoint(command, responder);
      case "subscribe":
        return this.#subscribe(command, responder);
      case "unsubscribe":
        this.#unsubscribe(command.stream);
        responder.respond(encodeDone());
        return NOTHING_RUNS;
      case "status":
        responder.respond(this.#status());
        return NOTHING_RUNS;
      case "unknown":
        throw new SqpError("unknown_command", {
          message: `The command "${command.name}" is not known.`,
        });
    }
  }

  // Statements, in the session or in one of its transactions

  #execute(command: ExecuteCommand): Start {
    const { params, deadlineMs, idempotencyKey, origins } = command;
    return (scope, responder) => {
      const sql = this.#statements.textOf(command.sql);
      const { streamBufferBytes } = this.#limits;
      const answer = new Answer(responder, { origins: origins === true, streamBufferBytes });
      const execution = scope.execute({
        sql,
        params,
        ...(deadlineMs !== undefined && { deadlineMs }),
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      }, answer);
      answer.start(execution);
      return execution;
    };
  }

  #batch(command: BatchCommand): Start {
    const { deadlineMs, idempotencyKey } = command;
    return (scope, responder) => {
      const steps = command.steps.map((step) => ({
        ...step,
        sql: this.#statements.textOf(step.sql),
      }));
      const characters = steps.reduce((sum, { sql }) => sum + sql.length, 0);
      if (characters > this.#limits.batchCharactersMax) throw new SqpError("message_too_large");
      return scope.batch({
        steps,
        ...(deadlineMs !== undefined && { deadlineMs }),
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      }, replyTo(responder, ({ payload }: BatchOutcome) => payload));
    };
  }

  #prepare({ sql, deadlineMs }: PrepareCommand): Start {
    return (scope, responder) => {
      this.#statements.checkRoom(sql);
      return scope.prepare({ sql, ...(deadlineMs !== undefined && { deadlineMs }) }, {
        onEnd: (description) => this.#onPrepared(sql, description, responder),
        onError: (error) => responder.error(error),
      });
    };
  }

  #onPrepared(sql: string, description: StatementDescription, responder: Responder): void {
    try {
      const statement = this.#statements.add(sql);
      responder.respond(encodePrepared({ statement, ...description }));
    } catch (error) {
      responder.error(asRequestError(error));
    }
  }

  /** Starts a command at once, or in a transaction when its turn has come. */
  #inScope(
    at: TransactionStep | undefined,
    responder: Responder,
    start: Start,
  ): RunningCommand {
    if (at === undefined) return start(this.#session, responder);
    return this.#transactions.get(at.transaction).add(at.step, {
      start: (transaction, onOver) => start(transaction, watched(responder, onOver)),
      fail: (error) => responder.error(error),
    });
  }

  // Transactions

  #begin(command: BeginCommand, responder: Responder): RunningCommand {
    const { transaction: number, readOnly, isolation, deadlineMs } = command;
    const transaction = this.#transactions.get(number);
    if (transaction.isBegun) {
      throw new SqpError("bad_request", { message: `The transaction ${number} was begun before.` });
    }
    transaction.begin((onOver) =>
      this.#session.begin({
        readOnly: readOnly === true,
        ...(isolation !== undefined && { isolation }),
        ...(deadlineMs !== undefined && { deadlineMs }),
      }, {
        onEnd() {
          responder.respond(encodeDone());
          onOver();
        },
        onError(error) {
          responder.error(error);
          onOver(error);
        },
      })
    );
    return { cancel: () => transaction.abort(new SqpError("cancelled")) };
  }

  #rollback({ at, savepoint }: RollbackCommand, responder: Responder): RunningCommand {
    if (savepoint === undefined) {
      return this.#finish(at, responder, (transaction, reply) => transaction.rollback(reply));
    }
    return this.#control(
      at,
      responder,
      (transaction, reply) => transaction.rollbackTo(savepoint, reply),
    );
  }

  #savepoint({ cmd, at, savepoint }: SavepointCommand, responder: Responder): RunningCommand {
    return this.#control(at, responder, (transaction, reply) => transaction[cmd](savepoint, reply));
  }

  /** A command after which the transaction is over, whatever came of it, once the engine was given it. */
  #finish(
    at: TransactionStep,
    responder: Responder,
    start: (transaction: EngineTransaction, reply: Reply<void>) => void,
  ): RunningCommand {
    const transaction = this.#transactions.get(at.transaction);
    return this.#control(at, responder, (engine, reply) =>
      start(engine, {
        onEnd() {
          reply.onEnd();
          transaction.finish();
        },
        onError(error) {
          reply.onError(error);
          transaction.finish();
        },
      }));
  }

  #control(
    at: TransactionStep,
    responder: Responder,
    start: (transaction: EngineTransaction, reply: Reply<void>) => void,
  ): RunningCommand {
    const transaction = this.#transactions.get(at.transaction);
    return transaction.add(at.step, {
      start(engine, onOver) {
        start(engine, replyTo(watched(responder, onOver), encodeDone));
        return NOTHING_RUNS;
      },
      fail: (error) => responder.error(error),
    });
  }

  // The rest

  #subscribe(command: SubscribeCommand, responder: Responder): RunningCommand {
    if (!this.#caller.permissions.has("subscribe")) {
      const message = 'The principal lacks the permission "subscribe".';
      throw new SqpError("permission_denied", { message });
    }
    const { tables, snapshot, cursor } = command;
    const { streamBufferBytes } = this.#limits;
    const answer: FeedAnswer = new FeedAnswer(responder, streamBufferBytes, () => {
      this.#feeds.delete(answer);
    });
    this.#feeds.add(answer);
    const feed = this.#session.subscribe({
      tables,
      snapshot: snapshot === true,
      ...(cursor !== undefined && { cursor }),
    }, answer);
    answer.start(feed);
    return feed;
  }

  #unsubscribe(streamId: number): void {
    for (const feed of this.#feeds) if (feed.streamId === streamId) return feed.end();
    throw new SqpError("bad_request", { message: `The stream ${streamId} is no change feed.` });
  }

  /** Ends change feeds, which would not end by themselves, because the server is about to stop. */
  endFeeds(error: SqpError): void {
    for (const feed of this.#feeds) feed.end(error);
  }

  #status(): Uint8Array {
    const { engine, queued, running, processes, counters } = this.#engine.status();
    const isAdmin = this.#caller.permissions.has("admin");
    return encodeStatus({
      engine,
      statements: this.#statements.count,
      transactions: this.#transactions.count,
      ...(isAdmin && { server: { queued, running, processes, counters } }),
    });
  }

  /** The client is gone: its transactions are rolled back. Requests that run are cancelled before. */
  close(): void {
    this.#transactions.abortAll(new SqpError("session_closed"));
    this.#session.close();
  }
}

/** The same responder; `onOver` is called once its answer has ended. */
function watched(responder: Responder, onOver: () => void): Responder {
  return {
    setUrgency: (urgency) => responder.setUrgency(urgency),
    setTrace: (command, traceparent) => responder.setTrace(command, traceparent),
    respond(payload) {
      responder.respond(payload);
      onOver();
    },
    error(error) {
      responder.error(error);
      onOver();
    },
    openStream(headFor) {
      const stream = responder.openStream(headFor);
      return {
        write: (bytes) => stream.write(bytes),
        bufferedBytes: () => stream.bufferedBytes(),
        onWritable: (callback) => stream.onWritable(callback),
        finish() {
          stream.finish();
          onOver();
        },
        abort(error) {
          stream.abort(error);
          onOver();
        },
      };
    },
  };
}

function asRequestError(error: unknown): SqpError {
  if (error instanceof SqpError) return error;
  if (!(error instanceof DecodeError)) throw error;
  return new SqpError("malformed_payload", { message: error.message, cause: error });
}
