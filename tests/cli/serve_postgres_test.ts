// `serve` in front of PostgreSQL, as its task runs it, asked over the protocol.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect, SqpError } from "../../src/client/mod.ts";
import { CAN_RUN_LIVE, TemporaryFolder } from "../harness/live_server.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { runTask, ServerProcess } from "../harness/server_process.ts";

const why = whyNoPostgres() ?? (CAN_RUN_LIVE ? undefined : "a permission is missing");

Deno.test({
  name: `serve asks PostgreSQL${why === undefined ? "" : ` (not here: ${why})`}`,
  ignore: why !== undefined,
  async fn() {
    await using postgres = await PostgresServer.start();
    await postgres.makeDatabase("served");
    await using folder = new TemporaryFolder();
    const certs = `${folder.path}/certs`;
    const database = postgres.url("served");
    await using server = await ServerProcess.start(["--certs", certs, "--database", database]);
    const read = (name: string) => Deno.readTextFileSync(`${certs}/${name}`);
    const options = { ca: read("ca.pem"), cert: read("client.pem"), key: read("client.key") };
    {
      await using client = await connect(server.url, options);
      await client.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, a numeric(10, 2), at timestamptz)",
      );
      const at = new Date(0);
      const inserted = await client.execute(
        "INSERT INTO t VALUES ($1, $2, $3) RETURNING id",
        [2n ** 53n + 1n, "12.50", at],
      );
      assertEquals([inserted.rows, inserted.changes], [[[2n ** 53n + 1n]], 1]);
      const { rows, columns } = await client.execute("SELECT a, at FROM t");
      assertEquals(rows, [["12.50", at]]);
      assertEquals(columns[0]!.declaredType, "numeric(10,2)");
      let count = 0;
      for await (const [i] of client.stream("SELECT i FROM generate_series(1, 100000) i")) {
        assertEquals(i, ++count);
      }
      assertEquals(count, 100_000);
      const endless = "SELECT count(*) FROM generate_series(1, 1000000000000)";
      const late = await assertRejects(
        () => client.execute(endless, [], { timeoutMs: 200 }),
        SqpError,
      );
      assertEquals(late.codeName, "deadline_exceeded");
      const [taken] = await client.batch([
        { sql: "UPDATE t SET a = a - 1 WHERE a > 100" },
        { sql: "DELETE FROM t", if: [{ step: 0, is: "changed" }] },
      ], { idempotencyKey: "once" });
      assert(taken instanceof SqpError === false && taken?.changes === 0);
      await client.transaction(async (transaction) => {
        transaction.execute("UPDATE t SET a = 7");
        assertEquals((await transaction.execute("SELECT a FROM t")).rows, [["7.00"]]);
      });
      const prepared = await client.prepare("SELECT a FROM t WHERE id > $1");
      assertEquals((await prepared.execute([1])).rows, [["7.00"]]);
      const twice = await assertRejects(
        () => client.execute("INSERT INTO t SELECT * FROM t"),
        SqpError,
      );
      assertEquals([twice.codeName, twice.engine?.code], ["constraint_unique", "23505"]);
    }
    server.signal("SIGTERM");
    assertEquals((await server.ended()).code, 0);
    assert(server.stderr.includes(`postgres://sqp@127.0.0.1:${postgres.port}/served`));
    assert(!server.stderr.includes("secret"), server.stderr);
    const missing = ["--certs", certs, "--database", database.replace("/served", "/missing")];
    const { code, stderr } = await runTask("serve", ["--listen", "127.0.0.1:0", ...missing]);
    assertEquals(code, 1);
    assert(stderr.includes("missing") && !stderr.includes("secret"), stderr);
  },
});
