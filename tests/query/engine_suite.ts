// What every engine promises, as tests that run against each of them.

import { assert, assertEquals } from "@std/assert";
import type { Engine, Execution, Permission } from "../../src/query/engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import type { SqlParams, SqlValue } from "../../src/wire/value.ts";
import { ask, askError, type AskOptions } from "./query_harness.ts";

/** Limits that are tried: as short as a test needs them. */
export interface SuiteLimits {
  readonly stallMsMax?: number;
  readonly pageMsMax?: number;
  readonly queueMax?: number;
}

/** An engine under test. */
export interface EngineUnderTest {
  readonly name: string;
  /** Why it cannot be tested here. */
  readonly ignore: string | undefined;
  /** Opens an engine on an empty database. */
  open(limits?: SuiteLimits): Promise<Engine>;
  readonly dialect: Dialect;
}

/** How an engine says what the others say in other words. */
export interface Dialect {
  /** The n-th parameter, counted from 1. */
  parameter(n: number): string;
  /** A query of the numbers from 1 to `count`, called `i`. */
  series(count: number | string, columns?: string): string;
  /** An expression of `count` letters. */
  letters(count: string): string;
  /** Types of columns, and how a column with a key that counts by itself is declared. */
  readonly types: Readonly<Record<"key" | "int" | "float" | "text" | "bytes", string>>;
  /** A query whose rows take long, one after the other, and many of them. */
  readonly slowRows: string;
  /** Floats that can be stored. */
  readonly floats: readonly number[];
}

/** A statement that never ends and never yields a row. */
const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT count(*) FROM c";

/** How late a deadline or a cancellation may take effect. */
const LATE_MS_MAX = 250;

const only = (...permissions: Permission[]) => ({ permissions });

/** One promise. */
export type Step = readonly [
  title: string,
  fn: (engine: Engine, dialect: Dialect) => Promise<void>,
  limits?: SuiteLimits,
];

/** Runs steps as those of one test, each on an engine of its own. */
export function testEngine(subject: EngineUnderTest, steps: readonly Step[]): void {
  const { name, ignore, dialect } = subject;
  const why = ignore === undefined ? "" : ` (not here: ${ignore})`;
  Deno.test({
    name: `the engine suite, ${name}${why}`,
    ignore: ignore !== undefined,
    async fn(context) {
      for (const [title, fn, limits] of steps) {
        await context.step(title, async () => {
          const engine = await subject.open(limits);
          try {
            await fn(engine, dialect);
            await comesToRest(engine);
          } finally {
            await engine.close();
          }
        });
      }
    },
  });
}

