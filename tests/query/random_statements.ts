// Random statements of SQLite, from a seed: what a database is asked, what it refuses, and what it cannot compute.

import type { SqlValue } from "../../src/wire/value.ts";
import type { Random } from "../harness/random.ts";

/** A statement with its parameters. */
export interface RandomStatement {
  readonly sql: string;
  readonly params: readonly SqlValue[];
  /** It may change the database, so that its place among others matters. */
  readonly changes: boolean;
}

/** The tables that statements are about. */
export const RANDOM_SCHEMA: readonly string[] = [
  "CREATE TABLE a (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, n UNIQUE)",
  `CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, i INTEGER REFERENCES a (id) ON DELETE SET NULL,
    r REAL CHECK (r < 1000), t TEXT NOT NULL DEFAULT 'none' COLLATE NOCASE, b, n NUMERIC,
    g GENERATED ALWAYS AS (i * 2) STORED)`,
  `CREATE TABLE c (id INTEGER NOT NULL, i INT, r REAL, t TEXT, b BLOB, n ANY, PRIMARY KEY (id, t))
    STRICT, WITHOUT ROWID`,
  "CREATE INDEX ai ON a (i, t)",
  "CREATE VIEW v AS SELECT a.id, a.i, b.r, b.t, a.b, b.n FROM a LEFT JOIN b ON a.id = b.i",
  `CREATE TRIGGER b_insert BEFORE INSERT ON b WHEN new.n = 13 BEGIN
    SELECT RAISE(ABORT, 'thirteen is refused'); END`,
  `CREATE TRIGGER v_insert INSTEAD OF INSERT ON v BEGIN INSERT INTO a (i, t) VALUES (new.i, new.t); END`,
  `INSERT INTO a (i, r, t, b, n) VALUES (1, 1.0, 'one', x'01', 1), (-2, -2.5, '', x'', 'n'),
    (9223372036854775807, 1e300, 'grüße', x'ff00', NULL), (NULL, NULL, NULL, NULL, 4.5), (0, -0.0, '0', '0', '0')`,
  "INSERT INTO b (i, r, t, n) VALUES (1, 0.5, 'ONE', 1), (NULL, 2, 'two', 'x'), (2, NULL, '%a_', 1e3)",
  "INSERT INTO c VALUES (1, 2, 3.0, 'four', x'05', 6), (2, NULL, NULL, '', NULL, 'x')",
];

