// Walks the bytes of a MessagePack control payload before a decoder may allocate for them (PROTOCOL.md, "Control
// payloads").

import { DecodeError } from "../base/byte_reader.ts";
import { utf8Text } from "../base/bytes.ts";
import { LIMITS } from "./limits.ts";

/** Bounds of a control payload. */
export interface GuardLimits {
  /** Arrays and maps inside one another. */
  readonly depthMax: number;
  /** Values of all kinds together; keys of maps are not counted. */
  readonly elementsMax: number;
  /** Bytes of a key of a map. */
  readonly keyBytesMax: number;
}

/** What the walk found that a decoder has to know. */
export interface GuardReport {
  /** Offsets of the format bytes of the texts that begin with U+FEFF, which `TextDecoder` would drop. */
  readonly byteOrderMarks: readonly number[];
}

const DEFAULT_LIMITS: GuardLimits = {
  depthMax: LIMITS.controlDepthMax,
  elementsMax: LIMITS.controlElementsMax,
  keyBytesMax: LIMITS.controlKeyBytesMax,
};

/** An array or map whose end the walk has not reached. */
interface Open {
  /** Values left to read. */
  left: number;
  /** The keys read so far; `undefined` for an array. */
  readonly keys: Set<string> | undefined;
}

/**
 * Checks that `bytes` are exactly one MessagePack value of the kinds that control payloads use: nil, booleans,
 * integers, UTF-8 texts, byte strings, arrays, and maps with distinct keys. It allocates nothing by an announced
 * length and does not recurse. Throws {@linkcode DecodeError}.
 */
export function guardControl(bytes: Uint8Array, limits: GuardLimits = DEFAULT_LIMITS): GuardReport {
  return new Walk(bytes, limits).run();
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #limits: GuardLimits;
  readonly #open: Open[] = [];
  readonly #byteOrderMarks: number[] = [];
  #at = 0;
  #elements = 0;

  constructor(bytes: Uint8Array, limits: GuardLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  run(): GuardReport {
    this.#value();
    while (this.#open.length > 0) {
      const top = this.#open.at(-1)!;
      if (top.left === 0) {
        this.#open.pop();
        continue;
      }
      top.left--;
      if (top.keys !== undefined) this.#key(top.keys);
      this.#value();
    }
    if (this.#at !== this.#bytes.length) throw new DecodeError("bytes follow the value");
    return { byteOrderMarks: this.#byteOrderMarks };
  }

  /** An unsigned integer of 1, 2 or 4 bytes. */
  #uint(size: number): number {
    let value = 0;
    const from = this.#skip(size);
    for (let i = from; i < from + size; i++) value = value * 256 + this.#bytes[i]!;
    return value;
  }

  #skip(lengthBytes: number): number {
    const from = this.#at;
    if (lengthBytes > this.#bytes.length - from) throw new DecodeError("a value is cut short");
    this.#at = from + lengthBytes;
    return from;
  }

  /** Reads a scalar whole, or the head of an array or map, which is then open. */
  #value(): void {
    if (++this.#elements > this.#limits.elementsMax) throw new DecodeError("too many values");
    const formatAt = this.#at;
    const format = this.#uint(1);
    if (format <= 0x7f || format >= 0xe0) return;
    if (format <= 0x8f) return this.#enter(format & 0x0f, new Set());
    if (format <= 0x9f) return this.#enter(format & 0x0f, undefined);
    if (format <= 0xbf) return this.#text(formatAt, format & 0x1f);
    switch (format) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return;
      case 0xc4: // bin 8, 16, 32
      case 0xc5:
      case 0xc6:
        this.#skip(this.#uint(1 << (format - 0xc4)));
        return;
      case 0xcc: // uint 8 to 64
      case 0xcd:
      case 0xce:
      case 0xcf:
        this.#skip(1 << (format - 0xcc));
        return;
      case 0xd0: // int 8 to 64
      case 0xd1:
      case 0xd2:
      case 0xd3:
        this.#skip(1 << (format - 0xd0));
        return;
      case 0xd9: // str 8, 16, 32
      case 0xda:
      case 0xdb:
        return this.#text(formatAt, this.#uint(1 << (format - 0xd9)));
      case 0xdc: // array 16, 32
      case 0xdd:
        return this.#enter(this.#uint(format === 0xdc ? 2 : 4), undefined);
      case 0xde: // map 16, 32
      case 0xdf:
        return this.#enter(this.#uint(format === 0xde ? 2 : 4), new Set());
    }
    throw new DecodeError(`a control payload holds no value of format 0x${format.toString(16)}`);
  }

  #enter(count: number, keys: Set<string> | undefined): void {
    if (this.#open.length >= this.#limits.depthMax) throw new DecodeError("nested too deeply");
    // Each element takes a byte at least, an entry of a map two.
    if (count > (this.#bytes.length - this.#at) / (keys === undefined ? 1 : 2)) {
      throw new DecodeError("an array or map announces more than there is");
    }
    this.#open.push({ left: count, keys });
  }

  #text(formatAt: number, lengthBytes: number): void {
    const bytes = this.#bytes;
    const from = this.#skip(lengthBytes);
    try {
      utf8Text(bytes.subarray(from, this.#at));
    } catch {
      throw new DecodeError("a text is not valid UTF-8");
    }
    if (
      lengthBytes >= 3 && bytes[from] === 0xef && bytes[from + 1] === 0xbb &&
      bytes[from + 2] === 0xbf
    ) this.#byteOrderMarks.push(formatAt);
  }

  /** A key: `a` to `z`, then also digits and `_`. So none of them means anything to JavaScript's objects. */
  #key(keys: Set<string>): void {
    const format = this.#uint(1);
    if ((format & 0xe0) !== 0xa0 && format !== 0xd9) throw new DecodeError("a key is not a text");
    const lengthBytes = format === 0xd9 ? this.#uint(1) : format & 0x1f;
    if (lengthBytes > this.#limits.keyBytesMax) throw new DecodeError("a key is too long");
    const from = this.#skip(lengthBytes);
    const key = String.fromCharCode(...this.#bytes.subarray(from, this.#at));
    if (!/^[a-z][a-z0-9_]*$/.test(key)) throw new DecodeError("a key has a character it may not");
    if (keys.has(key)) throw new DecodeError(`the key ${key} occurs twice`);
    keys.add(key);
  }
}
