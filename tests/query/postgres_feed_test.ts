// Change feeds of the PostgreSQL engine, where the machine has PostgreSQL.

import { assert, assertEquals } from "@std/assert";
import { WATCH_LOCK } from "../../src/query/postgres/change_log_schema.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { until } from "../harness/live_server.ts";
import { Replica, TestFeed } from "./feed_harness.ts";
import { feedTests } from "./postgres_feed_harness.ts";
import { ALL, ask, askIn, errorName, replied } from "./query_harness.ts";

const feedTest = feedTests(
  "CREATE TABLE t (id int PRIMARY KEY, a text, b double precision)",
);

feedTest("changes are told with all values before and after, in every type", async (engine) => {
  await ask(
    engine,
    `CREATE TABLE types (k bigint, l text, n numeric, f real, o bytea, w timestamptz,
    j jsonb, z int[], y boolean, PRIMARY KEY (l, k))`,
  );
  await ask(engine, "INSERT INTO t VALUES (1, 'x', 1)");
  const feed = new TestFeed(engine, { tables: ["T", "public.types"] });
  const { tables, cursor } = await feed.started;
  assertEquals(tables.map(({ name, keys }) => [name, keys]), [["t", [0]], ["types", [1, 0]]]);
  assert(cursor !== undefined);
  await ask(engine, "UPDATE t SET a = 'y'");
  assertEquals((await feed.next()).changes, [
    { table: "t", before: [1, "x", 1], after: [1, "y", 1] },
  ]);
  const odd = 'quote " backslash \\ comma, (é😀)';
  await ask(
    engine,
    `INSERT INTO types VALUES (9223372036854775807, $1, 1.50, 'NaN', '\\x00ff',
      '2026-01-31 09:05:00.00025+02', '{"a": [1, null]}', '{1,2}', true),
      (1, '', null, null, null, null, null, null, false)`,
    { params: [odd] },
  );
  const { changes } = await feed.next();
  const queried = await ask(engine, "SELECT * FROM types");
  assertEquals(changes.map(({ after }) => after), queried.rows);
  feed.cancel();
});

feedTest("a transaction comes whole, each row once, in the order of commits", async (engine) => {
  const feed = new TestFeed(engine, { tables: ["t"] });
  await feed.started;
  const session = () => engine.open({ principal: "writer", permissions: new Set(ALL) });
  const [one, two] = [session(), session()];
  const begin = async (of: typeof one) => {
    const begun = Promise.withResolvers<void>();
    const transaction = of.begin({ readOnly: false }, {
      onEnd: begun.resolve,
      onError: begun.reject,
    });
    await begun.promise;
    return transaction;
  };
  const early = await begin(one);
  await askIn(early, "INSERT INTO t VALUES (1, 'early', 0), (2, 'gone', 0)");
  const late = await begin(two);
  await askIn(late, "INSERT INTO t VALUES (3, 'late', 0)");
  await replied<void>((reply) => late.commit(reply));
  await askIn(early, "UPDATE t SET b = 1 WHERE id = 1");
  await askIn(early, "DELETE FROM t WHERE id = 2");
  await replied<void>((reply) => early.savepoint(1, reply));
  await askIn(early, "UPDATE t SET b = 2 WHERE id = 1");
  await replied<void>((reply) => early.rollbackTo(1, reply));
  await replied<void>((reply) => early.commit(reply));
  assertEquals((await feed.next()).changes, [{ table: "t", before: null, after: [3, "late", 0] }]);
  assertEquals((await feed.next()).changes, [{ table: "t", before: null, after: [1, "early", 1] }]);
  await ask(engine, "UPDATE t SET id = 4 WHERE id = 3");
  assertEquals((await feed.next()).changes, [
    { table: "t", before: [3, "late", 0], after: null },
    { table: "t", before: null, after: [4, "late", 0] },
  ]);
  await ask(engine, "UPDATE t SET a = a");
  await ask(engine, "DELETE FROM t WHERE id = 4");
  assertEquals((await feed.next()).changes.map(({ before }) => before![0]), [4]);
  feed.cancel();
  one.close();
  two.close();
});

