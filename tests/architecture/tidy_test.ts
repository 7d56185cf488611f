// Style as a test: what formatter, linter and compiler leave open.

import { assertEquals } from "@std/assert";
import { type SourceFile, sourceFile, sourceFiles, testOnFiles } from "./repository.ts";
import { type Token, tokenize } from "./tokenizer.ts";

/** Lines of a file of src, at most. */
const FILE_LINES_MAX = 500;
/** Characters of a line, comments included, at most. */
const LINE_CHARACTERS_MAX = 120;
/** A word as long as this cannot be wrapped (a URL, a test vector); its line may be longer. */
const UNBREAKABLE_CHARACTERS = 90;

/** A rule: the lines that break it, and samples that show that it can fail. */
interface Rule {
  readonly name: string;
  readonly applies: (path: string) => boolean;
  readonly find: (file: SourceFile) => readonly number[];
  /** Breaks the rule in `src/base/a.ts`, unless a path is given before the text. */
  readonly bad: readonly (string | readonly [path: string, text: string])[];
  readonly good: readonly (string | readonly [path: string, text: string])[];
}

const inSrc = (path: string) => path.startsWith("src/");
// This file's own samples break every rule.
const everywhere = (path: string) => path !== "tests/architecture/tidy_test.ts";

/** The numbers of the lines that a pattern matches. */
function linesThatMatch(pattern: RegExp): Rule["find"] {
  return (file) =>
    file.text.split("\n").flatMap((line, index) => pattern.test(line) ? [index + 1] : []);
}

/** The lines of the tokens that a function picks; it sees the tokens before and after. */
function tokensThat(
  picks: (text: string, before: string, after: string, token: Token) => boolean,
): Rule["find"] {
  return ({ tokens }) =>
    tokens.flatMap((token, at) => {
      if (token.kind !== "name") return [];
      const [before, after] = [tokens[at - 1]?.text ?? "", tokens[at + 1]?.text ?? ""];
      return before !== "." && picks(token.text, before, after, token) ? [token.line] : [];
    });
}

