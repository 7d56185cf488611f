// One DTLS association: records, handshake and alerts joined into a core without socket, timer or clock.

import type { AddressedDatagram, Core, Milliseconds } from "../base/core.ts";
import { NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import type { AssociationState, DtlsEvent } from "./association_events.ts";
import { AssociationPath } from "./association_path.ts";
import { type AssociationStart, clientStart, serverStart } from "./association_start.ts";
import { ClosingAlert, sealAlert } from "./closing_alert.ts";
import { AlertDescription, AlertLevel, ContentType } from "./code_points.ts";
import { alertFor, asAssociationError, DtlsAlertError, DtlsError, DtlsFault } from "./errors.ts";
import type { HandshakeIo, HandshakeResult } from "./handshake.ts";
import { handshakeIo, Secrets } from "./handshake_io.ts";
import { HandshakeReliability } from "./handshake_reliability.ts";
import { HandshakeTurns } from "./handshake_turns.ts";
import { DTLS_LIMITS, type DtlsLimits } from "./limits.ts";
import type { DtlsClientOptions, DtlsOptions, DtlsServerOptions, DtlsVersion } from "./options.ts";
import { mayCarryData } from "./key_update.ts";
import { PostHandshake } from "./post_handshake.ts";
import { type DtlsDropReason, type OpenedRecord, RecordLayer } from "./record_layer.ts";
import type { RoutabilityCount } from "./return_routability.ts";
import type { AcceptedHello } from "./server_hello.ts";
import { SettledHandshake } from "./settled_handshake.ts";

/**
 * A DTLS association (RFC 9147, RFC 6347), of a client or of a server. The caller feeds datagrams and time and drains
 * datagrams and events; nothing that arrives makes a method throw.
 */
export class DtlsAssociation extends SettledHandshake implements Core<DtlsEvent> {
  /** What was dropped, by reason. */
  readonly drops: Counters<DtlsDropReason> = new Counters();
  readonly #options: DtlsOptions;
  readonly #limits: DtlsLimits;
  readonly #isClient: boolean;
  readonly #records: RecordLayer;
  readonly #reliability: HandshakeReliability;
  readonly #events = new Queue<DtlsEvent>();
  readonly #secrets = new Secrets();
  readonly #path: AssociationPath;
  readonly #io: HandshakeIo;
  readonly #turns: HandshakeTurns;
  #version: DtlsVersion | undefined;
  /** Once connected. */
  #post: PostHandshake | undefined;
  #state: AssociationState = "handshaking";
  #handshakeDeadline: Milliseconds;
  #now: Milliseconds;
  /** In the state `closing`. */
  #closing: ClosingAlert | undefined;

  private constructor(options: DtlsOptions, start: AssociationStart, now: Milliseconds) {
    super();
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
    const { pathPolicy = "enhanced", entropy } = options;
    this.#path = new AssociationPath(this.#records, start.path, pathPolicy, entropy);
    this.#io = this.#makeIo();
    this.#turns = new HandshakeTurns(this.#reliability, (result) => this.#onResult(result));
    this.#guard(() => this.#turns.begin(start.handshake(this.#io)));
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

  /** The phase of its life. */
  get state(): AssociationState {
    return this.#state;
  }

  /** The version spoken, once it was chosen. */
  get version(): DtlsVersion | undefined {
    return this.#version;
  }

  /** The connection IDs that the peer's records may carry, in the order in which it got them; empty ones for none. */
  get receiveConnectionIds(): readonly Uint8Array[] {
    return this.#records.receiveIds.all;
  }

  /** The first of these. */
  get receiveConnectionId(): Uint8Array {
    return this.#records.receiveIds.first;
  }

  /** Where the datagrams of {@linkcode DtlsAssociation.pollTransmit} are to go. */
  get path(): string {
    return this.#path.current;
  }

  /** What came of the checks of new addresses. */
  get pathCounts(): Counters<RoutabilityCount> {
    return this.#path.counts;
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
    return Math.min(datagramBytes - this.#records.overheadBytes, this.#records.contentBytesMax);
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

  /**
   * Goes on at another path of this side: another socket, say. It uses a fresh connection ID, where the peer gave a spare
   * one, and lets the peer know. Without connection IDs the peer cannot find the association there. Throws
   * {@linkcode DtlsError} when it is not connected.
   */
  changePath(path: string, now: Milliseconds): void {
    this.#connected.useNextConnectionId();
    this.#path.change(path, this.#reliability.roundTripMs, now);
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

  /** `path` is where it came from, or came in; without one, where everything does. */
  handleDatagram(bytes: Uint8Array, now: Milliseconds, path: string = this.path): void {
    this.#now = now;
    if (this.#state === "closing" || this.#state === "closed") {
      this.drops.add("after-close");
      this.#closing?.onDatagram(bytes.length);
      return;
    }
    this.#guard(() => {
      this.#records.openDatagram(bytes, now, (record) => this.#onRecord(record, path));
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
      this.#path.handleTimeout(now);

      this.#dropKeys(now);
    });
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    this.#now = now;
    const check = this.#guard(() => this.#path.pollTransmit(now));
    if (check !== undefined) return check;
    if (!this.#reliability.hasPending) return this.#closing?.poll();
    const datagram = this.#records.startDatagram(this.#reliability.datagramBytesMax);
    this.#guard(() => {
      this.#reliability.transmit(datagram, this.#records.sealingEpoch, now);
      this.#dropKeys(now);
    });
    return datagram.isEmpty ? this.#closing?.poll() : datagram.finish();
  }

  /**
   * The next datagram to send to a path other than {@linkcode DtlsAssociation.path}: it checks whether the peer is there.
   * To be drained as often as {@linkcode DtlsAssociation.pollTransmit}, by an owner that gives paths.
   */
  pollTransmitElsewhere(now: Milliseconds): AddressedDatagram | undefined {
    this.#now = now;
    return this.#guard(() => this.#path.pollElsewhere(now));
  }

  pollTimeout(): Milliseconds {
    if (this.#closing !== undefined) return this.#closing.until;
    const handshake = this.#state === "handshaking" ? this.#handshakeDeadline : NEVER;
    return Math.min(
      handshake,
      this.#reliability.pollTimeout(),
      this.#path.pollTimeout(),
      this.#records.oldEpochsUntil,
    );
  }

  pollEvent(): DtlsEvent | undefined {
    return this.#events.shift();
  }

  // Input

  #onRecord(record: OpenedRecord, path: string): void {
    if (this.#state === "closing" || this.#state === "closed") return this.drops.add("after-close");
    if (record.epoch === 0) return this.#onPlaintext(record);
    if (this.#state === "connected") this.#notePath(record, path);
    switch (record.type) {
      case ContentType.HANDSHAKE:
        return this.#turns.onRecord(record, this.#now);
      case ContentType.APPLICATION_DATA:
        return this.#onApplicationData(record);
      case ContentType.ACK:
        return this.#onAck(record);
      case ContentType.ALERT:
        return this.#onAlert(record.content);
      case ContentType.RETURN_ROUTABILITY_CHECK:
        if (this.#path.hasChecks) return;
        break;
      default:
        break;
    }
    // RFC 8446 section 5: "If a TLS implementation receives an unexpected record type, it MUST terminate the
    // connection with an "unexpected_message" alert."
    throw new DtlsFault("unexpected-message", `a record of unknown type ${record.type}`);
  }

  /** An authenticated record may come from a new address of the peer, or bring the answer that makes it count. */
  #notePath(record: OpenedRecord, path: string): void {
    const before = this.path;
    this.#path.onRecord(record, path, this.#reliability.roundTripMs, this.#now);
    if (record.type === ContentType.RETURN_ROUTABILITY_CHECK) {
      this.#path.onMessage(record.content, path, this.#now);
    }
    if (this.path === before) return;
    this.#post?.useNextConnectionId();
    this.#pushEvent({ kind: "moved", path });
  }

  /**
   * Nobody vouches for a record of epoch 0: it can begin or continue a handshake, and fail one that has no keys
   * yet. Once the peer has shown its keys, or the handshake is complete, it can do nothing.
   */
  #onPlaintext(record: OpenedRecord): void {
    const isHandshaking = this.#state === "handshaking";
    const { type } = record;
    if (isHandshaking && type === ContentType.HANDSHAKE) {
      return this.#turns.onRecord(record, this.#now);
    }
    // ACKs are read by a server until the client has keys, by a client until it has keys itself.
    const hasKeys = this.#isClient ? this.#records.openingEpoch > 0 : this.#records.isAnyOpened;
    if (isHandshaking && type === ContentType.ACK && !hasKeys) return this.#onAck(record);
    if (isHandshaking && type === ContentType.ALERT) {
      const isReadable = !this.#records.isAnyOpened && record.content.length === 2;
      return isReadable ? this.#onAlert(record.content) : this.drops.add("unauthenticated-alert");
    }
    // Application data without protection, ChangeCipherSpec, anything else: noise.
    return this.drops.add("unexpected-plaintext");
  }

  #onAck({ content, epoch }: OpenedRecord): void {
    this.#reliability.onAck(content, epoch, this.#records.sealingEpoch, this.#now);
  }

  #onResult(result: HandshakeResult): void {
    this.outcome = result;
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
      result,
      this.#isClient ? (body) => this.#onTicket(body) : undefined,
    );
    if (result.hasRoutabilityCheck) this.#path.beginChecks();
    this.#turns.begin(this.#post.messages());
  }

  #onTicket(body: Uint8Array): void {
    const session = this.#post?.result.acceptTicket?.(body, this.#now);
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
  #guard<Result>(step: () => Result): Result | undefined {
    try {
      return step();
    } catch (thrown) {
      if (this.#state === "closing" || this.#state === "closed") return undefined;
      const error = asAssociationError(thrown);
      this.#pushEvent({ kind: "failed", error });
      this.#end(alertFor(error, this.#version), AlertLevel.FATAL);
      return undefined;
    }
  }

  /** Sends a last alert, and answers with it for a while what the peer still sends. */
  #end(
    description: AlertDescription,
    level: AlertLevel,
    answersMax = this.#limits.closingAnswersMax,
  ): void {
    const alert = sealAlert(this.#records, this.#limits.datagramBytesMax, level, description);
    this.#state = "closing";
    this.#closing = new ClosingAlert(alert, answersMax, this.#now + this.#limits.closingMs);
    this.#forgetSecrets();
  }

  #forgetSecrets(): void {
    this.#reliability.stop();
    this.#records.destroy();
    this.#turns.stop();
    this.#path.stop();
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
      onExpectedEpoch: (epoch) => this.#turns.expectedEpoch = epoch,
    });
  }
}
