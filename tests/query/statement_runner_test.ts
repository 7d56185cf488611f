// One statement on one connection: values, errors, and the traps of node:sqlite (tried on Deno 2.9.6).

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { SqliteConnection } from "../../src/query/sqlite/connection.ts";
import { sqliteSettings } from "../../src/query/sqlite/settings.ts";
import { sqliteCode } from "../../src/query/sqlite/sqlite_errors.ts";
import { Timestamp } from "../../src/wire/value.ts";
import { errorOf, MemoryDatabase } from "./query_harness.ts";

Deno.test("a result tells its columns with their declared types and where they come from", () => {
  using db = new MemoryDatabase();
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), x)");
  const origin = (column: string) => ({ schema: "main", table: "t", column });
  assertEquals(db.run("SELECT id, name AS n, x, 1 + 1 FROM t").columns, [
    { name: "id", declaredType: "INTEGER", origin: origin("id") },
    { name: "n", declaredType: "VARCHAR(20)", origin: origin("name") },
    { name: "x", declaredType: null, origin: origin("x") },
    { name: "1 + 1", declaredType: null },
  ]);
});

Deno.test("every storage class comes back as what it is, -0, infinities and 64-bit integers too", () => {
  using db = new MemoryDatabase();
  const values = [
    null,
    0,
    -1,
    2 ** 53 - 1,
    9007199254740993n,
    -(2n ** 63n),
    2n ** 63n - 1n,
    0.5,
    -0,
    Infinity,
    -Infinity,
    5e-324,
    "",
    "grüße \u{1f600} \ufeff'\"",
    new Uint8Array(),
    new Uint8Array([0, 255, 39]),
  ];
  for (const value of values) {
    const { rows } = db.run("SELECT ?, typeof(?)", [value, value]);
    assert(Object.is(rows[0]![0], value) || rows[0]![0] instanceof Uint8Array);
    assertEquals(rows[0]![0], value);
  }
});

Deno.test("a whole number that is stored as REAL stays a float, and an INTEGER an integer", () => {
  using db = new MemoryDatabase();
  const { runner } = db;
  const page = (sql: string) => {
    const running = runner.start({ sql, params: new Uint8Array([0x90]), permissions: 7 });
    if (running.kind === "handOff") throw new Error();
    return running.next().page!;
  };
  assertEquals([...page("SELECT 1.0, 1")].slice(4), [
    0x91,
    0x92,
    0xcb,
    63,
    240,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
  ]);
});

Deno.test("trap: numbers bind as REAL, so integers go in as integers", () => {
  using db = new MemoryDatabase();
  assertEquals(db.run("SELECT typeof(?), typeof(?), typeof(?)", [1, 1.5, 2n]).rows, [
    ["integer", "real", "integer"],
  ]);
  const direct = new DatabaseSync(":memory:");
  assertEquals(direct.prepare("SELECT typeof(?) AS t").get(1)?.["t"], "real");
  direct.close();
});

Deno.test("trap: a Date binds NULL, so a timestamp goes in as text that SQLite's functions read", () => {
  using db = new MemoryDatabase();
  const at = new Date(Date.UTC(2026, 0, 31, 9, 5, 0, 12));
  assertEquals(db.run("SELECT ?, unixepoch(?), typeof(?)", [at, at, at]).rows, [
    ["2026-01-31T09:05:00.012000Z", 1769850300, "text"],
  ]);
  assertEquals(db.run("SELECT ?", [new Timestamp(-1, 250_999)]).rows, [[
    "1969-12-31T23:59:59.999250Z",
  ]]);
  assertEquals(db.errorName("SELECT ?", [new Date(Date.UTC(10_000, 0))]), "parameter_range");
});

Deno.test("trap: booleans are refused, so they go in as 0 and 1", () => {
  using db = new MemoryDatabase();
  assertEquals(db.run("SELECT ?, ?", [true, false]).rows, [[1, 0]]);
});

Deno.test("trap: NaN would become NULL and text would end at U+0000, so both are refused", () => {
  using db = new MemoryDatabase();
  assertEquals(db.errorName("SELECT ?", [NaN]), "parameter_range");
  assertEquals(db.errorName("SELECT ?", ["a\0b"]), "parameter_range");
});

