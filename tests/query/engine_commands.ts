// What every engine promises of transactions, batches and descriptions, as steps of the engine suite.

import { assert, assertEquals } from "@std/assert";
import { SqpError } from "../../src/wire/errors.ts";
import { AskedSession, errorName } from "./asked_session.ts";
import { makeTable, type Step } from "./engine_suite.ts";
import { ENDLESS } from "./query_harness.ts";

const INSERT = "INSERT INTO t (a) VALUES (1)";
const COUNT = "SELECT count(*) FROM t";
/** Texts that would end a transaction. */
const ENDS = ["COMMIT", "END", "/* or not */ commit -- now", "ROLLBACK"];

/** What is promised of transactions. */
export const TRANSACTION_STEPS: readonly Step[] = [
  [
    "a transaction that is given in one go takes effect as a whole when it is committed",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const other = new AskedSession(engine);
      for (let run = 1; run <= 3; run++) {
        const transaction = session.begin();
        const inserts = [1, 2, 3].map(() => transaction.execute(INSERT));
        const own = transaction.rows(COUNT);
        await Promise.all([transaction.begun, ...inserts]);
        assertEquals([await own, await other.rows(COUNT)], [[[3 * run]], [[3 * run - 3]]]);
        await transaction.commit();
        assertEquals(await other.rows(COUNT), [[3 * run]]);
        assertEquals(await errorName(transaction.execute(INSERT)), "unknown_transaction");
      }
    },
  ],

  ["what is rolled back, aborted or left by its client never was", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const session = new AskedSession(engine);
    const rolledBack = session.begin();
    await rolledBack.execute(INSERT);
    await rolledBack.rollback();
    const aborted = session.begin();
    await aborted.execute(INSERT);
    const running = aborted.execute(ENDLESS);
    aborted.scope.abort(new SqpError("transaction_idle"));
    assertEquals(await errorName(running), "transaction_idle");
    assertEquals(await errorName(aborted.commit()), "transaction_idle");
    const left = session.begin();
    await left.execute(INSERT);
    session.scope.close();
    assertEquals(await errorName(left.execute(INSERT)), "session_closed");
    const other = new AskedSession(engine);
    await other.execute(INSERT);
    assertEquals(await other.rows(COUNT), [[1]]);
  }],

  [
    "after a failure a transaction can only be rolled back, as a whole or to a savepoint",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const failing = ["SELECT * FROM missing", "SELEC", "SELECT 1; SELECT 2", ""];
      for (const sql of failing) {
        const transaction = session.begin();
        const steps = [INSERT, sql, INSERT].map((text) => errorName(transaction.execute(text)));
        const commit = errorName(transaction.commit());
        const [first, second, third] = await Promise.all(steps);
        assert(first === undefined && second !== undefined, sql);
        assertEquals([third, await commit], ["transaction_failed", "transaction_failed"]);
      }
      const repaired = session.begin();
      const outcomes = await Promise.all([
        repaired.execute(INSERT),
        repaired.savepoint(7),
        repaired.execute(INSERT),
        repaired.execute("SELECT * FROM missing"),
        repaired.rollbackTo(7),
        repaired.execute(INSERT),
        repaired.savepoint(8),
        repaired.execute(INSERT),
        repaired.release(8),
        repaired.commit(),
      ].map(errorName));
      const only = outcomes.map((name, at) => at === 3 ? name : undefined);
      assertEquals([outcomes, outcomes[3]], [only, "unknown_table"]);
      assertEquals(await session.rows(COUNT), [[3]]);
      const unknown = session.begin();
      assertEquals(await errorName(unknown.release(3)), "unknown_savepoint");
      assertEquals(await errorName(unknown.commit()), "transaction_failed");
    },
  ],

  ["a read-only transaction writes nothing, and sees one state", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const session = new AskedSession(engine);
    const transaction = session.begin({ readOnly: true });
    assertEquals(await transaction.rows(COUNT), [[0]]);
    await session.execute(INSERT);
    assertEquals(await transaction.rows(COUNT), [[0]]);
    assertEquals(await errorName(transaction.execute(INSERT)), "permission_denied");
    await transaction.rollback();
    assertEquals(await session.rows(COUNT), [[1]]);
  }],

  [
    "a stream in a transaction holds up what comes behind it until it was read",
    async (engine, dialect) => {
      const session = new AskedSession(engine);
      const transaction = session.begin();
      let ended = false;
      const { promise: paused, resolve } = Promise.withResolvers<() => void>();
      const stream = transaction.execute(dialect.series(50_000, "i"), {
        onPage: (execution) => resolve(() => execution.pull(1_000)),
      });
      const behind = transaction.rows("SELECT 1").then(() => ended = true);
      const resume = await paused;
      await session.rows("SELECT 1");
      assertEquals(ended, false);
      resume();
      assertEquals((await stream).end.rowCount, 50_000);
      await behind;
      await transaction.commit();
    },
  ],

  ["transaction commands in text end the transaction", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const session = new AskedSession(engine);
    for (const sql of [...ENDS, "SAVEPOINT x", "BEGIN"]) {
      const transaction = session.begin();
      await transaction.execute(INSERT);
      assertEquals(await errorName(transaction.execute(sql)), "statement_not_allowed", sql);
      assert(await errorName(transaction.commit()) !== undefined);
      assertEquals(await session.rows(COUNT), [[0]], sql);
    }
  }],

  ["a text that ends a transaction takes nothing of a batch along", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const session = new AskedSession(engine);
    for (const sql of ENDS) {
      for (const mayFail of [false, true]) {
        const steps = [{ sql: INSERT }, { sql, mayFail }, { sql: INSERT }];
        for (const idempotencyKey of [undefined, `${sql} ${mayFail}`]) {
          const options = idempotencyKey === undefined ? {} : { idempotencyKey };
          const transaction = session.begin();
          await transaction.execute(INSERT);
          await errorName(transaction.batch(steps));
          await errorName(transaction.rollback());
          const name = await errorName(session.batch(steps, options));
          if (name === undefined) assert(mayFail);
          else assertEquals(name, "statement_not_allowed", sql);
          assertEquals(await session.rows(COUNT), [[name === undefined ? 2 : 0]], sql);
          await session.execute("DELETE FROM t");
        }
      }
      const key = { idempotencyKey: sql };
      assertEquals(await errorName(session.execute(sql, key)), "statement_not_allowed", sql);
      // The key was not used up.
      await session.execute(INSERT, key);
      await session.execute("DELETE FROM t");
    }
  }],

  [
    "texts that only name what ends transactions are statements like any other",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const transaction = session.begin();
      for (let run = 0; run < 3; run++) {
        await transaction.execute("INSERT INTO t (a) SELECT CASE WHEN 1 = 1 THEN 7 END -- COMMIT");
        const text = "SELECT 'commit', a AS \"rollback\" FROM t /* ABORT; END */";
        assertEquals((await transaction.rows(text)).length, run + 1);
      }
      await transaction.commit();
      const [, , { rows }] = await session.batch([
        { sql: "UPDATE t SET a = CASE WHEN a = 7 THEN 8 END" },
        { sql: INSERT },
        { sql: "SELECT count(*), 'END' FROM t" },
      ]) as [unknown, unknown, { rows: unknown[] }];
      assertEquals(rows, [[4, "END"]]);
      for (const sql of ["-- COMMIT", "/* ROLLBACK */ ;"]) {
        const other = session.begin();
        assertEquals(await errorName(other.execute(sql)), "empty_statement", sql);
        await other.rollback();
      }
      const wrong = session.begin();
      assertEquals(await errorName(wrong.execute("SELECT 1; COMMIT")), "multiple_statements");
      await wrong.rollback();
      const faulty = session.begin();
      assertEquals(await errorName(faulty.execute("SELECT END COMMIT")), "syntax");
      await faulty.rollback();
      assertEquals(await session.rows(COUNT), [[4]]);
    },
  ],
];

