// All streams on their way out, in turn.

import type { Counters } from "../base/counters.ts";
import { STREAM_DATA_PREFIX_BYTES } from "../wire/stream_data.ts";
import { URGENCY_LAST } from "../wire/urgency.ts";
import type { ControlQueue, SendCredit } from "./credit.ts";
import type { TransportDrop } from "./drops.ts";
import type { TransportEvent } from "./events.ts";
import { TransportFault, TransportFaultCode, TransportLimitError } from "./fault.ts";
import {
  PART_BYTES_MIN,
  type Role,
  STREAM_ERROR_BYTES_MAX,
  type TransportLimits,
} from "./limits.ts";
import type { PacketBuilder, RequestFrameSource } from "./packer.ts";
import { SendStream, type SendStreamObserver } from "./send_stream.ts";

/** What the streams need from the transport around them. */
export interface SendStreamsContext {
  readonly role: Role;
  readonly limits: TransportLimits;
  readonly sessionCredit: SendCredit;
  readonly controls: ControlQueue;
  readonly drops: Counters<TransportDrop>;
  readonly emit: (event: TransportEvent) => void;
  /** Whether messages wait for session credit, which is theirs then. */
  readonly creditIsReserved: () => boolean;
}

/** Opens, sends and ends streams. Those of one urgency with something to send take turns, a frame each. */
export class SendStreams implements RequestFrameSource, SendStreamObserver {
  readonly #context: SendStreamsContext;
  readonly #streams = new Map<number, SendStream>();
  /** Streams that may have something to send, by urgency, in the order of their turns. */
  readonly #ready = Array.from({ length: URGENCY_LAST + 1 }, () => new Set<SendStream>());
  /** Streams whose writers wait for room. */
  readonly #full = new Set<SendStream>();
  #creditBytes: number;
  #nextStreamId: number;
  #bufferedBytes = 0;
  wantsToSend = false;

  constructor(context: SendStreamsContext, creditBytes: number) {
    this.#context = context;
    this.#creditBytes = creditBytes;
    this.#nextStreamId = context.role === "server" ? 2 : 1;
  }

  /** Bytes of all streams that have not arrived. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Streams that are not over. */
  get length(): number {
    return this.#streams.size;
  }

  /** Opens a stream. Throws {@linkcode TransportLimitError} where too many are open. */
  open(requestId: number, urgency: number): number {
    const { limits, controls } = this.#context;
    if (this.#streams.size >= limits.streamsMax) throw new TransportLimitError("too many streams");
    const streamId = this.#nextStreamId;
    if (streamId > 0xffff_ffff) throw new TransportLimitError("no stream id is left");
    this.#nextStreamId += 2;
    this.#streams.set(
      streamId,
      new SendStream({ streamId, requestId, urgency }, this.#creditBytes, controls, this),
    );
    return streamId;
  }

  /** The line in which a stream waits for its turn. */
  #line({ urgency }: SendStream): Set<SendStream> {
    return this.#ready[urgency]!;
  }

