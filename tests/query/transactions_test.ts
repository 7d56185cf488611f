// Transactions, batches, prepared statements and keys: the suite on each engine.

import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { CANNOT_RUN_PROCESSES } from "./query_harness.ts";
import { TRANSACTION_STEPS } from "./transaction_suite.ts";

Deno.test({
  name: "transactions, batches and keys on SQLite",
  ignore: CANNOT_RUN_PROCESSES,
  async fn(context) {
    const engine = await openSqliteEngine({ database: ":memory:" });
    try {
      for (const { title, run } of TRANSACTION_STEPS) await context.step(title, () => run(engine));
    } finally {
      await engine.close();
    }
  },
});

const why = whyNoPostgres();

Deno.test({
  name: "transactions, batches and keys on PostgreSQL" +
    (why === undefined ? "" : ` (not here: ${why})`),
  ignore: why !== undefined,
  async fn(context) {
    await using server = await PostgresServer.start();
    await server.makeDatabase("suite");
    const limits = { killAfterMs: 5_000 };
    const engine = await openPostgresEngine({ url: server.url("suite"), limits });
    try {
      for (const { title, run } of TRANSACTION_STEPS) await context.step(title, () => run(engine));
    } finally {
      await engine.close();
    }
  },
});
