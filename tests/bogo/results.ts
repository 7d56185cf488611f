// What the BoGo runner prints, read.

/** What became of one test. `unimplemented`: it needs something of the shim that is not there. */
export interface TestResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "unimplemented";
  /** What the runner says of a failure. */
  readonly text: string;
}

/** The results in the runner's output with its flag -pipe. */
export function readResults(output: string): TestResult[] {
  const results: TestResult[] = [];
  for (const block of output.split(/^(?=(?:PASSED|FAILED|UNIMPLEMENTED) \()/m)) {
    const [head, outcome, name] = /^(PASSED|FAILED|UNIMPLEMENTED) \((.*)\)\n/.exec(block) ?? [];
    if (head === undefined) continue;
    results.push({
      name: name!,
      outcome: outcome!.toLowerCase() as TestResult["outcome"],
      text: outcome === "FAILED" ? block.slice(head.length).trimEnd() : "",
    });
  }
  return results;
}

/** Whether a name matches one of the patterns, in which `*` stands for anything. */
export function matchesAny(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const parts = pattern.split("*").map((part) => part.replace(/[^\w]/g, "\\$&"));
    return new RegExp(`^${parts.join(".*")}$`).test(name);
  });
}

/** Failures for the tests of `names` that have no result: the runner ended before it came to them. */
export function missingResults(
  names: readonly string[],
  results: readonly TestResult[],
): TestResult[] {
  const known = new Set(results.map(({ name }) => name));
  return names.filter((name) => !known.has(name))
    .map((name) => ({ name, outcome: "failed", text: "the runner says nothing of it" }));
}

/** The line that says how tests went, and how many were left out. */
export function countText(results: readonly TestResult[], leftOut: number): string {
  const count = (outcome: TestResult["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  const counts = (["passed", "failed", "unimplemented"] as const)
    .map((outcome) => `${count(outcome)} ${outcome}`).join(", ");
  return leftOut === 0 ? counts : `${counts}; ${leftOut} not run, for the reasons in config.json`;
}
