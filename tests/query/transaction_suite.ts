// What every engine promises of transactions, batches, prepared statements and keys, as tests that run against each.

import { assert, assertEquals } from "@std/assert";
import type {
  BatchStatement,
  Engine,
  EngineSession,
  EngineTransaction,
} from "../../src/query/engine.ts";
import { decodeBatchResponse, type StepResult } from "../../src/wire/batch_payload.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { decodeRowPage } from "../../src/wire/row_page.ts";
import { NO_PARAMS } from "../../src/wire/statement_source.ts";
import { ALL, ask, askIn, errorName, replied } from "./query_harness.ts";

/** An engine with a table `t (id, a)`, and a session of it. */
interface Subject {
  readonly engine: Engine;
  readonly session: EngineSession;
}

/** A test of the suite. */
export interface TransactionStep {
  readonly title: string;
  run(engine: Engine): Promise<void>;
}

const STEPS: TransactionStep[] = [];

/** Whose sessions the test that runs opens: no key of an earlier test is its own. */
let principal = "";

/** The tests. One engine serves them all, one after the other. */
export const TRANSACTION_STEPS: readonly TransactionStep[] = STEPS;

function step(title: string, test: (subject: Subject) => Promise<void>): void {
  STEPS.push({
    title,
    async run(engine) {
      principal = title;
      for (const table of ["t", "u"]) await ask(engine, `DROP TABLE IF EXISTS ${table}`);
      await ask(engine, "CREATE TABLE t (id int PRIMARY KEY, a int)");
      const session = openSession(engine);
      await test({ engine, session });
      session.close();
    },
  });
}

function openSession(engine: Engine, of = principal): EngineSession {
  return engine.open({ principal: of, permissions: new Set(ALL) });
}

/** A transaction, and the promise that it has begun. */
function begin(session: EngineSession, readOnly = false): [EngineTransaction, Promise<void>] {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // A test may look at it late or not at all.
  promise.catch(() => {});
  return [session.begin({ readOnly }, { onEnd: resolve, onError: reject }), promise];
}

const insert = (id: number, a = id) => `INSERT INTO t (id, a) VALUES (${id}, ${a})`;
const commit = (transaction: EngineTransaction) =>
  replied<void>((reply) => transaction.commit(reply));
const rollback = (transaction: EngineTransaction) =>
  replied<void>((reply) => transaction.rollback(reply));

/** The numbers in the table, as others see it. */
async function ids(engine: Engine): Promise<unknown[]> {
  return (await ask(engine, "SELECT id FROM t ORDER BY id")).rows.map(([id]) => id);
}

function statement(sql: string, more: Partial<BatchStatement> = {}): BatchStatement {
  return { sql, params: NO_PARAMS, conditions: [], mayFail: false, ...more };
}

/** What came of the steps of a batch: rows, a number of changes, the name of an error, or null. */
async function batch(
  scope: EngineTransaction | EngineSession,
  steps: readonly BatchStatement[],
  key?: string,
): Promise<unknown[]> {
  const command = { steps, ...(key !== undefined && { idempotencyKey: key }) };
  const { payload } = await replied<{ payload: Uint8Array }>((reply) =>
    scope.batch(command, reply)
  );
  return decodeBatchResponse(payload).map(inShort);
}

function inShort(result: StepResult): unknown {
  if (result === null) return null;
  if (result.kind === "error") return result.error.name;
  if (result.columns.length === 0) return result.changes;
  return decodeRowPage(result.page, result.columns.length);
}

step("a transaction is seen by itself at once, and by others as a whole", async (subject) => {
  const { engine, session } = subject;
  const [transaction, begun] = begin(session);
  await begun;
  await askIn(transaction, insert(1));
  await askIn(transaction, insert(2));
  assertEquals((await askIn(transaction, "SELECT count(*) FROM t")).rows, [[2]]);
  assertEquals(await ids(engine), []);
  await commit(transaction);
  assertEquals(await ids(engine), [1, 2]);
  assertEquals(await errorName(askIn(transaction, insert(3))), "unknown_transaction");
  const [second] = begin(session);
  await askIn(second, insert(4));
  await rollback(second);
  assertEquals(await ids(engine), [1, 2]);
});

step("a whole transaction may be given at once, its begin not yet answered", async (subject) => {
  const { engine, session } = subject;
  const [transaction, begun] = begin(session);
  const answers = [
    begun,
    askIn(transaction, insert(1)),
    askIn(transaction, "UPDATE t SET a = 5 WHERE id = 1"),
    askIn(transaction, "SELECT a FROM t"),
    commit(transaction),
  ] as const;
  const [, , update, select] = await Promise.all(answers);
  assertEquals([update.end.changes, select.rows], [1, [[5]]]);
  assertEquals(await ids(engine), [1]);
});

