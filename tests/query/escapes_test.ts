// Ways out of what a caller may do, tried on each engine with its processes and connections as they are.

import { assert, assertEquals } from "@std/assert";
import type { Engine, Permission } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import type { SqliteDatabase } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { whyNoPostgres } from "../harness/postgres_server.ts";
import { AskedSession, errorName } from "./asked_session.ts";
import { TestFeed } from "./feed_harness.ts";
import {
  CAPTURE_NAMES,
  type CaptureName,
  captureServers,
  feedTestName,
} from "./postgres_feed_harness.ts";
import { ALL, ask, askError, CANNOT_RUN_PROCESSES } from "./query_harness.ts";
import { REFUSED_TEXTS } from "./refused_texts.ts";

const only = (...permissions: Permission[]) => ({ permissions });

// SQLite

function sqliteTest(
  name: string,
  fn: (engine: SqliteDatabase, folder: string) => Promise<void>,
): void {
  Deno.test({
    name: `SQLite: ${name}`,
    ignore: CANNOT_RUN_PROCESSES,
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "sqp-test-" });
      const engine = await openSqliteEngine({
        database: `${folder}/test.sqlite`,
        pool: { readersMin: 1, readersMax: 1 },
      });
      try {
        await ask(engine, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
        await fn(engine, folder);
      } finally {
        await engine.close();
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

sqliteTest("what no permission allows is refused alone, in a batch, in a transaction", async (
  engine,
  folder,
) => {
  const files = () => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  const state = async () => {
    const names = ["journal_mode", "foreign_keys", "user_version", "schema_version", "synchronous"];
    const values = [];
    for (const name of names) values.push((await ask(engine, `PRAGMA ${name}`)).rows);
    values.push((await ask(engine, "SELECT name FROM sqlite_schema ORDER BY 1")).rows);
    return values;
  };
  // Outcomes have a table of their own, made when the first is stored.
  await ask(engine, "INSERT INTO t (a) VALUES (1)", { idempotencyKey: "first" });
  const before = [await state(), files()];
  const refused = new Set(["statement_not_allowed", "permission_denied"]);
  // In a transaction SQLite itself refuses to begin one, VACUUM's.
  const isRefused = (name: string | undefined, sql: string) =>
    refused.has(name!) || name === "value_error" && sql.startsWith("VACUUM");
  for (const permissions of [ALL, ["read"], ["write"], ["schema"]] as const) {
    const session = new AskedSession(engine, "tester", permissions);
    for (const sql of REFUSED_TEXTS) {
      const name = await errorName(session.execute(sql));
      assert(isRefused(name, sql), `${sql}: ${name}`);
      if (permissions === ALL) assertEquals(name, "statement_not_allowed", sql);
      const ofBatch = await errorName(session.batch([{ sql }]));
      assert(isRefused(ofBatch, sql), `${sql}: ${ofBatch}`);
    }
    for (const readOnly of [false, true]) {
      const transaction = session.begin({ readOnly });
      await transaction.savepoint(1);
      for (const sql of REFUSED_TEXTS) {
        for (const run of [() => transaction.execute(sql), () => transaction.batch([{ sql }])]) {
          const name = await errorName(run());
          await transaction.rollbackTo(1);
          assert(isRefused(name, sql), `${sql}: ${name}`);
        }
      }
      await transaction.rollback();
    }
  }
  assertEquals([await state(), files()], before);
  assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
});

sqliteTest(
  "a key runs no text that ends transactions, and is not used up by it",
  async (engine) => {
    for (const sql of ["COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT sqp", "RELEASE sqp"]) {
      const options = { idempotencyKey: sql };
      assertEquals(await askError(engine, sql, options), "statement_not_allowed");
      await ask(engine, "INSERT INTO t (a) VALUES (1)", options);
    }
    assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[5]]);
  },
);

sqliteTest("the engine's own tables are nobody's, by whatever name or way", async (engine) => {
  await ask(engine, "INSERT INTO t (a) VALUES (1)", { idempotencyKey: "k" });
  const [[table]] = (await ask(
    engine,
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'sqp%' ORDER BY 1 LIMIT 1",
  )).rows as [[string]];
  const texts = [
    `SELECT * FROM ${table}`,
    `SELECT count(*) FROM main."${table.toUpperCase()}"`,
    `WITH x AS (SELECT * FROM ${table}) SELECT 1 FROM x`,
    `SELECT 1 WHERE EXISTS (SELECT 1 FROM ${table})`,
    `DELETE FROM ${table}`,
    `INSERT INTO ${table} SELECT * FROM ${table}`,
    `DROP TABLE ${table}`,
    `ALTER TABLE ${table} RENAME TO mine`,
    `ALTER TABLE ${table} ADD COLUMN mine`,
    `CREATE INDEX mine ON ${table} (rowid)`,
    `CREATE TRIGGER mine AFTER INSERT ON ${table} BEGIN SELECT 1; END`,
    "CREATE TABLE sqp_mine (a)",
    "CREATE VIEW SQP_mine AS SELECT 1",
    "ALTER TABLE t RENAME TO sqp_mine",
  ];
  for (const permissions of [ALL, ["read"], ["write"], ["schema"]] as const) {
    for (const sql of texts) {
      const name = await askError(engine, sql, { permissions });
      assert(["statement_not_allowed", "permission_denied"].includes(name), `${sql}: ${name}`);
    }
  }
  // A view or a trigger may name them, and is of no use to anybody.
  await ask(engine, `CREATE VIEW v AS SELECT * FROM ${table}`, only("schema"));
  assertEquals(await askError(engine, "SELECT * FROM v"), "statement_not_allowed");
  await ask(
    engine,
    `CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM ${table}; END`,
    only("schema"),
  );
  assertEquals(await askError(engine, "INSERT INTO t VALUES (7, 7)"), "statement_not_allowed");
  await ask(engine, "DROP TRIGGER tr", only("schema"));
  // The key is still known.
  await ask(engine, "INSERT INTO t (a) VALUES (1)", { idempotencyKey: "k" });
  assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
});

sqliteTest("views and triggers of a weaker principal do what the one who uses them may", async (
  engine,
) => {
  const schema = only("schema");
  await ask(engine, "CREATE TABLE log (a)");
  await ask(engine, "CREATE VIEW all_of_t AS SELECT * FROM t", schema);
  assertEquals(await askError(engine, "SELECT * FROM all_of_t", schema), "permission_denied");
  assertEquals(
    await askError(engine, "CREATE TABLE copy AS SELECT * FROM t", schema),
    "permission_denied",
  );
  // Who may only write reads nothing by way of a trigger.
  await ask(
    engine,
    "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log SELECT count(*) FROM t; END",
    schema,
  );
  const insert = "INSERT INTO t (a) VALUES (1)";
  assertEquals(await askError(engine, insert, only("write")), "permission_denied");
  await ask(engine, insert, only("read", "write"));
  await ask(engine, "DROP TRIGGER tr", schema);
  for (const escape of ["SELECT load_extension('x')", "SELECT writefile('x', 'y')"]) {
    const create = `CREATE TRIGGER tr AFTER INSERT ON t BEGIN ${escape}; END`;
    const created = await errorName(new AskedSession(engine, "tester", ["schema"]).execute(create));
    if (created !== undefined) continue;
    const name = await askError(engine, insert);
    assert(["statement_not_allowed", "syntax", "value_error"].includes(name), name);
    await ask(engine, "DROP TRIGGER tr", schema);
  }
  assertEquals((await ask(engine, "SELECT (SELECT count(*) FROM t), count(*) FROM log")).rows, [
    [1, 1],
  ]);
});

sqliteTest("what was proved and prepared for one set of permissions is nothing to another", async (
  engine,
) => {
  await ask(engine, "INSERT INTO t VALUES (1, 'secret')");
  const texts = ["SELECT a FROM t WHERE id = 1", "SELECT a FROM t", "SELECT max(a) FROM t"];
  const weak = [only("write"), only("schema"), only("write", "schema"), only()];
  for (const sql of texts) {
    for (let run = 0; run < 4; run++) {
      assertEquals((await ask(engine, sql, only("read"))).rows, [["secret"]]);
      for (const permissions of weak) {
        assertEquals(await askError(engine, sql, permissions), "permission_denied", sql);
      }
    }
  }
  assert(engine.status().counters["inPlace"]! > 0);
});

// PostgreSQL

const why = whyNoPostgres();
const servers = captureServers();

/** A test with a table `secret` that only the login of all permissions may read. */
function postgresTest(
  name: string,
  fn: (engine: Engine, capture: CaptureName) => Promise<void>,
  captures: readonly CaptureName[] = ["triggers"],
): void {
  for (const capture of captures) {
    Deno.test({
      name: feedTestName(name, capture),
      ignore: why !== undefined,
      async fn() {
        const server = servers.get(capture)!;
        await server.makeDatabase("escapes");
        const engine = await openPostgresEngine({ url: server.url("escapes") });
        try {
          await ask(engine, "CREATE TABLE secret (a int)");
          await ask(engine, "INSERT INTO secret VALUES (42)");
          await ask(engine, "REVOKE ALL ON secret FROM sqp_read, sqp_read_write");
          await fn(engine, capture);
        } finally {
          await engine.close();
        }
      },
    });
  }
}

const schema = { ...only("schema"), principal: "mallory" } as const;

/** Runs as the login that runs it, and gives away what that one has. */
const GIVE_AWAY = "EXECUTE 'GRANT ALL ON public.secret TO sqp_schema'";

/** Functions and operators in `public` that suit what the engine asks better than the server's own do. */
const IMPOSTORS: readonly string[] = [
  `CREATE FUNCTION public.impostor(jsonb, jsonb) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN ${GIVE_AWAY}; RETURN 'x'; END $$`,
  "CREATE OPERATOR public.->> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = public.impostor)",
  `CREATE FUNCTION public.format_type(oid, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN ${GIVE_AWAY}; RETURN 'x'; END $$`,
  `CREATE FUNCTION public.pg_advisory_xact_lock(int) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN ${GIVE_AWAY}; END $$`,
  `CREATE FUNCTION public.pg_table_size(text) RETURNS bigint LANGUAGE plpgsql AS
    $$ BEGIN ${GIVE_AWAY}; RETURN 1; END $$`,
  ...[
    ["=", "information_schema.sql_identifier", "information_schema.sql_identifier"],
    ["<>", "information_schema.sql_identifier", "name"],
    ["=", "information_schema.character_data", "information_schema.character_data"],
  ].flatMap(([operator, left, right], at) => [
    `CREATE FUNCTION public.impostor${at}(${left}, ${right}) RETURNS boolean LANGUAGE plpgsql AS
      $$ BEGIN ${GIVE_AWAY}; RETURN true; END $$`,
    `CREATE OPERATOR public.${operator}
      (LEFTARG = ${left}, RIGHTARG = ${right}, FUNCTION = public.impostor${at})`,
  ]),
];

postgresTest(
  "what the engine asks as the owner runs nothing that others have made",
  async (engine) => {
    for (const sql of IMPOSTORS) await ask(engine, sql, schema);
    assertEquals(await askError(engine, "SELECT * FROM secret", schema), "permission_denied");
    await ask(engine, "CREATE TYPE mood AS ENUM ('sad')", schema);
    await ask(engine, "SELECT 'sad'::mood", schema);
    await ask(engine, "CREATE TABLE t (id int PRIMARY KEY)");
    await ask(engine, "INSERT INTO t VALUES (1)", { idempotencyKey: "k" });
    const feed = new TestFeed(engine, { tables: ["t"] });
    await feed.started;
    await ask(engine, "INSERT INTO t VALUES (2)");
    await feed.next();
    assertEquals(await askError(engine, "SELECT * FROM secret", schema), "permission_denied");
  },
  CAPTURE_NAMES,
);

postgresTest("no feed reads a table by which its owner could run something", async (engine) => {
  const evil = (name: string, type: string, result: string) =>
    `CREATE FUNCTION ${name}(${type}) RETURNS ${result} LANGUAGE plpgsql AS
      $$ BEGIN ${GIVE_AWAY}; RETURN 'null'; END $$`;
  for (
    const sql of [
      "CREATE TYPE mood AS ENUM ('sad')",
      "CREATE TABLE bait (id int PRIMARY KEY, m mood)",
      "GRANT SELECT, TRIGGER ON bait TO sqp",
      evil("evil", "bait", "text"),
      "CREATE CAST (bait AS text) WITH FUNCTION evil(bait)",
      evil("evil", "mood", "json"),
      "CREATE CAST (mood AS json) WITH FUNCTION evil(mood)",
    ]
  ) await ask(engine, sql, schema);
  await ask(engine, "INSERT INTO bait VALUES (1, 'sad')", schema);
  const feed = new TestFeed(engine, { tables: ["bait"], snapshot: true, permissions: ["schema"] });
  assertEquals(await errorName(feed.started), "feed_not_supported");
  await ask(engine, "INSERT INTO bait VALUES (2, 'sad')", schema);
  assertEquals(await askError(engine, "SELECT * FROM secret", schema), "permission_denied");
}, CAPTURE_NAMES);

postgresTest("no lock that anybody may take keeps others from writing", async (engine) => {
  await ask(engine, "CREATE TABLE t (id int PRIMARY KEY)");
  const feed = new TestFeed(engine, { tables: ["t"] });
  await feed.started;
  const locks = await ask(engine, "SELECT pg_advisory_lock(i) FROM generate_series($1, $2) i", {
    params: [0x5351_5000, 0x5351_500f],
    principal: "mallory",
    ...only("read"),
  });
  assertEquals(locks.rows.length, 16);
  await ask(engine, "INSERT INTO t VALUES (2)", { deadlineMs: 5_000 });
  assertEquals((await feed.next()).kind, "commit");
}, CAPTURE_NAMES);

/** What only concerns feeds whose changes are captured in one of both ways. */
const CAPTURE_TEXTS: Readonly<Record<CaptureName, readonly string[]>> = {
  triggers: [
    "ALTER TABLE t DISABLE TRIGGER ALL",
    "DROP TRIGGER sqp_capture ON t",
    "CREATE TRIGGER mine AFTER INSERT ON t EXECUTE FUNCTION sqp_feeds.capture()",
  ],
  decoding: [
    "ALTER TABLE t REPLICA IDENTITY DEFAULT",
    "ALTER PUBLICATION sqp_feeds DROP TABLE t",
    "DROP PUBLICATION sqp_feeds",
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots",
    "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
    "SELECT pg_logical_slot_peek_changes(slot_name, NULL, NULL) FROM pg_replication_slots",
    "SELECT sqp_feeds.append('', '0/0', '0/0', '[]', '[]')",
    "UPDATE sqp_feeds.log SET decoded = '0/0'",
  ],
};

postgresTest("no text reaches files, programs, other roles or the engine's own", async (
  engine,
  capture,
) => {
  await ask(engine, "CREATE TABLE t (id int PRIMARY KEY)");
  await ask(engine, "INSERT INTO t VALUES (1)", { idempotencyKey: "k" });
  // The roles of these may use the store of outcomes from then on.
  for (const permissions of [["read", "write"], ["write"]] as const) {
    const name = await errorName(
      new AskedSession(engine, "tester", permissions).execute(
        "INSERT INTO t VALUES (1)",
        { idempotencyKey: "w" },
      ),
    );
    assertEquals(name, "constraint_unique");
  }
  await new TestFeed(engine, { tables: ["t"] }).started;
  const texts = [
    "COPY secret TO PROGRAM 'cat'",
    "COPY secret TO '/tmp/sqp-escape'",
    "COPY secret FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/sqp-escape')",
    "LOAD 'auth_delay'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "CREATE ROLE mine",
    "ALTER ROLE sqp SUPERUSER",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "CREATE EXTENSION adminpack",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'abs'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'int4abs'",
    "DO $$ BEGIN EXECUTE 'SET ROLE postgres'; END $$",
    "DO $$ BEGIN EXECUTE 'COPY secret TO PROGRAM ''cat'''; END $$",
    "SELECT pg_terminate_backend(pg_backend_pid() + 1)",
    "SELECT pg_reload_conf()",
  ];
  const weaker = [
    "SELECT * FROM sqp_engine.secret",
    "UPDATE sqp_engine.outcomes SET content = ''",
    "SELECT * FROM sqp_feeds.changes",
    "INSERT INTO sqp_feeds.pending DEFAULT VALUES",
    "SELECT sqp_feeds.number()",
    "SELECT sqp_feeds.shape('t'::regclass)",
    "CREATE TABLE sqp_feeds.mine (a int)",
    "CREATE TABLE sqp_engine.mine (a int)",
    "DROP SCHEMA sqp_engine CASCADE",
    ...CAPTURE_TEXTS[capture],
    "SELECT * FROM secret",
    "ALTER ROLE sqp PASSWORD 'x'",
    "REASSIGN OWNED BY sqp TO CURRENT_USER",
    "ALTER DATABASE escapes SET search_path = x",
    "ALTER DEFAULT PRIVILEGES FOR ROLE sqp GRANT ALL ON TABLES TO PUBLIC",
  ];
  const refused = new Set(["permission_denied", "statement_not_allowed"]);
  const sets = [ALL, ["read"], ["write"], ["schema"], ["read", "write"]] as const;
  for (const permissions of sets) {
    const session = new AskedSession(engine, "tester", permissions);
    for (const sql of permissions === ALL ? texts : [...texts, ...weaker]) {
      const inTransaction = session.begin();
      const names = [
        await errorName(session.execute(sql)),
        await errorName(session.batch([{ sql: "SELECT 1" }, { sql }])),
        await errorName(inTransaction.execute(sql)),
      ];
      await inTransaction.rollback().catch(() => {});
      for (const name of names) {
        assert(name !== undefined, `${permissions}: ${sql} has run`);
        assert(refused.has(name) || name === "unknown_table", `${permissions}: ${sql}: ${names}`);
      }
    }
  }
  await ask(engine, "INSERT INTO t VALUES (1)", { idempotencyKey: "k" });
  assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
}, CAPTURE_NAMES);

postgresTest("what would outlive its command is refused wherever it stands", async (engine) => {
  const session = new AskedSession(engine);
  const texts = [
    "LISTEN c",
    "UNLISTEN *",
    "PREPARE p AS SELECT 1",
    "DEALLOCATE ALL",
    "DISCARD PLANS",
    "DO $$ BEGIN EXECUTE 'DISCARD ALL'; END $$",
    "COPY secret TO STDOUT",
  ];
  for (const sql of texts) {
    const transaction = session.begin();
    const names = [
      await errorName(session.execute(sql)),
      await errorName(session.batch([{ sql }])),
      await errorName(session.batch([{ sql, mayFail: true }, { sql: "SELECT 1" }])),
      await errorName(transaction.execute(sql)),
    ];
    await transaction.rollback().catch(() => {});
    const expected = "statement_not_allowed";
    // In a DO block it is a statement that fails, which a step may.
    if (sql.startsWith("DO")) names.splice(2, 1);
    for (const name of names) {
      assert(name === expected || sql.startsWith("DO") && name !== undefined, `${sql}: ${names}`);
    }
  }
  // Settings end with their batch, whoever comes next.
  await session.batch([{ sql: "SET search_path = pg_temp" }, {
    sql: "SET timezone = 'Asia/Tokyo'",
  }]);
  assertEquals(await session.rows("SHOW timezone"), [["UTC"]]);
  assertEquals(await session.rows("SHOW search_path"), [['"$user", public']]);
  assertEquals(await session.rows("SELECT count(*) FROM pg_listening_channels()"), [[0]]);
});

postgresTest("a function or a view lends its caller no more than its maker has", async (engine) => {
  await ask(engine, "CREATE VIEW peek AS SELECT * FROM secret", schema);
  await ask(
    engine,
    "CREATE FUNCTION peek() RETURNS SETOF secret LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM secret'",
    schema,
  ).catch(() => {});
  await ask(
    engine,
    `CREATE FUNCTION peek2() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN RETURN (SELECT a FROM secret); END $$`,
    schema,
  );
  await ask(engine, "GRANT ALL ON peek TO PUBLIC", schema);
  for (const sql of ["SELECT * FROM peek", "SELECT * FROM peek()", "SELECT peek2()"]) {
    for (const permissions of [["read"], ["schema"], ["write"]] as const) {
      const name = await askError(engine, sql, { permissions });
      assert(["permission_denied", "syntax"].includes(name), `${sql}: ${name}`);
    }
  }
});

postgresTest(
  "what a DO block or a procedure commits is not of an SQP transaction",
  async (engine) => {
    await ask(engine, "CREATE TABLE t (id int PRIMARY KEY)");
    await ask(engine, "CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'");
    const session = new AskedSession(engine);
    for (const sql of ["DO $$ BEGIN COMMIT; END $$", "CALL p()", "DO $$ BEGIN ROLLBACK; END $$"]) {
      const transaction = session.begin();
      await transaction.execute("INSERT INTO t VALUES (1)");
      assert(await errorName(transaction.execute(sql)) !== undefined, sql);
      assertEquals(await errorName(transaction.commit()), "transaction_failed");
      const steps = [{ sql: "INSERT INTO t VALUES (1)" }, { sql }];
      assert(await errorName(session.batch(steps)) !== undefined, sql);
      const key = { idempotencyKey: sql };
      assert(await errorName(session.execute(sql, key)) !== undefined, sql);
      assert(await errorName(session.batch(steps, key)) !== undefined, sql);
    }
    assertEquals(await session.rows("SELECT count(*) FROM t"), [[0]]);
  },
);
