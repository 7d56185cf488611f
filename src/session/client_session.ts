// The client's side of a session: the handshake, requests and their answers, and how it ends.

import { DecodeError } from "../base/byte_reader.ts";
import type { Entropy, Milliseconds } from "../base/core.ts";
import { Deadlines } from "../base/deadlines.ts";
import { Queue } from "../base/queue.ts";
import type { TransportEvent } from "../transport/events.ts";
import { TransportLimitError } from "../transport/fault.ts";
import type { Transport } from "../transport/transport.ts";
import { decodeError } from "../wire/error_payload.ts";
import type { ErrorName } from "../wire/error_codes.ts";
import { SqpError } from "../wire/errors.ts";
import { MessageType } from "../wire/frame.ts";
import {
  type Credential,
  decodeHandshakeResponse,
  encodeHandshakeRequest,
  type HandshakeResponse,
  PROTOCOL_VERSION,
  SERIALIZATION,
  type SessionLimits,
} from "../wire/handshake_payload.ts";
import {
  decodeTermination,
  encodeTermination,
  type Termination,
} from "../wire/termination_payload.ts";
import { faultError } from "./faults.ts";
import type { SessionSettings } from "./limits.ts";
import { Liveness } from "./liveness.ts";

/** What a client's session tells the layer above. */
export type ClientSessionEvent =
  /** The client was let in. */
  | { readonly kind: "ready"; readonly response: HandshakeResponse }
  /** The Response of a request. */
  | { readonly kind: "response"; readonly requestId: number; readonly payload: Uint8Array }
  /** A request ended with an error: the server's, or the session's end. */
  | { readonly kind: "failed"; readonly requestId: number; readonly error: SqpError }
  /** {@linkcode ClientSession.readStream} has bytes. */
  | { readonly kind: "stream-readable"; readonly requestId: number; readonly streamId: number }
  /** All bytes of a stream were read. */
  | { readonly kind: "stream-finished"; readonly requestId: number; readonly streamId: number }
  /** The server takes no new requests. */
  | { readonly kind: "draining"; readonly termination: Termination }
  /** The session is over; every open request has failed before. The last event. */
  | { readonly kind: "ended"; readonly error: SqpError };

/** What a client's session is made of. */
export interface ClientSessionOptions {
  readonly entropy: Entropy;
  /** What this client receives. */
  readonly limits: SessionLimits;
  readonly settings: SessionSettings;
  readonly credential: Credential | null;
  /** Name and version of the client's software. */
  readonly agent: string;
}

interface QueuedRequest {
  readonly requestId: number;
  readonly payload: Uint8Array;
}

type State = "handshaking" | "open" | "draining" | "closing" | "closed";

/** The session of a client. The caller drains its events and the transport's packets after each call. */
export class ClientSession {
  readonly #options: ClientSessionOptions;
  readonly #transport: Transport;
  readonly #events = new Queue<ClientSessionEvent>();
  readonly #deadlines = new Deadlines<"handshake" | "linger">();
  readonly #liveness: Liveness;
  readonly #open = new Set<number>();
  readonly #queued = new Queue<QueuedRequest>();
  readonly #dropped = new Set<number>();
  #nextRequestId = 1;
  #earlyBytes = 0;
  #openMax: number;
  #state: State = "handshaking";
  #refusal: SqpError | undefined;

  constructor(options: ClientSessionOptions, transport: Transport, now: Milliseconds) {
    this.#options = options;
    this.#transport = transport;
    this.#openMax = options.settings.earlyQueriesMax;
    const { entropy, limits, settings } = options;
    this.#liveness = new Liveness(entropy, limits.heartbeatMs, limits.idleMs, now);
    this.#deadlines.set("handshake", now + settings.handshakeMsMax);
    const request = encodeHandshakeRequest({
      versions: [PROTOCOL_VERSION],
      serialization: [SERIALIZATION],
      capabilities: [],
      limits,
      credential: options.credential,
      agent: options.agent,
    });
    transport.sendMessage(MessageType.HANDSHAKE_REQUEST, 0, request);
  }

  /** Whether the association may be closed: there is nothing more to say. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** The next event. */
  pollEvent(): ClientSessionEvent | undefined {
    return this.#events.shift();
  }

  // Requests

