// Random statements and values give over SQP exactly what node:sqlite gives when it is asked directly.

import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import { type Client, type Result, type SqlParams, SqpError } from "../../src/client/mod.ts";
import type { Row, SqlValue } from "../../src/wire/value.ts";
import { LiveServer, liveTest } from "../harness/live_server.ts";
import { Random } from "../harness/random.ts";
import { MemoryDatabase } from "./query_harness.ts";
import { RANDOM_SCHEMA, type RandomStatement, StatementGenerator } from "./random_statements.ts";

const SEED = 4471;
const STATEMENTS = 20_000;
/** Statements that only read and are under way at once. */
const IN_FLIGHT = 32;

/** What came of a statement. */
type Outcome = Pick<Result, "columns" | "rows" | "changes" | "lastInsertRowid"> | {
  readonly code: number | string | undefined;
  readonly message: string;
};

interface DirectStatement {
  setReadBigInts(on: boolean): void;
  columns(): { name: string; type: string | null }[];
  all(...params: unknown[]): SqlValue[][];
}

/** node:sqlite as it is, with integers read as `bigint` and bound as such. */
class Direct implements Disposable {
  readonly #db: DatabaseSync;

  constructor() {
    // The project's declarations of node:sqlite lack these options.
    this.#db = new DatabaseSync(":memory:", {
      returnArrays: true,
      enableDoubleQuotedStringLiterals: false,
      defensive: true,
      limits: { length: 16 * 1024 * 1024 },
    } as object);
  }

  run(sql: string, params: readonly SqlValue[] = []): Outcome {
    try {
      const statement = this.#prepare(sql);
      const rows = asRows(statement.all(...params.map(directValue)));
      const columns = statement.columns().map(({ name, type }) => ({ name, declaredType: type }));
      const [counts] = asRows(this.#prepare("SELECT changes(), last_insert_rowid()").all());
      // After a statement that changes no rows, SQLite still tells the counts of the one before.
      const changesRows = /^(?:INSERT|REPLACE|UPDATE|DELETE)/.test(sql);
      const changes = changesRows ? counts![0] as number : 0;
      return { columns, rows, changes, lastInsertRowid: counts![1] as number };
    } catch (error) {
      const { errcode, message } = error as { errcode: number; message: string };
      return { code: errcode, message };
    }
  }

  #prepare(sql: string): DirectStatement {
    const statement = this.#db.prepare(sql) as unknown as DirectStatement;
    statement.setReadBigInts(true);
    return statement;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

function directValue(value: SqlValue): null | number | bigint | string | Uint8Array {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (value instanceof Date) throw new Error("not compared");
  if (typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0)) {
    return BigInt(value);
  }
  return value;
}

/** The values as they come over SQP: an integer is a `number` where that is exact. */
function asRows(rows: readonly SqlValue[][]): Row[] {
  return rows.map((row) =>
    row.map((value) =>
      typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value
    )
  );
}

function failureOf(error: unknown): Outcome {
  if (!(error instanceof SqpError)) throw error;
  return { code: error.engine?.code, message: error.message };
}

function inMemory(db: MemoryDatabase, sql: string, params: SqlParams): Outcome {
  try {
    const { columns, rows, end } = db.run(sql, params);
    const named = columns.map(({ name, declaredType }) => ({ name, declaredType }));
    const [[rowid]] = asRows([[end.lastInsertRowid]]) as [[Result["lastInsertRowid"]]];
    return { columns: named, rows, changes: end.changes, lastInsertRowid: rowid };
  } catch (error) {
    return failureOf(error);
  }
}

async function overSqp(client: Client, sql: string, params: SqlParams): Promise<Outcome> {
  try {
    return await client.execute(sql, params);
  } catch (error) {
    return failureOf(error);
  }
}

/** Compares two outcomes. The row id is told by SQP only where the statement has inserted. */
function assertSame(actual: Outcome, expected: Outcome, { sql, params }: RandomStatement): void {
  const told = "rows" in actual && actual.lastInsertRowid !== null;
  const same = "rows" in expected && !told ? { ...expected, lastInsertRowid: null } : expected;
  if ("rows" in actual && "rows" in same && haveSameRows(actual.rows, same.rows)) {
    assertEquals({ ...actual, rows: [] }, { ...same, rows: [] }, sql);
    return;
  }
  assertEquals(actual, same, `${sql} with ${Deno.inspect(params)}`);
}

