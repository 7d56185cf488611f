// The reader of SQLite's changesets, held against the database itself: what it reads, applied by hand, is what the
// database did.

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex } from "../../src/base/bytes.ts";
import { readChangeset, type RowChange } from "../../src/query/sqlite/changeset.ts";
import {
  type NodeDatabase,
  openDatabase,
  type SqliteValue,
} from "../../src/query/sqlite/node_sqlite.ts";
import { Random } from "../harness/random.ts";

const SEED = 6_021;

/** Tables of every kind that a changeset can tell of. Generated columns are computed, not told. */
const SCHEMA = [
  "CREATE TABLE rowid_key (id INTEGER PRIMARY KEY, a, b REAL, c TEXT)",
  "CREATE TABLE pair (x TEXT NOT NULL, v BLOB, y INT NOT NULL, w, PRIMARY KEY (y, x))",
  "CREATE TABLE no_rowid (k, v, n NUMERIC, PRIMARY KEY (k)) WITHOUT ROWID",
  'CREATE TABLE "odd ""näme" (g AS (v || "kéy"), "kéy" ANY PRIMARY KEY NOT NULL, v, h AS (v) STORED)',
];

/** For each table its columns that are stored, and which of them are the key. */
const TABLES: Readonly<Record<string, { columns: string[]; keys: string[] }>> = {
  rowid_key: { columns: ["id", "a", "b", "c"], keys: ["id"] },
  pair: { columns: ["x", "v", "y", "w"], keys: ["x", "y"] },
  no_rowid: { columns: ["k", "v", "n"], keys: ["k"] },
  'odd "näme': { columns: ["kéy", "v"], keys: ["kéy"] },
};

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

function openEmpty(): NodeDatabase {
  const database = openDatabase(":memory:", { readBigInts: true, returnArrays: true });
  for (const sql of SCHEMA) database.exec(sql);
  return database;
}

/** Everything in the database, in a form in which values are equal only where they are the same. */
function dump(database: NodeDatabase): string[] {
  return Object.entries(TABLES).flatMap(([table, { columns }]) =>
    database.prepare(
      `SELECT ${columns.map((c) => `typeof(${quote(c)}) || quote(${quote(c)})`).join(" || ';' || ")}
       FROM ${quote(table)} ORDER BY 1`,
    ).all().map(([row]) => `${table}: ${row}`)
  );
}

/** Does to a database what changesets tell, with nothing but them to go by. */
function apply(database: NodeDatabase, changes: readonly RowChange[]): void {
  for (const { table: { name, isKey } } of changes) {
    const { columns, keys } = TABLES[name]!;
    assertEquals(columns.filter((_, i) => isKey[i]), keys, name);
  }
  // Two rows may swap a value that is unique, so whatever goes, goes first.
  for (const { table, before } of changes) if (before) remove(database, table.name, before);
  for (const { table, before, after } of changes) {
    if (!after) continue;
    const known = after.map((value, i) => value === undefined ? before?.[i] : value);
    insert(database, table.name, known);
  }
}

const removed = new Map<string, SqliteValue[]>();
const keyText = (key: readonly unknown[]) => key.map((v) => `${typeof v}${String(v)}`).join();

function remove(
  database: NodeDatabase,
  table: string,
  before: readonly (SqliteValue | undefined)[],
): void {
  const { columns, keys } = TABLES[table]!;
  const key = before.filter((_, i) => keys.includes(columns[i]!));
  const where = keys.map((k) => `${quote(k)} IS ?`).join(" AND ");
  const list = columns.map(quote).join();
  const row = database.prepare(`SELECT ${list} FROM ${quote(table)} WHERE ${where}`).get(...key);
  assert(row !== undefined, `${table} has no row ${keyText(key)}`);
  before.forEach((value, i) => value === undefined || assertEquals(row[i], value));
  removed.set(`${table} ${keyText(key)}`, row);
  database.prepare(`DELETE FROM ${quote(table)} WHERE ${where}`).run(...key);
}

