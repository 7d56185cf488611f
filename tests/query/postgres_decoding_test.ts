// Capture by logical decoding: exact starts and snapshots although the log is behind, replication slots that are lost,
// several servers on one database, what the server's log does not say.

import { assert, assertEquals } from "@std/assert";
import type { Engine } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { LIMITS } from "../../src/wire/limits.ts";
import type { Row } from "../../src/wire/value.ts";
import { pause, until } from "../harness/live_server.ts";
import { CAPTURES, PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { type FeedEvent, Replica, TestFeed, type Wanted } from "./feed_harness.ts";
import { captureOf, feedTestName, feedTests } from "./postgres_feed_harness.ts";
import { ask, errorName, retried } from "./query_harness.ts";

const why = whyNoPostgres();
const feedTest = feedTests("CREATE TABLE t (id int PRIMARY KEY, a text)", ["decoding"]);

async function subscribed(engine: Engine, wanted: Partial<Wanted> = {}): Promise<TestFeed> {
  const feed = new TestFeed(engine, { tables: ["t"], ...wanted });
  await feed.started;
  return feed;
}

/** The rows after the changes of the next transaction, or the reason for which the feed ends. */
async function nextOf(feed: TestFeed): Promise<(Row | null)[] | string> {
  const event = await feed.next();
  return event.kind === "reset" ? event.reason : event.changes.map(({ after }) => after);
}

function cursorOf(event: FeedEvent): string {
  assert(event.kind !== "reset");
  return event.cursor;
}

/** Keeps what is decoded from the log of changes, until it is disposed of. */
async function holdBack(server: PostgresServer): Promise<AsyncDisposable> {
  const sql = server.connect("feeds");
  await sql.unsafe("BEGIN");
  await sql.unsafe("LOCK TABLE sqp_feeds.log IN SHARE UPDATE EXCLUSIVE MODE");
  return { [Symbol.asyncDispose]: () => sql.end() };
}

/** Runs statements as the superuser. */
async function administer(server: PostgresServer, ...statements: readonly string[]) {
  const sql = server.connect("feeds");
  try {
    let rows: Record<string, unknown>[] = [];
    for (const text of statements) rows = [...await sql.unsafe(text)];
    return rows;
  } finally {
    await sql.end();
  }
}

// Starts

feedTest(
  "a feed from now on tells nothing that was committed before",
  async (engine, { server }) => {
    (await subscribed(engine)).cancel();
    const held = await holdBack(server);
    await ask(engine, "INSERT INTO t VALUES (1, 'before')");
    let hasStarted = false;
    const feed = new TestFeed(engine, { tables: ["t"] });
    feed.started.then(() => hasStarted = true);
    await pause(300);
    assert(!hasStarted);
    await held[Symbol.asyncDispose]();
    await feed.started;
    await ask(engine, "INSERT INTO t VALUES (2, 'after')");
    assertEquals(await nextOf(feed), [[2, "after"]]);
    feed.cancel();
  },
);

feedTest(
  "a subscription fails in time, and says that it may be tried again, while nothing is decoded",
  async (engine, { server }) => {
    (await subscribed(engine)).cancel();
    await using _ = await holdBack(server);
    assertEquals(await errorName(subscribed(engine)), "database_busy");
  },
  { limits: { settleMsMax: 300 } },
);

feedTest("resolved marks wait for what was committed before", async (engine, { server }) => {
  const feed = await subscribed(engine);
  while ((await feed.nextMark()).kind !== "resolved");
  const held = await holdBack(server);
  await ask(engine, "INSERT INTO t VALUES (1, 'x')");
  const writtenAtMs = Date.now();
  const releasing = pause(300).then(() => held[Symbol.asyncDispose]());
  for (;;) {
    const event = await feed.nextMark();
    if (event.changes.length > 0) break;
    assert(event.kind === "resolved" && event.atMs < writtenAtMs);
  }
  await releasing;
  // The first may be from a moment before.
  let event = await feed.nextMark();
  while (event.kind !== "resolved" || event.atMs <= writtenAtMs) event = await feed.nextMark();
  feed.cancel();
}, { feeds: { pollMs: 20, resolvedMs: 20 } });

feedTest(
  "no cursor from before a table was watched goes on with it",
  async (engine, { server }) => {
    await ask(engine, "CREATE TABLE late (id int PRIMARY KEY, a text)");
    const feed = await subscribed(engine);
    const held = await holdBack(server);
    await ask(engine, "INSERT INTO t VALUES (1, 'x')");
    await ask(engine, "INSERT INTO late VALUES (1, 'unseen')");
    await ask(engine, "INSERT INTO t VALUES (2, 'x')");
    const fresh = new TestFeed(engine, { tables: ["late"] });
    const watched = "SELECT 1 FROM sqp_feeds.watched WHERE table_name = 'late'";
    await until("it is watched", async () => (await ask(engine, watched)).rows.length > 0);
    await held[Symbol.asyncDispose]();
    // This row of the log is younger than the watch, and what it tells is older.
    const cursor = cursorOf(await feed.next());
    await fresh.started;
    const both = new TestFeed(engine, { tables: ["t", "late"], cursor });
    assertEquals(await nextOf(both), "cursor_too_old");
    await ask(engine, "INSERT INTO late VALUES (2, 'seen')");
    assertEquals(await nextOf(fresh), [[2, "seen"]]);
  },
);

feedTest(
  "what was committed before a table got its shape is not told in that",
  async (engine, { server }) => {
    const old = await subscribed(engine);
    const held = await holdBack(server);
    await ask(engine, "INSERT INTO t VALUES (1, 'old')");
    await ask(engine, "ALTER TABLE t ADD COLUMN b int");
    const fresh = new TestFeed(engine, { tables: ["t"] });
    // It waits for the number of what it notes.
    await pause(300);
    await held[Symbol.asyncDispose]();
    await fresh.started;
    await ask(engine, "INSERT INTO t VALUES (2, 'new', 2)");
    const told = await nextOf(old);
    assertEquals(told === "schema_changed" ? told : await nextOf(old), "schema_changed");
    assertEquals(await nextOf(fresh), [[2, "new", 2]]);
  },
);

// What the server's log says

feedTest("values that are stored apart are told although they did not change", async (engine) => {
  const large = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i)";
  await ask(engine, "CREATE TABLE wide (id int PRIMARY KEY, large text, n int)");
  await ask(engine, `INSERT INTO wide VALUES (1, ${large}, 0)`);
  const feed = await subscribed(engine, { tables: ["wide"] });
  await ask(engine, "UPDATE wide SET n = 1");
  await ask(engine, "UPDATE wide SET id = 2");
  await ask(engine, "DELETE FROM wide");
  const rows: (Row | null)[] = [];
  for (let i = 0; i < 3; i++) {
    for (const { before, after } of (await feed.next()).changes) rows.push(before, after);
  }
  assertEquals(rows.map((row) => row && [row[0], String(row[1]).length, row[2]]), [
    ...[[1, 32_000, 0], [1, 32_000, 1]],
    ...[[1, 32_000, 1], null, null, [2, 32_000, 1]],
    ...[[2, 32_000, 1], null],
  ]);
  feed.cancel();
});

