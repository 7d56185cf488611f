// What befalls the tables of change feeds in PostgreSQL: other shapes and names, triggers that are gone, constraints
// that are checked early, readers who do not read.

import { assert, assertEquals } from "@std/assert";
import type { Engine } from "../../src/query/engine.ts";
import type { Row } from "../../src/wire/value.ts";
import { TestFeed, type Wanted } from "./feed_harness.ts";
import { feedTests } from "./postgres_feed_harness.ts";
import { ALL, ask, askIn, errorName, replied } from "./query_harness.ts";

const feedTest = feedTests("CREATE TABLE t (id int PRIMARY KEY, a text)");

async function subscribed(
  engine: Engine,
  table: string,
  wanted: Partial<Wanted> = {},
): Promise<TestFeed> {
  const feed = new TestFeed(engine, { tables: [table], ...wanted });
  await feed.started;
  return feed;
}

/** The rows after the changes of the next transaction, or the reason for which the feed ends. */
async function nextOf(feed: TestFeed): Promise<(Row | null)[] | string> {
  const event = await feed.next();
  return event.kind === "reset" ? event.reason : event.changes.map(({ after }) => after);
}

/** Runs statements in one transaction. */
async function transact(engine: Engine, ...statements: readonly string[]): Promise<void> {
  const session = engine.open({ principal: "writer", permissions: new Set(ALL) });
  const transaction = session.begin({ readOnly: false }, { onEnd() {}, onError() {} });
  for (const sql of statements) await askIn(transaction, sql);
  await replied<void>((reply) => transaction.commit(reply));
  session.close();
}

for (
  const [what, statements, table] of [
    ["made anew", ["DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY, a text)"], "t"],
    ["altered", ["ALTER TABLE t ADD COLUMN b text"], "t"],
    ["renamed", ["ALTER TABLE t RENAME TO other"], "other"],
    [
      "another one",
      ["ALTER TABLE t RENAME TO t_old", "CREATE TABLE t (id int PRIMARY KEY, a text)"],
      "t",
    ],
  ] as const
) {
  feedTest(
    `a table that is ${what} ends its feeds, also if it is subscribed to at once`,
    async (engine) => {
      const old = await subscribed(engine, "t");
      await transact(engine, ...statements);
      const fresh = await subscribed(engine, table);
      await ask(engine, `INSERT INTO ${table} (id, a) VALUES (1, 'x')`);
      assertEquals(await nextOf(old), "schema_changed");
      assertEquals((await nextOf(fresh) as Row[]).map((row) => row.slice(0, 2)), [[1, "x"]]);
    },
  );
}

feedTest("tables that change their names in one transaction end their feeds", async (engine) => {
  await ask(engine, "CREATE TABLE other (id int PRIMARY KEY, a text)");
  const feed = await subscribed(engine, "t");
  await transact(
    engine,
    "ALTER TABLE t RENAME TO t_old",
    "ALTER TABLE other RENAME TO t",
  );
  assertEquals(await nextOf(feed), "schema_changed");
});

feedTest(
  "a table whose key is deferrable is refused where triggers could mistake its rows",
  async (engine, { capture }) => {
    await subscribed(engine, "t");
    await ask(engine, "CREATE TABLE d (id int PRIMARY KEY DEFERRABLE, a text)");
    const feed = new TestFeed(engine, { tables: ["d"] });
    if (capture === "decoding") await feed.started;
    else assertEquals(await errorName(feed.started), "feed_not_supported");
    feed.cancel();
  },
);

feedTest(
  "a change that is larger than what is taken from the database is told as such",
  async (engine) => {
    const feed = await subscribed(engine, "t");
    await ask(engine, "INSERT INTO t VALUES (1, repeat('x', 200000))");
    assertEquals((await nextOf(feed)).length, 1);
    await ask(engine, "UPDATE t SET a = repeat('y', 200000)");
    assertEquals(await nextOf(feed), "transaction_too_large");
    const later = await subscribed(engine, "t");
    await ask(engine, "INSERT INTO t VALUES (2, 'x')");
    assertEquals(await nextOf(later), [[2, "x"]]);
  },
  { limits: { messageBytesMax: 300_000 } },
);

