// Nothing is exported that nobody imports.

import { assertEquals } from "@std/assert";
import { exists, readText, ROOT, type SourceFile, sourceFile, sourceFiles } from "./repository.ts";
import { testWith } from "../harness/permissions.ts";

/** What a program starts with. Before it exists, nothing below it can be called dead. */
const PROGRAM = "src/cli/serve.ts";

/** The modules that deno.json exports: what they export is for others. */
function publicModules(): string[] {
  const { exports } = JSON.parse(readText("deno.json")) as { exports: Record<string, string> };
  return Object.values(exports).map((path) => path.replace(/^\.\//, ""));
}

/** The names that are taken from each file, by its path; `*` for all of them. */
function namesInUse(files: readonly SourceFile[]): Map<string, Set<string>> {
  const inUse = new Map<string, Set<string>>();
  for (const file of files) {
    for (const { specifier, names } of file.module.imports) {
      if (specifier === undefined || !specifier.startsWith(".")) continue;
      const target = new URL(specifier, `file:///${file.path}`).pathname.slice(1);
      const known = inUse.get(target) ?? new Set();
      inUse.set(target, known);
      for (const name of names) known.add(name);
    }
  }
  return inUse;
}

/** Whether a type or class belongs to something else that its file exports, and is there so that others can name it. */
function isPartOfOwnFile(file: SourceFile, name: string, declaredAs: string): boolean {
  if (declaredAs === "type from") return true;
  if (!["type", "interface", "class"].includes(declaredAs)) return false;
  return file.tokens.filter((token) => token.kind === "name" && token.text === name).length > 1;
}

/** Every name that files of src export and neither src nor tests import. */
function deadExports(
  src: readonly SourceFile[],
  tests: readonly SourceFile[],
  publicPaths: readonly string[],
): string[] {
  const inUse = namesInUse([...src, ...tests]);
  const dead: string[] = [];
  for (const file of src) {
    const known = inUse.get(file.path) ?? new Set();
    const isForeign = file.path.endsWith(".d.ts");
    if (isForeign || publicPaths.includes(file.path) || known.has("*")) continue;
    for (const { name, declaredAs, line } of file.module.exports) {
      if (known.has(name) || isPartOfOwnFile(file, name, declaredAs)) continue;
      dead.push(`${file.path}:${line} ${name}`);
    }
  }
  return dead;
}

const needs = {
  permissions: [{ name: "read", path: ROOT }],
  unless: () => !exists(PROGRAM),
} as const;
testWith(needs, "no export of src is dead", () => {
  assertEquals(deadExports(sourceFiles("src"), sourceFiles("tests"), publicModules()), []);
});

Deno.test("the search for dead exports finds them, and only them", () => {
  const dead = (texts: Record<string, string>, tests: Record<string, string> = {}) => {
    const made = (of: Record<string, string>) =>
      Object.entries(of).map(([path, text]) => sourceFile(path, text));
    return deadExports(made(texts), made(tests), ["src/client/mod.ts"]);
  };
  const a = { "src/base/a.ts": "export const used = 1; export function unused() {}" };
  assertEquals(dead(a), ["src/base/a.ts:1 used", "src/base/a.ts:1 unused"]);
  assertEquals(dead({ ...a, "src/base/b.ts": 'import { used } from "./a.ts";' }), [
    "src/base/a.ts:1 unused",
  ]);
  assertEquals(
    dead(a, { "tests/base/a_test.ts": 'import * as a from "../../src/base/a.ts";' }),
    [],
  );
  assertEquals(dead({ ...a, "src/client/mod.ts": 'export { used } from "../base/a.ts";' }), [
    "src/base/a.ts:1 unused",
  ]);
  assertEquals(dead({ "src/client/mod.ts": "export const x = 1;" }), []);
  assertEquals(dead({ "src/base/a.ts": 'export { type b, c } from "./b.ts";' }), [
    "src/base/a.ts:1 c",
  ]);
  const options = "export interface Options { x: number }";
  assertEquals(dead({ "src/base/a.ts": options }).length, 1);
  assertEquals(dead({ "src/base/a.ts": `${options} function f(options: Options) {}` }), []);
});
