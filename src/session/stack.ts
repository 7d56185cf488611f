// The one place that joins security layer, transport and session into a core: datagrams below, requests above.

import { hostOfAddress } from "../base/address.ts";
import { type Core, type Milliseconds, NEVER } from "../base/core.ts";
import { DtlsAssociation } from "../dtls/association.ts";
import type { DtlsEvent, MovedEvent } from "../dtls/association_event.ts";
import type { AssociationError } from "../dtls/errors.ts";
import type { DtlsClientOptions } from "../dtls/options.ts";
import type { DtlsSession } from "../dtls/session.ts";
import type { EventLog } from "../transport/event_log.ts";
import type { TransportLimits } from "../transport/limits.ts";
import { DEFAULT_TRANSPORT_LIMITS } from "../transport/limits.ts";
import { Transport } from "../transport/transport.ts";
import type { PathOptions, TransportOptions } from "../transport/transport_options.ts";
import { SqpError } from "../wire/errors.ts";
import { LIMITS } from "../wire/limits.ts";
import type { SessionLimits } from "../wire/handshake_payload.ts";
import { associationError, isLikelyNoise } from "./association_errors.ts";
import { ClientSession } from "./client_session.ts";
import type { ClientSessionEvent } from "./client_session_event.ts";
import { Gate } from "./gate.ts";
import { Connecting } from "./connecting.ts";
import { HandshakeRtt } from "./handshake_rtt.ts";
import { Outgoing, stackTimeout } from "./outgoing.ts";
import { ServerSession } from "./server_session.ts";
import type { ServerSessionEvent } from "./server_session_event.ts";
import type { ClientSessionOptions, ServerSessionOptions } from "./session_options.ts";

/** The packets that every path carries in a datagram, and those that it is probed for. */
function packetSizes(association: DtlsAssociation): PathOptions {
  return {
    maxPacketBytes: association.applicationBytesMax(),
    maxPacketBytesProbed: association.applicationBytesMax(LIMITS.datagramBytesMax),
  };
}

function openLog(open: (() => EventLog) | undefined): Pick<TransportOptions, "eventLog"> {
  return open === undefined ? {} : { eventLog: open() };
}

/** Settles on what the transport bears, from what the session announces. */
function transportLimits(limits: SessionLimits): TransportLimits {
  return {
    ...DEFAULT_TRANSPORT_LIMITS,
    messageBytesMax: limits.messageBytes,
    sessionCreditBytes: limits.sessionCredit,
    streamCreditBytes: limits.streamCredit,
  };
}

/** For another try: where a session spoils the handshake, the next one is a full one. */
function withoutSession({ session: _, ...others }: DtlsClientOptions): DtlsClientOptions {
  return others;
}

/**
 * A client: association, transport and session.
 *
 * What begins a DTLS handshake nobody vouches for: a damaged or forged datagram can spoil it, so that it ends with an
 * alert or with keys that fit nothing. As long as no record of the server was opened, another association is tried.
 */
export class ClientStack implements Core<ClientSessionEvent> {
  #association: DtlsAssociation;
  readonly #dtls: DtlsClientOptions;
  readonly #options: ClientSessionOptions;
  readonly #connecting: Connecting;
  readonly #rtt = new HandshakeRtt();
  #isConfirmed = false;
  #transport: Transport | undefined;
  #session: ClientSession | undefined;
  #resumable: DtlsSession | undefined;
  /** Why the association ended. */
  #failure: SqpError | undefined;
  #isFailureTold = false;
  readonly #out = new Outgoing();

  constructor(dtls: DtlsClientOptions, options: ClientSessionOptions, now: Milliseconds) {
    this.#dtls = dtls;
    this.#options = options;
    this.#connecting = new Connecting(options.settings, now);
    this.#association = DtlsAssociation.client(dtls, now);
    this.#drainAssociation(now);
  }

  /** The security layer's association, to look at; another one where the first was spoilt. */
  get association(): DtlsAssociation {
    return this.#association;
  }

  /** How many associations were tried. */
  get associationAttempts(): number {
    return this.#connecting.attempts;
  }

