// Writes SQL values as canonical MessagePack straight into one growing buffer. The hot path of every result.

import { INT64_MAX, INT64_MIN, type SqlValue, Timestamp } from "./value.ts";

/** How a JavaScript `number` is encoded. */
export const NumberKind = {
  /** A safe integer other than -0 as an integer, every other as a float. The rule for parameters. */
  AUTO: 0,
  /** As an integer; a `number` that is no safe integer is a `RangeError`. */
  INT64: 1,
  /** As a float, whole or not. The rule for an engine that gives its integers as `bigint`. */
  FLOAT64: 2,
} as const;
export type NumberKind = typeof NumberKind[keyof typeof NumberKind];

/** The longest text that is tried character by character as ASCII before the encoder of the platform takes over. */
const ASCII_TRY_MAX = 48;

const TWO_32 = 0x1_0000_0000;
const UINT64_MAX = 2n ** 64n - 1n;

const utf8 = new TextEncoder();

/** A buffer that grows and the MessagePack values in it. Throws `RangeError` where a value has no encoding. */
export class ValueWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  constructor(initialBytes = 1024) {
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that can be written before the buffer grows. */
  get roomBytes(): number {
    return this.#bytes.length;
  }

  /** Forgets what was written after `lengthBytes`, which is at most {@linkcode ValueWriter.length}. */
  truncate(lengthBytes: number): void {
    this.#length = lengthBytes;
  }

  /** The bytes written so far as a view, valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes the buffer large enough for `lengthBytes` more. */
  #reserve(lengthBytes: number): void {
    const end = this.#length + lengthBytes;
    if (end <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  /** Writes any value, a `number` as `kind` says. */
  value(value: SqlValue, kind: NumberKind): void {
    switch (typeof value) {
      case "string":
        return this.text(value);
      case "number":
        if (kind === NumberKind.FLOAT64) return this.float(value);
        if (kind === NumberKind.INT64) {
          if (!Number.isSafeInteger(value)) throw new RangeError("not a safe integer");
          return this.int(value);
        }
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) return this.int(value);
        return this.float(value);
      case "bigint":
        return this.bigint(value);
      case "boolean":
        return this.bool(value);
      case "object":
        if (value === null) return this.nil();
        if (value instanceof Uint8Array) return this.bin(value);
        if (value instanceof Date) return this.timestamp(value);
    }
    throw new RangeError(`a value of type ${typeof value} has no encoding`);
  }

