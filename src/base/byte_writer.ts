// A growing buffer of big-endian fields whose vector lengths are filled in afterwards.

/** Writes big-endian fields one after the other. Throws `RangeError` where a vector exceeds its length field. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#bytes = new Uint8Array(initialBytes);
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
      this.#bytes = grown;
    }
    this.#length = end;
    return start;
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
    const lengthBytes = this.#length - at - lengthSize;
    if (lengthBytes >= 2 ** (8 * lengthSize)) {
      throw new RangeError(`${lengthBytes} bytes do not fit a length field of ${lengthSize}`);
    }
    for (let i = 0; i < lengthSize; i++) {
      this.#bytes[at + i] = lengthBytes >>> (8 * (lengthSize - 1 - i));
    }
    return this;
  }

  /** Writes bytes as a vector with its length before it in `lengthSize` bytes. */
  opaque(lengthSize: 1 | 2 | 3, bytes: Uint8Array): this {
    return this.vector(lengthSize, () => this.bytes(bytes));
  }

  /** The bytes written so far as a view, valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The bytes written so far, which no later write changes. */
  finish(): Uint8Array {
    // Where the room was guessed right there is nothing to cut off, and the next write takes another one.
    if (this.#length === this.#bytes.length) return this.#bytes;
    return this.#bytes.slice(0, this.#length);
  }
}