  /** The transport, once the association is there; to look at. */
  get transport(): Transport | undefined {
    return this.#transport;
  }

  /** The session, once the association is there: requests go through it. */
  get session(): ClientSession | undefined {
    return this.#session;
  }

  /** What a later client can resume this association with; the newest that the server gave. */
  get resumable(): DtlsSession | undefined {
    return this.#resumable;
  }

  /** Whether everything is over and nothing is left to send. */
  get isClosed(): boolean {
    if (this.#isConnecting) return false;
    if (this.#association.state === "closed") return true;
    return this.#association.state === "closing" && this.#session?.isClosed !== false;
  }

  handleDatagram(bytes: Uint8Array, now: Milliseconds): void {
    if (this.#isConnecting) this.#rtt.onReceived(now);
    this.#association.handleDatagram(bytes, now);
    this.#drainAssociation(now);
    if (this.#isConnecting && this.#isSpoilt && this.#connecting.giveUp(undefined, now)) {
      this.#association.abandon();
    }
    if (!this.#isConfirmed && this.#association.isHandshakeConfirmed) {
      // What was sent right behind the handshake may have come before its end, and was not understood.
      this.#isConfirmed = true;
      this.#transport?.restartProbes();
    }
    this.settle(now);
  }

  handleTimeout(now: Milliseconds): void {
    this.#association.handleTimeout(now);
    this.#drainAssociation(now);
    if (this.#isConnecting) this.#onConnectTimeout(now);
    this.#transport?.handleTimeout(now);
    this.#session?.handleTimeout(now);
    this.settle(now);
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    const datagram = this.#out.poll(this.#association, this.#transport, now);
    if (this.#isConnecting && datagram !== undefined) this.#rtt.onSent(now);
    this.#failIfGone();
    return datagram;
  }

  pollTimeout(): Milliseconds {
    const own = this.#isConnecting ? this.#connecting.deadline() : NEVER;
    return Math.min(own, stackTimeout(this.#association, this.#transport, this.#session));
  }

  pollEvent(): ClientSessionEvent | undefined {
    const event = this.#session?.pollEvent();
    if (event !== undefined || this.#session !== undefined) return event;
    // The association failed before there was a session.
    if (this.#failure === undefined || this.#isFailureTold) return undefined;
    this.#isFailureTold = true;
    return { kind: "ended", error: this.#failure };
  }

  /**
   * The client goes on from another address: its socket or its network is another one. The session goes on where the
   * server gave connection IDs; what was under way is sent again soon.
   */
  changePath(now: Milliseconds): void {
    if (this.#association.state !== "connected") return;
    this.#association.changePath(this.#association.path, now);
    this.#transport?.changePath(packetSizes(this.#association), now);
    this.settle(now);
  }

  /** Closes in order. */
  close(now: Milliseconds): void {
    if (this.#session === undefined) {
      this.#failure ??= new SqpError("closed");
      this.#association.close(now);
    } else this.#session.close(now);
    this.settle(now);
  }

  /** Carries events up, and the end of the session down. Call after using the session directly. */
  settle(now: Milliseconds): void {
    const { transport, session } = { transport: this.#transport, session: this.#session };
    if (transport === undefined || session === undefined) return;
    for (let event; (event = transport.pollEvent()) !== undefined;) {
      session.handleTransportEvent(event, now);
    }
    session.finishDrainIfIdle(now);
    session.finishCloseIfDrained();
    if (session.isClosed) this.#out.close(this.#association, transport, now);
  }

  /** Whether there is neither an association nor a failure yet. */
  get #isConnecting(): boolean {
    return this.#session === undefined && this.#failure === undefined;
  }

  /** Whether the keys of the handshake fit nothing that the server sends. */
  get #isSpoilt(): boolean {
    return !this.#association.hasOpenedRecord &&
      this.#association.drops.get("bad-tag") >= this.#options.settings.unopenedRecordsMax;
  }

  #onConnectTimeout(now: Milliseconds): void {
    switch (this.#connecting.onTimeout(now, this.#association.hasOpenedRecord)) {
      case "fail":
        this.#fail(new SqpError("handshake_timeout"), now);
        return this.#association.close(now);
      case "begin":
        this.#association.abandon();
        this.#association = DtlsAssociation.client(withoutSession(this.#dtls), now);
        return this.#drainAssociation(now);
      case "wait":
        return;
    }
  }

  /** The association may end without an event: its sending key was worn out. */
  #failIfGone(): void {
    const isOpen = this.#session !== undefined && !this.#session.isClosed;
    if (isOpen && this.#association.state !== "connected") {
      this.#session?.abort(new SqpError("connection_lost"));
    }
  }

  #drainAssociation(now: Milliseconds): void {
    for (let event; (event = this.#association.pollEvent()) !== undefined;) {
      this.#onDtlsEvent(event, now);
    }
  }

  #onDtlsEvent(event: DtlsEvent, now: Milliseconds): void {
    switch (event.kind) {
      case "connected": {
        const limits = transportLimits(this.#options.limits);
        const initialRttMs = this.#rtt.estimateMs;
        const eventLog = openLog(this.#options.eventLog);
        this.#transport = new Transport(
          { role: "client", limits, ...packetSizes(this.#association), initialRttMs, ...eventLog },
          now,
        );
        this.#session = new ClientSession(this.#options, this.#transport, now);
        return;
      }
      case "session":
        this.#resumable = event.session;
        return;
      case "application-data":
        this.#session?.onHeard(now);
        return this.#transport?.handleDatagram(event.bytes, now);
      case "closed":
        return this.#fail(new SqpError("connection_lost"), now);
      case "failed": {
        const error = associationError(event.error);
        const isDoubtful = this.#isConnecting && !this.#association.hasOpenedRecord;
        const refusal = isLikelyNoise(event.error) ? undefined : error.message;
        if (!isDoubtful || !this.#connecting.giveUp(refusal, now)) {
          return this.#fail(error, now);
        }
        // Its alert is not sent: nobody could tell it from a forged one, and it might hit the next association.
        return this.#association.abandon();
      }
    }
  }

  #fail(error: SqpError, now: Milliseconds): void {
    this.#failure ??= error;
    // What arrived before the end is heard first: it may say why.
    for (let event; (event = this.#transport?.pollEvent()) !== undefined;) {
      this.#session?.handleTransportEvent(event, now);
    }
    this.#session?.abort(error);
  }
}

/** A server's side of one client: transport, gate and session on an association that the endpoint made. */
export class ServerStack implements Core<ServerSessionEvent> {
  readonly #association: DtlsAssociation;
  readonly #options: ServerSessionOptions;
  #transport: Transport | undefined;
  #gate: Gate | undefined;
  #session: ServerSession | undefined;
  #handshakeError: AssociationError | undefined;
  #isConnected = false;
  readonly #rtt = new HandshakeRtt();
  readonly #out = new Outgoing();

  constructor(association: DtlsAssociation, options: ServerSessionOptions, now: Milliseconds) {
    this.#association = association;
    this.#options = options;
    this.onAssociation(now);
  }

  /** The security layer's association. */
  get association(): DtlsAssociation {
    return this.#association;
  }

  /** The transport, once the association is there; to look at. */
  get transport(): Transport | undefined {
    return this.#transport;
  }

  /** The gate, once the association is there; to look at. */
  get gate(): Gate | undefined {
    return this.#gate;
  }

  /** The session, once the association is there. */
  get session(): ServerSession | undefined {
    return this.#session;
  }

  /** Whether the association has completed its handshake. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Why the handshake of the security layer came to nothing, where it did: then there never was a session. */
  get handshakeError(): AssociationError | undefined {
    return this.#handshakeError;
  }

  /** Whether nothing is left: not even an alert that may have to be sent again. */
  get isClosed(): boolean {
    return this.#association.state === "closed";
  }

  handleDatagram(bytes: Uint8Array, now: Milliseconds): void {
    this.#association.handleDatagram(bytes, now);
    this.onAssociation(now);
  }

  /** The endpoint has handed a datagram to the association: carries on what came of it. */
  onAssociation(now: Milliseconds): void {
    if (!this.#isConnected) this.#rtt.onReceived(now);
    this.#drainAssociation(now);
    this.settle(now);
  }

  #drainAssociation(now: Milliseconds): void {
    for (let event; (event = this.#association.pollEvent()) !== undefined;) {
      this.#onDtlsEvent(event, now);
    }
    // The association may end without an event: its sending key was worn out.
    if (this.#isConnected && this.#association.state !== "connected") this.#abort(now);
  }

  handleTimeout(now: Milliseconds): void {
    this.#association.handleTimeout(now);
    this.#drainAssociation(now);
    this.#transport?.handleTimeout(now);
    this.#session?.handleTimeout(now);
    this.settle(now);
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    const datagram = this.#out.poll(this.#association, this.#transport, now);
    if (datagram === undefined) this.#drainAssociation(now);
    else if (!this.#isConnected) this.#rtt.onSent(now);
    return datagram;
  }

  pollTimeout(): Milliseconds {
    return stackTimeout(this.#association, this.#transport, this.#session);
  }

  pollEvent(): ServerSessionEvent | undefined {
    return this.#session?.pollEvent();
  }

  /** Ends everything at once. What is there to be sent is better not sent. */
  abandon(error: SqpError, now: Milliseconds): void {
    this.#session?.abort(error);
    this.settle(now);
    this.#association.abandon();
  }

  /** Carries events up, and the end of the session down. Call after using the session directly. */
  settle(now: Milliseconds): void {
    const { transport, session } = { transport: this.#transport, session: this.#session };
    if (transport === undefined || session === undefined) return;
    for (let event; (event = transport.pollEvent()) !== undefined;) {
      session.handleTransportEvent(event, now);
    }
    session.finishDrainIfIdle(now);
    if (session.isClosed) this.#out.close(this.#association, transport, now);
  }

  #onDtlsEvent(event: DtlsEvent, now: Milliseconds): void {
    switch (event.kind) {
      case "connected": {
        this.#isConnected = true;
        const limits = transportLimits(this.#options.limits);
        const initialRttMs = this.#rtt.estimateMs;
        const eventLog = openLog(this.#options.eventLog);
        const transport = new Transport(
          { role: "server", limits, ...packetSizes(this.#association), initialRttMs, ...eventLog },
          now,
        );
        this.#gate = new Gate(transport);
        this.#transport = transport;
        this.#session = new ServerSession(this.#options, transport, this.#gate, now);
        return;
      }
      case "application-data":
        this.#session?.onHeard(now);
        return this.#gate?.handlePacket(event.bytes, now);
      case "moved":
        return this.#onMoved(event, now);
      case "closed":
        return this.#abort(now);
      case "failed":
        if (this.#session === undefined) this.#handshakeError = event.error;
        return this.#abort(now);
    }
  }

  #onMoved({ from, path, roundTripMs }: MovedEvent, now: Milliseconds): void {
    // RFC 9000 section 9.4: "Because port-only changes are commonly the result of NAT rebinding or other middlebox
    // activity, the endpoint MAY instead retain its congestion control state and round-trip estimate". What was sent to
    // the old address since the client left it is lost.
    if (hostOfAddress(from) === hostOfAddress(path)) return this.#transport?.restartProbes();
    // RFC 9002 section 6.2.2: "A connection MAY use the delay between sending a PATH_CHALLENGE and receiving a
    // PATH_RESPONSE to set the initial RTT [...] for a new path".
    const sizes = packetSizes(this.#association);
    this.#transport?.changePath({ ...sizes, initialRttMs: roundTripMs }, now);
  }

  #abort(now: Milliseconds): void {
    if (this.#session?.isClosed !== false) return;
    // What arrived before the end is heard first: it may say why.
    for (let event; (event = this.#transport?.pollEvent()) !== undefined;) {
      this.#session.handleTransportEvent(event, now);
    }
    this.#session.abort(new SqpError("connection_lost"));
    this.settle(now);
  }
}
