// The connections of the PostgreSQL engine, where the machine has PostgreSQL.

import { assertEquals } from "@std/assert";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { ask } from "./query_harness.ts";

const why = whyNoPostgres();

Deno.test({
  name: "PostgreSQL: who waits for a connection is served when another one may be opened" +
    (why === undefined ? "" : ` (not here: ${why})`),
  ignore: why !== undefined,
  async fn() {
    await using server = await PostgresServer.start();
    await server.makeDatabase("own");
    const superuser = server.connect("own");
    const limit = (count: number) =>
      superuser.unsafe(`ALTER ROLE sqp_read CONNECTION LIMIT ${count}`);
    await limit(1);
    const engine = await openPostgresEngine({ url: server.url("own"), limits: { retryMs: 300 } });
    try {
      const ended: string[] = [];
      const permissions = ["read"] as const;
      const long = ask(engine, "SELECT pg_sleep(2)", { permissions }).then(() =>
        ended.push("long")
      );
      const short = ask(engine, "SELECT 1", { permissions }).then(() => ended.push("short"));
      await server.backends("sqp_read");
      await limit(-1);
      await Promise.all([long, short]);
      assertEquals(ended, ["short", "long"]);
    } finally {
      await engine.close();
      await superuser.end();
    }
  },
});
