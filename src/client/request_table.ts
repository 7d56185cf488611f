// The requests of a client that are open: commands sent, answers given to whoever waits for them.

import { DecodeError } from "../base/byte_reader.ts";
import type { ClientSession } from "../session/client_session.ts";
import type { ClientSessionEvent } from "../session/client_session_event.ts";
import { SqpError } from "../wire/errors.ts";
import { encodeQuery, type KnownCommand } from "../wire/query_payload.ts";
import type { Column } from "../wire/response_payload.ts";
import type { Row } from "../wire/value.ts";
import { Feed, subscribeCommand, type SubscribeOptions } from "./feed.ts";
import { Request, type RequestObserver, type ResultEnd } from "./requests.ts";
import { RowStream } from "./row_stream.ts";

/** How much longer than the server a client waits for the end of a request with a deadline. */
const DEADLINE_GRACE_MS = 2_000;

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
  /** W3C Trace Context of the caller, `traceparent` and `tracestate`, for the server's log. */
  readonly traceparent?: string;
  /** See {@linkcode RequestOptions.traceparent}. */
  readonly tracestate?: string;
}

/** The result of a statement. */
export interface Result extends ResultEnd {
  /** The columns, in the order of each row's values. */
  readonly columns: readonly Column[];
  /** Rows, each an array in the order of the columns. */
  readonly rows: Row[];
}

/** What is to be sent. */
export interface CommandSource {
  /** Makes the command. Throws {@linkcode SqpError} for what cannot be sent. */
  command(): KnownCommand;
  /** It was sent. */
  onSent?(): void;
  /** It cannot be sent: its request fails. */
  onUnsent?(): void;
}

/** What waits for the events of one request. */
interface OpenRequest {
  onResponse(payload: Uint8Array): void;
  onStream(kind: "stream-readable" | "stream-finished"): void;
  onFailed(error: SqpError): void;
}

/** The open requests of one session. */
export class RequestTable {
  /** The session. Throws {@linkcode SqpError} `closed`. */
  readonly #session: () => ClientSession;
  /** Something is there to be sent. */
  readonly #wake: () => void;
  readonly #open = new Map<number, OpenRequest>();

  constructor(session: () => ClientSession, wake: () => void) {
    this.#session = session;
    this.#wake = wake;
  }

  /** Runs a command and gives its whole result. Rejects with {@linkcode SqpError}. */
  result(source: CommandSource, options: RequestOptions): Promise<Result> {
    return new Promise((resolve, reject) => {
      const rows: Row[] = [];
      let columns: readonly Column[] = [];
      const request = this.#run(source, options, {
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

  /** Runs a command and gives its rows as they come. */
  rows(source: CommandSource, options: RequestOptions): RowStream {
    const rows = new RowStream();
    const request = this.#run(source, options, rows);
    if (request !== undefined) {
      rows.attach({
        pull: (pages) => {
          request.pull(pages);
          this.#wake();
        },
        cancel: () => this.#cancel(request),
      });
    }
    return rows;
  }

  /** Sends a command whose answer is one Response. Rejects with {@linkcode SqpError}. */
  ask<Answer>(
    source: CommandSource,
    options: RequestOptions,
    decode: (payload: Uint8Array) => Answer,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#send(source, options, reject, (requestId, session, release) => {
        const over = () => {
          session.finish(requestId);
          release();
        };
        return {
          cancel: () => {
            session.cancel(requestId);
            release();
            return true;
          },
          onResponse(payload) {
            over();
            try {
              resolve(decode(payload));
            } catch (error) {
              if (!(error instanceof DecodeError)) throw error;
              const { message } = error;
              reject(new SqpError("malformed_payload", { message, cause: error }));
            }
          },
          onStream() {},
          onFailed(error) {
            release();
            reject(error);
          },
        };
      });
    });
  }

  /** Subscribes to changes. */
  feed(options: SubscribeOptions): Feed {
    const feed = new Feed(options);
    const fail = (error: SqpError) => feed.onFailed(error);
    const source = { command: () => subscribeCommand(options) };
    this.#send(source, options, fail, (requestId, session, release) => {
      const over = () => {
        release();
        this.#wake();
      };
      feed.attach({
        read: (streamId) => {
          const bytes = session.readStream(streamId);
          if (bytes !== undefined) this.#wake();
          return bytes;
        },
        finish() {
          session.finish(requestId);
          over();
        },
        cancel() {
          session.cancel(requestId);
          over();
        },
        unsubscribe: (stream) => {
          const ended = { command: () => ({ cmd: "unsubscribe", stream }) as const };
          // Whatever comes of it, the feed tells.
          this.ask(ended, {}, () => {}).catch(() => {});
        },
        release: over,
      });
      return {
        onResponse: (payload) => feed.onResponse(payload),
        onStream: (kind) => feed.onStream(kind),
        onFailed: fail,
        cancel() {
          session.cancel(requestId);
          return true;
        },
      };
    });
    return feed;
  }

  #run(
    source: CommandSource,
    options: RequestOptions,
    observer: RequestObserver,
  ): Request | undefined {
    return this.#send(
      source,
      options,
      (error) => observer.onError(error),
      (requestId, session, release) => new Request(requestId, session, observer, release),
    );
  }

  /** Sends a Query. What cannot be sent fails through `fail`, as everything else does. */
  #send<Open extends OpenRequest & { cancel(): boolean }>(
    source: CommandSource,
    options: RequestOptions,
    fail: (error: SqpError) => void,
    open: (requestId: number, session: ClientSession, release: () => void) => Open,
  ): Open | undefined {
    try {
      const { signal, urgency } = options;
      if (signal?.aborted) throw new SqpError("cancelled", { cause: signal.reason });
      const session = this.#session();
      const payload = encodeQuery({ ...source.command(), ...commandOptions(options) });
      const requestId = session.query(payload, urgency);
      source.onSent?.();
      const unwatch = watch(options, (error) => {
        const isOpen = this.#open.has(requestId) && request.cancel();
        this.#wake();
        if (isOpen) fail(error);
      });
      const request = open(requestId, session, () => {
        this.#open.delete(requestId);
        unwatch();
      });
      this.#open.set(requestId, request);
      this.#wake();
      return request;
    } catch (error) {
      if (!(error instanceof SqpError)) throw error;
      source.onUnsent?.();
      fail(error);
      return undefined;
    }
  }

  #cancel(request: Request): boolean {
    const isCancelled = request.cancel();
    this.#wake();
    return isCancelled;
  }

  /** Takes an event of the session that belongs to a request. */
  onEvent(event: Extract<ClientSessionEvent, { requestId: number }>): void {
    const request = this.#open.get(event.requestId);
    switch (event.kind) {
      case "response":
        return request?.onResponse(event.payload);
      case "stream-readable":
      case "stream-finished":
        return request?.onStream(event.kind);
      case "failed":
        return request?.onFailed(event.error);
    }
  }
}

/** What of a request's options travels. */
function commandOptions({ timeoutMs, urgency, traceparent, tracestate }: RequestOptions) {
  return {
    ...(timeoutMs !== undefined && { deadlineMs: Math.max(1, Math.ceil(timeoutMs)) }),
    ...(urgency !== undefined && { urgency }),
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
  };
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
