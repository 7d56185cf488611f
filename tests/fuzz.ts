// `deno task fuzz TARGET --runs N --seed S [--save FOLDER] [--input FILE]`: feeds a target with damaged input.
// An input that breaks a rule is made small and written to a file that can be put into tests/fuzz/corpus.

// deno-lint-ignore-file no-console -- printing is what it is for

import { parseArgs } from "@std/cli/parse-args";
import {
  brokenBy,
  fuzz,
  inputText,
  keptInputs,
  minimized,
  parseInput,
  TARGETS,
} from "./fuzz/runner.ts";
import type { FuzzInput, FuzzTarget } from "./fuzz/target.ts";

const DEFAULT_RUNS = 100_000;

function fail(message: string): never {
  console.error(`fuzz: ${message}`);
  Deno.exit(2);
}

/** Writes the small form of an input that breaks a rule. */
function report(target: FuzzTarget, input: FuzzInput, folder: string): void {
  const broken = brokenBy(target, input);
  if (broken === undefined) {
    return console.log("the input breaks a rule only after those before it, or only when slow");
  }
  console.log(broken);
  const small = minimized(input, (one) => brokenBy(target, one) === broken);
  const path = `${folder}/${target.name}-${Date.now()}.hex`;
  Deno.writeTextFileSync(path, inputText(small));
  console.log(`written to ${path}`);
  Deno.exitCode = 1;
}

/** Writes the small form of the first input that showed each feature that the corpus does not show. */
function saveFeatures(
  target: FuzzTarget,
  features: ReadonlyMap<string, FuzzInput>,
  folder: string,
): void {
  const shown = new Set(
    [...keptInputs(target.name).values()].flatMap((input) => [...target.run(input).features]),
  );
  for (const [feature, input] of features) {
    if (shown.has(feature)) continue;
    const isSame = (one: FuzzInput) =>
      brokenBy(target, one) === undefined && target.run(one).features.includes(feature);
    const small = minimized(input, isSame);
    for (const other of target.run(small).features) shown.add(other);
    const name = feature.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "");
    Deno.writeTextFileSync(`${folder}/${name.slice(0, 60)}.hex`, inputText(small));
  }
}

const args = parseArgs(Deno.args, { string: ["runs", "seed", "save", "input"] as const });
const text = (value: unknown) => typeof value === "string" ? value : undefined;
const target = TARGETS[String(args._[0] ?? "")];
if (target === undefined) fail(`name a target: ${Object.keys(TARGETS).join(", ")}`);
const folder = text(args.save) ?? Deno.env.get("TMPDIR") ?? ".";
const inputPath = text(args.input);
if (inputPath !== undefined) {
  report(target, parseInput(Deno.readTextFileSync(inputPath)), folder);
  Deno.exit();
}
const seed = Number(args.seed ?? 1);
const countMax = Number(args.runs ?? DEFAULT_RUNS);
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(countMax)) {
  fail("--runs and --seed are numbers");
}
const start = performance.now();
const kept = [...keptInputs(target.name).values()];
const { count, features, finding, slowestMs } = fuzz(target, { seed, countMax, kept });
const seconds = (performance.now() - start) / 1_000;
console.log(
  `${target.name}: ${count} inputs from seed ${seed} in ${seconds.toFixed(1)} s ` +
    `(${Math.round(count / seconds)} a second, the slowest script ${slowestMs.toFixed(0)} ms), ` +
    `${features.size} different outcomes`,
);
for (const feature of [...features.keys()].sort()) console.log(`  ${feature}`);
if (finding !== undefined) report(target, finding.input, folder);
else if (text(args.save) !== undefined) saveFeatures(target, features, folder);
