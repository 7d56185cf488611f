// Change feeds of the SQLite engine, with its processes.

import { assert, assertEquals } from "@std/assert";
import type { SqliteEngineOptions } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine, type SqliteDatabase } from "../../src/query/mod.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { AskedSession } from "./asked_session.ts";
import { ask, CANNOT_RUN_PROCESSES } from "./query_harness.ts";
import { TestFeed } from "./feed_harness.ts";

/** A test with an engine on a new database. */
function feedTest(
  name: string,
  options: Partial<SqliteEngineOptions>,
  run: (engine: SqliteDatabase) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: CANNOT_RUN_PROCESSES,
    async fn() {
      const engine = await openSqliteEngine({
        database: ":memory:",
        temporaryFolder: "/tmp",
        ...options,
      });
      try {
        await ask(engine, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)");
        await run(engine);
      } finally {
        await engine.close();
      }
    },
  });
}

async function errorName(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof SqpError) return error.codeName;
    throw error;
  }
  return "none";
}

feedTest(
  "changes are told from the registration on, with all values before and after",
  {},
  async (engine) => {
    await ask(engine, "INSERT INTO t VALUES (1, 'x', 1.0)");
    const feed = new TestFeed(engine, { tables: ["T"] });
    const { tables, cursor } = await feed.started;
    assertEquals(tables, [{
      name: "t",
      columns: [
        { name: "id", declaredType: "INTEGER" },
        { name: "a", declaredType: null },
        { name: "b", declaredType: null },
      ],
      keys: [0],
    }]);
    assert(cursor !== undefined);
    const beforeMs = Date.now();
    await ask(engine, "UPDATE t SET a = 'y'");
    await ask(engine, "INSERT INTO t VALUES (2, NULL, x'00')");
    const [update, insert] = [await feed.next(), await feed.next()];
    assertEquals(update.changes, [{ table: "t", before: [1, "x", 1], after: [1, "y", 1] }]);
    assertEquals(insert.changes, [{
      table: "t",
      before: null,
      after: [2, null, new Uint8Array(1)],
    }]);
    assert(update.kind === "commit" && update.atMs >= beforeMs && update.atMs <= Date.now());
    assert(insert.kind === "commit" && insert.cursor !== update.cursor);
    feed.cancel();
    assertEquals(await errorName(feed.ended), "cancelled");
  },
);

feedTest("a feed goes on from a cursor and misses nothing", {}, async (engine) => {
  const first = new TestFeed(engine, { tables: ["t"] });
  const { cursor } = await first.started;
  first.cancel();
  await ask(engine, "INSERT INTO t VALUES (1, 1, 1)");
  await ask(engine, "INSERT INTO t VALUES (2, 2, 2)");
  const second = new TestFeed(engine, { tables: ["t"], cursor: cursor! });
  const event = await second.next();
  assertEquals(event.changes.map(({ after }) => after![0]), [1]);
  assert(event.kind === "commit");
  second.cancel();
  const third = new TestFeed(engine, { tables: ["t"], cursor: event.cursor });
  assertEquals((await third.next()).changes.map(({ after }) => after![0]), [2]);
  third.cancel();
});

feedTest(
  "a snapshot is of one moment, over all tables, and the changes follow",
  {},
  async (engine) => {
    await ask(
      engine,
      "CREATE TABLE wide (k TEXT PRIMARY KEY NOT NULL, c1, c2, c3, c4, c5) WITHOUT ROWID",
    );
    await ask(engine, "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)");
    await ask(engine, "INSERT INTO wide VALUES ('k', 1, 2.5, NULL, x'ff', 'é')");
    const feed = new TestFeed(engine, { tables: ["wide", "t"], snapshot: true });
    assertEquals((await feed.started).cursor, undefined);
    const end = await feed.next();
    assertEquals(end.kind, "snapshot-end");
    assertEquals(end.changes, [
      { table: "wide", before: null, after: ["k", 1, 2.5, null, new Uint8Array([255]), "é"] },
      { table: "t", before: null, after: [1, "x", 1] },
      { table: "t", before: null, after: [2, "y", 2] },
    ]);
    await ask(engine, "DELETE FROM t WHERE id = 1");
    assertEquals((await feed.next()).changes, [{ table: "t", before: [1, "x", 1], after: null }]);
    feed.cancel();
  },
);

feedTest(
  "a filter tells the rows that pass, those that come to pass and those that no longer do",
  {},
  async (engine) => {
    await ask(
      engine,
      "INSERT INTO t VALUES (1, 'in', 0), (2, 'out', 0), (3, 'IN', 0), (4, NULL, 0)",
    );
    const feed = new TestFeed(engine, { tables: [["t", { A: "in" }]], snapshot: true });
    assertEquals((await feed.next()).changes.map(({ after }) => after), [[1, "in", 0]]);
    await ask(engine, "UPDATE t SET b = 1");
    await ask(engine, "UPDATE t SET a = 'in' WHERE id = 2");
    await ask(engine, "UPDATE t SET a = NULL WHERE id = 1");
    await ask(engine, "DELETE FROM t WHERE id = 2");
    assertEquals((await feed.next()).changes, [{
      table: "t",
      before: [1, "in", 0],
      after: [1, "in", 1],
    }]);
    assertEquals((await feed.next()).changes, [{ table: "t", before: null, after: [2, "in", 1] }]);
    assertEquals((await feed.next()).changes, [{ table: "t", before: [1, "in", 1], after: null }]);
    assertEquals((await feed.next()).changes, [{ table: "t", before: [2, "in", 1], after: null }]);
    feed.cancel();
  },
);

