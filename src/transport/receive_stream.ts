// One stream on its way in: bytes in any order go in, bytes in order come out.

import { RangeSet } from "../base/range_set.ts";
import { type ControlQueue, ReceiveCredit } from "./credit.ts";
import type { StreamWindow } from "./credit_tuning.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import { BYTE_RANGES_MAX } from "./limits.ts";

/** Bytes are kept in blocks of this size, so that small frames cannot hold much more memory than they carry. */
const BLOCK_BYTES = 4_096;

/** The receiving side of a stream. */
export class ReceiveStream {
  readonly streamId: number;
  readonly requestId: number;
  /** Whether an event about readable bytes is out and not answered by reading all of them. */
  readableTold = false;
  readonly #streamCredit: ReceiveCredit;
  readonly #tuned: StreamWindow;
  readonly #sessionCredit: ReceiveCredit;
  readonly #present = new RangeSet();
  readonly #blocks = new Map<number, Uint8Array>();
  #readBytes = 0;
  #finalSize: number | undefined;
  #stopped = false;

  constructor(
    streamId: number,
    requestId: number,
    windowBytes: number,
    sessionCredit: ReceiveCredit,
    controls: ControlQueue,
    tuned: StreamWindow,
  ) {
    this.#tuned = tuned;
    this.streamId = streamId;
    this.requestId = requestId;
    this.#streamCredit = new ReceiveCredit({ streamId, requestId }, windowBytes, controls, tuned);
    this.#sessionCredit = sessionCredit;
  }

  /** Memory held for bytes that were not read, in whole blocks. */
  get bufferedBytes(): number {
    return this.#blocks.size * BLOCK_BYTES;
  }

  /** Whether all bytes up to the final size were read, or the final size is known and nobody reads. */
  get isOver(): boolean {
    return this.#finalSize === (this.#stopped ? this.#streamCredit.received : this.#readBytes);
  }

  /** Whether its bytes are dropped. */
  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Whether there are bytes to read. */
  get isReadable(): boolean {
    return !this.#stopped && this.#present.has(this.#readBytes);
  }

  /** Takes bytes at an offset. Throws {@linkcode TransportFault}. */
  receive(offset: number, bytes: Uint8Array, fin: boolean): void {
    const end = offset + bytes.length;
    if (fin) this.#fixFinalSize(end);
    // "A receiver SHOULD treat receipt of data at or beyond the final size as an error" (RFC 9000, section 4.5).
    else if (this.#finalSize !== undefined && end > this.#finalSize) {
      throw new TransportFault(TransportFaultCode.FINAL_SIZE, "bytes past the final size");
    }
    this.#charge(end);
    if (this.#stopped) return;
    for (let gap; (gap = this.#present.firstGap(offset, end)) !== undefined; offset = gap.end) {
      this.#store(
        gap.start,
        bytes.subarray(bytes.length - (end - gap.start), bytes.length - (end - gap.end)),
      );
      this.#present.addRange(gap.start, gap.end);
    }
    if (this.#present.rangeCount > BYTE_RANGES_MAX) {
      throw new TransportFault(TransportFaultCode.LIMIT_EXCEEDED, "a stream has too many gaps");
    }
  }

  #fixFinalSize(finalSize: number): void {
    // "Once a final size for a stream is known, it cannot change" (RFC 9000, section 4.5).
    const changes = this.#finalSize !== undefined && this.#finalSize !== finalSize;
    if (changes || finalSize < this.#streamCredit.received) {
      throw new TransportFault(TransportFaultCode.FINAL_SIZE, `stream ${this.streamId}`);
    }
    this.#finalSize = finalSize;
    this.#streamCredit.close();
  }

  /** Counts what lies above the highest offset so far against both credits. */
  #charge(end: number): void {
    const more = end - this.#streamCredit.received;
    if (more <= 0) return;
    this.#streamCredit.receive(more);
    this.#sessionCredit.receive(more);
    if (this.#stopped) this.#consume(more);
  }

  #consume(lengthBytes: number): void {
    this.#streamCredit.consume(lengthBytes);
    this.#sessionCredit.consume(lengthBytes);
  }

  #store(start: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const index = Math.floor((start + at) / BLOCK_BYTES);
      let block = this.#blocks.get(index);
      if (block === undefined) this.#blocks.set(index, block = new Uint8Array(BLOCK_BYTES));
      const from = start + at - index * BLOCK_BYTES;
      const part = bytes.subarray(at, at + BLOCK_BYTES - from);
      block.set(part, from);
      at += part.length;
    }
  }

  /** The next bytes in order, a view that stays valid; `undefined` where there are none. Grants credit. */
  read(): Uint8Array | undefined {
    if (!this.isReadable) return undefined;
    const start = this.#readBytes;
    const index = Math.floor(start / BLOCK_BYTES);
    const blockStart = index * BLOCK_BYTES;
    const blockEnd = blockStart + BLOCK_BYTES;
    const end = this.#present.firstGap(start, blockEnd)?.start ?? blockEnd;
    const bytes = this.#blocks.get(index)!.subarray(start - blockStart, end - blockStart);
    if (end === blockEnd) this.#blocks.delete(index);
    this.#readBytes = end;
    this.#consume(bytes.length);
    return bytes;
  }

  /** The peer ends the stream at `finalOffset`: nothing is read any more. Throws {@linkcode TransportFault}. */
  end(finalOffset: number): void {
    this.#fixFinalSize(finalOffset);
    // "The receiver MUST use the final size of the stream to account for all bytes sent on the stream in its
    // connection-level flow controller" (RFC 9000, section 4.5).
    this.#charge(finalOffset);
    this.stop();
  }

  /** Drops what is there and what comes, and counts it as consumed. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#consume(this.#streamCredit.received - this.#readBytes);
    this.#present.clear();
    this.#blocks.clear();
  }

  /** Has no more credit sent, and gives back what it was lent. */
  close(): void {
    this.#streamCredit.close();
    this.#tuned.close();
  }

  /** The peer learns elsewhere of a larger window. */
  enlarge(windowBytes: number): void {
    this.#streamCredit.enlarge(windowBytes);
  }

  /** The peer says that it is out of credit. */
  onBlocked(maximum: number): void {
    this.#streamCredit.onBlocked(maximum);
  }
}
