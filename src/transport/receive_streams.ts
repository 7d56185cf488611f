// All streams on their way in.

import type { Counters } from "../base/counters.ts";
import { decodeStreamData } from "../wire/stream_data.ts";
import { decodeStreamEnd } from "../wire/stream_end.ts";
import { Flag, type Frame } from "../wire/frame.ts";
import type { ControlQueue, ReceiveCredit } from "./credit.ts";
import { type CreditTuning, StreamWindow } from "./credit_tuning.ts";
import type { TransportDrop } from "./drops.ts";
import type { TransportEvent } from "./events.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import type { Inbox } from "./inbox.ts";
import type { Role, TransportLimits } from "./limits.ts";
import { ReceiveStream } from "./receive_stream.ts";
import { SeenIds } from "./seen_ids.ts";

/** What the streams need from the transport around them. */
export interface ReceiveStreamsContext {
  readonly role: Role;
  readonly limits: TransportLimits;
  readonly sessionCredit: ReceiveCredit;
  readonly controls: ControlQueue;
  readonly drops: Counters<TransportDrop>;
  readonly inbox: Inbox;
  readonly tuning: CreditTuning;
  readonly emit: (event: TransportEvent) => void;
}

/** Receives the streams of one peer; their number is bounded, their bytes by credit. */
export class ReceiveStreams {
  readonly #context: ReceiveStreamsContext;
  readonly #streams = new Map<number, ReceiveStream>();
  /** Half of each stream_id that is over: a peer uses every second one. */
  readonly #over: SeenIds;
  #windowBytes: number;

  constructor(context: ReceiveStreamsContext, windowBytes: number) {
    this.#context = context;
    this.#windowBytes = windowBytes;
    this.#over = new SeenIds(context.limits.idGapMax);
  }

  /** Streams that are not over. */
  get length(): number {
    return this.#streams.size;
  }

  /** Memory held for bytes that were not read. */
  get bufferedBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams.values()) bytes += stream.bufferedBytes;
    return bytes;
  }

  /** The peer learns of a larger window in the SQP handshake: it holds for open streams and for new ones. */
  enlarge(windowBytes: number): void {
    this.#windowBytes = Math.max(this.#windowBytes, windowBytes);
    for (const stream of this.#streams.values()) stream.enlarge(windowBytes);
  }

  /** The stream that a frame names, opened where it is new; `undefined` where it is over. */
  #find(streamId: number, requestId: number): ReceiveStream | undefined {
    const known = this.#streams.get(streamId);
    if (known !== undefined) {
      if (known.requestId === requestId) return known;
      throw new TransportFault(TransportFaultCode.STREAM_STATE, "a stream names another request");
    }
    const parityOfPeer = this.#context.role === "client" ? 0 : 1;
    if ((streamId & 1) !== parityOfPeer) {
      throw new TransportFault(
        TransportFaultCode.STREAM_STATE,
        `stream ${streamId} is not the peer's`,
      );
    }
    if (this.#over.has(streamId >>> 1)) return undefined;
    return this.#open(streamId, requestId);
  }

  #open(streamId: number, requestId: number): ReceiveStream {
    const { limits, inbox, sessionCredit, controls, tuning, emit } = this.#context;
    if (requestId === 0 || !inbox.mayExist(requestId)) {
      throw new TransportFault(
        TransportFaultCode.STREAM_STATE,
        `a stream of request ${requestId}`,
      );
    }
    if (this.#streams.size >= limits.streamsMax) {
      throw new TransportFault(TransportFaultCode.LIMIT_EXCEEDED, "too many streams");
    }
    this.#over.use(streamId >>> 1);
    const window = this.#windowBytes;
    const tuned = new StreamWindow(tuning);
    const stream = new ReceiveStream(streamId, requestId, window, sessionCredit, controls, tuned);
    this.#streams.set(streamId, stream);
    if (inbox.isFinished(requestId)) stream.stop();
    else emit({ kind: "stream-opened", requestId, streamId });
    return stream;
  }

  /** Takes a StreamData frame. Throws {@linkcode TransportFault} or `DecodeError`. */
  handleData(frame: Frame): void {
    const fin = (frame.flags & Flag.FIN) !== 0;
    const { streamId, offset, bytes } = decodeStreamData(frame.payload, fin);
    const stream = this.#find(streamId, frame.requestId);
    if (stream === undefined) return this.#context.drops.add("stream finished");
    if (stream.isStopped) this.#context.drops.add("stream stopped");
    stream.receive(offset, bytes, fin);
    this.#tell(stream);
  }

  /** Takes a StreamEnd frame. Throws {@linkcode TransportFault} or `DecodeError`. */
  handleEnd(frame: Frame): void {
    const { streamId, finalOffset, error } = decodeStreamEnd(frame.payload);
    const { requestId } = frame;
    const stream = this.#find(streamId, requestId);
    if (stream === undefined) return this.#context.drops.add("stream finished");
    const told = !stream.isStopped;
    stream.end(finalOffset);
    if (told) this.#context.emit({ kind: "stream-ended", requestId, streamId, error });
    this.#forget(stream);
  }

  /** Tells the layer above what changed, and forgets the stream where it is over. */
  #tell(stream: ReceiveStream): void {
    const { streamId, requestId } = stream;
    if (stream.isReadable && !stream.readableTold) {
      stream.readableTold = true;
      this.#context.emit({ kind: "stream-readable", requestId, streamId });
    }
    if (!stream.isOver) return;
    if (!stream.isStopped) this.#context.emit({ kind: "stream-finished", requestId, streamId });
    this.#forget(stream);
  }

  #forget(stream: ReceiveStream): void {
    stream.close();
    this.#streams.delete(stream.streamId);
    this.#over.end(stream.streamId >>> 1);
  }

  /** The next bytes of a stream in order, or `undefined`. */
  read(streamId: number): Uint8Array | undefined {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return undefined;
    const bytes = stream.read();
    if (bytes === undefined) stream.readableTold = false;
    else if (stream.isOver) this.#tell(stream);
    return bytes;
  }

  /** Drops what a stream has and will have. */
  stop(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#context.drops.add("call for a finished stream");
    stream.stop();
    if (stream.isOver) this.#forget(stream);
  }

  /** Drops what belongs to a request. */
  stopRequest(requestId: number): void {
    for (const stream of this.#streams.values()) {
      if (stream.requestId === requestId) this.stop(stream.streamId);
    }
  }

  /** The peer is out of credit for a stream; one that is over or never seen needs none. */
  onBlocked(streamId: number, maximum: number): void {
    this.#streams.get(streamId)?.onBlocked(maximum);
  }

  /** Drops all streams. */
  close(): void {
    this.#streams.clear();
    this.#over.clear();
  }
}
