// Runs BoringSSL's test runner, BoGo, against this library: `deno task bogo RUNNER LIST`, where RUNNER is the path of a
// built runner and LIST that of a file with a test's name on each line. Fails where a test fails that config.json does
// not name.

import configuration from "./config.json" with { type: "json" };
import { countText, matchesAny, missingResults, readResults, type TestResult } from "./results.ts";

/** Names that one run of the runner takes: a command line is limited. */
const NAMES_PER_RUN = 200;
const WORKERS = 2;

/** What the runner starts for each test. */
function wrapperScript(): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const path = (relative: string) => quoted(new URL(relative, import.meta.url).pathname);
  const flags = "-q --no-prompt --no-check --no-lock --allow-read --allow-net";
  return `#!/bin/sh
exec ${quoted(Deno.execPath())} run ${flags} -c ${path("../../deno.json")} ${path("shim.ts")} "$@"
`;
}

async function runChunk(runner: string, shim: string, names: readonly string[]): Promise<string> {
  const { stdout } = await new Deno.Command("sh", {
    args: [
      "-c",
      'exec "$0" "$@"',
      runner,
      ...["-shim-path", shim],
      ...["-shim-config", new URL("config.json", import.meta.url).pathname],
      ...["-num-workers", String(WORKERS)],
      ...["-pipe", "-allow-unimplemented"],
      ...["-test", names.join(";")],
    ],
    stderr: "inherit",
  }).output();
  return new TextDecoder().decode(stdout);
}

async function runAll(runner: string, names: readonly string[]): Promise<TestResult[]> {
  const folder = await Deno.makeTempDir({ prefix: "sqp-bogo-" });
  try {
    const shim = `${folder}/shim`;
    await Deno.writeTextFile(shim, wrapperScript(), { mode: 0o755 });
    const results: TestResult[] = [];
    for (let at = 0; at < names.length; at += NAMES_PER_RUN) {
      const chunk = names.slice(at, at + NAMES_PER_RUN);
      const chunkResults = readResults(await runChunk(runner, shim, chunk));
      chunkResults.push(...missingResults(chunk, chunkResults));
      for (const { name, outcome, text } of chunkResults) {
        if (outcome !== "passed") print(`${outcome} ${name}\n${text}`);
      }
      results.push(...chunkResults);
    }
    return results;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function main([runner, list]: readonly string[]): Promise<number> {
  if (runner === undefined || list === undefined) {
    print("skipped: deno task bogo RUNNER LIST needs a built BoGo runner and a list of tests");
    return 0;
  }
  for (const path of [runner, list]) {
    if (await exists(path)) continue;
    print(`skipped: there is no ${path}`);
    return 0;
  }
  const lines = (await Deno.readTextFile(list)).split("\n").map((line) => line.trim());
  const disabled = Object.keys(configuration.DisabledTests);
  const names = lines.filter((line) => line !== "");
  const wanted = names.filter((name) => !matchesAny(name, disabled));
  const results = await runAll(runner, wanted);
  print(countText(results, names.length - wanted.length));
  return results.some(({ outcome }) => outcome === "failed") ? 1 : 0;
}

Deno.exit(await main(Deno.args));
