// What a module imports and exports, read from its tokens.

import type { Token } from "./tokenizer.ts";

/** How a module names another. `url` is `new URL("...", import.meta.url)`: a Worker or a process of its own. */
export type ImportKind = "static" | "dynamic" | "url";

/** One import, `import type` and `export ... from` included. */
export interface Import {
  readonly kind: ImportKind;
  /** As written; `undefined` where it is computed. */
  readonly specifier: string | undefined;
  /** The names that are taken from the other module; `*` for all of them. */
  readonly names: readonly string[];
  readonly line: number;
}

/** One exported name. */
export interface Export {
  readonly name: string;
  /** The word that declares it (`function`, `type`, ...); `from` or `type from` where it comes from another module. */
  readonly declaredAs: string;
  readonly line: number;
}

/** What a module imports and exports. */
export interface Module {
  readonly imports: readonly Import[];
  readonly exports: readonly Export[];
}

const isString = (token: Token | undefined) => token?.kind === "string";
const unquoted = (token: Token) => token.text.slice(1, -1);

/** Reads the imports and exports of a module from its tokens without comments. */
export function readModule(tokens: readonly Token[]): Module {
  const imports: Import[] = [];
  const exports: Export[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const { kind, text, line } = tokens[at]!;
    if (kind !== "name" || tokens[at - 1]?.text === ".") continue;
    if (text === "import") {
      const found = readImport(tokens, at);
      if (found !== undefined) imports.push({ ...found, line });
    } else if (text === "export") {
      const { from, names, exported } = readExport(tokens, at);
      if (from !== undefined) imports.push({ kind: "static", specifier: from, names, line });
      for (const name of exported) exports.push({ ...name, line });
    } else if (text === "URL" && isString(tokens[at + 2]) && tokens[at + 4]?.text === "import") {
      imports.push({ kind: "url", specifier: unquoted(tokens[at + 2]!), names: ["*"], line });
    }
  }
  return { imports, exports };
}

/** Reads an import that begins at `at`; `undefined` for `import.meta`. */
function readImport(tokens: readonly Token[], at: number): Omit<Import, "line"> | undefined {
  const next = tokens[at + 1];
  if (next?.text === ".") return undefined;
  if (next?.text === "(") {
    const fixed = isString(tokens[at + 2]) && /^[,)]$/.test(tokens[at + 3]?.text ?? "");
    const specifier = fixed ? unquoted(tokens[at + 2]!) : undefined;
    return { kind: "dynamic", specifier, names: ["*"] };
  }
  if (next !== undefined && isString(next)) {
    return { kind: "static", specifier: unquoted(next), names: [] };
  }
  let end = at + 1;
  while (end < tokens.length && !isString(tokens[end])) end++;
  const clause = tokens.slice(at + 1, end - 1);
  const from = tokens[end];
  const names = clause.some((token) => token.text === "*")
    ? ["*"]
    : readNameList(clause).map((name) => name.outer);
  const only = clause.filter((token) => token.text !== "type" || clause.length === 1);
  if (only[0]?.kind === "name") names.push("default");
  return { kind: "static", specifier: from && unquoted(from), names };
}

/** One name of a list. */
interface ListedName {
  /** The name that stands first. */
  readonly outer: string;
  /** The name after `as`, or the same. */
  readonly inner: string;
  readonly isType: boolean;
}

/** Reads `{ a, type b, c as d }`. */
function readNameList(tokens: readonly Token[]): ListedName[] {
  const open = tokens.findIndex((token) => token.text === "{");
  const close = tokens.findIndex((token) => token.text === "}");
  if (open < 0 || close < 0) return [];
  const list: ListedName[] = [];
  let words: string[] = [];
  for (const token of tokens.slice(open + 1, close + 1)) {
    if (token.text !== "," && token.text !== "}") {
      words.push(token.text);
      continue;
    }
    const isType = words.length > 1 && words[0] === "type" && words[1] !== "as";
    if (isType) words.shift();
    if (words.length > 0) list.push({ outer: words[0]!, inner: words.at(-1)!, isType });
    words = [];
  }
  return list;
}

/** Reads an export that begins at `at`. */
function readExport(tokens: readonly Token[], at: number): {
  from: string | undefined;
  names: string[];
  exported: Omit<Export, "line">[];
} {
  let first = at + 1;
  const allTypes = tokens[first]?.text === "type" && /^[{*]$/.test(tokens[first + 1]?.text ?? "");
  if (allTypes) first++;
  const start = tokens[first]?.text;
  if (start === "*") {
    const alias = tokens[first + 1]?.text === "as" ? tokens[first + 2]?.text : undefined;
    const from = tokens[first + (alias === undefined ? 2 : 4)];
    const exported = alias === undefined ? [] : [{ name: alias, declaredAs: "from" }];
    return { from: from && unquoted(from), names: ["*"], exported };
  }
  if (start === "{") {
    const close = tokens.findIndex((token, index) => index > first && token.text === "}");
    const list = readNameList(tokens.slice(first, close + 1));
    const from = tokens[close + 1]?.text === "from" ? tokens[close + 2] : undefined;
    const exported = list.map(({ inner, isType }) => {
      const kind = allTypes || isType ? "type from" : "from";
      return { name: inner, declaredAs: from === undefined ? "list" : kind };
    });
    const names = from === undefined ? [] : list.map((name) => name.outer);
    return { from: from && unquoted(from), names, exported };
  }
  return { from: undefined, names: [], exported: readDeclaration(tokens, first) };
}

/** Reads the names that an exported declaration declares. */
function readDeclaration(tokens: readonly Token[], first: number): Omit<Export, "line">[] {
  let at = first;
  while (/^(?:async|abstract|declare)$/.test(tokens[at]?.text ?? "")) at++;
  const declaredAs = tokens[at]?.text ?? "";
  if (declaredAs === "default") return [{ name: "default", declaredAs }];
  if (tokens[at + 1]?.text === "*") at++;
  if (/^[{[]$/.test(tokens[at + 1]?.text ?? "")) {
    const close = tokens.findIndex((token, index) => index > at && /^[}\]]$/.test(token.text));
    const pattern = tokens.slice(at + 2, close);
    return pattern
      .filter((token, index) => token.kind === "name" && pattern[index + 1]?.text !== ":")
      .map((token) => ({ name: token.text, declaredAs }));
  }
  return [{ name: tokens[at + 1]?.text ?? "", declaredAs }];
}