Deno.test("trap: text after the first statement is ignored by SQLite, so it is refused", () => {
  using db = new MemoryDatabase();
  assertEquals(db.errorName("SELECT 1; SELECT 2"), "multiple_statements");
  assertEquals(db.errorName("SELECT 1; garbage"), "multiple_statements");
  assertEquals(db.errorName("CREATE TABLE a (x); DROP TABLE a"), "multiple_statements");
  assertEquals(db.run("SELECT 1 ; -- the end\n /* really */ ; ").rows, [[1]]);
  assertEquals(db.run(";; SELECT 1").rows, [[1]]);
  assertEquals(db.run("SELECT ';' AS a -- ; SELECT 2").rows, [[";"]]);
  for (const sql of ["", " \n\t", "-- nothing", "/* nothing", ";;", "\ufeff"]) {
    assertEquals(db.errorName(sql), "empty_statement");
  }
  assertEquals(db.errorName("SELECT 1\0; DROP TABLE x"), "syntax");
});

Deno.test("trap: iterate() ends in silence at an error in mid-scan, so a result proves that it is whole", () => {
  const direct = new DatabaseSync(":memory:");
  direct.exec("CREATE TABLE t (j); INSERT INTO t VALUES ('{\"a\":1}'), ('{bad')");
  assertEquals([...direct.prepare("SELECT json_extract(j, '$.a') FROM t").iterate()].length, 1);
  direct.close();

  using db = new MemoryDatabase();
  db.run("CREATE TABLE t (j)");
  db.run("INSERT INTO t VALUES ('{\"a\":1}'), ('{bad'), ('{}')");
  const error = errorOf(() => db.run("SELECT json_extract(j, '$.a') FROM t"));
  assertEquals(error.codeName, "value_error");
  assertEquals(error.engine, { code: 1, name: "SQLITE_ERROR" });
  assertEquals(db.run("SELECT count(*) FROM t").rows, [[3]]);
  assertEquals(
    db.errorName("SELECT abs(i) FROM (SELECT 1 AS i UNION ALL SELECT -9223372036854775808)"),
    "value_error",
  );
  assertEquals(
    db.errorName("SELECT zeroblob(i * 17000000) FROM (SELECT 0 AS i UNION ALL SELECT 1)"),
    "engine_limit",
  );
});

Deno.test("trap: errors of exec() have no code, so transactions begin without it", () => {
  const direct = new DatabaseSync(":memory:");
  direct.exec("BEGIN");
  assertEquals(sqliteCode(assertThrows(() => direct.exec("BEGIN"))), undefined);
  direct.close();
  const connection = new SqliteConnection(sqliteSettings(":memory:"), "single", 7);
  connection.begin();
  assertEquals(errorOf(() => connection.begin()).engine, { code: 1, name: "SQLITE_ERROR" });
  connection.close();
});

Deno.test("trap: integers beyond 2^53 come out of a scan too", () => {
  using db = new MemoryDatabase();
  const { rows } = db.run("SELECT 1 AS i UNION ALL SELECT 9007199254740993");
  assertEquals(rows, [[1], [9007199254740993n]]);
});

Deno.test("trap: missing parameters would be NULL, so their number and names must fit", () => {
  using db = new MemoryDatabase();
  const cases: [string, Parameters<MemoryDatabase["run"]>[1], string][] = [
    ["SELECT ?, ?", [1], "parameter_count"],
    ["SELECT ?", [1, 2], "parameter_count"],
    ["SELECT 1", [1], "parameter_count"],
    ["SELECT ?3", [1], "parameter_count"],
    ["SELECT :a, :b", { a: 1 }, "parameter_name"],
    ["SELECT :a", { a: 1, c: 2 }, "parameter_name"],
    ["SELECT :a", [1], "parameter_name"],
    ["SELECT ?", { a: 1 }, "parameter_name"],
    ["SELECT :a, ?", { a: 1 }, "parameter_name"],
    ["SELECT :a, @a", { a: 1 }, "parameter_name"],
  ];
  for (const [sql, params, name] of cases) assertEquals(db.errorName(sql, params), name, sql);
  assertEquals(db.run("SELECT :a, @b, $c::d, :a", { a: 1, b: 2, "c::d": 3 }).rows, [[1, 2, 3, 1]]);
  assertEquals(db.run("SELECT ?2, ?1", ["x", "y"]).rows, [["y", "x"]]);
  assertEquals(db.run('SELECT \':a\', "?" FROM (SELECT 1 AS "?")').rows, [[":a", 1]]);
});

