// The client: one authenticated session with a server, and requests over it.

import { type Milliseconds, NEVER } from "../base/core.ts";
import type { AddressedCore, AddressedDatagram } from "../base/core.ts";
import { keyLogLine } from "../dtls/key_log.ts";
import { encodeSession } from "../dtls/session.ts";
import { monotonicNow, UdpDriver } from "../net/driver.ts";
import { systemEntropy } from "../net/entropy.ts";
import { addressText, type DatagramSocket } from "../net/socket.ts";
import { openUdpSocket, resolveHost } from "../net/udp.ts";
import type { ClientSession } from "../session/client_session.ts";
import type { ClientSessionEvent } from "../session/client_session_event.ts";
import { SESSION_SETTINGS } from "../session/limits.ts";
import { ClientStack } from "../session/stack.ts";
import { SqpError } from "../wire/errors.ts";
import { DEFAULT_SESSION_LIMITS, type HandshakeResponse } from "../wire/handshake_payload.ts";
import { decodePrepared } from "../wire/response_payload.ts";
import { decodeStatus, type ServerStatus } from "../wire/status_payload.ts";
import type { SqlParams } from "../wire/value.ts";
import type { Feed, SubscribeOptions } from "./feed.ts";
import {
  clientDtlsOptions,
  type ConnectOptions,
  parseServerUrl,
  sessionCredential,
} from "./options.ts";
import { type RequestOptions, RequestTable, type Result } from "./request_table.ts";
import type { RowStream } from "./row_stream.ts";
import {
  batchCommand,
  type BatchOptions,
  type BatchResult,
  type BatchStep,
  decodeBatch,
  executeCommand,
  PreparedStatement,
  type WriteOptions,
} from "./statements.ts";
import { Transaction, type TransactionOptions } from "./transaction.ts";

/** How long connecting may take where the options do not say. */
const CONNECT_TIMEOUT_MS = 30_000;

const AGENT = "sqp-deno/0.1.0";

/** Who the client is to the server. */
export interface ServerInfo {
  /** The name that the server knows the client by. */
  readonly principal: string;
  /** What the client may do: `read`, `write`, `schema`, `subscribe`, `admin`. */
  readonly permissions: readonly string[];
  /** Name and version of the server's software. */
  readonly agent: string | undefined;
}

/** The client's core, seen from its socket: one peer, whose address never changes. */
class ClientCore implements AddressedCore {
  readonly #stack: ClientStack;
  readonly #address: string;

  constructor(stack: ClientStack, address: string) {
    this.#stack = stack;
    this.#address = address;
  }

  handleDatagram(bytes: Uint8Array, address: string, now: Milliseconds): void {
    if (address === this.#address) this.#stack.handleDatagram(bytes, now);
  }

  handleTimeout(now: Milliseconds): void {
    this.#stack.handleTimeout(now);
  }

  pollTransmit(now: Milliseconds): AddressedDatagram | undefined {
    const bytes = this.#stack.pollTransmit(now);
    return bytes === undefined ? undefined : { bytes, address: this.#address };
  }

  pollTimeout(): Milliseconds {
    return this.#stack.isClosed ? NEVER : this.#stack.pollTimeout();
  }
}

/**
 * An open session. Requests run beside each other; each ends with its result or with `SqpError`. Made by
 * {@linkcode connect}; `close` it, or hold it with `await using`.
 */
export class Client implements AsyncDisposable {
  readonly #stack: ClientStack;
  readonly #driver: UdpDriver;
  readonly #requests: RequestTable;
  readonly #ready = Promise.withResolvers<HandshakeResponse>();
  readonly #ended = Promise.withResolvers<SqpError>();
  #server: ServerInfo | undefined;
  #nextTransaction = 1;
  #reason: SqpError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(stack: ClientStack, socket: DatagramSocket, address: string) {
    this.#stack = stack;
    this.#driver = new UdpDriver(
      socket,
      new ClientCore(stack, address),
      (now) => this.#onTurn(now),
    );
    this.#requests = new RequestTable(() => this.#openSession(), () => this.#driver.wake());
  }

