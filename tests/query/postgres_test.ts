// What is PostgreSQL's own: its types, who logs in, what is left in a session, and a server that goes away.

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Execution, Permission, StatementScope } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { privateKeyFromPem } from "../../src/dtls/x509/mod.ts";
import { issueAuthority, issueServerCertificate } from "../../src/server/certificate_issuer.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { type SqlParams, Timestamp } from "../../src/wire/value.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { type AskedScope, AskedSession } from "./asked_session.ts";
import { postgresTests } from "./postgres_harness.ts";
import { ask, askError, type AskOptions, ENDLESS } from "./query_harness.ts";

const why = whyNoPostgres();
const postgresTest = postgresTests();

const as = (principal: string, options: AskOptions = {}): AskOptions => ({ ...options, principal });

postgresTest(
  "types that SQP has no kind of value for are texts, and their columns say which",
  async (engine) => {
    const cases: readonly (readonly [type: string, text: string, declared?: string])[] = [
      ["numeric(40,10)", "123456789012345678901234567890.0123456789"],
      ["numeric", "NaN"],
      ["uuid", "00112233-4455-6677-8899-aabbccddeeff"],
      ["jsonb", '{"a": [1, null, "ä"]}'],
      ["json", '{"b":1,  "a":2}'],
      ["date", "2026-01-31"],
      ["timestamp(3)", "2026-01-31 09:05:00.123", "timestamp(3) without time zone"],
      ["time", "09:05:00", "time without time zone"],
      ["interval", "P1Y2M3DT4H5M6.5S"],
      ["integer[]", "{1,2,NULL}"],
      ["text[]", '{a,"b c","d\\"e"}'],
      ["inet", "10.0.0.1"],
      ["varchar(20)", "x", "character varying(20)"],
      ["mood", "happy"],
      ["int4range", "[1,5)"],
    ];
    await ask(engine, "CREATE TYPE mood AS ENUM ('sad', 'happy')");
    for (const [type, text, declared = type] of cases) {
      await ask(engine, `CREATE TABLE v (x ${type})`);
      // Known texts are kept prepared, with the types that the table had before.
      await ask(engine, "INSERT INTO v VALUES ($1)", { params: [text] });
      const { rows, columns } = await ask(engine, "SELECT x FROM v");
      assertEquals(rows, [[text]], type);
      const origin = { schema: "public", table: "v", column: "x" };
      assertEquals(columns, [{ name: "x", declaredType: declared, origin }]);
      const found = await ask(
        engine,
        `SELECT x::${type} FROM v WHERE x::text = $1::${type}::text`,
        {
          params: [text],
        },
      );
      assertEquals(found.rows, [[text]]);
      await ask(engine, "DROP TABLE v");
    }
  },
);

postgresTest("moments, booleans and typed parameters", async (engine) => {
  const { rows } = await ask(
    engine,
    "SELECT $1, $2, $3::timestamptz, $4::timestamptz, $5::timestamptz",
    {
      params: [
        true,
        new Timestamp(Date.UTC(2026, 0, 31, 9, 5), 250_000),
        new Date(Date.UTC(1, 0, 1) - 1e14),
        new Date(8.64e15),
        "infinity",
      ],
    },
  );
  const [yes, moment, ...others] = rows[0]!;
  assertEquals([yes, (moment as Timestamp).nanosecondsInMillisecond], [true, 250_000]);
  assertEquals((moment as Date).getTime(), Date.UTC(2026, 0, 31, 9, 5));
  assertEquals(others, ["1269-02-16 14:13:20+00 BC", new Date(8.64e15), "infinity"]);
  const cases: readonly (readonly [string, SqlParams, unknown])[] = [
    ["SELECT repeat('x', $1)", [3], "xxx"],
    ["SELECT $1::numeric + 0.1", [0.2], "0.3"],
    ["SELECT (date '2026-01-31' + $1)::text", [1], "2026-02-01"],
    ["SELECT $1 = ANY($2::int[])", [3, "{1,2,3}"], true],
    ["SELECT jsonb_build_object('a', $1, 'b', $2)::text", [1, true], '{"a": 1, "b": true}'],
    ["SELECT octet_length($1)", [new Uint8Array([0, 1, 2])], 3],
    ["SELECT 1 LIMIT $1", [1], 1],
  ];
  for (const [sql, params, expected] of cases) {
    for (let run = 0; run < 3; run++) {
      assertEquals((await ask(engine, sql, { params })).rows, [[expected]], sql);
    }
  }
});

