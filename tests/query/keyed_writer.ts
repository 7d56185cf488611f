// A write with a key that is tried until it was answered, and the proof that each took effect once.

import { assertEquals } from "@std/assert";
import type { Engine } from "../../src/query/engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { ask } from "./query_harness.ts";

/** The table that is written to. Nothing in it keeps a row from being there twice. */
export const MAKE_WRITES = "CREATE TABLE writes (writer int, n int)";

const INSERT = "INSERT INTO writes VALUES ($1, $2) RETURNING n";

/** What a write may end with while connections, processes and servers are killed. */
const TO_BE_TRIED_AGAIN = ["outcome_unknown", "engine_not_run", "deadline_exceeded"];

const RETRY_MS = 20;
const TRIES_MAX = 1_000;

/** Writes a number until that was answered. */
export async function writeOnce(engine: Engine, writer: number, n: number): Promise<void> {
  for (let tries = 0;; tries++) {
    try {
      const options = { params: [writer, n], idempotencyKey: `${writer} ${n}` };
      assertEquals((await ask(engine, INSERT, options)).rows, [[n]]);
      return;
    } catch (error) {
      const isExpected = error instanceof SqpError && TO_BE_TRIED_AGAIN.includes(error.codeName);
      if (!isExpected || tries >= TRIES_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/**
 * Looks whether every number below those is there once, for each writer, and at most one above: one that was not
 * answered yet.
 */
export async function assertOnce(engine: Engine, next: readonly number[]): Promise<void> {
  const { rows } = await ask(
    engine,
    "SELECT writer, count(*), count(DISTINCT n), max(n) FROM writes GROUP BY writer ORDER BY writer",
  );
  const answered = next.flatMap((count, writer) => count > 0 ? [[writer, count]] : []);
  const found = rows.map(([writer, count, distinct, largest]) => {
    assertEquals([count, largest], [distinct, Number(distinct) - 1], `writer ${writer}`);
    const unanswered = Number(count) - next[Number(writer)]!;
    return [writer, unanswered === 0 || unanswered === 1 ? next[Number(writer)] : count];
  });
  assertEquals(found.filter(([, count]) => Number(count) > 0), answered);
}
