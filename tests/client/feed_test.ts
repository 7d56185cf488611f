// Change feeds over sockets of this machine.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Client, type Feed, type FeedEvent, SqpError } from "../../src/client/mod.ts";
import { LiveServer, liveTest, pause, until } from "../harness/live_server.ts";

/** The next event that is not a resolved mark. */
async function next(feed: Feed): Promise<FeedEvent> {
  for (;;) {
    const { done, value } = await feed.next();
    assert(!done, "the feed has ended");
    if (value.kind !== "resolved") return value;
  }
}

async function nextTransaction(feed: Feed): Promise<FeedEvent & { kind: "transaction" }> {
  const event = await next(feed);
  assert(event.kind === "transaction", JSON.stringify(event));
  return event;
}

/** Feeds that the server's engine has open. */
function openFeeds(server: LiveServer): number {
  const { feedsOpened, feedsEnded } = server.server.engineStatus.counters;
  return feedsOpened! - feedsEnded!;
}

/** The rows of a snapshot up to its end. */
async function snapshotRows(feed: Feed): Promise<unknown[][]> {
  const rows: unknown[][] = [];
  for (;;) {
    const event = await next(feed);
    if (event.kind === "snapshot-end") return rows;
    assert(event.kind === "snapshot");
    rows.push(...event.rows);
  }
}

const SHARED: Record<string, (server: LiveServer, client: Client) => Promise<void>> = {
  async "a subscriber is told what another client commits, and goes on where it was"(
    server,
    client,
  ) {
    await client.execute("create table t (id integer primary key, a text, b blob)");
    await client.execute("insert into t values (1, 'één', x'00ff')");
    await using writer = await server.connect();
    let cursor: string;
    {
      await using subscriber = await server.connect();
      const feed = subscriber.subscribe({ tables: ["t"], snapshot: true });
      assertEquals((await feed.tables).map(({ name, keys }) => [name, keys]), [["t", [0]]]);
      assertEquals(await snapshotRows(feed), [[1, "één", new Uint8Array([0, 255])]]);
      await writer.execute("update t set a = 'two'");
      const { changes, committedAt, cursor: at } = await nextTransaction(feed);
      assertEquals(changes, [{
        table: "t",
        before: [1, "één", new Uint8Array([0, 255])],
        after: [1, "two", new Uint8Array([0, 255])],
      }]);
      assert(Math.abs(Date.now() - committedAt.getTime()) < 60_000);
      assertEquals(feed.cursor, at);
      cursor = at;
    }
    await writer.execute("insert into t values (2, null, null)");
    await writer.execute("delete from t where id = 1");
    const feed = client.subscribe({ tables: ["t"], cursor });
    assertEquals((await nextTransaction(feed)).changes.map(({ after }) => after?.[0]), [2]);
    assertEquals((await nextTransaction(feed)).changes.map(({ before }) => before?.[0]), [1]);
    await feed.return();
    assertEquals(await feed.next(), { done: true, value: undefined });
  },

  async "what is left early leaves nobody waiting"(_, client) {
    await client.execute("create table left_early (id integer primary key)");
    const feed = client.subscribe({ tables: ["left_early"] });
    await feed.return();
    const rows = client.stream("select 1");
    await rows.return();
    for (const promise of [feed.tables, rows.columns, rows.end]) {
      const { codeName } = await assertRejects(() => promise, SqpError);
      assertEquals(codeName, "cancelled");
    }
    const one = client.stream("select 1");
    await one.next();
    await one.return();
    assertEquals((await one.end).changes, 0);
  },

  async "a filter is kept over the wire"(_, client) {
    await client.execute("create table f (id integer primary key, owner text)");
    const feed = client.subscribe({ tables: [{ table: "f", where: { owner: "me" } }] });
    await feed.tables;
    await client.execute("insert into f values (1, 'you'), (2, 'me')");
    assertEquals((await nextTransaction(feed)).changes, [
      { table: "f", before: null, after: [2, "me"] },
    ]);
    await feed.return();
  },

  async "a snapshot of many pages comes whole while its table is written to"(_, client) {
    await client.execute("create table big (id integer primary key, v text)");
    await client.execute(
      `with recursive c(i) as (select 1 union all select i + 1 from c limit 20000)
       insert into big select i, printf('%0100d', i) from c`,
    );
    const feed = client.subscribe({ tables: ["big"], snapshot: true });
    await feed.tables;
    const writes = (async () => {
      for (let i = 0; i < 20; i++) {
        await client.execute("update big set v = v || ? where id = ?", [i, i]);
      }
    })();
    const rows = new Map((await snapshotRows(feed)).map((row) => [row[0], row]));
    assertEquals(rows.size, 20_000);
    await writes;
    const { rows: [[last]] } = await client.execute(
      "select sum(length(v)) from big",
    ) as unknown as {
      rows: [[number]];
    };
    const length = () => [...rows.values()].reduce((sum, [, v]) => sum + (v as string).length, 0);
    while (length() !== last) {
      for (const { before, after } of (await nextTransaction(feed)).changes) {
        assertEquals(rows.get(before![0]), before);
        rows.set(after![0], after!);
      }
    }
    await feed.return();
  },

  async "a feed that nobody reads stops at its credit, and goes on when it is read"(_, client) {
    await client.execute("create table slow (id integer primary key, v text)");
    const feed = client.subscribe({ tables: ["slow"] });
    await feed.tables;
    const text = "x".repeat(20_000);
    for (let i = 0; i < 200; i++) await client.execute("insert into slow values (?, ?)", [i, text]);
    // Other requests of the session are not held up.
    assertEquals((await client.execute("select count(*) from slow")).rows, [[200]]);
    for (let i = 0; i < 200; i++) {
      assertEquals((await nextTransaction(feed)).changes.map(({ after }) => after![0]), [i]);
    }
    await feed.return();
  },

  async "a reset ends a feed, and says why"(_, client) {
    await client.execute("create table r (id integer primary key)");
    const feed = client.subscribe({ tables: ["r"] });
    await feed.tables;
    await client.execute("drop table r");
    const event = await next(feed);
    assert(event.kind === "reset");
    assertEquals(event.reason, "schema_changed");
    assertEquals(await feed.next(), { done: true, value: undefined });
  },

  async "a subscription is ended by a signal, by leaving the loop, and with the session"(
    server,
    client,
  ) {
    await client.execute("create table e (id integer primary key)");
    const aborted = new AbortController();
    const feed = client.subscribe({ tables: ["e"], signal: aborted.signal });
    await feed.tables;
    aborted.abort();
    assertEquals((await assertRejects(() => feed.next(), SqpError)).codeName, "cancelled");

    await client.execute("insert into e values (1)");
    for await (const event of client.subscribe({ tables: ["e"], snapshot: true })) {
      assertEquals(event.kind, "snapshot");
      break;
    }
    await until("the server has let go of both", () => openFeeds(server) === 0);

    const other = await server.connect();
    const ended = other.subscribe({ tables: ["e"] });
    await ended.tables;
    await other.close();
    await assertRejects(() => ended.next(), SqpError);
    await until("the server has let go of it", () => openFeeds(server) === 0);
  },

  async "unsubscribing ends a feed after what was on its way"(server, client) {
    await client.execute("create table w (id integer primary key)");
    const feed = client.subscribe({ tables: ["w"] });
    await feed.tables;
    for (let i = 0; i < 20; i++) await client.execute("insert into w values (?)", [i]);
    const first = await nextTransaction(feed);
    await feed.unsubscribe();
    let last = first;
    for await (const event of feed) if (event.kind === "transaction") last = event;
    assertEquals(feed.cursor, last.cursor);
    // It was answered for a feed that it had; another it has not.
    assertEquals((await client.execute("select count(*) from w")).rows, [[20]]);
    await until("the server has let go of it", () => openFeeds(server) === 0);
  },

  async "what cannot be subscribed to fails with the server's reason"(_, client) {
    await client.execute("create table plain (a)");
    const error = await assertRejects(
      () => client.subscribe({ tables: ["plain"] }).next(),
      SqpError,
    );
    assertEquals(error.codeName, "feed_not_supported");
    const none = await assertRejects(() => client.subscribe({ tables: [] }).next(), SqpError);
    assertEquals(none.codeName, "malformed_payload");
    const odd = client.subscribe({
      tables: [{ table: "plain", where: { a: undefined as unknown as null } }],
    });
    assertEquals((await assertRejects(() => odd.next(), SqpError)).codeName, "parameter_type");
  },
};

