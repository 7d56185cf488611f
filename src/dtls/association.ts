// One DTLS association: records, handshake and alerts joined into a core without socket, timer or clock.

import type { Core, Milliseconds } from "../base/core.ts";
import { NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import { readAlert } from "./alerts.ts";
import type { AssociationState, DtlsEvent } from "./association_event.ts";
import { AssociationFacts } from "./association_facts.ts";
import { type AssociationStart, clientStart, serverStart } from "./association_start.ts";
import { ClosingAlert } from "./closing_alert.ts";
import {
  AlertDescription,
  AlertLevel,
  ContentType,
  HandshakeType,
  ProtocolVersion,
} from "./code_points.ts";
import { alertFor, asAssociationError, DtlsAlertError, DtlsError, DtlsFault } from "./errors.ts";
import { AmplificationLimit } from "./amplification_limit.ts";
import { EarlyDataChannel } from "./early_data_channel.ts";
import type { Handshake, HandshakeIo, HandshakeResult } from "./handshake.ts";
import { handshakeIo, Secrets } from "./handshake_io.ts";
import { HandshakeReliability } from "./handshake_reliability.ts";
import { DTLS_LIMITS, type DtlsLimits } from "./limits.ts";
import type { DtlsClientOptions, DtlsOptions, DtlsServerOptions, DtlsVersion } from "./options.ts";
import { mayCarryData } from "./key_update.ts";
import { type MessageHandler, postHandshake } from "./post_handshake.ts";
import { Rekeying } from "./rekeying.ts";
import { RECORD_CONTENT_BYTES_MAX } from "./record.ts";
import { type DtlsDropReason, type OpenedRecord, RecordLayer } from "./record_layer.ts";
import type { AcceptedHello } from "./server_hello.ts";

/**
 * A DTLS association (RFC 9147, RFC 6347), of a client or of a server. The caller feeds datagrams and time and drains
 * datagrams and events; nothing that arrives makes a method throw.
 */
export class DtlsAssociation extends AssociationFacts implements Core<DtlsEvent> {
  /** What was dropped, by reason. */
  readonly drops: Counters<DtlsDropReason> = new Counters();
  readonly #options: DtlsOptions;
  readonly #limits: DtlsLimits;
  readonly #isClient: boolean;
  readonly #records: RecordLayer;
  readonly #reliability: HandshakeReliability;
  readonly #events = new Queue<DtlsEvent>();
  readonly #secrets = new Secrets();
  readonly #io: HandshakeIo;
  readonly #earlyData = new EarlyDataChannel((event) => this.#pushEvent(event));
  /** Until the peer has shown that it receives. */
  #amplification: AmplificationLimit | undefined;
  #handshake: Handshake | undefined;
  #expected: readonly HandshakeType[] = [];
  /** The epoch that the next message is to come in. */
  #expectedEpoch = 0;
  #version: DtlsVersion | undefined;
  #result: HandshakeResult | undefined;
  /** Once connected, in DTLS 1.3. */
  #rekeying: Rekeying | undefined;
  #state: AssociationState = "handshaking";
  #handshakeDeadline: Milliseconds;
  #now: Milliseconds;
  /** What the path is said to carry. */
  #datagramBytesMax: number;
  /** In the state `closing`. */
  #closing: ClosingAlert | undefined;

  private constructor(options: DtlsOptions, start: AssociationStart, now: Milliseconds) {
    super();
    this.#options = options;
    this.#limits = options.limits === undefined
      ? DTLS_LIMITS
      : { ...DTLS_LIMITS, ...options.limits };
    this.#datagramBytesMax = this.#limits.datagramBytesMax;
    this.#isClient = start.isClient;
    this.#now = now;
    this.#handshakeDeadline = now + this.#limits.handshakeMsMax;
    this.#records = new RecordLayer(this.#limits, this.drops, start.nextPlaintextNumber);
    if (start.isClient) this.#records.plaintextVersion = ProtocolVersion.DTLS_1_0;
    this.#reliability = new HandshakeReliability(
      this.#limits,
      this.drops,
      start.nextSendSeq,
      start.received,
      options.retransmission,
    );
    if (start.unvalidatedBytes !== undefined) {
      this.#amplification = new AmplificationLimit(start.unvalidatedBytes);
    }
    this.#io = this.#makeIo();
    this.#guard(() => {
      this.#handshake = start.handshake(this.#io);
      this.#step(this.#handshake.next());
    });
  }

  /** A client's association; its ClientHello is there to be polled. */
  static client(options: DtlsClientOptions, now: Milliseconds): DtlsAssociation {
    return new DtlsAssociation(options, clientStart(options), now);
  }

  /**
   * A server's association for a ClientHello that an endpoint has accepted; without one it waits for a ClientHello
   * itself, and answers whoever sends it before the address has shown that it receives.
   */
  static server(
    options: DtlsServerOptions,
    accepted: AcceptedHello | undefined,
    now: Milliseconds,
  ): DtlsAssociation {
    return new DtlsAssociation(options, serverStart(options, accepted), now);
  }

  protected override get result(): HandshakeResult | undefined {
    return this.#result;
  }

  /** The phase of its life. */
  get state(): AssociationState {
    return this.#state;
  }

  /** The version spoken, once it was chosen. */
  get version(): DtlsVersion | undefined {
    return this.#version;
  }

  /** The connection ID that the peer's records carry; empty for none. */
  get receiveConnectionId(): Uint8Array {
    return this.#records.receiveConnectionId;
  }

  /** Whether any protected record of the peer was opened. */
  get hasOpenedRecord(): boolean {
    return this.#records.isAnyOpened;
  }

  /** Whether the peer is known to have all of this side's handshake. */
  get isHandshakeConfirmed(): boolean {
    return this.#state === "connected" && !this.#reliability.isFlightOpen;
  }

  /** Bytes of application data that fit a datagram of `datagramBytes` bytes. */
  applicationBytesMax(datagramBytes: number = this.#datagramBytesMax): number {
    return Math.min(datagramBytes - this.#records.overheadBytes, RECORD_CONTENT_BYTES_MAX);
  }

  /**
   * Whether application data has to wait: the sending key is worn out, and the peer has not yet acknowledged the change to
   * the next one, which began long before.
   */
  get isWaitingForKeys(): boolean {
    return this.#rekeying?.isUnderWay === true && !mayCarryData(this.#records.sealedUse);
  }

  /**
   * Seals application data into a datagram of its own, at once. Throws {@linkcode DtlsError} when the association
   * is not connected, the data does not fit a record, or the key is worn out (`key-exhausted`).
   */
  sealApplicationData(bytes: Uint8Array): Uint8Array {
    this.#checkConnected();
    if (!mayCarryData(this.#records.sealedUse)) {
      throw new DtlsError("key-exhausted", "the sending key has reached its limit");
    }
    const datagram = this.#records.sealAlone(ContentType.APPLICATION_DATA, bytes);
    this.#rekeying?.checkSealed();
    return datagram;
  }

  #checkConnected(): void {
    if (this.#state === "connected") return;
    throw new DtlsError("not-connected", `the association is ${this.#state}`);
  }

  /**
   * Changes the keys that this side sends with (RFC 9147 section 8); `requestPeer` asks the peer to change its own as
   * well. The new keys are in use once the peer has acknowledged that: the message is there to be polled. Returns false
   * where a change is under way. Throws {@linkcode DtlsError} when the association is not connected, speaks DTLS 1.2, or
   * has changed its keys as often as it may.
   */
  updateKeys({ requestPeer = false }: { readonly requestPeer?: boolean } = {}): boolean {
    this.#checkConnected();
    if (this.#rekeying === undefined) {
      throw new DtlsError("wrong-version", "DTLS 1.2 has no key updates");
    }
    return this.#rekeying.update(requestPeer);
  }

  /**
   * Keying material of this association alone (RFC 8446 section 7.5, RFC 5705), of `lengthBytes` bytes. Throws
   * {@linkcode DtlsError} when the association is not connected.
   */
  exportKeyingMaterial(
    label: string,
    context: Uint8Array | undefined,
    lengthBytes: number,
  ): Uint8Array {
    // In every later state the secret is zeros.
    this.#checkConnected();
    return this.#result!.exportKeyingMaterial(label, context, lengthBytes);
  }

  /** Changes the bytes of datagrams that this side sends, where something better is known of the path. */
  setDatagramBytesMax(bytes: number): void {
    this.#datagramBytesMax = bytes;
    this.#reliability.datagramBytesMax = bytes;
  }

  /** Changes the first retransmission timeout, and the timers that run as if it had always been so. */
  setInitialTimeout(timeoutMs: Milliseconds): void {
    this.#reliability.initialTimeoutMs = timeoutMs;
  }

  /** When time alone makes this side send: a retransmission or an ACK. */
  get nextSendAt(): Milliseconds {
    return this.#reliability.pollTimeout();
  }

  /** Bytes of early data that a client may still seal; 0 where there is none to be sent, or no longer. */
  get earlyDataBytesLeft(): number {
    return this.#earlyData.bytesLeft;
  }

  /** Whether a server takes early data. */
  get isTakingEarlyData(): boolean {
    return this.#records.isOpeningEarly;
  }

  /**
   * Seals early data of a client into a datagram of its own, to be sent after the ClientHello that was polled before.
   * Whoever records it can send it again; an event tells whether the server takes it. Throws {@linkcode DtlsError}
   * where there is no room for it.
   */
  sealEarlyData(bytes: Uint8Array): Uint8Array {
    return this.#earlyData.seal(bytes);
  }

  /**
   * Keying material of the early data (RFC 8446 section 7.5), which a recorded ClientHello brings forth again. Throws
   * {@linkcode DtlsError} where no early data is offered or taken.
   */
  exportEarlyKeyingMaterial(label: string, context: Uint8Array, lengthBytes: number): Uint8Array {
    const { exporter } = this.#earlyData;
    if (exporter !== undefined) return exporter(label, context, lengthBytes);
    throw new DtlsError("not-connected", "there is no early data");
  }

  /** Closes the association in order: close_notify is there to be polled. Harmless when it is closed. */
  close(now: Milliseconds): void {
    this.#now = now;
    if (this.#state === "closed" || this.#state === "closing") return;
    this.#end(AlertDescription.CLOSE_NOTIFY, AlertLevel.WARNING);
  }

  /** Ends the association for a reason of the caller's, which the peer is told by a fatal alert. */
  abort(description: AlertDescription, now: Milliseconds): void {
    this.#now = now;
    if (this.#state === "closed" || this.#state === "closing") return;
    this.#pushEvent({ kind: "failed", error: new DtlsError("aborted", "the caller gave up") });
    this.#end(description, AlertLevel.FATAL);
  }

  /** Ends the association at once, without a word: another one takes its place. Its last event is `replaced`. */
  abandon(): void {
    if (this.#state === "closed") return;
    if (this.#state !== "closing") {
      const error = new DtlsError("replaced", "the peer began a new association");
      this.#pushEvent({ kind: "failed", error });
    }
    this.#release();
  }

  handleDatagram(bytes: Uint8Array, now: Milliseconds): void {
    this.#now = now;
    if (this.#state === "closing" || this.#state === "closed") {
      this.drops.add("after-close");
      this.#closing?.onDatagram(bytes.length);
      return;
    }
    this.#amplification?.onReceived(bytes.length);
    this.#guard(() => {
      this.#records.openDatagram(bytes, now, (record) => this.#onRecord(record));
      if (this.#records.takeUnreadable()) this.#reliability.askAgain(now);
      this.#reliability.onDatagramEnd(now);
      this.#rekeying?.checkForged();
      this.#dropKeys(now);
    });
  }

  handleTimeout(now: Milliseconds): void {
    this.#now = now;
    if (this.#closing !== undefined && now >= this.#closing.until) return this.#release();
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#guard(() => {
      if (this.#state === "handshaking" && now >= this.#handshakeDeadline) {
        throw new DtlsError("handshake-timeout", "the handshake took too long");
      }
      this.#reliability.handleTimeout(now);
      this.#dropKeys(now);
    });
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    this.#now = now;
    if (!this.#reliability.hasPending) return this.#closing?.poll();
    if (this.#records.isAnyOpened) this.#amplification = undefined;
    const bytesMax = this.#amplification?.datagramBytesMax ?? Infinity;
    if (bytesMax === 0) return undefined;
    const datagram = this.#records.startDatagram(
      Math.min(this.#reliability.datagramBytesMax, bytesMax),
    );
    this.#guard(() => {
      this.#reliability.transmit(datagram, this.#records.sealingEpoch, now);
      this.#dropKeys(now);
    });
    const bytes = datagram.finish();
    if (bytes === undefined) return this.#closing?.poll();
    this.#amplification?.onSent(bytes.length);
    return bytes;
  }

  pollTimeout(): Milliseconds {
    if (this.#closing !== undefined) return this.#closing.until;
    const handshake = this.#state === "handshaking" ? this.#handshakeDeadline : NEVER;
    return Math.min(handshake, this.#reliability.pollTimeout(), this.#records.oldEpochsUntil);
  }

  pollEvent(): DtlsEvent | undefined {
    return this.#events.shift();
  }

  // Input

  #onRecord(record: OpenedRecord): void {
    if (this.#state === "closing" || this.#state === "closed") return this.drops.add("after-close");
    if (record.epoch === 0) return this.#onPlaintext(record);
    if (record.epoch === 1 && this.#version === "1.3") return this.#onEarlyData(record);
    switch (record.type) {
      case ContentType.HANDSHAKE:
        return this.#onHandshake(record);
      case ContentType.APPLICATION_DATA:
        return this.#onApplicationData(record);
      case ContentType.ACK:
        return this.#onAck(record);
      case ContentType.ALERT:
        return this.#onAlert(record.content);
      default:
        // RFC 8446 section 5: "If a TLS implementation receives an unexpected record type, it MUST terminate the
        // connection with an "unexpected_message" alert."
        throw new DtlsFault("unexpected-message", `a record of unknown type ${record.type}`);
    }
  }

  /**
   * Nobody vouches for a record of epoch 0: it can begin or continue a handshake, and fail one that has no keys
   * yet. Once the peer has shown its keys, or the handshake is complete, it can do nothing.
   */
  #onPlaintext(record: OpenedRecord): void {
    if (this.#state !== "handshaking") return this.drops.add("unexpected-plaintext");
    switch (record.type) {
      case ContentType.HANDSHAKE:
        return this.#onHandshake(record);
      case ContentType.ACK:
        // A server reads them until the client has keys, a client until it has keys itself.
        if (this.#isClient ? this.#records.openingEpoch > 0 : this.#records.isAnyOpened) {
          return this.drops.add("unexpected-plaintext");
        }
        return this.#onAck(record);
      case ContentType.ALERT:
        if (this.#records.isAnyOpened || record.content.length !== 2) {
          return this.drops.add("unauthenticated-alert");
        }
        return this.#onAlert(record.content);
      case ContentType.CHANGE_CIPHER_SPEC:
        // In DTLS 1.2 the epoch of the records that follow says the same, and they are authenticated.
        if (this.#version === "1.2") return;
        return this.drops.add("unexpected-plaintext");
      default:
        // Application data without protection, anything else: noise.
        return this.drops.add("unexpected-plaintext");
    }
  }

  #onAck({ content, epoch }: OpenedRecord): void {
    this.#reliability.onAck(content, epoch, this.#records.sealingEpoch, this.#now);
  }

  #onHandshake(record: OpenedRecord): void {
    this.#reliability.onRecord(record, this.#expectedEpoch, this.#now);
    for (;;) {
      const message = this.#reliability.takeMessage(this.#now);
      if (message === undefined) return;
      if (message.epoch !== this.#expectedEpoch) {
        throw new DtlsFault("unexpected-message", "a handshake message under the wrong keys");
      }
      const handshake = this.#handshake;
      if (handshake === undefined || !this.#expected.includes(message.type as HandshakeType)) {
        throw new DtlsFault("unexpected-message", `handshake message ${message.type} out of turn`);
      }
      this.#step(handshake.next(message));
    }
  }

  /** Takes what the handshake yields: the types it waits for, or its result. */
  #step(step: IteratorResult<readonly HandshakeType[], HandshakeResult>): void {
    if (step.done !== true) {
      this.#expected = step.value;
      return;
    }
    this.#result = step.value;
    this.#secrets.eraseOfHandshake();
    this.#io.transcript.end();
    this.#state = "connected";
    this.#handshakeDeadline = NEVER;
    this.#reliability.onHandshakeOver(!this.#isClient, this.#now);
    this.#pushEvent({ kind: "connected" });
    const { session } = step.value;
    if (session !== undefined) this.#pushEvent({ kind: "session", session });
    const rest = postHandshake(this.#postHandshakeHandlers(step.value));
    this.#handshake = rest;
    this.#step(rest.next());
  }

  /** What takes each message after the handshake. */
  #postHandshakeHandlers(result: HandshakeResult): ReadonlyMap<HandshakeType, MessageHandler> {
    const handlers = new Map<HandshakeType, MessageHandler>();
    const { suite, trafficSecrets } = result;
    if (trafficSecrets === undefined) return handlers;
    const rekeying = new Rekeying(
      this.#io,
      this.#records,
      this.#reliability,
      suite,
      trafficSecrets,
    );
    this.#rekeying = rekeying;
    handlers.set(HandshakeType.KEY_UPDATE, (body) => rekeying.onKeyUpdate(body));
    if (this.#isClient) {
      handlers.set(HandshakeType.NEW_SESSION_TICKET, (body) => this.#onTicket(body));
    }
    return handlers;
  }

  #onEarlyData({ type, content }: OpenedRecord): void {
    if (this.#events.length >= this.#limits.eventsMax) return this.drops.add("event-queue-full");
    this.#earlyData.take(type, content);
  }

  #onTicket(body: Uint8Array): void {
    const session = this.#result?.acceptTicket?.(body, this.#now);
    if (session === undefined) return;
    if (this.#events.length >= this.#limits.eventsMax) return this.drops.add("event-queue-full");
    this.#pushEvent({ kind: "session", session });
  }

  #onApplicationData(record: OpenedRecord): void {
    // RFC 9147 section 6.1: epochs 3 and above are for application data, in DTLS 1.2 epoch 1; pitfall "plaintext
    // (epoch 0) application data accepted".
    if (record.epoch < (this.#version === "1.2" ? 1 : 3)) {
      throw new DtlsFault("unexpected-message", "application data in a handshake epoch");
    }
    // RFC 9147 section 5.8.1: what comes before the peer's Finished is to be discarded or buffered.
    if (this.#state !== "connected") return this.drops.add("early-data");
    if (this.#events.length >= this.#limits.eventsMax) return this.drops.add("event-queue-full");
    this.#pushEvent({ kind: "application-data", bytes: record.content });
  }

  #onAlert(content: Uint8Array): void {
    const alert = readAlert(content, this.#version);
    if (alert.kind === "nothing") return;
    if (alert.kind === "close") {
      this.#pushEvent({ kind: "closed" });
      // RFC 8446 section 6.1: "Each party MUST send a "close_notify" alert before closing its write side". It is said
      // once: the peer has closed, and an answer to each answer would go back and forth.
      return this.#end(AlertDescription.CLOSE_NOTIFY, AlertLevel.WARNING, 0);
    }
    this.#pushEvent({ kind: "failed", error: new DtlsAlertError(alert.description) });
    this.#release();
  }

  // The end

  /** Runs a step; whatever it throws ends the association with the alert that belongs to it. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      if (this.#state === "closing" || this.#state === "closed") return;
      const error = asAssociationError(thrown);
      this.#pushEvent({ kind: "failed", error });
      this.#end(alertFor(error, this.#version), AlertLevel.FATAL);
    }
  }

  /** Sends a last alert, and answers with it for a while what the peer still sends. */
  #end(
    description: AlertDescription,
    level: AlertLevel,
    answersMax = this.#limits.closingAnswersMax,
  ): void {
    const content = new Uint8Array([level, description]);
    let datagram: Uint8Array | undefined;
    try {
      const writer = this.#records.startDatagram(this.#datagramBytesMax);
      writer.write(this.#records.sealingEpoch, ContentType.ALERT, content);
      datagram = writer.finish();
    } catch (error) {
      // The key that would seal the alert is worn out.
      if (!(error instanceof DtlsError)) throw error;
    }
    this.#state = "closing";
    this.#closing = new ClosingAlert(datagram, answersMax, this.#now + this.#limits.closingMs);
    this.#forgetSecrets();
  }

  #forgetSecrets(): void {
    this.#reliability.stop();
    this.#records.destroy();
    this.#earlyData.destroy();
    this.#handshake = undefined;
    this.#rekeying = undefined;
    this.#secrets.erase();
  }

  #release(): void {
    if (this.#state !== "closing") this.#forgetSecrets();
    this.#state = "closed";
    this.#closing = undefined;
  }

  #pushEvent(event: DtlsEvent): void {
    this.#events.push(event);
  }

  // Keys

  #dropKeys(now: Milliseconds): void {
    this.#records.dropSealersBefore((epoch) => this.#reliability.needsEpoch(epoch));
    this.#records.dropOldEpochs(now);
  }

  #makeIo(): HandshakeIo {
    return handshakeIo({
      options: this.#options,
      limits: this.#limits,
      records: this.#records,
      reliability: this.#reliability,
      secrets: this.#secrets,
      earlyData: this.#earlyData,
      now: () => this.#now,
      onVersion: (version) => this.#version = version,
      onExpectedEpoch: (epoch) => this.#expectedEpoch = epoch,
    });
  }
}
