// What each failure is called, which code of the engine's own it keeps, and whether a retry helps.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import type { Engine, Execution, Permission } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { fromPostgres } from "../../src/query/postgres/postgres_errors.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { fromSqlite } from "../../src/query/sqlite/sqlite_errors.ts";
import type { RetryAdvice } from "../../src/wire/error_codes.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { AskedSession } from "./asked_session.ts";
import { ask, type AskOptions, CANNOT_RUN_PROCESSES, ENDLESS } from "./query_harness.ts";

/** A failure as its receiver sees it. */
type Failure = readonly [name: string, code: number | string | undefined, retry: RetryAdvice];

/** A text, what comes of it, and how it is asked. */
type Case = readonly [sql: string, failure: Failure, options?: AskOptions];

const failureOf = ({ codeName, engine, retry }: SqpError): Failure => [
  codeName,
  engine?.code,
  retry,
];

/** How a command fails. */
async function failure(promise: Promise<unknown>): Promise<Failure> {
  return failureOf(await assertRejects(() => promise, SqpError));
}

/** Asks each text alone, in a batch and in a transaction: there as well it is the same failure. */
async function checkCases(engine: Engine, cases: readonly Case[]): Promise<void> {
  for (const [sql, expected, options = {}] of cases) {
    for (let run = 0; run < 3; run++) {
      assertEquals(await failure(ask(engine, sql, options)), expected, sql);
    }
    const session = new AskedSession(engine, "tester", options.permissions);
    const step = { sql, ...(options.params !== undefined && { params: options.params }) };
    const limits = options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs };
    const ofBatch = await assertRejects(() => session.batch([step], limits), SqpError);
    // A whole batch has one limit for its results, and its deadline is nobody's step.
    const isOfSize = ["row_too_large", "result_too_large"].includes(ofBatch.codeName);
    if (!isOfSize) assertEquals(failureOf(ofBatch), expected, `${sql} in a batch`);
    const transaction = session.begin();
    assertEquals(await failure(transaction.execute(sql, options)), expected, `${sql} in one`);
    await transaction.rollback().catch(() => {});
  }
}

const onStart = (execution: Execution) => void setTimeout(() => execution.cancel(), 50);
const only = (...permissions: Permission[]) => ({ permissions });

/** What no engine has a code for. */
const OWN_FAILURES: readonly Case[] = [
  [ENDLESS, ["deadline_exceeded", undefined, "no"], { deadlineMs: 60 }],
  ["", ["empty_statement", undefined, "no"]],
];

/** Beyond the queue's limit commands are refused at once, and a retry helps later. */
async function checkOverload(engine: Engine): Promise<void> {
  const all = await Promise.allSettled(
    Array.from({ length: 40 }, () => ask(engine, ENDLESS, { deadlineMs: 200 })),
  );
  const failures = all.map((one) => one.status === "rejected" && failureOf(one.reason).join());
  assert(failures.includes("overloaded,,later"), String(failures));
  assertEquals(await failure(ask(engine, ENDLESS, { onStart })), ["cancelled", undefined, "no"]);
}

