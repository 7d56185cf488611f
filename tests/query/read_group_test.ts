// Short queries that run together on one connection of the PostgreSQL engine, where the machine has PostgreSQL.

import { assert, assertEquals } from "@std/assert";
import type { Engine } from "../../src/query/engine.ts";
import type { PostgresLimits } from "../../src/query/postgres/settings.ts";
import { until } from "../harness/live_server.ts";
import type { PostgresServer } from "../harness/postgres_server.ts";
import { AskedSession, errorName } from "./asked_session.ts";
import { postgresTests } from "./postgres_harness.ts";

const postgresTest = postgresTests();

/**
 * With one connection, all that is asked for at once has to share it. On a busy machine nothing is too slow for that,
 * or is sent before its end because it is slow.
 */
const ONE: Partial<PostgresLimits> = {
  ...{ connectionsMax: 1, shortMsMax: 60_000, togetherMsMax: 60_000, sendMsMax: 120_000 },
};

/** A test with a session. */
function groupTest(
  name: string,
  fn: (session: AskedSession, engine: Engine, server: PostgresServer) => Promise<void>,
  limits: Partial<PostgresLimits> = {},
): void {
  const test = (engine: Engine, server: PostgresServer) =>
    fn(new AskedSession(engine), engine, server);
  postgresTest(name, test, { ...ONE, ...limits });
}

const together = (engine: Engine) => engine.status().counters["together"] ?? 0;
const again = (engine: Engine) => engine.status().counters["retried"] ?? 0;

/** Makes a text known as one whose runs are short. */
async function warm(session: AskedSession, sql: string, params: readonly number[]): Promise<void> {
  await session.rows(sql, params);
}

