// The engine suite on SQLite, and on PostgreSQL where the machine has it.

import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { testEngine } from "./engine_suite.ts";
import { CANNOT_RUN_PROCESSES } from "./query_harness.ts";

testEngine({
  name: "SQLite",
  ignore: CANNOT_RUN_PROCESSES ? "a permission is missing" : undefined,
  open: (pool = {}) => openSqliteEngine({ database: ":memory:", pool }),
  dialect: {
    parameter: (n) => `?${n}`,
    series: (count, columns = "i") =>
      `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${count}) SELECT ${columns} FROM c`,
    letters: (count) => `replace(hex(zeroblob(${count})), '00', 'x')`,
    types: {
      key: "INTEGER PRIMARY KEY",
      int: "INTEGER",
      float: "REAL",
      text: "TEXT",
      bytes: "BLOB",
    },
    slowRows: `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c)
      SELECT i, (WITH RECURSIVE d(j) AS (SELECT i UNION ALL SELECT j + 1 FROM d LIMIT 300000)
        SELECT count(*) FROM d) FROM c`,
    floats: [0, 0.5, 3, 1e300, 5e-324, Infinity, -Infinity],
  },
});

const why = whyNoPostgres();
let server: PostgresServer | undefined;
if (why === undefined) {
  Deno.test.beforeAll(async () => void (server = await PostgresServer.start()));
  Deno.test.afterAll(async () => await server?.[Symbol.asyncDispose]());
}

testEngine({
  name: "PostgreSQL",
  ignore: why,
  async open(limits = {}) {
    await server!.makeDatabase("suite");
    return await openPostgresEngine({ url: server!.url("suite"), limits });
  },
  dialect: {
    parameter: (n) => `$${n}`,
    series: (count, columns = "i") => `SELECT ${columns} FROM generate_series(1, ${count}) AS i`,
    letters: (count) => `repeat('x', ${count})`,
    types: {
      key: "serial PRIMARY KEY",
      int: "bigint",
      float: "double precision",
      text: "text",
      bytes: "bytea",
    },
    slowRows: "SELECT i, pg_sleep(0.06) FROM generate_series(1, 100000) AS i",
    floats: [0, -0, 0.5, 3, 1e300, 5e-324, 0.1 + 0.2, Infinity, -Infinity, NaN],
  },
});