/** What is promised of batches and descriptions. */
export const BATCH_STEPS: readonly Step[] = [
  ["all steps of a batch take effect, or none does", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const session = new AskedSession(engine);
    const insert = `INSERT INTO t (a) VALUES (${dialect.parameter(1)})`;
    for (let run = 0; run < 3; run++) {
      assertEquals(
        await session.batch([
          { sql: insert, params: [1] },
          { sql: insert, params: [2] },
          { sql: "UPDATE t SET a = a + 10 WHERE a < 10 RETURNING a" },
        ]),
        [{ rows: [], changes: 1 }, { rows: [], changes: 1 }, { rows: [[11], [12]], changes: 2 }],
      );
      try {
        await session.batch([{ sql: insert, params: [3] }, { sql: "SELECT * FROM missing" }]);
        throw new Error("the batch did not fail");
      } catch (error) {
        const { codeName, step } = error as SqpError;
        assertEquals([codeName, step], ["unknown_table", 1]);
      }
      assertEquals(await session.rows(COUNT), [[2 * run + 2]]);
    }
  }],

  ["a step may depend on those before it, and may fail alone", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const session = new AskedSession(engine);
    const results = await session.batch([
      { sql: "UPDATE t SET a = 1" },
      { sql: INSERT, conditions: [{ step: 0, is: "unchanged" }] },
      { sql: INSERT, conditions: [{ step: 0, is: "changed" }] },
      { sql: "SELECT * FROM missing", mayFail: true },
      { sql: INSERT, conditions: [{ step: 3, is: "failed" }, { step: 2, is: "skipped" }] },
      { sql: INSERT, mayFail: true },
      { sql: "SELECT a FROM t WHERE a > 5" },
      { sql: INSERT, conditions: [{ step: 6, is: "rows" }] },
      { sql: COUNT, conditions: [{ step: 6, is: "no_rows" }, { step: 5, is: "ok" }] },
    ]);
    const one = { rows: [], changes: 1 };
    const none = { rows: [], changes: 0 };
    assertEquals(results, [
      none,
      one,
      null,
      "unknown_table",
      one,
      one,
      none,
      null,
      { rows: [[3]], changes: 0 },
    ]);
    assertEquals(await session.rows(COUNT), [[3]]);
  }],

  [
    "a batch whose result is too large, or that takes too long, takes no effect",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const large = { sql: `SELECT ${dialect.letters("900000")}` };
      assertEquals(
        await errorName(session.batch([{ sql: INSERT }, large, large])),
        "result_too_large",
      );
      const endless = session.batch([{ sql: INSERT }, { sql: ENDLESS }], { deadlineMs: 60 });
      assertEquals(await errorName(endless), "deadline_exceeded");
      assertEquals(await session.rows(COUNT), [[0]]);
    },
  ],

  [
    "a batch in a transaction is undone alone, and fails the transaction",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const transaction = session.begin();
      await transaction.batch([{ sql: INSERT }, { sql: INSERT }]);
      await transaction.savepoint(1);
      const failing = transaction.batch([{ sql: INSERT }, { sql: "SELECT * FROM missing" }]);
      assertEquals(await errorName(failing), "unknown_table");
      assertEquals(await errorName(transaction.execute(INSERT)), "transaction_failed");
      await transaction.rollbackTo(1);
      assertEquals(await transaction.rows(COUNT), [[2]]);
      await transaction.commit();
      assertEquals(await session.rows(COUNT), [[2]]);
    },
  ],

  ["permissions bind in a batch and in a transaction", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const reader = new AskedSession(engine, "tester", ["read"]);
    assertEquals(await errorName(reader.batch([{ sql: INSERT }])), "permission_denied");
    const transaction = reader.begin();
    assertEquals(await transaction.rows(COUNT), [[0]]);
    assertEquals(await errorName(transaction.execute(INSERT)), "permission_denied");
    await transaction.rollback();
    const nobody = new AskedSession(engine, "tester", []);
    assertEquals(await errorName(nobody.begin().begun), "permission_denied");
  }],

  ["a transaction of who may not write keeps nobody from writing", async (engine, dialect) => {
    await makeTable(engine, dialect);
    const reader = new AskedSession(engine, "tester", ["read"]);
    const transaction = reader.begin();
    await transaction.begun;
    assertEquals(await transaction.rows(COUNT), [[0]]);
    await new AskedSession(engine).execute(INSERT, { deadlineMs: 10_000 });
    const steps = [{ sql: COUNT }, { sql: INSERT }];
    assertEquals(await errorName(transaction.batch(steps)), "permission_denied");
    await transaction.rollback();
    assertEquals(await reader.rows(COUNT), [[1]]);
  }],

  [
    "a description says what a statement's columns and parameters are, and runs nothing",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const { columns, parameters } = await session.prepare(
        `SELECT a AS x, a + 1 AS y FROM t WHERE a = ${dialect.parameter(1)}`,
      );
      assertEquals(columns.map(({ name }) => name), ["x", "y"]);
      assertEquals(columns.map(({ origin }) => origin && [origin.table, origin.column]), [
        ["t", "a"],
        undefined,
      ]);
      assertEquals(parameters.length, 1);
      assertEquals((await session.prepare(INSERT)).columns, []);
      assertEquals(await errorName(session.prepare("SELEC")), "syntax");
      assertEquals(await errorName(session.prepare("SELECT * FROM missing")), "unknown_table");
      assertEquals(await errorName(session.prepare("SELECT 1; SELECT 2")), "multiple_statements");
      const transaction = session.begin();
      assertEquals((await transaction.prepare(COUNT)).columns.length, 1);
      await transaction.commit();
      assertEquals(await session.rows(COUNT), [[0]]);
    },
  ],
];

/** What is promised where ending a statement does not end the process that has its transaction. */
export const SURVIVING_STEPS: readonly Step[] = [
  [
    "a cancelled command fails its transaction, which goes on after a savepoint",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const session = new AskedSession(engine);
      const transaction = session.begin();
      await transaction.execute(INSERT);
      await transaction.savepoint(1);
      const cancelled = transaction.execute(ENDLESS, {
        onStart: (execution) => void setTimeout(() => execution.cancel(), 50),
      });
      assertEquals(await errorName(cancelled), "cancelled");
      assertEquals(await errorName(transaction.execute(INSERT)), "transaction_failed");
      await transaction.rollbackTo(1);
      assertEquals(
        await errorName(transaction.execute(ENDLESS, { deadlineMs: 50 })),
        "deadline_exceeded",
      );
      await transaction.rollbackTo(1);
      await transaction.execute(INSERT);
      await transaction.commit();
      assertEquals(await session.rows(COUNT), [[2]]);
    },
  ],
];
