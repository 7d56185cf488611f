// Results that are half told, when a statement that nobody waits for holds up the process that tells them.

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Execution } from "../../src/query/engine.ts";
import type { SqliteDatabase, SqliteEngineOptions } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { ask, askError, CANNOT_RUN_PROCESSES, ENDLESS, type Result } from "./query_harness.ts";

const ROWS = 30_000;

/** Two statements are given to two processes, so that a third one shares. */
const TWO_READERS = { readersMin: 2, readersMax: 2 };

function series(rows: number, what: string): string {
  return `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${rows}) SELECT ${what} FROM c`;
}

/** A result of which the first page was told. */
interface HalfTold {
  /** Asks for all the rest. */
  readonly resume: () => void;
  readonly result: Promise<Result>;
}

async function halfTold(engine: SqliteDatabase): Promise<HalfTold> {
  const { promise, resolve } = Promise.withResolvers<Execution>();
  const result = ask(engine, series(ROWS, "i"), { onPage: resolve });
  // Whoever waits for it sees how it ends.
  result.catch(() => {});
  const execution = await promise;
  return { resume: () => execution.pull(1_000), result };
}

function engineTest(
  name: string,
  pool: SqliteEngineOptions["pool"],
  fn: (engine: SqliteDatabase) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: CANNOT_RUN_PROCESSES,
    async fn() {
      const engine = await openSqliteEngine({ database: ":memory:", ...(pool && { pool }) });
      try {
        await fn(engine);
      } finally {
        await engine.close();
      }
    },
  });
}

/** Waits until so many processes are up, the writer among them. */
async function processes(engine: SqliteDatabase, count: number): Promise<void> {
  while (engine.status().processes !== count) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

engineTest(
  "results that are half told outlast a statement in their process that was ended",
  { ...TWO_READERS, orphanMsMax: 150 },
  async (engine) => {
    await processes(engine, 3);
    const results = [await halfTold(engine), await halfTold(engine)];
    // It runs for a second or two, long beyond all limits but the last.
    const long = series(8_000_000, "count(*)");
    assertEquals(await askError(engine, long, { deadlineMs: 100 }), "deadline_exceeded");
    // The other process goes on.
    assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
    for (const { resume } of results) resume();
    for (const { result } of results) assertEquals((await result).end.rowCount, ROWS);
    assertEquals(engine.status().counters["killed"] ?? 0, 0);
  },
);

engineTest(
  "a process that does not come back to its results is killed, and their readers are told to ask again",
  { ...TWO_READERS, orphanMsMax: 50, pageMsMax: 3_000 },
  async (engine) => {
    await processes(engine, 3);
    const results = [await halfTold(engine), await halfTold(engine)];
    assertEquals(await askError(engine, ENDLESS, { deadlineMs: 100 }), "deadline_exceeded");
    const [first, second] = results.map(({ result }) => result);
    const error = await assertRejects(() => Promise.race([first!, second!]), SqpError);
    assertEquals([error.codeName, error.retry], ["engine_failure", "now"]);
    for (const { resume } of results) resume();
    const outcomes = await Promise.allSettled([first, second]);
    assertEquals(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    await processes(engine, 3);
  },
);

engineTest(
  "where all processes have results that are half told, one more is started for what comes",
  undefined,
  async (engine) => {
    await processes(engine, 3);
    const results = [await halfTold(engine), await halfTold(engine)];
    await processes(engine, 4);
    let hasEnded = false;
    const executions: Execution[] = [];
    const runaways = [1, 2].map(() =>
      askError(engine, ENDLESS, { onStart: (execution) => executions.push(execution) }).then(
        (name) => {
          hasEnded = true;
          return name;
        },
      )
    );
    // The second one is found to wait behind the first, and is taken from there.
    await new Promise((resolve) => setTimeout(resolve, 150));
    for (const { resume } of results) resume();
    for (const { result } of results) assertEquals((await result).end.rowCount, ROWS);
    assert(!hasEnded, "a result waited for the statement without end");
    for (const execution of executions) execution.cancel();
    assertEquals(await Promise.all(runaways), ["cancelled", "cancelled"]);
  },
);

engineTest(
  "a result that a process begins before it is killed, and unheard, is told by another one",
  { readersMin: 1, readersMax: 1 },
  async (engine) => {
    await ask(engine, "SELECT 1");
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancelled = askError(engine, series(2_000_000, "count(*)"), {
      onStart(execution) {
        setTimeout(() => {
          execution.cancel();
          resolve();
        }, 30);
      },
    });
    await promise;
    const result = ask(engine, series(ROWS, "i"));
    assertEquals(await cancelled, "cancelled");
    await new Promise((resolve) => setTimeout(resolve, 20));
    // This thread is busy: the process goes on to the result meanwhile, and is killed by what was heard of it before.
    const startMs = performance.now();
    while (performance.now() - startMs < 2_500);
    assertEquals((await result).end.rowCount, ROWS);
    assertEquals(engine.status().counters["killed"], 1);
  },
);
