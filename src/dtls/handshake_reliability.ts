// How handshake messages get across a network that loses them: assembling, acknowledging, sending again (RFC 9147
// sections 5.8 and 7).

import type { Counters } from "../base/counters.ts";
import { type Milliseconds, NEVER } from "../base/core.ts";
import { Deadlines } from "../base/deadlines.ts";
import { ackedRecordsIn, AckList, encodeAck, readAck } from "./ack.ts";
import { ContentType } from "./code_points.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import { Flight } from "./flight.ts";
import { FlightTimeout } from "./flight_timeout.ts";
import {
  HandshakeAssembler,
  type HandshakeFragment,
  type HandshakeMessage,
  readHandshakeRecord,
  type ReceivedMessage,
} from "./handshake_fragment.ts";
import type { DtlsLimits } from "./limits.ts";
import type { DtlsVersion, RetransmissionPolicy } from "./options.ts";
import type { DatagramWriter, DtlsDropReason, OpenedRecord } from "./record_layer.ts";

/** RFC 9147 section 7.1: "set a timer for 1/4 the current retransmit timer value". */
const ACK_DELAY_FRACTION = 1 / 4;

/**
 * RFC 9147 section 4.4: "This specification does not specify an exact number of retransmits to attempt before backing
 * off, but 2-3 seems appropriate."
 */
const RETRANSMISSIONS_BEFORE_SMALL = 3;

/** The epoch of the handshake's protected messages (RFC 9147 section 6.1). */
const HANDSHAKE_EPOCH = 2;

/** A message_seq has two bytes. RFC 9147 section 5.2 has no way to begin again. */
const MESSAGE_SEQ_MAX = 2 ** 16 - 1;

/** RFC 6347 section 4.2.4: the last flight is kept for "at least twice the default MSL defined for [TCP]". */
const LAST_FLIGHT_LIFE_MS = 240_000;

/** A message after the handshake that waits to be sent. */
export interface QueuedMessage {
  readonly type: number;
  readonly body: Uint8Array;
  /** Whether nothing may follow it in the same flight. */
  readonly isLast?: boolean;
  /** Told when the peer has acknowledged it. */
  readonly onAcked?: () => void;
}

/** Moves handshake messages both ways, in order and once. */
export class HandshakeReliability {
  readonly #limits: DtlsLimits;
  readonly #isTimed: boolean;
  readonly #drops: Counters<DtlsDropReason>;
  readonly #assembler: HandshakeAssembler;
  readonly #acks: AckList;
  readonly #deadlines = new Deadlines("retransmit", "ack", "forget-last-flight");
  #flight: Flight | undefined;
  /** In DTLS 1.2 the flight that ended the handshake, sent again where the peer sends its own again. */
  #lastFlight: Flight | undefined;
  /** Messages after the handshake that wait for the flight before them to be acknowledged. */
  readonly #queue: QueuedMessage[] = [];
  /** Who is told when the open flight is acknowledged. */
  #onAcked: (() => void)[] = [];
  #nextSendSeq: number;
  readonly #timeout: FlightTimeout;
  #isAckDue = false;
  /** A record was added to the list of those to acknowledge since the last look. */
  #hasAckNews = false;
  /** The version, once both ends are known to speak it. */
  #version: DtlsVersion | undefined;
  #isEmptyAckAnswered = false;
  /** What the path is said to carry. */
  #datagramBytesMax: number;
  /** A whole message came since the flight was begun. */
  #isAnswered = false;
  /** Larger datagrams seem not to get through. */
  #isPathSmall = false;
  /** When the first datagram of the flight was sent. */
  #transmittedAt: Milliseconds | undefined;
  #roundTripMs: Milliseconds | undefined;
  /** After the main handshake every message is a flight of its own, acknowledged explicitly. */
  #isHandshakeOver = false;
  /** An answer to retransmissions is worth sending again only after this. */
  #quietUntil: Milliseconds = 0;

  /** `received` is the ClientHello that a server has accepted; see `DtlsOptions.retransmission`. */
  constructor(
    limits: DtlsLimits,
    drops: Counters<DtlsDropReason>,
    nextSendSeq: number,
    received: HandshakeMessage | undefined,
    retransmission: RetransmissionPolicy = "eager",
  ) {
    this.#limits = limits;
    this.#isTimed = retransmission === "timed";
    this.#datagramBytesMax = limits.datagramBytesMax;
    this.#drops = drops;
    this.#assembler = new HandshakeAssembler(limits, received);
    this.#acks = new AckList(limits.ackedRecordsMax);
    this.#nextSendSeq = nextSendSeq;
    this.#timeout = new FlightTimeout(limits);
  }

