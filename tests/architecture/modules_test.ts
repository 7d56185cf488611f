// Reading imports and exports is what the import table stands on, so it has tests of its own.

import { assertEquals } from "@std/assert";
import { readModule } from "./modules.ts";
import { codeTokens } from "./tokenizer.ts";

const read = (source: string) => readModule(codeTokens(source));

/** The imports of a text as `kind specifier names`. */
const imports = (source: string) =>
  read(source).imports.map((one) => `${one.kind} ${one.specifier} ${one.names.join(",")}`.trim());

/** The exports of a text as `declaredAs name`. */
const exports = (source: string) =>
  read(source).exports.map((one) => `${one.declaredAs} ${one.name}`);

Deno.test("every form of import is seen, with the names that it takes", () => {
  assertEquals(imports('import { a, type b, c as d } from "./x.ts";'), ["static ./x.ts a,b,c"]);
  assertEquals(imports('import type { a } from "./x.ts";'), ["static ./x.ts a"]);
  assertEquals(imports('import { type } from "./x.ts";'), ["static ./x.ts type"]);
  assertEquals(imports('import * as all from "x";'), ["static x *"]);
  assertEquals(imports('import type * as all from "x";'), ["static x *"]);
  assertEquals(imports('import one from "x";'), ["static x default"]);
  assertEquals(imports('import one, { two } from "x";'), ["static x two,default"]);
  assertEquals(imports('import type one from "x";'), ["static x default"]);
  assertEquals(imports('import data from "./x.json" with { type: "json" };'), [
    "static ./x.json default",
  ]);
  assertEquals(imports('import "x"; import"y"'), ["static x", "static y"]);
  assertEquals(imports('const x = await import("./x.ts");'), ["dynamic ./x.ts *"]);
  assertEquals(imports('let x: import("./x.ts").Y;'), ["dynamic ./x.ts *"]);
  assertEquals(
    imports('import("./" + name); import(name)'),
    ["dynamic undefined *"].concat([
      "dynamic undefined *",
    ]),
  );
  assertEquals(imports('new Worker(new URL("./x.ts", import.meta.url))'), ["url ./x.ts *"]);
  assertEquals(imports('export { a as b } from "./x.ts"; export * from "./y.ts";'), [
    "static ./x.ts a",
    "static ./y.ts *",
  ]);
  assertEquals(imports('export type { a } from "./x.ts"; export * as y from "./y.ts";'), [
    "static ./x.ts a",
    "static ./y.ts *",
  ]);
});

Deno.test("what only looks like an import is none", () => {
  assertEquals(
    imports('// import "x"\n"import \'x\'"; `import "x"`; import.meta.url; a.import("x")'),
    [],
  );
});

Deno.test("every form of export is seen", () => {
  assertEquals(
    exports(`export function a() {} export async function b() {} export function* c() {}
      export class D {} export abstract class E {} export const f = 1; export let g;
      export interface H {} export type I = 1; export const { j, k: l } = m;`),
    [
      "function a",
      "function b",
      "function c",
      "class D",
      "class E",
      "const f",
      "let g",
      "interface H",
      "type I",
      "const j",
      "const l",
    ],
  );
  assertEquals(exports('export { a, b as c }; export { d, e as f } from "./x.ts";'), [
    "list a",
    "list c",
    "from d",
    "from f",
  ]);
  assertEquals(exports('export { type a, b } from "x"; export type { c } from "y";'), [
    "type from a",
    "from b",
    "type from c",
  ]);
  assertEquals(exports('export * from "x"; export * as y from "y"; export default class {}'), [
    "from y",
    "default default",
  ]);
});