feedTest(
  "a filter means the same in a snapshot and after it, whatever the column's type and collation",
  {},
  async (engine) => {
    await ask(
      engine,
      "CREATE TABLE f (id INTEGER PRIMARY KEY, n INT, s TEXT COLLATE NOCASE, r REAL, x)",
    );
    const rows =
      "(1, 1, 'a', 1, 1), (2, '2', 'A', 2.0, '1'), (3, NULL, NULL, NULL, NULL), (4, 1.5, 1, 1.5, 1.0)";
    await ask(engine, `INSERT INTO f VALUES ${rows}`);
    for (
      const where of [
        { n: 1 },
        { n: "1" },
        { n: 2 },
        { n: null },
        { n: true },
        { s: "a" },
        { s: "A" },
        { s: 1 },
        { s: "1" },
        { r: 1 },
        { r: 1n },
        { r: 1.5 },
        { x: 1 },
        { x: "1" },
        { x: null },
        { n: 1, x: 1 },
      ] as const
    ) {
      const feed = new TestFeed(engine, { tables: [["f", where]], snapshot: true });
      const ids = (rows: readonly { after: unknown[] | null }[]) =>
        rows.map(({ after }) => after![0]).sort();
      const snapshot = ids((await feed.next()).changes);
      await ask(engine, "DELETE FROM f");
      if (snapshot.length > 0) await feed.next();
      await ask(engine, `INSERT INTO f VALUES ${rows}`);
      const label = JSON.stringify(where, (_, v) => typeof v === "bigint" ? `${v}n` : v);
      const live = snapshot.length > 0 ? ids((await feed.next()).changes) : [];
      assertEquals(live, snapshot, label);
      feed.cancel();
    }
  },
);

feedTest("what cannot be subscribed to is refused by name", {}, async (engine) => {
  await ask(engine, "CREATE TABLE plain (a)");
  const tryIt = (wanted: ConstructorParameters<typeof TestFeed>[1]) =>
    errorName(new TestFeed(engine, wanted).started);
  assertEquals(await tryIt({ tables: ["plain"] }), "feed_not_supported");
  assertEquals(await tryIt({ tables: ["none"] }), "unknown_table");
  assertEquals(await tryIt({ tables: ["t", "sqp_changes"] }), "unknown_table");
  assertEquals(await tryIt({ tables: [["t", { z: 1 }]] }), "unknown_column");
  assertEquals(await tryIt({ tables: [["t", { a: NaN }]] }), "parameter_range");
  assertEquals(await tryIt({ tables: ["t"], permissions: ["write"] }), "permission_denied");
});

feedTest(
  "a schema change, and a cursor that is none, end a feed with a reset",
  {},
  async (engine) => {
    const feed = new TestFeed(engine, { tables: ["t"] });
    const { cursor } = await feed.started;
    await ask(engine, "CREATE INDEX i ON t (a)");
    await ask(engine, "INSERT INTO t VALUES (1, 2, 3)");
    assertEquals((await feed.next()).changes.length, 1);
    await ask(engine, "ALTER TABLE t ADD COLUMN c");
    const reset = await feed.next();
    assert(reset.kind === "reset");
    assertEquals([reset.reason, reset.message], [
      "schema_changed",
      "The schema of the table t was changed.",
    ]);
    await feed.ended;
    // What it would tell is of the table as it was.
    const again = await new TestFeed(engine, { tables: ["t"], cursor: cursor! }).next();
    assert(again.kind === "reset");
    assertEquals([again.reason, again.changes], ["schema_changed", []]);
    for (const bad of ["x", cursor!.replace(/\.\d+$/, ".5"), cursor!.replace(/\.\d+\./, ".999.")]) {
      const event = await new TestFeed(engine, { tables: ["t"], cursor: bad }).next();
      assert(event.kind === "reset");
      assertEquals(event.reason, "cursor_unknown");
    }
  },
);

