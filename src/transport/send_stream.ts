// One stream on its way out: its bytes until they have arrived, and its end.

import { encodeStreamDataPrefix, STREAM_DATA_PREFIX_BYTES } from "../wire/stream_data.ts";
import { encodeStreamEnd, STREAM_END_PREFIX_BYTES } from "../wire/stream_end.ts";
import { Flag, MessageType } from "../wire/frame.ts";
import { type ControlFrame, type ControlQueue, SendCredit } from "./credit.ts";
import type { SentOwner } from "./sent_packet.ts";
import type { PacketBuilder } from "./packer.ts";
import { SendRanges } from "./send_ranges.ts";

/** Bytes of a stream as they were written. */
interface Chunk {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** Which stream it is, and whose. */
interface StreamOwner {
  readonly streamId: number;
  readonly requestId: number;
  readonly urgency: number;
}

/** Learns when a stream has something to send, when it was sent, when its buffer shrinks, and when it is over. */
export interface SendStreamObserver {
  onStreamWants(stream: SendStream): void;
  onStreamReleased(stream: SendStream, lengthBytes: number): void;
  onStreamSent(stream: SendStream): void;
  onStreamOver(stream: SendStream): void;
}

/** The sending side of a stream. FIN counts as one more byte after the last, so that it is tracked like one. */
export class SendStream implements SentOwner {
  readonly streamId: number;
  readonly requestId: number;
  readonly urgency: number;
  readonly credit: SendCredit;
  readonly #observer: SendStreamObserver;
  readonly #controls: ControlQueue;
  readonly #ranges = new SendRanges();
  #chunks: Chunk[] = [];
  /** Index of the first chunk that is still needed. */
  #firstChunk = 0;
  #writtenBytes = 0;
  #releasedBytes = 0;
  #finished = false;
  #end: StreamEndFrame | undefined;

  constructor(
    { streamId, requestId, urgency }: StreamOwner,
    creditBytes: number,
    controls: ControlQueue,
    observer: SendStreamObserver,
  ) {
    this.streamId = streamId;
    this.requestId = requestId;
    this.urgency = urgency;
    this.credit = new SendCredit({ streamId, requestId }, creditBytes, controls);
    this.#controls = controls;
    this.#observer = observer;
  }

  /** Bytes written that have not arrived. */
  get bufferedBytes(): number {
    return this.#writtenBytes - this.#releasedBytes;
  }

  /** Bytes that were not sent yet. */
  get unsentBytes(): number {
    return this.#writtenBytes - this.sentBytes;
  }

  /** Whether bytes may still be written. */
  get isOpen(): boolean {
    return !this.#finished && this.#end === undefined;
  }

