// Runs a script of sqllogictest through a client.

import { type Client, SqpError } from "../../src/client/mod.ts";
import { hashOf, hashText, resultText } from "./result_text.ts";
import type { QueryRecord, ScriptRecord, StatementRecord } from "./script.ts";

/** Queries under way at once: nothing changes between two statements, so their order is free. */
const IN_FLIGHT = 64;

/** Lines of a result that a failure shows. */
const SHOWN_LINES = 8;

/** A record that gave something else. */
export interface Failure {
  readonly line: number;
  readonly message: string;
}

/** How a script went. */
export interface ScriptOutcome {
  readonly passed: number;
  readonly failures: readonly Failure[];
}

/** Runs the records of a script, in their order. Rejects only where the session itself has ended. */
export async function runScript(
  client: Client,
  records: readonly ScriptRecord[],
): Promise<ScriptOutcome> {
  const failures: Failure[] = [];
  const labels = new Map<string, string>();
  let passed = 0;
  for (let at = 0; at < records.length;) {
    const record = records[at]!;
    if (record.kind === "statement") {
      const message = await runStatement(client, record);
      if (message === undefined) passed++;
      else failures.push({ line: record.line, message });
      at++;
      continue;
    }
    const end = records.findIndex(({ kind }, i) => i > at && kind === "statement");
    const queries = records.slice(at, end < 0 ? records.length : end) as QueryRecord[];
    for (const [i, answer] of (await runQueries(client, queries)).entries()) {
      const { line, label, skipped } = queries[i]!;
      const message = answer.message ?? labelMistake(label, answer.hash, labels);
      if (message !== undefined) failures.push({ line, message });
      else if (!skipped) passed++;
    }
    at += queries.length;
  }
  return { passed, failures };
}

/** What came of a query: the hash of its values, and what is wrong with them. */
interface Answer {
  readonly hash: string;
  readonly message?: string | undefined;
}

async function runQueries(client: Client, queries: readonly QueryRecord[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const work = async () => {
    while (next < queries.length) {
      const at = next++;
      answers[at] = await runQuery(client, queries[at]!);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return answers;
}

/** `undefined` where the statement ends as it has to. */
async function runStatement(
  client: Client,
  { sql, fails }: StatementRecord,
): Promise<string | undefined> {
  try {
    await client.execute(sql);
    return fails ? "succeeded" : undefined;
  } catch (error) {
    if (!(error instanceof SqpError)) throw error;
    return fails ? undefined : `failed: ${error.codeName}: ${error.message}`;
  }
}

async function runQuery(client: Client, query: QueryRecord): Promise<Answer> {
  const { sql, types, sort, expected, skipped } = query;
  if (skipped) return { hash: expectedHash(expected) };
  try {
    const { columns, rows } = await client.execute(sql);
    if (columns.length !== types.length) {
      return { hash: "", message: `has ${columns.length} columns instead of ${types.length}` };
    }
    const values = resultText(rows, types, sort);
    return { hash: hashOf(values), message: difference(values, expected) };
  } catch (error) {
    if (!(error instanceof SqpError)) throw error;
    return { hash: "", message: `failed: ${error.codeName}: ${error.message}` };
  }
}

const hashPattern = /^\d+ values hashing to ([0-9a-f]{32})$/;

function expectedHash(expected: readonly string[]): string {
  return hashPattern.exec(expected[0] ?? "")?.[1] ?? hashOf(expected);
}

function difference(values: readonly string[], expected: readonly string[]): string | undefined {
  const actual = hashPattern.test(expected[0] ?? "") ? [hashText(values)] : values;
  if (actual.length === expected.length && actual.every((value, at) => value === expected[at])) {
    return undefined;
  }
  const shown = (lines: readonly string[]) =>
    `${lines.length} lines [${lines.slice(0, SHOWN_LINES).join(", ")}]`;
  return `gave ${shown(actual)} instead of ${shown(expected)}`;
}

/** "If the label is reused, then sqllogictest verifies that the results are the same." */
function labelMistake(
  label: string | undefined,
  hash: string,
  labels: Map<string, string>,
): string | undefined {
  if (label === undefined) return undefined;
  const before = labels.get(label);
  if (before === undefined) labels.set(label, hash);
  return before === undefined || before === hash
    ? undefined
    : `gave another result than before under the label ${label}`;
}
