// Reads SQL values from MessagePack bytes that a peer sent, strictly. The hot path of every result.

import { DecodeError } from "../base/byte_reader.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { textAt } from "./text_reader.ts";
import { type SqlValue, Timestamp, TIMESTAMP_SECONDS_MAX } from "./value.ts";

/** The longest byte string whose copy shares a buffer. */
const SMALL_BYTES = 64;

/** Bytes of the buffer that copies of short byte strings share. */
const ARENA_BYTES = 4096;

const TWO_32 = 0x1_0000_0000;

/** Options of a {@linkcode ValueReader}. */
export interface ValueReaderOptions {
  /** Gives every integer as a `bigint`, so that it differs from a float; otherwise only those that are not safe. */
  readonly integersAsBigInt?: boolean;
}

/**
 * A cursor over values that cannot run past the end. Every method throws {@linkcode DecodeError} on anything
 * malformed.
 */
export class ValueReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #integersAsBigInt: boolean;
  #at = 0;
  #arena: Uint8Array = EMPTY_BYTES;
  #arenaAt = 0;

  constructor(bytes: Uint8Array, options: ValueReaderOptions = {}) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#integersAsBigInt = options.integersAsBigInt ?? false;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at;
  }

  /** Reads a nil where the next value is one; returns whether it was. */
  takeNil(): boolean {
    if (this.#bytes[this.#at] !== 0xc0) return false;
    this.#at++;
    return true;
  }

  /** Throws where bytes are left. */
  expectEnd(): void {
    if (this.#at !== this.#bytes.length) throw new DecodeError("bytes follow the value");
  }

  /** Moves on by `lengthBytes` and gives the place before. */
  #skip(lengthBytes: number): number {
    const from = this.#at;
    if (lengthBytes > this.#bytes.length - from) throw new DecodeError("a value is cut short");
    this.#at = from + lengthBytes;
    return from;
  }

  #format(): number {
    if (this.#at >= this.#bytes.length) throw new DecodeError("a value is cut short");
    return this.#bytes[this.#at++]!;
  }

  /** Reads one scalar value. Byte strings are copied, so that a kept value does not keep its page. */
  value(): SqlValue {
    const format = this.#format();
    if (format <= 0x7f) return this.#integer(format);
    if (format >= 0xe0) return this.#integer(format - 0x100);
    if (format >= 0xa0 && format <= 0xbf) return this.#text(format & 0x1f);
    switch (format) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
        return this.#integer(this.#bytes[this.#skip(1)]!);
      case 0xcd:
        return this.#integer(this.#view.getUint16(this.#skip(2)));
      case 0xce:
        return this.#integer(this.#view.getUint32(this.#skip(4)));
      case 0xcf:
        return this.#unsigned64();
      case 0xd0:
        return this.#integer(this.#view.getInt8(this.#skip(1)));
      case 0xd1:
        return this.#integer(this.#view.getInt16(this.#skip(2)));
      case 0xd2:
        return this.#integer(this.#view.getInt32(this.#skip(4)));
      case 0xd3:
        return this.#signed64(this.#skip(8));
      case 0xc4:
      case 0xd9:
        return this.#sized(format, this.#bytes[this.#skip(1)]!);
      case 0xc5:
      case 0xda:
        return this.#sized(format, this.#view.getUint16(this.#skip(2)));
      case 0xc6:
      case 0xdb:
        return this.#sized(format, this.#view.getUint32(this.#skip(4)));
      case 0xc7:
      case 0xd6:
      case 0xd7:
        return this.#timestamp(format);
    }
    throw new DecodeError(`no value has the format 0x${format.toString(16)}`);
  }

  #integer(value: number): number | bigint {
    return this.#integersAsBigInt ? BigInt(value) : value;
  }

  #unsigned64(): number | bigint {
    const at = this.#skip(8);
    if (this.#bytes[at]! >= 0x80) throw new DecodeError("an integer exceeds 63 bits");
    return this.#signed64(at);
  }

  #signed64(at: number): number | bigint {
    const near = this.#view.getInt32(at) * TWO_32 + this.#view.getUint32(at + 4);
    if (!this.#integersAsBigInt && Number.isSafeInteger(near)) return near;
    return this.#view.getBigInt64(at);
  }

  /** A text or byte string whose length stood after its format. */
  #sized(format: number, lengthBytes: number): string | Uint8Array {
    if (format >= 0xd9) return this.#text(lengthBytes);
    const at = this.#skip(lengthBytes);
    if (lengthBytes > SMALL_BYTES) return this.#bytes.slice(at, this.#at);
    return this.#copySmall(at, lengthBytes);
  }

  /**
   * A copy that shares its buffer with other copies, as small ones cost little then. A kept value keeps {@linkcode
   * ARENA_BYTES} at most.
   */
  #copySmall(from: number, lengthBytes: number): Uint8Array {
    if (this.#arenaAt + lengthBytes > this.#arena.length) {
      this.#arena = new Uint8Array(Math.min(ARENA_BYTES, this.#bytes.length - from));
      this.#arenaAt = 0;
    }
    const at = this.#arenaAt;
    const end = at + lengthBytes;
    for (let i = 0; i < lengthBytes; i++) this.#arena[at + i] = this.#bytes[from + i]!;
    this.#arenaAt = end;
    return this.#arena.subarray(at, end);
  }

  #text(lengthBytes: number): string {
    return textAt(this.#bytes, this.#skip(lengthBytes), this.#at);
  }

  /** MessagePack's extension -1 in its forms of 4, 8 and 12 bytes. */
  #timestamp(format: number): Date {
    if (format === 0xc7 && this.#bytes[this.#skip(1)] !== 12) {
      throw new DecodeError("an extension is no timestamp");
    }
    if (this.#bytes[this.#skip(1)] !== 0xff) throw new DecodeError("an extension is no timestamp");
    const view = this.#view;
    let seconds: number;
    let nanoseconds = 0;
    if (format === 0xd6) seconds = view.getUint32(this.#skip(4));
    else if (format === 0xd7) {
      const high = view.getUint32(this.#skip(4));
      nanoseconds = high >>> 2;
      seconds = (high & 3) * TWO_32 + view.getUint32(this.#skip(4));
    } else {
      nanoseconds = view.getUint32(this.#skip(4));
      const at = this.#skip(8);
      seconds = view.getInt32(at) * TWO_32 + view.getUint32(at + 4);
    }
    if (nanoseconds > 999_999_999) throw new DecodeError("a timestamp has too many nanoseconds");
    const past = seconds === TIMESTAMP_SECONDS_MAX && nanoseconds !== 0;
    if (Math.abs(seconds) > TIMESTAMP_SECONDS_MAX || past) {
      throw new DecodeError("a timestamp is too far from 1970");
    }
    const fine = nanoseconds % 1_000_000;
    const epochMs = seconds * 1000 + (nanoseconds - fine) / 1_000_000;
    return fine === 0 ? new Date(epochMs) : new Timestamp(epochMs, fine);
  }

  /** Reads a text, refusing every other kind, and one of more than `maxBytes` bytes. */
  text(maxBytes: number): string {
    const format = this.#format();
    let lengthBytes: number;
    if (format >= 0xa0 && format <= 0xbf) lengthBytes = format & 0x1f;
    else if (format === 0xd9) lengthBytes = this.#bytes[this.#skip(1)]!;
    else if (format === 0xda) lengthBytes = this.#view.getUint16(this.#skip(2));
    else throw new DecodeError("a name is not a text");
    if (lengthBytes > maxBytes) throw new DecodeError("a name is too long");
    return this.#text(lengthBytes);
  }

  /** Whether the next value is a map. */
  get atMap(): boolean {
    const format = this.#bytes[this.#at] ?? 0;
    return (format & 0xf0) === 0x80 || format === 0xde || format === 0xdf;
  }

  /** Reads the head of an array of at most `countMax` elements, and gives their number. */
  arrayHead(countMax: number): number {
    const count = this.#collectionHead(0x90, 0xdc, "an array");
    if (count > this.#bytes.length - this.#at || count > countMax) {
      throw new DecodeError("an array announces more than there may be");
    }
    return count;
  }

  /** Reads the head of a map of at most `countMax` entries, and gives their number. */
  mapHead(countMax: number): number {
    const count = this.#collectionHead(0x80, 0xde, "a map");
    if (2 * count > this.#bytes.length - this.#at || count > countMax) {
      throw new DecodeError("a map announces more than there may be");
    }
    return count;
  }

  #collectionHead(fixed: number, format16: number, wanted: string): number {
    const format = this.#format();
    if ((format & 0xf0) === fixed) return format & 0x0f;
    if (format === format16) return this.#view.getUint16(this.#skip(2));
    if (format === format16 + 1) return this.#view.getUint32(this.#skip(4));
    throw new DecodeError(`${wanted} is wanted`);
  }
}
