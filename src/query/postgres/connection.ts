// One connection to a PostgreSQL server: a driver of its own for each, so that it is known what runs where.

import type { Socket } from "node:net";
import { SqpError } from "../../wire/errors.ts";
import { BackendWatch } from "./backend_watch.ts";
import { IS_DISTRIBUTED } from "./distribution.ts";
import {
  type BackendColumn,
  type BackendRow,
  type Driver,
  type DriverQuery,
  type DriverResult,
  openDriver,
  REPLICATION_SESSION,
  SESSION,
} from "./driver.ts";
import type { Login } from "./login.ts";
import type { PostgresParameter } from "./parameters.ts";
import { fromFatalCode, fromPostgres, sqlState } from "./postgres_errors.ts";
import type { PostgresLimits } from "./settings.ts";
import { type BackendKey, openSocket, requestCancel } from "./socket.ts";

/** A statement to run. */
export interface BackendStatement {
  readonly sql: string;
  readonly parameters: readonly PostgresParameter[];
  /** The server keeps it prepared on this connection. */
  readonly prepare: boolean;
  /** Rows that a cursor is asked for first; without it all rows come at once. */
  readonly cursorRows?: number;
}

/** Takes the rows of a statement. No method throws. */
export interface RowReceiver {
  onRow(row: BackendRow, columns: readonly BackendColumn[]): void;
  /** A cursor has given what it was asked for: how many rows are wanted next. */
  onBatch(): Promise<number>;
}

/** How a statement ended. */
export interface BackendEnd {
  /** The words of its command tag, such as `INSERT`; `undefined` for a text without a statement. */
  readonly command: string | undefined;
  /** The number in its command tag, `null` where it has none. */
  readonly count: number | null;
  readonly columns: readonly BackendColumn[];
}

/** What a statement is, without running it. */
export interface BackendDescription {
  /** The numbers of its parameters' types. */
  readonly parameterTypes: readonly number[];
  readonly columns: readonly BackendColumn[];
}

/** What a transaction block is doing, as the server says after every statement. */
export type TransactionStatus = "idle" | "open" | "failed";

/** What a server streams, and takes, after a command of the replication protocol. */
export interface ReplicationStream extends AsyncIterable<Uint8Array> {
  write(bytes: Uint8Array): void;
  /** There is none where the command has answered all at once. */
  on?(event: "error", listener: () => void): void;
}

/** A Sync message: it ends what a text without a statement began. */
const SYNC = new Uint8Array([0x53, 0, 0, 0, 4]);
/** A Terminate message. */
const TERMINATE = new Uint8Array([0x58, 0, 0, 0, 4]);
/** An Execute of a portal that nobody opened: its error rolls back what a paused cursor has done. */
const ROLL_BACK_CURSOR = new TextEncoder().encode("E\0\0\0\x12cancelled\0\0\0\0\0");

const STATE_QUERY = `SELECT current_setting('server_encoding'), current_setting('is_superuser'),
  ${IS_DISTRIBUTED}`;

/** In the server's protocol a text ends at U+0000, and what follows would be read as something else. */
function checkText(sql: string): void {
  if (!sql.includes("\0")) return;
  throw new SqpError("syntax", { message: "The SQL text holds U+0000." });
}

/** White space behind a text by which the driver tells it from what it prepared in an earlier session. */
function sessionMark(resets: number): string {
  return resets === 0 ? "" : `\n${resets.toString(2).replaceAll("0", " ").replaceAll("1", "\t")}`;
}

function unfit(message: string): SqpError {
  return new SqpError("bad_configuration", { message });
}