postgresTest("errors keep their SQLSTATE, and say whether a retry helps", async (engine) => {
  await ask(engine, "CREATE TABLE t (a int PRIMARY KEY)");
  const cases: readonly (readonly [string, string, string | undefined, string])[] = [
    ["SELECT 1/0", "value_error", "22012", "no"],
    ["SELECT 1\0\0\0", "syntax", undefined, "no"],
    ["SELECT 'x'::int", "parameter_range", "22P02", "no"],
    ["SELECT pg_read_file('/etc/passwd')", "permission_denied", "42501", "no"],
    ["SELECT * FROM nowhere.t", "unknown_table", "42P01", "no"],
    ["DO $$ BEGIN RAISE serialization_failure; END $$", "serialization_failure", "40001", "now"],
    ["DO $$ BEGIN RAISE deadlock_detected; END $$", "serialization_failure", "40P01", "now"],
    ["DO $$ BEGIN RAISE lock_not_available; END $$", "database_busy", "55P03", "later"],
    ["DO $$ BEGIN RAISE disk_full; END $$", "database_full", "53100", "later"],
    [
      "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'ZZ123'; END $$",
      "engine_failure",
      "ZZ123",
      "no",
    ],
  ];
  for (const [sql, name, code, retry] of cases) {
    const error = await assertRejects(() => ask(engine, sql), SqpError);
    assertEquals([error.codeName, error.engine?.code, error.retry], [name, code, retry], sql);
  }
});

/** Everything that a session may keep, and how another principal would see it. */
const LEFT_BEHIND: readonly (readonly [leave: string, look: string, nothing: unknown])[] = [
  ["SELECT set_config('search_path', 'pg_temp', false)", "SHOW search_path", '"$user", public'],
  [
    "SELECT set_config('my.secret', 'x', false)",
    "SELECT coalesce(current_setting('my.secret', true), '')",
    "",
  ],
  ["CREATE TEMPORARY TABLE left_behind AS SELECT 1", "SELECT to_regclass('left_behind')", null],
  ["SELECT pg_advisory_lock(7)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", 0],
  ["SELECT nextval('s')", "SELECT count(*) FROM pg_sequences WHERE sequencename = 'lastval'", 0],
  [
    "DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END $$",
    "SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'",
    0,
  ],
  ["DO $$ BEGIN EXECUTE 'LISTEN c'; END $$", "SELECT count(*) FROM pg_listening_channels()", 0],
  [
    "DO $$ BEGIN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'; END $$",
    "SELECT count(*) FROM pg_cursors WHERE name = 'c'",
    0,
  ],
];

postgresTest("what a principal leaves in a session no other meets", async (engine) => {
  await ask(engine, "CREATE SEQUENCE s");
  for (const [leave, look, nothing] of LEFT_BEHIND) {
    // Twice, so that the look is a text that is known.
    for (let run = 0; run < 2; run++) {
      await ask(engine, leave, as("one"));
      const { rows } = await ask(engine, look, as("other"));
      assertEquals(rows, [[nothing]], leave);
    }
  }
  assertEquals(engine.status().processes, 2);
}, { connectionsMax: 1 });

postgresTest("commands for a session are refused, and have no effect", async (engine) => {
  const before = await ask(engine, "SHOW timezone");
  for (
    const sql of [
      "SET timezone = 'Europe/Berlin'",
      "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
      "RESET ALL",
      "LISTEN c",
      "UNLISTEN *",
      "PREPARE p AS SELECT 1",
      "DEALLOCATE ALL",
      "DISCARD ALL",
      "START TRANSACTION",
      "COPY (SELECT 1) TO STDOUT",
      "COPY pg_class FROM STDIN",
    ]
  ) {
    const name = await askError(engine, sql);
    assert(["statement_not_allowed", "permission_denied"].includes(name), `${sql}: ${name}`);
    assertEquals((await ask(engine, "SHOW timezone")).rows, before.rows);
  }
}, { connectionsMax: 1 });

