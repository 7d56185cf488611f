// Row pages: encoded rows, gathered until a page is full, and decoded again (PROTOCOL.md, "Row pages").

import { DecodeError } from "../base/byte_reader.ts";
import { decodeControl, encodeControl } from "./control.ts";
import { SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { PAGE_PREFIX_BYTES, pageOf } from "./page_cutter.ts";
import type { Row, SqlValue } from "./value.ts";
import { ValueReader } from "./value_reader.ts";
import { NumberKind, ValueWriter } from "./value_writer.ts";

/** Bytes before the first row in a page under construction: the prefix and the longest head of an array. */
const ROOM_BYTES = PAGE_PREFIX_BYTES + 5;

const ROOM = new Uint8Array(ROOM_BYTES);

/** Bounds of the pages that a {@linkcode RowPageWriter} makes. */
export interface RowPageWriterOptions {
  /** Bytes of the payload of a page that holds more than one row. */
  readonly pageBytesMax?: number;
  /** Bytes of one encoded row. */
  readonly rowBytesMax?: number;
  /** How the `number`s of the rows are encoded where {@linkcode RowPageWriter.append} is not told. */
  readonly numbers?: NumberKind;
}

/**
 * Encodes rows one after the other and cuts them into pages:
 *
 *     writer.append(row);
 *     while (writer.full) send(writer.takePage());
 *
 * and at the end, where {@linkcode RowPageWriter.rowCount} is not 0, the page that is left.
 */
export class RowPageWriter {
  readonly #writer = new ValueWriter();
  readonly #pageBytesMax: number;
  readonly #rowBytesMax: number;
  readonly #numbers: NumberKind;
  #rowCount = 0;
  /** Where the last row begins that did not fit the page; it opens the next one. 0 while every row fits. */
  #carriedFrom = 0;

  constructor(options: RowPageWriterOptions = {}) {
    this.#pageBytesMax = options.pageBytesMax ?? LIMITS.pageBytesMax;
    this.#rowBytesMax = options.rowBytesMax ?? LIMITS.rowBytesMax;
    this.#numbers = options.numbers ?? NumberKind.FLOAT64;
    this.#writer.bytes(ROOM);
  }

  /** Forgets the rows that wait. */
  clear(): void {
    this.#writer.truncate(ROOM_BYTES);
    this.#rowCount = 0;
    this.#carriedFrom = 0;
  }

  /** Bytes that rows can take before its buffer grows. */
  get roomBytes(): number {
    return this.#writer.roomBytes;
  }

  /** Rows that wait to be taken. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Bytes of the payload of a page with the rows that wait, the longest head of an array included. */
  get lengthBytes(): number {
    return this.#writer.length - PAGE_PREFIX_BYTES;
  }

  /** Whether a page must be taken before the next row. */
  get full(): boolean {
    return this.#carriedFrom !== 0 || this.#rowCount >= LIMITS.pageRowsMax ||
      (this.#rowCount > 0 && this.lengthBytes >= this.#pageBytesMax);
  }

  /**
   * Adds a row. `kinds` says for each column how its `number`s are encoded; without it the writer's rule holds for
   * all. Throws {@linkcode SqpError} `row_too_large`, `RangeError` where a value has no encoding or the writer is
   * full; either way the row is not added.
   */
  append(row: readonly SqlValue[], kinds?: readonly NumberKind[]): void {
    if (this.full) throw new RangeError("the page is full and was not taken");
    const writer = this.#writer;
    const from = writer.length;
    try {
      writer.arrayHead(row.length);
      for (let i = 0; i < row.length; i++) {
        const value = row[i]!;
        if (typeof value === "string" || value instanceof Uint8Array) {
          this.#checkLength(value.length);
        }
        writer.value(value, kinds === undefined ? this.#numbers : kinds[i] ?? this.#numbers);
        this.#checkLength(writer.length - from);
      }
    } catch (error) {
      writer.truncate(from);
      throw error;
    }
    this.#rowCount++;
    if (this.#rowCount > 1 && this.lengthBytes > this.#pageBytesMax) this.#carriedFrom = from;
  }

  #checkLength(lengthBytes: number): void {
    if (lengthBytes > this.#rowBytesMax) {
      throw new SqpError("row_too_large", {
        message: `A row is larger than ${this.#rowBytesMax} bytes.`,
      });
    }
  }

  /** Takes the next page with its length before it, as it stands in a stream. A copy. */
  takePage(): Uint8Array<ArrayBuffer> {
    return this.#take(PAGE_PREFIX_BYTES);
  }

  /** Takes the payload of the next page alone, as it stands in a Response. A copy. */
  takePayload(): Uint8Array<ArrayBuffer> {
    return this.#take(0);
  }

  #take(prefixBytes: number): Uint8Array<ArrayBuffer> {
    const carriedFrom = this.#carriedFrom;
    const end = carriedFrom === 0 ? this.#writer.length : carriedFrom;
    const count = carriedFrom === 0 ? this.#rowCount : this.#rowCount - 1;
    const headBytes = count < 16 ? 1 : count <= 0xffff ? 3 : 5;
    const all = this.#writer.view();
    const page = all.slice(ROOM_BYTES - headBytes - prefixBytes, end);
    const view = new DataView(page.buffer);
    if (prefixBytes !== 0) view.setUint32(0, page.length - prefixBytes);
    if (headBytes === 1) page[prefixBytes] = 0x90 | count;
    else if (headBytes === 3) {
      page[prefixBytes] = 0xdc;
      view.setUint16(prefixBytes + 1, count);
    } else {
      page[prefixBytes] = 0xdd;
      view.setUint32(prefixBytes + 1, count);
    }
    all.copyWithin(ROOM_BYTES, end);
    this.#writer.truncate(ROOM_BYTES + all.length - end);
    this.#rowCount -= count;
    this.#carriedFrom = 0;
    return page;
  }
}

/**
 * Decodes the payload of a page of rows, each of `columnCount` values. Throws {@linkcode DecodeError}. Byte strings
 * are copies.
 */
export function decodeRowPage(payload: Uint8Array, columnCount: number): Row[] {
  const reader = new ValueReader(payload);
  const rowCount = reader.arrayHead(LIMITS.pageRowsMax);
  const rows: Row[] = [];
  for (let r = 0; r < rowCount; r++) {
    if (reader.arrayHead(LIMITS.columnsMax) !== columnCount) {
      throw new DecodeError("a row has not one value for each column");
    }
    const row: Row = [];
    for (let c = 0; c < columnCount; c++) row.push(reader.value());
    rows.push(row);
  }
  reader.expectEnd();
  return rows;
}

/** How many rows the payload of a page holds. Throws {@linkcode DecodeError}. */
export function pageRowCount(payload: Uint8Array): number {
  return new ValueReader(payload).arrayHead(LIMITS.pageRowsMax);
}

/** The last page of a stream: it proves that the result is whole. */
export interface Trailer {
  /** Rows of all pages before. */
  readonly rows: number;
  /** Rows that the statement inserted, updated or deleted. */
  readonly changes: number;
  /** The row id of the last inserted row; `null` where the statement inserted none. */
  readonly rowid: number | bigint | null;
}

/** Encodes the last page of a stream with its length before it. */
export function encodeTrailer(trailer: Trailer): Uint8Array {
  const { changes, rowid, rows } = trailer;
  return pageOf(encodeControl({ changes, rowid, rows }));
}

/** Whether a page's payload is the trailer and not rows. */
export function isTrailer(payload: Uint8Array): boolean {
  return new ValueReader(payload).atMap;
}

/** Decodes the payload of the last page. Throws {@linkcode DecodeError}. */
export function decodeTrailer(payload: Uint8Array): Trailer {
  const fields = decodeControl(payload);
  return {
    rows: fields.int("rows"),
    changes: fields.int("changes"),
    rowid: fields.optionalInt64("rowid") ?? null,
  };
}