const TABLES = ["a", "b", "c"] as const;
/** Tables that come and go. */
const PASSING = ["x", "y"] as const;
const COLUMNS = ["id", "i", "r", "t", "b", "n"] as const;
const COLLATIONS = ["BINARY", "NOCASE", "RTRIM"] as const;
const TYPES = ["INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "VARCHAR(20)"] as const;

const LITERALS = words(`
  NULL TRUE 0 1 -1 2 7 1.0 -1.5 1e300 5e-324 9223372036854775807 -9223372036854775808 9223372036854775808
  '' 'x' 'one' '12abc' '1e3' '%a_' x'' x'ab' x'c3' '[1,{"k":2}]' '{'`);
const OPERATORS = "+ - * / % || = == <> < <= > >= IS LIKE GLOB AND OR & | << >> -> ->>".split(" ")
  .concat([
    "IS NOT",
    "NOT LIKE",
    "IS DISTINCT FROM",
  ]);
const ONE_ARGUMENT = words(`
  abs length upper lower hex typeof quote round json json_valid json_type json_array unicode likely date trim ltrim
  sign octet_length unhex soundex char ceil sqrt ln not_there`);
const TWO_ARGUMENTS = words(`
  coalesce nullif instr substr max min ifnull replace round strftime json_extract printf pow mod concat unistr iif`);
const AGGREGATES = words("count sum total avg min max group_concat json_group_array median");
const WINDOWS =
  `row_number() rank() dense_rank() percent_rank() cume_dist() ntile(2) ntile(0) lag(i) lead(t, 2, 'none')
    first_value(n) last_value(r) nth_value(i, 2) count(*) sum(i) total(r) max(t) group_concat(n)`
    .split(/\s+(?=[a-z_]+\()/);
const FRAMES = [
  "",
  "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
  "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW",
  "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
  "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE TIES",
  "ROWS -1 PRECEDING",
];
const CONFLICTS = ["", "", "", "OR IGNORE", "OR REPLACE", "OR ABORT", "OR FAIL", "OR ROLLBACK"];
const JOINS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ","];

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/** What SQLite refuses when it reads a text, or when it runs it. */
const FAULTY = [
  "SELEC 1",
  "SELECT",
  "SELECT 1 FROM",
  "SELECT ((1)",
  "SELECT 'unclosed",
  "SELECT * FROM absent",
  "SELECT absent FROM a",
  "SELECT id FROM a, b",
  "SELECT absent(1)",
  "SELECT abs()",
  "SELECT sum(sum(i)) FROM a",
  "SELECT i FROM a WHERE sum(i) > 1",
  "SELECT (SELECT 1, 2)",
  "SELECT 1 UNION SELECT 1, 2",
  "SELECT i FROM a ORDER BY 9",
  "SELECT row_number() FROM a",
  'SELECT "not a column" FROM a',
  "SELECT * FROM a NATURAL JOIN b USING (id)",
  "SELECT 1 WHERE 1 IN (SELECT 1, 2)",
  "SELECT abs(-9223372036854775808)",
  "SELECT sum(9223372036854775807) OVER () FROM a",
  "SELECT sum(i) FROM (SELECT 9223372036854775807 AS i UNION ALL SELECT 1)",
  "SELECT json('{') FROM a",
  "SELECT json_extract('{}', 'not a path')",
  "SELECT zeroblob(20000000)",
  "SELECT printf('%99999999d', 1)",
  "SELECT 'a' LIKE 'b' ESCAPE 'cc'",
  "SELECT ntile(0) OVER () FROM a",
  "SELECT i FROM a WHERE t REGEXP 'x'",
  "SELECT i FROM a WHERE t MATCH 'x'",
  "SELECT RAISE(ABORT, 'outside of a trigger')",
  "SELECT i COLLATE absent FROM a ORDER BY 1",
  "SELECT * FROM v WHERE rowid = 1",
  "INSERT INTO a (id) VALUES ('not a number')",
  "INSERT INTO a (absent) VALUES (1)",
  "INSERT INTO a (i) VALUES (1, 2)",
  "INSERT INTO a (i, n) SELECT 1, 'n' UNION ALL SELECT 2, 'n'",
  "INSERT INTO b (n) VALUES (13)",
  "INSERT INTO b (t) VALUES (NULL)",
  "INSERT INTO b (r) VALUES (2000)",
  "INSERT INTO b (i) VALUES (987654)",
  "INSERT INTO b (g) VALUES (1)",
  "INSERT INTO c VALUES (1, 'not a number', 1, '', NULL, 1)",
  "INSERT INTO c VALUES (NULL, 1, 1, '', NULL, 1)",
  "INSERT INTO c VALUES (1, 2, 3, 'four', NULL, 1) RETURNING id",
  "INSERT INTO v (i, t) VALUES (5, 'by way of a view')",
  "UPDATE v SET i = 1",
  "UPDATE a SET id = 'x' RETURNING id",
  "UPDATE a SET n = 1 RETURNING n",
  "UPDATE c SET t = NULL",
  "UPDATE b SET r = json('{') RETURNING r",
  "DELETE FROM absent",
  "DELETE FROM v",
  "CREATE TABLE a (x)",
  "CREATE TABLE sqlite_mine (x)",
  "CREATE TABLE none ()",
  "CREATE TABLE twice (x, x)",
  "CREATE TABLE strict_one (x SOMETHING) STRICT",
  "CREATE INDEX ai ON a (n)",
  "CREATE INDEX other ON absent (n)",
  "CREATE UNIQUE INDEX single ON a (typeof(id))",
  "ALTER TABLE a ADD COLUMN i",
  "ALTER TABLE a ADD COLUMN must NOT NULL",
  "ALTER TABLE absent RENAME TO other",
  "DROP TABLE absent",
  "DROP VIEW a",
  "DROP INDEX absent",
  "DROP INDEX sqlite_autoindex_a_1",
  `SELECT ${"(".repeat(300)}1${")".repeat(300)}`,
  `SELECT ${"1+".repeat(1_100)}1`,
] as const;

/** Texts run again with this probability, as programs do: they are prepared by then, and the schema may be another. */
const AGAIN = 0.15;
const AGAIN_COUNT = 60;

/** Draws statements. */
export class StatementGenerator {
  readonly #random: Random;
  readonly #recent: RandomStatement[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  next(): RandomStatement {
    const random = this.#random;
    if (this.#recent.length === AGAIN_COUNT && random.chance(AGAIN)) {
      return this.#withValues(random.pick(this.#recent));
    }
    const statement = this.#withValues(this.#draw());
    if (this.#recent.length < AGAIN_COUNT) this.#recent.push(statement);
    else this.#recent[random.integer(0, AGAIN_COUNT - 1)] = statement;
    return statement;
  }

  #withValues({ sql, changes }: { sql: string; changes: boolean }): RandomStatement {
    // A statement takes as many parameters as the largest number in it.
    const count = Math.max(0, ...[...sql.matchAll(/\?(\d)/g)].map(([, n]) => Number(n)));
    return { sql, changes, params: Array.from({ length: count }, () => this.#value()) };
  }

  #draw(): { sql: string; changes: boolean } {
    const at = this.#random.integer(1, 100);
    if (at <= 80) return { sql: this.#read(), changes: false };
    if (at <= 91) return { sql: this.#write(), changes: true };
    if (at <= 94) return { sql: this.#definition(), changes: true };
    return { sql: this.#random.pick(FAULTY), changes: true };
  }

  #value(): SqlValue {
    const random = this.#random;
    switch (random.integer(0, 8)) {
      case 0:
        return null;
      case 1:
        return random.integer(-5, 20);
      case 2:
        return BigInt.asIntN(64, (BigInt(random.u32()) << 32n) | BigInt(random.u32()));
      case 3:
        return (random.float() - 0.5) * 10 ** random.integer(-20, 20);
      case 4:
        return random.bytes(random.integer(0, 20));
      case 5:
        return random.chance(0.5);
      case 6:
        return random.pick([-0, Infinity, -Infinity, 2 ** 53, 1e300, 0.5]);
      case 7:
        return random.pick([
          "1",
          "-7",
          "1e3",
          " 12 ",
          "0x10",
          "9223372036854775808",
          "{}",
          "[1,2]",
        ]);
      default:
        return Array.from(
          { length: random.integer(0, 12) },
          () => random.pick([..."aÄß面🚀%_'\"\n\ufeff"]),
        )
          .join("");
    }
  }

  // Expressions

  #expression(depth: number, subqueries = true): string {
    const random = this.#random;
    const e = () => this.#expression(depth - 1, subqueries);
    if (depth <= 0 || random.chance(0.25)) return this.#leaf();
    switch (random.integer(0, 11)) {
      case 0:
      case 1:
      case 2:
        return `(${e()} ${random.pick(OPERATORS)} ${e()})`;
      case 3:
      case 4:
        return `${random.pick(ONE_ARGUMENT)}(${e()})`;
      case 5:
        return `${random.pick(TWO_ARGUMENTS)}(${e()}, ${e()})`;
      case 6:
        return `CAST(${e()} AS ${random.pick(TYPES)})`;
      case 7:
        return `CASE WHEN ${e()} THEN ${e()} ELSE ${e()} END`;
      case 8:
        return `(${e()} ${random.pick(["BETWEEN", "NOT BETWEEN"])} ${e()} AND ${e()})`;
      case 9:
        return `(${e()} ${random.pick(["IN", "NOT IN"])} (${e()}, ${e()}))`;
      case 10:
        return `${random.pick(["-", "~", "NOT ", "+"])}${e()} COLLATE ${random.pick(COLLATIONS)}`;
      default:
        return subqueries ? this.#subquery() : this.#leaf();
    }
  }

  #leaf(): string {
    const random = this.#random;
    switch (random.integer(0, 5)) {
      case 0:
      case 1:
        return random.pick(LITERALS);
      case 2:
        return `?${random.integer(1, 3)}`;
      default:
        return random.pick(COLUMNS);
    }
  }

  #subquery(): string {
    const random = this.#random;
    const from = `FROM ${random.pick(TABLES)} AS s WHERE ${this.#expression(1, false)}`;
    switch (random.integer(0, 3)) {
      case 0:
        return `(SELECT ${random.pick(AGGREGATES)}(s.${random.pick(COLUMNS)}) ${from})`;
      case 1:
        return `EXISTS (SELECT 1 ${from})`;
      case 2:
        return `(${this.#expression(1, false)} IN (SELECT ${random.pick(COLUMNS)} ${from}))`;
      default:
        return `(SELECT ${random.pick(COLUMNS)} ${from} ORDER BY 1 LIMIT 1)`;
    }
  }

  #list(countMax: number): string {
    const count = this.#random.integer(1, countMax);
    return Array.from({ length: count }, () => {
      const e = this.#expression(2);
      return this.#random.chance(0.3) ? `${e}, typeof(${e})` : e;
    }).join(", ");
  }

  // Reads

  #read(): string {
    const random = this.#random;
    const source = () => random.pick([...TABLES, ...TABLES, "v", random.pick(PASSING)]);
    const where = () => random.chance(0.6) ? ` WHERE ${this.#expression(2)}` : "";
    const order = () =>
      random.chance(0.5) ? ` ORDER BY ${random.pick(["1", "1 DESC", "2", "t, i"])}` : "";
    const limit = () =>
      random.chance(0.3) ? ` LIMIT ${random.integer(-1, 8)} OFFSET ${random.integer(0, 3)}` : "";
    switch (random.integer(0, 9)) {
      case 0:
      case 1:
        return `SELECT ${random.pick(["", "DISTINCT "])}${
          this.#list(4)
        } FROM ${source()}${where()}${order()}${limit()}`;
      case 2:
        return `SELECT * FROM ${source()}${where()}${order()}${limit()}`;
      case 3: {
        const kind = random.pick(JOINS);
        const on = kind === "," ? "" : ` ON l.${random.pick(COLUMNS)} = m.${random.pick(COLUMNS)}`;
        const condition = random.chance(0.5) ? ` WHERE l.${random.pick(COLUMNS)} > ?1` : "";
        const list = random.pick(["*", "l.*, m.t", "l.i + m.i, l.t || m.t AS both"]);
        return `SELECT ${list} FROM ${source()} l ${kind} ${source()} m${on}${condition} LIMIT ${
          random.integer(0, 40)
        }`;
      }
      case 4: {
        const aggregate = random.pick(AGGREGATES);
        const of = `${aggregate}(${random.pick(["", "DISTINCT "])}${this.#expression(1)})`;
        const filter = random.chance(0.3) ? ` FILTER (WHERE ${this.#expression(1)})` : "";
        const having = random.chance(0.4) ? ` HAVING ${this.#expression(1)}` : "";
        const group = random.chance(0.7) ? ` GROUP BY ${random.pick(COLUMNS)}${having}` : "";
        return `SELECT count(*) AS many, ${of}${filter} FROM ${source()}${where()}${group}${order()}`;
      }
      case 5: {
        const over = `OVER (${random.pick(["", `PARTITION BY ${random.pick(COLUMNS)}`])} ${
          random.pick(["", `ORDER BY ${random.pick(COLUMNS)}`])
        } ${random.pick(FRAMES)})`;
        return `SELECT ${random.pick(COLUMNS)}, ${
          random.pick(WINDOWS)
        } ${over} FROM ${source()}${where()}`;
      }
      case 6:
        return `SELECT ${this.#list(1)} FROM ${source()} ${
          random.pick(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"])
        } SELECT ${this.#list(1)} FROM ${source()}${order()}`;
      case 7:
        return `WITH RECURSIVE w (k, s) AS ${
          random.pick(["", "MATERIALIZED "])
        }(SELECT ${this.#leafOfNothing()}, '' UNION ${random.pick(["", "ALL "])}SELECT ${
          random.pick(["k + 1", "k * 2", "k - 1.5", "k || 'x'", "abs(k)"])
        }, s || k FROM w WHERE length(s) < 30 LIMIT ${random.integer(0, 20)}) SELECT ${
          random.pick(["*", "k, typeof(k)", "count(*), max(s)", "sum(k)"])
        } FROM w`;
      case 8:
        return `SELECT key, value, type, j.id FROM ${source()}, json_each(${
          this.#expression(1)
        }) j LIMIT 20`;
      default:
        return random.pick([
          `VALUES (${this.#leafOfNothing()}, ${this.#leafOfNothing()}), (?1, ?2)`,
          `SELECT ${this.#leafOfNothing()} AS "a name", typeof(?1), quote(?2), hex(?3)`,
          `SELECT name, type, pk FROM pragma_table_info('${source()}')`,
          `PRAGMA table_xinfo(${source()})`,
          "PRAGMA user_version",
          "PRAGMA integrity_check",
          "SELECT type, name, sql FROM sqlite_schema ORDER BY name",
        ]);
    }
  }

  #leafOfNothing(): string {
    return this.#random.pick([...LITERALS, "?1", "?2"]);
  }

  // Writes

  #write(): string {
    const random = this.#random;
    const table = random.pick([...TABLES, ...TABLES, random.pick(PASSING)]);
    const column = () => random.pick(["i", "r", "t", "b", "n"]);
    const returning = random.chance(0.5)
      ? ` RETURNING ${random.pick(["*", "id", `id AS key, ${this.#expression(1, false)}`])}`
      : "";
    const conflict = random.pick(CONFLICTS);
    const where = random.chance(0.9)
      ? ` WHERE id = ${random.integer(1, 30)} OR ${this.#expression(2)} IS 7`
      : "";
    switch (random.integer(0, 9)) {
      case 0:
      case 1:
        return `INSERT ${conflict} INTO ${table} (${column()}, t)
          VALUES (?1, ?2), (?3, ${this.#leafOfNothing()})${returning}`;
      case 2:
        return `INSERT ${conflict} INTO ${table} (id, i, t) SELECT id + ${
          random.integer(-2, 9)
        }, i, t FROM ${random.pick(TABLES)} WHERE id < 4${returning}`;
      case 3:
        return `INSERT INTO a (id, i, t) VALUES (${
          random.integer(1, 12)
        }, ?1, ?2) ON CONFLICT (id) DO ${
          random.pick([
            "NOTHING",
            "UPDATE SET i = excluded.i, n = a.id",
            "UPDATE SET n = 1 WHERE t > 'a'",
          ])
        }${returning}`;
      case 4:
        return random.chance(0.3)
          ? `REPLACE INTO ${table} (id, t) VALUES (${random.integer(1, 20)}, ?1)${returning}`
          : `INSERT INTO ${random.pick(["a", "b"])} DEFAULT VALUES${returning}`;
      case 5:
        return `UPDATE ${conflict} ${table} SET ${column()} = ${
          this.#expression(2)
        }${where}${returning}`;
      case 6:
        return `UPDATE a SET t = o.t FROM b AS o WHERE o.i = a.id${returning}`;
      default:
        // Tables stay small.
        return `DELETE FROM ${table} WHERE id > 12 OR id < 0 OR id = ${
          random.integer(1, 20)
        }${returning}`;
    }
  }

  #definition(): string {
    const random = this.#random;
    const table = random.pick(PASSING);
    const column = random.pick(COLUMNS);
    return random.pick([
      `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, i, r REAL, t TEXT, b, n)`,
      `CREATE TABLE IF NOT EXISTS ${table} (id INTEGER PRIMARY KEY, i UNIQUE, r, t, b, n)`,
      `CREATE TABLE ${table} AS SELECT id, i, r, t, b, n, t || i AS more FROM a`,
      `DROP TABLE ${table}`,
      `DROP TABLE IF EXISTS ${table}`,
      `CREATE INDEX ${table}_${column} ON ${table} (${column})`,
      `CREATE UNIQUE INDEX IF NOT EXISTS ${table}_one ON ${table} (${column}) WHERE id > 3`,
      `DROP INDEX IF EXISTS ${table}_${column}`,
      `DROP INDEX ${table}_one`,
      `ALTER TABLE ${table} ADD COLUMN extra TEXT DEFAULT 'more'`,
      `ALTER TABLE ${table} RENAME COLUMN i TO renamed`,
      `ALTER TABLE ${table} RENAME COLUMN renamed TO i`,
      `ALTER TABLE ${table} DROP COLUMN extra`,
      `ALTER TABLE x RENAME TO y`,
      `CREATE VIEW IF NOT EXISTS over_${table} AS SELECT * FROM ${table}`,
      `DROP VIEW IF EXISTS over_${table}`,
      `REINDEX ${table}`,
      "REINDEX",
      "REINDEX ai",
      `PRAGMA user_version = ${random.integer(0, 9)}`,
    ]);
  }
}
