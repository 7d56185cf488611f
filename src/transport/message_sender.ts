// Messages on their way out: whole or in fragments, sent again until they have arrived.

import { Queue } from "../base/queue.ts";
import { encodeFragmentPrefix, FRAGMENT_PREFIX_BYTES } from "../wire/fragment.ts";
import { Flag, MessageType } from "../wire/frame.ts";
import { URGENCY_FIRST, URGENCY_LAST } from "../wire/urgency.ts";
import type { SendCredit } from "./credit.ts";
import { PART_BYTES_MIN, WHOLE_PAYLOAD_BYTES_MAX } from "./limits.ts";
import type { SentOwner } from "./sent_packet.ts";
import { isCharged } from "./message_limits.ts";
import type { PacketBuilder, RequestFrameSource } from "./packer.ts";
import { SendRanges } from "./send_ranges.ts";

/** A message that waits to be sent or acknowledged. `payload` is not copied. */
class OutgoingMessage implements SentOwner {
  readonly type: MessageType;
  readonly requestId: number;
  readonly payload: Uint8Array;
  readonly urgency: number;
  /** Undefined for a message that goes whole. */
  readonly ranges: SendRanges | undefined;
  /** Whether a packet that carried something of it was lost. */
  wasLost = false;
  readonly #sender: MessageSender;

  constructor(
    sender: MessageSender,
    type: MessageType,
    requestId: number,
    payload: Uint8Array,
    urgency: number,
  ) {
    this.#sender = sender;
    this.type = type;
    this.requestId = requestId;
    this.payload = payload;
    this.urgency = urgency;
    if (payload.length > WHOLE_PAYLOAD_BYTES_MAX) this.ranges = new SendRanges();
  }

  onAcked(start: number, end: number): void {
    this.ranges?.onAcked(start, end);
    const arrived = this.ranges === undefined || this.ranges.ackedPrefix === this.payload.length;
    if (arrived) this.#sender.onArrived(this);
    else if (!this.ranges.wantsToSend(this.payload.length)) this.#sender.onNothingToSend(this);
  }

  onLost(start: number, end: number): void {
    this.wasLost = true;
    this.ranges?.onLost(start, end);
    this.#sender.onSendAgain(this);
  }
}

/** Messages of one urgency that have something to send. */
class Lane {
  readonly wholeAgain = new Set<OutgoingMessage>();
  readonly whole = new Set<OutgoingMessage>();
  readonly parts = new Set<OutgoingMessage>();

  get wantsToSend(): boolean {
    return this.wholeAgain.size > 0 || this.whole.size > 0 || this.parts.size > 0;
  }

  clear(): void {
    this.wholeAgain.clear();
    this.whole.clear();
    this.parts.clear();
  }
}

/**
 * Sends messages: the end of the session, then by urgency those of one frame, lost ones first, then the parts of larger
 * ones in turn.
 */
export class MessageSender implements RequestFrameSource {
  readonly #sessionCredit: SendCredit;
  /** Everything that has not arrived. */
  readonly #messages = new Set<OutgoingMessage>();
  /** What has something to send. */
  readonly #last = new Set<OutgoingMessage>();
  readonly #handshakeRequest = new Set<OutgoingMessage>();
  readonly #lanes = Array.from({ length: URGENCY_LAST + 1 }, () => new Lane());
  /** Fragmented messages that wait for session credit, in order. */
  readonly #uncharged = new Queue<OutgoingMessage>();
  /** The HandshakeRequest until it has arrived. */
  #unansweredRequest: OutgoingMessage | undefined;
  /** The newest Move; an older one is no longer of interest. */
  #move: OutgoingMessage | undefined;
  #bufferedBytes = 0;

  constructor(sessionCredit: SendCredit) {
    this.#sessionCredit = sessionCredit;
  }

  /** Bytes of payload that have not arrived. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Messages that have not arrived. */
  get length(): number {
    return this.#messages.size;
  }

  /** Whether the end of the session waits, which goes out past a full congestion window. */
  get hasLast(): boolean {
    return this.#last.size > 0;
  }

  /** Whether a HandshakeRequest waits: the gate lets through only packets that carry nothing else. */
  get hasHandshakeRequest(): boolean {
    return this.#handshakeRequest.size > 0;
  }

  /** Whether a message waits for session credit; streams leave it to messages then. */
  get awaitsCredit(): boolean {
    return this.#uncharged.length > 0;
  }

  get wantsToSend(): boolean {
    return this.#last.size > 0 || this.#handshakeRequest.size > 0 ||
      this.#lanes.some((lane) => lane.wantsToSend);
  }

