// The text of a whole row, as PostgreSQL writes composite values (section 8.16.6 of its manual).

import { DecodeError } from "../../base/byte_reader.ts";

/**
 * The texts of a row's values. "A completely empty field value represents a NULL"; in double quotes, a double quote and
 * a backslash are doubled or stand behind a backslash. Throws {@linkcode DecodeError}.
 */
export function parseRowText(text: string): (string | null)[] {
  if (!text.startsWith("(") || !text.endsWith(")")) throw new DecodeError("no text of a row");
  const values: (string | null)[] = [];
  let at = 1;
  for (;;) {
    let value = "";
    let isNull = true;
    let isQuoted = false;
    for (;; at++) {
      const letter = text[at];
      if (letter === undefined) throw new DecodeError("the text of a row is cut short");
      if (!isQuoted && (letter === "," || letter === ")")) break;
      isNull = false;
      if (letter === "\\") value += text[++at] ?? "";
      else if (letter !== '"') value += letter;
      else if (isQuoted && text[at + 1] === '"') value += text[++at];
      else isQuoted = !isQuoted;
    }
    values.push(isNull ? null : value);
    if (text[at++] === ")") break;
  }
  if (at !== text.length) throw new DecodeError("something follows the text of a row");
  return values;
}

/**
 * "The composite output routine will put double quotes around field values if they are empty strings or contain
 * parentheses, commas, double quotes, backslashes, or white space."
 */
const NEEDS_QUOTES = /^$|[(),"\\\t-\r ]/;

/** The text of a row that has these values, as a cast of it would give it. */
export function formatRowText(values: readonly (string | null)[]): string {
  return `(${values.map((value) => value === null ? "" : formatValue(value)).join(",")})`;
}

function formatValue(value: string): string {
  if (!NEEDS_QUOTES.test(value)) return value;
  return `"${value.replace(/["\\]/g, "$&$&")}"`;
}
