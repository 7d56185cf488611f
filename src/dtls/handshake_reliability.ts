// How handshake messages get across a network that loses them: assembling, acknowledging, sending again (RFC 9147
// sections 5.8 and 7).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import type { Counters } from "../base/counters.ts";
import { type Milliseconds, NEVER } from "../base/core.ts";
import { Deadlines } from "../base/deadlines.ts";
import { ackedRecordsIn, AckList, decodeAck, encodeAck, type RecordNumber } from "./ack.ts";
import { ContentType } from "./code_points.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import { Flight } from "./flight.ts";
import {
  HandshakeAssembler,
  type HandshakeFragment,
  type HandshakeMessage,
  readHandshakeFragment,
} from "./handshake_fragment.ts";
import type { DtlsLimits } from "./limits.ts";
import type { DatagramWriter, DtlsDropReason, OpenedRecord } from "./record_layer.ts";

type Timer = "retransmit" | "ack";

/** RFC 9147 section 7.1: "set a timer for 1/4 the current retransmit timer value". */
const ACK_DELAY_FRACTION = 1 / 4;

/** RFC 9147 section 5.8.2: "1.5 times the measured round trip time". */
const TIMEOUT_ROUND_TRIPS = 1.5;

/** Moves handshake messages both ways, in order and once. */
export class HandshakeReliability {
  readonly #limits: DtlsLimits;
  readonly #drops: Counters<DtlsDropReason>;
  readonly #assembler: HandshakeAssembler;
  readonly #acks: AckList;
  readonly #deadlines = new Deadlines<Timer>();
  #flight: Flight | undefined;
  #nextSendSeq: number;
  /** The timeout that a flight begins with. */
  #firstTimeoutMs: number;
  /** The timeout as it is, doubled for each retransmission of the flight. */
  #timeoutMs: number;
  #isAckDue = false;
  /** A record was added to the list of those to acknowledge since the last look. */
  #hasAckNews = false;
  /** Both ends are known to speak DTLS 1.3. */
  #isVersionKnown: boolean;
  #isEmptyAckAnswered = false;
  /** When the first datagram of the flight was sent. */
  #transmittedAt: Milliseconds | undefined;
  /** After the main handshake every message is a flight of its own, acknowledged explicitly. */
  #isHandshakeOver = false;
  /** An answer to retransmissions is worth sending again only after this. */
  #quietUntil: Milliseconds = 0;

  /** `received` is the ClientHello that a server has accepted. */
  constructor(
    limits: DtlsLimits,
    drops: Counters<DtlsDropReason>,
    nextSendSeq: number,
    received: HandshakeMessage | undefined,
  ) {
    this.#limits = limits;
    this.#drops = drops;
    this.#assembler = new HandshakeAssembler(limits, received);
    this.#acks = new AckList(limits.ackedRecordsMax);
    this.#nextSendSeq = nextSendSeq;
    this.#isVersionKnown = received !== undefined;
    this.#firstTimeoutMs = limits.initialTimeoutMs;
    this.#timeoutMs = limits.initialTimeoutMs;
  }

  /** Whether a flight of this side is neither acknowledged nor answered. */
  get isFlightOpen(): boolean {
    return this.#flight !== undefined;
  }

  /** Whether the open flight has messages of an epoch, whose keys are needed as long. */
  needsEpoch(epoch: number): boolean {
    return this.#flight?.usesEpoch(epoch) ?? false;
  }

