// The writes of the crash tests. Each has a number, and is one row, or three and a change of the tally: the first row,
// which counts how many writes were of three.

import { assert } from "@std/assert";
import { SqpError } from "../../src/wire/errors.ts";
import type { Access, Dialect, Step } from "./access.ts";

/** Ways to write. With a key, a write is done once however often it is sent. */
export const WRITE_KINDS = ["insert", "keyed", "batch", "transaction"] as const;

/** One of them. */
export type WriteKind = typeof WRITE_KINDS[number];

/** Whether it has a key. */
export function isKeyed(kind: WriteKind): boolean {
  return kind === "keyed" || kind === "batch";
}

/** How a number is written where all writes have a key. */
export function keyedKind(n: number): WriteKind {
  return n % 2 === 0 ? "keyed" : "batch";
}

/** Rows of a write. */
export function rowCountOf(kind: WriteKind): number {
  return kind === "batch" || kind === "transaction" ? 3 : 1;
}

/** Makes the table, and the tally in it. */
export async function makeTable(access: Access): Promise<void> {
  await access.execute([access.dialect.makeTable, []]);
  await access.execute(["INSERT INTO w (n, part) VALUES (0, 0)", []]);
}

function steps({ insert }: Dialect, n: number): Step[] {
  const rows = [0, 1, 2].map((part): Step => [insert, [n, part]]);
  return [...rows, ["UPDATE w SET part = part + 1 WHERE id = 1", []]];
}

/** Writes. Gives what was answered; rejects with {@linkcode SqpError}. */
export function write(access: Access, kind: WriteKind, n: number): Promise<unknown> {
  const { dialect } = access;
  switch (kind) {
    case "insert":
      return access.execute([dialect.insert, [n, 0]]);
    case "keyed":
      return access.execute([dialect.insert, [n, 0]], `write ${n}`);
    case "batch":
      return access.batch(steps(dialect, n), `write ${n}`);
    case "transaction":
      return access.transaction(steps(dialect, n));
  }
}

/** What anything may end with while what it needs is killed. */
const LOSSES = [
  ...["cancelled", "connection_lost", "deadline_exceeded", "engine_not_run", "outcome_unknown"],
  "transaction_rolled_back",
];

/** The name of an error that a kill explains. Throws every other one. */
export function lossOf(error: unknown): string {
  if (!(error instanceof SqpError)) throw error;
  assert(LOSSES.includes(error.codeName), `${error.codeName}: ${error}`);
  return error.codeName;
}
