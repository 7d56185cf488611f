// The client's side of a session: the handshake, requests and their answers, and how it ends.

import { DecodeError } from "../base/byte_reader.ts";
import type { Milliseconds } from "../base/core.ts";
import { Deadlines } from "../base/deadlines.ts";
import { Queue } from "../base/queue.ts";
import type { TransportEvent } from "../transport/events.ts";
import { TransportLimitError } from "../transport/fault.ts";
import type { Transport } from "../transport/transport.ts";
import { decodeError } from "../wire/error_payload.ts";
import { SqpError } from "../wire/errors.ts";
import { MessageType } from "../wire/frame.ts";
import { LIMITS } from "../wire/limits.ts";
import {
  decodeHandshakeResponse,
  encodeHandshakeRequest,
  PROTOCOL_VERSION,
  SERIALIZATION,
} from "../wire/handshake_payload.ts";
import {
  decodeTermination,
  encodeTermination,
  type Termination,
} from "../wire/termination_payload.ts";
import { announcesStream } from "../wire/response_payload.ts";
import { URGENCY_DEFAULT } from "../wire/urgency.ts";
import type { ClientSessionEvent } from "./client_session_event.ts";
import { faultError, faultTermination, terminationError } from "./faults.ts";
import { Liveness } from "./liveness.ts";
import type { ClientSessionOptions } from "./session_options.ts";

interface QueuedRequest {
  readonly requestId: number;
  readonly payload: Uint8Array;
  readonly urgency: number;
}

/** A request that was sent and has a place among those that the server allows, until the server has ended it. */
interface OpenRequest {
  /** The stream that belongs to it, 0 while there is none. */
  streamId: number;
  /** Its Response, as long as it may announce a stream of which nothing has come. */
  response: Uint8Array | undefined;
  /** Whether all of its stream was told. */
  isStreamOver: boolean;
  /** The layer above has given it up: what comes is dropped. */
  isCancelled: boolean;
}

/** Whether the server has ended it. */
function isOver({ streamId, response, isStreamOver }: OpenRequest): boolean {
  if (streamId !== 0) return isStreamOver;
  if (response === undefined) return false;
  try {
    return !announcesStream(response);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    // What cannot be read is waited for no longer.
    return true;
  }
}

type State = "handshaking" | "open" | "draining" | "closing" | "closed";

/**
 * The session of a client. The caller drains its events and the transport's packets after each call. Once it
 * {@linkcode ClientSession.isClosed}, the caller sends one more packet of the transport and closes that and the
 * association.
 */
export class ClientSession {
  readonly #options: ClientSessionOptions;
  readonly #transport: Transport;
  readonly #events = new Queue<ClientSessionEvent>();
  readonly #deadlines = new Deadlines("handshake", "linger", "refusal");
  readonly #liveness: Liveness;
  readonly #open = new Map<number, OpenRequest>();
  readonly #queued = new Queue<QueuedRequest>();
  readonly #dropped = new Set<number>();
  #nextRequestId = 1;
  #queuedBytes = 0;
  #earlyBytes = 0;
  #openMax: number;
  #serverMessageBytes: number = LIMITS.messageBytesMax;
  #state: State = "handshaking";
  /** Why the server ends the session, from its Error. */
  #refusal: SqpError | undefined;
  /** The server's Termination: one that was overtaken by what belongs before it, or that announces the end. */
  #termination: Termination | undefined;

