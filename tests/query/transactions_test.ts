// Transactions, batches, prepared statements and keys on SQLite: the suite, and what concerns its processes.

import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
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