postgresTest("no way leads from one role to another", async (engine) => {
  await ask(engine, "CREATE TABLE t (a int)");
  const reader = { permissions: ["read"] } as const;
  const escapes = [
    "RESET ROLE",
    "SET ROLE sqp",
    "SET SESSION AUTHORIZATION sqp",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SELECT set_config('role', 'sqp', false)",
    "SELECT set_config('session_authorization', 'sqp', false)",
    "DO $$ BEGIN EXECUTE 'SET ROLE sqp'; END $$",
    "DO $$ BEGIN EXECUTE 'RESET ROLE'; INSERT INTO t VALUES (1); END $$",
    "SELECT 1; INSERT INTO t VALUES (1)",
    "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
    "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
    "CREATE TABLE u AS SELECT 1",
    "ALTER TABLE t ADD b int",
    "GRANT ALL ON t TO sqp_read",
    "COPY t FROM PROGRAM 'echo 1'",
    "SELECT lo_import('/etc/passwd')",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "LOAD 'x'",
  ];
  for (const sql of escapes) {
    // GRANT by somebody else than the owner is a warning.
    for (let run = 0; run < 2; run++) await ask(engine, sql, reader).catch(() => {});
    assertEquals(await askError(engine, "INSERT INTO t VALUES (1)", reader), "permission_denied");
    assertEquals(
      (await ask(engine, "SELECT current_user::text, session_user::text", reader)).rows,
      [["sqp_read", "sqp_read"]],
      sql,
    );
  }
  assertEquals((await ask(engine, "SELECT count(*) FROM t", reader)).rows, [[0]]);
});

postgresTest("principals with one role neither see nor end each other's work", async (engine) => {
  const onStart = (execution: Execution) => void setTimeout(() => execution.cancel(), 200);
  const running = askError(engine, ENDLESS, as("one", { onStart }));
  for (
    const sql of [
      "SELECT query FROM pg_stat_activity",
      "SELECT pg_terminate_backend(1)",
      "SELECT pg_cancel_backend(1)",
    ]
  ) assertEquals(await askError(engine, sql, as("other")), "permission_denied");
  assertEquals(await running, "cancelled");
});

postgresTest(
  "a set of permissions without a login of its own is given none of another",
  async (engine) => {
    const permissions: Permission[] = ["read", "schema"];
    const error = await assertRejects(() => ask(engine, "SELECT 1", { permissions }), SqpError);
    assertEquals(error.codeName, "permission_denied");
    assert(error.message.includes("sqp_read_schema"), error.message);
    assert(!error.message.includes("secret"), error.message);
  },
);

