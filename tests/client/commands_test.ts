// Transactions, batches, prepared statements and keys of a client, over sockets, against SQLite.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Client, SqpError } from "../../src/client/mod.ts";
import { LiveServer, liveTest, pause, until } from "../harness/live_server.ts";

/** The name of the error that a promise is rejected with. */
async function errorName(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, SqpError)).codeName;
}

const count = async (client: Client) =>
  (await client.execute("select count(*) from t")).rows[0]![0];

liveTest("a client's commands over UDP", async (context) => {
  await using server = await LiveServer.start({ transactionIdleMs: 300 });
  await using client = await server.connect();
  await using other = await server.connect();
  const step = (name: string, fn: () => Promise<void>) =>
    context.step(name, async () => {
      await client.execute("drop table if exists t");
      await client.execute("create table t (id integer primary key, a)");
      await fn();
    });

  await step(
    "a transaction is committed when its function ends, rolled back when it throws",
    async () => {
      const ids = await client.transaction(async (tx) => {
        await tx.execute("insert into t (a) values (?)", ["x"]);
        const { rows } = await tx.execute("insert into t (a) values (:a) returning id", { a: "y" });
        assertEquals(await count(other), 0);
        return rows;
      });
      assertEquals([ids, await count(other)], [[[2]], 2]);
      const thrown = new Error("no");
      const failing = client.transaction(async (tx) => {
        await tx.execute("delete from t");
        throw thrown;
      });
      assertEquals(await failing.catch((error) => error), thrown);
      assertEquals(await count(other), 2);
    },
  );

  await step(
    "a whole transaction goes out at once, and nothing is committed after a failure",
    async () => {
      const answers: number[] = [];
      await client.transaction((tx) => {
        for (let i = 0; i < 20; i++) {
          tx.execute("insert into t (id) values (?)", [i]).then(() => answers.push(i));
        }
        return Promise.resolve();
      });
      assertEquals([answers, await count(client)], [[...Array(20).keys()], 20]);
      const failing = client.transaction((tx) => {
        tx.execute("insert into t (id) values (100)").catch(() => {});
        tx.execute("insert into t (id) values (7)").catch(() => {});
        tx.execute("insert into t (id) values (101)").catch(() => {});
        return Promise.resolve();
      });
      assertEquals(await errorName(failing), "transaction_failed");
      const unsendable = client.transaction((tx) => {
        tx.execute("insert into t (id) values (102)").catch(() => {});
        tx.execute("insert into t (id) values (?)", ["\ud800"]).catch(() => {});
        return Promise.resolve();
      });
      assertEquals(await errorName(unsendable), "transaction_failed");
      assertEquals(await count(client), 20);
    },
  );

  await step("a savepoint makes good what fails in it", async () => {
    await client.transaction(async (tx) => {
      await tx.execute("insert into t (id) values (1)");
      const failing = tx.savepoint(async () => {
        await tx.execute("insert into t (id) values (2)");
        await tx.execute("insert into t (id) values (1)");
      });
      assertEquals(await errorName(failing), "constraint_unique");
      await tx.savepoint(() => tx.execute("insert into t (id) values (3)"));
    });
    assertEquals((await client.execute("select id from t")).rows, [[1], [3]]);
  });

  await step("a transaction that is idle is rolled back, and says so", async () => {
    const transaction = client.begin();
    await transaction.execute("insert into t (id) values (1)");
    await pause(450);
    const late = transaction.execute("insert into t (id) values (2)");
    assertEquals(await errorName(late), "transaction_idle");
    assertEquals(await errorName(transaction.commit()), "transaction_idle");
    await other.execute("insert into t (id) values (3)");
    assertEquals((await client.execute("select id from t")).rows, [[3]]);
  });

  await step("a client that is gone leaves nothing of its transaction", async () => {
    const gone = await server.connect();
    const transaction = gone.begin();
    await transaction.execute("insert into t (id) values (1)");
    await gone.close();
    await other.execute("insert into t (id) values (2)");
    assertEquals((await client.execute("select id from t")).rows, [[2]]);
  });

  await step("rows stream in a transaction, and one that is left early fails it", async () => {
    const series = "with recursive c(i) as (select 1 union all select i + 1 from c limit 50000)" +
      " select i, 'some text of a row' from c";
    await client.transaction(async (tx) => {
      let rows = 0;
      for await (const _ of tx.stream(series)) rows++;
      assertEquals(rows, 50_000);
    }, { readOnly: true });
    await using left = client.begin();
    for await (const _ of left.stream(series)) break;
    const name = await errorName(left.execute("select 1"));
    assert(["transaction_failed", "transaction_rolled_back"].includes(name), name);
  });

  await step("a batch is one transaction, its steps depend on each other", async () => {
    const batch = [
      "insert into t (id, a) values (1, 5)",
      { sql: "update t set a = a - 1 where id = :id and a > 0", params: { id: 1 } },
      { sql: "insert into t (id) values (2)", if: [{ step: 1, is: "changed" }] },
      { sql: "insert into t (id) values (3)", if: [{ step: 1, is: "unchanged" }] },
      { sql: "insert into t (id) values (1)", mayFail: true },
      "select id, a from t",
    ] as const;
    const [, update, , skipped, failed, select] = await client.batch(batch);
    assertEquals(update, { columns: [], rows: [], changes: 1, lastInsertRowid: null });
    assertEquals(skipped, null);
    assert(failed instanceof SqpError && failed.codeName === "constraint_unique");
    assert(select !== null && !(select instanceof SqpError));
    assertEquals(select!.rows, [[1, 4], [2, null]]);
    const failing = await assertRejects(
      () => client.batch(["insert into t (id) values (9)", "insert into t (id) values (1)"]),
      SqpError,
    );
    assertEquals([failing.codeName, failing.step], ["constraint_unique", 1]);
    assertEquals(await count(client), 2);
  });

  await step(
    "a prepared statement runs by its number, alone, in batches and transactions",
    async () => {
      await using insert = await client.prepare("insert into t (id, a) values (:id, :a)");
      assertEquals(insert.parameters, [{ name: "id", type: null }, { name: "a", type: null }]);
      const select = await client.prepare("select id, a as b from t where id = ?");
      assertEquals(select.columns[1], {
        name: "b",
        declaredType: null,
        origin: { schema: "main", table: "t", column: "a" },
      });
      await insert.execute({ id: 1, a: "x" });
      await client.batch([{ sql: insert, params: { id: 2, a: "y" } }]);
      await client.transaction((tx) => tx.execute(insert, { id: 3, a: "z" }));
      const rows = [];
      for (const id of [1, 2, 3]) rows.push(...(await select.execute([id])).rows);
      assertEquals(rows, [[1, "x"], [2, "y"], [3, "z"]]);
      assertEquals((await client.status()).statements, 2);
      await select.close();
      assertEquals(await errorName(select.execute([1])), "unknown_statement");
      assertEquals(await errorName(client.prepare("selec 1")), "syntax");
      assertEquals((await client.status()).statements, 1);
    },
  );

  await step("a write with a key is the same one in another session", async () => {
    const sql = "insert into t (a) values (?) returning id, a";
    const options = { idempotencyKey: "order 1" };
    const first = await client.execute(sql, ["x"], options);
    const again = await other.execute(sql, ["x"], options);
    assertEquals(again, first);
    assertEquals(await errorName(other.execute(sql, ["y"], options)), "idempotency_mismatch");
    const key = { idempotencyKey: "order 2" };
    const batches = await Promise.all(
      [client, other, client].map((one) => one.batch([{ sql, params: ["z"] }], key)),
    );
    assertEquals([batches[1], batches[2]], [batches[0], batches[0]]);
    assertEquals(await count(client), 2);
  });

  await step("the status is the session's own, and the server's for an administrator", async () => {
    const transaction = client.begin();
    await transaction.begun;
    const status = await client.status();
    assertEquals([status.engine, status.transactions, status.server], ["sqlite", 1, undefined]);
    await transaction.rollback();
    assertEquals((await client.status()).transactions, 0);
  });

  await step("columns tell where they come from, if asked", async () => {
    const plain = await client.execute("select a from t");
    assertEquals(plain.columns, [{ name: "a", declaredType: null }]);
    const { columns } = await client.execute("select a from t", [], { origins: true });
    assertEquals(columns[0]!.origin, { schema: "main", table: "t", column: "a" });
  });

  await step("the engine's own tables are nobody's business", async () => {
    for (
      const sql of [
        "select * from sqp_outcomes",
        "delete from sqp_outcomes",
        "create table sqp_x (a)",
      ]
    ) {
      assertEquals(await errorName(client.execute(sql)), "statement_not_allowed");
    }
  });

  await until("nothing runs any more", () => server.server.engineStatus.running === 0);
});
