// The connections of the PostgreSQL engine, where the machine has PostgreSQL.

import { assertEquals } from "@std/assert";
import { PostgresConnection } from "../../src/query/postgres/connection.ts";
import { parseLogin } from "../../src/query/postgres/login.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { POSTGRES_LIMITS } from "../../src/query/postgres/settings.ts";
import { pause, until } from "../harness/live_server.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { ask, errorName } from "./query_harness.ts";

const why = whyNoPostgres();

/** A test with a database server of its own. */
function connectionTest(name: string, fn: (server: PostgresServer) => Promise<void>): void {
  Deno.test({
    name: `PostgreSQL: ${name}${why === undefined ? "" : ` (not here: ${why})`}`,
    ignore: why !== undefined,
    async fn() {
      await using server = await PostgresServer.start();
      await server.makeDatabase("own");
      await fn(server);
    },
  });
}

connectionTest("who waits is served when another connection may be opened", async (server) => {
  const superuser = server.connect("own");
  const limit = (count: number) =>
    superuser.unsafe(`ALTER ROLE sqp_read CONNECTION LIMIT ${count}`);
  await limit(1);
  const engine = await openPostgresEngine({ url: server.url("own"), limits: { retryMs: 300 } });
  try {
    const ended: string[] = [];
    const permissions = ["read"] as const;
    const long = ask(engine, "SELECT pg_sleep(2)", { permissions }).then(() => ended.push("long"));
    // Two that log in at once would both be refused.
    await until("it runs", async () => (await server.backends("sqp_read")).length === 1);
    const short = ask(engine, "SELECT 1", { permissions }).then(() => ended.push("short"));
    await pause(150);
    await limit(-1);
    await Promise.all([long, short]);
    assertEquals(ended, ["short", "long"]);
  } finally {
    await engine.close();
    await superuser.end();
  }
});

connectionTest(
  "what is cancelled while its session changes its mode is cancelled",
  async (server) => {
    const connection = await PostgresConnection.open(
      parseLogin(server.url("own")),
      POSTGRES_LIMITS,
    );
    const show = async () => (await connection.values("SHOW default_transaction_read_only"))[0]![0];
    for (const readsOnly of [true, false]) {
      connection.setReadsOnly(readsOnly);
      const sleep = { sql: "SELECT pg_sleep(60)", parameters: [], prepare: true };
      const slept = errorName(
        connection.run(sleep, { onRow() {}, onBatch: () => Promise.resolve(1) }),
      );
      connection.abort();
      assertEquals(await slept, "deadline_exceeded");
      assertEquals(await show(), readsOnly ? "on" : "off");
    }
    await connection.close();
  },
);

connectionTest("every statement of a connection that is lost ends", async (server) => {
  const connection = await PostgresConnection.open(parseLogin(server.url("own")), POSTGRES_LIMITS);
  const errors: string[] = [];
  const note = (statement: Promise<unknown>) =>
    void errorName(statement).then((name) => errors.push(name));
  // The driver sends nothing behind a cursor.
  const sleep = { sql: "SELECT pg_sleep(60)", parameters: [], prepare: true, cursorRows: 1 };
  note(connection.run(sleep, { onRow() {}, onBatch: () => Promise.resolve(1) }));
  for (let i = 0; i < 3; i++) note(connection.values("SELECT 1"));
  await until("it runs", async () => (await server.backends("sqp")).length === 1);
  await server.terminate("sqp");
  await until("all have ended", () => errors.length === 4);
  await until("it is lost", () => !connection.isOpen);
  for (let i = 0; i < 3; i++) note(connection.values("SELECT 1"));
  await until("all have ended", () => errors.length === 7);
  assertEquals(errors, Array(7).fill("engine_not_run"));
});
