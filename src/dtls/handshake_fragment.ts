// Handshake messages on the wire: their header with fragment fields, and putting fragments together (RFC 9147
// sections 5.2 and 5.5).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { RangeSet } from "../base/range_set.ts";
import { shortBytes } from "../base/short_bytes.ts";
import { DtlsFault } from "./errors.ts";
import type { DtlsLimits } from "./limits.ts";

/** Bytes of a DTLSHandshake header. */
export const HANDSHAKE_HEADER_BYTES = 12;

/** One fragment, possibly the whole, of a handshake message. */
export interface HandshakeFragment {
  readonly type: number;
  readonly messageBytes: number;
  readonly messageSeq: number;
  readonly offset: number;
  readonly body: Uint8Array;
}

/** A complete handshake message. */
export interface HandshakeMessage {
  readonly type: number;
  readonly messageSeq: number;
  readonly body: Uint8Array;
}

/** A handshake message and the epoch that it came in. */
export interface ReceivedMessage extends HandshakeMessage {
  readonly epoch: number;
}

/** Reads one fragment. Throws {@linkcode DecodeError} where its lengths do not agree. */
export function readHandshakeFragment(reader: ByteReader): HandshakeFragment {
  const type = reader.u8();
  const messageBytes = reader.u24();
  const messageSeq = reader.u16();
  const offset = reader.u24();
  const lengthBytes = reader.u24();
  if (offset + lengthBytes > messageBytes) {
    throw new DecodeError("a fragment reaches past its message");
  }
  return { type, messageBytes, messageSeq, offset, body: reader.bytes(lengthBytes) };
}

/**
 * The fragments of a handshake record. Nobody vouches for one of epoch 0: malformed it is `undefined`, any other one
 * throws {@linkcode DtlsFault}.
 */
export function readHandshakeRecord(
  content: Uint8Array,
  epoch: number,
): readonly HandshakeFragment[] | undefined {
  // RFC 8446 section 5.4: implementations "MUST NOT send Handshake and Alert records that have a zero-length
  // TLSInnerPlaintext.content; if such a message is received, the receiving implementation MUST terminate the
  // connection with an "unexpected_message" alert."
  if (content.length === 0 && epoch > 0) {
    throw new DtlsFault("unexpected-message", "a handshake record without content");
  }
  const fragments: HandshakeFragment[] = [];
  try {
    const reader = new ByteReader(content);
    do fragments.push(readHandshakeFragment(reader)); while (reader.remaining > 0);
    return fragments;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    if (epoch > 0) throw new DtlsFault("decode-error", error.message, { cause: error });
    return undefined;
  }
}

/** Writes a fragment of a message with its header. */
export function writeHandshakeFragment(
  writer: ByteWriter,
  { type, messageSeq, body }: HandshakeMessage,
  offset: number,
  lengthBytes: number,
): void {
  writer.u8(type).u24(body.length).u16(messageSeq).u24(offset).u24(lengthBytes)
    .bytes(body.length === lengthBytes ? body : body.subarray(offset, offset + lengthBytes));
}

/** A message in one fragment. */
export function encodeHandshakeMessage(message: HandshakeMessage): Uint8Array {
  const { length } = message.body;
  const writer = new ByteWriter(HANDSHAKE_HEADER_BYTES + length);
  writeHandshakeFragment(writer, message, 0, length);
  return writer.finish();
}

interface PartialMessage {
  readonly type: number;
  readonly epoch: number;
  readonly body: Uint8Array;
  readonly received: RangeSet;
}

/** What became of a fragment. */
export type FragmentOutcome =
  /** The next piece of the next message. */
  | "in-order"
  /** Kept, but something before it is missing. */
  | "out-of-order"
  /** Of a message that was complete before. */
  | "duplicate"
  /** Not kept: too far ahead, too large in pieces, or not fitting what is there. */
  | "discarded";

/**
 * Whether a fragment agrees with what is there of its message. RFC 9147 section 5.5: "Receivers MAY check that
 * retransmitted bytes are identical and SHOULD abort the handshake with an "illegal_parameter" alert if the value of a
 * byte changes."
 */
function fits(partial: PartialMessage, fragment: HandshakeFragment, epoch: number): boolean {
  const { offset, body } = fragment;
  if (
    partial.type !== fragment.type || partial.body.length !== fragment.messageBytes ||
    partial.epoch !== epoch
  ) return false;
  for (let i = 0; i < partial.received.rangeCount; i++) {
    const range = partial.received.rangeAt(i);
    for (
      let at = Math.max(range.start, offset);
      at < Math.min(range.end, offset + body.length);
      at++
    ) {
      if (partial.body[at] !== body[at - offset]) return false;
    }
  }
  return true;
}

function isComplete({ received, body }: PartialMessage): boolean {
  return received.hasRange(0, body.length);
}

/** Puts handshake messages together and hands them out in the order of their numbers. */
export class HandshakeAssembler {
  readonly #limits: DtlsLimits;
  readonly #partial = new Map<number, PartialMessage>();
  #nextReceiveSeq: number;
  /** The last message that was handed out. */
  #latest: PartialMessage | undefined;