feedTest(
  "a subscription and a transaction that come together are both taken",
  {},
  async (engine) => {
    await ask(engine, "INSERT INTO t (a) VALUES (1)");
    // Both come while the writer is busy.
    const busy = ask(
      engine,
      `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 1000000)
     INSERT INTO t (a) SELECT max(i) FROM c`,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    const feed = new TestFeed(engine, { tables: ["t"] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const transaction = new AskedSession(engine).begin();
    await busy;
    await transaction.execute("INSERT INTO t (a) VALUES (2)");
    await feed.started;
    await transaction.commit();
    assertEquals((await feed.next()).changes.length, 1);
  },
);

feedTest(
  "tables that change names in one transaction end their feeds, what fails does not",
  {},
  async (engine) => {
    await ask(engine, "CREATE TABLE other (id INTEGER PRIMARY KEY, a, b)");
    await ask(engine, "INSERT INTO t VALUES (1, 2, 3)");
    const feed = new TestFeed(engine, { tables: ["t"] });
    await feed.started;
    const failed = ask(engine, "ALTER TABLE t ADD COLUMN c NOT NULL");
    assertEquals(await errorName(failed), "value_error");
    await ask(engine, "UPDATE t SET a = 4");
    assertEquals((await feed.next()).changes.length, 1);
    const session = new AskedSession(engine);
    await session.batch([
      { sql: "ALTER TABLE t RENAME TO t_old" },
      { sql: "ALTER TABLE other RENAME TO t" },
    ]);
    const reset = await feed.next();
    assert(reset.kind === "reset" && reset.reason === "schema_changed");
  },
);

feedTest("a cursor from before a table was watched is too old for it", {}, async (engine) => {
  const { cursor } = await new TestFeed(engine, { tables: ["t"] }).started;
  await ask(engine, "CREATE TABLE later (id INTEGER PRIMARY KEY)");
  await ask(engine, "INSERT INTO t VALUES (1, 2, 3)");
  await new TestFeed(engine, { tables: ["later"] }).started;
  const event = await new TestFeed(engine, { tables: ["t", "later"], cursor: cursor! }).next();
  assert(event.kind === "reset");
  assertEquals([event.reason, event.message], [
    "cursor_too_old",
    "Changes of the table later were not kept then.",
  ]);
});

feedTest(
  "an idle feed is told that nothing has happened, and its cursor moves past what others changed",
  {
    feeds: { pollMs: 20, resolvedMs: 40 },
  },
  async (engine) => {
    await ask(engine, "CREATE TABLE other (id INTEGER PRIMARY KEY)");
    const feed = new TestFeed(engine, { tables: ["t"] });
    const other = new TestFeed(engine, { tables: ["other"] });
    const { cursor } = await feed.started;
    await other.started;
    const idle = await feed.nextMark();
    assert(idle.kind === "resolved" && Date.now() - idle.atMs < 5_000);
    assertEquals(idle.cursor, cursor);
    await ask(engine, "INSERT INTO other VALUES (1)");
    await other.next();
    let mark = await feed.nextMark();
    while (mark.kind === "resolved" && mark.cursor === cursor) mark = await feed.nextMark();
    assertEquals([mark.kind, mark.changes], ["resolved", []]);
    feed.cancel();
    other.cancel();
  },
);

feedTest(
  "a feed that is read slowly holds little, and is reset when its changes are no longer kept",
  {
    limits: { changesBytesMax: 600_000 },
  },
  async (engine) => {
    const feed = new TestFeed(engine, { tables: ["t"], slow: true });
    const { cursor } = await feed.started;
    await ask(engine, "INSERT INTO t VALUES (0, 0, 0)");
    for (let i = 1; i <= 200; i++) {
      await ask(engine, `INSERT INTO t VALUES (${i}, hex(zeroblob(5000)), 0)`);
    }
    assert(feed.bytes < 64 * 1024, `${feed.bytes} bytes were handed over unasked`);
    let event;
    do {
      feed.pull(1);
      event = await feed.next();
    } while (event.kind === "commit");
    assert(event.kind === "reset");
    assertEquals(event.reason, "too_slow");
    await feed.ended;
    const late = await new TestFeed(engine, { tables: ["t"], cursor: cursor! }).next();
    assert(late.kind === "reset");
    assertEquals(late.reason, "cursor_too_old");
  },
);

feedTest("the log of changes is nobody's to read or write", {}, async (engine) => {
  await new TestFeed(engine, { tables: ["t"] }).started;
  for (
    const sql of [
      "SELECT * FROM sqp_changes",
      "SELECT count(*) FROM SQP_Changes",
      "DELETE FROM sqp_watched",
      "INSERT INTO sqp_log VALUES ('x')",
      "UPDATE sqp_changes SET body = x''",
      "DROP TABLE sqp_changes",
      "ALTER TABLE sqp_changes ADD COLUMN x",
      "CREATE INDEX i ON sqp_changes (at_ms)",
      "CREATE TRIGGER g AFTER INSERT ON sqp_changes BEGIN SELECT 1; END",
      "CREATE TABLE sqp_mine (x)",
      "ALTER TABLE t RENAME TO sqp_t",
    ]
  ) {
    assertEquals(await errorName(ask(engine, sql)), "statement_not_allowed", sql);
  }
  await ask(engine, "CREATE VIEW spy AS SELECT * FROM sqp_changes");
  assertEquals(await errorName(ask(engine, "SELECT * FROM spy")), "statement_not_allowed");
});

feedTest("feeds end when the engine is closed", {}, async (engine) => {
  const feed = new TestFeed(engine, { tables: ["t"] });
  await feed.started;
  await engine.close();
  assertEquals(await errorName(feed.ended), "shutting_down");
  assertEquals(await errorName(new TestFeed(engine, { tables: ["t"] }).started), "shutting_down");
});
