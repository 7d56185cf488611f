// The tokenizer is what every architecture test stands on, so it has tests of its own.

import { assertEquals, assertThrows } from "@std/assert";
import { codeTokens, tokenize } from "./tokenizer.ts";

const texts = (source: string) => codeTokens(source).map((token) => token.text);

Deno.test("comments and strings hide what is in them", () => {
  assertEquals(texts(`a; // b\n/* c\n */ "d // e" + 'f'`), ["a", ";", '"d // e"', "+", "'f'"]);
  assertEquals(texts("\"\\\"await\" + '\\''"), ['"\\"await"', "+", "'\\''"]);
});

Deno.test("the expressions of a template are code, its text is not", () => {
  assertEquals(texts("`await ${f({ a: `${b}` })} async` + c"), [
    "`await ${",
    "f",
    "(",
    "{",
    "a",
    ":",
    "`${",
    "b",
    "}`",
    "}",
    ")",
    "} async`",
    "+",
    "c",
  ]);
});

Deno.test("a slash divides after a value and begins a regular expression elsewhere", () => {
  const regexes = (source: string) =>
    tokenize(source).filter((token) => token.kind === "regex").map((token) => token.text);
  assertEquals(regexes("a / b / c; (a) / b / c; a[0]! / b / c; a++ / b / c"), []);
  assertEquals(regexes("x = /a'[/\"]b/g; return /c/; if (!/\\/d/.test(e)) f(/g/)"), [
    "/a'[/\"]b/g",
    "/c/",
    "/\\/d/",
    "/g/",
  ]);
});

Deno.test("lines are counted through everything that spans several", () => {
  const found = tokenize("/*\n\n*/ a\n`\n${b}\n`\nc").filter((token) => token.kind === "name");
  assertEquals(found.map((token) => [token.text, token.line]), [["a", 3], ["b", 5], ["c", 7]]);
});

Deno.test("a string that does not end is an error, not an empty list", () => {
  assertThrows(() => tokenize('a = "b'), SyntaxError);
  assertThrows(() => tokenize("a = `b ${c"), SyntaxError);
});
