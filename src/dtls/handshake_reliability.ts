// How handshake messages get across a network that loses them: assembling, acknowledging, sending again (RFC 9147
// sections 5.8 and 7).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import type { Counters } from "../base/counters.ts";
import { type Milliseconds, NEVER } from "../base/core.ts";
import { Deadlines } from "../base/deadlines.ts";
import { AckList, decodeAck, encodeAck } from "./ack.ts";
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

/** Moves handshake messages both ways, in order and once. */
export class HandshakeReliability {
  readonly #limits: DtlsLimits;
  readonly #drops: Counters<DtlsDropReason>;
  readonly #assembler: HandshakeAssembler;
  readonly #acks: AckList;
  readonly #deadlines = new Deadlines<Timer>();
  #flight: Flight | undefined;
  #nextSendSeq: number;
  #timeoutMs: number;
  #isAckDue = false;
  #wasTransmitted = false;
  /** After the main handshake every message is a flight of its own, acknowledged explicitly. */
  #isHandshakeOver = false;
  /** An answer to retransmissions is worth sending again only after this. */
  #quietUntil: Milliseconds = 0;

  constructor(
    limits: DtlsLimits,
    drops: Counters<DtlsDropReason>,
    nextReceiveSeq: number,
    nextSendSeq: number,
  ) {
    this.#limits = limits;
    this.#drops = drops;
    this.#assembler = new HandshakeAssembler(limits, nextReceiveSeq);
    this.#acks = new AckList(limits.ackedRecordsMax);
    this.#nextSendSeq = nextSendSeq;
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
    this.#flight = new Flight(this.#limits);
    this.#wasTransmitted = false;
    this.#timeoutMs = this.#limits.initialTimeoutMs;
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
    const fragments = this.#readFragments(record);
    let isKept = false;
    for (const fragment of fragments) {
      // Once there are keys, no message begins without them: of epoch 0 only what was complete before comes again.
      // Anybody could otherwise leave pieces that the peer's own would contradict.
      if (
        record.epoch === 0 && newestEpoch > 0 && !this.#assembler.isComplete(fragment.messageSeq)
      ) {
        this.#drops.add("unexpected-plaintext");
        continue;
      }
      const outcome = this.#assembler.add(fragment, record.epoch);
      isKept ||= outcome === "in-order" || outcome === "out-of-order";
      if (outcome === "out-of-order") this.#isAckDue = true;
      else if (outcome === "discarded") this.#drops.add("discarded-message");
      else if (outcome === "duplicate") isKept = this.#onDuplicate(fragment, now) || isKept;
    }
    // RFC 9147 section 7: "Implementations MUST NOT acknowledge records containing handshake messages or fragments
    // which have not been processed or buffered."
    if (isKept) this.#acks.add(record.epoch, record.recordNumber);
  }

