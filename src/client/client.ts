// The client: one authenticated session with a server, and requests over it.

import { type Milliseconds, NEVER } from "../base/core.ts";
import type { AddressedCore, AddressedDatagram } from "../base/core.ts";
import { keyLogLine } from "../dtls/key_log.ts";
import { encodeSession } from "../dtls/session.ts";
import { monotonicNow, UdpDriver } from "../net/driver.ts";
import { addressText, type DatagramSocket } from "../net/socket.ts";
import { openUdpSocket, resolveHost } from "../net/udp.ts";
import type { ClientSession } from "../session/client_session.ts";
import type { ClientSessionEvent } from "../session/client_session_event.ts";
import { SESSION_SETTINGS } from "../session/limits.ts";
import { ClientStack } from "../session/stack.ts";
import { SqpError } from "../wire/errors.ts";
import { DEFAULT_SESSION_LIMITS, type HandshakeResponse } from "../wire/handshake_payload.ts";
import { encodeParams } from "../wire/params.ts";
import { encodeQuery } from "../wire/query_payload.ts";
import type { Column } from "../wire/response_payload.ts";
import type { Row, SqlParams } from "../wire/value.ts";
import { Feed, subscribeCommand, type SubscribeOptions } from "./feed.ts";
import {
  clientDtlsOptions,
  type ConnectOptions,
  parseServerUrl,
  sessionCredential,
} from "./options.ts";
import { Request, type RequestObserver, type ResultEnd } from "./requests.ts";
import { RowStream } from "./row_stream.ts";

/** How long connecting may take where the options do not say. */
const CONNECT_TIMEOUT_MS = 30_000;

/** How much longer than the server a client waits for the end of a request with a deadline. */
const DEADLINE_GRACE_MS = 2_000;

const AGENT = "sqp-deno/0.1.0";

/** Options of one request. */
export interface RequestOptions {
  /** Aborts the request: it fails with `cancelled`, and the server is told to end it. */
  readonly signal?: AbortSignal;
  /** The server ends the request after this time, in milliseconds; it fails with `deadline_exceeded`. */
  readonly timeoutMs?: number;
  /**
   * What the server sends first where it has more to send than the network takes: 0 before everything else, 7 when
   * nothing else waits, such as a large export. Default 3.
   */
  readonly urgency?: number;
}

/** The result of a statement. */
export interface Result extends ResultEnd {
  /** The columns, in the order of each row's values. */
  readonly columns: readonly Column[];
  /** Rows, each an array in the order of the columns. */
  readonly rows: Row[];
}

/** Who the client is to the server. */
export interface ServerInfo {
  /** The name that the server knows the client by. */
  readonly principal: string;
  /** What the client may do: `read`, `write`, `schema`, `subscribe`, `admin`. */
  readonly permissions: readonly string[];
  /** Name and version of the server's software. */
  readonly agent: string | undefined;
}