  /** Writes bytes as they are. */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  nil(): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = 0xc0;
  }

  bool(value: boolean): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value ? 0xc3 : 0xc2;
  }

  float(value: number): void {
    this.#reserve(9);
    this.#bytes[this.#length] = 0xcb;
    this.#view.setFloat64(this.#length + 1, value);
    this.#length += 9;
  }

  /** Writes a safe integer in its shortest form. */
  int(value: number): void {
    this.#reserve(9);
    const at = this.#length;
    if (value >= 0) {
      if (value <= 0x7f) {
        this.#bytes[at] = value;
        this.#length = at + 1;
      } else if (value <= 0xff) {
        this.#bytes[at] = 0xcc;
        this.#bytes[at + 1] = value;
        this.#length = at + 2;
      } else if (value <= 0xffff) {
        this.#bytes[at] = 0xcd;
        this.#view.setUint16(at + 1, value);
        this.#length = at + 3;
      } else if (value < TWO_32) {
        this.#bytes[at] = 0xce;
        this.#view.setUint32(at + 1, value);
        this.#length = at + 5;
      } else this.#int64(0xcf, value);
    } else if (value >= -0x20) {
      this.#bytes[at] = value;
      this.#length = at + 1;
    } else if (value >= -0x80) {
      this.#bytes[at] = 0xd0;
      this.#bytes[at + 1] = value;
      this.#length = at + 2;
    } else if (value >= -0x8000) {
      this.#bytes[at] = 0xd1;
      this.#view.setInt16(at + 1, value);
      this.#length = at + 3;
    } else if (value >= -0x8000_0000) {
      this.#bytes[at] = 0xd2;
      this.#view.setInt32(at + 1, value);
      this.#length = at + 5;
    } else this.#int64(0xd3, value);
  }

  #int64(format: number, value: number): void {
    const at = this.#length;
    const high = Math.floor(value / TWO_32);
    this.#bytes[at] = format;
    this.#view.setInt32(at + 1, high);
    this.#view.setUint32(at + 5, value - high * TWO_32);
    this.#length = at + 9;
  }

  /** Writes an integer of 64 bits in its shortest form. */
  bigint(value: bigint): void {
    const near = Number(value);
    if (Number.isSafeInteger(near)) return this.int(near);
    if (value < INT64_MIN || value > INT64_MAX) throw new RangeError("an integer exceeds 64 bits");
    this.#reserve(9);
    const at = this.#length;
    this.#bytes[at] = value < 0n ? 0xd3 : 0xcf;
    this.#view.setBigInt64(at + 1, value);
    this.#length = at + 9;
  }

  /** Writes an integer of 64 bits without sign that exceeds those with one. */
  uint64(value: bigint): void {
    if (value <= INT64_MAX || value > UINT64_MAX) throw new RangeError("not such an integer");
    this.#reserve(9);
    this.#bytes[this.#length] = 0xcf;
    this.#view.setBigUint64(this.#length + 1, value);
    this.#length += 9;
  }

  /** Writes a text. Throws `RangeError` for one with a lone surrogate. */
  text(value: string): void {
    const units = value.length;
    if (units > ASCII_TRY_MAX) return this.#longText(value);
    this.#reserve(2 + units);
    const start = this.#length;
    const bytes = this.#bytes;
    let at = start;
    if (units < 32) bytes[at++] = 0xa0 | units;
    else {
      bytes[at++] = 0xd9;
      bytes[at++] = units;
    }
    for (let i = 0; i < units; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) return this.#longText(value);
      bytes[at++] = unit;
    }
    this.#length = at;
  }

  #longText(value: string): void {
    const bytesMax = 3 * value.length;
    this.#reserve(5 + bytesMax);
    const start = this.#length;
    // The length is not known before the text is encoded. Its head is guessed from the shortest that it can be.
    const guess = headBytes(value.length, 32);
    const { written } = utf8.encodeInto(value, this.#bytes.subarray(start + guess));
    if (written !== value.length && !value.isWellFormed()) {
      throw new RangeError("a text holds a lone surrogate");
    }
    const head = headBytes(written, 32);
    if (head !== guess) {
      this.#bytes.copyWithin(start + head, start + guess, start + guess + written);
    }
    this.#head(start, head, written, 0xa0, 0xd9);
    this.#length = start + head + written;
  }

  /** Writes the head of a text or byte string at `at`. */
  #head(at: number, head: number, lengthBytes: number, fixed: number, format8: number): void {
    if (head === 1) this.#bytes[at] = fixed | lengthBytes;
    else if (head === 2) {
      this.#bytes[at] = format8;
      this.#bytes[at + 1] = lengthBytes;
    } else if (head === 3) {
      this.#bytes[at] = format8 + 1;
      this.#view.setUint16(at + 1, lengthBytes);
    } else {
      this.#bytes[at] = format8 + 2;
      this.#view.setUint32(at + 1, lengthBytes);
    }
  }

  bin(value: Uint8Array): void {
    const head = headBytes(value.length, 0);
    this.#reserve(head + value.length);
    const at = this.#length;
    this.#head(at, head, value.length, 0, 0xc4);
    this.#bytes.set(value, at + head);
    this.#length = at + head + value.length;
  }

  /** Writes a time as MessagePack's extension -1, in the shortest of its three forms. */
  timestamp(value: Date): void {
    const epochMs = value.getTime();
    if (Number.isNaN(epochMs)) throw new RangeError("an invalid Date has no encoding");
    const seconds = Math.floor(epochMs / 1000);
    const nanoseconds = (epochMs - seconds * 1000) * 1_000_000 +
      (value instanceof Timestamp ? value.nanosecondsInMillisecond : 0);
    this.#reserve(15);
    const at = this.#length;
    const bytes = this.#bytes;
    const view = this.#view;
    if (seconds < 0 || seconds >= 2 ** 34) {
      bytes.set([0xc7, 12, 0xff], at);
      view.setUint32(at + 3, nanoseconds);
      view.setBigInt64(at + 7, BigInt(seconds));
      this.#length = at + 15;
    } else if (nanoseconds !== 0 || seconds >= TWO_32) {
      bytes.set([0xd7, 0xff], at);
      view.setUint32(at + 2, nanoseconds * 4 + Math.floor(seconds / TWO_32));
      view.setUint32(at + 6, seconds % TWO_32);
      this.#length = at + 10;
    } else {
      bytes.set([0xd6, 0xff], at);
      view.setUint32(at + 2, seconds);
      this.#length = at + 6;
    }
  }

  /** Writes the head of an array of `count` elements, which the caller writes next. */
  arrayHead(count: number): void {
    this.#collectionHead(count, 0x90, 0xdc);
  }

  /** Writes the head of a map of `count` entries, whose keys and values the caller writes next. */
  mapHead(count: number): void {
    this.#collectionHead(count, 0x80, 0xde);
  }

  #collectionHead(count: number, fixed: number, format16: number): void {
    this.#reserve(5);
    const at = this.#length;
    if (count < 16) {
      this.#bytes[at] = fixed | count;
      this.#length = at + 1;
    } else if (count <= 0xffff) {
      this.#bytes[at] = format16;
      this.#view.setUint16(at + 1, count);
      this.#length = at + 3;
    } else {
      this.#bytes[at] = format16 + 1;
      this.#view.setUint32(at + 1, count);
      this.#length = at + 5;
    }
  }
}

/** Bytes of the head of a text or byte string; below `fixedMax` bytes the length stands in the format byte. */
function headBytes(lengthBytes: number, fixedMax: number): number {
  if (lengthBytes < fixedMax) return 1;
  if (lengthBytes <= 0xff) return 2;
  return lengthBytes <= 0xffff ? 3 : 5;
}
