// The connections of one login, lent out one command at a time. A session is never lent to two principals: what the
// first left behind in it is discarded before.

import { Queue } from "../../base/queue.ts";
import { SqpError } from "../../wire/errors.ts";
import { PostgresConnection } from "./connection.ts";
import type { Login } from "./login.ts";
import { fromPostgres } from "./postgres_errors.ts";
import type { PostgresLimits } from "./settings.ts";

/** Who waits for a connection. Exactly one of the two is called, once, unless it is withdrawn. */
export interface ConnectionRequest {
  readonly principal: string;
  /** It is for a transaction of a client, which keeps it for as long as that one likes. */
  readonly isTransaction?: boolean;
  /** The server is to refuse whatever writes. */
  readonly readsOnly?: boolean;
  onConnection(connection: PostgresConnection): void;
  onError(error: SqpError): void;
  /** Nobody waits any more. */
  withdrawn?: boolean;
}

/** Lends out connections. */
export class ConnectionPool {
  readonly #login: Login;
  readonly #limits: PostgresLimits;
  readonly #schemaVersion: () => number;
  readonly #connections = new Set<PostgresConnection>();
  /** Those that are not lent out, the one that was given back last at the end. */
  readonly #idle: PostgresConnection[] = [];
  readonly #waiting = new Queue<ConnectionRequest>();
  readonly #waitingTransactions = new Queue<ConnectionRequest>();
  /** Those that are lent to transactions. */
  readonly #inTransactions = new Set<PostgresConnection>();
  readonly #opening = new Set<Promise<void>>();
  /** Attempts in a row that came to nothing, what the last one ended with, and when the next may be made. */
  #failures = 0;
  #lastFailure: SqpError | undefined;
  #nextAttemptAtMs = 0;
  #nextAttempt: ReturnType<typeof setTimeout> | undefined;
  #isDistributed = false;
  #closing = false;

  /** `schemaVersion` counts the changes of the schema that are known of. */
  constructor(login: Login, limits: PostgresLimits, schemaVersion: () => number) {
    this.#login = login;
    this.#limits = limits;
    this.#schemaVersion = schemaVersion;
  }

  /** Connections that are up. */
  get size(): number {
    return this.#connections.size;
  }

  /** Whether parts of statements run on other servers, as the connection says that was opened last. */
  get isDistributed(): boolean {
    return this.#isDistributed;
  }

  /** Asks for a connection in a session of the principal's own. */
  request(request: ConnectionRequest): void {
    (request.isTransaction === true ? this.#waitingTransactions : this.#waiting).push(request);
    queueMicrotask(() => this.#serve());
  }

  /** Takes a connection back. One that cannot be lent again is closed. */
  release(connection: PostgresConnection, nowMs: number): void {
    this.#inTransactions.delete(connection);
    const isUsable = connection.isOpen && connection.transactionStatus === "idle" &&
      !connection.isWornOut && !this.#closing;
    if (!isUsable) connection.destroy();
    else {
      connection.idleSinceMs = nowMs;
      if (connection.isSoiled || connection.schemaVersion !== this.#schemaVersion()) {
        return this.#renew(connection);
      }
      this.#idle.push(connection);
    }
    this.#serve();
  }

  #serve(): void {
    // Transactions first, as they cannot take all.
    this.#serveQueue(this.#waitingTransactions, () => this.#transactionsLeft > 0 || this.#closing);
    this.#serveQueue(this.#waiting, () => true);
  }

  #serveQueue(queue: Queue<ConnectionRequest>, mayServe: () => boolean): void {
    for (let next; (next = queue.peek()) !== undefined;) {
      if (next.withdrawn !== true && (!mayServe() || !this.#serveOne(next))) return;
      queue.shift();
    }
  }

  /** How many transactions more may have a connection. They leave one to others, where there are two. */
  get #transactionsLeft(): number {
    const { transactionsMax, connectionsMax } = this.#limits;
    return Math.max(1, Math.min(transactionsMax, connectionsMax - 1)) - this.#inTransactions.size;
  }

  /** How many of those who wait may be lent a connection, if there is one. */
  get #servableCount(): number {
    return this.#waiting.length +
      Math.min(this.#waitingTransactions.length, this.#transactionsLeft);
  }

  /** Whether the request was taken care of. */
  #serveOne(request: ConnectionRequest): boolean {
    if (this.#closing) {
      request.onError(new SqpError("shutting_down"));
      return true;
    }
    const own = this.#takeIdle(({ principal }) => principal === request.principal) ??
      this.#takeIdle(({ principal }) => principal === undefined);
    if (own !== undefined) {
      this.#lend(own, request);
      return true;
    }
    if (this.#connections.size + this.#opening.size < this.#limits.connectionsMax) {
      if (this.#opening.size < this.#servableCount) this.#open();
      return this.#failsAtOnce(request);
    }
    const other = this.#idle.shift();
    if (other !== undefined) this.#renew(other);
    return false;
  }

  /** Makes a new session of a connection, or room for one, for whoever comes next. */
  #renew(connection: PostgresConnection): void {
    // A reset does not reach what was left in sessions on other servers.
    if (connection.isDistributed) return connection.destroy();
    connection.schemaVersion = this.#schemaVersion();
    connection.reset().then(
      () => this.#idle.push(connection),
      () => connection.destroy(),
    ).finally(() => this.#serve());
  }

  #takeIdle(suits: (connection: PostgresConnection) => boolean): PostgresConnection | undefined {
    const at = this.#idle.findLastIndex(suits);
    return at < 0 ? undefined : this.#idle.splice(at, 1)[0];
  }