Deno.test({
  name: "failures on SQLite, their codes and whether a retry helps",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "sqp-test-" });
    const database = `${folder}/test.sqlite`;
    const engine = await openSqliteEngine({
      database,
      limits: { busyTimeoutMs: 50 },
      pool: { queueMax: 10 },
    });
    try {
      for (
        const sql of [
          "CREATE TABLE p (id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 1, c CHECK (c > 0))",
          "CREATE TABLE k (p REFERENCES p (id))",
          "CREATE TABLE s (a INT) STRICT",
          "INSERT INTO p (id, u) VALUES (1, 1)",
        ]
      ) await ask(engine, sql);
      await checkCases(engine, [
        ...OWN_FAILURES,
        ["SELEKT 1", ["syntax", 1, "no"]],
        ["SELECT * FROM missing", ["unknown_table", 1, "no"]],
        ["SELECT missing FROM p", ["unknown_column", 1, "no"]],
        ["INSERT INTO p (id) VALUES (1)", ["constraint_unique", 1555, "no"]],
        ["INSERT INTO p (u) VALUES (1)", ["constraint_unique", 2067, "no"]],
        ["INSERT INTO p (u) VALUES (1) RETURNING id", ["constraint_unique", 2067, "no"]],
        ["INSERT INTO p (n) VALUES (NULL)", ["constraint_not_null", 1299, "no"]],
        ["INSERT INTO p (c) VALUES (0)", ["constraint_check", 275, "no"]],
        ["INSERT INTO k VALUES (9)", ["constraint_foreign_key", 787, "no"]],
        ["INSERT INTO s VALUES ('x')", ["constraint_type", 3091, "no"]],
        ["INSERT INTO p (id) VALUES ('x')", ["constraint_type", 20, "no"]],
        ["SELECT json('{')", ["value_error", 1, "no"]],
        ["SELECT zeroblob(2000000000)", ["engine_limit", 18, "no"]],
        ["SELECT zeroblob(2000000)", ["row_too_large", undefined, "no"]],
        ["ATTACH ':memory:' AS x", ["statement_not_allowed", 23, "no"]],
        ["DROP TABLE p", ["permission_denied", 23, "no"], only("read", "write")],
        ["SELECT u FROM p", ["permission_denied", 23, "no"], only("write")],
        ["SELECT ?", ["parameter_count", undefined, "no"], { params: [1, 2] }],
      ]);
      await checkOverload(engine);
      const other = new DatabaseSync(database);
      other.exec("BEGIN IMMEDIATE");
      const busy: Failure = ["database_busy", 5, "later"];
      const insert = "INSERT INTO s VALUES (1)";
      assertEquals(await failure(ask(engine, insert)), busy);
      assertEquals(await failure(ask(engine, insert, { idempotencyKey: "k" })), busy);
      const session = new AskedSession(engine);
      assertEquals(await failure(session.batch([{ sql: insert }])), busy);
      assertEquals(await failure(session.begin().begun), busy);
      assertEquals((await ask(engine, "SELECT count(*) FROM s")).rows, [[0]]);
      other.exec("ROLLBACK");
      other.close();
      await ask(engine, insert, { idempotencyKey: "k" });
      assertEquals((await ask(engine, "SELECT count(*) FROM s")).rows, [[1]]);
    } finally {
      await engine.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("SQLite's codes that no statement gives at will, and whether a retry helps", () => {
  const cases: readonly (readonly [code: number, name: string, retry: RetryAdvice])[] = [
    [5, "database_busy", "later"],
    [261, "database_busy", "later"],
    [517, "database_busy", "later"],
    [6, "database_busy", "later"],
    [262, "database_busy", "later"],
    [7, "engine_limit", "no"],
    [8, "database_read_only", "no"],
    [1032, "database_read_only", "no"],
    [10, "database_io", "later"],
    [266, "database_io", "later"],
    [11, "database_corrupt", "no"],
    [267, "database_corrupt", "no"],
    [13, "database_full", "later"],
    [14, "database_io", "later"],
    [15, "database_busy", "later"],
    [17, "database_schema_changed", "now"],
    [19, "constraint", "no"],
    [1811, "constraint", "no"],
    [2579, "constraint_unique", "no"],
    [23, "permission_denied", "no"],
    [26, "not_a_database", "no"],
    [99, "engine_failure", "no"],
  ];
  for (const [code, name, retry] of cases) {
    const error = fromSqlite(Object.assign(new Error("x"), { errcode: code }), "step");
    assertEquals(failureOf(error), [name, code, retry]);
  }
});

const why = whyNoPostgres();

Deno.test({
  name: "failures on PostgreSQL, their codes and whether a retry helps" +
    (why === undefined ? "" : ` (not here: ${why})`),
  ignore: why !== undefined,
  async fn() {
    await using server = await PostgresServer.start();
    await server.makeDatabase("failures");
    const url = server.url("failures");
    const limits = { killAfterMs: 5_000, queueMax: 10, connectionsMax: 4 };
    const engine = await openPostgresEngine({ url, limits });
    try {
      for (
        const sql of [
          "CREATE TABLE p (id int PRIMARY KEY, u int UNIQUE, n int NOT NULL DEFAULT 1, c int CHECK (c > 0))",
          "CREATE TABLE k (p int REFERENCES p (id))",
          "INSERT INTO p (id, u) VALUES (1, 1), (2, 2)",
        ]
      ) await ask(engine, sql);
      await checkCases(engine, [
        ...OWN_FAILURES,
        ["SELEKT 1", ["syntax", "42601", "no"]],
        ["SELECT nothing(1)", ["syntax", "42883", "no"]],
        ["SELECT * FROM missing", ["unknown_table", "42P01", "no"]],
        ["SELECT missing FROM p", ["unknown_column", "42703", "no"]],
        ["INSERT INTO p (id) VALUES (1)", ["constraint_unique", "23505", "no"]],
        ["INSERT INTO p (id, n) VALUES (9, NULL)", ["constraint_not_null", "23502", "no"]],
        ["INSERT INTO p (id, c) VALUES (9, 0)", ["constraint_check", "23514", "no"]],
        ["INSERT INTO k VALUES (9)", ["constraint_foreign_key", "23503", "no"]],
        ["SELECT 1 / 0", ["value_error", "22012", "no"]],
        ["SELECT repeat('x', 2000000000)", ["engine_limit", "54000", "no"]],
        ["SELECT repeat('x', 2000000)", ["row_too_large", undefined, "no"]],
        ["SELECT u FROM p", ["permission_denied", "42501", "no"], only("write")],
        ["DROP TABLE p", ["permission_denied", "42501", "no"], only("read", "write")],
      ]);
      await checkOverload(engine);
      await checkMeetings(engine);
    } finally {
      await engine.close();
    }
  },
});

/** What only happens where two transactions meet. */
async function checkMeetings(engine: Engine): Promise<void> {
  const [one, other] = [new AskedSession(engine), new AskedSession(engine)];
  const readAndWrite = async (session: AskedSession, id: number) => {
    const transaction = session.begin({ isolation: "serializable" });
    await transaction.rows("SELECT sum(c) FROM p");
    await transaction.execute(`UPDATE p SET c = 1 WHERE id = ${id}`);
    return transaction;
  };
  const serializable = [await readAndWrite(one, 1), await readAndWrite(other, 2)];
  await serializable[0]!.commit();
  const serialization: Failure = ["serialization_failure", "40001", "now"];
  assertEquals(await failure(serializable[1]!.commit()), serialization);

  const deadlock = [one.begin(), other.begin()] as const;
  const update = (id: number) => `UPDATE p SET n = n + 1 WHERE id = ${id}`;
  await deadlock[0].execute(update(1));
  await deadlock[1].execute(update(2));
  const crossing = [deadlock[0].execute(update(2)), deadlock[1].execute(update(1))];
  const outcomes = await Promise.allSettled(crossing);
  const failed = outcomes.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
  assertEquals(failed.map(({ reason }) => failureOf(reason)), [
    ["serialization_failure", "40P01", "now"],
  ]);
  for (const transaction of deadlock) await transaction.rollback();

  const holder = one.begin();
  await holder.execute(update(1));
  const noWait = "SELECT id FROM p WHERE id = 1 FOR UPDATE NOWAIT";
  assertEquals(await failure(other.execute(noWait)), ["database_busy", "55P03", "later"]);
  await holder.rollback();
}

Deno.test("SQLSTATEs that no statement gives at will, and whether a retry helps", () => {
  const cases: readonly (readonly [code: string, name: string, retry: RetryAdvice])[] = [
    ["08001", "engine_failure", "later"],
    ["08000", "outcome_unknown", "no"],
    ["08003", "outcome_unknown", "no"],
    ["08006", "outcome_unknown", "no"],
    ["08007", "outcome_unknown", "no"],
    ["40001", "serialization_failure", "now"],
    ["40P01", "serialization_failure", "now"],
    ["40000", "transaction_rolled_back", "now"],
    ["40003", "outcome_unknown", "no"],
    ["53300", "overloaded", "later"],
    ["53100", "database_full", "later"],
    ["53200", "engine_limit", "no"],
    ["53400", "engine_limit", "later"],
    ["55P03", "database_busy", "later"],
    ["57014", "deadline_exceeded", "no"],
    ["57P01", "engine_not_run", "now"],
    ["57P02", "outcome_unknown", "no"],
    ["57P03", "engine_not_run", "later"],
    ["58030", "database_io", "later"],
    ["XX000", "engine_failure", "no"],
    ["42501", "permission_denied", "no"],
    ["25006", "permission_denied", "no"],
    ["ZZZZZ", "engine_failure", "no"],
  ];
  for (const [code, name, retry] of cases) {
    const error = fromPostgres(Object.assign(new Error("x"), { code, severity: "ERROR" }));
    assertEquals(failureOf(error), [name, code, retry]);
  }
});
