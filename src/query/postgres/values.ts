// From PostgreSQL's text of a value to the value that travels.

import { type SqlValue, Timestamp } from "../../wire/value.ts";
import { NumberKind } from "../../wire/value_writer.ts";
import { Oid } from "./types.ts";

/** Reads the text of one value. */
export type ValueParser = (bytes: Uint8Array) => SqlValue;

/** How the values of a type are read, and how its `number`s are encoded. */
export interface ValueFormat {
  readonly parse: ValueParser;
  readonly numbers: NumberKind;
}

/** Digits that every integer of that length fits a `number` with. */
const SAFE_DIGITS = 15;

const ZERO = 0x30;
const MINUS = 0x2d;
const BACKSLASH = 0x5c;
const HEX_MARK = 0x78;
const TRUE = 0x74;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * How values of a type are read. Types that SQP has no kind of value for (numeric, uuid, json, dates and times without
 * a zone, intervals, arrays, those of extensions) are texts in PostgreSQL's own notation; the column's declared type
 * says which.
 */
export function valueFormat(oid: number): ValueFormat {
  return FORMATS.get(oid) ?? TEXT;
}

const TEXT: ValueFormat = { parse: parseText, numbers: NumberKind.FLOAT64 };
const INTEGER: ValueFormat = { parse: parseInteger, numbers: NumberKind.INT64 };
const FLOAT: ValueFormat = { parse: parseFloat64, numbers: NumberKind.FLOAT64 };

const FORMATS: ReadonlyMap<number, ValueFormat> = new Map([
  [Oid.BOOL, { ...TEXT, parse: (bytes: Uint8Array) => bytes[0] === TRUE }],
  [Oid.BYTEA, { ...TEXT, parse: parseBytes }],
  [Oid.INT8, INTEGER],
  [Oid.INT2, INTEGER],
  [Oid.INT4, INTEGER],
  [Oid.OID, INTEGER],
  [Oid.FLOAT4, FLOAT],
  [Oid.FLOAT8, FLOAT],
  [Oid.TIMESTAMPTZ, { ...TEXT, parse: parseTimestamp }],
]);

function parseText(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

function parseInteger(bytes: Uint8Array): number | bigint {
  const negative = bytes[0] === MINUS;
  const from = negative ? 1 : 0;
  if (bytes.length - from > SAFE_DIGITS) return BigInt(parseText(bytes));
  let value = 0;
  for (let i = from; i < bytes.length; i++) value = value * 10 + (bytes[i]! - ZERO);
  return negative ? -value : value;
}

/** The shortest text that gives the same float again, which the setting `extra_float_digits` asks for. */
function parseFloat64(bytes: Uint8Array): number {
  return Number(parseText(bytes));
}

/** `\x` and hexadecimal digits, or text in which other bytes stand as `\ooo` and a backslash twice (bytea_output). */
function parseBytes(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === BACKSLASH && bytes[1] === HEX_MARK) {
    return Uint8Array.fromHex(parseText(bytes.subarray(2)));
  }
  const out: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== BACKSLASH) out.push(bytes[i]!);
    else if (bytes[i + 1] === BACKSLASH) out.push(bytes[++i]!);
    else {
      out.push(parseInt(parseText(bytes.subarray(i + 1, i + 4)), 8));
      i += 3;
    }
  }
  return Uint8Array.from(out);
}

/** `2026-01-31 09:05:00.00025+00`; the hours and minutes of the zone may be followed by seconds. */
const TIMESTAMP =
  /^(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/;

/**
 * A moment. `infinity`, years before 1, and those beyond a `Date` stay the text that they are.
 */
function parseTimestamp(bytes: Uint8Array): Date | string {
  const text = parseText(bytes);
  const parts = TIMESTAMP.exec(text);
  if (parts === null) return text;
  const part = (at: number) => Number(parts[at] ?? 0);
  // Date.UTC takes a year below 100 for one of the twentieth century.
  const date = new Date(0);
  date.setUTCFullYear(part(1), part(2) - 1, part(3));
  date.setUTCHours(part(4), part(5), part(6));
  const zoneSeconds = (part(9) * 60 + part(10)) * 60 + part(11);
  const micros = Number((parts[7] ?? "").padEnd(6, "0"));
  const fine = micros % 1000;
  const epochMs = date.getTime() + (micros - fine) / 1000 +
    (parts[8] === "-" ? zoneSeconds : -zoneSeconds) * 1000;
  if (Number.isNaN(new Date(epochMs).getTime())) return text;
  return fine === 0 ? new Date(epochMs) : new Timestamp(epochMs, fine * 1000);
}
