// The commands of the project: every promised task is there, and runs with the least permissions.

import { assertEquals } from "@std/assert";
import { OPENSSL_LIBRARY_PATHS } from "../../src/dtls_runtime/openssl_paths.ts";
import { readText, testOnFiles } from "./repository.ts";

const TASKS = [
  "serve",
  "serve:fast",
  "certgen",
  "token",
  "query",
  "subscribe",
  "test",
  "ok",
  "bench",
];

/** Permissions that a task must narrow to what it names. */
const NARROWED = ["run", "ffi", "env", "sys", "import"];

interface Configuration {
  readonly tasks: Readonly<Record<string, string>>;
  readonly test: Readonly<Record<string, unknown>>;
}

const configuration = () => JSON.parse(readText("deno.json")) as Configuration;

/** What is too wide in a task's command line. */
function tooWide(command: string): string[] {
  const flags = command.split(/\s+/).filter((word) => word.startsWith("-"));
  return flags.filter((flag) =>
    /^(?:-[a-zA-Z]*A|--allow-all|-[A-Z]*[RWNESI]+|-P|--permission-set)\b/.test(flag) ||
    NARROWED.some((name) => flag === `--allow-${name}`)
  );
}

testOnFiles("deno.json has every task that the project promises", () => {
  const names = Object.keys(configuration().tasks);
  assertEquals(TASKS.filter((name) => !names.includes(name)), []);
});

testOnFiles("each task has the least permissions, spelled out", () => {
  const wide = Object.entries(configuration().tasks)
    .flatMap(([name, command]) => tooWide(command).map((flag) => `${name}: ${flag}`));
  assertEquals(wide, []);
});

testOnFiles(
  "foreign functions are those of libcrypto's known paths, and serve:fast is serve with them",
  () => {
    const { tasks } = configuration();
    const flag = `--allow-ffi=${OPENSSL_LIBRARY_PATHS.join(",")}`;
    const withFlag = Object.keys(tasks).filter((name) => tasks[name]!.includes("ffi"));
    assertEquals(withFlag, ["serve:fast", "test", "bench"]);
    for (const name of withFlag) assertEquals(tasks[name]!.split(" ").includes(flag), true, name);
    assertEquals(tasks["serve:fast"]!.replace(`${flag} `, ""), tasks["serve"]);
  },
);

testOnFiles("plain deno test runs, with the sanitizers on", () => {
  const { test } = configuration();
  assertEquals([test["sanitizeOps"], test["sanitizeResources"]], [true, true]);
  // With a permission set in the configuration, deno test refuses to run without a flag.
  assertEquals(test["permissions"], undefined);
});

Deno.test("permissions that are too wide are recognised", () => {
  for (const flag of ["-A", "-qA", "--allow-all", "--allow-run", "--allow-ffi", "-R", "-P=all"]) {
    assertEquals(tooWide(`deno run ${flag} src/cli/serve.ts`), [flag]);
  }
  assertEquals(tooWide("deno run -q --no-prompt --allow-read --allow-run=openssl,git a.ts"), []);
});
