// What a writing connection puts in the log of changes.

import { assert, assertEquals } from "@std/assert";
import { type CaptureLimits, ChangeCapture } from "../../src/query/sqlite/change_capture.ts";
import { type NodeDatabase, openDatabase } from "../../src/query/sqlite/node_sqlite.ts";
import { decodeFeedPage, encodeChanges, type FeedChange } from "../../src/wire/feed_page.ts";

const LIMITS: CaptureLimits = {
  changesMsMax: 10_000,
  changesBytesMax: 1_000_000,
  changesetBytesMax: 100_000,
};

interface Logged {
  readonly ends: boolean;
  readonly table: string;
  /** Changes, or why feeds of the table cannot go on. */
  readonly what: readonly FeedChange[] | string;
}

/** A database with one writing connection, and others where a test wants them. */
class Captured implements Disposable {
  readonly database: NodeDatabase;
  readonly capture: ChangeCapture;
  nowMs = 0;

  constructor(schema: string, watched: readonly string[], limits: Partial<CaptureLimits> = {}) {
    this.database = openDatabase(":memory:", { readBigInts: true, returnArrays: true });
    this.database.exec(schema);
    this.capture = this.connect(limits);
    this.database.exec("BEGIN");
    const outcome = this.capture.watch(watched);
    this.database.exec("COMMIT");
    assert(!("unsupported" in outcome), JSON.stringify(outcome));
  }

  connect(limits: Partial<CaptureLimits> = {}): ChangeCapture {
    return new ChangeCapture(this.database, { ...LIMITS, ...limits }, () => this.nowMs);
  }

  /** Runs statements as one unit; `dropped` are the tables that they name to be dropped. */
  unit(sql: string, dropped: readonly string[] = []): Logged[] {
    const from = this.headId;
    this.database.exec("BEGIN IMMEDIATE");
    this.capture.begin();
    this.database.exec(sql);
    this.capture.finish(dropped);
    this.database.exec("COMMIT");
    return this.after(from);
  }

  rolledBack(sql: string): void {
    this.database.exec("BEGIN IMMEDIATE");
    this.capture.begin();
    this.database.exec(sql);
    this.capture.finish();
    this.database.exec("ROLLBACK");
    this.capture.abandon();
  }

  get headId(): number {
    return Number(this.database.prepare("SELECT max(id) FROM sqp_changes").get()![0]);
  }

  get ids(): number[] {
    return this.database.prepare("SELECT id FROM sqp_changes ORDER BY id").all().map(([id]) =>
      Number(id)
    );
  }

  after(id: number): Logged[] {
    return this.database.prepare(
      "SELECT ends, table_name, change_count, body FROM sqp_changes WHERE id > ? ORDER BY id",
    ).all(BigInt(id)).map(([ends, table, count, body]) => ({
      ends: ends === 1n,
      table: table as string,
      what: count === 0n
        ? new TextDecoder().decode(body as Uint8Array)
        : this.#changes(table as string, Number(count), body as Uint8Array),
    }));
  }

  #changes(table: string, count: number, body: Uint8Array): readonly FeedChange[] {
    const { length } = this.database.prepare(
      "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0",
    )
      .all(table);
    const page = decodeFeedPage(encodeChanges(0, count, body).subarray(4), [length]);
    assert(page?.kind === "changes");
    return page.changes;
  }

  [Symbol.dispose](): void {
    this.database.close();
  }
}

const T = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'x', 1.0)";

Deno.test("an update is told with all values before and after, the unchanged ones included", () => {
  using db = new Captured(T, ["t"]);
  assertEquals(db.unit("UPDATE t SET a = 'y'"), [
    { ends: true, table: "t", what: [{ before: [1, "x", 1], after: [1, "y", 1] }] },
  ]);
  assertEquals(db.unit("DELETE FROM t"), [
    { ends: true, table: "t", what: [{ before: [1, "y", 1], after: null }] },
  ]);
  assertEquals(db.unit("INSERT INTO t VALUES (2, NULL, x'00')"), [
    { ends: true, table: "t", what: [{ before: null, after: [2, null, new Uint8Array(1)] }] },
  ]);
});

Deno.test("a key whose number comes to be of the other kind is a row gone and a new one", () => {
  using db = new Captured(
    "CREATE TABLE t (k PRIMARY KEY NOT NULL, a); INSERT INTO t VALUES (1, 2)",
    ["t"],
  );
  assertEquals(db.unit("UPDATE t SET k = 1.0"), [{
    ends: true,
    table: "t",
    what: [{ before: [1, 2], after: null }, { before: null, after: [1, 2] }],
  }]);
});