  constructor(options: ClientSessionOptions, transport: Transport, now: Milliseconds) {
    this.#options = options;
    this.#transport = transport;
    this.#openMax = options.settings.earlyQueriesMax;
    const { entropy, limits, settings } = options;
    this.#liveness = new Liveness(entropy, limits.heartbeatMs, limits.idleMs, now);
    this.#deadlines.set("handshake", now + settings.handshakeMsMax);
    try {
      const request = encodeHandshakeRequest({
        versions: [PROTOCOL_VERSION],
        serialization: [SERIALIZATION],
        capabilities: [],
        limits,
        credential: options.credential,
        agent: options.agent,
      });
      transport.sendMessage(MessageType.HANDSHAKE_REQUEST, 0, request);
    } catch (error) {
      // A credential that is too long for the request.
      if (!(error instanceof SqpError)) throw error;
      this.abort(error);
    }
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

  /**
   * Sends a Query, or queues it while too many are open, and returns its id. `urgency` is what its payload says. Throws
   * {@linkcode SqpError}.
   */
  query(payload: Uint8Array, urgency: number = URGENCY_DEFAULT): number {
    if (this.#state === "draining") throw new SqpError("draining");
    if (this.#state === "closing" || this.#state === "closed") throw new SqpError("closed");
    if (payload.length > this.#serverMessageBytes) throw new SqpError("message_too_large");
    const { queuedRequestsMax, queuedBytesMax } = this.#options.settings;
    const isFull = this.#queued.length >= queuedRequestsMax ||
      this.#queuedBytes + payload.length > queuedBytesMax;
    if (isFull) {
      throw new SqpError("overloaded", { message: "Too many requests wait in the client." });
    }
    const requestId = this.#nextRequestId++;
    this.#queued.push({ requestId, payload, urgency });
    this.#queuedBytes += payload.length;
    this.#sendQueued();
    return requestId;
  }

  /** Sends what waits, as far as the limits allow. */
  #sendQueued(): void {
    for (let next; (next = this.#queued.peek()) !== undefined;) {
      const { requestId, payload, urgency } = next;
      if (this.#dropped.delete(requestId)) {
        this.#shiftQueued();
        continue;
      }
      if (this.#open.size >= this.#openMax) return;
      if (this.#state === "handshaking") {
        if (this.#earlyBytes + payload.length > this.#options.settings.earlyQueryBytesMax) return;
        this.#earlyBytes += payload.length;
      }
      this.#shiftQueued();
      try {
        this.#transport.sendMessage(MessageType.QUERY, requestId, payload, urgency);
      } catch (error) {
        if (!(error instanceof TransportLimitError)) throw error;
        const isTooLarge = payload.length > this.#serverMessageBytes;
        const refused = new SqpError(isTooLarge ? "message_too_large" : "overloaded", {
          message: error.message,
          cause: error,
        });
        this.#events.push({ kind: "failed", requestId, error: refused });
        continue;
      }
      this.#open.set(requestId, {
        streamId: 0,
        response: undefined,
        isStreamOver: false,
        isCancelled: false,
      });
    }
  }

  #shiftQueued(): QueuedRequest | undefined {
    const next = this.#queued.shift();
    this.#queuedBytes -= next?.payload.length ?? 0;
    return next;
  }

  /**
   * Gives a request up: nothing of it is reported any more, and the server is told to end it. Its place among the open
   * ones is free when the server has.
   */
  cancel(requestId: number): void {
    if (this.#state === "closed" || this.#state === "closing") return;
    const request = this.#open.get(requestId);
    if (request === undefined) {
      if (requestId < this.#nextRequestId && this.#isQueued(requestId)) {
        this.#dropped.add(requestId);
      }
      return;
    }
    if (isOver(request)) return this.#finish(requestId);
    if (request.isCancelled) return;
    request.isCancelled = true;
    this.#transport.sendMessage(MessageType.CANCEL, requestId, new Uint8Array(0));
    this.#dropReadable(request.streamId);
  }

  /** Reads what nobody wants, so that its credit is granted and its end is seen. */
  #dropReadable(streamId: number): void {
    while (this.#transport.readStream(streamId) !== undefined);
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

  /** Ends a session that drains when nothing is open any more: call after each turn. */
  finishDrainIfIdle(now: Milliseconds): void {
    if (this.#state !== "draining" || this.#open.size > 0) return;
    this.#endInOrder(new SqpError("shutting_down"), now);
  }

  // Time

  /** When {@linkcode ClientSession.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    // Who is about to end asks for no sign of life.
    if (this.#state === "closing" || this.#state === "closed") return this.#deadlines.next();
    return Math.min(this.#deadlines.next(), this.#liveness.deadline());
  }

  /** Runs what is due. */
  handleTimeout(now: Milliseconds): void {
    if (this.#state === "closed") return;
    for (let due; (due = this.#deadlines.takeDue(now)) !== undefined;) {
      if (due === "linger") this.#close();
      else if (due === "refusal") this.#leave();
      else this.abort(new SqpError("handshake_timeout"));
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
  handleTransportEvent(event: TransportEvent, now: Milliseconds): void {
    if (this.#state === "closed" || this.#state === "closing") return;
    switch (event.kind) {
      case "message":
        return this.#guard(() => this.#onMessage(event.type, event.requestId, event.payload, now));
      case "stream-opened":
      case "stream-readable":
      case "stream-finished":
        return this.#onStream(event.kind, event.requestId, event.streamId);
      case "stream-ended":
        return this.#guard(() =>
          this.#fail(event.requestId, new SqpError(decodeError(event.error)))
        );
      case "stream-writable":
        return;
      case "fault": {
        const error = faultError(event.error);
        this.#transport.sendFarewell(faultTermination(error));
        return this.abort(error);
      }
      case "dead":
        return this.abort(new SqpError("heartbeat_lost", { message: event.reason }));
    }
  }

  /** A payload that cannot be read is a fault of the server, and fatal to the session. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      if (!(thrown instanceof DecodeError)) throw thrown;
      const error = faultError(thrown);
      this.#transport.sendMessage(MessageType.TERMINATION, 0, faultTermination(error));
      this.abort(error);
    }
  }

  #onStream(
    kind: "stream-opened" | "stream-readable" | "stream-finished",
    requestId: number,
    streamId: number,
  ): void {
    const request = this.#open.get(requestId);
    if (request !== undefined && request.streamId === 0) {
      request.streamId = streamId;
      request.response = undefined;
    }
    // An answer has one stream.
    if (request?.streamId !== streamId) return this.#transport.stopStream(streamId);
    if (kind === "stream-opened") return;
    if (kind === "stream-finished") request.isStreamOver = true;
    if (!request.isCancelled) return this.#events.push({ kind, requestId, streamId });
    if (kind === "stream-finished") this.#finish(requestId);
    else this.#dropReadable(streamId);
  }

  #onResponse(requestId: number, payload: Uint8Array): void {
    const request = this.#open.get(requestId);
    if (request === undefined) return;
    if (request.streamId === 0) request.response = payload;
    if (!request.isCancelled) this.#events.push({ kind: "response", requestId, payload });
    else if (!announcesStream(payload)) this.#finish(requestId);
  }

  #onMessage(type: MessageType, requestId: number, payload: Uint8Array, now: Milliseconds): void {
    switch (type) {
      case MessageType.HANDSHAKE_RESPONSE:
        return this.#onHandshakeResponse(payload);
      case MessageType.RESPONSE:
        return this.#onResponse(requestId, payload);
      case MessageType.ERROR: {
        const error = new SqpError(decodeError(payload));
        if (requestId !== 0) return this.#fail(requestId, error);
        this.#refusal = error;
        // The Termination may have come before.
        if (this.#deadlines.has("refusal")) this.#leave();
        return;
      }
      case MessageType.HEARTBEAT: {
        const reply = this.#liveness.replyTo(payload);
        if (reply !== undefined) this.#transport.sendHeartbeat(reply);
        return;
      }
      case MessageType.TERMINATION:
        return this.#onTermination(decodeTermination(payload), now);
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
    const { openRequestsMax, heartbeatMsMin } = this.#options.settings;
    // More than all the credit that the server gives at once cannot be sent.
    const credit = Math.max(limits.sessionCredit, LIMITS.sessionCreditInitialClient);
    this.#serverMessageBytes = Math.min(limits.messageBytes, credit);
    this.#openMax = Math.min(limits.openRequests, openRequestsMax);
    // Silence is broken before the server takes it for death, and not taken for death before the server breaks it.
    const own = this.#options.limits;
    this.#liveness.setTimes(
      Math.max(heartbeatMsMin, Math.min(own.heartbeatMs, limits.heartbeatMs, limits.idleMs / 3)),
      Math.max(own.idleMs, limits.heartbeatMs),
    );
    this.#transport.setSession(response.sessionId, {
      messageBytesMax: limits.messageBytes,
      sessionCreditBytes: limits.sessionCredit,
      streamCreditBytes: limits.streamCredit,
    });
    this.#events.push({ kind: "ready", response });
    if (this.#termination === undefined) this.#sendQueued();
    else this.#drain(this.#termination);
  }

  #onTermination(termination: Termination, now: Milliseconds): void {
    const { reason, drainMs } = termination;
    this.#termination = termination;
    if (drainMs > 0) {
      // One that overtook HandshakeResponse waits for it.
      if (this.#state === "open") this.#drain(termination);
      return;
    }
    // A refusal comes with an Error that says why, and that may have been overtaken.
    const isErrorDue = reason === "refused" && this.#refusal === undefined;
    if (isErrorDue) this.#deadlines.set("refusal", now + this.#options.settings.lingerMs);
    else this.#leave();
  }

  #drain(termination: Termination): void {
    this.#state = "draining";
    this.#failQueued(new SqpError("draining"));
    this.#events.push({ kind: "draining", termination });
  }

  /** The server has ended the session: it is told that this was heard. */
  #leave(): void {
    this.#sayClosed("");
    this.abort(new SqpError("session_closed"));
  }

  #fail(requestId: number, error: SqpError): void {
    const request = this.#open.get(requestId);
    if (request === undefined) return;
    if (!request.isCancelled) this.#events.push({ kind: "failed", requestId, error });
    this.#finish(requestId);
  }

  #failQueued(error: SqpError): void {
    for (let next; (next = this.#shiftQueued()) !== undefined;) {
      if (this.#dropped.delete(next.requestId)) continue;
      this.#events.push({ kind: "failed", requestId: next.requestId, error });
    }
  }

  // The end

  /** Ends the session in order: the server is told, and open requests fail with `closed`. */
  close(now: Milliseconds): void {
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#endInOrder(new SqpError("closed"), now);
  }

  #endInOrder(error: SqpError, now: Milliseconds): void {
    this.#failAll(error);
    this.#sayClosed("The client is done.");
    this.#state = "closing";
    this.#deadlines.clearAll();
    this.#deadlines.set("linger", now + this.#options.settings.lingerMs);
  }

  #sayClosed(message: string): void {
    const payload = encodeTermination({ reason: "closed", message, drainMs: 0 });
    this.#transport.sendMessage(MessageType.TERMINATION, 0, payload);
  }

  /** In a session that closes: whether all was said and heard, so that nothing need be waited for. */
  finishCloseIfDrained(): void {
    if (this.#state === "closing" && this.#transport.isDrained) this.#close();
  }

  /** Ends the session at once. What the server has said of its end goes before `error`. */
  abort(error: SqpError): void {
    if (this.#state === "closed") return;
    const said = this.#termination === undefined ? undefined : terminationError(this.#termination);
    if (this.#state !== "closing") this.#failAll(this.#refusal ?? said ?? error);
    this.#close();
  }

  #failAll(error: SqpError): void {
    this.#failQueued(error);
    for (const [requestId, { isCancelled }] of this.#open) {
      if (!isCancelled) this.#events.push({ kind: "failed", requestId, error });
    }
    this.#open.clear();
    this.#events.push({ kind: "ended", error });
  }

  #close(): void {
    this.#deadlines.clearAll();
    this.#state = "closed";
  }
}
