// Control payloads: maps in MessagePack through the standard library's codec, behind the guard, with typed readers of
// their fields.

import { decode, encode, type ValueType } from "@std/msgpack";
import { DecodeError } from "../base/byte_reader.ts";
import { concatBytes } from "../base/bytes.ts";
import { Fields, isMap } from "./control_fields.ts";
import { SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { guardControl } from "./msgpack_guard.ts";

/** What a control payload may hold; an entry of a map that is `undefined` is left out. */
export type ControlValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly ControlValue[]
  | ControlMap;

/** A map of a control payload. Its keys are `a` to `z`, then also digits and `_`. */
export interface ControlMap {
  readonly [key: string]: ControlValue | undefined;
}

const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;

/**
 * Encodes a map, integers in their shortest form. Throws {@linkcode SqpError} `text_not_unicode` for a text with a
 * lone surrogate, and `RangeError` for a number that is no integer of 64 bits.
 */
export function encodeControl(map: ControlMap): Uint8Array {
  return encode(prepare(map));
}

/** The same value in the form that the standard library's encoder keeps exact. */
function prepare(value: ControlValue): ValueType {
  if (value === null || typeof value === "boolean" || value instanceof Uint8Array) return value;
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw new SqpError("text_not_unicode");
    return value;
  }
  if (typeof value === "number" || typeof value === "bigint") return prepareInteger(value);
  if (isList(value)) return value.map(prepare);
  const prepared: { [key: string]: ValueType } = {};
  for (const [key, entry] of Object.entries(value)) {
    if (entry !== undefined) prepared[key] = prepare(entry);
  }
  return prepared;
}

function isList(value: ControlValue): value is readonly ControlValue[] {
  return Array.isArray(value);
}

/**
 * The encoder writes a `number` outside 32 bits as a float and a `bigint` always in 9 bytes, so each gets what suits
 * the other.
 */
function prepareInteger(value: number | bigint): number | bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new RangeError("a number of a control payload is not a safe integer");
  }
  if (value >= -0x8000_0000 && value <= 0xffff_ffff) return Number(value);
  const exact = BigInt(value);
  if (exact < INT64_MIN || exact > UINT64_MAX) throw new RangeError("an integer exceeds 64 bits");
  return exact;
}

/** Decodes a control payload, which is one map. Byte strings are views. Throws {@linkcode DecodeError}. */
export function decodeControl(bytes: Uint8Array): Fields {
  const { byteOrderMarks } = guardControl(bytes);
  const value = decode(doubleByteOrderMarks(bytes, byteOrderMarks));
  if (!isMap(value)) throw new DecodeError("a control payload is not a map");
  return new Fields(value);
}

/** The decoder drops one U+FEFF from the beginning of a text; this puts a second one before it. */
function doubleByteOrderMarks(bytes: Uint8Array, formatsAt: readonly number[]): Uint8Array {
  if (formatsAt.length === 0) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  let copiedTo = 0;
  for (const at of formatsAt) {
    const format = bytes[at]!;
    const lengthSize = format < 0xc0 ? 0 : 1 << (format - 0xd9);
    const lengthBytes = format < 0xc0
      ? format & 0x1f
      : format === 0xd9
      ? view.getUint8(at + 1)
      : format === 0xda
      ? view.getUint16(at + 1)
      : view.getUint32(at + 1);
    const head = new Uint8Array([0xdb, 0, 0, 0, 0, 0xef, 0xbb, 0xbf]);
    new DataView(head.buffer).setUint32(1, lengthBytes + 3);
    parts.push(bytes.subarray(copiedTo, at), head);
    copiedTo = at + 1 + lengthSize;
  }
  return concatBytes(...parts, bytes.subarray(copiedTo));
}

/** A duration as it travels: whole milliseconds, rounded up, neither negative nor longer than the longest deadline. */
export function wholeMs(durationMs: number): number {
  return Math.ceil(Math.min(Math.max(durationMs, 0), LIMITS.deadlineMsMax));
}