feedTest("a key whose column has another name tells rows apart as before", async (engine) => {
  const old = await subscribed(engine, "t");
  await ask(engine, "ALTER TABLE t RENAME COLUMN id TO number");
  assertEquals(await nextOf(old), "schema_changed");
  const feed = await subscribed(engine, "t");
  await ask(engine, "INSERT INTO t VALUES (1, 'x'), (2, 'x')");
  assertEquals(await nextOf(feed), [[1, "x"], [2, "x"]]);
});

for (
  const [what, statements] of [
    ["dropped", ["DROP TRIGGER sqp_capture ON t"]],
    ["disabled for a while", [
      "ALTER TABLE t DISABLE TRIGGER ALL",
      "INSERT INTO t VALUES (1, 'unseen')",
      "ALTER TABLE t ENABLE TRIGGER ALL",
    ]],
  ] as const
) {
  feedTest(`a trigger that was ${what} ends feeds, and is back for those after`, async (engine) => {
    const old = await subscribed(engine, "t");
    for (const sql of statements) await ask(engine, sql);
    assertEquals(await nextOf(old), "schema_changed");
    const feed = await subscribed(engine, "t");
    await ask(engine, "INSERT INTO t VALUES (2, 'seen')");
    assertEquals(await nextOf(feed), [[2, "seen"]]);
  }, { captures: ["triggers"] });
}

feedTest(
  "a transaction whose constraints are checked early is told whole, once",
  async (engine) => {
    const feed = await subscribed(engine, "t");
    await transact(
      engine,
      "INSERT INTO t VALUES (1, 'x')",
      "SET CONSTRAINTS ALL IMMEDIATE",
      "INSERT INTO t VALUES (2, 'x')",
      "UPDATE t SET a = 'y' WHERE id = 1",
    );
    assertEquals(await nextOf(feed), [[2, "x"], [1, "y"]]);
  },
);

feedTest("what a deferred trigger of the user's writes is of its transaction", async (engine) => {
  await ask(engine, "CREATE TABLE plain (id int)");
  await ask(
    engine,
    `CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       UPDATE t SET a = 'followed';
       INSERT INTO t VALUES (2, 'x');
       RETURN NULL;
     END $$`,
  );
  await ask(
    engine,
    `CREATE CONSTRAINT TRIGGER follow AFTER INSERT ON plain DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION follow()`,
  );
  const feed = await subscribed(engine, "t");
  // The log's own trigger is called first.
  await transact(engine, "INSERT INTO t VALUES (1, 'x')", "INSERT INTO plain VALUES (1)");
  assertEquals(await nextOf(feed), [[1, "followed"], [2, "x"]]);
});

feedTest("what replication writes is told as well", async (engine, { server }) => {
  const feed = await subscribed(engine, "t");
  const other = server.connect("feeds");
  await other.unsafe("SET session_replication_role = replica; INSERT INTO t VALUES (1, 'x')");
  await other.end();
  assertEquals(await nextOf(feed), [[1, "x"]]);
});

feedTest("a snapshot leaves out the rows of tables that inherit from its own", async (engine) => {
  await ask(engine, "CREATE TABLE child () INHERITS (t)");
  await ask(engine, "INSERT INTO child VALUES (1, 'x')");
  await ask(engine, "INSERT INTO t VALUES (2, 'x')");
  assertEquals(await nextOf(await subscribed(engine, "t", { snapshot: true })), [[2, "x"]]);
});

