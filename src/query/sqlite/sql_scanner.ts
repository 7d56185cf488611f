// A scanner for SQLite's tokens. It never decides what a statement may do: it finds where text is blank and which
// parameters there are.

/** A parameter of a statement, as its text names it. */
export type ParameterToken =
  | { readonly kind: "anonymous" }
  | { readonly kind: "numbered"; readonly number: number }
  /** `name` with its prefix, one of `:`, `@` and `$`. */
  | { readonly kind: "named"; readonly name: string };

const IDENTIFIER = /[A-Za-z0-9_$\u0080-\uffff]/;
const DIGITS = /[0-9]+/y;

/** Whether text from `from` holds nothing but white space, comments and semicolons. */
export function isBlank(sql: string, from = 0): boolean {
  let at = from;
  while (at < sql.length) {
    const next = sql[at] === ";" ? at + 1 : skipBlank(sql, at);
    if (next === at) return false;
    at = next;
  }
  return true;
}

/** The parameters in the order of the text, those that occur twice twice. */
export function scanParameters(sql: string): ParameterToken[] {
  const found: ParameterToken[] = [];
  let at = 0;
  while (at < sql.length) {
    const blankEnd = skipBlank(sql, at);
    if (blankEnd > at) {
      at = blankEnd;
      continue;
    }
    const character = sql[at]!;
    if (character === "'" || character === '"' || character === "`") at = skipQuoted(sql, at);
    else if (character === "[") at = endAfter(sql, "]", at);
    else if (character === "?") at = scanQuestionMark(sql, at, found);
    else if (":@$#".includes(character)) at = scanNamed(sql, at, found);
    else if (IDENTIFIER.test(character)) at = skipIdentifier(sql, at + 1);
    else at++;
  }
  return found;
}

/**
 * The end of the white space or comment at `at`; `at` itself where there is none. A comment may be open at the end
 * of the text.
 */
function skipBlank(sql: string, at: number): number {
  switch (sql[at]) {
    case " ":
    case "\t":
    case "\n":
    case "\f":
    case "\r":
    // SQLite reads a byte order mark as white space, wherever it stands.
    case "\ufeff":
      return at + 1;
    case "-":
      return sql[at + 1] === "-" ? endAfter(sql, "\n", at) : at;
    case "/": {
      // "/*" needs a third character to be a comment, and "/*/" does not close itself.
      if (sql[at + 1] !== "*" || at + 2 >= sql.length) return at;
      const close = sql.indexOf("*/", at + 2);
      return close === -1 ? sql.length : close + 2;
    }
    default:
      return at;
  }
}

function endAfter(sql: string, mark: string, at: number): number {
  const found = sql.indexOf(mark, at);
  return found === -1 ? sql.length : found + mark.length;
}

function skipQuoted(sql: string, at: number): number {
  const quote = sql[at]!;
  let end = at + 1;
  for (;;) {
    end = endAfter(sql, quote, end);
    if (sql[end] !== quote) return end;
    end++;
  }
}

function skipIdentifier(sql: string, at: number): number {
  while (at < sql.length && IDENTIFIER.test(sql[at]!)) at++;
  return at;
}

function scanQuestionMark(sql: string, at: number, found: ParameterToken[]): number {
  DIGITS.lastIndex = at + 1;
  const digits = DIGITS.exec(sql)?.[0];
  if (digits === undefined) {
    found.push({ kind: "anonymous" });
    return at + 1;
  }
  found.push({ kind: "numbered", number: Number(digits) });
  return at + 1 + digits.length;
}

/** `:name`, `@name`, `$name`, where a name may hold `::` and end with a suffix in parentheses, as in Tcl. */
function scanNamed(sql: string, at: number, found: ParameterToken[]): number {
  let end = at + 1;
  let characters = 0;
  while (end < sql.length) {
    if (IDENTIFIER.test(sql[end]!)) {
      characters++;
      end++;
    } else if (sql[end] === "(" && characters > 0) {
      const close = /[\s)]/g;
      close.lastIndex = end;
      const stop = close.exec(sql);
      end = stop?.[0] === ")" ? stop.index + 1 : end;
      break;
    } else if (sql[end] === ":" && sql[end + 1] === ":") end += 2;
    else break;
  }
  if (characters > 0) found.push({ kind: "named", name: sql.slice(at, end) });
  return end;
}
