// A flight of handshake messages on its way out: cut into records, acknowledged piece by piece, sent again (RFC 9147
// section 5.8).

import { ByteWriter } from "../base/byte_writer.ts";
import { RangeSet } from "../base/range_set.ts";
import { ContentType } from "./code_points.ts";
import {
  HANDSHAKE_HEADER_BYTES,
  type HandshakeMessage,
  writeHandshakeFragment,
} from "./handshake_fragment.ts";
import type { DtlsLimits } from "./limits.ts";
import type { RecordNumber } from "./ack.ts";

/** The least room for message bytes that is worth another header. */
const FRAGMENT_BYTES_MIN = 1;

interface OutgoingMessage extends HandshakeMessage {
  readonly epoch: number;
  /** HANDSHAKE, or CHANGE_CIPHER_SPEC, which stands in a flight of DTLS 1.2 and is no handshake message. */
  readonly contentType: ContentType;
  /** Bytes that were acknowledged. An empty message counts as one byte. */
  readonly acked: RangeSet;
  /** Bytes that this transmission has yet to send. */
  readonly pending: RangeSet;
}

/** A stretch of a message: all that one fragment of it carries. */
interface Piece {
  readonly message: OutgoingMessage;
  readonly start: number;
  readonly end: number;
}

interface SentRecord extends RecordNumber {
  readonly pieces: readonly Piece[];
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
    while (this.#recordsLeft > 0) {
      const first = this.#messages.findIndex((message) => !message.pending.isEmpty);
      if (first < 0) break;
      const pieces = this.#piecesFrom(first, sink.roomFor(this.#messages[first]!.epoch));
      if (pieces.length === 0) break;
      this.#write(sink, pieces);
      wrote = true;
    }
    return wrote;
  }

  /**
   * What is pending from a message on and fits one record of `roomBytes` bytes. RFC 9147 section 5.5: "When
   * transmitting the handshake message, the sender divides the message into a series of N contiguous data ranges";
   * several messages of one epoch share a record.
   */
  #piecesFrom(first: number, roomBytes: number): readonly Piece[] {
    const { epoch, contentType } = this.#messages[first]!;
    const pieces: Piece[] = [];
    let left = roomBytes;
    for (let at = first; at < this.#messages.length; at++) {
      const message = this.#messages[at]!;
      if (message.epoch !== epoch || message.contentType !== contentType) break;
      const headerBytes = isHandshake(message) ? HANDSHAKE_HEADER_BYTES : 0;
      for (let i = 0; i < message.pending.rangeCount; i++) {
        const { start, end } = message.pending.rangeAt(i);
        const wanted = message.body.length === 0 ? 0 : end - start;
        const lengthBytes = Math.min(wanted, left - headerBytes);
        if (lengthBytes < Math.min(wanted, FRAGMENT_BYTES_MIN)) return pieces;
        pieces.push({ message, start, end: start + Math.max(lengthBytes, 1) });
        left -= headerBytes + lengthBytes;
        if (lengthBytes < wanted) return pieces;
      }
    }
    return pieces;
  }

  #write(sink: RecordSink, pieces: readonly Piece[]): void {
    const { epoch, contentType } = pieces[0]!.message;
    const content = new ByteWriter();
    for (const piece of pieces) writePiece(content, piece);
    const number = sink.write(epoch, contentType, content.view());
    content.discard();
    for (const { message, start, end } of pieces) message.pending.removeRange(start, end);
    if (this.#sent.length >= this.#limits.sentRecordsMax) this.#sent.shift();
    this.#sent.push({ ...number, pieces });
    this.#recordsLeft--;
  }

  /**
   * Notes what an ACK lists, and makes pending what it shows to be lost: of all that was sent before the newest
   * record that it lists, what is missing. What was sent after that may still be under way; the search for `all` says
   * that it has had its time, and the one for `none` leaves everything to the timer. Returns whether the ACK brought
   * anything new.
   *
   * RFC 9147 section 7.2: "Upon receipt of an ACK that leaves it with only some messages from a flight having been
   * acknowledged, an implementation SHOULD retransmit the unacknowledged messages or fragments." One ACK for each
   * record that is out of order would otherwise bring the rest of the flight each time.
   */
  onAck(records: readonly RecordNumber[], search: "none" | "gaps" | "all"): boolean {
    let isNews = false;
    let newest = -1;
    for (const { epoch, recordNumber } of records) {
      const at = this.#sent.findIndex((r) => r.epoch === epoch && r.recordNumber === recordNumber);
      if (at < 0) continue;
      newest = Math.max(newest, at);
      for (const { message, start, end } of this.#sent[at]!.pieces) {
        isNews ||= !message.acked.hasRange(start, end);
        message.acked.addRange(start, end);
        message.pending.removeRange(start, end);
      }
    }
    if (!isNews) return false;
    this.#anyAcked = true;
    if (search === "none") return true;
    this.#recordsLeft = this.#limits.recordsPerTransmissionMax;
    if (this.isAcked || this.#addLost(newest)) return true;
    if (search === "all") this.sendAgain();
    return true;
  }

  /**
   * Makes pending what was last sent before the record at `newest` and is not acknowledged. Returns whether anything
   * was.
   */
  #addLost(newest: number): boolean {
    let isAny = false;
    const before = this.#sent.slice(0, newest).flatMap(({ pieces }) => pieces);
    const after = this.#sent.slice(newest + 1).flatMap(({ pieces }) => pieces);
    for (const message of this.#messages) {
      const lost = new RangeSet();
      for (const { message: sent, start, end } of before) {
        if (sent === message) lost.addRange(start, end);
      }
      for (const range of message.acked.ranges()) lost.removeRange(range.start, range.end);
      for (const { message: sent, start, end } of after) {
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

function writePiece(writer: ByteWriter, { message, start, end }: Piece): void {
  const { body } = message;
  if (isHandshake(message)) {
    writeHandshakeFragment(writer, message, start, body.length === 0 ? 0 : end - start);
  } else writer.bytes(body);
}