  /** See {@linkcode connect}. */
  static async connect(url: string, options: ConnectOptions): Promise<Client> {
    const { host, port } = parseServerUrl(url);
    const dtls = clientDtlsOptions(options, host, systemEntropy);
    const { onKeyLogLine, eventLog } = options;
    const hostname = await resolveHost(host);
    const socket = openUdpSocket(hostname);
    const stack = new ClientStack(
      {
        ...dtls,
        ...(onKeyLogLine !== undefined && {
          keyLog: (label, random, secret) => onKeyLogLine(keyLogLine(label, random, secret)),
        }),
      },
      {
        entropy: systemEntropy,
        limits: DEFAULT_SESSION_LIMITS,
        settings: SESSION_SETTINGS,
        credential: sessionCredential(options),
        agent: options.agent ?? AGENT,
        ...(eventLog !== undefined && { eventLog: () => eventLog }),
      },
      monotonicNow(),
    );
    const client = new Client(stack, socket, addressText({ hostname, port }));
    const timer = setTimeout(
      () => client.#ready.reject(new SqpError("handshake_timeout")),
      options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    );
    try {
      const { principal, permissions, agent } = await client.#ready.promise;
      client.#server = { principal, permissions, agent };
      return client;
    } catch (error) {
      await client.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Who the client is to the server, and what it may do there. */
  get server(): ServerInfo {
    return this.#server!;
  }

  /** Resolves when the session is over, with the reason. */
  get closed(): Promise<SqpError> {
    return this.#ended.promise;
  }

  /**
   * Runs one statement and gives its whole result. `params` are values for `?`, or by name for `:name`. Throws
   * {@linkcode SqpError}.
   */
  execute(sql: string, params: SqlParams = [], options: WriteOptions = {}): Promise<Result> {
    return this.#requests.result({ command: () => executeCommand(sql, params, options) }, options);
  }

  /**
   * Runs one statement and gives its rows as they come, no faster than they are taken: a large result needs little
   * memory on either side.
   */
  stream(sql: string, params: SqlParams = [], options: WriteOptions = {}): RowStream {
    return this.#requests.rows({ command: () => executeCommand(sql, params, options) }, options);
  }

  /**
   * Runs statements one after the other; all of them take effect, or none does. A step may depend on what became of an
   * earlier one. Throws {@linkcode SqpError}, whose `step` says which one failed.
   *
   * ```ts ignore
   * const [taken] = await client.batch([
   *   { sql: "update stock set n = n - 1 where id = ? and n > 0", params: [7] },
   *   { sql: "insert into orders (item) values (?)", params: [7], if: [{ step: 0, is: "changed" }] },
   * ], { idempotencyKey: "order 4711" });
   * ```
   */
  batch(
    steps: readonly (string | BatchStep)[],
    options: BatchOptions = {},
  ): Promise<BatchResult[]> {
    return this.#requests.ask(
      { command: () => batchCommand(steps, options) },
      options,
      decodeBatch,
    );
  }

  /** Has the server check a statement and keep it, to be run by a number. Throws {@linkcode SqpError}. */
  async prepare(sql: string, options: RequestOptions = {}): Promise<PreparedStatement> {
    const source = { command: () => ({ cmd: "prepare", sql }) as const };
    const prepared = await this.#requests.ask(source, options, decodePrepared);
    return new PreparedStatement(this.#requests, sql, prepared);
  }

  /**
   * Begins a transaction, which is the caller's to commit or roll back; at the end of `await using` it is rolled back.
   * What is given to it need not wait for its beginning.
   */
  begin(options: TransactionOptions = {}): Transaction {
    return new Transaction(this.#requests, this.#nextTransaction++, options);
  }

  /**
   * Runs a function in a transaction, which is committed when the function's promise resolves, and rolled back when it
   * rejects. Throws what the function throws, and {@linkcode SqpError} where it cannot be committed: `outcome_unknown`
   * and `connection_lost` where nobody knows whether it was.
   *
   * ```ts ignore
   * await client.transaction(async (tx) => {
   *   tx.execute("update account set balance = balance - 10 where id = 1");
   *   await tx.execute("update account set balance = balance + 10 where id = 2");
   * });
   * ```
   */
  async transaction<Outcome>(
    run: (transaction: Transaction) => Promise<Outcome>,
    options: TransactionOptions = {},
  ): Promise<Outcome> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#runTransaction(run, options);
      } catch (error) {
        const mayTryAgain = error instanceof SqpError && error.retry === "now";
        if (!mayTryAgain || attempt >= (options.attempts ?? 1)) throw error;
      }
    }
  }