/** Whatever a test did, nothing is left under way. */
async function comesToRest(engine: Engine): Promise<void> {
  for (let waits = 0; waits < 400; waits++) {
    const { queued, running } = engine.status();
    if (queued === 0 && running === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(engine.status(), { ...engine.status(), queued: 0, running: 0 });
}

/** Makes a table `t` with a key and an integer `a`. */
export async function makeTable(engine: Engine, { types }: Dialect): Promise<void> {
  await ask(engine, `CREATE TABLE t (id ${types.key}, a ${types.int})`);
}

const insertInto = ({ parameter }: Dialect) => `INSERT INTO t (a) VALUES (${parameter(1)})`;

/** Asks, and measures how much later than `dueMs` the error came. */
async function lateness(
  engine: Engine,
  sql: string,
  dueMs: number,
  options: AskOptions,
): Promise<{ error: string; lateMs: number }> {
  const startMs = performance.now();
  const error = await askError(engine, sql, options);
  return { error, lateMs: performance.now() - startMs - dueMs };
}

/** What is promised of statements. */
export const STATEMENT_STEPS: readonly Step[] = [
  ["a write says how many rows it changed, and a read sees it", async (engine, dialect) => {
    await makeTable(engine, dialect);
    for (let i = 1; i <= 5; i++) {
      const { end, columns } = await ask(engine, insertInto(dialect), { params: [i] });
      assertEquals([end.changes, end.rowCount, columns.length], [1, 0, 0]);
    }
    assertEquals((await ask(engine, "UPDATE t SET a = a + 1 WHERE a > 2")).end.changes, 3);
    assertEquals((await ask(engine, "DELETE FROM t WHERE a > 100")).end.changes, 0);
    const { rows, columns, end } = await ask(engine, "SELECT a AS x, id FROM t ORDER BY a");
    assertEquals(rows.map(([a]) => a), [1, 2, 4, 5, 6]);
    assertEquals(columns.map((column) => column.name), ["x", "id"]);
    assert(columns.every(({ declaredType }) => declaredType !== null));
    assertEquals([end.changes, end.rowCount], [0, 5]);
    const returning = await ask(engine, "DELETE FROM t WHERE a < 5 RETURNING a");
    assertEquals(returning.rows.map(([a]) => a).sort(), [1, 2, 4]);
    assertEquals([returning.end.changes, returning.end.rowCount], [3, 3]);
  }],

  ["values come back as what they were", async (engine, { types, parameter, floats }) => {
    const trips: readonly (readonly [string, readonly SqlValue[]])[] = [
      [types.int, [
        0,
        -1,
        2 ** 31,
        -(2 ** 31),
        2 ** 53 - 1,
        2n ** 53n,
        2n ** 63n - 1n,
        -(2n ** 63n),
      ]],
      [types.float, floats],
      [types.text, ["", "x", "ä€😀", "\u{feff}bom", "a'b\"c\\d", "x".repeat(100_000)]],
      [types.bytes, [
        new Uint8Array(),
        new Uint8Array([0, 255, 10]),
        new Uint8Array(70_000).fill(7),
      ]],
    ];
    for (const [type, values] of trips) {
      await ask(engine, `CREATE TABLE v (n ${types.int}, x ${type})`);
      const insert = `INSERT INTO v (n, x) VALUES (${parameter(1)}, ${parameter(2)})`;
      for (const [n, value] of [...values, null].entries()) {
        await ask(engine, insert, { params: [n, value] });
      }
      // As a text that is run for the first time, and as one that is known.
      for (let run = 0; run < 3; run++) {
        const { rows } = await ask(engine, "SELECT x FROM v ORDER BY n");
        assertEquals(rows.map(([x]) => x), [...values, null], type);
        assertEquals(
          rows.map(([x]) => Object.is(x, -0)),
          [...values, null].map((x) => Object.is(x, -0)),
        );
      }
      await ask(engine, "DROP TABLE v");
    }
  }],

  ["a parameter that stands for itself keeps its type", async (engine, { parameter }) => {
    for (const value of [41, 2n ** 40n, 2.5, "41", new Uint8Array([1, 2]), null] as const) {
      for (let run = 0; run < 3; run++) {
        const { rows } = await ask(engine, `SELECT ${parameter(1)}`, { params: [value] });
        assertEquals(rows, [[typeof value === "bigint" ? Number(value) : value]]);
      }
    }
    const { rows } = await ask(engine, `SELECT ${parameter(1)} + 1, ${parameter(2)}`, {
      params: [41, "x"],
    });
    assertEquals(rows, [[42, "x"]]);
  }],

  ["errors have the same names", async (engine, { types, parameter }) => {
    await ask(engine, `CREATE TABLE parent (id ${types.int} PRIMARY KEY)`);
    await ask(
      engine,
      `CREATE TABLE child (id ${types.int} REFERENCES parent (id), n ${types.int} NOT NULL CHECK (n > 0))`,
    );
    await ask(engine, "INSERT INTO parent VALUES (1)");
    const cases: readonly (readonly [string, string, SqlParams?])[] = [
      ["SELEC 1", "syntax"],
      ["SELECT * FROM missing", "unknown_table"],
      ["SELECT missing FROM parent", "unknown_column"],
      ["INSERT INTO parent VALUES (1)", "constraint_unique"],
      ["INSERT INTO child VALUES (1, NULL)", "constraint_not_null"],
      ["INSERT INTO child VALUES (1, 0)", "constraint_check"],
      ["INSERT INTO child VALUES (2, 1)", "constraint_foreign_key"],
      ["", "empty_statement"],
      ["-- nothing\n", "empty_statement"],
      ["SELECT 1; SELECT 2", "multiple_statements"],
      ["SELECT 1; DROP TABLE parent", "multiple_statements"],
      [`SELECT ${parameter(1)}`, "parameter_count", []],
      [`SELECT ${parameter(1)}`, "parameter_count", [1, 2]],
      ["SELECT 1", "parameter_count", [1]],
      [`SELECT ${parameter(1)}`, "parameter_range", ["a\0b"]],
    ];
    for (const [sql, name, params] of cases) {
      for (let run = 0; run < 3; run++) {
        assertEquals(await askError(engine, sql, params && { params }), name, sql);
      }
    }
    try {
      await ask(engine, "INSERT INTO parent VALUES (1)");
    } catch (error) {
      const { retry, engine: own } = error as SqpError;
      assertEquals(retry, "no");
      assert(own !== undefined && own.name !== undefined);
    }
    assertEquals((await ask(engine, "SELECT count(*) FROM parent")).rows, [[1]]);
  }],

  [
    "permissions bind, and a statement that is known for one caller opens nothing to another",
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const insert = "INSERT INTO t (a) VALUES (1)";
      const denied = "permission_denied";
      for (let run = 0; run < 3; run++) {
        await ask(engine, insert, only("write"));
        assertEquals((await ask(engine, "SELECT count(*) FROM t", only("read"))).rows, [[run + 1]]);
        assertEquals(await askError(engine, insert, only("read")), denied);
        assertEquals(await askError(engine, insert, only()), denied);
        assertEquals(await askError(engine, "SELECT * FROM t", only("write", "schema")), denied);
        assertEquals(await askError(engine, "DROP TABLE t", only("read", "write")), denied);
        assertEquals(await askError(engine, `${insert} RETURNING id`, only("write")), denied);
        assertEquals(
          await askError(engine, "CREATE TABLE u (a int)", only("read", "write")),
          denied,
        );
      }
    },
  ],

  ["transactions in text are refused", async (engine, dialect) => {
    await makeTable(engine, dialect);
    for (const sql of ["BEGIN", "SAVEPOINT s", "COMMIT", "ROLLBACK"]) {
      const name = await askError(engine, sql);
      assertEquals(name, "statement_not_allowed", sql);
      await ask(engine, "INSERT INTO t (a) VALUES (1)");
    }
    assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[4]]);
  }],

  [
    "a small result is one page of at most 16 KiB, a larger one begins with such a page",
    async (engine, dialect) => {
      const sizes: number[] = [];
      const onPage = (execution: Execution, page: Uint8Array) => {
        sizes.push(page.length);
        execution.pull(1);
      };
      // Rows that are long in coming are sent before their page is full.
      let isOnePage = false;
      for (let run = 0; run < 3; run++) {
        sizes.length = 0;
        const { rows } = await ask(engine, dialect.series(500, "i"), { onPage });
        assertEquals([rows.length, rows.at(-1)], [500, [500]]);
        isOnePage ||= sizes.length === 1;
        sizes.length = 0;
        await ask(engine, dialect.series(20_000, `i, ${dialect.letters("20")}`), { onPage });
        assert(sizes[0]! <= 16 * 1024 + 4 + 30, `${sizes[0]}`);
        assert(sizes.length > 5 && sizes.every((size) => size <= 64 * 1024 + 4));
      }
      assert(isOnePage);
    },
  ],

  [
    "a result of 200,000 rows comes whole, and while it waits others are answered",
    async (engine, dialect) => {
      for (let run = 0; run < 3; run++) {
        let pages = 0;
        const { promise: paused, resolve } = Promise.withResolvers<Execution>();
        const whole = ask(engine, dialect.series(200_000, "i"), {
          onPage(execution) {
            if (++pages === 3) resolve(execution);
            else execution.pull(1);
          },
        });
        const execution = await paused;
        for (let i = 0; i < 20; i++) {
          const { rows } = await ask(engine, `SELECT ${dialect.parameter(1)}`, { params: [i] });
          assertEquals(rows, [[i]]);
        }
        assertEquals(pages, 3);
        execution.pull(1);
        const { rows, end } = await whole;
        assertEquals([rows.length, end.rowCount], [200_000, 200_000]);
        assertEquals([rows[0], rows[123_456], rows.at(-1)], [[1], [123_457], [200_000]]);
      }
    },
  ],

  ["the first rows come before the last are computed", async (engine, { slowRows }) => {
    for (let run = 0; run < 2; run++) {
      const { promise: first, resolve } = Promise.withResolvers<Execution>();
      const error = askError(engine, slowRows, { onPage: resolve, deadlineMs: 20_000 });
      const execution = await Promise.race([first, error]);
      if (typeof execution === "string") throw new Error(`the statement ended: ${execution}`);
      execution.cancel();
      assertEquals(await error, "cancelled");
    }
  }],

  [
    "a row beyond the limit is an error, and the next statement works",
    async (engine, { letters }) => {
      for (let run = 0; run < 3; run++) {
        assertEquals(await askError(engine, `SELECT ${letters("1100000")}`), "row_too_large");
        assertEquals(
          await askError(engine, `SELECT ${letters("7000000")}`),
          "row_too_large",
        );
        assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
      }
    },
  ],

  ...(["read", "write"] as const).map((what): Step => [
    `a deadline and a cancellation end a ${what} that never yields, in time, and the next one works`,
    async (engine, dialect) => {
      await makeTable(engine, dialect);
      const sql = what === "read" ? ENDLESS : `INSERT INTO t (a) ${ENDLESS}`;
      await ask(engine, "SELECT 1");
      // The best of some runs: the machine may be busy with something else.
      let leastLateMs = Infinity;
      for (let run = 0; run < 3; run++) {
        const deadline = await lateness(engine, sql, 100, { deadlineMs: 100 });
        assertEquals(deadline.error, "deadline_exceeded");
        const onStart = (execution: Execution) => void setTimeout(() => execution.cancel(), 60);
        const cancelled = await lateness(engine, sql, 60, { onStart });
        assertEquals(cancelled.error, "cancelled");
        leastLateMs = Math.min(leastLateMs, Math.max(deadline.lateMs, cancelled.lateMs));
        await ask(engine, "INSERT INTO t (a) VALUES (1)");
        assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[run + 1]]);
      }
      assert(leastLateMs < LATE_MS_MAX, `${leastLateMs} ms late`);
    },
  ]),

  [
    "what waits behind statements that never yield is answered before they end",
    async (engine, { parameter }) => {
      const executions: Execution[] = [];
      const onStart = (execution: Execution) => void executions.push(execution);
      const runaways = Array.from({ length: 4 }, () => askError(engine, ENDLESS, { onStart }));
      const answers = await Promise.all(
        Array.from(
          { length: 50 },
          (_, i) => ask(engine, `SELECT ${parameter(1)}`, { params: [i] }),
        ),
      );
      assertEquals(
        answers.map(({ rows }) => rows[0]![0]),
        Array.from({ length: 50 }, (_, i) => i),
      );
      for (const execution of executions) execution.cancel();
      assertEquals(new Set(await Promise.all(runaways)), new Set(["cancelled"]));
    },
  ],

  ["a stream can be cancelled at any page, twice and late", async (engine, dialect) => {
    for (let run = 0; run < 10; run++) {
      let pages = 0;
      const error = await askError(engine, dialect.series(500_000, "i"), {
        onPage(execution) {
          if (++pages <= run) return execution.pull(1);
          execution.cancel();
          execution.cancel();
        },
      });
      assertEquals(error, "cancelled");
    }
    let late: Execution | undefined;
    await ask(engine, "SELECT 1", { onStart: (execution) => late = execution });
    late!.cancel();
    late!.pull(3);
    assertEquals((await ask(engine, "SELECT 2")).rows, [[2]]);
  }],

  ["many cancellations at random moments never hit another statement", async (engine, dialect) => {
    await makeTable(engine, dialect);
    await ask(engine, "INSERT INTO t (a) VALUES (1)");
    const outcomes = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      if (i % 2 === 0) return (await ask(engine, "SELECT a FROM t")).rows[0]![0];
      const onStart = (execution: Execution) => {
        setTimeout(() => execution.cancel(), i % 17);
      };
      return await askError(engine, ENDLESS, { onStart });
    }));
    assertEquals(outcomes, outcomes.map((_, i) => i % 2 === 0 ? 1 : "cancelled"));
  }],

  [
    "a result that is not read for too long is given up, and so is a page that takes too long",
    async (engine, dialect) => {
      for (let run = 0; run < 2; run++) {
        assertEquals(
          await askError(engine, dialect.series(1_000_000), { onPage() {} }),
          "deadline_exceeded",
        );
        assertEquals(await askError(engine, ENDLESS), "deadline_exceeded");
      }
      const { end } = await ask(engine, dialect.series(200_000), { dropRows: true });
      assertEquals(end.rowCount, 200_000);
    },
    { stallMsMax: 500, pageMsMax: 2_000 },
  ],

  ["beyond the queue's limit commands are refused at once", async (engine) => {
    const all = await Promise.allSettled(
      Array.from({ length: 60 }, () => ask(engine, ENDLESS, { deadlineMs: 300 })),
    );
    const names = all.map((outcome) =>
      outcome.status === "rejected" ? (outcome.reason as SqpError).codeName : "?"
    );
    assertEquals(new Set(names), new Set(["overloaded", "deadline_exceeded"]));
    assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
  }, { queueMax: 10 }],

  ["closing ends what runs, even what never yields, and answers it", async (engine) => {
    const reads = [askError(engine, ENDLESS), askError(engine, ENDLESS)];
    await ask(engine, "SELECT 1");
    await engine.close();
    assertEquals(await Promise.all(reads), ["shutting_down", "shutting_down"]);
    assertEquals(await askError(engine, "SELECT 1"), "shutting_down");
    await engine.close();
  }],
];