Deno.test("errors keep SQLite's extended code and say what they are", () => {
  using db = new MemoryDatabase();
  db.run(
    "CREATE TABLE p (id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 1, c CHECK (c > 0))",
  );
  db.run("CREATE TABLE k (p REFERENCES p (id))");
  db.run("CREATE TABLE s (a INT) STRICT");
  db.run("INSERT INTO p (id, u) VALUES (1, 1)");
  const cases: [string, string, number][] = [
    ["INSERT INTO p (id) VALUES (1)", "constraint_unique", 1555],
    ["INSERT INTO p (u) VALUES (1)", "constraint_unique", 2067],
    ["INSERT INTO p (u) VALUES (1) RETURNING id", "constraint_unique", 2067],
    ["INSERT INTO p (n) VALUES (NULL)", "constraint_not_null", 1299],
    ["INSERT INTO p (c) VALUES (0)", "constraint_check", 275],
    ["INSERT INTO k VALUES (9)", "constraint_foreign_key", 787],
    ["INSERT INTO s VALUES ('x')", "constraint_type", 3091],
    ["INSERT INTO p (id) VALUES ('x')", "constraint_type", 20],
    ["SELECT * FROM missing", "unknown_table", 1],
    ["SELECT missing FROM p", "unknown_column", 1],
    ["SELEKT 1", "syntax", 1],
    ["SELECT json('{')", "value_error", 1],
  ];
  for (const [sql, name, code] of cases) {
    const error = errorOf(() => db.run(sql));
    assertEquals([error.codeName, error.engine?.code], [name, code], sql);
  }
});

Deno.test("a write tells its changes and the row id that it inserted, and never those of an earlier one", () => {
  using db = new MemoryDatabase();
  const end = (sql: string) => {
    const { changes, lastInsertRowid } = db.run(sql).end;
    return [changes, lastInsertRowid];
  };
  assertEquals(end("CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)"), [0, null]);
  assertEquals(end("INSERT INTO t (a) VALUES ('x'), ('y')"), [2, 2n]);
  assertEquals(end("EXPLAIN INSERT INTO t (a) VALUES ('x')"), [0, null]);
  assertEquals(end("UPDATE t SET a = a || 1"), [2, null]);
  assertEquals(end("CREATE VIRTUAL TABLE ft USING fts5 (x)"), [0, null]);
  assertEquals(end("CREATE TABLE u (x)"), [0, null]);
  assertEquals(end("INSERT OR IGNORE INTO t (a) VALUES ('x1')"), [0, null]);
  assertEquals(end("INSERT INTO t (a) VALUES ('x1') ON CONFLICT DO UPDATE SET a = 'z'"), [1, null]);
  assertEquals(end("INSERT INTO t (a) VALUES ('n') ON CONFLICT DO UPDATE SET a = 'z'"), [1, 3n]);
  assertEquals(end("INSERT INTO t VALUES (9223372036854775807, 'big')"), [1, 2n ** 63n - 1n]);
  assertEquals(end("DELETE FROM t WHERE id = 77"), [0, null]);
  assertEquals(end("DELETE FROM t"), [4, null]);
});

Deno.test("rows of a write come after its commit; too many of them undo it", () => {
  using db = new MemoryDatabase({ returningBytesMax: 100_000 });
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const many = (count: number) =>
    `INSERT INTO t (a) SELECT printf('%1000d', value) FROM generate(${count}) RETURNING id, a`
      .replace(/generate\((\d+)\)/, (_, n) => `json_each('[${Array(Number(n)).fill(1)}]')`);
  assertEquals(db.run(many(80)).rows.length, 80);
  assertEquals(db.errorName(many(200)), "result_too_large");
  assertEquals(db.run("SELECT count(*) FROM t").rows, [[80]]);
});

Deno.test("a row larger than the limit is an error, and the connection goes on", () => {
  using db = new MemoryDatabase();
  assertEquals(db.errorName("SELECT zeroblob(1048577)"), "row_too_large");
  assertEquals(
    db.errorName("SELECT 1 AS i UNION ALL SELECT zeroblob(1048577)"),
    "row_too_large",
  );
  assertEquals(db.run("SELECT length(zeroblob(1048577))").rows, [[1048577]]);
});

Deno.test("two runs of one text at the same time do not disturb each other", () => {
  using db = new MemoryDatabase({ firstPageBytesMax: 64 });
  const sql =
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 20000) SELECT i FROM c";
  const request = { sql, params: new Uint8Array([0x90]), permissions: 7 };
  const first = db.runner.start(request);
  if (first.kind === "handOff") throw new Error();
  assert(first.next().end === undefined);
  assertEquals(db.run(sql).end.rowCount, 20_000);
  let end = first.next().end;
  while (end === undefined) end = first.next().end;
  assertEquals(end.rowCount, 20_000);
});

Deno.test("a statement is prepared anew when it is worn, and the oldest leaves a full cache", () => {
  using db = new MemoryDatabase({ cachedStatementsMax: 2, statementUsesMax: 3 });
  for (let i = 0; i < 20; i++) assertEquals(db.run(`SELECT ${i % 3}, ?`, [i]).rows, [[i % 3, i]]);
});