feedTest("keys that are checked at the end may change places at once", async (engine) => {
  await ask(engine, "CREATE TABLE d (id int PRIMARY KEY DEFERRABLE, a text)");
  await ask(engine, "INSERT INTO d VALUES (1, 'x'), (2, 'y')");
  const feed = await subscribed(engine, { tables: ["d"], snapshot: true });
  const replica = new Replica();
  replica.apply((await feed.next()).changes);
  await ask(engine, "UPDATE d SET id = 3 - id");
  replica.apply((await feed.next()).changes);
  assertEquals(replica.sorted(), [[1, "y"], [2, "x"]]);
  feed.cancel();
});

feedTest("tables of which the server's log does not say all are refused", async (engine) => {
  (await subscribed(engine)).cancel();
  await ask(engine, "CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)");
  await ask(
    engine,
    "CREATE TABLE computed (id int PRIMARY KEY, n int GENERATED ALWAYS AS (id * 2) STORED)",
  );
  for (const table of ["unlogged", "computed"]) {
    assertEquals(await errorName(subscribed(engine, { tables: [table] })), "feed_not_supported");
  }
});

feedTest("a transaction beyond the limit is told as such, and the next as ever", async (engine) => {
  await ask(engine, "CREATE TABLE u (id int PRIMARY KEY, a text)");
  const feed = await subscribed(engine);
  const other = await subscribed(engine, { tables: ["u"] });
  const rows = "SELECT i, repeat('x', 100) FROM generate_series(1, 2000) i";
  await ask(engine, `INSERT INTO t ${rows}`);
  assertEquals(await nextOf(feed), "transaction_too_large");
  const again = await subscribed(engine);
  await ask(engine, "UPDATE t SET a = 'y' WHERE id = 1");
  assertEquals(await nextOf(again), [[1, "y"]]);
  await ask(engine, "INSERT INTO u VALUES (1, 'x')");
  assertEquals(await nextOf(other), [[1, "x"]]);
}, { limits: { decodedBytesMax: 200_000 } });

