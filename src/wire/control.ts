// Control payloads: maps in MessagePack, written as rows are, and read with typed readers of their fields.

import { DecodeError } from "../base/byte_reader.ts";
import { Fields, isMap } from "./control_fields.ts";
import { readControlValue } from "./control_reader.ts";
import { SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { INT64_MAX } from "./value.ts";
import { ValueWriter } from "./value_writer.ts";

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

/** Bytes that nearly all control payloads fit in. */
const ROOM_BYTES = 256;

/**
 * Encodes a map, integers in their shortest form. Throws {@linkcode SqpError} `text_not_unicode` for a text with a
 * lone surrogate, and `RangeError` for a number that is no integer of 64 bits.
 */
export function encodeControl(map: ControlMap): Uint8Array {
  const writer = new ValueWriter(ROOM_BYTES);
  write(writer, map);
  return writer.view().slice();
}

function write(writer: ValueWriter, value: ControlValue): void {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new SqpError("text_not_unicode");
      return writer.text(value);
    case "number":
      if (Number.isSafeInteger(value)) return writer.int(value);
      throw new RangeError("a number of a control payload is not a safe integer");
    case "bigint":
      return value > INT64_MAX ? writer.uint64(value) : writer.bigint(value);
    case "boolean":
      return writer.bool(value);
  }
  if (value === null) return writer.nil();
  if (value instanceof Uint8Array) return writer.bin(value);
  if (isList(value)) {
    writer.arrayHead(value.length);
    for (const element of value) write(writer, element);
    return;
  }
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  writer.mapHead(entries.length);
  for (const [key, entry] of entries) {
    writer.text(key);
    write(writer, entry!);
  }
}

function isList(value: ControlValue): value is readonly ControlValue[] {
  return Array.isArray(value);
}

/** Decodes a control payload, which is one map. Byte strings are views. Throws {@linkcode DecodeError}. */
export function decodeControl(bytes: Uint8Array): Fields {
  const value = readControlValue(bytes);
  if (!isMap(value)) throw new DecodeError("a control payload is not a map");
  return new Fields(value);
}

/** A duration as it travels: whole milliseconds, rounded up, neither negative nor longer than the longest deadline. */
export function wholeMs(durationMs: number): number {
  return Math.ceil(Math.min(Math.max(durationMs, 0), LIMITS.deadlineMsMax));
}
