// Running a target: inputs from a seed, what is kept of them, and a small form of one that breaks a rule.

import { cpuUsage } from "node:process";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { Random } from "../harness/random.ts";
import { associationTarget } from "./association_target.ts";
import { certificatesTarget } from "./certificates_target.ts";
import { extensionsTarget } from "./extensions_target.ts";
import type { FuzzInput, FuzzTarget } from "./target.ts";

/** All targets, by name. */
export const TARGETS: Readonly<Record<string, FuzzTarget>> = {
  client: associationTarget("client"),
  server: associationTarget("server"),
  extensions: extensionsTarget,
  certificates: certificatesTarget(genuineInputs),
};

/** The corpus that is kept, a folder for each target, a file for each input: its parts in hexadecimal, one a line. */
export const CORPUS: URL = new URL("./corpus/", import.meta.url);

/** The inputs whose certificates their issuers made as they are: files whose names begin so. */
function genuineInputs(): FuzzInput[] {
  return [...keptInputs("certificates")].filter(([file]) => file.startsWith("base_"))
    .map(([, input]) => input);
}

/** Time that one input may take. What takes longer is run again, and its share of the processor counts. */
const INPUT_MS_MAX = 1_000;

/** An input that broke a rule. */
export interface Finding {
  readonly input: FuzzInput;
  readonly error: unknown;
}

/** What a run came to. */
export interface FuzzReport {
  /** Inputs that were run: datagrams, messages or chains. */
  readonly count: number;
  /** The first input that showed each feature. */
  readonly features: ReadonlyMap<string, FuzzInput>;
  readonly finding: Finding | undefined;
  readonly slowestMs: number;
}

/** Runs inputs from a seed until there were `countMax`, or one broke a rule. */
export function fuzz(
  target: FuzzTarget,
  { seed, countMax, kept }: { seed: number; countMax: number; kept: readonly FuzzInput[] },
): FuzzReport {
  const random = new Random(seed);
  const features = new Map<string, FuzzInput>();
  let count = 0;
  let slowestMs = 0;
  while (count < countMax) {
    const input = target.make(random, kept);
    const start = performance.now();
    try {
      const outcome = target.run(input);
      count += Math.max(1, outcome.count);
      for (const feature of outcome.features) {
        if (!features.has(feature)) features.set(feature, input);
      }
    } catch (error) {
      return { count, features, slowestMs, finding: { input, error } };
    }
    const elapsedMs = performance.now() - start;
    slowestMs = Math.max(slowestMs, elapsedMs);
    if (elapsedMs > INPUT_MS_MAX && isSlow(target, input)) {
      const error = new Error(`an input took ${Math.round(elapsedMs)} ms`);
      return { count, features, slowestMs, finding: { input, error } };
    }
  }
  return { count, features, slowestMs, finding: undefined };
}

/** Whether an input is slow by itself, and not because the machine had something else to do. */
function isSlow(target: FuzzTarget, input: FuzzInput): boolean {
  const before = cpuUsage();
  target.run(input);
  return cpuUsage(before).user > 1_000 * INPUT_MS_MAX;
}

/** Leaves out parts and bytes of an input as long as `isSame` says that it still does the same. */
export function minimized(input: FuzzInput, isSame: (input: FuzzInput) => boolean): FuzzInput {
  let best = input;
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false;
    for (const candidate of smaller(best)) {
      if (!isSame(candidate)) continue;
      best = candidate;
      isSmaller = true;
      break;
    }
  }
  return best;
}

/** Inputs that are a little smaller, the smallest first. */
function* smaller(input: FuzzInput): Generator<FuzzInput> {
  for (let i = input.length - 1; i > 0; i--) yield input.toSpliced(i, 1);
  for (const [i, part] of input.entries()) {
    for (let cut = part.length >> 1; cut > 0 && i > 0; cut >>= 1) {
      yield input.with(i, part.slice(0, part.length - cut));
    }
  }
}

/** What an input breaks, as a short text; `undefined` where it breaks nothing. */
export function brokenBy(target: FuzzTarget, input: FuzzInput): string | undefined {
  try {
    target.run(input);
    return undefined;
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

/** An input as the text of its file. */
export function inputText(input: FuzzInput): string {
  return input.map((part) => `${toHex(part)}\n`).join("");
}

/** The input in the text of a file. */
export function parseInput(text: string): FuzzInput {
  return text.replace(/\n$/, "").split("\n").map(fromHex);
}

/** The kept inputs of a target, by the name of their file. */
export function keptInputs(name: string): ReadonlyMap<string, FuzzInput> {
  const folder = new URL(`${name}/`, CORPUS);
  const files = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
  return new Map(
    files.map((file) => [file, parseInput(Deno.readTextFileSync(new URL(file, folder)))]),
  );
}
