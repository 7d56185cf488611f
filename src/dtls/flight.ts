// A flight of handshake messages on its way out: cut into records, acknowledged piece by piece, sent again (RFC 9147
// section 5.8).

import { RangeSet } from "../base/range_set.ts";
import { ContentType } from "./code_points.ts";
import {
  encodeHandshakeFragment,
  HANDSHAKE_HEADER_BYTES,
  type HandshakeMessage,
} from "./handshake_fragment.ts";
import type { DtlsLimits } from "./limits.ts";
import type { RecordNumber } from "./ack.ts";

/** The least room for message bytes that is worth a record of its own. */
const FRAGMENT_BYTES_MIN = 32;

interface OutgoingMessage extends HandshakeMessage {
  readonly epoch: number;
  /** HANDSHAKE, or CHANGE_CIPHER_SPEC, which stands in a flight of DTLS 1.2 and is no handshake message. */
  readonly contentType: ContentType;
  /** Bytes that were acknowledged. An empty message counts as one byte. */
  readonly acked: RangeSet;
  /** Bytes that this transmission has yet to send. */
  readonly pending: RangeSet;
}

interface SentRecord extends RecordNumber {
  readonly message: OutgoingMessage;
  readonly start: number;
  readonly end: number;
}

/** How a flight writes a record: returns its number, or `undefined` where the datagram has no room for it. */
export interface RecordSink {
  /** Content bytes that one more record of this epoch may have in the datagram at hand. */
  roomFor(epoch: number): number;
  write(epoch: number, type: number, content: Uint8Array): RecordNumber;
}

/** The content of a ChangeCipherSpec record; type and number are never sent. */
const CHANGE_CIPHER_SPEC: HandshakeMessage = {
  type: 0,
  messageSeq: 0,
  body: new Uint8Array([1]),
};

function isHandshake({ contentType }: OutgoingMessage): boolean {
  return contentType === ContentType.HANDSHAKE;
}

function span(message: HandshakeMessage): number {
  return Math.max(message.body.length, 1);
}

/** One flight, from its first transmission to its acknowledgement. */
export class Flight {
  readonly #limits: DtlsLimits;
  readonly #messages: OutgoingMessage[] = [];
  readonly #sent: SentRecord[] = [];
  /** Records that the present transmission may still send. */
  #recordsLeft: number;
  #anyAcked = false;
  #wasSentAgain = false;
  /** How often the flight was sent again for want of an answer. */
  retransmissions = 0;

  constructor(limits: DtlsLimits) {
    this.#limits = limits;
    this.#recordsLeft = limits.recordsPerTransmissionMax;
  }

  /** Adds a message; all of it is pending. */
  add(message: HandshakeMessage, epoch: number): void {
    this.#add(message, epoch, ContentType.HANDSHAKE);
  }

  /** Adds a ChangeCipherSpec (RFC 5246 section 7.1). */
  addChangeCipherSpec(epoch: number): void {
    this.#add(CHANGE_CIPHER_SPEC, epoch, ContentType.CHANGE_CIPHER_SPEC);
  }

