// Writes that are committed together behave as if each were alone.

import { assertEquals } from "@std/assert";
import { SqpError } from "../../src/wire/errors.ts";
import { isWrite, type Write } from "../../src/query/sqlite/running_statement.ts";
import { runWriteGroup, type WriteGroupHooks } from "../../src/query/sqlite/write_group.ts";
import { errorOf, MemoryDatabase } from "./query_harness.ts";

const NO_PARAMS = new Uint8Array([0x90]);

/** Runs texts as one group. Gives what came of each and what the hooks were told. */
function runGroup(db: MemoryDatabase, texts: string[], isLong: () => boolean = () => false) {
  const writes = texts.map((sql) => {
    const running = db.runner.start({ sql, params: NO_PARAMS, permissions: 7 });
    if (running.kind === "handOff" || !isWrite(running)) throw new Error(`${sql} does not write`);
    return running;
  });
  const told: string[] = [];
  const numbers = (group: readonly Write[]) => group.map((write) => writes.indexOf(write));
  const hooks: WriteGroupHooks = {
    onRunning: (write) => told.push(`run ${writes.indexOf(write)}`),
    isLong,
    onCommitting: (group) => told.push(`commit ${numbers(group)}`),
    onDone: (group) => told.push(`done ${numbers(group)}`),
  };
  runWriteGroup(writes, hooks);
  const outcomes = writes.map((write) => {
    try {
      return write.next().end!.changes;
    } catch (error) {
      return (error as SqpError).codeName;
    }
  });
  return { told, outcomes };
}

const insert = (id: number, or = "") => `INSERT ${or} INTO t (id) VALUES (${id})`;
const ids = (db: MemoryDatabase) => db.run("SELECT id FROM t ORDER BY id").rows.map(([id]) => id);

function withTable(): MemoryDatabase {
  const db = new MemoryDatabase();
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  return db;
}

Deno.test("a group runs in order and is committed once; a failure stays its own", () => {
  using db = withTable();
  const { told, outcomes } = runGroup(db, [insert(1), insert(2), insert(1), insert(3)]);
  assertEquals(outcomes, [1, 1, "constraint_unique", 1]);
  assertEquals(told, ["run 0", "run 1", "run 2", "run 3", "commit 0,1,2,3", "done 0,1,2,3"]);
  assertEquals(ids(db), [1, 2, 3]);
});

Deno.test("a statement that undoes the whole transaction undoes only itself", () => {
  using db = withTable();
  const { told, outcomes } = runGroup(db, [insert(1), insert(1, "OR ROLLBACK"), insert(2)]);
  assertEquals(outcomes, [1, "constraint_unique", 1]);
  assertEquals(ids(db), [1, 2]);
  // The transaction was gone before anything was said to be committed; then each ran alone.
  assertEquals(told.slice(0, 5), ["run 0", "run 1", "run 0", "commit 0", "done 0"]);
});

Deno.test("INSERT OR FAIL keeps what came before the failure, as it does alone", () => {
  using db = withTable();
  db.run(insert(2));
  const multi = "INSERT OR FAIL INTO t (id) VALUES (1), (2), (3)";
  assertEquals(runGroup(db, [multi, insert(9)]).outcomes, ["constraint_unique", 1]);
  assertEquals(ids(db), [1, 2, 9]);
});

Deno.test("a deferred constraint fails the write that violates it and no other", () => {
  using db = withTable();
  db.run("CREATE TABLE k (t REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)");
  const texts = [insert(1), "INSERT INTO k VALUES (7)", insert(2), "INSERT INTO k VALUES (1)"];
  assertEquals(runGroup(db, texts).outcomes, [1, "constraint_foreign_key", 1, 1]);
  assertEquals(ids(db), [1, 2]);
  assertEquals(db.run("SELECT t FROM k").rows, [[1]]);
});

Deno.test("a group that runs for long is committed in parts", () => {
  using db = withTable();
  const { told } = runGroup(db, [insert(1), insert(2), insert(3)], () => true);
  const part = (n: number) => [`run ${n}`, `commit ${n}`, `done ${n}`];
  assertEquals(told, [...part(0), ...part(1), ...part(2)]);
});

Deno.test("rows that a write returns and that are too many undo that write alone", () => {
  using db = new MemoryDatabase({ returningBytesMax: 1_000 });
  db.run("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  const large = "INSERT INTO t (id) VALUES (5) RETURNING id, zeroblob(2000)";
  assertEquals(runGroup(db, [insert(1), large, insert(2)]).outcomes, [1, "result_too_large", 1]);
  assertEquals(ids(db), [1, 2]);
});

Deno.test("a schema change and writes that use it can be one group", () => {
  using db = withTable();
  db.run("CREATE TABLE u (a)");
  assertEquals(
    runGroup(db, [
      "INSERT INTO u VALUES (1)",
      "ALTER TABLE u ADD COLUMN b",
      "INSERT INTO u VALUES (1)",
    ])
      .outcomes,
    // Prepared when the table had one column.
    [1, 0, "value_error"],
  );
});

Deno.test("a failure keeps its code and its effect, whatever it undoes, also with rows to return", () => {
  for (const returning of ["", " RETURNING a"]) {
    using db = new MemoryDatabase();
    db.run("CREATE TABLE t (a UNIQUE, b NOT NULL DEFAULT 1)");
    db.run("INSERT INTO t (a) VALUES (1)");
    const insert = (conflict: string) => {
      const values = `VALUES (2), (3), (1), (4)${returning}`;
      const { engine } = errorOf(() => db.run(`INSERT ${conflict} INTO t (a) ${values}`));
      return [engine!.code, db.run("SELECT group_concat(a) FROM t").rows[0]![0]];
    };
    assertEquals(insert(""), [2067, "1"]);
    assertEquals(insert("OR ABORT"), [2067, "1"]);
    assertEquals(insert("OR ROLLBACK"), [2067, "1"]);
    assertEquals(insert("OR FAIL"), [2067, "1,2,3"]);
  }
});

Deno.test("a write of the wrong type leaves nothing behind, although SQLite does in a transaction", () => {
  const cases = [
    "UPDATE t SET v = CASE id WHEN 1 THEN 7 ELSE 'x' END",
    "UPDATE t SET v = CASE id WHEN 1 THEN 7 ELSE 'x' END RETURNING id",
    "INSERT OR REPLACE INTO t VALUES (5, 1), (6, 'x')",
    "INSERT OR IGNORE INTO t VALUES (5, 1), ('x', 1)",
    "UPDATE OR REPLACE t SET id = CASE id WHEN 2 THEN 'x' ELSE id + 100 END",
  ];
  for (const sql of cases) {
    using db = new MemoryDatabase();
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT) STRICT");
    db.run("INSERT INTO t VALUES (1, 1), (2, 2)");
    assertEquals(db.errorName(sql), "constraint_type", sql);
    assertEquals(db.run("SELECT * FROM t").rows, [[1, 1], [2, 2]], sql);
    const insert = (id: number) => `INSERT INTO t VALUES (${id}, ${id})`;
    const { outcomes } = runGroup(db, [insert(3), sql, insert(4)]);
    assertEquals(outcomes, [1, "constraint_type", 1], sql);
    const expected = [[1, 1], [2, 2], [3, 3], [4, 4]];
    assertEquals(db.run("SELECT * FROM t").rows, expected, sql);
  }
});
