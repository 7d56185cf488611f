// Command lines: every wrong one gets one line and exit code 2, every failure one line and exit code 1.

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  CommandError,
  defineCommand,
  parseCommandLine,
  parseCount,
  parseTimeSpan,
  runCommand,
  runSubcommands,
  UsageError,
  using,
} from "../../src/cli/usage.ts";

const SPEC = {
  name: "demo",
  summary: "Show how a command line is read",
  operands: ["SQL", "MORE?"],
  options: {
    format: { value: "FORMAT", choices: ["json", "csv"], default: "json", help: "output" },
    param: { value: "VALUE", multiple: true, help: "a parameter" },
    cert: { value: "FILE", help: "a certificate" },
    force: { help: "overwrite" },
  },
} as const;

async function run(args: readonly string[], fail?: unknown) {
  const seen: unknown[] = [];
  let out = "";
  let err = "";
  const command = defineCommand(SPEC, (line) => {
    if (fail !== undefined) throw fail;
    seen.push(line);
    return Promise.resolve();
  });
  const output = { out: (text: string) => out += text, err: (text: string) => err += text };
  const code = await runCommand(command, args, output);
  return { code, out, err, line: seen[0] };
}

Deno.test("options and operands are read in any order", () => {
  const args = [
    "--param",
    "1",
    "select",
    "--param=a=b",
    "--force",
    "--format=csv",
    "--param",
    "-5",
  ];
  const line = parseCommandLine(SPEC, args);
  assertEquals(line.operands, ["select"]);
  assertEquals(line.options, {
    format: "csv",
    param: ["1", "a=b", "-5"],
    cert: undefined,
    force: true,
  });
  const bare = parseCommandLine(SPEC, ["1e3", "true"]);
  assertEquals(bare.operands, ["1e3", "true"]);
  assertEquals(bare.options, { format: "json", param: [], cert: undefined, force: false });
});

Deno.test("operands that look like options stand behind --, a lone dash is an operand", () => {
  assertEquals(parseCommandLine(SPEC, ["--", "-5", "--force"]).operands, ["-5", "--force"]);
  assertEquals(parseCommandLine(SPEC, ["-"]).operands, ["-"]);
  assertEquals(parseCommandLine(SPEC, ["--force", "true"]).operands, ["true"]);
});

Deno.test("any value of an option comes through as it was typed", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (values) => {
      const args = values.map((value) => `--param=${value}`);
      assertEquals(parseCommandLine(SPEC, ["x", ...args]).options.param, values);
    }),
    { seed: 1 },
  );
  assertEquals(parseCommandLine(SPEC, ["--param", "", "x"]).options.param, [""]);
  assertEquals(parseCommandLine(SPEC, ["--param=\n", "x"]).options.param, ["\n"]);
});

const WRONG: readonly (readonly [readonly string[], string])[] = [
  [["x", "--nope"], "unknown option --nope"],
  [["x", "--nope=1"], "unknown option --nope"],
  [["x", "--no-force"], "unknown option --no-force"],
  [["x", "--a.b=1"], "unknown option --a.b"],
  [["x", "--__proto__=1"], "unknown option --__proto__"],
  [["x", "-v"], "unknown option -v"],
  [["x", "-5"], "unknown option -5"],
  [["x", "--cert"], "--cert needs a value: --cert FILE"],
  [["x", "--cert", "--force"], "--cert needs a value"],
  [["x", "--cert", "a", "--cert", "b"], "--cert is given twice"],
  [["x", "--force=yes"], "--force takes no value"],
  [["x", "--force="], "--force takes no value"],
  [["x", "--format", "xml"], '--format is one of json, csv, not "xml"'],
  [["x", "--format="], '--format is one of json, csv, not ""'],
  [[], "SQL is missing"],
  [["a", "b", "c"], 'unexpected argument "c"'],
];