step("after a failure nothing runs, and a commit rolls back and says so", async (subject) => {
  const { engine, session } = subject;
  const [transaction] = begin(session);
  const names = await Promise.all([
    askIn(transaction, insert(1)).then(() => "ok"),
    errorName(askIn(transaction, insert(1))),
    errorName(askIn(transaction, insert(2))),
    errorName(batch(transaction, [statement(insert(3))])),
    errorName(replied((reply) => transaction.savepoint(1, reply))),
    errorName(commit(transaction)),
  ]);
  const failed = "transaction_failed";
  assertEquals(names, ["ok", "constraint_unique", failed, failed, failed, failed]);
  assertEquals(await ids(engine), []);
  await askIn(session, insert(1));
});

step("a savepoint brings back what was before it, and makes a failure good", async (subject) => {
  const { engine, session } = subject;
  const [transaction] = begin(session);
  const savepoint = (n: number) => replied<void>((reply) => transaction.savepoint(n, reply));
  const rollbackTo = (n: number) => replied<void>((reply) => transaction.rollbackTo(n, reply));
  await askIn(transaction, insert(1));
  await savepoint(7);
  await askIn(transaction, insert(2));
  assertEquals(await errorName(askIn(transaction, insert(2))), "constraint_unique");
  await rollbackTo(7);
  await askIn(transaction, insert(3));
  await rollbackTo(7);
  await askIn(transaction, insert(4));
  await replied<void>((reply) => transaction.release(7, reply));
  assertEquals(await errorName(rollbackTo(7)), "unknown_savepoint");
  assertEquals(await errorName(askIn(transaction, insert(5))), "transaction_failed");
  await rollback(transaction);
  const [second] = begin(session);
  await askIn(second, insert(1));
  await replied<void>((reply) => second.savepoint(1, reply));
  await askIn(second, insert(2));
  await replied<void>((reply) => second.rollbackTo(1, reply));
  await commit(second);
  assertEquals(await ids(engine), [1]);
});

step("a session that is closed rolls back what it has begun, and others go on", async (subject) => {
  const { engine, session } = subject;
  const gone = openSession(engine);
  const [transaction] = begin(gone);
  await askIn(transaction, insert(1));
  const waiting = begin(session);
  const write = askIn(waiting[0], insert(1, 7));
  gone.close();
  await write;
  await commit(waiting[0]);
  assertEquals((await ask(engine, "SELECT id, a FROM t")).rows, [[1, 7]]);
});

step("what is aborted fails with the reason, also what waits", async (subject) => {
  const { engine, session } = subject;
  const [first, begun] = begin(session);
  await begun;
  await askIn(first, insert(1));
  const [second] = begin(session);
  const late = errorName(askIn(second, insert(2)));
  second.abort(new SqpError("transaction_idle"));
  assertEquals(await late, "transaction_idle");
  first.abort(new SqpError("transaction_too_long"));
  assertEquals(await errorName(askIn(first, insert(3))), "transaction_too_long");
  assertEquals(await errorName(commit(first)), "transaction_too_long");
  await ask(engine, insert(4));
  assertEquals(await ids(engine), [4]);
});

step("writes of others wait for a transaction that writes, and are then run", async (subject) => {
  const { engine, session } = subject;
  const [transaction] = begin(session);
  await askIn(transaction, insert(1));
  const others = Array.from({ length: 20 }, (_, i) => ask(engine, insert(10 + i)));
  await askIn(transaction, insert(2));
  await commit(transaction);
  await Promise.all(others);
  assertEquals((await ids(engine)).length, 22);
});

step("transactions of many sessions do not touch each other", async ({ engine, session }) => {
  await askIn(session, insert(0, 0));
  const add = async () => {
    const own = openSession(engine);
    for (let run = 0; run < 5; run++) {
      const [transaction] = begin(own);
      await askIn(transaction, "UPDATE t SET a = a + 1 WHERE id = 0");
      await askIn(transaction, "UPDATE t SET a = a + 1 WHERE id = 0");
      await commit(transaction);
    }
    own.close();
  };
  await Promise.all([add(), add(), add(), add()]);
  assertEquals((await ask(engine, "SELECT a FROM t")).rows, [[40]]);
});

