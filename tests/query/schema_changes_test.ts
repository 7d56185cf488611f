// Statements that are prepared by one schema and run by another, in processes that hear of it only from SQLite.

import { assertEquals } from "@std/assert";
import type { SqliteDatabase } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { ask, askError, CANNOT_RUN_PROCESSES } from "./query_harness.ts";

function schemaTest(name: string, fn: (engine: SqliteDatabase) => Promise<void>): void {
  Deno.test({
    name,
    ignore: CANNOT_RUN_PROCESSES,
    async fn() {
      // One reader, so that a statement meets the process that has it in its cache.
      const engine = await openSqliteEngine({
        database: ":memory:",
        pool: { readersMin: 1, readersMax: 1 },
      });
      try {
        await fn(engine);
      } finally {
        await engine.close();
      }
    },
  });
}

schemaTest("a statement has the columns that its table has now", async (engine) => {
  await ask(engine, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  await ask(engine, "INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  const texts = [
    "SELECT * FROM t WHERE id = 1",
    "SELECT * FROM t",
    "UPDATE t SET id = id WHERE id = 1 RETURNING *",
  ];
  const names = async (permissions?: readonly ["read", "write"]) => {
    const all: string[] = [];
    for (const sql of texts) {
      const { columns, rows } = await ask(engine, sql, permissions && { permissions });
      all.push(columns.map(({ name }) => name).join());
      for (const row of rows) assertEquals(row.length, columns.length, sql);
    }
    return all;
  };
  // Each set of permissions has connections of its own, which do not hear of what another one defines.
  for (const permissions of [undefined, ["read", "write"] as const]) {
    assertEquals(await names(permissions), ["id,a", "id,a", "id,a"]);
    await ask(engine, "ALTER TABLE t ADD COLUMN c DEFAULT 3");
    assertEquals(await names(permissions), ["id,a,c", "id,a,c", "id,a,c"]);
    await ask(engine, "ALTER TABLE t DROP COLUMN c");
    assertEquals(await names(permissions), ["id,a", "id,a", "id,a"]);
  }
});

schemaTest("what was not there when a process last looked is found", async (engine) => {
  for (let i = 0; i < 3; i++) {
    await ask(engine, "DROP TABLE IF EXISTS t");
    assertEquals(await askError(engine, "SELECT count(*) FROM t"), "unknown_table");
    await ask(engine, "CREATE TABLE IF NOT EXISTS t (a, b)");
    assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[0]]);
    await ask(engine, "REINDEX t");
    await ask(engine, "CREATE INDEX ti ON t (a)");
    await ask(engine, "REINDEX ti");
    await ask(engine, "DROP INDEX ti");
    assertEquals(await askError(engine, "REINDEX ti"), "syntax");
    await ask(engine, "DROP TABLE t");
    assertEquals(await askError(engine, "REINDEX t"), "syntax");
  }
});

schemaTest("columns and tables are renamed; the temporary schema stays closed", async (engine) => {
  await ask(engine, "CREATE TABLE t (a, b)");
  await ask(engine, "CREATE VIEW v AS SELECT a FROM t");
  await ask(engine, "ALTER TABLE t RENAME COLUMN a TO c");
  await ask(engine, "ALTER TABLE t RENAME TO u");
  assertEquals((await ask(engine, "SELECT * FROM v")).columns.map(({ name }) => name), ["c"]);
  assertEquals((await ask(engine, "SELECT c, b FROM u")).rows, []);
  for (
    const sql of [
      "UPDATE sqlite_temp_schema SET sql = 'x'",
      "UPDATE temp.sqlite_schema SET sql = 'x'",
      "INSERT INTO sqlite_temp_schema VALUES (1, 2, 3, 4, 5)",
      "DELETE FROM sqlite_temp_master",
    ]
  ) {
    const name = await askError(engine, sql);
    assertEquals(name === "syntax" || name === "statement_not_allowed", true, `${sql}: ${name}`);
  }
  const denied = await askError(engine, "ALTER TABLE u RENAME COLUMN c TO a", {
    permissions: ["read", "write"],
  });
  assertEquals(denied, "permission_denied");
});
