// Reads in the serving thread: only what is proved short, with the same permissions and results as in a process.

import { assert, assertEquals } from "@std/assert";
import type { SqliteDatabase } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { ask, askError, CANNOT_RUN_PROCESSES } from "./query_harness.ts";

const POINT = "SELECT * FROM t WHERE id = ?";

function inPlaceTest(name: string, fn: (engine: SqliteDatabase) => Promise<void>): void {
  Deno.test({
    name,
    ignore: CANNOT_RUN_PROCESSES,
    async fn() {
      const engine = await openSqliteEngine({ database: ":memory:" });
      try {
        await ask(engine, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, u UNIQUE)");
        await ask(engine, "INSERT INTO t VALUES (1, 'one', 10), (2, 'two', 20)");
        await fn(engine);
      } finally {
        await engine.close();
      }
    },
  });
}

const inPlace = (engine: SqliteDatabase) => engine.status().counters["inPlace"] ?? 0;

/** Whether the last of some runs of a statement was read in this thread. */
async function isReadInPlace(engine: SqliteDatabase, sql: string, params: number[] = []) {
  for (let i = 0; i < 2; i++) await ask(engine, sql, { params });
  const before = inPlace(engine);
  await ask(engine, sql, { params });
  return inPlace(engine) > before;
}

inPlaceTest(
  "a search by a key is read in place, and sees every write answered before it",
  async (engine) => {
    assert(await isReadInPlace(engine, POINT, [1]));
    for (let i = 0; i < 50; i++) {
      await ask(engine, "UPDATE t SET a = ? WHERE id = 1", { params: [i] });
      assertEquals((await ask(engine, POINT, { params: [1] })).rows, [[1, i, 10]]);
    }
    assertEquals(inPlace(engine), 52);
    const none = await ask(engine, POINT, { params: [7] });
    assertEquals([none.rows, none.columns.length, none.end.rowCount], [[], 3, 0]);
  },
);

inPlaceTest(
  "what may take its time is not: functions, loops, sorts, aggregates, large values",
  async (engine) => {
    const texts = [
      "SELECT length(hex(zeroblob(4000000))) FROM t WHERE id = 1",
      "SELECT abs(a) FROM t WHERE id = 1",
      "SELECT * FROM t",
      "SELECT count(*) FROM t",
      "SELECT max(a) FROM t",
      "SELECT * FROM t WHERE id > 1",
      "SELECT * FROM t ORDER BY a LIMIT 1",
      "SELECT * FROM t WHERE id IN (1, 2)",
      "SELECT (SELECT sum(id) FROM t) FROM t WHERE id = 1",
      "SELECT * FROM json_each('[1]')",
    ];
    for (const sql of texts) assertEquals(await isReadInPlace(engine, sql), false, sql);
    assert(await isReadInPlace(engine, POINT, [2]));
    await ask(engine, "UPDATE t SET a = zeroblob(100000) WHERE id = 2");
    const before = inPlace(engine);
    const { rows } = await ask(engine, POINT, { params: [2] });
    assertEquals((rows[0]![1] as Uint8Array).length, 100_000);
    assertEquals(inPlace(engine), before);
  },
);

inPlaceTest("permissions bind here as well", async (engine) => {
  assert(await isReadInPlace(engine, POINT, [1]));
  for (const permissions of [[], ["write"], ["write", "schema"]] as const) {
    const params = [1];
    assertEquals(await askError(engine, POINT, { params, permissions }), "permission_denied");
  }
  assertEquals(await askError(engine, POINT, { params: [] }), "parameter_count");
  assertEquals(await askError(engine, POINT, { params: [1, 2] }), "parameter_count");
});

inPlaceTest("a schema that changes ends what was proved", async (engine) => {
  await ask(engine, "CREATE TABLE w (a, b)");
  await ask(engine, "CREATE UNIQUE INDEX wa ON w (a)");
  await ask(engine, "INSERT INTO w VALUES (1, 'x')");
  const sql = "SELECT * FROM w WHERE a = 1";
  assert(await isReadInPlace(engine, sql));
  await ask(engine, "DROP INDEX wa");
  await ask(engine, "INSERT INTO w VALUES (1, 'y')");
  const before = inPlace(engine);
  for (let i = 0; i < 3; i++) {
    assertEquals((await ask(engine, sql)).rows, [[1, "x"], [1, "y"]]);
  }
  assertEquals(inPlace(engine), before);
  await ask(engine, "ALTER TABLE t ADD COLUMN more DEFAULT 5");
  assertEquals((await ask(engine, POINT, { params: [1] })).rows, [[1, "one", 10, 5]]);
  assert(await isReadInPlace(engine, POINT, [1]));
  assertEquals((await ask(engine, POINT, { params: [1] })).columns.length, 4);
});