feedTest(
  "a table with row security is refused, and ends its feeds when it gets it",
  async (engine) => {
    const feed = await subscribed(engine, "t");
    await ask(engine, "ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    assertEquals(await nextOf(feed), "schema_changed");
    assertEquals(await errorName(subscribed(engine, "t")), "feed_not_supported");
  },
);

feedTest(
  "a table whose rows are in shards is refused, and ends its feeds when they go there",
  async (engine, { server }) => {
    await server.distribute("feeds");
    const feed = await subscribed(engine, "t");
    await ask(engine, "CREATE TABLE other (id int PRIMARY KEY, a text)");
    const untouched = await subscribed(engine, "other");
    await ask(engine, "INSERT INTO pg_catalog.pg_dist_partition VALUES ('t')");
    assertEquals(await nextOf(feed), "schema_changed");
    assertEquals(await errorName(subscribed(engine, "t")), "feed_not_supported");
    // Of a table that it may not read, nobody is told more than that.
    await ask(engine, "REVOKE SELECT ON t FROM sqp_read");
    assertEquals(await errorName(subscribed(engine, "t")), "permission_denied");
    await ask(engine, "INSERT INTO other VALUES (1, 'x')");
    assertEquals(await nextOf(untouched), [[1, "x"]]);
  },
);

feedTest("only one server of a distributed database tells changes", async (engine, { server }) => {
  await server.distribute("feeds");
  await ask(engine, "UPDATE pg_catalog.pg_dist_local_group SET groupid = 1");
  assertEquals(await errorName(subscribed(engine, "t")), "feed_not_supported");
  await ask(engine, "UPDATE pg_catalog.pg_dist_local_group SET groupid = 0");
  await subscribed(engine, "t");
});

feedTest("a table keeps its shape while a snapshot of it is read", async (engine) => {
  await ask(engine, "INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i");
  await ask(engine, "CREATE TABLE u (id int PRIMARY KEY)");
  await ask(engine, "INSERT INTO u VALUES (1)");
  const feed = await subscribed(engine, "t", { tables: ["t", "u"], snapshot: true, slow: true });
  while (feed.bytes === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const altered = ask(engine, "ALTER TABLE u ADD COLUMN more int");
  await new Promise((resolve) => setTimeout(resolve, 100));
  feed.pull(1_000);
  const { kind, changes } = await feed.next();
  assertEquals([kind, changes.length], ["snapshot-end", 5_001]);
  await altered;
  assertEquals(await nextOf(feed), "schema_changed");
});

feedTest("snapshots that nobody reads keep no feed from its news, and end", async (engine) => {
  await ask(engine, "INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i");
  const unread = { snapshot: true, slow: true };
  const slow = await Promise.all(Array.from({ length: 6 }, () => subscribed(engine, "t", unread)));
  const feed = await subscribed(engine, "t");
  await ask(engine, "UPDATE t SET a = 'y' WHERE id = 1");
  assertEquals(await nextOf(feed), [[1, "y"]]);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  for (const one of slow) one.pull(1);
  assertEquals(await errorName(Promise.race(slow.map(({ ended }) => ended))), "deadline_exceeded");
}, { limits: { stallMsMax: 1_000 } });

feedTest("the log is pruned though no feed is open, and no more than has to be", async (engine) => {
  const feed = await subscribed(engine, "t");
  feed.cancel();
  const logged = async () =>
    (await ask(engine, "SELECT count(*)::int, max(id)::int FROM sqp_feeds.changes")).rows[0]!;
  for (let i = 0; i < 5; i++) {
    await ask(
      engine,
      `INSERT INTO t SELECT ${i} * 100 + i, repeat('x', 1000) FROM generate_series(1, 100) i`,
    );
  }
  const untilMs = Date.now() + 10_000;
  let [count, last] = await logged();
  while ((Number(last) <= 500 || Number(count) > 280) && Date.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    [count, last] = await logged();
  }
  // Each takes 1,100 bytes and something.
  assert(Number(count) > 100 && Number(count) < 280, `${count} rows`);
  assert(Number(last) > 500);
}, { limits: { changesBytesMax: 300_000, pruneMs: 100 } });