step(
  "a transaction that only reads sees one state, and keeps nobody from writing",
  async (subject) => {
    const { engine, session } = subject;
    await askIn(session, insert(1));
    const [reading, begun] = begin(session, true);
    await begun;
    const count = async () => (await askIn(reading, "SELECT count(*) FROM t")).rows[0]![0];
    assertEquals(await count(), 1);
    await ask(engine, insert(2));
    assertEquals(await count(), 1);
    assertEquals(await ids(engine), [1, 2]);
    assert(await errorName(askIn(reading, insert(3))) !== "transaction_failed");
    assertEquals(await errorName(count()), "transaction_failed");
    await rollback(reading);
    assertEquals(await ids(engine), [1, 2]);
  },
);

step("a command that never ends can be ended, and takes its transaction along", async (subject) => {
  const { engine, session } = subject;
  const endless =
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT count(*) FROM c";
  for (const readOnly of [false, true]) {
    const [transaction] = begin(session, readOnly);
    if (!readOnly) await askIn(transaction, insert(1));
    const name = await errorName(askIn(transaction, endless, { deadlineMs: 100 }));
    assertEquals(name, "deadline_exceeded");
    const after = await errorName(askIn(transaction, "SELECT 1"));
    assert(["transaction_rolled_back", "transaction_failed"].includes(after), after);
    await rollback(transaction).catch(() => {});
    await ask(engine, insert(readOnly ? 3 : 2));
  }
  assertEquals(await ids(engine), [2, 3]);
});

step("a step runs when the one before it has ended, its rows included", async ({ session }) => {
  const [transaction] = begin(session);
  const series =
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000)" +
    " SELECT i, 'some text that makes it long' FROM c";
  const ended: string[] = [];
  const rows = askIn(transaction, series).then(({ rows }) => {
    ended.push("rows");
    return rows.length;
  });
  const write = askIn(transaction, insert(1)).then(() => ended.push("write"));
  assertEquals(await rows, 100_000);
  await write;
  assertEquals(ended, ["rows", "write"]);
  await commit(transaction);
});

step("a batch takes effect as a whole, and its steps by what came before", async (subject) => {
  const { engine, session } = subject;
  const results = await batch(session, [
    statement(insert(1)),
    statement("UPDATE t SET a = 2 WHERE id = 9"),
    statement(insert(2), { conditions: [{ step: 1, is: "changed" }] }),
    statement(insert(3), { conditions: [{ step: 1, is: "unchanged" }, { step: 0, is: "ok" }] }),
    statement(insert(4), { conditions: [{ step: 2, is: "skipped" }] }),
    statement(insert(1), { mayFail: true }),
    statement(insert(5), { conditions: [{ step: 5, is: "failed" }] }),
    statement("SELECT id FROM t WHERE id > 3 ORDER BY id"),
    statement(insert(6), { conditions: [{ step: 7, is: "rows" }] }),
    statement(insert(7), { conditions: [{ step: 7, is: "no_rows" }] }),
  ]);
  assertEquals(results, [1, 0, null, 1, 1, "constraint_unique", 1, [[4], [5]], 1, null]);
  assertEquals(await ids(engine), [1, 3, 4, 5, 6]);
});

step("a batch whose step fails leaves nothing, and says which step it was", async (subject) => {
  const { engine, session } = subject;
  try {
    await batch(session, [statement(insert(1)), statement(insert(1)), statement(insert(2))]);
    throw new Error("the batch succeeded");
  } catch (error) {
    assertEquals([(error as SqpError).codeName, (error as SqpError).step], [
      "constraint_unique",
      1,
    ]);
  }
  const malformed = batch(session, [statement(insert(1)), statement("SELEC 1")]);
  assertEquals(await errorName(malformed), "syntax");
  assertEquals(await ids(engine), []);
  assertEquals(await batch(session, [statement("CREATE TABLE u (x int)"), statement(insert(1))]), [
    0,
    1,
  ]);
  assertEquals(await batch(session, [statement("SELECT id FROM t"), statement("SELECT 2")]), [
    [[1]],
    [[2]],
  ]);
});

step("a batch in a transaction leaves what was before it when it fails", async (subject) => {
  const { engine, session } = subject;
  const [transaction] = begin(session);
  await replied<void>((reply) => transaction.savepoint(1, reply));
  assertEquals(await batch(transaction, [statement(insert(1)), statement(insert(2))]), [1, 1]);
  await replied<void>((reply) => transaction.savepoint(2, reply));
  const failing = batch(transaction, [statement(insert(3)), statement(insert(1))]);
  assertEquals(await errorName(failing), "constraint_unique");
  await replied<void>((reply) => transaction.rollbackTo(2, reply));
  await askIn(transaction, insert(4));
  await commit(transaction);
  assertEquals(await ids(engine), [1, 2, 4]);
});

