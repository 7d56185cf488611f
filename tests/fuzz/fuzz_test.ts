// The fuzz targets for some seconds: what is kept of earlier runs, and a few new inputs of a fixed seed. `deno task
// fuzz` runs more.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { granted, testWith } from "../harness/permissions.ts";
import { Random } from "../harness/random.ts";
import {
  brokenBy,
  CORPUS,
  fuzz,
  inputText,
  keptInputs,
  minimized,
  parseInput,
  TARGETS,
} from "./runner.ts";
import { type FuzzInput, type FuzzTarget, rule } from "./target.ts";

const needs = { permissions: [{ name: "read", path: CORPUS }] } as const;
const SEED = 20_260_101;
/** New inputs of each target. */
const COUNT = 2_000;

for (const [name, target] of Object.entries(TARGETS)) {
  testWith(needs, `${name}: the kept inputs break no rule`, () => {
    const kept = keptInputs(name);
    assert(kept.size >= 10, `${kept.size} inputs`);
    for (const [file, input] of kept) assertEquals(brokenBy(target, input), undefined, file);
  });

  testWith(
    needs,
    `${name}: ${COUNT} inputs of a seed break no rule, and reach many outcomes`,
    () => {
      const kept = [...keptInputs(name).values()];
      const { finding, features } = fuzz(target, { seed: SEED, countMax: COUNT, kept });
      assertEquals(finding?.error, undefined);
      assert(features.size >= 25, [...features.keys()].join());
    },
  );
}

testWith(needs, "certificates: each kept genuine chain is read, and most are accepted", () => {
  const genuine = [...keptInputs("certificates")].filter(([file]) => file.startsWith("base_"));
  const accepted = genuine.filter(([, input]) =>
    TARGETS.certificates!.run(input).features.includes("validation: accepted")
  );
  assert(accepted.length >= 20, `${accepted.length} of ${genuine.length}`);
});

testWith(needs, "the same seed gives the same inputs", () => {
  assert(granted(...needs.permissions));
  for (const [name, target] of Object.entries(TARGETS)) {
    const kept = [...keptInputs(name).values()];
    const texts = [1, 1, 2].map((seed) => {
      const random = new Random(seed);
      return Array.from({ length: 5 }, () => inputText(target.make(random, kept))).join("\n");
    });
    assertEquals(texts[0], texts[1]);
    assert(texts[0] !== texts[2]);
  }
});

/** A target that breaks a rule where two parts hold a 7 at their beginning. */
const BROKEN: FuzzTarget = {
  name: "broken",
  make: (random) => Array.from({ length: 8 }, () => random.bytes(random.integer(0, 6))),
  run: (input) => {
    const sevens = input.slice(1).filter((part) => part[0] === 7);
    rule(sevens.length < 2, "two sevens");
    return { count: 1, features: sevens.length === 1 ? ["a seven"] : [] };
  },
};

Deno.test("an input that breaks a rule is found, and made small", () => {
  const { finding, count, features } = fuzz(BROKEN, { seed: 1, countMax: 1e6, kept: [] });
  assert(finding !== undefined && count > 0);
  assertEquals(brokenBy(BROKEN, finding.input), "BrokenRule: two sevens");
  const small = minimized(finding.input, (one) => brokenBy(BROKEN, one) !== undefined);
  assertEquals(small.slice(1), [new Uint8Array([7]), new Uint8Array([7])]);
  assertEquals(features.has("a seven"), true);
});

Deno.test("an input comes back from the text of its file", () => {
  const input: FuzzInput = [new Uint8Array([1, 2]), new Uint8Array(0), new Uint8Array([255])];
  assertEquals(parseInput(inputText(input)), input);
  assertEquals(parseInput(inputText([new Uint8Array(0)])), [new Uint8Array(0)]);
});

Deno.test("an error of another kind is a finding too", () => {
  const target = { ...BROKEN, run: () => fail() };
  const { finding } = fuzz(target, { seed: 1, countMax: 1, kept: [] });
  assertStringIncludes(String(finding?.error), "no such thing");
});

function fail(): never {
  throw new TypeError("no such thing");
}