feedTest("a row that no message holds ends feeds, and not the decoder", async (engine) => {
  const feed = await subscribed(engine);
  await ask(engine, "INSERT INTO t VALUES (1, repeat('x', 500000))");
  assertEquals(await nextOf(feed), "changes_lost");
  const again = await subscribed(engine);
  await ask(engine, "INSERT INTO t VALUES (2, 'x')");
  assertEquals(await nextOf(again), [[2, "x"]]);
}, { limits: { decodedMessageBytesMax: 400_000, decoderRetryMs: 50 } });

feedTest("a row that no feed can tell ends those of its table", async (engine) => {
  const feed = await subscribed(engine);
  await ask(engine, `INSERT INTO t VALUES (1, repeat('x', ${9 * LIMITS.rowBytesMax}))`);
  assertEquals(await nextOf(feed), "transaction_too_large");
});

// What captures changes is disturbed

for (
  const [what, statements] of [
    ["another replica identity", ["ALTER TABLE t REPLICA IDENTITY DEFAULT"]],
    ["another replica identity for a while", [
      "ALTER TABLE t REPLICA IDENTITY DEFAULT",
      "UPDATE t SET a = 'unseen'",
      "ALTER TABLE t REPLICA IDENTITY FULL",
    ]],
    ["no publication of it", ["ALTER PUBLICATION sqp_feeds DROP TABLE t"]],
    ["no publication of it for a while", [
      "ALTER PUBLICATION sqp_feeds DROP TABLE t",
      "INSERT INTO t VALUES (5, 'unseen')",
      "ALTER PUBLICATION sqp_feeds ADD TABLE t",
      "INSERT INTO t VALUES (6, 'too late')",
    ]],
    ["another type for a while", [
      "ALTER TABLE t ALTER COLUMN a TYPE varchar(9)",
      "INSERT INTO t VALUES (5, 'other')",
      "ALTER TABLE t ALTER COLUMN a TYPE text",
      "INSERT INTO t VALUES (6, 'too late')",
    ]],
    ["a filter of its rows", ["ALTER PUBLICATION sqp_feeds SET TABLE t WHERE (id > 100)"]],
    ["a list of its columns", ["ALTER PUBLICATION sqp_feeds SET TABLE t (id)"]],
    ["a publication of inserts", ["ALTER PUBLICATION sqp_feeds SET (publish = 'insert')"]],
  ] as const
) {
  feedTest(
    `a table with ${what} ends its feeds, and is repaired for those after`,
    async (engine) => {
      await ask(engine, "INSERT INTO t VALUES (1, 'x')");
      const old = await subscribed(engine);
      for (const sql of statements) await ask(engine, sql);
      assertEquals(await nextOf(old), "schema_changed");
      const feed = await subscribed(engine);
      await ask(engine, "UPDATE t SET a = 'seen' WHERE id = 1");
      assertEquals(await nextOf(feed), [[1, "seen"]]);
    },
  );
}

feedTest("a publication that was dropped is made anew, and nothing is missed unsaid", async (
  engine,
) => {
  const old = await subscribed(engine);
  await ask(engine, "DROP PUBLICATION sqp_feeds");
  await ask(engine, "INSERT INTO t VALUES (1, 'unseen')");
  assert(["schema_changed", "changes_lost"].includes(String(await nextOf(old))));
  const feed = await subscribed(engine);
  await ask(engine, "UPDATE t SET a = 'seen'");
  assertEquals(await nextOf(feed), [[1, "seen"]]);
}, { limits: { decoderRetryMs: 50 } });

/** Ends whoever reads a replication slot, and drops it. */
const DROP_SLOT = `DO $$ BEGIN
  PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots WHERE active_pid IS NOT NULL;
  PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots;
END $$`;

feedTest("a replication slot that was dropped ends feeds and cursors", async (
  engine,
  { server },
) => {
  const feed = await subscribed(engine);
  await ask(engine, "INSERT INTO t VALUES (1, 'x')");
  const cursor = cursorOf(await feed.next());
  await administer(server, DROP_SLOT, "INSERT INTO t VALUES (2, 'unseen')");
  assertEquals(await nextOf(feed), "changes_lost");
  assertEquals(await nextOf(await subscribed(engine, { cursor })), "cursor_unknown");
  const again = await subscribed(engine);
  await ask(engine, "INSERT INTO t VALUES (3, 'seen')");
  assertEquals(await nextOf(again), [[3, "seen"]]);
}, { limits: { decoderRetryMs: 200 } });