step("a statement is described without being run", async ({ engine, session }) => {
  const describe = (sql: string, scope: EngineSession | EngineTransaction = session) =>
    replied<{ columns: readonly unknown[]; parameters: readonly unknown[] }>((reply) =>
      scope.prepare({ sql }, reply)
    );
  const { columns, parameters } = await describe("SELECT id AS x, a + 1 FROM t");
  assertEquals([columns.length, parameters], [2, []]);
  const first = columns[0] as { name: string; origin?: { table: string; column: string } };
  assertEquals([first.name, first.origin?.table, first.origin?.column], ["x", "t", "id"]);
  assertEquals((await describe(insert(1))).columns, []);
  assertEquals(await ids(engine), []);
  assertEquals(await errorName(describe("SELEC 1")), "syntax");
  assertEquals(await errorName(describe("SELECT * FROM u")), "unknown_table");
  const [transaction] = begin(session);
  await askIn(transaction, "CREATE TABLE u (y int)");
  assertEquals((await describe("SELECT * FROM u", transaction)).columns.length, 1);
  await rollback(transaction);
});

step("a write with a key takes effect once, and is answered in the same way", async (subject) => {
  const { engine, session } = subject;
  const write = insert(1) + " RETURNING id, a";
  const first = await askIn(session, write, { idempotencyKey: "k" });
  const again = await askIn(session, write, { idempotencyKey: "k" });
  assertEquals(again.rows, [[1, 1]]);
  assertEquals([again.columns, again.rows, again.end], [first.columns, first.rows, first.end]);
  const elsewhere = await Promise.all(
    Array.from({ length: 8 }, () => askIn(openSession(engine), write, { idempotencyKey: "k" })),
  );
  for (const result of elsewhere) assertEquals(result.rows, first.rows);
  assertEquals(
    await errorName(askIn(session, insert(2), { idempotencyKey: "k" })),
    "idempotency_mismatch",
  );
  const other = openSession(engine, `not ${principal}`);
  await askIn(other, insert(2), { idempotencyKey: "k" });
  assertEquals(await ids(engine), [1, 2]);
});

step("two writes with one key at the same time are one", async ({ engine, session }) => {
  await askIn(session, insert(0, 0));
  const add = "UPDATE t SET a = a + 1 WHERE id = 0 RETURNING a";
  const sessions = Array.from({ length: 10 }, () => openSession(engine));
  for (let run = 1; run <= 5; run++) {
    const results = await Promise.all(
      sessions.map((own) => askIn(own, add, { idempotencyKey: `run ${run}` })),
    );
    for (const { rows } of results) assertEquals(rows, [[run]]);
  }
});

step("a failure is not stored: the key can be used again", async ({ engine, session }) => {
  await askIn(session, insert(1));
  for (let run = 0; run < 2; run++) {
    assertEquals(
      await errorName(askIn(session, insert(1), { idempotencyKey: "k" })),
      "constraint_unique",
    );
  }
  await askIn(session, "DELETE FROM t");
  await askIn(session, insert(1), { idempotencyKey: "k" });
  await askIn(session, "DELETE FROM t");
  await askIn(session, insert(1), { idempotencyKey: "k" });
  assertEquals(await ids(engine), []);
});

step("a batch with a key takes effect once", async ({ engine, session }) => {
  const steps = [
    statement(insert(1)),
    statement("SELECT count(*) FROM t"),
    statement(insert(1), { mayFail: true }),
  ];
  const first = await batch(session, steps, "k");
  assertEquals(first, [1, [[1]], "constraint_unique"]);
  await askIn(session, "DELETE FROM t");
  assertEquals(await batch(session, steps, "k"), first);
  assertEquals(await errorName(batch(session, steps.slice(1), "k")), "idempotency_mismatch");
  assertEquals(await ids(engine), []);
});

step("a key is for what writes, and for outcomes that can be kept", async ({ engine, session }) => {
  assertEquals(await errorName(askIn(session, "SELECT 1", { idempotencyKey: "k" })), "bad_request");
  const large = "INSERT INTO t (id, a) WITH RECURSIVE c(i) AS" +
    " (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50000) SELECT i, i FROM c RETURNING id, a";
  assertEquals(await errorName(askIn(session, large, { idempotencyKey: "k" })), "result_too_large");
  assertEquals(await ids(engine), []);
});
