// Reads the pages of a result's stream again, and checks the proof at its end (PROTOCOL.md, "Row pages").

import { DecodeError } from "../base/byte_reader.ts";
import { LIMITS } from "./limits.ts";
import { PageCutter } from "./page_cutter.ts";
import { decodeRowPage, decodeTrailer, isTrailer, type Trailer } from "./row_page.ts";
import type { Row } from "./value.ts";

/** Takes the bytes of one stream in order and gives its rows page by page. */
export class PageStream {
  readonly #columnCount: number;
  readonly #pages: PageCutter;
  #rowCount = 0;
  #trailer: Trailer | undefined;

  /** `rowBytesMax` is the limit of a row that the peer keeps to. */
  constructor(columnCount: number, rowBytesMax: number = LIMITS.rowBytesMax) {
    this.#columnCount = columnCount;
    // A row that is alone in its page has the head of an array before it, of at most 5 bytes.
    this.#pages = new PageCutter(Math.max(LIMITS.pageBytesMax, rowBytesMax + 5));
  }

  /** Takes the next bytes of the stream. They are held until their pages are read, so they must not be changed. */
  push(bytes: Uint8Array): void {
    this.#pages.push(bytes);
  }

  /**
   * The rows of the next page that is whole, or `undefined` while there is none. Throws {@linkcode DecodeError} where
   * a page is malformed or follows the last one.
   */
  nextRows(): Row[] | undefined {
    const page = this.#pages.next();
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

  /**
   * What the last page says. Call at the end of the stream. Throws {@linkcode DecodeError} where the result is not
   * whole: there was no last page, bytes are left, or its count is not that of the rows that came.
   */
  finish(): Trailer {
    if (this.#trailer === undefined) throw new DecodeError("a result ended without its last page");
    if (this.#pages.bufferedBytes !== 0) throw new DecodeError("bytes follow the last page");
    if (this.#trailer.rows !== this.#rowCount) {
      throw new DecodeError("rows of a result are missing");
    }
    return this.#trailer;
  }
}