function insert(
  database: NodeDatabase,
  table: string,
  after: readonly (SqliteValue | undefined)[],
): void {
  const { columns, keys } = TABLES[table]!;
  const key = after.filter((_, i) => keys.includes(columns[i]!));
  const old = removed.get(`${table} ${keyText(key)}`);
  const values = after.map((value, i) => value === undefined ? old![i] : value);
  database.prepare(
    `INSERT INTO ${quote(table)} (${columns.map(quote)}) VALUES (${columns.map(() => "?")})`,
  ).run(...values);
}

function randomValue(random: Random): SqliteValue {
  switch (random.integer(0, 5)) {
    case 0:
      return null;
    case 1:
      return random.pick([0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]);
    case 2:
      return random.pick([-0, 0, 0.1, 1, -1e300, 5e-324, Infinity, -Infinity, 2 ** 53]);
    case 3:
      return random.pick(["", "1", "1.0", "é😀", "\ufeffx", "x".repeat(127), "x".repeat(16_384)]);
    case 4:
      return random.bytes(random.pick([0, 1, 127, 128, 300]));
    default:
      return BigInt(random.integer(-3, 3));
  }
}

/** Keys come from a small set, so that rows meet. */
function randomKey(random: Random, column: string): SqliteValue {
  const number = random.integer(0, 9);
  if (column === "id" || column === "y") return BigInt(number);
  return random.pick([`k${number}`, "ключ😀", number / 4]);
}

function randomStatement(random: Random, database: NodeDatabase): void {
  const table = random.pick(Object.keys(TABLES));
  const { columns, keys } = TABLES[table]!;
  const name = quote(table);
  const values = columns.map((c) => keys.includes(c) ? randomKey(random, c) : randomValue(random));
  const key = keys.map((k) => randomKey(random, k));
  const where = keys.map((k) => `${quote(k)} = ?`).join(" AND ");
  switch (random.integer(0, 4)) {
    case 0:
      database.prepare(`DELETE FROM ${name} WHERE ${where}`).run(...key);
      break;
    case 1: {
      // A key that moves is a delete and an insert to a changeset.
      const column = random.pick(columns);
      database.prepare(`UPDATE OR REPLACE ${name} SET ${quote(column)} = ? WHERE ${where}`)
        .run(values[columns.indexOf(column)], ...key);
      break;
    }
    default: {
      const marks = columns.map(() => "?");
      database.prepare(`REPLACE INTO ${name} (${columns.map(quote)}) VALUES (${marks})`)
        .run(...values);
    }
  }
}

/** Runs random statements and gives the changesets of all tables. */
function randomChangesets(random: Random, database: NodeDatabase, count: number): Uint8Array[] {
  const sessions = Object.keys(TABLES).map((table) => database.createSession({ table }));
  for (let i = 0; i < count; i++) randomStatement(random, database);
  return sessions.map((session) => {
    const bytes = session.changeset();
    session.close();
    return bytes;
  });
}

Deno.test("a changeset applied by hand gives exactly the database that it was taken from", () => {
  for (let seed = SEED; seed < SEED + 60; seed++) {
    const random = new Random(seed);
    const [database, copy] = [openEmpty(), openEmpty()];
    for (let round = 0; round < 6; round++) {
      const changesets = randomChangesets(random, database, random.integer(1, 25));
      removed.clear();
      apply(copy, changesets.flatMap((bytes) => [...readChangeset(bytes)]));
      assertEquals(dump(copy), dump(database), `seed ${seed}, round ${round}`);
    }
    database.close();
    copy.close();
  }
});

