// Random statements and values give over the engine exactly what node:sqlite gives when it is asked directly.

import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import type { Row, SqlValue } from "../../src/wire/value.ts";
import { MemoryDatabase } from "./query_harness.ts";

const SEED = 4471;

/** node:sqlite as it is, with integers read as `bigint` and bound as such. */
class Direct implements Disposable {
  // The project's declarations of node:sqlite lack this option.
  readonly #db = new DatabaseSync(":memory:", { returnArrays: true } as object);

  run(sql: string, params: readonly SqlValue[]): { rows: SqlValue[][] } | { code: number } {
    try {
      const statement = this.#db.prepare(sql);
      statement.setReadBigInts(true);
      const rows: unknown = statement.all(...params.map(directValue));
      return { rows: rows as SqlValue[][] };
    } catch (error) {
      return { code: (error as { errcode: number }).errcode };
    }
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
function asRows(rows: SqlValue[][]): Row[] {
  return rows.map((row) =>
    row.map((value) =>
      typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value
    )
  );
}

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true }),
  fc.string({ unit: "binary", maxLength: 30 }).filter((text) => !text.includes("\0")),
  fc.uint8Array({ maxLength: 30 }),
  fc.boolean(),
  fc.constantFrom(
    "1",
    "-7",
    "1e3",
    " 12 ",
    "0x10",
    "9223372036854775808",
    "abc",
    "%a_",
    "{}",
    "[1,2]",
  ),
);

const column = fc.constantFrom("id", "i", "r", "t", "b", "n");

const expression = fc.letrec<{ e: string }>((tie) => ({
  e: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    column,
    fc.constantFrom("?1", "?2", "?3", "NULL", "0", "-1.5", "'x'", "x'ab'", "9223372036854775807"),
    fc.tuple(
      tie("e"),
      fc.constantFrom(..."+ - * / % || = <> < >= IS AND OR & << LIKE ->>".split(" ")),
      tie("e"),
    )
      .map(([a, op, b]) => `(${a} ${op} ${b})`),
    fc.tuple(
      fc.constantFrom(
        ..."abs length upper hex typeof quote round coalesce2 nullif2 instr2 substr2 max2 json1 unicode likely date1"
          .split(" "),
      ),
      tie("e"),
      tie("e"),
    ).map(([name, a, b]) => {
      const two = name.endsWith("2");
      if (name === "json1") return `json(${a})`;
      if (name === "date1") return `date(${a})`;
      return two ? `${name.slice(0, -1)}(${a}, ${b})` : `${name}(${a})`;
    }),
    tie("e").map((e) => `CAST(${e} AS INTEGER)`),
    tie("e").map((e) => `CAST(${e} AS REAL)`),
    fc.tuple(tie("e"), tie("e"), tie("e")).map(([a, b, c]) =>
      `CASE WHEN ${a} THEN ${b} ELSE ${c} END`
    ),
    tie("e").map((e) => `(SELECT max(${e}) FROM d)`),
  ),
})).e;

const statement = fc.oneof(
  fc.tuple(fc.array(expression, { minLength: 1, maxLength: 4 }), expression, column, fc.nat(20))
    .map(([list, where, order, limit]) =>
      `SELECT ${list.join(", ")} FROM d WHERE ${where} ORDER BY ${order}, id LIMIT ${limit}`
    ),
  fc.tuple(expression, column, expression)
    .map(([e, group, having]) =>
      `SELECT count(*), total(${e}), min(${e}), group_concat(${group}) FROM d ` +
      `GROUP BY ${group} HAVING ${having} ORDER BY 1, 2, 3, 4`
    ),
  fc.tuple(column, expression, expression)
    .map(([c, e, where]) =>
      `UPDATE d SET ${c === "id" ? "n" : c} = ${e} WHERE ${where} RETURNING *`
    ),
  fc.tuple(expression, expression)
    .map(([a, b]) =>
      `INSERT INTO d (i, t) VALUES (${a.replaceAll(/\b(id|i|r|t|b|n)\b/g, "3")}, ${
        b.replaceAll(/\b(id|i|r|t|b|n)\b/g, "'t'")
      }) RETURNING id, i, t`
    ),
  fc.tuple(expression).map(([where]) => `DELETE FROM d WHERE id > 5 AND ${where} RETURNING id`),
);

const SETUP = [
  "CREATE TABLE d (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, n UNIQUE)",
  "INSERT INTO d (i, r, t, b, n) VALUES (1, 1.0, 'one', x'01', 1), (-2, -2.5, '', x'', 'n'), " +
  "(9223372036854775807, 1e300, 'grüße', x'ff00', NULL), (NULL, NULL, NULL, NULL, 4.5), (0, -0.0, '0', '0', '0')",
];

Deno.test("4,000 random statements give what node:sqlite gives: rows, types, errors", () => {
  using db = new MemoryDatabase();
  using direct = new Direct();
  for (const sql of SETUP) {
    db.run(sql);
    direct.run(sql, []);
  }
  let failed = 0;
  fc.assert(
    fc.property(statement, fc.tuple(value, value, value), (sql, values) => {
      // A statement takes as many parameters as the largest number in it.
      const count = Math.max(0, ...[...sql.matchAll(/\?(\d)/g)].map(([, n]) => Number(n)));
      const params = values.slice(0, count);
      const expected = direct.run(sql, params);
      if ("code" in expected) {
        failed++;
        let code: number | string | undefined;
        try {
          db.run(sql, params);
        } catch (error) {
          code = (error as { engine?: { code: number } }).engine?.code;
        }
        assertEquals(code, expected.code, sql);
      } else {
        assertEquals(db.run(sql, params).rows, asRows(expected.rows), sql);
      }
    }),
    { seed: SEED, numRuns: 4_000, endOnFailure: false },
  );
  // Both ways must have been tried.
  if (failed < 100 || failed > 3_000) throw new Error(`${failed} statements failed`);
});

Deno.test("2,000 random values round-trip through parameters, columns of every affinity and rows", () => {
  using db = new MemoryDatabase();
  using direct = new Direct();
  for (const run of [db, direct]) {
    run.run("CREATE TABLE v (i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, x)", []);
  }
  fc.assert(
    fc.property(value, (v) => {
      const params = [v, v, v, v, v, v];
      for (const run of [db, direct]) run.run("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?)", params);
      const select =
        "SELECT *, typeof(i), typeof(r), typeof(t), typeof(b), typeof(n), typeof(x) FROM v";
      const expected = direct.run(select, []);
      if ("code" in expected) throw new Error(`SQLite failed with ${expected.code}`);
      assertEquals(db.run(select).rows, asRows(expected.rows));
      for (const run of [db, direct]) run.run("DELETE FROM v", []);
    }),
    { seed: SEED, numRuns: 2_000 },
  );
});