  /** Begins with the message of a number, or after one that came in epoch 0 on another way. */
  constructor(limits: DtlsLimits, begin: number | HandshakeMessage = 0) {
    this.#limits = limits;
    if (typeof begin === "number") {
      this.#nextReceiveSeq = begin;
      return;
    }
    this.#nextReceiveSeq = begin.messageSeq + 1;
    this.#latest = { type: begin.type, epoch: 0, body: begin.body, received: new RangeSet() };
    this.#latest.received.addRange(0, begin.body.length);
  }

  /** The number of the next message to be handed out. */
  get nextReceiveSeq(): number {
    return this.#nextReceiveSeq;
  }

  /** Whether pieces of messages wait. */
  get isWaiting(): boolean {
    return this.#partial.size > 0;
  }

  /** Takes a fragment that arrived in `epoch`. Throws {@linkcode DtlsFault} where the peer contradicts itself. */
  add(fragment: HandshakeFragment, epoch: number): FragmentOutcome {
    const ahead = fragment.messageSeq - this.#nextReceiveSeq;
    // RFC 9147 section 5.2: "If the sequence number is less than next_receive_seq, the message MUST be discarded."
    if (ahead < 0) return "duplicate";
    if (ahead > this.#limits.handshakeMessagesAheadMax) return "discarded";
    if (fragment.messageBytes > this.#limits.handshakeMessageBytesMax) {
      if (epoch === 0) return "discarded";
      throw new DtlsFault(
        "illegal-parameter",
        "a handshake message is larger than this side accepts",
      );
    }
    let partial = this.#partial.get(fragment.messageSeq);
    if (partial !== undefined && !fits(partial, fragment, epoch)) {
      if (epoch > 0 || partial.epoch > 0) {
        throw new DtlsFault("illegal-parameter", "fragments of a handshake message disagree");
      }
      // In epoch 0 anybody may have sent one of the two, and damage is as likely in the first: it gives way, so that
      // a message that is sent again gets through.
      partial = undefined;
    }
    if (partial === undefined) {
      if (
        ahead > 0 &&
        fragment.messageBytes > this.#limits.handshakeMessageBytesMax - this.#bytesAhead()
      ) {
        return "discarded";
      }
      partial = {
        type: fragment.type,
        epoch,
        body: shortBytes(fragment.messageBytes),
        received: new RangeSet(),
      };
      this.#partial.set(fragment.messageSeq, partial);
    }
    return this.#merge(partial, fragment);
  }

  #merge(partial: PartialMessage, fragment: HandshakeFragment): FragmentOutcome {
    const { offset, body } = fragment;
    const end = offset + body.length;
    const gap = partial.received.firstGap(0, partial.body.length);
    const isNext = this.#isCompleteBefore(fragment.messageSeq);
    const inOrder = isNext && (gap === undefined || offset <= gap.start);
    if (
      partial.received.rangeCount >= this.#limits.fragmentRangesMax &&
      !partial.received.hasRange(offset, end)
    ) return "discarded";
    partial.body.set(body, offset);
    partial.received.addRange(offset, end);
    return inOrder ? "in-order" : "out-of-order";
  }

  /** Whether all messages before one are there; one record may bring several that are yet to be taken. */
  #isCompleteBefore(messageSeq: number): boolean {
    for (let before = this.#nextReceiveSeq; before < messageSeq; before++) {
      const partial = this.#partial.get(before);
      if (partial === undefined || !isComplete(partial)) return false;
    }
    return true;
  }

  /** Bytes that the messages past the next one take. */
  #bytesAhead(): number {
    let bytes = 0;
    this.#partial.forEach(({ body }, messageSeq) => {
      if (messageSeq > this.#nextReceiveSeq) bytes += body.length;
    });
    return bytes;
  }

  /** The next message in order, with the epoch it came in, or `undefined` while it is incomplete. */
  take(): ReceivedMessage | undefined {
    const messageSeq = this.#nextReceiveSeq;
    const partial = this.#partial.get(messageSeq);
    if (partial === undefined || !isComplete(partial)) return undefined;
    this.#partial.delete(messageSeq);
    this.#nextReceiveSeq = messageSeq + 1;
    this.#latest = partial;
    return { type: partial.type, messageSeq, body: partial.body, epoch: partial.epoch };
  }

  /**
   * Whether a fragment is the end of the last message that was handed out, byte for byte: in epoch 0 only who has seen
   * the message can make it.
   */
  isEndOfLatest(fragment: HandshakeFragment, epoch: number): boolean {
    const { messageSeq, offset, body, messageBytes } = fragment;
    return messageSeq === this.#nextReceiveSeq - 1 && offset + body.length === messageBytes &&
      this.#latest !== undefined && fits(this.#latest, fragment, epoch);
  }

  /** Nothing is answered with a flight any more: the last message is not kept. */
  forgetLatest(): void {
    this.#latest = undefined;
  }

  /**
   * RFC 8446 section 5.1: "Handshake messages MUST NOT span key changes. Implementations MUST verify that all messages
   * immediately preceding a key change align with a record boundary; if not, then they MUST terminate the connection
   * with an "unexpected_message" alert." What waits from epoch 0 when new keys are installed may be anybody's, and can
   * no longer become a message of this handshake. Throws {@linkcode DtlsFault} for what the peer itself has sent.
   */
  dropBefore(epoch: number): void {
    for (const [messageSeq, partial] of this.#partial) {
      if (partial.epoch >= epoch) continue;
      if (partial.epoch > 0) {
        throw new DtlsFault("unexpected-message", "a handshake message before a key change");
      }
      this.#partial.delete(messageSeq);
    }
  }
}
