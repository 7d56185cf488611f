// The server's side of a session: who the client is, its requests, and how it ends. No transport packet, no engine.

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { type Milliseconds, NEVER } from "../base/core.ts";
import { Deadlines } from "../base/deadlines.ts";
import { Queue } from "../base/queue.ts";
import type { Transport } from "../transport/transport.ts";
import type { TransportEvent } from "../transport/events.ts";
import { TransportLimitError } from "../transport/fault.ts";
import { encodeError } from "../wire/error_payload.ts";
import { SqpError } from "../wire/errors.ts";
import { MessageType } from "../wire/frame.ts";
import {
  decodeHandshakeRequest,
  encodeHandshakeResponse,
  type HandshakeRequest,
  PROTOCOL_VERSION,
  SERIALIZATION,
  SESSION_SECRET_BYTES,
} from "../wire/handshake_payload.ts";
import { LIMITS } from "../wire/limits.ts";
import { URGENCY_DEFAULT } from "../wire/urgency.ts";
import {
  decodeTermination,
  encodeTermination,
  type Termination,
  type TerminationReason,
} from "../wire/termination_payload.ts";
import { faultError, faultTermination } from "./faults.ts";
import type { Gate } from "./gate.ts";
import { Liveness } from "./liveness.ts";
import { isPrincipalName, type Principal } from "./permissions.ts";
import type { ServerSessionEvent } from "./server_session_event.ts";
import type { ServerSessionOptions } from "./session_options.ts";

interface OpenRequest {
  /** Its stream, 0 while it has none. */
  streamId: number;
  urgency: number;
}

type State = "waiting" | "authenticating" | "open" | "closing" | "closed";

/**
 * The session of one client. The caller drains its events and the transport's packets after each call. Once it
 * {@linkcode ServerSession.isClosed}, the caller sends one more packet of the transport and closes that and the
 * association.
 */
export class ServerSession {
  readonly #options: ServerSessionOptions;
  readonly #transport: Transport;
  readonly #gate: Gate;
  readonly #events = new Queue<ServerSessionEvent>();
  readonly #deadlines = new Deadlines("gate", "linger", "drain", "expiry");
  readonly #liveness: Liveness;
  readonly #requests = new Map<number, OpenRequest>();
  #state: State = "waiting";
  #isDraining = false;
  #handshake: HandshakeRequest | undefined;
  #principal: Principal | undefined;
  #sessionId = 0n;

  constructor(options: ServerSessionOptions, transport: Transport, gate: Gate, now: Milliseconds) {
    const { entropy, limits } = options;
    this.#options = options;
    this.#transport = transport;
    this.#gate = gate;
    this.#liveness = new Liveness(entropy, limits.heartbeatMs, limits.idleMs, now);
    // DESIGN: "Without a principal after 5 s it ends too."
    this.#deadlines.set("gate", now + LIMITS.gateMsMax);
  }

  /** Whether the association may be closed: there is nothing more to say. */
  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Whether requests are taken, or will be. */
  get isEnding(): boolean {
    return this.#state === "closing" || this.#state === "closed";
  }

  /** Who the client is, once it is let in. */
  get principal(): Principal | undefined {
    return this.#principal;
  }

  /** The session's id, 0 before the client is let in. */
  get sessionId(): bigint {
    return this.#sessionId;
  }

  /** How many requests have no answer yet. */
  get openRequests(): number {
    return this.#requests.size;
  }

  /** The next event. */
  pollEvent(): ServerSessionEvent | undefined {
    return this.#events.shift();
  }

  // Time