feedTest(
  "transactions of stricter isolation levels do not fail because of feeds",
  async (engine) => {
    await ask(engine, "INSERT INTO t VALUES (1, 'x', 0), (2, 'y', 0)");
    const feed = new TestFeed(engine, { tables: ["t"] });
    await feed.started;
    for (const isolation of ["repeatable_read", "serializable"] as const) {
      const transactions = [];
      for (const id of [1, 2]) {
        const session = engine.open({ principal: "writer", permissions: new Set(ALL) });
        const begun = Promise.withResolvers<void>();
        const reply = { onEnd: begun.resolve, onError: begun.reject };
        const transaction = session.begin({ readOnly: false, isolation }, reply);
        await begun.promise;
        await askIn(transaction, "SELECT 1");
        transactions.push({ id, session, transaction });
      }
      for (const { id, transaction } of transactions) {
        await askIn(transaction, "UPDATE t SET b = b + 1 WHERE id = $1", { params: [id] });
      }
      for (const { id, session, transaction } of transactions) {
        await replied<void>((reply) => transaction.commit(reply));
        session.close();
        assertEquals((await feed.next()).changes.map(({ after }) => after![0]), [id], isolation);
      }
    }
    feed.cancel();
  },
);

feedTest("a transaction of many rows is one, and takes time in proportion", async (engine) => {
  const feed = new TestFeed(engine, { tables: ["t"] });
  await feed.started;
  await ask(engine, "INSERT INTO t SELECT i, 'x', i FROM generate_series(1, 10000) i");
  assertEquals((await feed.next()).changes.length, 10_000);
  feed.cancel();
});

feedTest(
  "a snapshot and the changes after it are the table, and so from a cursor",
  async (engine) => {
    await ask(
      engine,
      "INSERT INTO t SELECT i, 'row ' || i, i / 2.0 FROM generate_series(1, 1000) i",
    );
    const feed = new TestFeed(engine, { tables: ["t"], snapshot: true });
    const writing = (async () => {
      for (let i = 0; i < 60; i++) {
        await ask(engine, "UPDATE t SET b = b + 1 WHERE id % 50 = $1", { params: [i % 50] });
      }
    })();
    const replica = new Replica();
    let event = await feed.next();
    assertEquals(event.kind, "snapshot-end");
    replica.apply(event.changes);
    await writing;
    feed.cancel();
    assert(event.kind !== "reset");
    const again = new TestFeed(engine, { tables: ["t"], cursor: event.cursor });
    const startedAtMs = Date.now();
    do {
      event = await again.nextMark();
      replica.apply(event.changes);
    } while (event.kind !== "resolved" || event.atMs < startedAtMs);
    again.cancel();
    const { rows } = await ask(engine, "SELECT * FROM t");
    const texts = (all: unknown[]) => all.map((row) => JSON.stringify(row)).sort();
    assertEquals(texts(replica.sorted()), texts(rows));
  },
);

feedTest("a filter tells rows that come to pass it and that no longer do", async (engine) => {
  await ask(engine, "INSERT INTO t VALUES (1, 'in', 0), (2, 'out', 0)");
  const feed = new TestFeed(engine, { tables: [["t", { a: "in" }]], snapshot: true });
  assertEquals((await feed.next()).changes.map(({ after }) => after), [[1, "in", 0]]);
  await ask(engine, "UPDATE t SET a = 'in' WHERE id = 2");
  await ask(engine, "UPDATE t SET a = 'out' WHERE id = 1");
  assertEquals((await feed.next()).changes, [{ table: "t", before: null, after: [2, "in", 0] }]);
  assertEquals((await feed.next()).changes, [{ table: "t", before: [1, "in", 0], after: null }]);
  feed.cancel();
});

feedTest("writes that do not come through SQP are told as well", async (engine, { server }) => {
  const feed = new TestFeed(engine, { tables: ["t"] });
  await feed.started;
  const other = server.connect("feeds");
  await other.unsafe("INSERT INTO t VALUES (7, 'from elsewhere', 0)");
  await other.end();
  assertEquals((await feed.next()).changes.map(({ after }) => after![0]), [7]);
  feed.cancel();
});

