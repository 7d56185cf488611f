// One DTLS association: records, handshake and alerts joined into a core without socket, timer or clock.

import type { Core, Milliseconds } from "../base/core.ts";
import { NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import type { AssociationState, DtlsEvent } from "./association_events.ts";
import { clientHandshake } from "./client_handshake.ts";
import { ClosingAlert } from "./closing_alert.ts";
import { AlertDescription, AlertLevel, ContentType, HandshakeType } from "./code_points.ts";
import { alertFor, asAssociationError, DtlsAlertError, DtlsError, DtlsFault } from "./errors.ts";
import type { Handshake, HandshakeIo, HandshakeResult } from "./handshake.ts";
import { handshakeIo, Secrets } from "./handshake_io.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { HandshakeReliability } from "./handshake_reliability.ts";
import { DTLS_LIMITS, type DtlsLimits } from "./limits.ts";
import type { DtlsClientOptions, DtlsOptions, DtlsServerOptions, DtlsVersion } from "./options.ts";
import { mayCarryData } from "./key_update.ts";
import { PostHandshake } from "./post_handshake.ts";
import { RECORD_CONTENT_BYTES_MAX } from "./record.ts";
import { type DtlsDropReason, type OpenedRecord, RecordLayer } from "./record_layer.ts";
import { serverHandshake } from "./server_handshake.ts";
import type { AcceptedHello } from "./server_hello.ts";

/** What an association is made of, besides its options. */
interface Start {
  readonly handshake: (io: HandshakeIo) => Handshake;
  readonly isClient: boolean;
  /** What a server has received; a client nothing. */
  readonly received?: HandshakeMessage;
  readonly nextSendSeq: number;
  readonly nextPlaintextNumber: number;
}

/**
 * A DTLS association (RFC 9147, RFC 6347), of a client or of a server. The caller feeds datagrams and time and drains
 * datagrams and events; nothing that arrives makes a method throw.
 */
export class DtlsAssociation implements Core<DtlsEvent> {
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
  #handshake: Handshake | undefined;
  #expected: readonly HandshakeType[] = [];
  /** The epoch that the next message is to come in. */
  #expectedEpoch = 0;
  #version: DtlsVersion | undefined;
  #result: HandshakeResult | undefined;
  /** Once connected. */
  #post: PostHandshake | undefined;
  #state: AssociationState = "handshaking";
  #handshakeDeadline: Milliseconds;
  #now: Milliseconds;
  /** In the state `closing`. */
  #closing: ClosingAlert | undefined;

  private constructor(options: DtlsOptions, start: Start, now: Milliseconds) {
    this.#options = options;
    this.#limits = { ...DTLS_LIMITS, ...options.limits };
    this.#isClient = start.isClient;
    this.#now = now;
    this.#handshakeDeadline = now + this.#limits.handshakeMsMax;
    this.#records = new RecordLayer(this.#limits, this.drops, start.nextPlaintextNumber);
    this.#reliability = new HandshakeReliability(
      this.#limits,
      this.drops,
      start.nextSendSeq,
      start.received,
    );
    this.#io = this.#makeIo();
    this.#guard(() => {
      this.#handshake = start.handshake(this.#io);
      this.#step(this.#handshake.next());
    });
  }

  /** A client's association; its ClientHello is there to be polled. */
  static client(options: DtlsClientOptions, now: Milliseconds): DtlsAssociation {
    const handshake = (io: HandshakeIo) => clientHandshake(io, options);
    return new DtlsAssociation(options, {
      handshake,
      isClient: true,
      nextSendSeq: 0,
      nextPlaintextNumber: 0,
    }, now);
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
    const handshake = (io: HandshakeIo) => serverHandshake(io, options, accepted);
    if (accepted === undefined) {
      return new DtlsAssociation(options, {
        handshake,
        isClient: false,
        nextSendSeq: 0,
        nextPlaintextNumber: 0,
      }, now);
    }
    const { messageSeq, body } = accepted;
    return new DtlsAssociation(options, {
      handshake,
      isClient: false,
      received: { type: HandshakeType.CLIENT_HELLO, messageSeq, body },
      // What was sent without state had the numbers before the client's.
      nextSendSeq: messageSeq,
      nextPlaintextNumber: accepted.recordNumber,
    }, now);
  }

  /** The phase of its life. */
  get state(): AssociationState {
    return this.#state;
  }

  /** The version spoken, once it was chosen. */
  get version(): DtlsVersion | undefined {
    return this.#version;
  }

  /** The protocol that ALPN chose, once connected. */
  get alpn(): string | undefined {
    return this.#result?.alpn;
  }

  /** The server name that the client asked for, once connected. */
  get serverName(): string | undefined {
    return this.#result?.serverName;
  }

  /** The cipher suite's number, once connected. */
  get cipherSuite(): number | undefined {
    return this.#result?.suite.suite;
  }

  /** The key exchange group's number, once connected. */
  get group(): number | undefined {
    return this.#result?.group;
  }

  /** The peer's verified chain in DER, leaf first; empty where it presented none, or before it is connected. */
  get peerChain(): readonly Uint8Array[] {
    return this.#result?.peerChain ?? [];
  }

  /** Whether a session was resumed, once connected. */
  get isResumed(): boolean {
    return this.#result?.isResumed ?? false;
  }

  /** The identity of the external PSK that vouched for the peer, in this handshake or before a resumption. */
  get pskIdentity(): Uint8Array | undefined {
    return this.#result?.pskIdentity;
  }

  /** The connection IDs that the peer's records may carry, in the order in which it got them; empty ones for none. */
  get receiveConnectionIds(): readonly Uint8Array[] {
    return this.#records.receiveIds.all;
  }

  /** The first of these. */
  get receiveConnectionId(): Uint8Array {
    return this.#records.receiveIds.first;
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
  applicationBytesMax(datagramBytes: number = this.#limits.datagramBytesMax): number {
    return Math.min(datagramBytes - this.#records.overheadBytes, RECORD_CONTENT_BYTES_MAX);
  }

  /**
   * Whether application data has to wait: the sending key is worn out, and the peer has not yet acknowledged the change to
   * the next one, which began long before.
   */
  get isWaitingForKeys(): boolean {
    return this.#post?.isUpdatingKeys === true && !mayCarryData(this.#records.sealedUse);
  }

  /**
   * Seals application data into a datagram of its own, at once. Throws {@linkcode DtlsError} when the association
   * is not connected, the data does not fit a record, or the key is worn out (`key-exhausted`).
   */
  sealApplicationData(bytes: Uint8Array): Uint8Array {
    const post = this.#connected;
    if (!mayCarryData(this.#records.sealedUse)) {
      throw new DtlsError("key-exhausted", "the sending key has reached its limit");
    }
    const datagram = this.#records.sealAlone(ContentType.APPLICATION_DATA, bytes);
    post.checkSealed();
    return datagram;
  }

  /**
   * Asks the peer for spare connection IDs, so that it has up to `count` (RFC 9147 section 9). Returns false where it has,
   * or was asked before. Throws {@linkcode DtlsError} when the association is not connected, or without connection IDs.
   */
  requestConnectionIds(count: number): boolean {
    return this.#connected.requestConnectionIds(count);
  }

  /**
   * Gives the peer up to `count` more connection IDs for records to this side, and returns how many it were. `isImmediate`
   * has it use one of them from now on. Throws as {@linkcode DtlsAssociation.requestConnectionIds} does.
   */
  provideConnectionIds(
    count: number,
    { isImmediate = false }: { readonly isImmediate?: boolean } = {},
  ): number {
    return this.#connected.provideConnectionIds(count, isImmediate);
  }

  get #connected(): PostHandshake {
    // In every later state the secrets are zeros.
    if (this.#state === "connected" && this.#post !== undefined) return this.#post;
    throw new DtlsError("not-connected", `the association is ${this.#state}`);
  }

  /**
   * Changes the keys that this side sends with (RFC 9147 section 8); `requestPeer` asks the peer to change its own as
   * well. The new keys are in use once the peer has acknowledged that: the message is there to be polled. Returns false
   * where a change is under way. Throws {@linkcode DtlsError} when the association is not connected, speaks DTLS 1.2, or
   * has changed its keys as often as it may.
   */
  updateKeys({ requestPeer = false }: { readonly requestPeer?: boolean } = {}): boolean {
    return this.#connected.updateKeys(requestPeer);
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
    return this.#connected.result.exportKeyingMaterial(label, context, lengthBytes);
  }

  /** Closes the association in order: close_notify is there to be polled. Harmless when it is closed. */
  close(now: Milliseconds): void {
    this.#now = now;
    if (this.#state === "closed" || this.#state === "closing") return;
    this.#end(AlertDescription.CLOSE_NOTIFY, AlertLevel.WARNING);
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
    this.#guard(() => {
      this.#records.openDatagram(bytes, now, (record) => this.#onRecord(record));
      if (this.#records.takeUnreadable()) this.#reliability.askAgain(now);
      this.#reliability.onDatagramEnd(now);
      this.#post?.checkForged();
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
    const datagram = this.#records.startDatagram(this.#reliability.datagramBytesMax);
    this.#guard(() => {
      this.#reliability.transmit(datagram, this.#records.sealingEpoch, now);
      this.#dropKeys(now);
    });
    return datagram.isEmpty ? this.#closing?.poll() : datagram.finish();
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
      default:
        // Application data without protection, ChangeCipherSpec, anything else: noise.
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
    this.#state = "connected";
    this.#handshakeDeadline = NEVER;
    this.#reliability.onHandshakeOver(!this.#isClient, this.#now);
    this.#pushEvent({ kind: "connected" });
    this.#post = new PostHandshake(
      {
        io: this.#io,
        limits: this.#limits,
        spareConnectionIds: this.#options.spareConnectionIds ?? 0,
        records: this.#records,
        reliability: this.#reliability,
      },
      step.value,
      this.#isClient ? (body) => this.#onTicket(body) : undefined,
    );
    this.#handshake = this.#post.messages();
    this.#step(this.#handshake.next());
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
    // RFC 8446 section 5.4, see there for handshake records.
    if (content.length === 0) throw new DtlsFault("unexpected-message", "an alert without content");
    if (content.length !== 2) throw new DtlsFault("decode-error", "an alert has two bytes");
    const [level, description] = [content[0]!, content[1]!];
    if (description === AlertDescription.CLOSE_NOTIFY) {
      this.#pushEvent({ kind: "closed" });
      // RFC 8446 section 6.1: "Each party MUST send a "close_notify" alert before closing its write side". It is said
      // once: the peer has closed, and an answer to each answer would go back and forth.
      return this.#end(AlertDescription.CLOSE_NOTIFY, AlertLevel.WARNING, 0);
    }
    if (description === AlertDescription.USER_CANCELED) return;
    // RFC 5246 section 7.2.2, of DTLS 1.2: "If an alert with a level of warning is sent and received, generally the
    // connection can continue normally." A server may send one before it has said which version it speaks.
    if (this.#version !== "1.3" && level === AlertLevel.WARNING) return;
    // RFC 8446 section 6.2: whatever its level says, every other alert is an error alert and fatal.
    this.#pushEvent({ kind: "failed", error: new DtlsAlertError(description) });
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
      const writer = this.#records.startDatagram(this.#limits.datagramBytesMax);
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
    this.#handshake = undefined;
    this.#post = undefined;
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
      now: () => this.#now,
      onVersion: (version) => this.#version = version,
      onExpectedEpoch: (epoch) => this.#expectedEpoch = epoch,
    });
  }
}