  /** When {@linkcode ServerSession.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    // Who is about to end asks for no sign of life.
    if (this.isEnding) return this.#deadlines.next();
    return Math.min(this.#deadlines.next(), this.#liveness.deadline());
  }

  /** Runs what is due. */
  handleTimeout(now: Milliseconds): void {
    if (this.#state === "closed") return;
    for (let due; (due = this.#deadlines.takeDue(now)) !== undefined;) {
      if (due === "linger") this.#close();
      else if (due === "gate") this.refuse(new SqpError("handshake_deadline"), now);
      else if (due === "expiry") this.#end("refused", new SqpError("token_expired"), now);
      else this.#finishDrain(now);
    }
    if (this.isEnding) return;
    switch (this.#liveness.onTimeout(now)) {
      case "dead":
        return this.#end("idle", new SqpError("heartbeat_lost"), now);
      case "send-heartbeat":
        return this.#transport.sendHeartbeat(this.#liveness.request());
      case "nothing":
        return;
    }
  }

  /** A packet of the client passed the security layer. */
  onHeard(now: Milliseconds): void {
    this.#liveness.onHeard(now);
  }

  // What the transport says

  /** Takes an event of the transport. */
  handleTransportEvent(event: TransportEvent, now: Milliseconds): void {
    if (this.isEnding) return this.#onEventOfEnd(event);
    switch (event.kind) {
      case "message":
        return this.#guard(() => this.#onMessage(event.type, event.requestId, event.payload, now));
      case "stream-writable":
        if (!this.#requests.has(event.requestId)) return;
        this.#events.push({
          kind: "stream-writable",
          requestId: event.requestId,
          streamId: event.streamId,
        });
        return;
      case "stream-opened":
        // No request of this version has bytes from the client.
        return this.#transport.stopStream(event.streamId);
      case "stream-readable":
      case "stream-finished":
      case "stream-ended":
        return;
      case "fault":
        return this.#onFault(faultError(event.error));
      case "dead":
        return this.#end("idle", new SqpError("heartbeat_lost", { message: event.reason }), now);
    }
  }

  /** The end was told: of interest is only that the client has heard it, or can hear nothing any more. */
  #onEventOfEnd(event: TransportEvent): void {
    const isHeard = event.kind === "message" && event.type === MessageType.TERMINATION;
    if (isHeard || event.kind === "fault") this.#close();
  }

