// Something under way that has a deadline and can be ended, whether it waits for a connection or has one.

import { SqpError } from "../../wire/errors.ts";
import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool, ConnectionRequest } from "./connection_pool.ts";
import type { PostgresLimits } from "./settings.ts";

/** What work waits for. */
export interface Waiting {
  /** Nobody waits any more. */
  withdrawn?: boolean;
  onError(error: SqpError): void;
}

/** Work for one caller. */
export abstract class Work {
  /** When it ends in any case. */
  readonly deadlineAtMs: number;
  /** It is to end with this error. */
  ending: SqpError | undefined;
  #endingSinceMs = 0;
  #waiting: Waiting | undefined;
  #connection: PostgresConnection | undefined;

  constructor(deadlineMs: number | undefined) {
    this.deadlineAtMs = performance.now() + (deadlineMs ?? Infinity);
  }

  /** When a page was last sent or asked for, or the work was begun, whichever was later. */
  abstract readonly activeAtMs: number;
  /** Whether its client is waited for. */
  abstract readonly isStalled: boolean;

  /** Whether it waits for a connection. */
  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Waits for a connection in a session of the principal's own. Throws {@linkcode SqpError}. */
  borrow(
    pool: ConnectionPool,
    principal: string,
    isTransaction = false,
  ): Promise<PostgresConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<PostgresConnection>();
    if (this.ending !== undefined) return Promise.reject(this.ending);
    const request: ConnectionRequest = {
      principal,
      isTransaction,
      onConnection: (connection) => {
        this.hold(connection);
        resolve(connection);
      },
      onError: (error) => {
        this.#waiting = undefined;
        reject(error);
      },
    };
    this.wait(request);
    pool.request(request);
    return promise;
  }

  /** Waits for something, until it is held or let go. */
  wait(waiting: Waiting): void {
    this.#waiting = waiting;
  }

  /** From now on, ending it ends what runs on this connection. */
  hold(connection: PostgresConnection): void {
    this.#waiting = undefined;
    this.#connection = connection;
  }

  /** It waits for nothing any more, and nothing of it runs that ending it would end. */
  letGo(): void {
    this.#waiting = undefined;
    this.#connection = undefined;
  }

  /** Its connection, while it has one. */
  protected get connection(): PostgresConnection | undefined {
    return this.#connection;
  }

  /** Ends it before its time. Returns whether nobody had before. */
  end(error: SqpError): boolean {
    if (this.ending !== undefined) return false;
    this.ending = error;
    this.#endingSinceMs = performance.now();
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      waiting.withdrawn = true;
      waiting.onError(error);
    }
    this.#connection?.abort();
    return true;
  }

  /** Ends it where its time is over, and its connection where the server does not let go of it. */
  checkTimes(nowMs: number, limits: PostgresLimits, end: (error: SqpError) => void): void {
    if (this.ending !== undefined) {
      if (nowMs - this.#endingSinceMs >= limits.killAfterMs) this.insist();
      return;
    }
    const silentMs = nowMs - this.activeAtMs;
    if (nowMs >= this.deadlineAtMs) end(new SqpError("deadline_exceeded"));
    else if (this.isStalled) {
      if (silentMs < limits.stallMsMax) return;
      const message = "The result was not read for too long.";
      end(new SqpError("deadline_exceeded", { message }));
    } else if (this.deadlineAtMs === Infinity && silentMs >= limits.pageMsMax) {
      end(new SqpError("deadline_exceeded"));
    }
  }

  /** The server did not let go of it in time. */
  insist(): void {
    this.#connection?.destroy();
  }
}