  #add(message: HandshakeMessage, epoch: number, contentType: ContentType): void {
    const pending = new RangeSet();
    pending.addRange(0, span(message));
    this.#messages.push({ ...message, epoch, contentType, acked: new RangeSet(), pending });
  }

  /** Whether something is to be sent now. Of a large flight the rest waits for an ACK, or the timer. */
  get hasPending(): boolean {
    return this.#recordsLeft > 0 && this.#messages.some((message) => !message.pending.isEmpty);
  }

  /** Whether every byte of every message was acknowledged. */
  get isAcked(): boolean {
    return this.#messages.every((message) => message.acked.hasRange(0, span(message)));
  }

  /** Whether any record of the flight was acknowledged. */
  get isPartlyAcked(): boolean {
    return this.#anyAcked;
  }

  /** The epochs that the flight's messages are sealed in. */
  usesEpoch(epoch: number): boolean {
    return this.#messages.some((message) => message.epoch === epoch);
  }

  /** Writes as much of the flight as the datagram takes. Returns whether it wrote anything. */
  transmit(sink: RecordSink): boolean {
    let wrote = false;
    for (const message of this.#messages) {
      for (;;) {
        const next = firstRange(message.pending);
        if (next === undefined) break;
        if (this.#recordsLeft === 0) return wrote;
        const headerBytes = isHandshake(message) ? HANDSHAKE_HEADER_BYTES : 0;
        const room = sink.roomFor(message.epoch) - headerBytes;
        const wanted = message.body.length === 0 ? 0 : next.end - next.start;
        if (room < Math.min(wanted, FRAGMENT_BYTES_MIN)) return wrote;
        this.#write(sink, message, next.start, Math.min(wanted, room));
        wrote = true;
      }
    }
    return wrote;
  }

  #write(sink: RecordSink, message: OutgoingMessage, start: number, lengthBytes: number): void {
    const content = isHandshake(message)
      ? encodeHandshakeFragment(message, start, lengthBytes)
      : message.body;
    const number = sink.write(message.epoch, message.contentType, content);
    const end = start + Math.max(lengthBytes, 1);
    message.pending.removeRange(start, end);
    if (this.#sent.length >= this.#limits.sentRecordsMax) this.#sent.shift();
    this.#sent.push({ ...number, message, start, end });
    this.#recordsLeft--;
  }

  /**
   * Notes what an ACK lists, and makes pending what it shows to be lost: of all that was sent before the newest
   * record that it lists, what is missing. What was sent after that may still be under way; `isTailLost` says that
   * it has had its time. Returns whether the ACK brought anything new.
   *
   * RFC 9147 section 7.2: "Upon receipt of an ACK that leaves it with only some messages from a flight having been
   * acknowledged, an implementation SHOULD retransmit the unacknowledged messages or fragments." One ACK for each
   * record that is out of order would otherwise bring the rest of the flight each time.
   */
  onAck(records: readonly RecordNumber[], isTailLost: boolean): boolean {
    let isNews = false;
    let newest = -1;
    for (const { epoch, recordNumber } of records) {
      const at = this.#sent.findIndex((r) => r.epoch === epoch && r.recordNumber === recordNumber);
      if (at < 0) continue;
      const { message, start, end } = this.#sent[at]!;
      newest = Math.max(newest, at);
      isNews ||= !message.acked.hasRange(start, end);
      message.acked.addRange(start, end);
      message.pending.removeRange(start, end);
    }
    if (!isNews) return false;
    this.#anyAcked = true;
    this.#recordsLeft = this.#limits.recordsPerTransmissionMax;
    if (!this.#addLost(newest) && isTailLost) this.sendAgain();
    return true;
  }

  /**
   * Makes pending what was last sent before the record at `newest` and is not acknowledged. Returns whether anything
   * was.
   */
  #addLost(newest: number): boolean {
    let isAny = false;
    for (const message of this.#messages) {
      const lost = new RangeSet();
      for (const { message: sent, start, end } of this.#sent.slice(0, newest)) {
        if (sent === message) lost.addRange(start, end);
      }
      for (const range of message.acked.ranges()) lost.removeRange(range.start, range.end);
      for (const { message: sent, start, end } of this.#sent.slice(newest + 1)) {
        if (sent === message) lost.removeRange(start, end);
      }
      for (const { start, end } of lost.ranges()) message.pending.addRange(start, end);
      isAny ||= !lost.isEmpty;
    }
    return isAny;
  }

  /**
   * Goes on with a transmission that its limit of records had stopped. Returns whether there was one: a peer that
   * acknowledges no part of a flight would otherwise get the same first records each time.
   */
  goOn(): boolean {
    this.#recordsLeft = this.#limits.recordsPerTransmissionMax;
    return this.hasPending;
  }

  /** Whether anything of it was sent more than once for want of an answer. */
  get wasSentAgain(): boolean {
    return this.#wasSentAgain;
  }

  /** Makes all that was not acknowledged pending again, as a new transmission. */
  sendAgain(): void {
    this.#wasSentAgain = true;
    this.#recordsLeft = this.#limits.recordsPerTransmissionMax;
    for (const message of this.#messages) {
      message.pending.clear();
      message.pending.addRange(0, span(message));
      for (const range of message.acked.ranges()) {
        message.pending.removeRange(range.start, range.end);
      }
    }
  }
}

function firstRange(set: RangeSet): { readonly start: number; readonly end: number } | undefined {
  for (const range of set.ranges()) return range;
  return undefined;
}
