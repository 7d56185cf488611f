// Proofs over bytecode: what is proved must be so, whatever the data; what people often ask should be proved.

import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import {
  type BytecodeProof,
  FEW_ROWS_MAX,
  type Instruction,
  proveBytecode,
} from "../../src/query/sqlite/bytecode.ts";

function openTable(): DatabaseSync {
  const db = new DatabaseSync(":memory:");
  db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a, u UNIQUE); CREATE INDEX ta ON t (a)");
  db.exec(
    "CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID; CREATE VIRTUAL TABLE ft USING fts5 (x)",
  );
  const series = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 200)";
  db.exec(`INSERT INTO t ${series} SELECT i, i % 5, i FROM c; INSERT INTO w SELECT id, a FROM t`);
  return db;
}

function prove(db: DatabaseSync, sql: string): BytecodeProof {
  return proveBytecode(db.prepare(`EXPLAIN ${sql}`).all() as unknown as Instruction[]);
}

Deno.test("searches by a unique key are short, aggregates give few rows, scans are not proved", () => {
  const db = openTable();
  const short = [
    "SELECT * FROM t WHERE id = ?",
    "SELECT a FROM t WHERE u = ? AND a > 2",
    "SELECT v FROM w WHERE k = ?",
    "SELECT 1 + ?",
    "SELECT max(id) FROM t",
  ];
  for (const sql of short) assertEquals(prove(db, sql), { fewRows: true, short: true }, sql);
  const few = [
    "SELECT count(*) FROM t",
    "SELECT sum(a) FROM t WHERE a > 1",
    "SELECT count(*) FROM t x, t y, t z",
    // The counter-example of DESIGN.md: a search by key with a slow function behind it.
    "SELECT length(hex(zeroblob(400000000))) FROM t WHERE id = 1",
  ];
  for (const sql of few) assertEquals(prove(db, sql), { fewRows: true, short: false }, sql);
  const unproved = [
    "SELECT * FROM t",
    "SELECT * FROM t WHERE a = ?",
    "SELECT * FROM t WHERE id IN (1, 2)",
    "SELECT a FROM t ORDER BY id LIMIT 1",
    "SELECT a, count(*) FROM t GROUP BY a",
    "SELECT * FROM ft WHERE ft MATCH ?",
    "SELECT * FROM json_each(?)",
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c",
  ];
  for (const sql of unproved) assertEquals(prove(db, sql), { fewRows: false, short: false }, sql);
  db.close();
});

Deno.test("what is proved to give few rows gives few rows", () => {
  const db = openTable();
  const term = fc.constantFrom(
    "id",
    "a",
    "u",
    "1",
    "3",
    "id + 1",
    "(SELECT max(a) FROM t)",
    "abs(a)",
  );
  const condition = fc.tuple(
    term,
    fc.constantFrom("=", "<", ">", "<>", "IN (1, 2, 3) OR 1 ="),
    term,
  )
    .map((parts) => parts.join(" "));
  const from = fc.constantFrom(
    "t",
    "t JOIN w ON k = id",
    "(SELECT DISTINCT * FROM t)",
    "t LEFT JOIN w ON k = a",
  );
  const select = fc.tuple(
    fc.constantFrom("id", "count(*)", "max(id)", "a, u", "DISTINCT a", "total(a) OVER ()"),
    from,
    condition,
    condition,
    fc.constantFrom("", "GROUP BY a", "ORDER BY u", "LIMIT 30", "UNION ALL SELECT 1 FROM t"),
  ).map(([what, source, one, two, end]) =>
    `SELECT ${what} FROM ${source} WHERE ${one} AND ${two} ${end}`
  );
  let proved = 0;
  fc.assert(
    fc.property(select, (sql) => {
      let proof: BytecodeProof;
      try {
        proof = prove(db, sql);
      } catch {
        return;
      }
      if (!proof.fewRows) return;
      proved++;
      assert(db.prepare(sql).all().length <= FEW_ROWS_MAX, sql);
    }),
    { seed: 9, numRuns: 1_500 },
  );
  assert(proved > 50, `${proved} were proved`);
  db.close();
});

Deno.test("an instruction that is not known is taken to jump, so it proves nothing wrong", () => {
  const row = { opcode: "ResultRow", p2: 1 };
  assertEquals(proveBytecode([row, { opcode: "Halt", p2: 0 }]), { fewRows: true, short: true });
  const back = { opcode: "Frobnicate", p2: 1 };
  const init = { opcode: "Init", p2: 1 };
  assertEquals(proveBytecode([init, row, back]).fewRows, false);
  assertEquals(proveBytecode([init, row, { opcode: "Yield", p2: 9 }]).fewRows, false);
  const slow = { opcode: "Frobnicate", p2: 0 };
  assertEquals(proveBytecode([slow, row]), { fewRows: true, short: false });
  assertEquals(proveBytecode([]), { fewRows: false, short: false });
});