  #lend(connection: PostgresConnection, request: ConnectionRequest): void {
    if (connection.schemaVersion !== this.#schemaVersion()) {
      // Its statements were prepared for another schema.
      this.#renew(connection);
      this.request(request);
      return;
    }
    connection.principal = request.principal;
    connection.setReadsOnly(request.readsOnly === true);
    if (request.isTransaction === true) this.#inTransactions.add(connection);
    request.onConnection(connection);
  }

  /** With no connection at all and none to be had for now, nobody is kept waiting. */
  #failsAtOnce(request: ConnectionRequest): boolean {
    const isHopeless = this.#lastFailure !== undefined && this.#connections.size === 0 &&
      this.#opening.size === 0;
    if (isHopeless) request.onError(this.#lastFailure!);
    return isHopeless;
  }

  #open(): void {
    if (performance.now() < this.#nextAttemptAtMs) return;
    const opening = PostgresConnection.open(this.#login, this.#limits).then(
      (connection) => this.#onOpen(connection),
      (error) => this.#onFailure(fromPostgres(error)),
    ).finally(() => {
      this.#opening.delete(opening);
      this.#serve();
    });
    this.#opening.add(opening);
  }

  async #onOpen(connection: PostgresConnection): Promise<void> {
    this.#failures = 0;
    this.#lastFailure = undefined;
    this.#nextAttemptAtMs = 0;
    if (this.#closing || !connection.isOpen) return await connection.close();
    connection.schemaVersion = this.#schemaVersion();
    this.#isDistributed = connection.isDistributed;
    this.#connections.add(connection);
    connection.onClosed = () => this.#onClosed(connection);
    this.#idle.push(connection);
  }

  #onFailure(error: SqpError): void {
    const { retryMs, retryMsMax } = this.#limits;
    const pauseMs = Math.min(retryMsMax, retryMs * 2 ** this.#failures++);
    this.#nextAttemptAtMs = performance.now() + pauseMs;
    this.#lastFailure = this.#openError(error, pauseMs);
    // Who waits although other connections are up waits for this; those may be lent out for good.
    clearTimeout(this.#nextAttempt);
    if (!this.#closing) this.#nextAttempt = setTimeout(() => this.#serve(), Math.ceil(pauseMs) + 1);
  }

  #openError(error: SqpError, pauseMs: number): SqpError {
    if (error.codeName === "bad_configuration") return error;
    const { engine } = error;
    if (typeof engine?.code === "string" && engine.code.startsWith("28")) {
      const message = `The database has no login "${this.#login.user}" for these permissions: ` +
        `${error.message}.`;
      return new SqpError("permission_denied", { message, engine, cause: error });
    }
    return new SqpError("engine_not_run", {
      message: `The database cannot be reached: ${error.message}`,
      ...{ retry: "later", afterMs: Math.ceil(pauseMs), cause: error },
      ...(engine !== undefined && { engine }),
    });
  }

  #onClosed(connection: PostgresConnection): void {
    this.#connections.delete(connection);
    this.#takeIdle((one) => one === connection);
    this.#serve();
  }

  /** Closes connections that nobody has asked for in a long time. */
  closeIdle(nowMs: number): void {
    while (this.#idle.length > 0 && nowMs - this.#idle[0]!.idleSinceMs > this.#limits.idleMs) {
      this.#idle.shift()!.destroy();
    }
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#nextAttempt);
    this.#serve();
    await Promise.all([...this.#connections].map((connection) => connection.close()));
    await Promise.all(this.#opening);
  }
}