/** A test with a server of its own, which has these settings. */
function settingsTest(
  name: string,
  settings: Readonly<Record<string, string>>,
  run: (engine: Engine, server: PostgresServer) => Promise<void>,
): void {
  Deno.test({
    name: feedTestName(name, "decoding"),
    ignore: why !== undefined,
    async fn() {
      await using server = await PostgresServer.start({ ...CAPTURES.decoding, ...settings });
      await server.makeDatabase("feeds");
      const engine = await openPostgresEngine({ url: server.url("feeds") });
      try {
        await ask(engine, "CREATE TABLE t (id int PRIMARY KEY, a text)");
        await run(engine, server);
      } finally {
        await engine.close();
      }
    },
  });
}

settingsTest(
  "a slot whose part of the server's log was given up is as one that was dropped",
  { max_slot_wal_keep_size: "1MB" },
  async (engine, server) => {
    const { cursor } = await (await subscribed(engine)).started;
    await engine.close();
    const status = "SELECT wal_status FROM pg_replication_slots";
    while ((await administer(server, status))[0]!["wal_status"] !== "lost") {
      await administer(
        server,
        "INSERT INTO t VALUES (0, 'x') ON CONFLICT (id) DO UPDATE SET a = 'y'",
      );
      await administer(server, "SELECT pg_switch_wal()", "CHECKPOINT");
    }
    const second = await openPostgresEngine({ url: server.url("feeds") });
    try {
      assertEquals(await nextOf(await subscribed(second, { cursor: cursor! })), "cursor_unknown");
      const again = await subscribed(second);
      await ask(second, "INSERT INTO t VALUES (3, 'seen')");
      assertEquals(await nextOf(again), [[3, "seen"]]);
    } finally {
      await second.close();
    }
  },
);

settingsTest(
  "changes are not decoded where slots would fill the disk",
  { max_slot_wal_keep_size: "-1" },
  async (engine, server) => {
    (await subscribed(engine)).cancel();
    assertEquals(await captureOf(server), "triggers");
  },
);

settingsTest(
  "changes are not decoded where nothing is streamed to the login",
  { max_wal_senders: "1" },
  async (engine, server) => {
    await server.makeDatabase("other");
    const other = await openPostgresEngine({ url: server.url("other") });
    try {
      await ask(other, "CREATE TABLE t (id int PRIMARY KEY)");
      // The only place is taken then.
      await subscribed(other);
      (await subscribed(engine)).cancel();
      assertEquals(await captureOf(server), "triggers");
    } finally {
      await other.close();
    }
  },
);

// Several servers

