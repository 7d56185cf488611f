// What is done differently where a database is spread over several servers, on one that looks as if it were.

import { assert, assertEquals } from "@std/assert";
import type { Engine, Permission } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { AskedSession } from "./asked_session.ts";
import { postgresTests } from "./postgres_harness.ts";
import { ask, errorName } from "./query_harness.ts";

const postgresTest = postgresTests();

/** One connection, so that whatever comes next has the one of before. */
const ONE = { connectionsMax: 1 };

/** The process that answers a principal. */
async function processOf(engine: Engine, principal: string): Promise<unknown> {
  return (await ask(engine, "SELECT pg_backend_pid()", { principal })).rows[0]![0];
}

for (const isDistributed of [false, true]) {
  const what = isDistributed ? "closed where a reset does not reach all of it" : "reset and kept";
  postgresTest(`before another principal gets a session it is ${what}`, async (engine, server) => {
    if (isDistributed) await server.distribute("own");
    const first = await processOf(engine, "a");
    assertEquals(await processOf(engine, "a"), first);
    assertEquals(await processOf(engine, "b") !== first, isDistributed);
  }, ONE);
}

for (
  const [who, permissions, isTogether] of [
    ["cannot write", ["read"], true],
    ["could write, which other servers would not refuse, do not", ["read", "write"], false],
  ] as const satisfies readonly [string, readonly Permission[], boolean][]
) {
  postgresTest(
    `short queries of several servers run together: those of who ${who}`,
    async (engine, server) => {
      await server.distribute("own");
      const session = new AskedSession(engine, "reader", permissions);
      const rows = () => session.rows("SELECT 1");
      await rows();
      const all = await Promise.all(Array.from({ length: 20 }, rows));
      assertEquals(all, Array.from({ length: 20 }, () => [[1]]));
      assertEquals((engine.status().counters["together"] ?? 0) > 0, isTogether);
    },
    { ...ONE, shortMsMax: 60_000, togetherMsMax: 60_000 },
  );
}

for (
  const [where, isDistributed, name] of [
    ["one server was not committed", false, "engine_failure"],
    ["several servers may have been committed by one of them", true, "outcome_unknown"],
  ] as const
) {
  postgresTest(`what fails inside of COMMIT on ${where}`, async (engine, server) => {
    if (isDistributed) await server.distribute("own");
    await ask(engine, "CREATE TABLE t (a int)");
    await ask(
      engine,
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE 'could not commit' USING ERRCODE = 'XX000'; END $$`,
    );
    await ask(
      engine,
      `CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION fail()`,
    );
    const transaction = new AskedSession(engine).begin();
    transaction.execute("INSERT INTO t VALUES (1)");
    assertEquals(await errorName(transaction.commit()), name);
  });
}

/** Has the server of a database refuse to make anything in it, as those of shards do. */
const REFUSE_SCHEMA_CHANGES = `
  CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'operation is not allowed on this node'; END $$;
  CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()`;

postgresTest("outcomes are known to all servers, also to those that make no tables", async (
  engine,
  server,
) => {
  await ask(engine, "CREATE TABLE t (a int)");
  await server.distribute("own");
  const write = (on: Engine, permissions: readonly Permission[]) =>
    ask(on, "INSERT INTO t VALUES (1)", { permissions, idempotencyKey: permissions.join() });
  const writers = [["read", "write"], ["read", "write", "schema"]] as const;
  for (const permissions of writers) await write(engine, permissions);
  const superuser = server.connect("own");
  const known =
    await superuser`SELECT logicalrelid::text AS name FROM pg_dist_partition ORDER BY 1`;
  assertEquals(known.map(({ name }) => name), ["sqp_engine.outcomes", "sqp_engine.secret"]);
  await superuser.unsafe(REFUSE_SCHEMA_CHANGES);
  const other = await openPostgresEngine({ url: server.url("own") });
  try {
    for (const permissions of writers) {
      assertEquals((await write(other, permissions)).end.changes, 1);
    }
    const { rows } = await ask(other, "SELECT count(*)::int FROM t");
    assertEquals(rows, [[writers.length]]);
    // Where it has to make something, it cannot.
    await assertRefused(write(other, ["write"]));
  } finally {
    await other.close();
    await superuser.end();
  }
});

async function assertRefused(write: Promise<unknown>): Promise<void> {
  const [result] = await Promise.allSettled([write]);
  assert(result!.status === "rejected");
  assertEquals(result.reason.message, "operation is not allowed on this node");
}