  /** Begins a flight, which answers the one before it and all that was received. */
  beginFlight(): void {
    // A client's second flight answers a HelloRetryRequest or more, which say which version is spoken.
    if (this.#nextSendSeq > 0) this.#isVersionKnown = true;
    this.#flight = new Flight(this.#limits);
    this.#transmittedAt = undefined;
    this.#isEmptyAckAnswered = false;
    this.#deadlines.clear("retransmit");
    this.#clearAcks();
  }

  /** Adds a message to the flight that was begun. */
  send(type: number, body: Uint8Array, epoch: number): void {
    if (this.#flight === undefined) throw new DtlsError("internal", "a message outside a flight");
    this.#flight.add({ type, messageSeq: this.#nextSendSeq++, body }, epoch);
  }

  /**
   * Takes the content of a handshake record; `newestEpoch` is the newest that can be opened. Throws
   * {@linkcode DtlsFault} for an authenticated record that is malformed.
   */
  onRecord(record: OpenedRecord, newestEpoch: number, now: Milliseconds): void {
    let isKept = false;
    let isAnyDiscarded = false;
    for (const fragment of this.#readFragments(record)) {
      // Once there are keys, no message begins without them: of epoch 0 only what was complete before comes again.
      // Anybody could otherwise leave pieces that the peer's own would contradict.
      const isBegun = fragment.messageSeq < this.#assembler.nextReceiveSeq;
      if (record.epoch === 0 && newestEpoch > 0 && !isBegun) {
        this.#drops.add("unexpected-plaintext");
        isAnyDiscarded = true;
        continue;
      }
      const outcome = this.#assembler.add(fragment, record.epoch);
      if (outcome === "discarded") {
        this.#drops.add("discarded-message");
        isAnyDiscarded = true;
      } else if (outcome === "duplicate") {
        isKept = this.#onDuplicate(fragment, record.epoch, now) || isKept;
      } else {
        isKept = true;
        if (outcome === "out-of-order") this.#askForAck();
        // RFC 9147 section 7.2: "the receipt of any record responding to a given flight MUST be taken as an implicit
        // acknowledgement for the entire flight". In epoch 0 anybody may have sent it; there a whole message counts.
        if (record.epoch > 0 && !this.#isHandshakeOver) this.#endFlight(now);
      }
    }
    // RFC 9147 section 7: "Implementations MUST NOT acknowledge records containing handshake messages or fragments
    // which have not been processed or buffered."
    if (!isKept || isAnyDiscarded) return;
    this.#acks.add(record.epoch, record.recordNumber);
    this.#hasAckNews = true;
  }

  #readFragments(record: OpenedRecord): HandshakeFragment[] {
    // RFC 8446 section 5.4: implementations "MUST NOT send Handshake and Alert records that have a zero-length
    // TLSInnerPlaintext.content; if such a message is received, the receiving implementation MUST terminate the
    // connection with an "unexpected_message" alert."
    if (record.content.length === 0 && record.epoch > 0) {
      throw new DtlsFault("unexpected-message", "a handshake record without content");
    }
    const fragments: HandshakeFragment[] = [];
    try {
      const reader = new ByteReader(record.content);
      do fragments.push(readHandshakeFragment(reader)); while (reader.remaining > 0);
      return fragments;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (record.epoch > 0) throw new DtlsFault("decode-error", error.message, { cause: error });
      this.#drops.add("malformed-fragment");
      return [];
    }
  }

  /** A message that was complete before. Returns whether its record is to be acknowledged again. */
  #onDuplicate(fragment: HandshakeFragment, epoch: number, now: Milliseconds): boolean {
    this.#drops.add("duplicate-message");
    // RFC 9147 section 7: for post-handshake messages, and section 5.8.1 for the client's last flight, what arrives
    // again is acknowledged again.
    if (this.#isHandshakeOver && this.#flight === undefined) {
      this.#askForAck();
      return true;
    }
    // RFC 9147 section 5.8.1: "The implementation reads a retransmitted flight from the peer when none of the
    // messages that it sent in response to that flight have been acknowledged: [...] it retransmits the flight".
    // The last piece of the peer's flight stands for all of it, so that one flight draws one answer.
    const flight = this.#flight;
    if (flight === undefined || flight.isPartlyAcked || now < this.#quietUntil) return false;
    if (this.#assembler.isEndOfLatest(fragment, epoch)) this.#sendAgain(flight);
    return false;
  }

  /** The next complete message; the flight before it is acknowledged by it (RFC 9147 section 7.1). */
  takeMessage(
    now: Milliseconds,
  ): (HandshakeMessage & { readonly epoch: number }) | undefined {
    const message = this.#assembler.take();
    if (message === undefined) return undefined;
    if (this.#isHandshakeOver) this.#askForAck();
    else this.#endFlight(now);
    return message;
  }

  /**
   * The peer cannot yet be understood: what would give the keys was lost or overtaken. If it does not come soon, an
   * empty ACK makes the peer send again (RFC 9147 section 7.1).
   */
  askAgain(now: Milliseconds): void {
    if (!this.#isVersionKnown || this.#isHandshakeOver || this.#deadlines.has("ack")) return;
    this.#deadlines.set("ack", now + this.#timeoutMs * ACK_DELAY_FRACTION);
  }

  /**
   * RFC 9147 section 7: "DTLS 1.3 endpoints MUST NOT send ACK records until the sender knows that the peer is
   * negotiating DTLS 1.3."
   */
  #askForAck(): void {
    if (this.#isVersionKnown) this.#isAckDue = true;
  }

  /** New keys to open with were installed; see {@linkcode HandshakeAssembler.dropBefore}. */
  onNewEpoch(epoch: number): void {
    this.#isVersionKnown = true;
    this.#assembler.dropBefore(epoch);
  }

  /** The main handshake is complete. `isPeerWaiting`: the peer's last flight has no answer but an ACK. */
  onHandshakeOver(isPeerWaiting: boolean): void {
    this.#isHandshakeOver = true;
    if (isPeerWaiting) this.#askForAck();
  }

  /** A datagram was handled: what is there of an unfinished flight is acknowledged in a while. */
  onDatagramEnd(now: Milliseconds): void {
    if (!this.#hasAckNews) return;
    this.#hasAckNews = false;
    if (this.#isAckDue || !this.#isVersionKnown || this.#deadlines.has("ack")) return;
    if (this.#isHandshakeOver && !this.#assembler.isWaiting) return;
    this.#deadlines.set("ack", now + this.#timeoutMs * ACK_DELAY_FRACTION);
  }

  /** Takes the content of an ACK record. Throws {@linkcode DtlsFault} where it is malformed. */
  onAck(content: Uint8Array, epoch: number, now: Milliseconds): void {
    const records = this.#readAck(content, epoch);
    const flight = this.#flight;
    if (records === undefined || flight === undefined) return;
    if (records.length === 0) return this.#onEmptyAck(flight);
    const isTailLost = now >= this.#quietUntil;
    if (!flight.onAck(records, isTailLost)) return;
    flight.retransmissions = 0;
    if (flight.isAcked) this.#endFlight(now);
    else if (flight.hasPending) this.#deadlines.clear("retransmit");
  }

  /** The record numbers of an ACK, or `undefined` for one that is to be ignored. */
  #readAck(content: Uint8Array, epoch: number): readonly RecordNumber[] | undefined {
    // RFC 9147 section 7: "Until that point, ACK records received in epoch 0 MUST be ignored."
    if (!this.#isVersionKnown) {
      this.#drops.add("unexpected-plaintext");
      return undefined;
    }
    try {
      const records = decodeAck(content);
      if (records.every((record) => record.epoch <= epoch)) return records;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (epoch > 0) throw new DtlsFault("decode-error", error.message, { cause: error });
      this.#drops.add("malformed-fragment");
      return undefined;
    }
    // RFC 9147 section 7.2, as revised: "If any element of record_numbers in the ACK references an epoch that is
    // higher than the epoch in which the ACK was received, the implementation MUST terminate the connection with an
    // "illegal_parameter" alert." In epoch 0 it would be anybody's to terminate.
    if (epoch > 0) {
      throw new DtlsFault("illegal-parameter", "an ACK for records of a later epoch than its own");
    }
    this.#drops.add("unexpected-plaintext");
    return undefined;
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
    const flight = this.#flight;
    if (flight === undefined) return;
    this.#flight = undefined;
    this.#deadlines.clear("retransmit");
    // RFC 9147 section 5.8.2: a message that is "acknowledged without having to be retransmitted" shows the round trip:
    // "the value SHOULD be adjusted to 1.5 times the measured round trip time for that message". Until one does, each
    // flight begins with the first value again, not with the doubled one that the RFC would retain: with random loss
    // that would make the next flight wait for the misfortune of the last.
    if (!flight.wasSentAgain && this.#transmittedAt !== undefined) {
      const { timeoutMsMin, initialTimeoutMs, timeoutMsMax } = this.#limits;
      const measuredMs = TIMEOUT_ROUND_TRIPS * (now - this.#transmittedAt);
      const leastMs = Math.min(timeoutMsMin, initialTimeoutMs);
      this.#firstTimeoutMs = Math.min(Math.max(measuredMs, leastMs), timeoutMsMax);
    }
    this.#timeoutMs = this.#firstTimeoutMs;
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
    for (;;) {
      const timer = this.#deadlines.takeDue(now);
      if (timer === undefined) return;
      if (timer === "ack") this.#askForAck();
      else this.#onRetransmitTimeout();
    }
  }

  #onRetransmitTimeout(): void {
    const flight = this.#flight;
    if (flight === undefined || flight.goOn()) return;
    if (flight.retransmissions >= this.#limits.retransmissionsMax) {
      throw new DtlsError("handshake-timeout", "the peer does not answer");
    }
    flight.retransmissions++;
    this.#isEmptyAckAnswered = false;
    // RFC 9147 section 5.8.2: "double the value at each retransmission, up to no less than 60 seconds".
    this.#timeoutMs = Math.min(2 * this.#timeoutMs, this.#limits.timeoutMsMax);
    this.#sendAgain(flight);
  }

  /** Writes what is due into a datagram: an ACK in `ackEpoch`, then as much of the flight as fits. */
  transmit(datagram: DatagramWriter, ackEpoch: number, now: Milliseconds): void {
    if (this.#isAckDue) {
      const acked = this.#acks.newest(ackedRecordsIn(datagram.roomFor(ackEpoch)));
      datagram.write(ackEpoch, ContentType.ACK, encodeAck(acked));
      this.#isAckDue = false;
      this.#deadlines.clear("ack");
      if (this.#isHandshakeOver) this.#acks.clear();
    }
    const flight = this.#flight;
    if (flight === undefined) return;
    if (flight.hasPending) {
      if (flight.transmit(datagram)) this.#transmittedAt ??= now;
      this.#quietUntil = now + this.#timeoutMs * ACK_DELAY_FRACTION;
    }
    const wasTransmitted = this.#transmittedAt !== undefined;
    if (!flight.hasPending && wasTransmitted && !this.#deadlines.has("retransmit")) {
      this.#deadlines.set("retransmit", now + this.#timeoutMs);
    }
  }

  /** Whether {@linkcode HandshakeReliability.transmit} would write something. */
  get hasPending(): boolean {
    return this.#isAckDue || (this.#flight?.hasPending ?? false);
  }

  /** Forgets everything: nothing is sent or waited for any more. */
  stop(): void {
    this.#flight = undefined;
    this.#clearAcks();
    this.#deadlines.clearAll();
  }

  /** Whether a deadline is set; for tests. */
  get isIdle(): boolean {
    return this.#deadlines.next() === NEVER;
  }
}
