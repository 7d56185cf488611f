// The traps of node:sqlite (tried on Deno 2.9.6), each shown as it is and then looked for from the end of a client.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { type Client, SqpError } from "../../src/client/mod.ts";
import { LiveServer, liveTest } from "../harness/live_server.ts";

const ROWS = 30_000;
/** The row at which a scan fails. */
const BAD = 29_000;

const MAKE = `CREATE TABLE t AS WITH RECURSIVE c(i) AS
  (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${ROWS})
  SELECT i, CASE i WHEN ${BAD} THEN '{bad' ELSE '{"a":1}' END AS j,
    CASE i WHEN ${BAD} THEN -9223372036854775807 - 1 ELSE i END AS n FROM c`;

/** Scans that fail at one row, and SQLite's code of that. */
const FAILING: readonly (readonly [expression: string, name: string, code: number])[] = [
  ["json_extract(j, '$.a')", "value_error", 1],
  ["abs(n)", "value_error", 1],
  [`zeroblob(CASE i WHEN ${BAD} THEN 2000000000 ELSE 1 END)`, "engine_limit", 18],
];

/** Reads a stream to its end: how many rows came, and the error. */
async function drain(client: Client, sql: string): Promise<[rows: number, error: unknown]> {
  let rows = 0;
  try {
    for await (const row of client.stream(sql)) rows += row.length;
    return [rows, undefined];
  } catch (error) {
    return [rows, error];
  }
}

liveTest("the traps of node:sqlite, over UDP", async (context) => {
  await using server = await LiveServer.start();
  await using client = await server.connect();
  using direct = new DatabaseSync(":memory:");
  direct.exec(MAKE);
  await client.execute(MAKE);

  await context.step("iterate() ends in silence where a scan fails", async () => {
    for (const [expression, name, code] of FAILING) {
      const sql = `SELECT ${expression} FROM t`;
      assertEquals([...direct.prepare(sql).iterate()].length, BAD - 1);
      const [rows, error] = await drain(client, sql);
      assert(error instanceof SqpError, `${sql} ended after ${rows} rows`);
      assert(rows < BAD);
      assertEquals([error.codeName, error.engine?.code], [name, code]);
      // The failing row alone, so that nothing is sent before it; a write of it; a part of a larger command.
      const ways: readonly (() => Promise<unknown>)[] = [
        () => client.execute(`${sql} WHERE i >= ${BAD}`),
        () => client.execute(`UPDATE t SET i = i WHERE i >= ${BAD - 5} RETURNING ${expression}`),
        () => client.execute(`CREATE TABLE copy AS ${sql}`),
        () => client.batch([{ sql: "INSERT INTO t (i) VALUES (-1)" }, { sql }]),
        () => client.transaction((tx) => tx.execute(`${sql} WHERE i > ${BAD - 3}`)),
      ];
      for (const [at, way] of ways.entries()) {
        const thrown = await assertRejects(way, SqpError);
        assertEquals([thrown.codeName, thrown.engine?.code], [name, code], `${sql}, way ${at}`);
      }
      const { rows: [counted] } = await client.execute("SELECT count(*) FROM t");
      assertEquals(counted, [ROWS]);
    }
  });

  await context.step("iterate() ends in silence at an integer beyond 2^53", async () => {
    const sql =
      "SELECT i FROM (SELECT 1 AS i UNION ALL SELECT 9007199254740993 UNION ALL SELECT 3)";
    let came = 0;
    try {
      for (const _ of direct.prepare(sql).iterate()) came++;
    } catch {
      came = -1;
    }
    assert(came < 3);
    const expected = [[1], [9007199254740993n], [3]];
    assertEquals((await client.execute(sql)).rows, expected);
    const streamed = [];
    for await (const row of client.stream(sql)) streamed.push(row);
    assertEquals(streamed, expected);
  });

  await context.step("numbers bind as REAL, a Date as NULL, a boolean not at all", async () => {
    const bound = direct.prepare("SELECT typeof(?) AS x");
    assertEquals(bound.get(1)?.["x"], "real");
    const sql = "SELECT typeof(?1), ?1 || ''";
    assertEquals((await client.execute(sql, [1])).rows, [["integer", "1"]]);
    assertEquals((await client.execute(sql, [2n ** 62n])).rows, [[
      "integer",
      "4611686018427387904",
    ]]);
    assertEquals((await client.execute(sql, [new Date(0)])).rows, [
      ["text", "1970-01-01T00:00:00.000000Z"],
    ]);
    assertEquals((await client.execute(sql, [true])).rows, [["integer", "1"]]);
    // A key that is looked for by a REAL would be found as well, but integer division would not be one.
    assertEquals((await client.execute("SELECT 7 / ?", [2])).rows, [[3]]);
    await client.execute("CREATE TABLE any_type (x)");
    await client.execute("INSERT INTO any_type VALUES (?), (?)", [7, true]);
    const { rows } = await client.execute("SELECT x, typeof(x) FROM any_type ORDER BY x");
    assertEquals(rows, [[1, "integer"], [7, "integer"]]);
  });

  await context.step("text after the first statement is passed over", async () => {
    assertEquals(direct.prepare("SELECT 1 AS x; DROP TABLE t").get()?.["x"], 1);
    const texts = [
      "SELECT 1; DROP TABLE t",
      "INSERT INTO t (i) VALUES (0); INSERT INTO t (i) VALUES (0)",
      "SELECT 1; garbage",
      "SELECT 1;/* x */ --\n;;SELECT 2",
      "SELECT 1; /* open",
    ];
    for (const sql of texts) {
      const ways = [
        () => client.execute(sql),
        () => client.prepare(sql),
        () => client.batch([{ sql }]),
        () => client.transaction((tx) => tx.execute(sql)),
      ];
      for (const way of sql.endsWith("open") ? [] : ways) {
        assertEquals((await assertRejects(way, SqpError)).codeName, "multiple_statements", sql);
      }
    }
    for (const sql of ["SELECT 1;", "SELECT 1 ; ; -- SELECT 2", texts.at(-1)!]) {
      assertEquals((await client.execute(sql)).rows, [[1]], sql);
    }
    assertEquals((await client.execute("SELECT count(*) FROM t")).rows, [[ROWS]]);
  });

  await context.step("errors of exec() have no code", async () => {
    direct.exec("BEGIN");
    const error = await assertRejects(() => Promise.resolve().then(() => direct.exec("BEGIN")));
    assert((error as { errcode?: unknown }).errcode === undefined);
    direct.exec("ROLLBACK");
    // What the engine runs itself keeps its code: a deferred constraint fails a commit.
    await client.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)");
    await client.execute("CREATE TABLE k (p REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)");
    const thrown = await assertRejects(
      () => client.transaction((tx) => tx.execute("INSERT INTO k VALUES (9)")),
      SqpError,
    );
    assertEquals([thrown.codeName, thrown.engine?.code], ["constraint_foreign_key", 787]);
    assertEquals((await client.execute("SELECT count(*) FROM k")).rows, [[0]]);
  });
});