  /** The stream if it is open for writing; otherwise the call came late and is counted. */
  #open(streamId: number): SendStream | undefined {
    const stream = this.#streams.get(streamId);
    if (stream?.isOpen) return stream;
    this.#context.drops.add("call for a finished stream");
    return undefined;
  }

  /** Appends bytes to a stream. Throws {@linkcode TransportLimitError} where too many wait already. */
  write(streamId: number, bytes: Uint8Array): void {
    const stream = this.#open(streamId);
    if (stream === undefined) return;
    if (stream.bufferedBytes + bytes.length > this.#context.limits.sendStreamBytesMax) {
      throw new TransportLimitError(`stream ${streamId} has too many bytes waiting`);
    }
    this.#bufferedBytes += bytes.length;
    stream.write(bytes);
    if (this.#waitingBytes(stream) >= this.#context.limits.streamLowWaterBytes) {
      this.#full.add(stream);
    }
  }

  /** Bytes of a stream that its writer has to wait for, 0 where it is over. */
  waitingBytesOf(streamId: number): number {
    const stream = this.#streams.get(streamId);
    return stream === undefined ? 0 : this.#waitingBytes(stream);
  }

  /** What the path and the peer's credit hold back, and what was sent only where it is very much. */
  #waitingBytes({ unsentBytes, bufferedBytes }: SendStream): number {
    const sentBytes = bufferedBytes - unsentBytes;
    return unsentBytes + Math.max(0, sentBytes - this.#context.limits.sentStreamBytesMax);
  }

  /** Tells the writer of a stream that was full when it has room. */
  #tellRoom(stream: SendStream): void {
    if (this.#waitingBytes(stream) >= this.#context.limits.streamLowWaterBytes) return;
    if (!this.#full.delete(stream) || !stream.isOpen) return;
    const { streamId, requestId } = stream;
    this.#context.emit({ kind: "stream-writable", streamId, requestId });
  }

  /** Ends a stream with FIN. */
  finish(streamId: number): void {
    this.#open(streamId)?.finish();
  }

  /**
   * Ends a stream with StreamEnd, also after FIN. Throws {@linkcode TransportLimitError} where the error is too long.
   */
  abort(streamId: number, error: Uint8Array): void {
    if (error.length > STREAM_ERROR_BYTES_MAX) throw new TransportLimitError("error too long");
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#context.drops.add("call for a finished stream");
    this.#line(stream).delete(stream);
    stream.abort(error);
  }

  /** The peer stated how much of each stream it accepts. */
  raiseInitialCredit(creditBytes: number): void {
    this.#creditBytes = Math.max(this.#creditBytes, creditBytes);
    for (const stream of this.#streams.values()) {
      if (stream.credit.raise(creditBytes)) this.#line(stream).add(stream);
    }
  }

  /** A Credit of the peer. Throws {@linkcode TransportFault} for a stream that was never opened. */
  onCredit(streamId: number, requestId: number, maximum: number): void {
    const parityIsOurs = (streamId & 1) === (this.#nextStreamId & 1);
    if (!parityIsOurs || streamId >= this.#nextStreamId) {
      throw new TransportFault(TransportFaultCode.STREAM_STATE, `credit for stream ${streamId}`);
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#context.drops.add("credit of a finished stream");
    if (stream.requestId !== requestId) {
      throw new TransportFault(TransportFaultCode.STREAM_STATE, "credit names another request");
    }
    if (stream.credit.raise(maximum)) this.#line(stream).add(stream);
  }

  /** Session credit that streams may use now. */
  get #sessionAvailable(): number {
    return this.#context.creditIsReserved() ? 0 : this.#context.sessionCredit.available;
  }

  /** Looks who has a turn: sets {@linkcode wantsToSend}, and says who is blocked by credit. */
  takeTurns(): void {
    const available = this.#sessionAvailable;
    this.wantsToSend = false;
    for (const line of this.#ready) {
      for (const stream of line) {
        if (stream.wantsToSend(available)) {
          this.wantsToSend = true;
          return;
        }
        this.#rest(stream, available);
      }
    }
  }

  /** Takes a stream that has nothing to send now out of the turns, and says why it is blocked. */
  #rest(stream: SendStream, available: number): void {
    if (stream.isBlocked) stream.credit.sayBlocked();
    else if (stream.wantsToSend(Infinity)) {
      // It waits for session credit and keeps its turn.
      if (available === 0 && !this.#context.creditIsReserved()) {
        this.#context.sessionCredit.sayBlocked();
      }
      return;
    }
    this.#line(stream).delete(stream);
  }

  pack(builder: PacketBuilder, urgency: number): void {
    const line = this.#ready[urgency]!;
    const available = this.#sessionAvailable;
    let left = available;
    for (const stream of line) {
      const room = builder.remaining;
      if (room < STREAM_DATA_PREFIX_BYTES + PART_BYTES_MIN) break;
      if (stream.wantsToSend(left)) {
        left -= stream.pack(builder, room, left);
        // To the end of the line; it is asked again whether there is more when it is its turn.
        line.delete(stream);
        line.add(stream);
      } else this.#rest(stream, left);
    }
    this.#context.sessionCredit.used += available - left;
  }

  onStreamWants(stream: SendStream): void {
    this.#line(stream).add(stream);
  }

  onStreamReleased(stream: SendStream, lengthBytes: number): void {
    this.#bufferedBytes -= lengthBytes;
    if (this.#full.has(stream)) this.#tellRoom(stream);
  }

  onStreamSent(stream: SendStream): void {
    if (this.#full.has(stream)) this.#tellRoom(stream);
  }

  onStreamOver(stream: SendStream): void {
    this.#line(stream).delete(stream);
    this.#full.delete(stream);
    this.#streams.delete(stream.streamId);
  }

  /** Drops all streams. */
  close(): void {
    this.#streams.clear();
    for (const line of this.#ready) line.clear();
    this.#full.clear();
    this.wantsToSend = false;
    this.#bufferedBytes = 0;
  }
}
