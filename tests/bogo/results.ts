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

/** The line that says how `wanted` tests went; those that the configuration disables were not run. */
export function countText(wanted: number, results: readonly TestResult[]): string {
  const count = (outcome: TestResult["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  const counts = (["passed", "failed", "unimplemented"] as const)
    .map((outcome) => `${count(outcome)} ${outcome}`).join(", ");
  const left = wanted - results.length;
  return left === 0 ? counts : `${counts}; ${left} not run, for the reasons in config.json`;
}
