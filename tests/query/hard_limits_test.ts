// A deadline and a cancellation end whatever a statement does, at a known time, and the session goes on.

import { assert, assertEquals } from "@std/assert";
import type { SqliteDatabase } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { ask, askError, CANNOT_RUN_PROCESSES, ENDLESS } from "./query_harness.ts";

/** How late the end may come. */
const LATE_MS_MAX = 250;

/** Others use the machine as well, and leave it for moments: the best of some runs counts. */
const RUNS = 5;

/** How long a statement runs before it is ended: it has been found to be long by then. */
const AFTER_MS = 100;

/** A million rows each: a cross join of them has more than anybody can count. */
const MILLIONS = "WITH m(i) AS (SELECT a.i FROM k a, k b, k c)";

/** Functions that are slow, but no loop: each takes as long as its value is large, which the engine limits. */
const SLOW = Array.from({ length: 300 }, (_, i) => `length(hex(zeroblob(${7_000_000 + i})))`)
  .join(" + ");

/** Statements that never yield, or not for long. */
const RUNAWAYS: Readonly<Record<string, string>> = {
  "a recursion without end": ENDLESS,
  "a cross join of millions":
    `${MILLIONS} SELECT count(*) FROM m x, m y, m z WHERE x.i + y.i < z.i`,
  "a sort of a cross join": `${MILLIONS} SELECT x.i FROM m x, m y ORDER BY x.i * y.i % 7 LIMIT 1`,
  "slow functions behind a search by key": `SELECT ${SLOW} FROM k WHERE i = 1`,
  "a write of a recursion without end": `INSERT INTO t ${ENDLESS}`,
  "a write of a cross join of millions":
    `INSERT INTO t ${MILLIONS} SELECT x.i FROM m x, m y WHERE x.i + y.i < 0`,
  "a write of slow functions": `UPDATE t SET a = (SELECT ${SLOW} FROM k WHERE i = 1)`,
  "a write that returns without end": `DELETE FROM t WHERE (${ENDLESS}) RETURNING a`,
};

/** Runs a statement until it is ended. Returns how late that was, in milliseconds. */
async function lateness(
  engine: SqliteDatabase,
  sql: string,
  why: "deadline" | "cancel",
): Promise<number> {
  const startMs = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let endAtMs = startMs + AFTER_MS;
  const name = await askError(engine, sql, {
    ...(why === "deadline" && { deadlineMs: AFTER_MS }),
    onStart(execution) {
      if (why === "deadline") return;
      timer = setTimeout(() => {
        endAtMs = performance.now();
        execution.cancel();
      }, AFTER_MS);
    },
  });
  clearTimeout(timer);
  const lateMs = performance.now() - endAtMs;
  assertEquals(name, why === "deadline" ? "deadline_exceeded" : "cancelled");
  return lateMs;
}

for (const [what, sql] of Object.entries(RUNAWAYS)) {
  Deno.test({
    name: `${what} ends within ${LATE_MS_MAX} ms of its deadline, and of its cancellation`,
    ignore: CANNOT_RUN_PROCESSES,
    async fn() {
      const engine = await openSqliteEngine({ database: ":memory:" });
      try {
        await ask(engine, "CREATE TABLE k (i INTEGER PRIMARY KEY)");
        await ask(engine, "CREATE TABLE t (a)");
        await ask(
          engine,
          "INSERT INTO k WITH c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 100) SELECT i FROM c",
        );
        await ask(engine, "INSERT INTO t VALUES (0)");
        for (const why of ["deadline", "cancel"] as const) {
          let bestMs = Infinity;
          for (let run = 0; run < RUNS && bestMs > LATE_MS_MAX; run++) {
            bestMs = Math.min(bestMs, await lateness(engine, sql, why));
            // The same caller goes on: reads and writes.
            assertEquals((await ask(engine, "SELECT a FROM t")).rows, [[0]], what);
            await ask(engine, "UPDATE t SET a = 0");
          }
          assert(bestMs <= LATE_MS_MAX, `${what}: ${bestMs} ms after the ${why}`);
        }
      } finally {
        await engine.close();
      }
    },
  });
}