  /** Sends a Query, or queues it while too many are open, and returns its request id. Throws {@linkcode SqpError} where it cannot. */
  query(payload: Uint8Array): number {
    if (this.#state === "draining") throw new SqpError("draining");
    if (this.#state === "closing" || this.#state === "closed") throw new SqpError("closed");
    if (payload.length > this.#options.limits.messageBytes) throw new SqpError("message_too_large");
    if (this.#queued.length >= this.#options.settings.queuedRequestsMax) {
      throw new SqpError("overloaded", { message: "Too many requests wait in the client." });
    }
    const requestId = this.#nextRequestId++;
    this.#queued.push({ requestId, payload });
    this.#sendQueued();
    return requestId;
  }

  /** Sends what waits, as far as the limits allow. */
  #sendQueued(): void {
    for (let next; (next = this.#queued.peek()) !== undefined;) {
      const { requestId, payload } = next;
      if (this.#dropped.delete(requestId)) {
        this.#queued.shift();
        continue;
      }
      if (this.#open.size >= this.#openMax) return;
      if (this.#state === "handshaking") {
        if (this.#earlyBytes + payload.length > this.#options.settings.earlyQueryBytesMax) return;
        this.#earlyBytes += payload.length;
      }
      this.#queued.shift();
      this.#open.add(requestId);
      try {
        this.#transport.sendMessage(MessageType.QUERY, requestId, payload);
      } catch (error) {
        if (!(error instanceof TransportLimitError)) throw error;
        this.#open.delete(requestId);
        const refused = new SqpError("message_too_large", { message: error.message, cause: error });
        this.#events.push({ kind: "failed", requestId, error: refused });
      }
    }
  }

  /** Gives a request up: nothing of it is reported any more, and the server is told to end it. */
  cancel(requestId: number): void {
    if (this.#state === "closed") return;
    if (this.#open.has(requestId)) {
      this.#transport.sendMessage(MessageType.CANCEL, requestId, new Uint8Array(0));
      this.#finish(requestId);
    } else if (requestId < this.#nextRequestId && this.#isQueued(requestId)) {
      this.#dropped.add(requestId);
    }
  }

  /** Request ids rise in the queue, and everything before its head was sent. */
  #isQueued(requestId: number): boolean {
    const head = this.#queued.peek();
    return head !== undefined && requestId >= head.requestId;
  }

  /** The next bytes of a stream, or `undefined` when there are none for now. Reading grants credit. */
  readStream(streamId: number): Uint8Array | undefined {
    return this.#transport.readStream(streamId);
  }

  /** The layer above has all that it wants of a request. */
  finish(requestId: number): void {
    if (this.#open.has(requestId)) this.#finish(requestId);
  }

  #finish(requestId: number): void {
    this.#open.delete(requestId);
    this.#transport.finishRequest(requestId);
    this.#sendQueued();
  }

  // Time

  /** When {@linkcode ClientSession.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    if (this.#state === "closed") return Infinity;
    return Math.min(this.#deadlines.next(), this.#liveness.deadline());
  }

  /** Runs what is due. */
  handleTimeout(now: Milliseconds): void {
    if (this.#state === "closed") return;
    for (let due; (due = this.#deadlines.takeDue(now)) !== undefined;) {
      if (due === "linger") this.#close();
      else this.abort(this.#refusal ?? new SqpError("handshake_timeout"));
    }
    if (this.#state === "closing" || this.isClosed) return;
    switch (this.#liveness.onTimeout(now)) {
      case "dead":
        return this.abort(new SqpError("heartbeat_lost"));
      case "send-heartbeat":
        return this.#transport.sendHeartbeat(this.#liveness.request());
      case "nothing":
        return;
    }
  }

  /** A packet of the server passed the security layer. */
  onHeard(now: Milliseconds): void {
    this.#liveness.onHeard(now);
  }

  // What the transport says

  /** Takes an event of the transport. */
  handleTransportEvent(event: TransportEvent): void {
    if (this.#state === "closed" || this.#state === "closing") return;
    switch (event.kind) {
      case "message":
        try {
          return this.#onMessage(event.type, event.requestId, event.payload);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          return this.abort(faultError(error));
        }
      case "stream-readable":
      case "stream-finished":
        if (!this.#open.has(event.requestId)) return this.#transport.stopStream(event.streamId);
        this.#events.push({
          kind: event.kind,
          requestId: event.requestId,
          streamId: event.streamId,
        });
        return;
      case "stream-ended":
        return this.#onStreamEnded(event.requestId, event.error);
      case "stream-opened":
      case "stream-writable":
        return;
      case "fault":
        return this.abort(faultError(event.error));
      case "dead":
        return this.abort(new SqpError("heartbeat_lost", { message: event.reason }));
    }
  }

  #onStreamEnded(requestId: number, payload: Uint8Array): void {
    let error: SqpError;
    try {
      error = new SqpError(decodeError(payload));
    } catch (thrown) {
      if (!(thrown instanceof DecodeError)) throw thrown;
      return this.abort(faultError(thrown));
    }
    this.#fail(requestId, error);
  }

  #onMessage(type: MessageType, requestId: number, payload: Uint8Array): void {
    switch (type) {
      case MessageType.HANDSHAKE_RESPONSE:
        return this.#onHandshakeResponse(payload);
      case MessageType.RESPONSE:
        if (this.#open.has(requestId)) this.#events.push({ kind: "response", requestId, payload });
        return;
      case MessageType.ERROR: {
        const error = new SqpError(decodeError(payload));
        if (requestId === 0) this.#refusal = error;
        else this.#fail(requestId, error);
        return;
      }
      case MessageType.HEARTBEAT: {
        const reply = this.#liveness.replyTo(payload);
        if (reply !== undefined) this.#transport.sendHeartbeat(reply);
        return;
      }
      case MessageType.TERMINATION:
        return this.#onTermination(decodeTermination(payload));
      default:
        return;
    }
  }

  #onHandshakeResponse(payload: Uint8Array): void {
    if (this.#state !== "handshaking") return;
    const response = decodeHandshakeResponse(payload);
    if (response.version !== PROTOCOL_VERSION || response.serialization !== SERIALIZATION) {
      return this.abort(new SqpError("no_common_version"));
    }
    this.#state = "open";
    this.#deadlines.clear("handshake");
    const { limits } = response;
    this.#openMax = limits.openRequests;
    // Both sides ask and give up at the shorter of the two times.
    const own = this.#options.limits;
    this.#liveness.setTimes(
      Math.min(own.heartbeatMs, limits.heartbeatMs, limits.idleMs / 3),
      Math.max(own.idleMs, limits.heartbeatMs),
    );
    this.#transport.setSession(response.sessionId, {
      messageBytesMax: limits.messageBytes,
      sessionCreditBytes: limits.sessionCredit,
      streamCreditBytes: limits.streamCredit,
    });
    this.#events.push({ kind: "ready", response });
    this.#sendQueued();
  }

  #onTermination(termination: Termination): void {
    if (termination.drainMs > 0 && this.#state !== "handshaking") {
      // The same again, because an acknowledgement was lost.
      if (this.#state === "draining") return;
      this.#state = "draining";
      this.#failQueued(new SqpError("draining"));
      this.#events.push({ kind: "draining", termination });
      return;
    }
    this.abort(this.#refusal ?? terminationError(termination));
  }

  #fail(requestId: number, error: SqpError): void {
    if (!this.#open.has(requestId)) return;
    this.#events.push({ kind: "failed", requestId, error });
    this.#finish(requestId);
  }

  #failQueued(error: SqpError): void {
    for (let next; (next = this.#queued.shift()) !== undefined;) {
      if (this.#dropped.delete(next.requestId)) continue;
      this.#events.push({ kind: "failed", requestId: next.requestId, error });
    }
  }

  // The end

  /** Ends the session in order: the server is told, and open requests fail with `closed`. */
  close(now: Milliseconds): void {
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#failAll(new SqpError("closed"));
    const payload = encodeTermination({
      reason: "closed",
      message: "The client is done.",
      drainMs: 0,
    });
    this.#transport.sendMessage(MessageType.TERMINATION, 0, payload);
    this.#state = "closing";
    this.#deadlines.clearAll();
    this.#deadlines.set("linger", now + this.#options.settings.lingerMs);
  }

  /** In a session that closes: whether all was said and heard, so that nothing need be waited for. */
  finishCloseIfDrained(): void {
    if (this.#state === "closing" && this.#transport.isDrained) this.#close();
  }

  /** Ends the session at once, for a reason that leaves nothing to say. */
  abort(error: SqpError): void {
    if (this.#state === "closed") return;
    if (this.#state !== "closing") this.#failAll(error);
    this.#close();
  }

  #failAll(error: SqpError): void {
    this.#failQueued(error);
    for (const requestId of this.#open) {
      this.#events.push({ kind: "failed", requestId, error });
    }
    this.#open.clear();
    this.#events.push({ kind: "ended", error });
  }

  #close(): void {
    this.#deadlines.clearAll();
    this.#state = "closed";
    this.#transport.close();
  }
}

const TERMINATION_ERRORS: Readonly<Record<string, ErrorName>> = {
  draining: "shutting_down",
  shutdown: "shutting_down",
  idle: "idle_timeout",
  fault: "protocol_violation",
  overloaded: "overloaded",
};

function terminationError({ reason, message }: Termination): SqpError {
  return new SqpError(TERMINATION_ERRORS[reason] ?? "session_closed", { message });
}