feedTest("of two servers one decodes, and the other goes on where it was stopped", async (
  engine,
  { server },
) => {
  const second = await openPostgresEngine({
    url: server.url("feeds"),
    limits: { decoderRetryMs: 20 },
  });
  try {
    const [one, two] = [await subscribed(engine), await subscribed(second)];
    for (let id = 0; id < 5; id++) {
      await ask(engine, "INSERT INTO t VALUES ($1, 'x')", { params: [id] });
      assertEquals([await nextOf(one), await nextOf(two)], [[[id, "x"]], [[id, "x"]]]);
      // Whoever decodes.
      await administer(server, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots");
    }
    one.cancel();
    await engine.close();
    await ask(second, "INSERT INTO t VALUES (5, 'x')");
    assertEquals(await nextOf(two), [[5, "x"]]);
  } finally {
    await second.close();
  }
}, { limits: { decoderRetryMs: 20 } });

feedTest("what was decoded and not yet appended is decoded again", async (engine, { server }) => {
  const feed = await subscribed(engine);
  const held = await holdBack(server);
  await ask(engine, "INSERT INTO t VALUES (1, 'x')");
  const waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
  await until("it is about to be", async () => (await administer(server, waiting)).length > 0);
  await server.terminate("sqp");
  await held[Symbol.asyncDispose]();
  assertEquals(await nextOf(feed), [[1, "x"]]);
  await ask(engine, "INSERT INTO t VALUES (2, 'x')");
  assertEquals(await nextOf(feed), [[2, "x"]]);
}, { limits: { decoderRetryMs: 20 } });

feedTest("an append that comes too late, or is of what is watched no more, changes nothing", async (
  engine,
  { server },
) => {
  const feed = await subscribed(engine);
  await ask(engine, "INSERT INTO t VALUES (1, 'x')");
  await feed.next();
  const append = async (from: string, relation: string) => {
    const [row] = await administer(
      server,
      `SELECT sqp_feeds.append(slot, ${from}, decoded + 1, json_build_array(${relation}),
        json_build_array(json_build_object('x', 1, 'r', relid, 'a', '(9,x)', 'e', true, 't', 0))
      )::text AS answer FROM sqp_feeds.log, sqp_feeds.watched`,
    );
    return JSON.parse(row!["answer"] as string).outcome;
  };
  const of = (version: string) => `json_build_object('relid', relid, 'version', ${version})`;
  assertEquals(await append("decoded - 1", of("sqp_feeds.watched.xmin::text")), "superseded");
  assertEquals(await append("decoded", of("'1'")), "stale");
  assertEquals(await append("decoded", of("NULL")), "stale");
  await ask(engine, "INSERT INTO t VALUES (2, 'x')");
  assertEquals(await nextOf(feed), [[2, "x"]]);
});

// Which capture a log has

for (
  const [what, statements] of [
    ["its login may not replicate", ["ALTER ROLE sqp NOREPLICATION"]],
    ["no slot is free", [
      "SELECT pg_create_physical_replication_slot('taken_' || i) FROM generate_series(1, 10) i",
    ]],
  ] as const
) {
  feedTest(`changes are not decoded where ${what}`, async (engine, { server }) => {
    await administer(server, ...statements);
    try {
      await subscribed(engine);
      assertEquals(await captureOf(server), "triggers");
    } finally {
      await administer(
        server,
        "ALTER ROLE sqp REPLICATION",
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active",
      );
    }
    await retried(() => ask(engine, "DROP SCHEMA sqp_feeds CASCADE"));
    (await subscribed(engine)).cancel();
  });
}

feedTest("no slot is left where there is no log any more", async (engine, { server }) => {
  await subscribed(engine);
  await retried(() => ask(engine, "DROP SCHEMA sqp_feeds CASCADE"));
  await ask(engine, "INSERT INTO t VALUES (1, 'x')");
  const slots = () => administer(server, "SELECT FROM pg_replication_slots");
  await until("it is dropped", async () => (await slots()).length === 0);
  const feed = await subscribed(engine);
  await ask(engine, "INSERT INTO t VALUES (2, 'x')");
  assertEquals(await nextOf(feed), [[2, "x"]]);
}, { limits: { decoderRetryMs: 20 } });

// Snapshots

Deno.test({
  name: feedTestName(
    "snapshots beside writers whose commits come to be seen in another order are exact",
    "decoding",
  ),
  ignore: why !== undefined,
  async fn() {
    // Commits that wait for the disk are seen later than those which do not.
    await using server = await PostgresServer.start({ ...CAPTURES.decoding, fsync: "on" });
    await server.makeDatabase("feeds");
    const engine = await openPostgresEngine({
      url: server.url("feeds"),
      feeds: { pollMs: 20, resolvedMs: 20 },
    });
    try {
      await ask(engine, "CREATE TABLE t (id int PRIMARY KEY, a text)");
      const end = new AbortController();
      const writing = Array.from({ length: 8 }, (_, writer) => writeOn(server, writer, end.signal));
      try {
        for (let i = 0; i < 12; i++) {
          await follow(new TestFeed(engine, { tables: ["t"], snapshot: true }));
        }
      } finally {
        end.abort();
        await Promise.all(writing);
      }
    } finally {
      await engine.close();
    }
  },
});

/** Inserts, updates and deletes rows, with commits of both kinds, until it is aborted. */
async function writeOn(server: PostgresServer, writer: number, end: AbortSignal): Promise<void> {
  const sql = server.connect("feeds");
  for (let i = 0; !end.aborted; i++) {
    await sql.unsafe(`SET synchronous_commit = ${(i + writer) % 2 === 0 ? "on" : "off"}`);
    const id = writer * 1_000_000 + i;
    await sql.unsafe(`INSERT INTO t VALUES (${id}, 'x')`);
    await sql.unsafe(`UPDATE t SET a = 'y' WHERE id = ${id - 3}`);
    await sql.unsafe(`DELETE FROM t WHERE id = ${id - 9}`);
  }
  await sql.end();
}

/** Follows a feed with a snapshot for some transactions, each of which has to fit the rows before it. */
async function follow(feed: TestFeed): Promise<void> {
  const replica = new Replica();
  for (let transactions = 0; transactions < 40; transactions++) {
    const event = await feed.next();
    assert(event.kind !== "reset");
    replica.apply(event.changes);
  }
  feed.cancel();
}
