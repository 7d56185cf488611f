// Cuts the bytes of a stream into the pages that it is made of: u32 length, then as many bytes of payload.

import { DecodeError } from "../base/byte_reader.ts";
import { concatBytes } from "../base/bytes.ts";

/** Bytes of the length before a page's payload. */
export const PAGE_PREFIX_BYTES = 4;

/** Takes the bytes of one stream in order and gives its pages. */
export class PageCutter {
  readonly #pageBytesMax: number;
  readonly #parts: Uint8Array[] = [];
  #bufferedBytes = 0;

  /** `pageBytesMax` is the length of the largest payload that the peer may send. */
  constructor(pageBytesMax: number) {
    this.#pageBytesMax = pageBytesMax;
  }

  /** Bytes that were pushed and belong to no page that was taken. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Takes the next bytes of the stream. They are held until their pages are read, so they must not be changed. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#bufferedBytes += bytes.length;
  }

  /** The payload of the next page, once all of it is there. Throws {@linkcode DecodeError} where it is too large. */
  next(): Uint8Array | undefined {
    const lengthBytes = this.#announcedBytes();
    if (lengthBytes === undefined) return undefined;
    if (lengthBytes > this.#pageBytesMax) throw new DecodeError("a page is larger than the limit");
    const endBytes = PAGE_PREFIX_BYTES + lengthBytes;
    if (this.#bufferedBytes < endBytes) return undefined;
    const joined = this.#join();
    this.#parts[0] = joined.subarray(endBytes);
    this.#bufferedBytes -= endBytes;
    return joined.subarray(PAGE_PREFIX_BYTES, endBytes);
  }

  #announcedBytes(): number | undefined {
    if (this.#bufferedBytes < PAGE_PREFIX_BYTES) return undefined;
    if (this.#parts[0]!.length < PAGE_PREFIX_BYTES) this.#join();
    const first = this.#parts[0]!;
    return new DataView(first.buffer, first.byteOffset).getUint32(0);
  }

  #join(): Uint8Array {
    if (this.#parts.length > 1) this.#parts.splice(0, Infinity, concatBytes(...this.#parts));
    return this.#parts[0]!;
  }
}

/** A page's payload with its length before it, as it stands in a stream. */
export function pageOf(...parts: readonly Uint8Array[]): Uint8Array {
  const prefix = new Uint8Array(PAGE_PREFIX_BYTES);
  const page = concatBytes(prefix, ...parts);
  new DataView(page.buffer).setUint32(0, page.length - PAGE_PREFIX_BYTES);
  return page;
}
