// The pool of a login's connections, where the machine has PostgreSQL.

import { assertEquals, assertRejects } from "@std/assert";
import type { PostgresConnection } from "../../src/query/postgres/connection.ts";
import { ConnectionPool } from "../../src/query/postgres/connection_pool.ts";
import { parseLogin } from "../../src/query/postgres/login.ts";
import { withOwn } from "../../src/query/postgres/own_connection.ts";
import { POSTGRES_LIMITS, type PostgresLimits } from "../../src/query/postgres/settings.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";

const why = whyNoPostgres();

/** How a connection is asked for. */
type Lend = (isTransaction?: boolean) => Promise<PostgresConnection>;

/** A test with a pool of a database server of its own. */
function poolTest(
  name: string,
  limits: Partial<PostgresLimits>,
  fn: (pool: ConnectionPool, lent: Lend, server: PostgresServer) => Promise<void>,
): void {
  Deno.test({
    name: `${name}${why === undefined ? "" : ` (${why})`}`,
    ignore: why !== undefined,
    async fn() {
      await using server = await PostgresServer.start();
      await server.makeDatabase("pooled");
      const login = parseLogin(server.url("pooled"));
      const pool = new ConnectionPool(login, { ...POSTGRES_LIMITS, ...limits }, () => 0);
      const lent: Lend = (isTransaction = false) =>
        new Promise((onConnection, onError) =>
          pool.request({ principal: "", isTransaction, onConnection, onError })
        );
      await fn(pool, lent, server);
      await pool.close();
    },
  });
}

poolTest(
  "who waits is served after a failed attempt, though every other connection stays lent out",
  {},
  async (pool, lent, server) => {
    const kept = await lent();
    const admin = server.connect("postgres");
    await admin.unsafe("ALTER DATABASE pooled ALLOW_CONNECTIONS false");
    const waiting = lent();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await admin.unsafe("ALTER DATABASE pooled ALLOW_CONNECTIONS true");
    await admin.end();
    const second = await waiting;
    assertEquals(await second.values("SELECT 1"), [["1"]]);
    for (const connection of [kept, second]) pool.release(connection, 0);
  },
);

poolTest(
  "what the engine asks for itself ends in time, though nothing answers",
  {},
  async (pool) => {
    const asked = withOwn({ pool, msMax: 200 }, (one) => one.values("SELECT pg_sleep(60)"));
    await assertRejects(() => asked);
    const answered = withOwn({ pool, msMax: 5_000 }, (one) => one.values("SELECT 1"));
    assertEquals(await answered, [["1"]]);
  },
);

poolTest(
  "transactions leave connections to single commands, and wait for one another",
  { connectionsMax: 3, transactionsMax: 2 },
  async (pool, lent) => {
    const first = await lent(true);
    const second = await lent(true);
    let hasThird = false;
    const third = lent(true).then((connection) => {
      hasThird = true;
      return connection;
    });
    for (let command = 0; command < 3; command++) {
      const single = await lent();
      assertEquals(await single.values("SELECT 1"), [["1"]]);
      pool.release(single, 0);
    }
    assertEquals([hasThird, pool.size], [false, 3]);
    pool.release(first, 0);
    const last = await third;
    const waiting = lent(true);
    const closed = pool.close();
    await assertRejects(() => waiting);
    for (const connection of [second, last]) pool.release(connection, 0);
    await closed;
  },
);