  /** Both ends are known to speak a version. */
  set version(version: DtlsVersion) {
    this.#version = version;
  }

  /**
   * RFC 9147 section 7: "DTLS 1.3 endpoints MUST NOT send ACK records until the sender knows that the peer is
   * negotiating DTLS 1.3."
   */
  get #isAcking(): boolean {
    return this.#version === "1.3";
  }

  /** The round trip of the last flight that showed one. */
  get roundTripMs(): Milliseconds | undefined {
    return this.#roundTripMs;
  }

  /** Whether a flight of this side is neither acknowledged nor answered. */
  get isFlightOpen(): boolean {
    return this.#flight !== undefined;
  }

  /**
   * Bytes of a datagram. RFC 9147 section 4.4: "If repeated retransmissions do not result in a response, and the PMTU
   * is unknown, subsequent retransmissions SHOULD back off to a smaller record size".
   */
  get datagramBytesMax(): number {
    const { smallDatagramBytesMax } = this.#limits;
    return Math.min(this.#datagramBytesMax, this.#isPathSmall ? smallDatagramBytesMax : Infinity);
  }

  set datagramBytesMax(bytes: number) {
    this.#datagramBytesMax = bytes;
  }

  /** Changes the first timeout of each flight, and with it the timers that run, as if it had always been so. */
  set initialTimeoutMs(initialTimeoutMs: number) {
    const later = this.#timeout.change(initialTimeoutMs, this.#flight?.retransmissions ?? 0);
    for (const [timer, fraction] of [["retransmit", 1], ["ack", ACK_DELAY_FRACTION]] as const) {
      this.#deadlines.set(timer, this.#deadlines.get(timer) + fraction * later);
    }
  }

  /** Whether the open flight has messages of an epoch, whose keys are needed as long. */
  needsEpoch(epoch: number): boolean {
    return this.#flight?.usesEpoch(epoch) ?? false;
  }

  /** Begins a flight, which answers the one before it and all that was received. */
  beginFlight(): void {
    this.#openFlight();
    this.#deadlines.clear("retransmit");
    this.#clearAcks();
  }

  /** Adds a message to the flight that was begun, and returns it with its number. */
  send(type: number, body: Uint8Array, epoch: number): HandshakeMessage {
    const message = { type, messageSeq: this.#nextSendSeq++, body };
    this.#begunFlight.add(message, epoch);
    return message;
  }

  /** Adds a ChangeCipherSpec to the flight that was begun. */
  sendChangeCipherSpec(epoch: number): void {
    this.#begunFlight.addChangeCipherSpec(epoch);
  }

  #openFlight(): void {
    this.#flight = new Flight(this.#limits);
    this.#transmittedAt = undefined;
    this.#isEmptyAckAnswered = false;
    this.#isAnswered = false;
    this.#timeout.restart();
  }

  get #begunFlight(): Flight {
    if (this.#flight === undefined) throw new DtlsError("internal", "a message outside a flight");
    return this.#flight;
  }

  /** Whether one more message can be sent: each has a number of its own. */
  get hasNumbers(): boolean {
    return this.#nextSendSeq + this.#queue.length <= MESSAGE_SEQ_MAX;
  }

  /** Throws {@linkcode DtlsError} where no more message can be sent. */
  checkNumbers(): void {
    if (this.hasNumbers) return;
    throw new DtlsError("too-many-messages", "the handshake message numbers are used up");
  }

  /**
   * Sends a message after the handshake, reliably, once the flight before it is acknowledged. Throws
   * {@linkcode DtlsError} where too many wait, or were sent.
   */
  enqueue(message: QueuedMessage): void {
    this.checkNumbers();
    if (this.#queue.length >= this.#limits.queuedMessagesMax) {
      throw new DtlsError("queue-full", "too many messages wait to be acknowledged");
    }
    this.#queue.push(message);
  }

  /** Begins a flight of the messages that wait, where no other one is open. */
  #beginQueued(epoch: number): void {
    if (!this.#hasQueuedTurn) return;
    this.#openFlight();
    for (let message; (message = this.#queue.shift()) !== undefined;) {
      this.send(message.type, message.body, epoch);
      if (message.onAcked !== undefined) this.#onAcked.push(message.onAcked);
      if (message.isLast === true) break;
    }
  }

  get #hasQueuedTurn(): boolean {
    return this.#isHandshakeOver && this.#flight === undefined && this.#queue.length > 0;
  }

  /**
   * Takes the content of a handshake record; `expectedEpoch` is the one that the next message is to come in. Throws
   * {@linkcode DtlsFault} for an authenticated record that is malformed.
   */
  onRecord(record: OpenedRecord, expectedEpoch: number, now: Milliseconds): void {
    let isKept = false;
    let isAnyDiscarded = false;
    const fragments = readHandshakeRecord(record.content, record.epoch);
    if (fragments === undefined) return this.#drops.add("malformed-fragment");
    for (const fragment of fragments) {
      // Once there are keys, no message begins without them: of epoch 0 only what was complete before comes again.
      // Anybody could otherwise leave pieces that the peer's own would contradict.
      const isBegun = fragment.messageSeq < this.#assembler.nextReceiveSeq;
      if (record.epoch === 0 && expectedEpoch > 0 && !isBegun) {
        this.#drops.add("unexpected-plaintext");
        isAnyDiscarded = true;
        continue;
      }
      // RFC 9147 section 8: "After sending KeyUpdate in an epoch, implementations MUST NOT send any new post-handshake
      // messages in that epoch. If a peer violates this rule, the receiving peer MUST treat it as a protocol violation,
      // send an "unexpected_message" alert".
      if (this.#isHandshakeOver && record.epoch > 0 && record.epoch < expectedEpoch && !isBegun) {
        throw new DtlsFault("unexpected-message", "a new handshake message under old keys");
      }
      const outcome = this.#assembler.add(fragment, record.epoch);
      if (outcome === "discarded") {
        this.#drops.add("discarded-message");
        isAnyDiscarded = true;
      } else if (outcome === "duplicate") {
        isKept = this.#onDuplicate(fragment, record.epoch, now) || isKept;
      } else {
        isKept = true;
        if (outcome === "out-of-order") this.#askForAck(now);
        // RFC 9147 section 7.2: "the receipt of any record responding to a given flight MUST be taken as an implicit
        // acknowledgement for the entire flight". In epoch 0 anybody may have sent it; there a whole message counts.
        const isAnswer = record.epoch > 0 || this.#isTimed && this.#isAcking;
        if (isAnswer && !this.#isHandshakeOver) this.#onAnswer(now);
      }
    }
    // RFC 9147 section 7: "Implementations MUST NOT acknowledge records containing handshake messages or fragments
    // which have not been processed or buffered."
    if (!isKept || isAnyDiscarded) return;
    this.#acks.add(record.epoch, record.recordNumber);
    this.#hasAckNews = this.#isAcking || !this.#isTimed;
  }

  /** A message that was complete before. Returns whether its record is to be acknowledged again. */
  #onDuplicate(fragment: HandshakeFragment, epoch: number, now: Milliseconds): boolean {
    this.#drops.add("duplicate-message");
    // RFC 9147 section 7: for post-handshake messages, and section 5.8.1 for the client's last flight, what arrives
    // again is acknowledged again. As long as this side's own last flight is open it is what the peer lacks.
    const isOver = this.#isHandshakeOver && !this.needsEpoch(HANDSHAKE_EPOCH);
    if (this.#isAcking && (this.#isTimed || isOver)) {
      this.#askForAck(now);
      return true;
    }
    // RFC 9147 section 5.8.1: "The implementation reads a retransmitted flight from the peer when none of the
    // messages that it sent in response to that flight have been acknowledged: [...] it retransmits the flight".
    // The last piece of the peer's flight stands for all of it, so that one flight draws one answer.
    const flight = this.#isTimed ? this.#lastFlight : this.#flight ?? this.#lastFlight;
    if (flight === undefined || flight.isPartlyAcked || now < this.#quietUntil) return false;
    if (this.#assembler.isEndOfLatest(fragment, epoch)) this.#sendAgain(flight);
    return false;
  }

  /** The next complete message; the flight before it is acknowledged by it (RFC 9147 section 7.1). */
  takeMessage(now: Milliseconds): ReceivedMessage | undefined {
    this.#forgetAnswered();
    const message = this.#assembler.take();
    if (message === undefined) return undefined;
    if (this.#isHandshakeOver) this.#askForAck(now);
    // Of a server's first message it is not yet known whether it is the answer.
    else if (!this.#isTimed || this.#version !== undefined) this.#onAnswer(now);
    return message;
  }

  /**
   * Some of the next flight came. RFC 6347 section 4.2.4, of DTLS 1.2: "Partial reads (whether partial messages or only
   * some of the messages in the flight) do not cause state transitions or timer resets": the flight is over when the
   * next one is begun, or the handshake is.
   */
  #onAnswer(now: Milliseconds): void {
    if (this.#version !== "1.2") return this.#endFlight(now);
    if (!this.#isAnswered) this.#measureRoundTrip(now);
    this.#isAnswered = true;
  }

  /**
   * The peer cannot yet be understood: what would give the keys was lost or overtaken. If it does not come soon, an
   * empty ACK makes the peer send again (RFC 9147 section 7.1).
   */
  askAgain(now: Milliseconds): void {
    if (!this.#isHandshakeOver) this.#startAckTimer(now);
  }

  /** An ACK could go at once; where all is left to the timers it waits for its own. */
  #askForAck(now: Milliseconds): void {
    if (this.#isTimed) this.#startAckTimer(now);
    else if (this.#isAcking) this.#isAckDue = true;
  }

  #startAckTimer(now: Milliseconds): void {
    if (!this.#isAcking || this.#isAckDue || this.#deadlines.has("ack")) return;
    this.#deadlines.set("ack", now + this.#timeout.ms * ACK_DELAY_FRACTION);
  }

  /**
   * Messages come in a newer epoch from here on; see {@linkcode HandshakeAssembler.dropBefore}. Throws
   * {@linkcode DtlsFault} where the peer has begun one in the epoch that its KeyUpdate ends.
   */
  onNewEpoch(epoch: number): void {
    if (this.#isHandshakeOver && this.#assembler.isWaiting) {
      throw new DtlsFault("unexpected-message", "a handshake message after a KeyUpdate");
    }
    this.#assembler.dropBefore(epoch);
  }

  /** The main handshake is complete. `isPeerWaiting`: the peer's last flight has no answer but an ACK. */
  onHandshakeOver(isPeerWaiting: boolean, now: Milliseconds): void {
    this.#isHandshakeOver = true;
    if (isPeerWaiting && this.#isAcking && !this.#acks.isEmpty) this.#isAckDue = true;
    if (this.#version !== "1.2") return;
    const isLast = !this.#isAnswered;
    if (isLast) this.#lastFlight = this.#flight;
    this.#flight = undefined;
    this.#deadlines.clear("retransmit");
    if (isLast) this.#deadlines.set("forget-last-flight", now + LAST_FLIGHT_LIFE_MS);
  }

  /** After the handshake, what the peer sends again is answered with a flight only as long as there is one. */
  #forgetAnswered(): void {
    if (!this.#isHandshakeOver || (this.#flight ?? this.#lastFlight) !== undefined) return;
    this.#assembler.forgetLatest();
  }

  /** A datagram was handled: what is there of an unfinished flight is acknowledged in a while. */
  onDatagramEnd(now: Milliseconds): void {
    if (!this.#hasAckNews) return;
    this.#hasAckNews = false;
    if (!this.#isHandshakeOver || this.#assembler.isWaiting) this.#startAckTimer(now);
  }

  /**
   * Takes the content of an ACK record that came in `epoch`, while this side sends in `sendingEpoch`. Throws
   * {@linkcode DtlsFault} where it is malformed.
   */
  onAck(content: Uint8Array, epoch: number, sendingEpoch: number, now: Milliseconds): void {
    // After the handshake each side updates its keys when it likes, so that the epochs of one say nothing of the
    // other's: of this side's own are then all that it has reached.
    const epochMax = this.#isHandshakeOver && epoch > 0 ? Math.max(epoch, sendingEpoch) : epoch;
    // RFC 9147 section 7: "Until that point, ACK records received in epoch 0 MUST be ignored."
    const records = this.#isAcking ? readAck(content, epoch, epochMax) : "unexpected-plaintext";
    if (typeof records === "string") return this.#drops.add(records);
    const flight = this.#flight;
    if (flight === undefined) return;
    if (records.length === 0) return this.#onEmptyAck(flight);
    const search = this.#isTimed ? "none" : now >= this.#quietUntil ? "all" : "gaps";
    if (!flight.onAck(records, search)) return;
    if (!this.#isTimed) flight.retransmissions = 0;
    if (flight.isAcked) this.#endFlight(now);
    else if (flight.hasPending) this.#deadlines.clear("retransmit");
  }

  /**
   * An empty ACK says that the peer is there and could not begin (RFC 9147 section 7.1). It costs its sender a few
   * bytes and brings a whole flight, so it counts once for each time that the timer has sent the flight.
   */
  #onEmptyAck(flight: Flight): void {
    if (this.#isEmptyAckAnswered) return;
    this.#isEmptyAckAnswered = true;
    this.#sendAgain(flight);
  }

  /** The flight is answered. What is known of the network is kept for the next one. */
  #endFlight(now: Milliseconds): void {
    if (this.#flight === undefined) return;
    this.#measureRoundTrip(now);
    this.#timeout.restart();
    this.#flight = undefined;
    this.#deadlines.clear("retransmit");
    this.#forgetAnswered();
    for (const onAcked of this.#onAcked.splice(0)) onAcked();
  }

  #measureRoundTrip(now: Milliseconds): void {
    if (this.#isTimed || this.#flight?.wasSentAgain !== false) return;
    if (this.#transmittedAt !== undefined) this.#timeout.measure(now - this.#transmittedAt);
  }

  #clearAcks(): void {
    this.#acks.clear();
    this.#isAckDue = false;
    this.#hasAckNews = false;
    this.#deadlines.clear("ack");
  }

  #sendAgain(flight: Flight): void {
    flight.sendAgain();
    this.#deadlines.clear("retransmit");
  }

  /** When {@linkcode HandshakeReliability.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    return this.#deadlines.next();
  }

  /**
   * Fires what is due. Throws {@linkcode DtlsError} (`handshake-timeout`) when the peer has been silent for too
   * long.
   */
  handleTimeout(now: Milliseconds): void {
    for (let timer; (timer = this.#deadlines.takeDue(now)) !== undefined;) {
      if (timer === "ack") this.#isAckDue = true;
      else if (timer === "retransmit") this.#onRetransmitTimeout();
      else this.#lastFlight = undefined;
    }
    this.#forgetAnswered();
  }

  #onRetransmitTimeout(): void {
    const flight = this.#flight;
    if (flight === undefined || flight.goOn()) return;
    if (flight.retransmissions >= this.#limits.retransmissionsMax) {
      throw new DtlsError("handshake-timeout", "the peer does not answer");
    }
    flight.retransmissions++;
    this.#isPathSmall ||= flight.retransmissions >= RETRANSMISSIONS_BEFORE_SMALL;
    this.#isEmptyAckAnswered = false;
    this.#timeout.double();
    this.#sendAgain(flight);
  }

  /** Writes what is due into a datagram: an ACK in `epoch`, the newest, then as much of the flight as fits. */
  transmit(datagram: DatagramWriter, epoch: number, now: Milliseconds): void {
    if (this.#isAckDue) {
      const acked = this.#acks.newest(ackedRecordsIn(datagram.roomFor(epoch)));
      datagram.write(epoch, ContentType.ACK, encodeAck(acked));
      this.#isAckDue = false;
      this.#deadlines.clear("ack");
      if (this.#isHandshakeOver && !this.#isTimed) this.#acks.clear();
    }
    this.#beginQueued(epoch);
    const flight = this.#flight ?? this.#lastFlight;
    if (flight === undefined) return;
    if (flight.hasPending) {
      if (flight.transmit(datagram)) this.#transmittedAt ??= now;
      if (!this.#isTimed) this.#quietUntil = now + this.#timeout.ms * ACK_DELAY_FRACTION;
    }
    const wasTransmitted = this.#transmittedAt !== undefined;
    if (flight === this.#lastFlight) return;
    if (!flight.hasPending && wasTransmitted && !this.#deadlines.has("retransmit")) {
      this.#deadlines.set("retransmit", now + this.#timeout.ms);
    }
  }

  /** Whether {@linkcode HandshakeReliability.transmit} would write something. */
  get hasPending(): boolean {
    const flight = this.#flight ?? this.#lastFlight;
    return this.#isAckDue || (flight?.hasPending ?? false) || this.#hasQueuedTurn;
  }

  /** Forgets everything: nothing is sent or waited for any more. */
  stop(): void {
    this.#flight = undefined;
    this.#lastFlight = undefined;
    this.#queue.length = 0;
    this.#onAcked = [];
    this.#clearAcks();
    this.#deadlines.clearAll();
  }

  /** Whether a deadline is set; for tests. */
  get isIdle(): boolean {
    return this.#deadlines.next() === NEVER;
  }
}
