// Permissions bind in the engine. Each way out that a caller might try.

import { assert, assertEquals } from "@std/assert";
import type { Permission } from "../../src/query/engine.ts";
import { SqliteConnection } from "../../src/query/sqlite/connection.ts";
import { needOf, permissionMask, READ, SCHEMA, WRITE } from "../../src/query/sqlite/permissions.ts";
import { sqliteSettings } from "../../src/query/sqlite/settings.ts";
import { errorOf, MemoryDatabase } from "./query_harness.ts";
import { REFUSED_TEXTS } from "./refused_texts.ts";

Deno.test("text that no permission allows: ATTACH, transactions, extensions, writing pragmas, temporary tables", () => {
  const permissions = ["read", "write", "schema", "subscribe", "admin"] as const;
  for (const sql of REFUSED_TEXTS) {
    using db = new MemoryDatabase();
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    assertEquals(db.errorName(sql, [], permissions), "statement_not_allowed", sql);
  }
});

Deno.test("pragmas that only read are answered", () => {
  using db = new MemoryDatabase();
  db.run("CREATE TABLE t (a)");
  for (
    const sql of [
      "PRAGMA table_info(t)",
      "PRAGMA user_version",
      "PRAGMA foreign_keys",
      "PRAGMA integrity_check",
      "SELECT name FROM pragma_table_info('t')",
    ]
  ) assertEquals(db.run(sql, [], ["read", "write", "schema"]).rows.length, 1, sql);
  assertEquals(db.run("PRAGMA foreign_keys").rows, [[1]]);
  db.run("PRAGMA user_version = 5");
  assertEquals(db.run("PRAGMA user_version").rows, [[5]]);
});

Deno.test("a table-valued pragma is held to the rules of the pragma", () => {
  using db = new MemoryDatabase();
  assertEquals(db.errorName("SELECT * FROM pragma_database_list"), "statement_not_allowed");
});

Deno.test("the schema table cannot be written, not even with the permission for the schema", () => {
  using db = new MemoryDatabase();
  db.run("CREATE TABLE t (a)");
  for (
    const sql of [
      "DELETE FROM sqlite_schema",
      "UPDATE sqlite_schema SET sql = 'x'",
      "INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)",
    ]
  ) errorOf(() => db.run(sql));
  assertEquals(db.run("SELECT count(*) FROM sqlite_schema").rows, [[1]]);
});

Deno.test("each kind of statement needs its permission, also inside views, triggers, CTEs and EXPLAIN", () => {
  const open = (permissions: readonly Permission[]) =>
    new SqliteConnection(
      sqliteSettings(":memory:"),
      "single",
      permissionMask(new Set(permissions)),
    );
  const name = (permissions: readonly Permission[], sql: string): string => {
    const connection = open(permissions);
    try {
      connection.prepare(sql);
      return "ok";
    } catch (error) {
      return (error as { codeName: string }).codeName;
    } finally {
      connection.close();
    }
  };
  const cases: [string, Permission][] = [
    ["SELECT 1", "read"],
    ["VALUES (1)", "read"],
    ["SELECT count(*) FROM sqlite_schema", "read"],
    ["WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i FROM c LIMIT 2) SELECT * FROM c", "read"],
    ["SELECT * FROM json_each('[1]')", "read"],
    ["EXPLAIN SELECT 1", "read"],
    ["CREATE TABLE x (a)", "schema"],
    ["CREATE VIEW x AS SELECT 1", "schema"],
    ["EXPLAIN CREATE TABLE x (a)", "schema"],
    ["PRAGMA user_version = 1", "schema"],
    ["ANALYZE", "schema"],
  ];
  for (const [sql, needed] of cases) {
    assertEquals(name([needed], sql), "ok", sql);
    const others = (["read", "write", "schema"] as const).filter((other) => other !== needed);
    const expected = sql.includes("sqlite_schema") ? others.filter((p) => p !== "schema") : others;
    assertEquals(name(expected, sql), "permission_denied", sql);
    assertEquals(name([], sql), "permission_denied", sql);
  }
});

Deno.test("writing needs the permission to write, reading what was written the one to read", () => {
  const [t, ft] = ["t", "ft"];
  assertEquals(needOf(18, t, null, "main"), { anyOf: WRITE, writes: true });
  assertEquals(needOf(9, t, null, "main"), { anyOf: WRITE, writes: true });
  assertEquals(needOf(23, t, "a", "main"), { anyOf: WRITE, writes: true });
  assertEquals(needOf(20, ft, "x", "main"), { anyOf: READ, writes: false });
  assertEquals(needOf(18, "sqlite_schema", null, "main"), { anyOf: SCHEMA, writes: true });
  assertEquals(needOf(9, "SQLITE_SEQUENCE", null, "main"), { anyOf: SCHEMA, writes: true });
});

Deno.test("an action that this version does not know is refused", () => {
  assert(needOf(34, null, null, null).anyOf < 0);
  assert(needOf(0, null, null, null).anyOf < 0);
});