/** A connection. Its caller runs one statement at a time, or several that are taken or left as a whole. */
export class PostgresConnection {
  /** Whose session it holds: settings and temporary tables are that principal's, until a reset. */
  principal: string | undefined;
  /** Something was left in its session that nobody else may meet. */
  isSoiled = false;
  /** The schema's state at which its statements were prepared, as the pool counts. */
  schemaVersion = 0;
  /** When it was last given back. */
  idleSinceMs = 0;
  /** Parts of its statements run on other servers, in sessions that keep what is left in them until it is closed. */
  isDistributed = false;
  readonly #login: Login;
  readonly #limits: PostgresLimits;
  readonly #driver: Driver;
  /** Texts that were prepared under a name, also those of sessions before a reset: the driver keeps them. */
  readonly #prepared = new Set<string>();
  #resets = 0;
  #socket: Socket | undefined;
  #key: BackendKey | undefined;
  /** The code with which the server ended the connection. */
  #fatalCode: string | undefined;
  #status: TransactionStatus = "idle";
  #running: DriverQuery | undefined;
  /** How statements that have no end yet are failed. */
  readonly #unended = new Set<() => void>();
  /** The running statement's cursor waits for its reader. */
  #suspended = false;
  #aborting = false;
  #cancelRequest: Promise<void> | undefined;
  /** The session's transactions write nothing, unless they say otherwise; and how often that is being changed. */
  #readsOnly = false;
  #modeChanges = 0;
  /** `undefined` where it is not known. */
  #statementTimeoutMs: number | undefined = 0;
  /** Called once, when the connection is gone. */
  onClosed: () => void = () => {};
  /** Called when a channel that it listens to has news. */
  onNotification: () => void = () => {};

  private constructor(
    login: Login,
    limits: PostgresLimits,
    session: Readonly<Record<string, string>>,
  ) {
    this.#login = login;
    this.#limits = limits;
    this.#driver = openDriver(login, limits, { session, openSocket: () => this.#openSocket() });
  }

  /** Connects and logs in. Throws {@linkcode SqpError}. */
  static async open(login: Login, limits: PostgresLimits): Promise<PostgresConnection> {
    const connection = new PostgresConnection(login, limits, SESSION);
    try {
      const [row] = await connection.values(STATE_QUERY);
      const [encoding, isSuperuser, isDistributed] = row!;
      if (encoding !== "UTF8") throw unfit(`The database's encoding is ${encoding}, not UTF8.`);
      // Nothing binds a superuser: it reads the server's files and runs programs there.
      if (isSuperuser === "on") throw unfit(`The database's user "${login.user}" is a superuser.`);
      connection.isDistributed = isDistributed === "t";
      return connection;
    } catch (error) {
      connection.destroy();
      await connection.close();
      throw fromPostgres(error);
    }
  }

