// The values of a result as sqllogictest writes them.

import { createHash } from "node:crypto";
import type { Row, SqlValue } from "../../src/client/mod.ts";
import type { SortMode } from "./script.ts";

/** Digits that SQLite gives of a number where it makes text of it. */
const TEXT_DIGITS = 15;

/** Digits of a number in front of its point before zeros follow. */
const DECIMAL_DIGITS = 16;

/** The values of a result, in the order in which they are compared. */
export function resultText(rows: readonly Row[], types: string, sort: SortMode): string[] {
  const text = rows.map((row) => row.map((value, at) => valueText(value, types[at]!)));
  if (sort === "rowsort") text.sort(compareRows);
  const values = text.flat();
  return sort === "valuesort" ? values.sort(compareBytes) : values;
}

/** What stands for many values. */
export function hashText(values: readonly string[]): string {
  return `${values.length} values hashing to ${hashOf(values)}`;
}

/** The hash of values, each with a line's end behind it. */
export function hashOf(values: readonly string[]): string {
  const hash = createHash("md5");
  for (const value of values) hash.update(`${value}\n`);
  return hash.digest("hex");
}

/** As strcmp() compares: text is ASCII by now. */
function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareRows(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < a.length; i++) {
    const order = compareBytes(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return 0;
}

function valueText(value: SqlValue, type: string): string {
  if (value === null) return "NULL";
  if (type === "I") return integerText(value);
  if (type === "R") return decimalText(asNumber(value));
  return shownText(plainText(value));
}

/** "Integer values are rendered as if by printf("%d")": text and fractions are cut, as SQLite cuts them. */
function integerText(value: SqlValue): string {
  if (typeof value === "bigint") return String(value);
  return String(Math.trunc(asNumber(value)) + 0);
}

/** "As if by printf("%.3f")", which in SQLite has zeros after 16 digits. */
function decimalText(value: number): string {
  if (Math.abs(value) < 10 ** DECIMAL_DIGITS) return value.toFixed(3);
  const [digits, exponent] = value.toExponential(DECIMAL_DIGITS - 1).split("e+");
  const zeros = "0".repeat(Number(exponent) - DECIMAL_DIGITS + 1);
  return `${digits!.replace(".", "")}${zeros}.000`;
}

/** The number that text begins with, as SQLite casts. */
function asNumber(value: SqlValue): number {
  if (typeof value !== "string") return Number(value);
  return Number(/^\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/.exec(value)?.[0] ?? 0);
}

function plainText(value: SqlValue): string {
  if (typeof value === "number") return numberText(value);
  if (value instanceof Uint8Array) return String.fromCharCode(...value);
  if (value instanceof Date) return value.toISOString();
  return String(value);
}

/** A number as SQLite casts it to text: an integer has no point, a fraction always has one. */
function numberText(value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  const [digits, exponentText] = value.toExponential(TEXT_DIGITS - 1).split("e");
  const exponent = Number(exponentText);
  if (exponent >= -4 && exponent < TEXT_DIGITS) {
    return withPoint(value.toFixed(TEXT_DIGITS - 1 - exponent));
  }
  const sign = exponent < 0 ? "-" : "+";
  return `${withPoint(digits!)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

function withPoint(digits: string): string {
  if (!digits.includes(".")) return `${digits}.0`;
  return digits.replace(/0+$/, "").replace(/\.$/, ".0");
}

/** "Empty strings are rendered as "(empty)"", and bytes that do not print as "@". */
function shownText(text: string): string {
  if (text === "") return "(empty)";
  let shown = "";
  for (const byte of new TextEncoder().encode(text)) {
    shown += byte < 0x20 || byte > 0x7e ? "@" : String.fromCharCode(byte);
  }
  return shown;
}