postgresTest(
  "what cannot be opened is a typed error without the password",
  async (_engine, server) => {
    const refused = async (url: string) => {
      const error = await assertRejects(() => openPostgresEngine({ url }), SqpError);
      assert(!error.message.includes("secret"), error.message);
      return error.codeName;
    };
    const url = server.url("postgres");
    assertEquals(await refused(url.replace("sqp:", "postgres:")), "bad_configuration");
    assertEquals(await refused(url.replace(":secret", ":wrong")), "permission_denied");
    assertEquals(await refused(url.replace("/postgres", "/missing")), "bad_configuration");
    assertEquals(await refused(url.replace(/:\d+\//, ":1/")), "engine_not_run");
    assertEquals(await refused(`${url}?sslmode=require`), "engine_not_run");
    assertEquals(await refused(`${url}?sslmode=prefer`), "bad_configuration");
    assertEquals(await refused(`${url}?options=x`), "bad_configuration");
  },
);

postgresTest(
  "the password can be in a file, one for each role",
  async (_engine, server) => {
    const file = `${server.folder}/pgpass`;
    await Deno.writeTextFile(file, `# all\nother:*:*:*:wrong\n*:${server.port}:*:sqp:secret\n`);
    const url = `${server.url("postgres").replace(":secret", "")}?passfile=${file}`;
    const engine = await openPostgresEngine({ url });
    try {
      assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
      assertEquals(
        await askError(engine, "SELECT 1", { permissions: ["read"] }),
        "permission_denied",
      );
    } finally {
      await engine.close();
    }
  },
);

postgresTest(
  "a text that is known works after the schema changed in its own transaction",
  async (engine) => {
    const session = new AskedSession(engine);
    const insert = (scope: AskedScope<StatementScope>, text: string) =>
      scope.execute("INSERT INTO t VALUES ($1)", { params: [text] });
    await session.execute("CREATE TABLE t (a int)");
    for (let run = 0; run < 3; run++) await insert(session, "1");
    const transaction = session.begin();
    await insert(transaction, "2");
    await transaction.execute("ALTER TABLE t ALTER a TYPE text");
    await insert(transaction, "x");
    await transaction.commit();
    await insert(session, "y");
    assertEquals(await session.rows("SELECT count(*) FROM t"), [[6]]);
  },
);

postgresTest("settings of a transaction end with it, and nobody meets them", async (engine) => {
  const session = new AskedSession(engine);
  for (const end of ["commit", "rollback"] as const) {
    const transaction = session.begin();
    await transaction.execute("SET search_path = 'pg_temp'");
    await transaction.execute("SET LOCAL timezone = 'Europe/Berlin'");
    assertEquals(await transaction.rows("SHOW timezone"), [["Europe/Berlin"]]);
    await transaction[end]();
    assertEquals(await session.rows("SHOW timezone"), [["UTC"]]);
    assertEquals(await session.rows("SHOW search_path"), [['"$user", public']]);
  }
}, { connectionsMax: 1 });

postgresTest("stored outcomes cannot be read, changed or forged by SQL text", async (engine) => {
  await ask(engine, "CREATE TABLE t (a int)");
  const writer = { permissions: ["read", "write"], principal: "one" } as const;
  const insert = "INSERT INTO t VALUES (42) RETURNING 'visible to one'";
  const first = await ask(engine, insert, { ...writer, idempotencyKey: "k" });
  const other = { ...writer, principal: "other" };
  const stored = await ask(engine, "SELECT * FROM sqp_engine.outcomes", other);
  assertEquals(stored.rows.length, 2);
  const seen = stored.rows.flat().map((value) =>
    value instanceof Uint8Array ? new TextDecoder("latin1").decode(value) : String(value)
  ).join();
  assert(!/visible|one|INSERT/.test(seen));
  for (
    const sql of [
      "UPDATE sqp_engine.outcomes SET content = ''",
      "DELETE FROM sqp_engine.outcomes",
      "TRUNCATE sqp_engine.outcomes",
      "SELECT * FROM sqp_engine.secret",
    ]
  ) assertEquals(await askError(engine, sql, other), "permission_denied", sql);
  const again = await ask(engine, insert, { ...writer, idempotencyKey: "k" });
  assertEquals([again.rows, again.end], [first.rows, first.end]);
  assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
  // Who owns the database can damage what is in it, and is not believed then.
  await ask(engine, "UPDATE sqp_engine.outcomes SET content = content || '\\x00' WHERE part = 1");
  assertEquals(
    await askError(engine, insert, { ...writer, idempotencyKey: "k" }),
    "engine_failure",
  );
  const large = "INSERT INTO t SELECT i FROM generate_series(1, 50000) i RETURNING a";
  assertEquals(
    await askError(engine, large, { ...writer, idempotencyKey: "l" }),
    "result_too_large",
  );
  assertEquals(
    await askError(engine, "SELECT 1", { permissions: ["read"], idempotencyKey: "m" }),
    "bad_request",
  );
  assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
});

postgresTest("memory does not grow with a result or a value", async (engine) => {
  await ask(engine, "SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i", {
    dropRows: true,
  });
  const before = Deno.memoryUsage().rss;
  let most = 0;
  let pages = 0;
  const onPage = (execution: Execution) => {
    if (++pages % 50 === 0) most = Math.max(most, Deno.memoryUsage().rss);
    execution.pull(1);
  };
  for (let run = 0; run < 2; run++) {
    await ask(engine, "SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i", {
      dropRows: true,
      onPage,
    });
    assertEquals(await askError(engine, "SELECT repeat('x', 100000000)"), "row_too_large");
    most = Math.max(most, Deno.memoryUsage().rss);
  }
  assert(most - before < 90e6, `${(most - before) / 1e6} MB more`);
});

postgresTest("many texts that never come again leave nothing in the server", async (engine) => {
  for (let i = 0; i < 300; i++) await ask(engine, `SELECT ${i}, $1`, { params: [i] });
  assertEquals((await ask(engine, "SELECT count(*) FROM pg_prepared_statements")).rows, [[0]]);
  for (let i = 0; i < 30; i++) {
    for (let run = 0; run < 3; run++) await ask(engine, `SELECT ${i}, $1`, { params: [i] });
  }
  const { rows } = await ask(engine, "SELECT count(*) FROM pg_prepared_statements");
  assert(Number(rows[0]![0]) <= 20, `${rows[0]![0]} are prepared`);
}, { connectionsMax: 1, preparedMax: 20 });

postgresTest(
  "a change of the schema from outside is survived by known texts",
  async (engine, server) => {
    await ask(engine, "CREATE TABLE t (a int)");
    const sql = server.connect("own");
    try {
      for (let run = 0; run < 3; run++) {
        await ask(engine, "INSERT INTO t VALUES ($1)", { params: ["1"] });
        await ask(engine, "SELECT * FROM t");
      }
      await sql.unsafe("ALTER TABLE t ALTER a TYPE text USING 'n' || a, ADD b int");
      await ask(engine, "INSERT INTO t VALUES ($1)", { params: ["x"] });
      const { rows, columns } = await ask(engine, "SELECT * FROM t");
      assertEquals([rows.length, rows.at(-1)], [4, ["x", null]]);
      assertEquals(columns.map(({ name }) => name), ["a", "b"]);
    } finally {
      await sql.end();
    }
  },
);

postgresTest(
  "sessions that an administrator ends are replaced; what they ran is told",
  async (engine, server) => {
    const sql = server.connect("own");
    const terminate = () =>
      sql.unsafe(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename like 'sqp%'",
      );
    try {
      const running = askError(engine, ENDLESS);
      await ask(engine, "SELECT 1");
      await terminate();
      assertEquals(await running, "engine_not_run");
      for (let run = 0; run < 5; run++) {
        await terminate();
        // A connection may be lent before its end is known.
        const outcomes = await Promise.allSettled(
          [1, 2, 3].map(() => ask(engine, "SELECT 1", { permissions: ["read"] })),
        );
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") {
            assertEquals(
              outcome.reason.codeName,
              "engine_not_run",
            );
          }
        }
      }
      assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
    } finally {
      await sql.end();
    }
  },
);

Deno.test({
  name:
    "PostgreSQL: over TLS its certificate is verified, and statements are cancelled the same way",
  ignore: why !== undefined,
  async fn() {
    const options = { key: "p256", days: 1, now: Date.now() } as const;
    const ca = await issueAuthority({ ...options, commonName: "Test CA" });
    const other = await issueAuthority({ ...options, commonName: "Other CA" });
    const privateKey = privateKeyFromPem(ca.privateKeyPem);
    const issued = await issueServerCertificate({ certificate: ca.certificate, privateKey }, {
      ...options,
      commonName: "127.0.0.1",
      altNames: ["127.0.0.1"],
    });
    await using own = await PostgresServer.start({}, {
      certificate: issued.certificatePem,
      key: issued.privateKeyPem,
    });
    await own.makeDatabase("own");
    const file = async (name: string, text: string) => {
      await Deno.writeTextFile(`${own.folder}/${name}`, text);
      return `${own.folder}/${name}`;
    };
    const trusted = await file("ca.pem", ca.certificatePem);
    const foreign = await file("other.pem", other.certificatePem);
    const url = own.url("own");
    for (const parameters of [`sslmode=verify-full&sslrootcert=${trusted}`, "sslmode=require"]) {
      const engine = await openPostgresEngine({ url: `${url}?${parameters}` });
      try {
        const { rows } = await ask(engine, "SHOW ssl");
        assertEquals(rows, [["on"]]);
        assertEquals(await askError(engine, ENDLESS, { deadlineMs: 50 }), "deadline_exceeded");
        assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
        const large = "SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i";
        assertEquals((await ask(engine, large)).rows.length, 20_000);
      } finally {
        await engine.close();
      }
    }
    const refused = await assertRejects(
      () => openPostgresEngine({ url: `${url}?sslmode=verify-full&sslrootcert=${foreign}` }),
      SqpError,
    );
    assertEquals(refused.codeName, "engine_not_run");
  },
});

Deno.test({
  name: "PostgreSQL: a server that crashes and comes back is found again, and nobody waits for it",
  ignore: why !== undefined,
  async fn() {
    await using own = await PostgresServer.start();
    await own.makeDatabase("own");
    const engine = await openPostgresEngine({ url: own.url("own"), limits: { retryMs: 20 } });
    try {
      await ask(engine, "CREATE TABLE t (a int)");
      const running = [
        askError(engine, `INSERT INTO t ${ENDLESS}`),
        askError(engine, ENDLESS, { permissions: ["read"] }),
      ];
      await ask(engine, "SELECT 1");
      await ask(engine, "SELECT 1", { permissions: ["read"] });
      await own.crash();
      const [write, read] = await Promise.all(running);
      assert(["outcome_unknown", "engine_not_run"].includes(write!), write);
      assert(["engine_not_run", "engine_failure", "outcome_unknown"].includes(read!), read);
      assertEquals(await askError(engine, "SELECT 1"), "engine_not_run");
      await own.restart();
      for (let tries = 0; tries < 200; tries++) {
        try {
          assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[0]]);
          break;
        } catch (error) {
          assertEquals((error as SqpError).codeName, "engine_not_run");
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
      assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[0]]);
    } finally {
      await engine.close();
    }
  },
});