/** As assertEquals() compares them, but fast. */
function haveSameRows(a: readonly Row[], b: readonly Row[]): boolean {
  return a.length === b.length && a.every((row, at) => {
    const other = b[at]!;
    return row.length === other.length && row.every((value, i) => isSameValue(value, other[i]!));
  });
}

function isSameValue(a: SqlValue, b: SqlValue): boolean {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return Object.is(a, b);
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** How many statements failed, and how many gave rows, so that neither way goes untried. */
class Tally {
  failed = 0;
  gaveRows = 0;

  add(outcome: Outcome): void {
    if ("code" in outcome) this.failed++;
    else if (outcome.rows.length > 0) this.gaveRows++;
  }

  check(count: number): void {
    const text = `${this.failed} failed, ${this.gaveRows} gave rows`;
    assert(this.failed > count / 20 && this.gaveRows > count / 4, text);
  }
}

Deno.test("5,000 random statements give what node:sqlite gives: columns, rows, changes, errors", () => {
  using db = new MemoryDatabase();
  using direct = new Direct();
  for (const sql of RANDOM_SCHEMA) {
    assertSame(inMemory(db, sql, []), direct.run(sql), { sql, params: [], changes: true });
  }
  const generator = new StatementGenerator(new Random(SEED));
  const tally = new Tally();
  for (let i = 0; i < STATEMENTS / 4; i++) {
    const statement = generator.next();
    const expected = direct.run(statement.sql, statement.params);
    tally.add(expected);
    assertSame(inMemory(db, statement.sql, statement.params), expected, statement);
  }
  tally.check(STATEMENTS / 4);
});

liveTest(
  "20,000 random statements give the same through a client, over UDP, with engine processes",
  async () => {
    await using server = await LiveServer.start({ database: ":memory:" });
    await using client = await server.connect();
    using direct = new Direct();
    const tally = new Tally();
    const open = new Set<Promise<void>>();
    const start = (statement: RandomStatement) => {
      const expected = direct.run(statement.sql, statement.params);
      tally.add(expected);
      const compared = overSqp(client, statement.sql, statement.params)
        .then((actual) => assertSame(actual, expected, statement));
      const done: Promise<void> = compared.finally(() => open.delete(done));
      // Awaited below; it may fail before.
      done.catch(() => {});
      open.add(done);
    };
    for (const sql of RANDOM_SCHEMA) {
      start({ sql, params: [], changes: true });
      await Promise.all(open);
    }
    const generator = new StatementGenerator(new Random(SEED + 1));
    for (let i = 0; i < STATEMENTS; i++) {
      const statement = generator.next();
      if (statement.changes) await Promise.all(open);
      start(statement);
      if (statement.changes) await Promise.all(open);
      else if (open.size >= IN_FLIGHT) await Promise.race(open);
    }
    await Promise.all(open);
    tally.check(STATEMENTS);
  },
);

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true }),
  fc.string({ unit: "binary", maxLength: 30 }).filter((text) => !text.includes("\0")),
  fc.uint8Array({ maxLength: 30 }),
  fc.boolean(),
  fc.constantFrom("1", "-7", "1e3", " 12 ", "0x10", "9223372036854775808", "abc", "%a_", "{}"),
);

Deno.test("2,000 random values round-trip through parameters, columns of every affinity and rows", () => {
  using db = new MemoryDatabase();
  using direct = new Direct();
  const both = (sql: string, params: readonly SqlValue[] = []) => {
    const expected = direct.run(sql, params);
    assertSame(inMemory(db, sql, params), expected, { sql, params, changes: true });
    if ("code" in expected) throw new Error(expected.message);
  };
  both("CREATE TABLE v (i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, x)");
  fc.assert(
    fc.property(value, (v) => {
      both("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?)", [v, v, v, v, v, v]);
      both("SELECT *, typeof(i), typeof(r), typeof(t), typeof(b), typeof(n), typeof(x) FROM v");
      both("DELETE FROM v");
    }),
    { seed: SEED, numRuns: 2_000 },
  );
});