  /** Takes a message, which the caller must not change any more. */
  send(type: MessageType, requestId: number, payload: Uint8Array, urgency: number): void {
    const message = new OutgoingMessage(this, type, requestId, payload, urgency);
    this.#messages.add(message);
    this.#bufferedBytes += payload.length;
    if (type === MessageType.HANDSHAKE_REQUEST) this.#unansweredRequest = message;
    if (type === MessageType.MOVE) {
      if (this.#move !== undefined) this.onArrived(this.#move);
      this.#move = message;
    }
    if (message.ranges === undefined || !isCharged(type)) {
      this.onSendAgain(message);
    } else {
      this.#uncharged.push(message);
      this.chargeWaiting();
    }
  }

  /** Charges messages that waited for session credit as far as there is some. */
  chargeWaiting(): void {
    for (let message; (message = this.#uncharged.peek()) !== undefined;) {
      if (message.payload.length > this.#sessionCredit.available) {
        this.#sessionCredit.sayBlocked();
        return;
      }
      this.#sessionCredit.used += message.payload.length;
      this.#uncharged.shift();
      this.#lanes[message.urgency]!.parts.add(message);
    }
  }

  /** Puts the end of the session into a packet. */
  packLast(builder: PacketBuilder): void {
    packWhole(this.#last, builder);
  }

  /** Puts a HandshakeRequest, or a part of it, into a packet. */
  packHandshakeRequest(builder: PacketBuilder): void {
    const [message] = this.#handshakeRequest;
    if (message?.ranges === undefined) packWhole(this.#handshakeRequest, builder);
    else packParts(this.#handshakeRequest, builder);
  }

  /** Has a HandshakeRequest of one frame sent once more, if it has not arrived. */
  repeatHandshakeRequest(): void {
    const message = this.#unansweredRequest;
    if (message !== undefined && message.ranges === undefined) this.onSendAgain(message);
  }

  pack(builder: PacketBuilder, urgency: number): void {
    if (urgency === URGENCY_FIRST) packWhole(this.#last, builder);
    const { wholeAgain, whole, parts } = this.#lanes[urgency]!;
    packWhole(wholeAgain, builder);
    packWhole(whole, builder);
    packParts(parts, builder);
  }

  /** The line in which a message waits for its turn. */
  #line(message: OutgoingMessage): Set<OutgoingMessage> {
    if (endsSession(message.type, message.requestId)) return this.#last;
    if (message.type === MessageType.HANDSHAKE_REQUEST) return this.#handshakeRequest;
    const { wholeAgain, whole, parts } = this.#lanes[message.urgency]!;
    if (message.ranges !== undefined) return parts;
    return message.wasLost ? wholeAgain : whole;
  }

  /** Something of a message has to be sent (again). */
  onSendAgain(message: OutgoingMessage): void {
    if (!this.#messages.has(message)) return;
    if (message.ranges?.wantsToSend(message.payload.length) === false) return;
    this.#line(message).add(message);
  }

  /** What was to be sent again has arrived after all. */
  onNothingToSend(message: OutgoingMessage): void {
    this.#line(message).delete(message);
  }

  /** All of a message has arrived. */
  onArrived(message: OutgoingMessage): void {
    if (!this.#messages.delete(message)) return;
    this.#bufferedBytes -= message.payload.length;
    this.#line(message).delete(message);
    if (this.#unansweredRequest === message) this.#unansweredRequest = undefined;
    if (this.#move === message) this.#move = undefined;
  }

  /** Drops all messages. */
  close(): void {
    this.#messages.clear();
    this.#last.clear();
    this.#handshakeRequest.clear();
    for (const lane of this.#lanes) lane.clear();
    this.#uncharged.clear();
    this.#unansweredRequest = undefined;
    this.#move = undefined;
    this.#bufferedBytes = 0;
  }
}

/** Whether a message belongs to the end of a session: Termination, and the Error that says why. */
export function endsSession(type: MessageType, requestId: number): boolean {
  return type === MessageType.TERMINATION || (type === MessageType.ERROR && requestId === 0);
}

/** Puts messages of one frame each into a packet until one does not fit. */
function packWhole(messages: Set<OutgoingMessage>, builder: PacketBuilder): void {
  for (const message of messages) {
    const { payload, type, requestId } = message;
    if (payload.length > builder.remaining) return;
    builder.frame(type, 0, requestId, payload.length).set(payload);
    builder.track(message, 0, payload.length);
    messages.delete(message);
  }
}

/** Puts parts of messages into a packet, one of each in turn. */
function packParts(messages: Set<OutgoingMessage>, builder: PacketBuilder): void {
  for (const message of messages) {
    const room = builder.remaining - FRAGMENT_PREFIX_BYTES;
    if (room < PART_BYTES_MIN) return;
    const { payload, type, requestId } = message;
    const range = message.ranges!.take(payload.length, room)!;
    const frame = builder.frame(
      type,
      Flag.FRAGMENT,
      requestId,
      FRAGMENT_PREFIX_BYTES + range.end - range.start,
    );
    encodeFragmentPrefix(frame, range.start, payload.length)
      .set(payload.subarray(range.start, range.end));
    builder.track(message, range.start, range.end);
    // To the end of the line, if there is more.
    messages.delete(message);
    if (message.ranges!.wantsToSend(payload.length)) messages.add(message);
  }
}
