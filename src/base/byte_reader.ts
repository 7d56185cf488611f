// A cursor over received bytes that cannot run past their end.

import { isAscii, latin1Text, utf8Text } from "./bytes.ts";

/** Bytes of the longest text that is read faster byte by byte than by the runtime's decoder. */
const SHORT_TEXT_BYTES_MAX = 32;

/** Received bytes do not have the form that their format demands. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/**
 * Reads big-endian fields one after the other. Every read past the end throws {@linkcode DecodeError},
 * and so does {@linkcode ByteReader.expectEnd} when bytes are left. Byte strings that it returns are views, not copies.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  #at: number;

  /** Reads what lies from `start` to `end`, by default all of the bytes. */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#at = start;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at - this.#start;
  }

  /** Bytes left to read. */
  get remaining(): number {
    return this.#end - this.#at;
  }

  #advance(lengthBytes: number): number {
    const at = this.#at;
    // Written so that a negative length and NaN, which no field can hold, are refused as well.
    if (!(lengthBytes >= 0 && lengthBytes <= this.#end - at)) {
      throw new DecodeError(`${lengthBytes} bytes wanted, ${this.#end - at} left`);
    }
    this.#at = at + lengthBytes;
    return at;
  }

  /** Reads an unsigned integer of 1 byte. */
  u8(): number {
    return this.#bytes[this.#advance(1)]!;
  }

  /** Reads an unsigned integer of 2 bytes. */
  u16(): number {
    const at = this.#advance(2);
    const bytes = this.#bytes;
    return (bytes[at]! << 8) | bytes[at + 1]!;
  }

  /** Reads an unsigned integer of 3 bytes. */
  u24(): number {
    const at = this.#advance(3);
    const bytes = this.#bytes;
    return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  }

  /** Reads an unsigned integer of 4 bytes. */
  u32(): number {
    const at = this.#advance(4);
    const bytes = this.#bytes;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) |
      bytes[at + 3]!) >>>
      0;
  }

  /** Reads an unsigned integer of 6 bytes, which a number holds exactly. */
  u48(): number {
    return this.u16() * 0x1_0000_0000 + this.u32();
  }

  /** Reads an unsigned integer of 8 bytes. */
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** Reads an unsigned integer of 8 bytes that a number holds exactly; a larger one is a {@linkcode DecodeError}. */
  u64Number(): number {
    const high = this.u32();
    const low = this.u32();
    if (high > 0x1f_ffff) throw new DecodeError("integer above 2^53 - 1");
    return high * 0x1_0000_0000 + low;
  }

  /** Reads `lengthBytes` bytes as a view. */
  bytes(lengthBytes: number): Uint8Array {
    const at = this.#advance(lengthBytes);
    return this.#bytes.subarray(at, at + lengthBytes);
  }

  /** Reads all bytes that are left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** Reads `lengthBytes` bytes of UTF-8. */
  text(lengthBytes: number): string {
    const bytes = this.bytes(lengthBytes);
    if (lengthBytes <= SHORT_TEXT_BYTES_MAX && isAscii(bytes)) return latin1Text(bytes);
    try {
      return utf8Text(bytes);
    } catch {
      throw new DecodeError("invalid UTF-8");
    }
  }

  /** A cursor over the next `lengthBytes` bytes only: a nested part cannot reach past its bounds. */
  sub(lengthBytes: number): ByteReader {
    const at = this.#advance(lengthBytes);
    return new ByteReader(this.#bytes, at, at + lengthBytes);
  }

  /** A cursor over a vector whose length stands before it in `lengthSize` bytes. */
  vector(lengthSize: 1 | 2 | 3, minimumBytes = 0, maximumBytes = Infinity): ByteReader {
    return this.sub(this.#vectorBytes(lengthSize, minimumBytes, maximumBytes));
  }

  /** The bytes of a vector whose length stands before it in `lengthSize` bytes, as a view. */
  opaque(lengthSize: 1 | 2 | 3, minimumBytes = 0, maximumBytes = Infinity): Uint8Array {
    return this.bytes(this.#vectorBytes(lengthSize, minimumBytes, maximumBytes));
  }

  #vectorBytes(lengthSize: 1 | 2 | 3, minimumBytes: number, maximumBytes: number): number {
    const lengthBytes = lengthSize === 1 ? this.u8() : lengthSize === 2 ? this.u16() : this.u24();
    if (lengthBytes < minimumBytes || lengthBytes > maximumBytes) {
      throw new DecodeError(`a vector of ${lengthBytes} bytes is outside its bounds`);
    }
    return lengthBytes;
  }

  /** Throws {@linkcode DecodeError} where bytes are left. */
  expectEnd(): void {
    if (this.remaining !== 0) throw new DecodeError(`${this.remaining} trailing bytes`);
  }
}
