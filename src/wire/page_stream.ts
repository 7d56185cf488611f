// Cuts the bytes of a result's stream into pages again, and checks the proof at its end (PROTOCOL.md, "Row pages").

import { DecodeError } from "../base/byte_reader.ts";
import { concatBytes } from "../base/bytes.ts";
import { LIMITS } from "./limits.ts";
import {
  decodeRowPage,
  decodeTrailer,
  isTrailer,
  PAGE_PREFIX_BYTES,
  type Trailer,
} from "./row_page.ts";
import type { Row } from "./value.ts";

/** Takes the bytes of one stream in order and gives its rows page by page. */
export class PageStream {
  readonly #columnCount: number;
  readonly #pageBytesMax: number;
  readonly #parts: Uint8Array[] = [];
  #bufferedBytes = 0;
  #rowCount = 0;
  #trailer: Trailer | undefined;

  /** `rowBytesMax` is the limit of a row that the peer keeps to. */
  constructor(columnCount: number, rowBytesMax: number = LIMITS.rowBytesMax) {
    this.#columnCount = columnCount;
    // A row that is alone in its page has the head of an array before it, of at most 5 bytes.
    this.#pageBytesMax = Math.max(LIMITS.pageBytesMax, rowBytesMax + 5);
  }

  /** Takes the next bytes of the stream. They are held until their pages are read, so they must not be changed. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#bufferedBytes += bytes.length;
  }

  /**
   * The rows of the next page that is whole, or `undefined` while there is none. Throws {@linkcode DecodeError} where
   * a page is malformed or follows the last one.
   */
  nextRows(): Row[] | undefined {
    const page = this.#nextPage();
    if (page === undefined) return undefined;
    if (this.#trailer !== undefined) throw new DecodeError("a page follows the last one");
    if (isTrailer(page)) {
      this.#trailer = decodeTrailer(page);
      return this.nextRows();
    }
    const rows = decodeRowPage(page, this.#columnCount);
    this.#rowCount += rows.length;
    return rows;
  }

  /** The payload of the next page, once all of it is there. */
  #nextPage(): Uint8Array | undefined {
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

  /**
   * What the last page says. Call at the end of the stream. Throws {@linkcode DecodeError} where the result is not
   * whole: there was no last page, bytes are left, or its count is not that of the rows that came.
   */
  finish(): Trailer {
    if (this.#trailer === undefined) throw new DecodeError("a result ended without its last page");
    if (this.#bufferedBytes !== 0) throw new DecodeError("bytes follow the last page");
    if (this.#trailer.rows !== this.#rowCount) {
      throw new DecodeError("rows of a result are missing");
    }
    return this.#trailer;
  }
}