  /**
   * Connects, and has the server stream what a command of the replication protocol says, until the connection ends.
   * Throws {@linkcode SqpError}, and so does the stream where it fails.
   */
  static async replicate(
    login: Login,
    limits: PostgresLimits,
    command: string,
  ): Promise<{ readonly connection: PostgresConnection; readonly stream: ReplicationStream }> {
    const connection = new PostgresConnection(login, limits, REPLICATION_SESSION);
    try {
      const answer = connection.#driver.unsafe(command).writable();
      const stream = await connection.#endOf(
        answer as unknown as DriverQuery,
      ) as unknown as ReplicationStream;
      // Whoever reads it is told as well.
      stream.on?.("error", () => {});
      return { connection, stream };
    } catch (error) {
      connection.destroy();
      await connection.close();
      throw connection.#errorOf(error);
    }
  }

  async #openSocket(): Promise<Socket> {
    // The driver would connect again, to a session that nobody knows the state of.
    if (this.#socket !== undefined) throw new SqpError("engine_not_run");
    const socket = await openSocket(this.#login, this.#limits.connectMs);
    this.#socket = socket;
    const watch = new BackendWatch(this.#limits.messageBytesMax, {
      onKey: (processId, secret) => this.#key = { processId, secret },
      onReady: (status) =>
        this.#status = status === "I" ? "idle" : status === "T" ? "open" : "failed",
      onFatal: (code) => this.#fatalCode = code,
      onEmptyQuery: () => void socket.write(SYNC),
      onNotification: () => this.onNotification(),
      onTooLarge: (lengthBytes) => {
        const message = `A row of ${lengthBytes} bytes is larger than the limit.`;
        socket.destroy(new SqpError("row_too_large", { message }));
      },
    });
    // Registered before the driver's own, and so called first.
    socket.on("data", (bytes: Uint8Array) => watch.push(bytes));
    socket.once("close", () => queueMicrotask(() => this.#onClosed()));
    return socket;
  }

  #onClosed(): void {
    for (const fail of this.#unended) fail();
    this.onClosed();
  }

  /** Whether statements can be run. */
  get isOpen(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed;
  }

  /** The state of its transaction block after the last statement. */
  get transactionStatus(): TransactionStatus {
    return this.#status;
  }

  /** Whether it has as many prepared statements as it may. */
  get isWornOut(): boolean {
    return this.#prepared.size >= this.#limits.preparedMax;
  }

  /** Runs a statement. Throws {@linkcode SqpError}. */
  async run(statement: BackendStatement, receiver: RowReceiver): Promise<BackendEnd> {
    const query = this.#query(statement, receiver);
    this.#start(query);
    try {
      return await this.#backendEnd(query);
    } finally {
      await this.#onEnd(query);
    }
  }

  /**
   * Runs a statement behind others that have no end yet; {@linkcode cancel} ends it, {@linkcode abort} does not. Throws
   * {@linkcode SqpError}.
   */
  async runTogether(statement: BackendStatement, receiver: RowReceiver): Promise<BackendEnd> {
    return await this.#backendEnd(this.#query(statement, receiver));
  }

  #query(statement: BackendStatement, receiver: RowReceiver): DriverQuery {
    const { sql, parameters, prepare, cursorRows } = statement;
    checkText(sql);
    this.#checkNotLost();
    const args = parameters.map(({ text, oid }) => this.#driver.typed(text as string, oid));
    // Without `simple: false` the driver takes the protocol in which a text may hold several statements.
    const text = prepare ? sql + sessionMark(this.#resets) : sql;
    const options = { prepare, simple: false } as { prepare: boolean };
    const query = this.#driver.unsafe(text, args, options).raw() as unknown as DriverQuery;
    if (cursorRows !== undefined) query.cursor(cursorRows, () => this.#onBatch(query, receiver));
    query.forEach((row) => receiver.onRow(row, query.statement!.columns!));
    if (prepare) this.#prepared.add(text);
    return query;
  }

  async #backendEnd(query: DriverQuery): Promise<BackendEnd> {
    try {
      const result = await this.#endOf(query);
      if (result.on !== undefined) this.#refuseCopy(result);
      const columns = query.statement?.columns ?? [];
      return { command: result.command ?? undefined, count: result.count, columns };
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  /** The driver would keep a statement for a connection that is not to come. */
  #checkNotLost(): void {
    if (this.#socket?.destroyed !== true) return;
    const message = "The connection to the database was lost before.";
    throw new SqpError("engine_not_run", { message });
  }

  /** What a statement ends with. The driver keeps some back, and gives those no end where the connection is lost. */
  #endOf(query: DriverQuery): Promise<DriverResult> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(undefined);
      this.#unended.add(fail);
      const onEnd = () => this.#unended.delete(fail);
      query.then(resolve, reject).then(onEnd);
    });
  }

  #onBatch(query: DriverQuery, receiver: RowReceiver): Promise<void> {
    // The driver says so at the end of a result as well, when there is nothing to ask for.
    if (this.#running !== query) return Promise.resolve();
    this.#suspended = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#aborting) this.#rollBackCursor();
    else {
      receiver.onBatch().then((rows) => {
        if (this.#aborting) return;
        this.#suspended = false;
        query.cursorRows = rows;
        resolve();
      });
    }
    return promise;
  }

  #rollBackCursor(): void {
    this.#socket!.write(ROLL_BACK_CURSOR);
  }

  /** COPY would make a stream of the connection. */
  #refuseCopy(stream: DriverResult): never {
    stream.on!("error", () => {});
    this.destroy();
    throw new SqpError("statement_not_allowed", { message: "COPY is not supported." });
  }

  #errorOf(error: unknown): SqpError {
    if (error instanceof SqpError || sqlState(error) !== undefined) return fromPostgres(error);
    if (this.#fatalCode !== undefined) return fromFatalCode(this.#fatalCode, error);
    const message = "The connection to the database was lost.";
    return new SqpError("outcome_unknown", { message, cause: error });
  }

  /** Ends the running statement, which throws `query_canceled` then, unless it ends by itself before. */
  abort(): void {
    if (this.#running === undefined || this.#aborting || !this.isOpen) return;
    this.#aborting = true;
    this.resume();
    if (this.#suspended) return this.#rollBackCursor();
    this.cancel();
  }

  /** Ends what the server is running: of statements that run together, the first that has no end yet. */
  cancel(): void {
    if (this.#cancelRequest !== undefined || this.#modeChanges > 0 || !this.isOpen) return;
    this.#cancelRequest = requestCancel(this.#login, this.#key!, this.#limits.connectMs).then(
      () => {},
      () => this.destroy(),
    ).finally(() => this.#cancelRequest = undefined);
  }

  /** Resolves when no request to cancel is on its way, which would meet the next statement. */
  async cancelled(): Promise<void> {
    await this.#cancelRequest;
  }

  /** Takes no more rows for now. Some may still come. */
  pause(): void {
    this.#socket?.pause();
  }

  /** Takes rows again. */
  resume(): void {
    this.#socket?.resume();
  }

  /**
   * Sets after which time the server ends a statement by itself, 0 for its own setting. It is sent with the next
   * statement.
   */
  setStatementTimeout(timeoutMs: number): void {
    if (timeoutMs === this.#statementTimeoutMs) return;
    this.#statementTimeoutMs = timeoutMs;
    const sql = timeoutMs === 0
      ? "RESET statement_timeout"
      : `SET statement_timeout = ${timeoutMs}`;
    // Whatever keeps it from running ends the statement behind it as well.
    this.values(sql).catch(() => {});
  }

  /**
   * Sets whether the server refuses whatever would write, in transactions that do not say otherwise. It is sent with
   * the next statement.
   */
  setReadsOnly(readsOnly: boolean): void {
    if (readsOnly === this.#readsOnly) return;
    this.#readsOnly = readsOnly;
    this.#modeChanges++;
    const setting = "default_transaction_read_only";
    // Nothing cancels it, as what comes behind it may not run in the other mode.
    this.values(readsOnly ? `SET ${setting} = on` : `RESET ${setting}`)
      .catch(() => this.destroy())
      .finally(() => {
        this.#modeChanges--;
        if (this.#running !== undefined && this.#aborting) this.cancel();
      });
  }

  /** A transaction was rolled back, and with it the settings that were made in it. */
  forgetSettings(): void {
    this.#statementTimeoutMs = undefined;
  }

  /** The schema has changed in the transaction that is open: what was prepared for it before is prepared anew. */
  forgetPrepared(): void {
    this.#resets++;
  }

  /** Describes a statement without running it. Throws {@linkcode SqpError}. */
  async describe(sql: string): Promise<BackendDescription> {
    checkText(sql);
    this.#checkNotLost();
    const options = { prepare: false, simple: false } as { prepare: boolean };
    const query = this.#driver.unsafe(sql, [], options).raw() as unknown as DriverQuery;
    // The driver's own way to ask for this leaves a prepared statement behind.
    query.onlyDescribe = true;
    this.#start(query);
    try {
      await this.#endOf(query);
      const { types, columns = [] } = query.statement!;
      return { parameterTypes: types, columns };
    } catch (error) {
      throw this.#errorOf(error);
    } finally {
      await this.#onEnd(query);
    }
  }

  async #onEnd(query: DriverQuery): Promise<void> {
    // Others may have been sent behind it.
    if (this.#running !== query) return;
    this.#running = undefined;
    this.#suspended = false;
    await this.cancelled();
  }

  /** Makes the session a new one for another principal. Throws {@linkcode SqpError}. */
  async reset(): Promise<void> {
    this.#resets++;
    this.isSoiled = false;
    this.#statementTimeoutMs = 0;
    this.#readsOnly = false;
    await this.values("DISCARD ALL");
    this.principal = undefined;
  }

  /** Runs a statement of the engine's own, and gives the texts of its rows. Throws {@linkcode SqpError}. */
  async values(sql: string, parameters: readonly string[] = []): Promise<(string | null)[][]> {
    this.#checkNotLost();
    const options = { prepare: false, simple: false } as { prepare: boolean };
    const query = this.#driver.unsafe(sql, [...parameters], options)
      .raw() as unknown as DriverQuery;
    if (this.#running === undefined) this.#start(query);
    try {
      const rows = await this.#endOf(query) as unknown as (Uint8Array | null)[][];
      const utf8 = new TextDecoder();
      return rows.map((row) => row.map((bytes) => bytes && utf8.decode(bytes)));
    } catch (error) {
      throw this.#errorOf(error);
    } finally {
      await this.#onEnd(query);
    }
  }

  #start(query: DriverQuery): void {
    this.#running = query;
    this.#aborting = false;
  }

  /** Ends the connection at once; the server rolls back what it was doing. */
  destroy(): void {
    this.#socket?.destroy();
  }

  /** Ends the connection in order, and resolves when it is gone. */
  async close(): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined || socket.closed) return;
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const timer = setTimeout(() => socket.destroy(), this.#limits.closeMs);
    socket.end(TERMINATE);
    await closed;
    clearTimeout(timer);
  }
}