  async #runTransaction<Outcome>(
    run: (transaction: Transaction) => Promise<Outcome>,
    options: TransactionOptions,
  ): Promise<Outcome> {
    await using transaction = this.begin(options);
    const outcome = await run(transaction);
    await transaction.commit();
    return outcome;
  }

  /** What the server is doing. Throws {@linkcode SqpError}. */
  status(options: RequestOptions = {}): Promise<ServerStatus> {
    return this.#requests.ask({ command: () => ({ cmd: "status" }) }, options, decodeStatus);
  }

  /**
   * Tells what changes in tables, transaction by transaction, until the loop over it is left.
   *
   * ```ts ignore
   * for await (const event of client.subscribe({ tables: ["orders"], snapshot: true })) {
   *   if (event.kind === "transaction") console.log(event.changes, event.cursor);
   * }
   * ```
   */
  subscribe(options: SubscribeOptions): Feed {
    return this.#requests.feed(options);
  }

  /** The session, for a request that is to be made. Throws {@linkcode SqpError}. */
  #openSession(): ClientSession {
    const session = this.#stack.session;
    if (session === undefined || this.#closing !== undefined) throw new SqpError("closed");
    return session;
  }

  /**
   * What a later `connect` can begin with: see `ConnectOptions.session`. As secret as a key, and for one use.
   * `undefined` as long as the server has given nothing to resume with.
   */
  exportSession(): Uint8Array | undefined {
    const session = this.#stack.resumable;
    return session === undefined ? undefined : encodeSession(session);
  }

  /** Ends the session in order. Open requests fail with `closed`. Never throws; harmless when called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stack.close(monotonicNow());
    this.#driver.wake();
    this.#finishIfClosed();
    await this.#ended.promise;
    await this.#driver.close();
  }

  /** Closes the client at the end of `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #onTurn(now: Milliseconds): void {
    this.#stack.settle(now);
    for (let event; (event = this.#stack.pollEvent()) !== undefined;) {
      this.#onEvent(event);
      this.#stack.settle(now);
    }
    this.#finishIfClosed();
  }

  #onEvent(event: ClientSessionEvent): void {
    switch (event.kind) {
      case "ready":
        return this.#ready.resolve(event.response);
      case "draining":
        return;
      case "ended":
        return this.#onEnded(event.error);
      default:
        return this.#requests.onEvent(event);
    }
  }

  #onEnded(error: SqpError): void {
    this.#ready.reject(error);
    // A user who has connected looks at `closed`, not at this.
    this.#ready.promise.catch(() => {});
    this.#reason = error;
  }

  /** Everything was said and heard: nothing keeps the process any more. */
  #finishIfClosed(): void {
    if (this.#reason === undefined || !this.#stack.isClosed) return;
    this.#ended.resolve(this.#reason);
    this.#closing ??= this.#driver.close();
  }
}

/**
 * Connects to a server at `sqp://host:port` and authenticates. Resolves when requests can be made.
 *
 * ```ts ignore
 * await using client = await connect("sqp://127.0.0.1:4433", { ca, cert, key });
 * const { rows } = await client.execute("select ? + 1", [41]);
 * ```
 *
 * Throws {@linkcode SqpError}: `bad_configuration` for texts that are not what they should be, `server_not_trusted`,
 * `secure_channel_failed`, `handshake_timeout`, or the server's own refusal.
 */
export function connect(url: string, options: ConnectOptions): Promise<Client> {
  return Client.connect(url, options);
}
