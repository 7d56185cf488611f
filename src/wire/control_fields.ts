// Typed readers of the fields of a control payload's map.

import { DecodeError } from "../base/byte_reader.ts";
import type { DecodedMap, DecodedValue } from "./control_reader.ts";
import { utf8LengthBytes } from "./text_length.ts";

/** Whether a decoded value is a map. */
export function isMap(value: DecodedValue | undefined): value is DecodedMap {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
}

/** Bounds of a text or byte string, in bytes of its encoding. */
export interface LengthBounds {
  readonly minBytes?: number;
  readonly maxBytes?: number;
}

/**
 * Reads the fields of a map with their types. Every method throws {@linkcode DecodeError} where a field is missing,
 * has another type or is out of bounds; the `optional…` methods give `undefined` where it is missing or nil. Keys
 * that nobody asks for are ignored.
 */
export class Fields {
  readonly #map: DecodedMap;

  constructor(map: DecodedMap) {
    this.#map = map;
  }

  #get(key: string): DecodedValue | undefined {
    return Object.hasOwn(this.#map, key) ? this.#map[key] ?? undefined : undefined;
  }

  #required<T>(key: string, value: T | undefined): T {
    if (value === undefined) throw new DecodeError(`the field ${key} is missing`);
    return value;
  }

  /** Whether the field is there and not nil. */
  has(key: string): boolean {
    return this.#get(key) !== undefined;
  }

  text(key: string, bounds?: LengthBounds): string {
    return this.#required(key, this.optionalText(key, bounds));
  }

  optionalText(key: string, bounds: LengthBounds = {}): string | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (typeof value !== "string") throw new DecodeError(`the field ${key} is not a text`);
    checkText(key, value, bounds);
    return value;
  }

  bytes(key: string, bounds?: LengthBounds): Uint8Array {
    return this.#required(key, this.optionalBytes(key, bounds));
  }

  optionalBytes(key: string, bounds: LengthBounds = {}): Uint8Array | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (!(value instanceof Uint8Array)) throw new DecodeError(`the field ${key} is not bytes`);
    checkLength(key, value.length, bounds);
    return value;
  }

  bool(key: string): boolean {
    return this.#required(key, this.optionalBool(key));
  }

  optionalBool(key: string): boolean | undefined {
    const value = this.#get(key);
    if (value !== undefined && typeof value !== "boolean") {
      throw new DecodeError(`the field ${key} is not a boolean`);
    }
    return value;
  }

  /** An integer from `min` to `max`, which are safe integers. */
  int(key: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number {
    return this.#required(key, this.optionalInt(key, min, max));
  }

  optionalInt(key: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    return checkInt(key, value, min, max);
  }

  /** An integer of 64 bits with sign: a `number` where it is safe, else a `bigint`. */
  optionalInt64(key: string): number | bigint | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (typeof value !== "number" && typeof value !== "bigint") {
      throw new DecodeError(`the field ${key} is not an integer`);
    }
    if (value > 2n ** 63n - 1n) throw new DecodeError(`the field ${key} exceeds 63 bits`);
    const near = Number(value);
    return Number.isSafeInteger(near) ? near : value;
  }

  list(key: string, lengthMax: number): List {
    return this.#required(key, this.optionalList(key, lengthMax));
  }

  optionalList(key: string, lengthMax: number): List | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    return new List(key, value, lengthMax);
  }

  map(key: string): Fields {
    return this.#required(key, this.optionalMap(key));
  }

  optionalMap(key: string): Fields | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (!isMap(value)) throw new DecodeError(`the field ${key} is not a map`);
    return new Fields(value);
  }

  /** A text or an integer, as an engine's own code is. */
  textOrInt(key: string): string | number {
    const value = this.#get(key);
    if (typeof value === "string") return value;
    return this.int(key, Number.MIN_SAFE_INTEGER);
  }
}

/** Reads an array whose elements have one type. */
export class List {
  readonly #name: string;
  readonly #values: readonly DecodedValue[];

  constructor(name: string, value: DecodedValue, lengthMax: number) {
    if (!Array.isArray(value)) throw new DecodeError(`${name} is not an array`);
    if (value.length > lengthMax) throw new DecodeError(`${name} has too many elements`);
    this.#name = name;
    this.#values = value;
  }

  get length(): number {
    return this.#values.length;
  }

  /** The elements, each a text. */
  texts(bounds: LengthBounds): string[] {
    return this.#values.map((_, index) => this.textAt(index, bounds));
  }

  /** The elements, each an integer. */
  ints(min: number, max: number): number[] {
    return this.#values.map((value) => checkInt(this.#name, value, min, max));
  }

  /** The elements, each an array. */
  lists(lengthMax: number): List[] {
    return this.#values.map((value) => new List(this.#name, value, lengthMax));
  }

  /** The elements, each a map. */
  maps(): Fields[] {
    return this.#values.map((value) => this.#toFields(value));
  }

  /** The elements, each a map or `null` for nil. */
  optionalMaps(): (Fields | null)[] {
    return this.#values.map((value) => value === null ? null : this.#toFields(value));
  }

  #toFields(value: DecodedValue): Fields {
    if (!isMap(value)) throw new DecodeError(`an element of ${this.#name} is no map`);
    return new Fields(value);
  }

  listAt(index: number, lengthMax: number): List {
    const value = this.#values[index];
    if (value === undefined) throw new DecodeError(`an element of ${this.#name} is missing`);
    return new List(this.#name, value, lengthMax);
  }

  intAt(index: number, min = 0, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#values[index];
    if (value === undefined) throw new DecodeError(`an element of ${this.#name} is missing`);
    return checkInt(this.#name, value, min, max);
  }

  textAt(index: number, bounds: LengthBounds = {}): string {
    const value = this.#values[index];
    if (typeof value !== "string") throw new DecodeError(`an element of ${this.#name} is no text`);
    checkText(this.#name, value, bounds);
    return value;
  }

  /** A byte string; `undefined` where it is left out. */
  optionalBytesAt(index: number): Uint8Array | undefined {
    const value = this.#values[index];
    if (value === undefined) return undefined;
    if (!(value instanceof Uint8Array)) {
      throw new DecodeError(`an element of ${this.#name} is no bytes`);
    }
    return value;
  }

  /** A text, or `null` for nil. */
  textOrNullAt(index: number, bounds: LengthBounds = {}): string | null {
    return this.#values[index] === null ? null : this.textAt(index, bounds);
  }
}

function checkInt(name: string, value: DecodedValue, min: number, max: number): number {
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw new DecodeError(`${name} is not an integer`);
  }
  if (value < min || value > max) throw new DecodeError(`${name} is out of bounds`);
  return Number(value);
}

function checkText(name: string, value: string, bounds: LengthBounds): void {
  if (bounds.minBytes === undefined && bounds.maxBytes === undefined) return;
  checkLength(name, utf8LengthBytes(value), bounds);
}

function checkLength(name: string, lengthBytes: number, bounds: LengthBounds): void {
  if (lengthBytes < (bounds.minBytes ?? 0) || lengthBytes > (bounds.maxBytes ?? Infinity)) {
    throw new DecodeError(`the length of ${name} is out of bounds`);
  }
}
