// A client in a simulation: a whole stack, its requests, and what became of each.

import type { Milliseconds } from "../../src/base/core.ts";
import { Request } from "../../src/client/requests.ts";
import type { DtlsClientOptions } from "../../src/dtls/options.ts";
import type { ClientSessionEvent } from "../../src/session/client_session_event.ts";
import type { ClientSessionOptions } from "../../src/session/session_options.ts";
import { ClientStack } from "../../src/session/stack.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery } from "../../src/wire/query_payload.ts";
import type { Row, SqlValue } from "../../src/wire/value.ts";

/** How a request is made. */
export interface AskOptions {
  readonly params?: readonly SqlValue[];
  /** How urgent the answer is. */
  readonly urgency?: number;
  /** Pages that are read by themselves; more wait for {@linkcode Asked.pull}. Default: all. */
  readonly pages?: number;
  /** Called when it has ended, one way or the other; it may ask. */
  readonly onEnd?: () => void;
}

/** A request and what has come of it. Exactly one of `isDone` and `error` comes. */
export class Asked {
  readonly sql: string;
  readonly rows: Row[] = [];
  requestId = 0;
  /** Whether the result is there, proved whole. */
  isDone = false;
  error: SqpError | undefined;
  changes = 0;
  endedAt: Milliseconds = 0;
  request: Request | undefined;

  constructor(sql: string) {
    this.sql = sql;
  }

  /** Whether it has ended, one way or the other. */
  get isOver(): boolean {
    return this.isDone || this.error !== undefined;
  }

  /** Reads so many more pages. */
  pull(pages: number): void {
    this.request?.pull(pages);
  }

  /** The name of the error that it failed with, `done`, or `open`. */
  get outcome(): string {
    return this.error?.codeName ?? (this.isDone ? "done" : "open");
  }
}

interface Waiting {
  readonly asked: Asked;
  readonly options: AskOptions;
}

/** One client. The simulation drives its stack; a test asks. */
export class TestClient {
  address: string;
  readonly stack: ClientStack;
  readonly asked: Asked[] = [];
  /** What the session told, requests excepted. */
  readonly events: Extract<ClientSessionEvent, { kind: "ready" | "draining" | "ended" }>[] = [];
  /** When the client was let in; `undefined` before. */
  readyAt: Milliseconds | undefined;
  /** The client's process is gone: nothing is sent or received any more. */
  isGone = false;
  readonly #requests = new Map<number, Asked>();
  #waiting: Waiting[] = [];
  #now: Milliseconds;

  constructor(
    address: string,
    dtls: DtlsClientOptions,
    session: ClientSessionOptions,
    now: Milliseconds,
  ) {
    this.address = address;
    this.#now = now;
    this.stack = new ClientStack(dtls, session, now);
  }

  /** Whether the client was let in and the session has not ended. */
  get isReady(): boolean {
    return this.readyAt !== undefined && this.ended === undefined;
  }

  /** Why the session ended; `undefined` while it has not. */
  get ended(): SqpError | undefined {
    const last = this.events.at(-1);
    return last?.kind === "ended" ? last.error : undefined;
  }

  /** Asks. Before there is a session the request waits for it, and goes with the handshake. */
  ask(sql: string, options: AskOptions = {}): Asked {
    const asked = new Asked(sql);
    this.asked.push(asked);
    this.#waiting.push({ asked, options });
    this.#sendWaiting();
    this.stack.settle(this.#now);
    return asked;
  }

  /** Gives a request up. */
  cancel(asked: Asked): void {
    asked.request?.cancel();
    this.stack.settle(this.#now);
  }

  /** Closes the session in order. */
  close(now: Milliseconds): void {
    this.stack.close(now);
  }

  /** Ends it without a word, so that its keys are gone. */
  destroy(now: Milliseconds): void {
    this.stack.association.close(now);
  }

  #sendWaiting(): void {
    if (this.stack.session === undefined && this.ended === undefined) return;
    for (const { asked, options } of this.#waiting.splice(0)) this.#send(asked, options);
  }

  #send(
    asked: Asked,
    { params = [], urgency, pages = Infinity, onEnd = () => {} }: AskOptions,
  ): void {
    const { session } = this.stack;
    const { sql } = asked;
    try {
      if (this.ended !== undefined) throw this.ended;
      if (session === undefined) throw new SqpError("closed");
      asked.requestId = session.query(
        encodeQuery({
          cmd: "execute",
          sql,
          params: encodeParams(params),
          ...(urgency !== undefined && { urgency }),
        }),
        urgency,
      );
    } catch (error) {
      if (!(error instanceof SqpError)) throw error;
      asked.error = error;
      return;
    }
    this.#requests.set(asked.requestId, asked);
    asked.request = new Request(
      asked.requestId,
      session,
      {
        onColumns: () => {},
        onRows: (rows) => asked.rows.push(...rows),
        onEnd: ({ changes }) => {
          if (asked.isOver) throw new Error(`${asked.sql} ends twice`);
          asked.isDone = true;
          asked.changes = changes;
          asked.endedAt = this.#now;
          onEnd();
        },
        onError: (error) => {
          if (asked.isOver) throw new Error(`${asked.sql} ends twice`);
          asked.error = error;
          asked.endedAt = this.#now;
          onEnd();
        },
      },
      () => this.#requests.delete(asked.requestId),
    );
    asked.request.pull(pages);
  }

  handleDatagram(bytes: Uint8Array, now: Milliseconds): void {
    this.#now = now;
    this.stack.handleDatagram(bytes, now);
  }

  handleTimeout(now: Milliseconds): void {
    this.#now = now;
    this.stack.handleTimeout(now);
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    return this.stack.pollTransmit(now);
  }

  pollTimeout(): Milliseconds {
    return this.stack.pollTimeout();
  }

  /** Handles what the stack tells. Returns how much that was. */
  drainEvents(now: Milliseconds): number {
    this.#now = now;
    let count = 0;
    for (let event; (event = this.stack.pollEvent()) !== undefined; count++) {
      this.#onEvent(event);
      this.stack.settle(now);
    }
    this.#sendWaiting();
    this.stack.settle(now);
    return count;
  }

  #onEvent(event: ClientSessionEvent): void {
    if (this.ended !== undefined) throw new Error(`${event.kind} after the last event`);
    switch (event.kind) {
      case "ready":
        this.readyAt = this.#now;
        this.events.push(event);
        return;
      case "draining":
      case "ended":
        this.events.push(event);
        return;
      case "response":
        return this.#requests.get(event.requestId)?.request?.onResponse(event.payload);
      case "stream-readable":
      case "stream-finished":
        return this.#requests.get(event.requestId)?.request?.onStream(event.kind);
      case "failed":
        return this.#requests.get(event.requestId)?.request?.onFailed(event.error);
    }
  }
}