for (const [args, message] of WRONG) {
  Deno.test(`bad usage: ${JSON.stringify(args)}: ${message}`, async () => {
    const { code, out, err, line } = await run(args);
    assertEquals([code, out, line], [2, "", undefined]);
    assertStringIncludes(err, `demo: ${message}`);
    assertEquals(err.split("\n").length, 2, "one line");
  });
}

Deno.test("--help prints every option and does nothing", async () => {
  for (const args of [["--help"], ["x", "-h", "--nope"]]) {
    const { code, out, err, line } = await run(args);
    assertEquals([code, err, line], [0, "", undefined]);
    for (const text of ["demo SQL [MORE]", "--format json|csv", "--force", "default json"]) {
      assertStringIncludes(out, text);
    }
  }
  assertEquals((await run(["--", "--help"])).code, 0);
});

Deno.test("a failure is one line and exit code 1, without a stack trace", async () => {
  const failures: [unknown, string][] = [
    [new CommandError("x.pem: not a\ncertificate"), "demo: x.pem: not a certificate\n"],
    [new Deno.errors.NotFound("os"), "demo: no such file or directory\n"],
    [new Deno.errors.PermissionDenied("os"), "demo: permission denied\n"],
    [new Deno.errors.AddrInUse("os"), "demo: the address is in use by another program\n"],
    [new Error("No space left (os error 28)"), "demo: No space left (os error 28)\n"],
  ];
  for (const [error, text] of failures) {
    const { code, err } = await run(["x"], error);
    assertEquals([code, err], [1, text]);
  }
});

Deno.test("a defect of ours keeps its stack trace", async () => {
  const { code, err } = await run(["x"], new TypeError("oops"));
  assertEquals(code, 1);
  assertStringIncludes(err, "demo: internal error: TypeError: oops\n    at ");
});

Deno.test("an exit code of the command's own is kept", async () => {
  const command = defineCommand({ ...SPEC, operands: [] }, () => Promise.resolve(7));
  assertEquals(await runCommand(command, []), 7);
});

Deno.test("errors of the system name the file or address", async () => {
  const act = () => Promise.reject(new Deno.errors.NotFound("os"));
  await assertRejects(() => using("a.pem", act), CommandError, "a.pem: no such file or directory");
  const defect = () => Promise.reject(new RangeError("ours"));
  await assertRejects(() => using("a.pem", defect), RangeError);
});

Deno.test("subcommands: the name chooses, a wrong one lists what there is", async () => {
  let err = "";
  let out = "";
  const output = { out: (text: string) => out += text, err: (text: string) => err += text };
  const one = defineCommand(
    { name: "t one", summary: "One", options: {} },
    () => Promise.resolve(5),
  );
  const run = (...args: string[]) => runSubcommands("t", "Things", { one }, args, output);
  assertEquals(await run("one"), 5);
  assertEquals(await run("two"), 2);
  assertEquals(await run(), 2);
  assertEquals(await run("toString"), 2);
  assertEquals(await run("one", "--x"), 2);
  assertStringIncludes(err, 't: unknown command "two": one of one; --help says more\n');
  assertStringIncludes(err, "t: a command is missing: one of one");
  assertStringIncludes(err, "t one: unknown option --x");
  assertEquals(await run("--help"), 0);
  assertStringIncludes(out, "  one  One");
});

Deno.test("counts and time spans", () => {
  assertEquals(parseCount("days", "365", 36_500), 365);
  for (const text of ["0", "-1", "1.5", "", "1e3", "36501", "x"]) {
    assertThrows(() => parseCount("days", text, 36_500), UsageError, "--days");
  }
  assertEquals(
    ["250ms", "30s", "15m", "1h", "7d"].map((text) => parseTimeSpan("ttl", text)),
    [250, 30_000, 900_000, 3_600_000, 604_800_000],
  );
  for (const text of ["0s", "1", "h", "1w", "-1h", "1.5h", ""]) {
    assertThrows(() => parseTimeSpan("ttl", text), UsageError, "--ttl");
  }
});