Deno.test("a unit that changes nothing, in the end, leaves no row in the log", () => {
  using db = new Captured(T, ["t"]);
  assertEquals(db.unit("INSERT INTO t VALUES (2, 0, 0); DELETE FROM t WHERE id = 2"), []);
  assertEquals(db.unit("UPDATE t SET a = a"), []);
  assertEquals(db.unit("CREATE TABLE other (x); INSERT INTO other VALUES (1)"), []);
});

Deno.test("units that are committed together are transactions of their own", () => {
  using db = new Captured(T, ["t"]);
  const from = db.headId;
  db.database.exec("BEGIN IMMEDIATE");
  for (const id of [2, 3]) {
    db.capture.begin();
    db.database.exec(`INSERT INTO t VALUES (${id}, 0, 0)`);
    db.capture.finish();
  }
  db.database.exec("COMMIT");
  assertEquals(db.after(from).map(({ ends }) => ends), [true, true]);
});

Deno.test("a transaction over several tables and many rows ends once, with its last row", () => {
  using db = new Captured(`${T}; CREATE TABLE u (k TEXT PRIMARY KEY NOT NULL, v)`, ["t", "U"]);
  const logged = db.unit(
    `INSERT INTO u VALUES ('k', 0);
     WITH RECURSIVE c(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM c WHERE i < 1500)
     INSERT INTO t SELECT i, hex(zeroblob(20)), i FROM c`,
  );
  assert(logged.length > 2);
  assertEquals(logged.map(({ ends }) => ends), logged.map((_, i) => i === logged.length - 1));
  const count = (table: string) =>
    logged.filter((row) => row.table === table).reduce((n, { what }) => n + what.length, 0);
  assertEquals([count("t"), count("u")], [1_491, 1]);
});

Deno.test("a change of 2 MiB has a row of its own; a larger one resets the feeds of its table", () => {
  using db = new Captured(T, ["t"], { changesetBytesMax: 1e9 });
  const logged = db.unit(
    "UPDATE t SET b = 2; INSERT INTO t VALUES (2, zeroblob(2097152), 0), (3, 0, 0)",
  );
  assertEquals(logged.reduce((n, { what }) => n + what.length, 0), 3);
  assert(logged.length > 1);
  const larger = db.unit("INSERT INTO t VALUES (4, zeroblob(2097200), 0)");
  assertEquals(larger, [{ ends: true, table: "t", what: "transaction_too_large" }]);
});

Deno.test("a transaction whose changeset is too large resets the feeds of its table alone", () => {
  using db = new Captured(`${T}; CREATE TABLE u (k INTEGER PRIMARY KEY, v)`, ["t", "u"]);
  const logged = db.unit("UPDATE t SET a = zeroblob(200000); INSERT INTO u VALUES (1, 2)");
  assertEquals(logged, [
    { ends: false, table: "u", what: [{ before: null, after: [1, 2] }] },
    { ends: true, table: "t", what: "transaction_too_large" },
  ]);
});

for (
  const [what, sql, dropped] of [
    ["a new column", "ALTER TABLE t ADD COLUMN c", []],
    ["a column less", "ALTER TABLE t DROP COLUMN b", []],
    ["another name of a column", "ALTER TABLE t RENAME COLUMN a TO z", []],
    ["another name", "ALTER TABLE t RENAME TO z", []],
    ["a drop", "DROP TABLE t", ["t"]],
    ["a drop of a table made anew", "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)", [
      "T",
    ]],
  ] as const
) {
  Deno.test(`another schema resets the feeds of its table: ${what}`, () => {
    using db = new Captured(T, ["t"]);
    const reset = [{ ends: true, table: "t", what: "schema_changed" }];
    assertEquals(db.unit(`UPDATE t SET a = 1; ${sql}`, dropped), reset);
    assertEquals(db.unit("CREATE TABLE other (x)"), []);
  });
}

Deno.test("a schema that was changed by somebody else is seen before the next unit", () => {
  using db = new Captured(T, ["t"]);
  db.unit("UPDATE t SET a = 1");
  db.database.exec("ALTER TABLE t ADD COLUMN c DEFAULT 7");
  assertEquals(db.unit("UPDATE t SET a = 2"), [
    { ends: true, table: "t", what: "schema_changed" },
    { ends: true, table: "t", what: [{ before: [1, 1, 1, 7], after: [1, 2, 1, 7] }] },
  ]);
});