  /** Appends bytes, which the caller must not change any more. */
  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push({ start: this.#writtenBytes, bytes });
    this.#writtenBytes += bytes.length;
    this.#observer.onStreamWants(this);
  }

  /** Nothing more will be written. */
  finish(): void {
    this.#finished = true;
    this.#observer.onStreamWants(this);
  }

  /** Drops what has not arrived and tells the peer why. */
  abort(error: Uint8Array): void {
    if (this.#end !== undefined) return;
    this.#end = new StreamEndFrame(this, error, this.#controls, this.#observer);
    this.#release(this.#writtenBytes);
    this.credit.close();
    this.#controls.add(this.#end);
  }

  /** Bytes that were sent at least once: what the peer has to account for. */
  get sentBytes(): number {
    return Math.min(this.#ranges.sentBytes, this.#writtenBytes);
  }

  /** The end of what may be sent now, FIN included. */
  #limit(sessionAvailable: number): number {
    const creditEnd = Math.min(this.credit.maximum, this.sentBytes + sessionAvailable);
    if (creditEnd < this.#writtenBytes) return creditEnd;
    return this.#writtenBytes + (this.#finished ? 1 : 0);
  }

  /** Whether a packet could carry something of it now. */
  wantsToSend(sessionAvailable: number): boolean {
    return this.#end === undefined && this.#ranges.wantsToSend(this.#limit(sessionAvailable));
  }

  /** Whether it has bytes that it has no credit for. */
  get isBlocked(): boolean {
    return this.#end === undefined && this.credit.maximum < this.#writtenBytes &&
      this.sentBytes >= this.credit.maximum;
  }

  /** Puts one frame of at most `roomBytes` of payload into a packet. Returns how much session credit it used. */
  pack(builder: PacketBuilder, roomBytes: number, sessionAvailable: number): number {
    const sentBefore = this.sentBytes;
    const lengthMax = roomBytes - STREAM_DATA_PREFIX_BYTES;
    const range = this.#ranges.take(this.#limit(sessionAvailable), lengthMax);
    if (range === undefined) return 0;
    const end = Math.min(range.end, this.#writtenBytes);
    const flags = range.end > this.#writtenBytes ? Flag.FIN : 0;
    const length = end - range.start;
    const payload = builder.frame(
      MessageType.STREAM_DATA,
      flags,
      this.requestId,
      STREAM_DATA_PREFIX_BYTES + length,
    );
    this.#copy(range.start, encodeStreamDataPrefix(payload, this.streamId, range.start));
    builder.track(this, range.start, range.end);
    this.#observer.onStreamSent(this);
    return this.sentBytes - sentBefore;
  }

  /** Copies bytes from `start` on, as many as the target holds. */
  #copy(start: number, target: Uint8Array): void {
    let at = 0;
    for (let index = this.#chunkIndex(start); at < target.length; index++) {
      const chunk = this.#chunks[index]!;
      const from = start + at - chunk.start;
      const part = chunk.bytes.subarray(from, from + target.length - at);
      target.set(part, at);
      at += part.length;
    }
  }

  /** The index of the chunk that holds the byte at `offset`. */
  #chunkIndex(offset: number): number {
    let low = this.#firstChunk;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#chunks[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  onAcked(start: number, end: number): void {
    if (this.#end !== undefined) return;
    this.#ranges.onAcked(start, end);
    const prefix = this.#ranges.ackedPrefix;
    this.#release(Math.min(prefix, this.#writtenBytes));
    if (this.#finished && prefix > this.#writtenBytes) {
      this.credit.close();
      this.#observer.onStreamOver(this);
    }
  }

  onLost(start: number, end: number): void {
    if (this.#end !== undefined) return;
    this.#ranges.onLost(start, end);
    this.#observer.onStreamWants(this);
  }

  /** Lets go of the chunks below an offset. */
  #release(below: number): void {
    const lengthBytes = below - this.#releasedBytes;
    if (lengthBytes <= 0) return;
    this.#releasedBytes = below;
    const chunks = this.#chunks;
    while (this.#firstChunk < chunks.length) {
      const chunk = chunks[this.#firstChunk]!;
      if (chunk.start + chunk.bytes.length > below) break;
      this.#firstChunk++;
    }
    if (this.#firstChunk >= 32 && 2 * this.#firstChunk >= chunks.length) {
      this.#chunks = chunks.slice(this.#firstChunk);
      this.#firstChunk = 0;
    }
    if (below === this.#writtenBytes) {
      this.#chunks = [];
      this.#firstChunk = 0;
    }
    this.#observer.onStreamReleased(this, lengthBytes);
  }
}

/** The frame that ends a stream without FIN, sent until it has arrived. */
class StreamEndFrame implements ControlFrame, SentOwner {
  readonly payloadBytes: number;
  readonly #stream: SendStream;
  readonly #finalOffset: number;
  readonly #error: Uint8Array;
  readonly #controls: ControlQueue;
  readonly #observer: SendStreamObserver;
  #arrived = false;

  constructor(
    stream: SendStream,
    error: Uint8Array,
    controls: ControlQueue,
    observer: SendStreamObserver,
  ) {
    this.payloadBytes = STREAM_END_PREFIX_BYTES + error.length;
    this.#stream = stream;
    this.#finalOffset = stream.sentBytes;
    this.#error = error;
    this.#controls = controls;
    this.#observer = observer;
  }

  write(builder: PacketBuilder): void {
    const { streamId, requestId } = this.#stream;
    const payload = builder.frame(MessageType.STREAM_END, 0, requestId, this.payloadBytes);
    encodeStreamEnd(payload, { streamId, finalOffset: this.#finalOffset, error: this.#error });
    builder.track(this, 0, 0);
  }

  onAcked(): void {
    if (this.#arrived) return;
    this.#arrived = true;
    this.#controls.delete(this);
    this.#observer.onStreamOver(this.#stream);
  }

  onLost(): void {
    if (!this.#arrived) this.#controls.add(this);
  }
}
