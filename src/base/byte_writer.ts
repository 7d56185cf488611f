// A growing buffer of big-endian fields whose vector lengths are filled in afterwards.

import { EMPTY_BYTES, utf8Bytes } from "./bytes.ts";
import { shortBytes } from "./short_bytes.ts";

/** Bytes of the rooms that writers take over from one another: what nearly all messages fit in. */
const SPARE_ROOM_BYTES = 4_096;

/** Rooms that are kept for the next writers: as many as write at once, one inside the other. */
const SPARE_ROOMS_MAX = 8;

/** Bytes that are copied one by one. */
const LOOP_BYTES_MAX = 40;

/** Rooms of writers that have finished, all zeros: to allocate one takes longer than to fill it. */
const spareRooms: Uint8Array[] = [];

/** Writes big-endian fields one after the other. Throws `RangeError` where a vector exceeds its length field. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#bytes = initialBytes > SPARE_ROOM_BYTES
      ? new Uint8Array(initialBytes)
      : spareRooms.pop() ?? new Uint8Array(SPARE_ROOM_BYTES);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  #reserve(lengthBytes: number): number {
    const start = this.#length;
    const end = start + lengthBytes;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, start));
      this.#spare();
      this.#bytes = grown;
    }
    this.#length = end;
    return start;
  }

  /** Leaves the room to another writer; what was written there may be secret. */
  #spare(): void {
    if (this.#bytes.length !== SPARE_ROOM_BYTES || spareRooms.length >= SPARE_ROOMS_MAX) return;
    this.#bytes.fill(0, 0, this.#length);
    spareRooms.push(this.#bytes);
  }

  /** Writes an unsigned integer of 1 byte. */
  u8(value: number): this {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
    return this;
  }

  /** Writes an unsigned integer of 2 bytes. */
  u16(value: number): this {
    const at = this.#reserve(2);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
    return this;
  }

  /** Writes an unsigned integer of 3 bytes. */
  u24(value: number): this {
    const at = this.#reserve(3);
    this.#bytes[at] = value >>> 16;
    this.#bytes[at + 1] = value >>> 8;
    this.#bytes[at + 2] = value;
    return this;
  }

  /** Writes an unsigned integer of 4 bytes. */
  u32(value: number): this {
    const at = this.#reserve(4);
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
    return this;
  }

  /** Writes an unsigned integer of 6 bytes. */
  u48(value: number): this {
    return this.u16(Math.floor(value / 0x1_0000_0000)).u32(value % 0x1_0000_0000);
  }

  /** Writes an unsigned integer of 8 bytes. */
  u64(value: bigint): this {
    return this.u32(Number(value >> 32n)).u32(Number(value & 0xffff_ffffn));
  }

  /** Writes an unsigned integer of 8 bytes from a safe integer. */
  u64Number(value: number): this {
    return this.u32(Math.floor(value / 0x1_0000_0000)).u32(value % 0x1_0000_0000);
  }

  /** Writes bytes as they are. */
  bytes(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Writes a vector: `body` writes its content, and its length is put before it in `lengthSize` bytes. */
  vector(lengthSize: 1 | 2 | 3, body: (writer: this) => void): this {
    const at = this.#reserve(lengthSize);
    body(this);
    this.#setLength(at, lengthSize, this.#length - at - lengthSize);
    return this;
  }

  #setLength(at: number, lengthSize: 1 | 2 | 3, lengthBytes: number): void {
    if (lengthBytes >>> (8 * lengthSize) !== 0) {
      throw new RangeError(`${lengthBytes} bytes do not fit a length field of ${lengthSize}`);
    }
    for (let i = 0; i < lengthSize; i++) {
      this.#bytes[at + i] = lengthBytes >>> (8 * (lengthSize - 1 - i));
    }
  }

  /** Writes bytes as a vector with its length before it in `lengthSize` bytes. */
  opaque(lengthSize: 1 | 2 | 3, bytes: Uint8Array): this {
    this.#setLength(this.#reserve(lengthSize), lengthSize, bytes.length);
    return this.bytes(bytes);
  }

  /** Writes a text in UTF-8 as a vector with its length before it in `lengthSize` bytes. */
  text(lengthSize: 1 | 2 | 3, text: string): this {
    const start = this.#length;
    const at = this.#reserve(lengthSize + text.length) + lengthSize;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) {
        this.#length = start;
        return this.opaque(lengthSize, utf8Bytes(text));
      }
      this.#bytes[at + i] = code;
    }
    this.#setLength(start, lengthSize, text.length);
    return this;
  }

  /** The bytes written so far as a view, valid until the next write, or the end. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets what was written; the room stays for what is written next. */
  clear(): void {
    this.#length = 0;
  }

  /** The bytes written so far, for good: the writer is empty after that. */
  finish(): Uint8Array {
    const written = this.#bytes.slice(0, this.#length);
    this.discard();
    return written;
  }

  /** The same for this program's own use: see {@linkcode shortBytes}. */
  finishShort(): Uint8Array {
    const written = shortBytes(this.#length);
    // A view of a few bytes, to copy them from, takes longer than this.
    if (written.length > LOOP_BYTES_MAX) written.set(this.view());
    else for (let i = 0; i < written.length; i++) written[i] = this.#bytes[i]!;
    this.discard();
    return written;
  }

  /** Gives up what was written, and where: the writer is empty after that. */
  discard(): void {
    this.#spare();
    this.#bytes = EMPTY_BYTES;
    this.#length = 0;
  }
}