  /** A payload that cannot be read is a fault of the client, and fatal to the session. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#endAtOnce("fault", faultError(error));
    }
  }

  #onMessage(
    type: MessageType,
    requestId: number,
    payload: Uint8Array,
    now: Milliseconds,
  ): void {
    switch (type) {
      case MessageType.HANDSHAKE_REQUEST:
        return this.#onHandshakeRequest(payload, now);
      case MessageType.QUERY:
        return this.#onQuery(requestId, payload);
      case MessageType.CANCEL:
        if (!this.#requests.has(requestId)) return;
        this.#events.push({ kind: "cancel", requestId });
        return;
      case MessageType.HEARTBEAT: {
        const reply = this.#liveness.replyTo(payload);
        if (reply !== undefined) this.#transport.sendHeartbeat(reply);
        return;
      }
      case MessageType.TERMINATION:
        return this.#onTermination(decodeTermination(payload), now);
      default:
        // Move, and an Error of the client: there is only one path yet, and nothing was asked of the client.
        return;
    }
  }

  #onHandshakeRequest(payload: Uint8Array, now: Milliseconds): void {
    if (this.#state !== "waiting") return;
    const request = decodeHandshakeRequest(payload);
    this.#handshake = request;
    if (!request.versions.includes(PROTOCOL_VERSION)) {
      return this.refuse(new SqpError("no_common_version"), now);
    }
    if (!request.serialization.includes(SERIALIZATION)) {
      return this.refuse(new SqpError("no_common_serialization"), now);
    }
    this.#state = "authenticating";
    this.#events.push({ kind: "authenticate", credential: request.credential });
  }

  #onQuery(requestId: number, payload: Uint8Array): void {
    if (this.#isDraining) return this.#answerError(requestId, new SqpError("draining"));
    if (this.#requests.size >= this.#options.limits.openRequests) {
      return this.#answerError(requestId, new SqpError("too_many_requests"));
    }
    this.#requests.set(requestId, { streamId: 0, urgency: URGENCY_DEFAULT });
    this.#events.push({ kind: "request", requestId, payload });
  }

  /** The client is done, at once or when its requests are. */
  #onTermination({ reason, message, drainMs }: Termination, now: Milliseconds): void {
    if (drainMs > 0) {
      this.#isDraining = true;
      this.#deadlines.set("drain", Math.min(now + drainMs, this.#deadlines.get("drain")));
      return;
    }
    // PROTOCOL.md, "Termination": "the receiver answers with a Termination of the reason closed".
    this.#say("closed", "");
    const isInOrder = reason === "closed";
    this.#finishWith(
      isInOrder ? undefined : new SqpError("session_closed", { message: `${reason}: ${message}` }),
    );
  }

  // Letting in

  /**
   * Lets the client in; refuses it with `internal` where the name of its principal cannot be told. Harmless when the
   * session has ended meanwhile.
   */
  admit(principal: Principal, now: Milliseconds): void {
    const request = this.#handshake;
    if (this.#state !== "authenticating" || request === undefined) return;
    if (!isPrincipalName(principal.name)) {
      const message = "The principal has no name that can be told.";
      return this.refuse(new SqpError("internal", { message }), now);
    }
    this.#state = "open";
    this.#principal = principal;
    this.#deadlines.clear("gate");
    this.#deadlines.set("expiry", principal.expiresAt ?? NEVER);
    const { entropy, limits, agent } = this.#options;
    do this.#sessionId = new ByteReader(entropy(8)).u64(); while (this.#sessionId === 0n);
    const peer = request.limits;
    this.#transport.setSession(this.#sessionId, {
      messageBytesMax: peer.messageBytes,
      sessionCreditBytes: peer.sessionCredit,
      streamCreditBytes: peer.streamCredit,
    });
    const response = encodeHandshakeResponse({
      version: PROTOCOL_VERSION,
      serialization: SERIALIZATION,
      capabilities: [],
      sessionId: this.#sessionId,
      secret: entropy(SESSION_SECRET_BYTES),
      principal: principal.name,
      permissions: principal.permissions,
      limits,
      agent,
    });
    this.#transport.sendMessage(MessageType.HANDSHAKE_RESPONSE, 0, response);
    this.#gate.open(now);
  }

  /** Refuses the client: one Error, one Termination, and the end. Harmless when the session has ended meanwhile. */
  refuse(error: SqpError, now: Milliseconds): void {
    this.#end("refused", error, now);
  }

  // Answers. Each ends the request; those for a request that is gone are ignored.

  /** Whether a request still waits for its answer. */
  isOpen(requestId: number): boolean {
    return this.#requests.has(requestId);
  }

  /** Says how urgent the answer to a request is; to be called before it is answered. */
  setUrgency(requestId: number, urgency: number): void {
    const request = this.#requests.get(requestId);
    if (request !== undefined) request.urgency = urgency;
  }

  /** Answers with a Response, which ends the request. */
  respond(requestId: number, payload: Uint8Array): void {
    if (!this.#requests.has(requestId)) return;
    const refusal = this.#send(MessageType.RESPONSE, requestId, payload);
    if (refusal !== undefined) {
      return this.fail(requestId, new SqpError("message_too_large", { cause: refusal }));
    }
    this.#finish(requestId);
  }

  /** Ends a request with an error; on its stream, if it has one. */
  fail(requestId: number, error: SqpError): void {
    const request = this.#requests.get(requestId);
    if (request === undefined) return;
    if (request.streamId === 0) return this.#answerError(requestId, error);
    this.#transport.abortStream(request.streamId, encodeError(error.toPayload()));
    this.#finish(requestId);
  }

  /** Opens the stream of a request and sends the Response that `head` makes for its id. Returns 0 where it cannot. */
  openStream(requestId: number, head: (streamId: number) => Uint8Array): number {
    const request = this.#requests.get(requestId);
    if (request?.streamId !== 0) return 0;
    try {
      request.streamId = this.#transport.openStream(requestId, request.urgency);
    } catch (error) {
      if (!(error instanceof TransportLimitError)) throw error;
      this.fail(requestId, new SqpError("too_many_streams", { cause: error }));
      return 0;
    }
    const refusal = this.#send(MessageType.RESPONSE, requestId, head(request.streamId));
    if (refusal === undefined) return request.streamId;
    this.fail(requestId, new SqpError("message_too_large", { cause: refusal }));
    return 0;
  }

  /** The id of a request's stream, 0 where there is none. */
  #streamOf(requestId: number): number {
    return this.#requests.get(requestId)?.streamId ?? 0;
  }

  /**
   * Writes to the stream of a request, which fails with `internal` where more waits than a stream may hold: look at
   * {@linkcode ServerSession.streamBufferedBytes} before.
   */
  writeStream(requestId: number, bytes: Uint8Array): void {
    const streamId = this.#streamOf(requestId);
    if (streamId === 0) return;
    try {
      this.#transport.writeStream(streamId, bytes);
    } catch (error) {
      if (!(error instanceof TransportLimitError)) throw error;
      this.fail(requestId, new SqpError("internal", { message: error.message, cause: error }));
    }
  }

  /** Bytes of a request's stream that have not arrived. */
  streamBufferedBytes(requestId: number): number {
    const streamId = this.#streamOf(requestId);
    return streamId === 0 ? 0 : this.#transport.streamBufferedBytes(streamId);
  }

  /** Ends the stream of a request, and so the request. */
  finishStream(requestId: number): void {
    const streamId = this.#streamOf(requestId);
    if (streamId === 0) return;
    this.#transport.finishStream(streamId);
    this.#finish(requestId);
  }

  #answerError(requestId: number, error: SqpError): void {
    const refusal = this.#send(MessageType.ERROR, requestId, encodeError(error.toPayload()));
    if (refusal === undefined) return this.#finish(requestId);
    // Every client takes an Error: it is this side's buffer that is full.
    const message = "Answers are not acknowledged.";
    this.#endAtOnce("overloaded", new SqpError("overloaded", { message, cause: refusal }));
  }

  /** Sends an answer. Returns why it cannot be sent, if so. */
  #send(
    type: MessageType,
    requestId: number,
    payload: Uint8Array,
  ): TransportLimitError | undefined {
    if (this.#transport.waitingMessages >= this.#options.settings.unackedAnswersMax) {
      return new TransportLimitError("too many answers wait");
    }
    try {
      const urgency = this.#requests.get(requestId)?.urgency;
      this.#transport.sendMessage(type, requestId, payload, urgency);
      return undefined;
    } catch (error) {
      if (!(error instanceof TransportLimitError)) throw error;
      return error;
    }
  }

  #finish(requestId: number): void {
    this.#requests.delete(requestId);
    this.#transport.finishRequest(requestId);
  }

  // The end

  /** Takes no new requests; those that are open may take `drainMs`. `url`: where the client may go instead. */
  drain(drainMs: number, now: Milliseconds, url?: string): void {
    if (this.isEnding || this.#isDraining) return;
    if (this.#state !== "open") return this.refuse(new SqpError("draining"), now);
    this.#isDraining = true;
    this.#say("draining", "The server is about to stop.", drainMs, url);
    this.#deadlines.set("drain", now + drainMs);
  }

  /** Whether a drain has come to its end: call after each answer. */
  finishDrainIfIdle(now: Milliseconds): void {
    if (this.#isDraining && this.#requests.size === 0 && this.#transport.isDrained) {
      this.#finishDrain(now);
    }
  }

  #finishDrain(now: Milliseconds): void {
    if (this.isEnding) return;
    const error = new SqpError("shutting_down");
    for (const requestId of [...this.#requests.keys()]) this.fail(requestId, error);
    this.#end("shutdown", error, now);
  }

  /** The transport has stopped: one packet is left to say why. */
  #onFault(error: SqpError): void {
    this.#transport.sendFarewell(faultTermination(error), encodeError(error.toPayload()));
    this.#finishWith(error);
  }

  /** Ends the session with a client that is told why once, and not waited for. */
  #endAtOnce(reason: TerminationReason, error: SqpError): void {
    this.#sayWhy(reason, error);
    this.#finishWith(error);
  }

  /** Ends the session; what was said last has a while to arrive. */
  #end(reason: TerminationReason, error: SqpError, now: Milliseconds): void {
    if (this.isEnding) return;
    this.#sayWhy(reason, error);
    this.#finishWith(error);
    this.#state = "closing";
    this.#deadlines.set("linger", now + this.#options.settings.lingerMs);
  }

  #sayWhy(reason: TerminationReason, error: SqpError): void {
    this.#transport.sendMessage(MessageType.ERROR, 0, encodeError(error.toPayload()));
    this.#say(reason, error.message);
  }

  #say(reason: TerminationReason, message: string, drainMs = 0, url?: string): void {
    const payload = encodeTermination({
      reason,
      message,
      drainMs,
      ...(url !== undefined && { url }),
    });
    this.#transport.sendMessage(MessageType.TERMINATION, 0, payload);
  }

  /** The association is gone: nothing more can be said. */
  abort(error: SqpError): void {
    if (this.isEnding) this.#close();
    else this.#finishWith(error);
  }

  /** Lets go of everything. `error` tells the layer above why. */
  #finishWith(error: SqpError | undefined): void {
    this.#requests.clear();
    this.#gate.refuse();
    this.#events.push({ kind: "ended", error });
    this.#close();
  }

  #close(): void {
    this.#deadlines.clearAll();
    this.#state = "closed";
  }
}
