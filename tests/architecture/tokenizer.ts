// Splits TypeScript into tokens, so that a rule about code never sees a comment or the inside of a string.

/** What a token is. The text pieces of a template are tokens; the expressions between them are split up. */
export type TokenKind =
  | "name"
  | "number"
  | "string"
  | "template"
  | "regex"
  | "punctuator"
  | "comment";

/** One token. `text` is as written, quotes and comment marks included; lines count from 1. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly line: number;
}

const SPACE = /\s+/y;
const COMMENT = /\/\/.*|\/\*[^]*?\*\/|^#!.*/y;
const NAME = /#?[\p{ID_Start}$_][\p{ID_Continue}$]*/yu;
const NUMBER = /0[xXbBoO][\da-fA-F_]+n?|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?n?/y;
const STRING = /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/y;
const TEMPLATE_TEXT = /[`}](?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{)/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const PUNCTUATOR = /=>|\.\.\.|\?\.(?!\d)|\+\+|--|[^]/y;

/** Words after which a slash begins a regular expression although names are mostly divided. */
const OPERATOR_WORDS = /^(?:return|typeof|case|in|of|do|else|void|delete|throw|new|yield|await)$/;

/** Whether a slash after these tokens begins a regular expression; otherwise it divides. */
function regexMayFollow(before: Token | undefined, beforeThat: Token | undefined): boolean {
  if (before === undefined) return true;
  if (before.kind === "name") return OPERATOR_WORDS.test(before.text);
  if (before.kind === "template") return before.text.endsWith("${");
  if (before.kind !== "punctuator") return false;
  // `count! / 2` and `count++ / 2` divide, `!/x/.test(y)` does not.
  if (/^(?:!|\+\+|--)$/.test(before.text)) return regexMayFollow(beforeThat, undefined);
  return !/^[)\]}]$/.test(before.text);
}

/** The tokens of a TypeScript text, in order. Throws `SyntaxError` where none begins. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  /** The last two tokens that are not comments. */
  let before: Token | undefined;
  let beforeThat: Token | undefined;
  /** For each template that is open: how many braces are open inside its current expression. */
  const templates: number[] = [];
  let offset = 0;
  let line = 1;

  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = offset;
    return pattern.exec(source)?.[0];
  };
  const next = (): [TokenKind | "space", string | undefined] => {
    const first = source[offset]!;
    if (/\s/.test(first)) return ["space", match(SPACE)];
    const comment = match(COMMENT);
    if (comment !== undefined) return ["comment", comment];
    if (first === '"' || first === "'") return ["string", match(STRING)];
    if (first === "`" || (first === "}" && templates.at(-1) === 0)) {
      return ["template", match(TEMPLATE_TEXT)];
    }
    if (first === "/" && regexMayFollow(before, beforeThat)) return ["regex", match(REGEX)];
    const name = match(NAME);
    if (name !== undefined) return ["name", name];
    const number = match(NUMBER);
    if (number !== undefined) return ["number", number];
    return ["punctuator", match(PUNCTUATOR)];
  };

  while (offset < source.length) {
    const [kind, text] = next();
    if (text === undefined) throw new SyntaxError(`line ${line}: no end of what begins here`);
    if (kind === "template") {
      if (text.startsWith("}")) templates.pop();
      if (text.endsWith("${")) templates.push(0);
    } else if (kind === "punctuator" && templates.length > 0) {
      if (text === "{") templates[templates.length - 1]!++;
      if (text === "}") templates[templates.length - 1]!--;
    }
    if (kind !== "space") {
      const token = { kind, text, line };
      tokens.push(token);
      if (kind !== "comment") [beforeThat, before] = [before, token];
    }
    offset += text.length;
    line += text.split("\n").length - 1;
  }
  if (templates.length > 0) throw new SyntaxError("a template does not end");
  return tokens;
}

/** The tokens that are code. */
export function codeTokens(source: string): Token[] {
  return tokenize(source).filter((token) => token.kind !== "comment");
}
