// Values as they are typed on a command line.

import type { SqlValue } from "../client/mod.ts";

/** What is not a number, a truth value, null or bytes is text; quotes make anything text. */
export function parseValue(text: string): SqlValue {
  if (text === "null") return null;
  if (text === "true" || text === "false") return text === "true";
  if (/^'.*'$/s.test(text)) return text.slice(1, -1).replaceAll("''", "'");
  if (/^x'(?:[0-9a-f]{2})*'$/i.test(text)) return Uint8Array.fromHex(text.slice(2, -1));
  if (/^[+-]?\d+$/.test(text)) return BigInt(text);
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) return Number(text);
  return text;
}