/** The same where a run may take too long to be short. */
async function warmUp(
  { session, engine }: { readonly session: AskedSession; readonly engine: Engine },
  sql: string,
  params: readonly number[],
): Promise<void> {
  const before = together(engine);
  for (let i = 0; i < 100 && together(engine) === before; i++) await session.rows(sql, params);
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

groupTest(
  "short queries that come at once run together, and each gets its own rows",
  async (session, engine) => {
    const sql = "SELECT $1::int, i FROM generate_series(1, $1::int % 5) i";
    await warm(session, sql, [1]);
    assertEquals(together(engine), 0);
    const results = await Promise.all(
      numbers(100).map((n) => session.execute(sql, { params: [n] })),
    );
    results.forEach(({ rows, columns, end }, n) => {
      assertEquals(rows, numbers(n % 5).map((i) => [n, i + 1]));
      assertEquals(columns.map(({ name }) => name), ["int4", "i"]);
      assertEquals(end.rowCount, n % 5);
    });
    assertEquals([together(engine), again(engine)], [100, 0]);
  },
);

groupTest(
  "the connections of one principal's group are nobody else's meanwhile",
  async (session, engine) => {
    const other = new AskedSession(engine, "somebody else");
    const sql = "SELECT current_setting('own.name', true)";
    for (const each of [session, other]) await warm(each, sql, []);
    const names = async (each: AskedSession) =>
      await Promise.all(numbers(20).map(() => each.rows(sql)));
    await session.rows("SELECT set_config('own.name', 'secret', false)");
    const [own, others] = await Promise.all([names(session), names(other)]);
    assertEquals(others.flat(2).filter((name) => name === "secret"), []);
    assertEquals(own.length, 20);
    assertEquals(together(engine), 41);
  },
);

groupTest("a query that writes is run once, by itself", async (session, engine) => {
  await session.execute("CREATE TABLE t (n int)");
  await session.execute(
    "CREATE FUNCTION note(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (n) RETURNING n'",
  );
  const sql = "SELECT note($1::int)";
  await warm(session, sql, [-1]);
  const results = await Promise.all(numbers(20).map((n) => session.rows(sql, [n])));
  assertEquals(results, numbers(20).map((n) => [[n]]));
  assertEquals(
    await session.rows("SELECT n FROM t WHERE n >= 0 ORDER BY n"),
    numbers(20).map((n) => [n]),
  );
  assertEquals(again(engine), 20);
  await session.rows(sql, [20]);
  // It is known now that it does not go well together.
  assertEquals([together(engine), again(engine)], [20, 20]);
});

groupTest("writes and transactions find a session that takes them", async (session) => {
  await session.execute("CREATE TABLE t (n int)");
  await warm(session, "SELECT count(*) FROM t", []);
  const count = async () =>
    await Promise.all(numbers(3).map(() => session.rows("SELECT count(*) FROM t")));
  const seen: number[] = [];
  for (let i = 0; i < 3; i++) {
    await count();
    await session.execute("INSERT INTO t VALUES (1)");
    await count();
    const transaction = session.begin();
    await transaction.execute("INSERT INTO t VALUES (2)");
    await transaction.commit();
    await count();
    await session.batch([{ sql: "INSERT INTO t VALUES (3)" }], { idempotencyKey: `key ${i}` });
    seen.push((await count())[0]![0]![0] as number);
  }
  assertEquals(seen, [3, 6, 9]);
});

groupTest(
  "one that is not short after all holds nobody up for long, and is run by itself",
  async (session, engine) => {
    const sql = "SELECT $1::int, pg_sleep($2)";
    await warmUp({ session, engine }, sql, [0, 0]);
    const ended: number[] = [];
    const ask = async (n: number, seconds: number) => {
      const [row] = await session.rows(sql, [n, seconds]);
      ended.push(row![0] as number);
    };
    await Promise.all(numbers(8).map((n) => ask(n, n === 2 ? 2 : 0)));
    assertEquals(ended.toSorted(), numbers(8));
    assertEquals([ended.at(-1), again(engine) >= 1], [2, true]);
  },
  { connectionsMax: 2, shortMsMax: 200 },
);

groupTest("a deadline and a cancel end the query that they are for", async (session, engine) => {
  const sql = "SELECT $1::int, pg_sleep($2)";
  await warmUp({ session, engine }, sql, [0, 0]);
  const before = together(engine);
  const late = session.execute(sql, { params: [0, 30], deadlineMs: 100 });
  // It begins again where the deadline of the other one ends both.
  const timers: ReturnType<typeof setTimeout>[] = [];
  const cancelled = session.execute(sql, {
    params: [1, 30],
    onStart: (execution) => timers.push(setTimeout(() => execution.cancel(), 100)),
  });
  const others = numbers(5).map((n) => session.execute(sql, { params: [n, 0] }));
  assertEquals(await errorName(late), "deadline_exceeded");
  assertEquals(await errorName(cancelled), "cancelled");
  timers.forEach(clearTimeout);
  assertEquals((await Promise.all(others)).map(({ rows }) => rows[0]![0]), numbers(5));
  assert(together(engine) > before);
  await until("nothing runs", () => engine.status().running === 0);
}, { shortMsMax: 200 });

groupTest(
  "a result that has become large comes whole, and so do those behind it",
  async (session, engine) => {
    const sql = "SELECT i, repeat('x', 100) FROM generate_series(1, $1::int) i";
    await warm(session, sql, [1]);
    const counts = [1, 50_000, 2, 0, 300, 3];
    const results = await Promise.all(counts.map((n) => session.rows(sql, [n])));
    assertEquals(results.map((rows) => rows.length), counts);
    assertEquals(results[1]!.at(-1), [50_000, "x".repeat(100)]);
    assert(again(engine) >= 2);
  },
);

groupTest("a query that ends while it waits is not run", async (session, engine) => {
  const sql = "SELECT set_config('own.name', $1, false)";
  await session.execute(sql, { params: ["first"] });
  const transaction = session.begin();
  await transaction.begun;
  const other = session.execute(sql, { params: ["other"] });
  const late = session.execute(sql, { params: ["late"], deadlineMs: 50 });
  assertEquals([together(engine), engine.status().queued], [2, 2]);
  assertEquals(await errorName(late), "deadline_exceeded");
  await transaction.rollback();
  assertEquals((await other).rows, [["other"]]);
  const now = session.begin();
  assertEquals(await now.rows("SELECT current_setting('own.name')"), [["other"]]);
  await now.commit();
});

groupTest("an error is that of its query alone", async (session) => {
  const sql = "SELECT 12 / $1::int";
  await warm(session, sql, [1]);
  const results = await Promise.all(
    numbers(4).map((n) => n === 0 ? errorName(session.rows(sql, [n])) : session.rows(sql, [n])),
  );
  assertEquals(results, ["value_error", [[12]], [[6]], [[4]]]);
});

groupTest(
  "queries whose connection the server ends are run again",
  async (session, engine, server) => {
    const reader = new AskedSession(engine, "reader", ["read"]);
    const sql = "SELECT $1::int, pg_advisory_xact_lock_shared(1)::text";
    for (const each of [session, reader]) await warm(each, sql, [0]);
    const superuser = server.connect("own");
    await superuser.unsafe("SELECT pg_advisory_lock(1)");
    const blocked = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
    const results: Promise<string | undefined>[] = [];
    for (const each of [session, reader]) {
      results.push(...numbers(3).map((n) => errorName(each.rows(sql, [n]))));
      await until("it waits", async () => (await superuser.unsafe(blocked)).length > 0);
      if (each === session) assertEquals(engine.status().queued, 0);
      await superuser.unsafe(`SELECT pg_terminate_backend(pid) FROM (${blocked}) waiting`);
    }
    await superuser.unsafe("SELECT pg_advisory_unlock(1)");
    await superuser.end();
    assertEquals(await Promise.all(results), Array(6).fill(undefined));
    assertEquals([together(engine), again(engine)], [6, 6]);
  },
  { shortMsMax: 60_000 },
);

groupTest(
  "the schema changes, and what was prepared before is prepared anew",
  async (session, _engine, server) => {
    await session.execute("CREATE TABLE t (a int)");
    await session.execute("INSERT INTO t VALUES (1)");
    await warm(session, "SELECT * FROM t", []);
    const ask = async () =>
      await Promise.all(numbers(5).map(() => session.rows("SELECT * FROM t")));
    assertEquals(await ask(), Array(5).fill([[1]]));
    const superuser = server.connect("own");
    await superuser.unsafe("ALTER TABLE t ADD b text DEFAULT 'new'");
    await superuser.end();
    assertEquals(await ask(), Array(5).fill([[1, "new"]]));
  },
);