Deno.test("what a transaction undid, and what it left as it was, is in no changeset", () => {
  const database = openEmpty();
  database.exec("INSERT INTO rowid_key VALUES (1, 'a', 1.5, 'c')");
  const session = database.createSession({ table: "rowid_key" });
  database.exec("BEGIN; SAVEPOINT s; UPDATE rowid_key SET a = 'b'; ROLLBACK TO s");
  database.exec("UPDATE rowid_key SET b = 1.5; INSERT INTO rowid_key VALUES (2, 0, 0, 0)");
  database.exec("DELETE FROM rowid_key WHERE id = 2; COMMIT");
  assertEquals([...readChangeset(session.changeset())], []);
  database.close();
});

Deno.test("text is told with U+0000 and whatever SQLite stores that is no UTF-8", () => {
  const database = openEmpty();
  const session = database.createSession({ table: "rowid_key" });
  database.exec(
    "INSERT INTO rowid_key VALUES (1, 'a' || char(0) || 'é😀', -0.0, CAST(x'ff41' AS TEXT))",
  );
  const [{ operation, before, after }] = [...readChangeset(session.changeset())] as [RowChange];
  assertEquals([operation, before], ["insert", undefined]);
  assertEquals(after, [1n, "a\0é😀", 0, "\ufffdA"]);
  database.close();
});

Deno.test("a trap: rows whose key holds NULL are in no changeset", () => {
  const database = openDatabase(":memory:", { readBigInts: true, returnArrays: true });
  database.exec("CREATE TABLE t (id TEXT PRIMARY KEY, v)");
  const session = database.createSession({ table: "t" });
  database.exec("INSERT INTO t VALUES (NULL, 1), ('a', 2)");
  assertEquals([...readChangeset(session.changeset())].length, 1);
  database.close();
});

Deno.test("a changeset that is cut anywhere is refused, or tells fewer changes", () => {
  const random = new Random(SEED);
  const database = openEmpty();
  const count = (bytes: Uint8Array) => [...readChangeset(bytes)].length;
  for (let round = 0; round < 8; round++) {
    for (const bytes of randomChangesets(random, database, 12)) {
      const whole = count(bytes);
      let refused = 0;
      for (let length = 0; length < Math.min(bytes.length, 2_000); length++) {
        try {
          assert(count(bytes.subarray(0, length)) < whole || length === bytes.length);
        } catch (error) {
          assertInstanceOf(error, DecodeError);
          refused++;
        }
      }
      // Only where one change ends and the next begins does a cut leave a changeset.
      assert(bytes.length === 0 || refused > Math.min(bytes.length, 2_000) - whole - 2);
    }
  }
  database.close();
});

Deno.test("bytes that are no changeset are refused with a typed error", () => {
  const random = new Random(SEED);
  const database = openEmpty();
  const samples = randomChangesets(random, database, 40);
  database.close();
  fc.assert(
    fc.property(
      fc.constantFrom(...samples),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (sample, edits) => {
        const bytes = sample.slice();
        for (const [at, byte] of edits) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        try {
          Array.from(readChangeset(bytes));
        } catch (error) {
          assertInstanceOf(error, DecodeError);
        }
      },
    ),
    { numRuns: 3_000, seed: SEED },
  );
});

for (
  const [why, hex] of [
    ["a patchset", "5001017400"],
    ["a change before its table", "12000105"],
    ["no columns", "54007400"],
    ["no key", "5401007400"],
    ["an unknown operation", "54010174001300 01"],
    ["an unknown type of value", "5401017400120006"],
    ["an insert that leaves a value out", "5402010074001200 050000"],
    ["an update without its key", "5402010074001700 0005 0005"],
    ["an update that leaves out what was there before", "54020100740017000500 0005"],
    ["a length of 35 bits", "54010174001200 03ffffffffff7f"],
    ["a length past the end", "54010174001200 03 05 6161"],
    ["a flag of 2", "54010174001202 05"],
  ] as const
) {
  Deno.test(`not a changeset: ${why}`, () => {
    assertThrows(() => [...readChangeset(fromHex(hex.replaceAll(" ", "")))], DecodeError);
  });
}