liveTest("change feeds over sockets", async (context) => {
  await using server = await LiveServer.start();
  await using client = await server.connect();
  for (const [name, run] of Object.entries(SHARED)) {
    await context.step(name, () => run(server, client));
  }
});

liveTest("who may not subscribe is refused", async () => {
  await using server = await LiveServer.start({
    certificatePermissions: ["read", "write", "schema"],
  });
  await using client = await server.connect();
  await client.execute("create table t (id integer primary key)");
  const error = await assertRejects(() => client.subscribe({ tables: ["t"] }).next(), SqpError);
  assertEquals(error.codeName, "permission_denied");
});

liveTest("a server that stops ends its feeds, and does not wait for them", async () => {
  const server = await LiveServer.start({ drainMs: 60_000 });
  const client = await server.connect();
  await client.execute("create table t (id integer primary key)");
  const feed = client.subscribe({ tables: ["t"] });
  await feed.tables;
  const closing = server[Symbol.asyncDispose]();
  assertEquals((await assertRejects(() => feed.next(), SqpError)).codeName, "draining");
  await client.close();
  await closing;
});

liveTest("a feed goes on after the server was started anew", async () => {
  await using folder = await LiveServer.start();
  const database = `${folder.folder}/kept.sqlite`;
  let cursor: string;
  {
    await using server = await LiveServer.start({ database });
    await using client = await server.connect();
    await client.execute("create table t (id integer primary key)");
    const feed = client.subscribe({ tables: ["t"] });
    await feed.tables;
    await client.execute("insert into t values (1)");
    cursor = (await nextTransaction(feed)).cursor;
    await client.execute("insert into t values (2)");
  }
  await using server = await LiveServer.start({ database });
  await using client = await server.connect();
  await client.execute("insert into t values (3)");
  const feed = client.subscribe({ tables: ["t"], cursor });
  assertEquals((await nextTransaction(feed)).changes.map(({ after }) => after![0]), [2]);
  assertEquals((await nextTransaction(feed)).changes.map(({ after }) => after![0]), [3]);
  await pause(0);
});
