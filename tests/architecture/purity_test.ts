// The cores are pure: no clock, timer, socket, promise or global randomness, so that they run in virtual time.

import { assertEquals } from "@std/assert";
import { type SourceFile, sourceFile, sourceFiles, testOnFiles } from "./repository.ts";

const PURE_LAYERS = ["base", "dtls", "wire", "transport", "session"];

/** Names that mean nothing pure, whatever stands around them. A property of another object may be called so. */
const GLOBALS: Readonly<Record<string, readonly string[]>> = {
  "a clock": ["performance", "Temporal"],
  "a timer": [
    "setTimeout",
    "setInterval",
    "setImmediate",
    "clearTimeout",
    "clearInterval",
    "clearImmediate",
    "queueMicrotask",
  ],
  "the outside world": [
    "Deno",
    "process",
    "console",
    "globalThis",
    "fetch",
    "WebSocket",
    "Worker",
    "localStorage",
  ],
  "a promise": ["Promise", "async", "await"],
};

/** Methods and functions that draw on the system's randomness, as globals, imports or properties. */
const RANDOMNESS = [
  "getRandomValues",
  "randomUUID",
  "randomBytes",
  "randomInt",
  "randomFill",
  "randomFillSync",
  "randomSecretKey",
  "generateKey",
  "generateKeySync",
  "generateKeyPair",
  "generateKeyPairSync",
  "generateKeys",
  "generatePrime",
  "generatePrimeSync",
];

const GLOBAL_KINDS = new Map(
  Object.entries(GLOBALS).flatMap(([kind, names]) => names.map((name) => [name, kind] as const)),
);

/** Everything in a file that is not pure. */
function impurities(file: SourceFile): string[] {
  const found: string[] = [];
  const { tokens } = file;
  tokens.forEach(({ kind, text, line }, at) => {
    if (kind !== "name") return;
    const [before, next, second] = [
      tokens[at - 1]?.text,
      tokens[at + 1]?.text,
      tokens[at + 2]?.text,
    ];
    const isProperty = before === "." || before === "?.";
    const report = (what: string) => found.push(`${file.path}:${line} ${what}`);
    const globalKind = GLOBAL_KINDS.get(text);
    if (globalKind !== undefined && !isProperty) report(`${text}: ${globalKind}`);
    if (RANDOMNESS.includes(text)) report(`${text}: global randomness`);
    if (text === "Math" && (second === "random" || before === "=" && next !== ".")) {
      report("Math: randomness");
    }
    if (text === "Date" && !isProperty) {
      const readsClock = next === "."
        ? second === "now"
        : before === "new"
        ? next !== "(" || second === ")"
        : next === "(" || before === "=";
      if (readsClock) report("Date: a clock");
    }
  });
  return found;
}

const isPure = (file: SourceFile) =>
  PURE_LAYERS.some((layer) => file.path.startsWith(`src/${layer}/`));

testOnFiles(
  "base, dtls, wire, transport and session have no clock, timer, socket, promise or randomness",
  () => {
    // The types of foreign functions may name promises.
    const files = sourceFiles("src").filter((file) => isPure(file) && !file.path.endsWith(".d.ts"));
    assertEquals(files.flatMap(impurities), []);
  },
);

Deno.test("the purity test sees every impurity, and only code", () => {
  const count = (text: string) => impurities(sourceFile("src/base/a.ts", text)).length;
  for (
    const text of [
      "const now = Date.now();",
      "const now = new Date();",
      "const now = new Date;",
      "const now = Date();",
      "performance.now()",
      "setTimeout(f, 1)",
      "setInterval(f, 1)",
      "queueMicrotask(f)",
      "Deno.listenDatagram({})",
      "globalThis.x",
      "fetch(url)",
      "crypto.getRandomValues(bytes)",
      "crypto.randomUUID()",
      'import { randomBytes as bytes } from "node:crypto";',
      "randomInt(3)",
      "Math.random()",
      "const { now } = Date;",
      "const { random } = Math;",
      "async () => {}",
      "for await (const x of y) {}",
      "let x: Promise<void>",
      "console.log(1)",
      "process.env.X",
      "const x = `${Date.now()}`",
    ]
  ) assertEquals(count(text) > 0, true, text);
  for (
    const text of [
      "// Date.now() and await",
      "/* setTimeout(f) */",
      'const x = "async await Promise";',
      "const x = `Math.random()`;",
      "const x = /await/;",
      "const at = new Date(now);",
      "const at = Date.UTC(2020, 1);",
      "this.process(x)",
      "counters.fetch",
      "const x = Math.max(1, 2);",
      "asyncId(promise)",
    ]
  ) assertEquals(count(text), 0, text);
});