for (
  const [what, sql, reason] of [
    ["a new column", "ALTER TABLE t ADD COLUMN c int", "schema_changed"],
    ["a column less", "ALTER TABLE t DROP COLUMN a", "schema_changed"],
    ["another type", "ALTER TABLE t ALTER COLUMN b TYPE numeric", "schema_changed"],
    ["a drop", "DROP TABLE t", "schema_changed"],
    ["a truncation", "TRUNCATE t", "truncated"],
  ] as const
) {
  feedTest(`a reset says why: ${what}`, async (engine) => {
    await ask(engine, "INSERT INTO t VALUES (1, 'x', 0)");
    const feed = new TestFeed(engine, { tables: ["t"] });
    const { cursor } = await feed.started;
    await ask(engine, "UPDATE t SET b = 1");
    assertEquals((await feed.next()).changes.length, 1);
    await ask(engine, sql);
    // Whoever writes to it is not disturbed.
    if (reason === "schema_changed" && what !== "a drop") await ask(engine, "UPDATE t SET id = 2");
    const event = await feed.next();
    assert(event.kind === "reset");
    assertEquals([event.reason, event.changes], [reason, []]);
    await feed.ended;
    if (what === "a drop" || reason === "truncated") return;
    const again = await new TestFeed(engine, { tables: ["t"], cursor: cursor! }).next();
    assert(again.kind === "reset" && again.reason === "schema_changed");
    const anew = new TestFeed(engine, { tables: ["t"], snapshot: true });
    assertEquals((await anew.next()).changes.map(({ after }) => after![0]), [2]);
    anew.cancel();
  });
}

feedTest(
  "two servers that subscribe for the first time make one log",
  async (engine, { server }) => {
    assertEquals(
      await errorName(new TestFeed(engine, { tables: ["none"] }).started),
      "unknown_table",
    );
    const other = server.connect("feeds");
    const sessions = (condition: string) => async () =>
      (await other.unsafe(`SELECT FROM pg_stat_activity WHERE usename = 'sqp' AND ${condition}`))
        .length;
    const idle = sessions("state = 'idle' AND query LIKE '%sqp_feeds%changes%'");
    await until("its session knows that there is no log", async () => await idle() > 0);
    const waiting = sessions("wait_event_type = 'Lock'");
    await other.unsafe(`SELECT pg_advisory_lock(${WATCH_LOCK})`);
    const second = await openPostgresEngine({ url: server.url("feeds") });
    try {
      const feeds: TestFeed[] = [];
      for (const subscriber of [second, engine]) {
        feeds.push(new TestFeed(subscriber, { tables: ["t"] }));
        await until("it waits", async () => await waiting() === feeds.length);
      }
      await other.unsafe(`SELECT pg_advisory_unlock(${WATCH_LOCK})`);
      for (const feed of feeds) await feed.started;
      for (const feed of feeds) feed.cancel();
    } finally {
      await second.close();
      await other.end();
    }
  },
);

feedTest("what cannot be subscribed to is refused by name", async (engine) => {
  await new TestFeed(engine, { tables: ["t"] }).started;
  await ask(engine, "CREATE TABLE plain (a int)");
  await ask(engine, "CREATE VIEW v AS SELECT 1 AS one");
  await ask(engine, "CREATE TABLE secret (id int PRIMARY KEY)");
  await ask(engine, "REVOKE ALL ON secret FROM sqp_read");
  const tryIt = (table: string, permissions = ALL) =>
    errorName(new TestFeed(engine, { tables: [table], permissions }).started);
  assertEquals(await tryIt("plain"), "feed_not_supported");
  assertEquals(await tryIt("v"), "feed_not_supported");
  assertEquals(await tryIt("none"), "unknown_table");
  assertEquals(await tryIt("secret", ["read"]), "permission_denied");
  await new TestFeed(engine, { tables: ["t"], permissions: ["read"] }).started;
  for (const bad of ["x", `${crypto.randomUUID()}.1.1`]) {
    const event = await new TestFeed(engine, { tables: ["t"], cursor: bad }).next();
    assert(event.kind === "reset" && event.reason === "cursor_unknown");
  }
});