/** What is told of a request. */
interface OpenRequest {
  onResponse(payload: Uint8Array): void;
  onStream(kind: "stream-readable" | "stream-finished"): void;
  onFailed(error: SqpError): void;
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
  readonly #requests = new Map<number, OpenRequest>();
  readonly #ready = Promise.withResolvers<HandshakeResponse>();
  readonly #ended = Promise.withResolvers<SqpError>();
  #server: ServerInfo | undefined;
  #reason: SqpError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(stack: ClientStack, socket: DatagramSocket, address: string) {
    this.#stack = stack;
    this.#driver = new UdpDriver(
      socket,
      new ClientCore(stack, address),
      (now) => this.#onTurn(now),
    );
  }

  /** See {@linkcode connect}. */
  static async connect(url: string, options: ConnectOptions): Promise<Client> {
    const { host, port } = parseServerUrl(url);
    const entropy = (lengthBytes: number) => crypto.getRandomValues(new Uint8Array(lengthBytes));
    const dtls = clientDtlsOptions(options, host, entropy);
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
        entropy,
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
  execute(sql: string, params: SqlParams = [], options: RequestOptions = {}): Promise<Result> {
    return new Promise((resolve, reject) => {
      const rows: Row[] = [];
      let columns: readonly Column[] = [];
      const request = this.#start(sql, params, options, {
        onColumns: (named) => columns = named,
        onRows: (more) => {
          for (const row of more) rows.push(row);
        },
        onEnd: (end) => resolve({ columns, rows, ...end }),
        onError: reject,
      });
      request?.pull(Infinity);
    });
  }

  /**
   * Runs one statement and gives its rows as they come, no faster than they are taken: a large result needs little
   * memory on either side.
   */
  stream(sql: string, params: SqlParams = [], options: RequestOptions = {}): RowStream {
    const rows = new RowStream();
    const request = this.#start(sql, params, options, rows);
    if (request !== undefined) {
      rows.attach({
        pull: (pages) => {
          request.pull(pages);
          this.#driver.wake();
        },
        cancel: () => this.#cancel(request),
      });
    }
    return rows;
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
    const feed = new Feed(options);
    try {
      const session = this.#openSession(options);
      const requestId = session.query(encodeQuery(subscribeCommand(options)));
      const unwatch = watch(options, (error) => {
        session.cancel(requestId);
        feed.onFailed(error);
      });
      const release = () => {
        this.#requests.delete(requestId);
        unwatch();
        this.#driver.wake();
      };
      feed.attach({
        read: (streamId) => {
          const bytes = session.readStream(streamId);
          if (bytes !== undefined) this.#driver.wake();
          return bytes;
        },
        finish() {
          session.finish(requestId);
          release();
        },
        cancel() {
          session.cancel(requestId);
          release();
        },
        unsubscribe: (streamId) => this.#unsubscribe(session, streamId),
        release,
      });
      this.#requests.set(requestId, feed);
      this.#driver.wake();
    } catch (error) {
      if (!(error instanceof SqpError)) throw error;
      feed.onFailed(error);
    }
    return feed;
  }

  /** Asks for the end of a feed; whatever comes of that, the feed tells. */
  #unsubscribe(session: ClientSession, streamId: number): void {
    const requestId = session.query(encodeQuery({ cmd: "unsubscribe", stream: streamId }));
    const over = () => {
      this.#requests.delete(requestId);
      session.finish(requestId);
    };
    this.#requests.set(requestId, { onResponse: over, onStream: over, onFailed: over });
    this.#driver.wake();
  }

  /** The session, for a request that is to be made. Throws {@linkcode SqpError}. */
  #openSession({ signal }: RequestOptions): ClientSession {
    if (signal?.aborted) throw new SqpError("cancelled", { cause: signal.reason });
    const session = this.#stack.session;
    if (session === undefined || this.#closing !== undefined) throw new SqpError("closed");
    return session;
  }

  /** Sends a Query. What cannot be sent fails through the observer, as everything else does. */
  #start(
    sql: string,
    params: SqlParams,
    options: RequestOptions,
    observer: RequestObserver,
  ): Request | undefined {
    const { timeoutMs, urgency } = options;
    try {
      const session = this.#openSession(options);
      const payload = encodeQuery({
        cmd: "execute",
        sql,
        params: encodeParams(params),
        ...(timeoutMs !== undefined && { deadlineMs: Math.max(1, Math.ceil(timeoutMs)) }),
        ...(urgency !== undefined && { urgency }),
      });
      const requestId = session.query(payload, urgency);
      const release = watch(options, (error) => {
        if (this.#cancel(request)) observer.onError(error);
      });
      const request = new Request(requestId, session, observer, () => {
        this.#requests.delete(requestId);
        release();
      });
      this.#requests.set(requestId, request);
      this.#driver.wake();
      return request;
    } catch (error) {
      if (!(error instanceof SqpError)) throw error;
      observer.onError(error);
      return undefined;
    }
  }

  #cancel(request: Request): boolean {
    const isCancelled = request.cancel();
    this.#driver.wake();
    return isCancelled;
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
      case "response":
        return this.#requests.get(event.requestId)?.onResponse(event.payload);
      case "stream-readable":
      case "stream-finished":
        return this.#requests.get(event.requestId)?.onStream(event.kind);
      case "failed":
        return this.#requests.get(event.requestId)?.onFailed(event.error);
      case "draining":
        return;
      case "ended":
        return this.#onEnded(event.error);
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

/** Calls `fail` when a request's signal or its time says so, until the function that it returns is called. */
function watch(
  { signal, timeoutMs }: RequestOptions,
  fail: (error: SqpError) => void,
): () => void {
  const onAbort = () => fail(new SqpError("cancelled", { cause: signal?.reason }));
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = timeoutMs === undefined ? undefined : setTimeout(
    () => fail(new SqpError("deadline_exceeded")),
    timeoutMs + DEADLINE_GRACE_MS,
  );
  return () => {
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  };
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
