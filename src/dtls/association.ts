// One DTLS association: records, handshake and alerts joined into a core without socket, timer or clock.

import type { AddressedDatagram, Core, Milliseconds } from "../base/core.ts";
import { NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import { readAlert } from "./alerts.ts";
import type { AssociationState, DtlsEvent } from "./association_event.ts";
import { AssociationCalls } from "./association_calls.ts";
import { AssociationPath } from "./association_path.ts";
import { type AssociationStart, clientStart, serverStart } from "./association_start.ts";
import { ClosingAlert, sealAlert } from "./closing_alert.ts";
import { AlertDescription, AlertLevel, ContentType } from "./code_points.ts";
import { alertFor, asAssociationError, DtlsAlertError, DtlsError, DtlsFault } from "./errors.ts";
import type { AmplificationLimit } from "./amplification_limit.ts";
import { EarlyDataChannel } from "./early_data_channel.ts";
import type { HandshakeIo, HandshakeResult } from "./handshake.ts";
import { AssociationIo, Secrets } from "./handshake_io.ts";
import { HandshakeReliability } from "./handshake_reliability.ts";
import { HandshakeTurns } from "./handshake_turns.ts";
import { DTLS_LIMITS, type DtlsLimits } from "./limits.ts";
import type { DtlsClientOptions, DtlsOptions, DtlsServerOptions, DtlsVersion } from "./options.ts";
import { mayCarryData } from "./key_update.ts";
import { PostHandshake } from "./post_handshake.ts";
import { type DtlsDropReason, type OpenedRecord, RecordLayer } from "./record_layer.ts";
import type { RoutabilityCount } from "./return_routability.ts";
import type { AcceptedHello } from "./server_hello.ts";

/**
 * A DTLS association (RFC 9147, RFC 6347), of a client or of a server. The caller feeds datagrams and time and drains
 * datagrams and events; nothing that arrives makes a method throw.
 */
export class DtlsAssociation extends AssociationCalls implements Core<DtlsEvent> {
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
  /** @internal */
  protected override readonly earlyData: EarlyDataChannel = new EarlyDataChannel(
    (event) => this.#events.push(event),
  );
  readonly #amplification: AmplificationLimit;
  #version: DtlsVersion | undefined;
  /** @internal */
  protected override result: HandshakeResult | undefined;
  /** Once connected. */
  #post: PostHandshake | undefined;
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
    this.#limits = options.limits ? { ...DTLS_LIMITS, ...options.limits } : DTLS_LIMITS;
    this.#datagramBytesMax = this.#limits.datagramBytesMax;
    this.#isClient = start.isClient;
    this.#now = now;
    this.#handshakeDeadline = now + this.#limits.handshakeMsMax;
    this.#records = new RecordLayer(this.#limits, this.drops, start.plaintext);
    this.#reliability = new HandshakeReliability(
      this.#limits,
      this.drops,
      start.nextSendSeq,
      start.received,
      options.retransmission,
    );
    const { pathPolicy = "enhanced", entropy } = options;
    this.#path = new AssociationPath(this.#records, start.path, pathPolicy, entropy);
    this.#amplification = start.amplification;
    this.#io = new AssociationIo({
      options,
      limits: this.#limits,
      records: this.#records,
      reliability: this.#reliability,
      secrets: this.#secrets,
      earlyData: this.earlyData,
      now: () => this.#now,
      onVersion: (version) => this.#version = version,
      onExpectedEpoch: (epoch) => this.#turns.expectedEpoch = epoch,
    });
    this.#turns = new HandshakeTurns(this.#reliability, (result) => this.#onResult(result));
    // Not by a function of this scope: they stay as long as the association, and with them all that one of them sees.
    this.#guard(this.#turns.begin.bind(this.#turns, start.handshake(this.#io)));
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
  applicationBytesMax(datagramBytes: number = this.#datagramBytesMax): number {
    return Math.min(datagramBytes - this.#records.overheadBytes, this.#records.contentBytesMax);
  }

  /**
   * Whether application data has to wait: the sending key is worn out, and the peer has not yet acknowledged the
   * change to the next one, which began long before.
   */
  get isWaitingForKeys(): boolean {
    return this.#post?.isUpdatingKeys === true && !mayCarryData(this.#records.sealedUse);
  }

  /**
   * Seals application data into a datagram of its own, at once. Throws {@linkcode DtlsError} when the association
   * is not connected, the data does not fit a record, or the key is worn out (`key-exhausted`).
   */
  sealApplicationData(bytes: Uint8Array): Uint8Array {
    const post = this.connected;
    if (!mayCarryData(this.#records.sealedUse)) {
      throw new DtlsError("key-exhausted", "the sending key has reached its limit");
    }
    const datagram = this.#records.sealAlone(ContentType.APPLICATION_DATA, bytes);
    post.checkSealed();
    return datagram;
  }

  /**
   * Goes on at another path of this side: another socket, say. It uses a fresh connection ID, where the peer gave a
   * spare one, and lets the peer know. Without connection IDs the peer cannot find the association there. Throws
   * {@linkcode DtlsError} when it is not connected.
   */
  changePath(path: string, now: Milliseconds): void {
    this.connected.useNextConnectionId();
    this.#path.change(path, this.#reliability.roundTripMs, now);
  }

  /** @internal */
  protected override get connected(): PostHandshake {
    // In every later state the secrets are zeros.
    if (this.#state === "connected" && this.#post !== undefined) return this.#post;
    throw new DtlsError("not-connected", `the association is ${this.#state}`);
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

  /** Whether a server takes early data. */
  get isTakingEarlyData(): boolean {
    return this.#records.isOpeningEarly;
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
    this.#events.push({ kind: "failed", error: new DtlsError("aborted", "the caller gave up") });
    this.#end(description, AlertLevel.FATAL);
  }

  /** Ends the association at once, without a word: another one takes its place. Its last event is `replaced`. */
  abandon(): void {
    if (this.#state === "closed") return;
    if (this.#state !== "closing") {
      const error = new DtlsError("replaced", "the peer began a new association");
      this.#events.push({ kind: "failed", error });
    }
    this.#release();
  }

  /** Takes the bytes for good: records are opened in place. `path` is where they came from, or came in, if known. */
  handleDatagram(bytes: Uint8Array, now: Milliseconds, path: string = this.path): void {
    this.#now = now;
    if (this.#state === "closing" || this.#state === "closed") {
      this.drops.add("after-close");
      this.#closing?.onDatagram(bytes.length);
      return;
    }
    this.#amplification.onReceived(bytes.length);
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
    const amplification = this.#amplification;
    if (this.#records.isAnyOpened) amplification.validate();
    if (!this.#reliability.hasPending) return amplification.admit(this.#closing?.poll());
    const bytesMax = amplification.datagramBytesMax;
    if (bytesMax === 0) return undefined;
    const datagram = this.#records.startDatagram(
      Math.min(this.#reliability.datagramBytesMax, bytesMax),
    );
    this.#guard(() => {
      this.#reliability.transmit(datagram, this.#records.sealingEpoch, now);
      this.#dropKeys(now);
    });
    return amplification.admit(datagram.finish() ?? this.#closing?.poll());
  }

  /**
   * The next datagram to send to a path other than {@linkcode DtlsAssociation.path}: it checks whether the peer is
   * there. To be drained as often as {@linkcode DtlsAssociation.pollTransmit}, by an owner that gives paths.
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
    if (record.epoch === 1 && this.#version === "1.3") return this.#onEarlyData(record);
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
    const { roundTripMs } = this.#path;
    this.#offerEvent({ kind: "moved", from: before, path, roundTripMs });
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
    const { isAnyOpened, openingEpoch } = this.#records;
    // ACKs are read by a server until the client has keys, by a client until it has keys itself.
    const hasKeys = this.#isClient ? openingEpoch > 0 : isAnyOpened;
    if (isHandshaking && type === ContentType.ACK && !hasKeys) return this.#onAck(record);
    if (isHandshaking && type === ContentType.ALERT) {
      if (!isAnyOpened && record.content.length === 2) return this.#onAlert(record.content);
      return this.drops.add("unauthenticated-alert");
    }
    // In DTLS 1.2 the epoch of the records that follow says the same, and they are authenticated.
    const isSilent = type === ContentType.CHANGE_CIPHER_SPEC && this.#version === "1.2";
    if (isHandshaking && isSilent) return;
    // Application data without protection, anything else: noise.
    return this.drops.add("unexpected-plaintext");
  }

  #onAck({ content, epoch }: OpenedRecord): void {
    this.#reliability.onAck(content, epoch, this.#records.sealingEpoch, this.#now);
  }

  #onResult(result: HandshakeResult): void {
    this.result = result;
    this.#secrets.eraseOfHandshake();
    this.#io.transcript.end();
    this.#state = "connected";
    this.#handshakeDeadline = NEVER;
    this.#reliability.onHandshakeOver(!this.#isClient, this.#now);
    this.#events.push({ kind: "connected" });
    const { session } = result;
    if (session !== undefined) this.#events.push({ kind: "session", session });
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

  #onEarlyData({ type, content }: OpenedRecord): void {
    if (this.#events.length < this.#limits.eventsMax) this.earlyData.take(type, content);
    else this.drops.add("event-queue-full");
  }

  #onTicket(body: Uint8Array): void {
    const session = this.#post?.result.acceptTicket?.(body, this.#now);
    if (session !== undefined) this.#offerEvent({ kind: "session", session });
  }

  #onApplicationData(record: OpenedRecord): void {
    // RFC 9147 section 6.1: epochs 3 and above are for application data, in DTLS 1.2 epoch 1; pitfall "plaintext
    // (epoch 0) application data accepted".
    if (record.epoch < (this.#version === "1.2" ? 1 : 3)) {
      throw new DtlsFault("unexpected-message", "application data in a handshake epoch");
    }
    // RFC 9147 section 5.8.1: what comes before the peer's Finished is to be discarded or buffered.
    if (this.#state !== "connected") return this.drops.add("early-data");
    this.#offerEvent({ kind: "application-data", bytes: record.content });
  }

  /** What the peer can bring about as often as it likes has no more room than this. */
  #offerEvent(event: DtlsEvent): void {
    if (this.#events.length >= this.#limits.eventsMax) this.drops.add("event-queue-full");
    else this.#events.push(event);
  }

  #onAlert(content: Uint8Array): void {
    const alert = readAlert(content, this.#version);
    if (alert.kind === "nothing") return;
    if (alert.kind === "close") {
      this.#events.push({ kind: "closed" });
      // RFC 8446 section 6.1: "Each party MUST send a "close_notify" alert before closing its write side". It is said
      // once: the peer has closed, and an answer to each answer would go back and forth.
      return this.#end(AlertDescription.CLOSE_NOTIFY, AlertLevel.WARNING, 0);
    }
    this.#events.push({ kind: "failed", error: new DtlsAlertError(alert.description) });
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
      this.#events.push({ kind: "failed", error });
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
    const alert = sealAlert(this.#records, this.#datagramBytesMax, level, description);
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
    this.earlyData.destroy();
    this.#secrets.erase();
  }

  #release(): void {
    if (this.#state !== "closing") this.#forgetSecrets();
    this.#state = "closed";
    this.#closing = undefined;
  }

  #dropKeys(now: Milliseconds): void {
    this.#records.dropSealersBefore((epoch) => this.#reliability.needsEpoch(epoch));
    this.#records.dropOldEpochs(now);
  }
}
