// Reads a value of a control payload from MessagePack that a peer sent, within bounds (PROTOCOL.md, "Control
// payloads").

import { DecodeError } from "../base/byte_reader.ts";
import { LIMITS } from "./limits.ts";
import { textAt } from "./text_reader.ts";

/**
 * A value of a control payload. Integers that were encoded in more than 32 bits are `bigint`s. Byte strings are views.
 */
export type DecodedValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly DecodedValue[]
  | DecodedMap;

/** A map of a control payload. */
export interface DecodedMap {
  readonly [key: string]: DecodedValue;
}

/** Bounds of a control payload. */
export interface ControlLimits {
  /** Arrays and maps inside one another. */
  readonly depthMax: number;
  /** Values of all kinds together; keys of maps are not counted. */
  readonly elementsMax: number;
  /** Bytes of a key of a map. */
  readonly keyBytesMax: number;
}

const DEFAULT_LIMITS: ControlLimits = {
  depthMax: LIMITS.controlDepthMax,
  elementsMax: LIMITS.controlElementsMax,
  keyBytesMax: LIMITS.controlKeyBytesMax,
};

/** An array or map whose end was not reached. */
interface Open {
  /** Values left to read. */
  left: number;
  readonly into: DecodedValue[] | { [key: string]: DecodedValue };
}

/**
 * Reads `bytes`, which are exactly one MessagePack value of the kinds that control payloads use: nil, booleans,
 * integers, UTF-8 texts, byte strings, arrays, and maps with distinct keys. It allocates nothing by an announced
 * length and does not recurse. Throws {@linkcode DecodeError}.
 */
export function readControlValue(
  bytes: Uint8Array,
  limits: ControlLimits = DEFAULT_LIMITS,
): DecodedValue {
  return new ControlReader(bytes, limits).read();
}

class ControlReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limits: ControlLimits;
  readonly #open: Open[] = [];
  #at = 0;
  #elements = 0;

  constructor(bytes: Uint8Array, limits: ControlLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limits = limits;
  }

  read(): DecodedValue {
    const value = this.#value();
    for (let top; (top = this.#open.at(-1)) !== undefined;) {
      const { into } = top;
      if (top.left === 0) this.#open.pop();
      else {
        top.left--;
        if (Array.isArray(into)) into.push(this.#value());
        else into[this.#key(into)] = this.#value();
      }
    }
    if (this.#at !== this.#bytes.length) throw new DecodeError("bytes follow the value");
    return value;
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
  #value(): DecodedValue {
    if (++this.#elements > this.#limits.elementsMax) throw new DecodeError("too many values");
    const format = this.#uint(1);
    if (format <= 0x7f) return format;
    if (format >= 0xe0) return format - 0x100;
    if (format <= 0x8f) return this.#enter(format & 0x0f, {}, 2);
    if (format <= 0x9f) return this.#enter(format & 0x0f, [], 1);
    if (format <= 0xbf) return this.#text(format & 0x1f);
    const view = this.#view;
    switch (format) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4: // bin 8, 16, 32
      case 0xc5:
      case 0xc6: {
        const from = this.#skip(this.#uint(1 << (format - 0xc4)));
        return this.#bytes.subarray(from, this.#at);
      }
      case 0xcc: // uint 8 to 64
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (format - 0xcc));
      case 0xcf:
        return view.getBigUint64(this.#skip(8));
      case 0xd0: // int 8 to 64
        return view.getInt8(this.#skip(1));
      case 0xd1:
        return view.getInt16(this.#skip(2));
      case 0xd2:
        return view.getInt32(this.#skip(4));
      case 0xd3:
        return view.getBigInt64(this.#skip(8));
      case 0xd9: // str 8, 16, 32
      case 0xda:
      case 0xdb:
        return this.#text(this.#uint(1 << (format - 0xd9)));
      case 0xdc: // array 16, 32
      case 0xdd:
        return this.#enter(this.#uint(format === 0xdc ? 2 : 4), [], 1);
      case 0xde: // map 16, 32
      case 0xdf:
        return this.#enter(this.#uint(format === 0xde ? 2 : 4), {}, 2);
    }
    throw new DecodeError(`a control payload holds no value of format 0x${format.toString(16)}`);
  }

  /** Opens an array or map whose elements or entries take `bytesMin` each at least. */
  #enter<Into extends Open["into"]>(left: number, into: Into, bytesMin: number): Into {
    if (this.#open.length >= this.#limits.depthMax) throw new DecodeError("nested too deeply");
    if (left > (this.#bytes.length - this.#at) / bytesMin) {
      throw new DecodeError("an array or map announces more than there is");
    }
    this.#open.push({ left, into });
    return into;
  }

  #text(lengthBytes: number): string {
    return textAt(this.#bytes, this.#skip(lengthBytes), this.#at);
  }

  /** A key: `a` to `z`, then also digits and `_`. So none of them means anything to JavaScript's objects. */
  #key(map: DecodedMap): string {
    const format = this.#uint(1);
    if ((format & 0xe0) !== 0xa0 && format !== 0xd9) throw new DecodeError("a key is not a text");
    const lengthBytes = format === 0xd9 ? this.#uint(1) : format & 0x1f;
    if (lengthBytes > this.#limits.keyBytesMax) throw new DecodeError("a key is too long");
    const from = this.#skip(lengthBytes);
    for (let at = from; at < this.#at; at++) {
      const byte = this.#bytes[at]!;
      const isLetter = byte >= 0x61 && byte <= 0x7a;
      const isOther = (byte >= 0x30 && byte <= 0x39) || byte === 0x5f;
      if (!isLetter && !(isOther && at > from)) throw badKey();
    }
    if (lengthBytes === 0) throw badKey();
    const key = textAt(this.#bytes, from, this.#at);
    if (Object.hasOwn(map, key)) throw new DecodeError(`the key ${key} occurs twice`);
    return key;
  }
}

function badKey(): DecodeError {
  return new DecodeError("a key has a character it may not");
}