/** Comments of one line that can only be a statement. Quoted protocol syntax (`struct { ... } Name;`) is none. */
const COMMENTED_OUT = [
  /^(?:const|let|var) [\w{[].* = .*;$/,
  /^(?:import|export) .*["'];$/,
  /^(?:export )?(?:async )?function\*? \w+\(.*\{$/,
  /^(?:if|for|while|switch) \(.*\)(?: \{|.*;)$/,
  /^\} else\b.*\{$/,
  /^return\b.*;$/,
  /^(?:await |throw |yield )?(?:this|[\w#]+)(?:[.?!]+[\w#]+)*\(.*\);$/,
  /^(?:this|[\w#]+)(?:\.[\w#]+)+ = .*;$/,
];

/** Names that the project has another word for, praise, and plans. */
const BANNED_WORDS = new RegExp(
  "\\b(?:" + [
    "needsAck|avgRtt|retryTimeout|key1",
    "basically|hopefully|utili[sz]e[sd]?|leverages?|seamless(?:ly)?|blazing(?:ly)?",
    "cutting-edge|world-class|best-in-class|battle-tested|production-ready|military-grade|bulletproof",
    "WIP|kludge|quick fix|placeholder implementation|not implemented yet|will be implemented",
    "blacklist|whitelist",
  ].join("|") + ")\\b",
  "i",
);

const RULES: readonly Rule[] = [
  {
    name: `a file has at most ${FILE_LINES_MAX} lines`,
    applies: inSrc,
    find: ({ text }) => text.trimEnd().split("\n").length > FILE_LINES_MAX ? [FILE_LINES_MAX] : [],
    bad: ["//\n".repeat(FILE_LINES_MAX + 1)],
    good: ["//\n".repeat(FILE_LINES_MAX)],
  },
  {
    name: `a line has at most ${LINE_CHARACTERS_MAX} characters`,
    applies: everywhere,
    find: ({ text }) =>
      text.split("\n").flatMap((line, index) =>
        line.length > LINE_CHARACTERS_MAX &&
          line.split(" ").every((word) => word.length < UNBREAKABLE_CHARACTERS)
          ? [index + 1]
          : []
      ),
    bad: ["// " + "ab ".repeat(40)],
    good: ["// " + "ab ".repeat(39), "// " + "ab".repeat(60)],
  },
  {
    name: "a file's name is in snake_case, and says more than helper, util, misc or common",
    applies: () => true,
    find: ({ path }) => {
      const names = path.split("/");
      const isFine = names.every((name) =>
        /^[a-z0-9]+(?:_[a-z0-9]+)*(?:\.d)?(?:\.ts)?$/.test(name) &&
        !/(?:^|_)(?:helpers?|utils?|misc|common)(?:_|\.|$)/.test(name)
      );
      return isFine ? [] : [1];
    },
    bad: [["src/base/byteReader.ts", ""], ["src/byte-reader/a.ts", ""], ["src/base/utils.ts", ""]],
    good: [["src/base/byte_reader.ts", ""], ["src/base/std_types.d.ts", ""]],
  },
  {
    name: "a file opens with a comment that says what it is for",
    applies: inSrc,
    find: ({ text }) =>
      /^\/\/ (?!deno-).{20,}\n|^\/\*\*\n \* .{20,}\n(?:(?!\*\/)[^])*@module/.test(text) ? [] : [1],
    bad: [
      'import "./b.ts";\n',
      "//\n",
      "\n// What this is for, in a line.\n",
      "/**\n * What the first function is for.\n */\n",
    ],
    good: [
      "// What this is for, in a line.\n",
      "/**\n * What this is for, in a line.\n *\n * @module\n */\n",
    ],
  },
  {
    name: "no enum: an `as const` object and a union type",
    applies: everywhere,
    find: tokensThat((text, before, after) =>
      text === "enum" && /^\w+$/.test(after) && before !== "{"
    ),
    bad: ["enum Color { RED }", "export const enum Color { RED }"],
    good: ["// enum Color", "const x = { enum: 1 };", "x.enum"],
  },
  {
    name: "no `any`",
    applies: (path) => everywhere(path) && !path.endsWith(".d.ts"),
    find: tokensThat((text, before, after) =>
      text === "any" && !((after === ":" || after === "(") && /^[{,;]?$/.test(before))
    ),
    bad: ["let x: any;", "f(x as any)", "const x: any[] = []", "type X = Record<string, any>;"],
    good: ["Promise.any(x)", "const x = { any: 1 };", 'type Auth = "any";', "// any"],
  },
  {
    name: "nothing silences the compiler, and no file of src the linter",
    applies: everywhere,
    // A test may expect an error (of a type, say); what only prints may do so in a whole file.
    find: (file) =>
      linesThatMatch(
        inSrc(file.path)
          ? /@ts-(?:ignore|nocheck|expect-error)|deno-lint-ignore-file/
          : /@ts-(?:ignore|nocheck)/,
      )(file),
    bad: ["// @ts-ignore\n", "// @ts-expect-error: why\n", ["tests/a.ts", "// @ts-nocheck"]],
    good: ["// deno-lint-ignore no-explicit-any\n", ["tests/a.ts", "// @ts-expect-error: why"]],
  },
  {
    name: "what is left to do stands in an issue",
    applies: everywhere,
    find: linesThatMatch(/\b(?:TODO|FIXME|XXX|HACK)\b/),
    bad: ["// TODO: more", "/** FIXME */", "const x = 1; // XXX", '"HACK"'],
    good: ["// a todo list", "const XXXL = 1;"],
  },
  {
    name: "only commands and the server's log write to the console",
    applies: (path) => inSrc(path) && !/^src\/(?:cli\/|server\/log\w*\.ts$)/.test(path),
    find: tokensThat((text) => text === "console"),
    bad: ["console.log(1)", ["src/server/endpoint.ts", "console.error(x)"]],
    good: ["// console.log", ["src/cli/serve.ts", "console.log(1)"], "this.console()"],
  },
  {
    name: "no banned word",
    applies: everywhere,
    find: linesThatMatch(BANNED_WORDS),
    bad: ["// Basically a map.", "let avgRtt = 0;", "// seamless"],
    good: ["// A map.", "let smoothedRtt = 0;"],
  },
  {
    name: "no code in comments",
    applies: everywhere,
    find: ({ text }) =>
      tokenize(text).flatMap((token) => {
        const comment = token.kind === "comment" ? token.text.replace(/^\/\/\s*/, "") : "";
        return COMMENTED_OUT.some((pattern) => pattern.test(comment)) ? [token.line] : [];
      }),
    bad: [
      "// const x = 1;",
      "//   return x;",
      "// if (x > 1) {",
      "// this.#count.add(x);",
      "// await f(x);",
      '// import { x } from "./x.ts";',
      "// } else {",
      "// state.count = 2;",
    ],
    good: [
      "// struct { uint8 x; } Foo;",
      "// uint16 epoch;",
      "// See f(x); then the rest follows.",
      "// If (as here) it is so, drop.",
      "// return to the caller",
      "const x = 1; // the first one;",
    ],
  },
  {
    name: "no test runs alone, and none turns a sanitizer off",
    applies: (path) => everywhere(path) && path.startsWith("tests/"),
    find: linesThatMatch(/\btest\.only\b|\bonly: true\b|\bsanitize\w+: false\b/),
    bad: [["tests/a.ts", "Deno.test.only(f)"], ["tests/a.ts", "sanitizeOps: false,"]],
    good: [["tests/a.ts", "Deno.test(f)"]],
  },
];

for (const rule of RULES) {
  testOnFiles(rule.name, () => {
    const files = [...sourceFiles("src"), ...sourceFiles("tests")];
    const mistakes = files.filter((file) => rule.applies(file.path))
      .flatMap((file) => rule.find(file).map((line) => `${file.path}:${line}`));
    assertEquals(mistakes, []);
  });

  Deno.test(`it can fail: ${rule.name}`, () => {
    const breaks = (sample: string | readonly [string, string]) => {
      const [path, text] = typeof sample === "string" ? ["src/base/a.ts", sample] : sample;
      const file = sourceFile(path, text);
      return rule.applies(path) && rule.find(file).length > 0;
    };
    for (const sample of rule.bad) assertEquals(breaks(sample), true, `bad: ${sample}`);
    for (const sample of rule.good) assertEquals(breaks(sample), false, `good: ${sample}`);
  });
}