Deno.test("a schema change that is rolled back is forgotten", () => {
  using db = new Captured(T, ["t"]);
  db.rolledBack("ALTER TABLE t ADD COLUMN c");
  // The same number of schema changes later, but another schema.
  db.database.exec("CREATE TABLE other (x)");
  assertEquals(db.unit("UPDATE t SET a = 2").map(({ what }) => what), [
    [{ before: [1, "x", 1], after: [1, 2, 1] }],
  ]);
});

Deno.test("a table that another connection watches is captured here from then on", () => {
  using db = new Captured(`${T}; CREATE TABLE u (k INTEGER PRIMARY KEY)`, ["t"]);
  assertEquals(db.unit("INSERT INTO u VALUES (1)"), []);
  db.database.exec("BEGIN");
  const outcome = db.connect().watch(["u"]);
  db.database.exec("COMMIT");
  assert(!("unsupported" in outcome));
  assertEquals(outcome.tables.map(({ sinceId }) => sinceId), [outcome.headId]);
  assertEquals(db.unit("INSERT INTO u VALUES (2)").length, 1);
});

Deno.test("a key that comes to hold NULL resets the feeds of its table, and it is watched no longer", () => {
  using db = new Captured("CREATE TABLE t (id TEXT PRIMARY KEY, a)", ["t"]);
  assertEquals(db.unit("INSERT INTO t VALUES ('k', 1)").length, 1);
  assertEquals(db.unit("INSERT INTO t VALUES (NULL, 1)").map(({ what }) => what), ["null_key"]);
  assertEquals(db.unit("INSERT INTO t VALUES ('l', 1)"), []);
  db.database.exec("BEGIN");
  assertEquals(db.capture.watch(["t"]), {
    unsupported: [{ missing: false, why: "The key of the table t holds NULL." }],
  });
  db.database.exec("DELETE FROM t WHERE id IS NULL");
  assert("tables" in db.capture.watch(["t"]));
  db.database.exec("COMMIT");
  assertEquals(db.unit("INSERT INTO t VALUES ('m', 1)").length, 1);
});

Deno.test("tables whose changes cannot be told are named", () => {
  using db = new Captured(
    `${T}; CREATE TABLE plain (a); CREATE VIEW v AS SELECT 1;
     CREATE TABLE pair (a, b NOT NULL, PRIMARY KEY (a, b));
     CREATE TABLE nocase (a TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;
     CREATE TABLE mixed (a TEXT COLLATE RTRIM NOT NULL, PRIMARY KEY (a COLLATE BINARY));
     CREATE TABLE of_index (a TEXT NOT NULL, PRIMARY KEY (a COLLATE NOCASE));
     CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE w (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID`,
    ["t", "w"],
  );
  db.database.exec("BEGIN");
  const outcome = db.capture.watch([
    "t",
    "plain",
    "v",
    "pair",
    "nocase",
    "mixed",
    "of_index",
    "f",
    "f_data",
    "none",
    "sqp_changes",
    "sqlite_schema",
  ]);
  db.database.exec("COMMIT");
  assert("unsupported" in outcome);
  assertEquals(outcome.unsupported.map(({ why }) => why), [
    "The table plain has no primary key.",
    "v is no ordinary table.",
    "The column a of the key of pair is not declared NOT NULL.",
    ...["nocase by NOCASE", "mixed by RTRIM", "of_index by NOCASE"].map((which) =>
      `The key of the table ${
        which.replace(" by ", " compares texts by ")
      }, so that different ones are the same.`
    ),
    "f is no ordinary table.",
    "f_data is no ordinary table.",
    "There is no table none.",
    "There is no table sqp_changes.",
    "sqlite_schema is no ordinary table.",
  ]);
});

Deno.test("the log is kept within its bytes and its time, and its last row stays", () => {
  using db = new Captured(T, ["t"], { changesBytesMax: 20_000 });
  for (let i = 0; i < 600; i++) db.unit(`UPDATE t SET a = '${"x".repeat(100)}' || ${i}`);
  const { ids, headId } = db;
  assertEquals(headId, 601);
  assertEquals(ids, ids.map((_, i) => ids[0]! + i));
  // About 270 bytes each; what was appended since the last look is beyond the limit.
  assert(ids.length >= 60 && ids.length <= 64 + 20_000 / 250, `${ids.length} rows`);
  db.nowMs = 20_000;
  for (let i = 0; i < 64; i++) db.unit(`UPDATE t SET a = ${i}`);
  assert(db.ids.length <= 64, `${db.ids.length} rows`);
  assertEquals(db.ids.at(-1), db.headId);
});