  #readFragments(record: OpenedRecord): HandshakeFragment[] {
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
  #onDuplicate(fragment: HandshakeFragment, now: Milliseconds): boolean {
    this.#drops.add("duplicate-message");
    // RFC 9147 section 7: for post-handshake messages, and section 5.8.1 for the client's last flight, what arrives
    // again is acknowledged again.
    if (this.#isHandshakeOver && this.#flight === undefined) {
      this.#isAckDue = true;
      return true;
    }
    // RFC 9147 section 5.8.1: "The implementation reads a retransmitted flight from the peer when none of the
    // messages that it sent in response to that flight have been acknowledged: [...] it retransmits the flight".
    // The last piece of the peer's flight stands for all of it, so that one flight draws one answer.
    const isLastPiece = this.#assembler.isLatest(fragment.messageSeq) &&
      fragment.offset + fragment.body.length === fragment.messageBytes;
    const flight = this.#flight;
    if (flight === undefined || flight.isPartlyAcked || !isLastPiece || now < this.#quietUntil) {
      return false;
    }
    this.#sendAgain(flight);
    return false;
  }

  /** The next complete message; the flight before it is acknowledged by it (RFC 9147 section 7.1). */
  takeMessage(): (HandshakeMessage & { readonly epoch: number }) | undefined {
    const message = this.#assembler.take();
    if (message === undefined) return undefined;
    if (this.#isHandshakeOver) this.#isAckDue = true;
    else this.#endFlight();
    return message;
  }

  /** The peer cannot yet be understood: an empty ACK makes it send again (RFC 9147 section 7.1). */
  askAgain(now: Milliseconds): void {
    if (now < this.#quietUntil || this.#isHandshakeOver) return;
    this.#quietUntil = now + this.#timeoutMs * ACK_DELAY_FRACTION;
    this.#isAckDue = true;
  }

  /** New keys to open with were installed; see {@linkcode HandshakeAssembler.dropBefore}. */
  onNewEpoch(epoch: number): void {
    this.#assembler.dropBefore(epoch);
  }

  /** The main handshake is complete. `isPeerWaiting`: the peer's last flight has no answer but an ACK. */
  onHandshakeOver(isPeerWaiting: boolean): void {
    this.#isHandshakeOver = true;
    if (isPeerWaiting) this.#isAckDue = true;
  }

  /** A datagram was handled: what is left of an unfinished flight is acknowledged in a while. */
  onDatagramEnd(now: Milliseconds): void {
    if (this.#acks.isEmpty || this.#isAckDue || this.#deadlines.has("ack")) return;
    if (this.#isHandshakeOver && !this.#assembler.isWaiting) return;
    this.#deadlines.set("ack", now + this.#timeoutMs * ACK_DELAY_FRACTION);
  }

  /** Takes the content of an ACK record. Throws {@linkcode DtlsFault} where it is malformed. */
  onAck(content: Uint8Array, epoch: number): void {
    let records;
    try {
      records = decodeAck(content);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (epoch > 0) throw new DtlsFault("decode-error", error.message, { cause: error });
      this.#drops.add("malformed-fragment");
      return;
    }
    const flight = this.#flight;
    if (flight === undefined) return;
    flight.onAck(records);
    if (flight.isAcked) this.#endFlight();
    else if (flight.hasPending) this.#deadlines.clear("retransmit");
  }

  #endFlight(): void {
    this.#flight = undefined;
    this.#timeoutMs = this.#limits.initialTimeoutMs;
    this.#deadlines.clear("retransmit");
  }

  #clearAcks(): void {
    this.#acks.clear();
    this.#isAckDue = false;
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
      if (timer === "ack") this.#isAckDue = true;
      else this.#onRetransmitTimeout();
    }
  }

  #onRetransmitTimeout(): void {
    const flight = this.#flight;
    if (flight === undefined) return;
    if (flight.retransmissions >= this.#limits.retransmissionsMax) {
      throw new DtlsError("handshake-timeout", "the peer does not answer");
    }
    flight.retransmissions++;
    // RFC 9147 section 5.8.2: "double the value at each retransmission, up to no less than 60 seconds".
    this.#timeoutMs = Math.min(2 * this.#timeoutMs, this.#limits.timeoutMsMax);
    this.#sendAgain(flight);
  }

  /** Writes what is due into a datagram: an ACK in `ackEpoch`, then as much of the flight as fits. */
  transmit(datagram: DatagramWriter, ackEpoch: number, now: Milliseconds): void {
    if (this.#isAckDue) {
      datagram.write(ackEpoch, ContentType.ACK, encodeAck(this.#acks.records));
      this.#isAckDue = false;
      this.#deadlines.clear("ack");
      if (this.#isHandshakeOver) this.#acks.clear();
    }
    const flight = this.#flight;
    if (flight === undefined) return;
    if (flight.hasPending) {
      if (flight.transmit(datagram)) this.#wasTransmitted = true;
      this.#quietUntil = now + this.#timeoutMs * ACK_DELAY_FRACTION;
    }
    if (!flight.hasPending && this.#wasTransmitted && !this.#deadlines.has("retransmit")) {
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
