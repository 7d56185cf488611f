// The client against a server over sockets of this machine: values, concurrency, streams, ends of requests and of
// sessions.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { type Client, type Row, type SqlValue, SqpError } from "../../src/client/mod.ts";
import { LiveServer, liveTest, until } from "../harness/live_server.ts";

/** A statement that never ends and never yields a row. */
const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";

/** As many rows as the parameter says, each with its number and 100 characters. */
const COUNTING =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ?) SELECT i, printf('%0100d', i) FROM c";

/** The error that a promise fails with. */
async function errorOf(promise: Promise<unknown>): Promise<SqpError> {
  return await assertRejects(() => promise, SqpError);
}

/** What a parameter is to come back as, and SQLite's type of it. */
const VALUES: readonly (readonly [SqlValue, SqlValue, string])[] = [
  [null, null, "null"],
  [true, 1, "integer"],
  [false, 0, "integer"],
  [0, 0, "integer"],
  [-1, -1, "integer"],
  [2 ** 31, 2 ** 31, "integer"],
  [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, "integer"],
  [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, "integer"],
  [7n, 7, "integer"],
  [2n ** 53n, 2n ** 53n, "integer"],
  [2n ** 63n - 1n, 2n ** 63n - 1n, "integer"],
  [-(2n ** 63n), -(2n ** 63n), "integer"],
  [0.5, 0.5, "real"],
  [-0, -0, "real"],
  [5e-324, 5e-324, "real"],
  [Number.MAX_VALUE, Number.MAX_VALUE, "real"],
  [Infinity, Infinity, "real"],
  [-Infinity, -Infinity, "real"],
  [2 ** 53, 2 ** 53, "real"],
  ["", "", "text"],
  ["Größe 面 🚀 '\"`;--", "Größe 面 🚀 '\"`;--", "text"],
  ["\u0001\t\r\n\u007f\ufeff\uffff", "\u0001\t\r\n\u007f\ufeff\uffff", "text"],
  ["long ".repeat(40_000), "long ".repeat(40_000), "text"],
  [new Uint8Array(0), new Uint8Array(0), "blob"],
  [
    Uint8Array.from({ length: 256 }, (_, i) => i),
    Uint8Array.from({ length: 256 }, (_, i) => i),
    "blob",
  ],
  [new Uint8Array(300_000).fill(0xc3), new Uint8Array(300_000).fill(0xc3), "blob"],
  [new Date(0), "1970-01-01T00:00:00.000000Z", "text"],
  [new Date(-1), "1969-12-31T23:59:59.999000Z", "text"],
];

const SHARED: Record<string, (server: LiveServer, client: Client) => Promise<void>> = {
  async "an urgency is a number from 0 to 7, and changes nothing of an answer"(_, client) {
    for (const urgency of [0, 7]) {
      assertEquals((await client.execute("select 1", [], { urgency })).rows, [[1]]);
      const rows = client.stream(COUNTING, [2_000], { urgency });
      assertEquals((await Array.fromAsync(rows)).length, 2_000);
    }
    for (const urgency of [-1, 8, 1.5, NaN]) {
      const error = await errorOf(client.execute("select 1", [], { urgency }));
      assertEquals(error.codeName, "bad_request");
    }
  },

  async "parameters of every type come back exactly, by position and by name"(_, client) {
    for (const [value, expected, type] of VALUES) {
      const byPosition = await client.execute("select ? as v, typeof(?1) as t", [value]);
      assertEquals(byPosition.columns.map(({ name }) => name), ["v", "t"]);
      assertEquals(byPosition.rows, [[expected, type]]);
      // assertEquals tells 0 from -0, and 7 from 7n.
      const byName = await client.execute("select :v, typeof(:v)", { v: value });
      assertEquals(byName.rows, [[expected, type]]);
    }
  },

  async "values that were stored come back exactly"(_, client) {
    await client.execute("create table kept (id integer primary key, v)");
    for (const [value] of VALUES) await client.execute("insert into kept (v) values (?)", [value]);
    const { rows } = await client.execute("select v, typeof(v) from kept order by id");
    assertEquals(rows, VALUES.map(([, expected, type]): Row => [expected, type]));
  },

  async "what SQLite would store as something else is refused before it runs"(_, client) {
    const refused: readonly (readonly [unknown, string])[] = [
      [NaN, "parameter_range"],
      ["a\0b", "parameter_range"],
      [2n ** 63n, "parameter_range"],
      [new Date(NaN), "parameter_range"],
      ["\ud800", "text_not_unicode"],
      [undefined, "parameter_type"],
      [{}, "parameter_type"],
      [[1], "parameter_type"],
    ];
    for (const [value, codeName] of refused) {
      const error = await errorOf(client.execute("select ?", [value as SqlValue]));
      assertEquals(error.codeName, codeName);
    }
    assertEquals((await errorOf(client.execute("select ?", []))).codeName, "parameter_count");
    assertEquals((await errorOf(client.execute("select ?", [1, 2]))).codeName, "parameter_count");
    assertEquals((await errorOf(client.execute("select :a", { b: 1 }))).codeName, "parameter_name");
  },

  async "changes and lastInsertRowid are the statement's own"(_, client) {
    await client.execute("create table counted (id integer primary key, v)");
    const inserted = await client.execute("insert into counted (v) values (1), (2), (3)");
    assertEquals([inserted.changes, inserted.lastInsertRowid], [3, 3]);
    const updated = await client.execute("update counted set v = 9 where id > 1 returning id, v");
    assertEquals(updated.rows, [[2, 9], [3, 9]]);
    assertEquals([updated.changes, updated.lastInsertRowid], [2, null]);
    const read = await client.execute("select 1");
    assertEquals([read.changes, read.lastInsertRowid], [0, null]);
    const large = await client.execute("insert into counted (id) values (?)", [2n ** 62n]);
    assertEquals(large.lastInsertRowid, 2n ** 62n);
  },

  async "statements run beside each other, and each gets its own answer"(_, client) {
    await client.execute("create table beside (id integer primary key, v text)");
    const numbers = Array.from({ length: 500 }, (_, i) => i);
    const answers = await Promise.all(
      numbers.map((i) =>
        i % 2 === 0
          ? client.execute("insert into beside values (?, ?)", [i, `row ${i}`])
          : client.execute("select ? * 2", [i])
      ),
    );
    for (const i of numbers) {
      if (i % 2 === 0) assertEquals(answers[i]!.changes, 1);
      else assertEquals(answers[i]!.rows, [[i * 2]]);
    }
    assertEquals((await client.execute("select count(*) from beside")).rows, [[250]]);
  },

  async "a stream gives its rows in order, and its end"(_, client) {
    const stream = client.stream(COUNTING, [20_000]);
    assertEquals((await stream.columns).map(({ name }) => name).length, 2);
    let expected = 1;
    for await (const [i, text] of stream) {
      assertEquals(i, expected);
      assertEquals(text, String(expected).padStart(100, "0"));
      expected++;
    }
    assertEquals(expected, 20_001);
    assertEquals(await stream.end, { changes: 0, lastInsertRowid: null });
    // An iterator that is done stays done.
    assertEquals(await stream.next(), { done: true, value: undefined });
  },

  async "a stream that is read slowly holds up nobody else"(_, client) {
    const slow = client.stream(COUNTING, [20_000]);
    assertEquals((await slow.next()).value?.[0], 1);
    for (let i = 0; i < 20; i++) {
      assertEquals((await client.execute("select ?", [i])).rows, [[i]]);
    }
    const streams = await Promise.all(
      [1_000, 2_000, 3_000].map((count) => Array.fromAsync(client.stream(COUNTING, [count]))),
    );
    assertEquals(streams.map((rows) => rows.length), [1_000, 2_000, 3_000]);
    // All the rest of the slow one is there.
    const rest = await Array.fromAsync(slow);
    assertEquals(rest.length, 19_999);
    assertEquals(rest.at(-1)![0], 20_000);
  },

  async "a reader that asks for several rows at once gets them in order"(_, client) {
    const stream = client.stream(COUNTING, [5]);
    const results = await Promise.all(Array.from({ length: 7 }, () => stream.next()));
    assertEquals(results.map(({ value }) => value?.[0]), [1, 2, 3, 4, 5, undefined, undefined]);
    assertEquals(results.map(({ done }) => done), [...Array(5).fill(false), true, true]);
  },

  async "leaving a loop over rows ends the statement at the engine"(server, client) {
    for await (const [i] of client.stream(COUNTING, [100_000_000])) if (i === 3) break;
    await until("nothing runs", () => runningStatements(server) === 0);
    assertEquals((await client.execute("select 1")).rows, [[1]]);
  },

  async "an error in the middle of a stream comes after the rows before it"(_, client) {
    await client.execute("create table texts (id integer primary key, v text)");
    await client.execute(
      "insert into texts with recursive c(i) as (select 1 union all select i + 1 from c limit 5000) " +
        "select i, iif(i = 4000, 'no json', '{\"a\":\"' || printf('%0200d', i) || '\"}') from c",
    );
    let rows = 0;
    const error = await errorOf((async () => {
      for await (const _ of client.stream("select v ->> 'a' from texts order by id")) rows++;
    })());
    assertEquals(error.codeName, "value_error");
    assertEquals(error.message, "malformed JSON");
    assert(rows > 0 && rows < 4_000, `${rows} rows before the error`);
    const whole = await errorOf(client.execute("select v ->> 'a' from texts order by id"));
    assertEquals(whole.codeName, "value_error");
  },

  async "an AbortSignal ends a statement that never yields"(server, client) {
    const abort = new AbortController();
    const running = client.execute(ENDLESS, [], { signal: abort.signal });
    await until("it runs", () => runningStatements(server) === 1);
    abort.abort(new Error("the user left"));
    const error = await errorOf(running);
    assertEquals(error.codeName, "cancelled");
    assertEquals((error.cause as Error).message, "the user left");
    await until("nothing runs", () => runningStatements(server) === 0);
    // A signal that has fired before sends nothing.
    assertEquals(
      (await errorOf(client.execute("select 1", [], { signal: abort.signal }))).codeName,
      "cancelled",
    );
  },

  async "an AbortSignal ends a stream between two rows"(server, client) {
    const abort = new AbortController();
    const stream = client.stream(COUNTING, [100_000_000], { signal: abort.signal });
    let rows = 0;
    const error = await errorOf((async () => {
      for await (const _ of stream) if (++rows === 1_000) abort.abort();
    })());
    assertEquals(error.codeName, "cancelled");
    await until("nothing runs", () => runningStatements(server) === 0);
  },

  async "a deadline ends a statement that never yields, on the server"(server, client) {
    const error = await errorOf(client.execute(ENDLESS, [], { timeoutMs: 50 }));
    assertEquals(error.codeName, "deadline_exceeded");
    await until("nothing runs", () => runningStatements(server) === 0);
    assertEquals((await client.execute("select 1", [], { timeoutMs: 60_000 })).rows, [[1]]);
  },

  async "errors are typed, and carry the engine's own code"(_, client) {
    await client.execute("create table strict_one (id integer primary key, n not null, u unique)");
    await client.execute("insert into strict_one values (1, 1, 'u')");
    const cases: readonly (readonly [string, string, number | undefined, string | undefined])[] = [
      [
        "insert into strict_one values (1, 1, 'v')",
        "constraint_unique",
        1555,
        "SQLITE_CONSTRAINT_PRIMARYKEY",
      ],
      [
        "insert into strict_one values (2, 1, 'u')",
        "constraint_unique",
        2067,
        "SQLITE_CONSTRAINT_UNIQUE",
      ],
      [
        "insert into strict_one values (2, null, 'v')",
        "constraint_not_null",
        1299,
        "SQLITE_CONSTRAINT_NOTNULL",
      ],
      ["selec 1", "syntax", 1, "SQLITE_ERROR"],
      ["select * from nowhere", "unknown_table", 1, "SQLITE_ERROR"],
      ["select nought from strict_one", "unknown_column", 1, "SQLITE_ERROR"],
      ["select abs(-9223372036854775808)", "value_error", 1, "SQLITE_ERROR"],
      ["select 1; select 2", "multiple_statements", undefined, undefined],
      ["-- nothing", "empty_statement", undefined, undefined],
    ];
    for (const [sql, codeName, code, name] of cases) {
      const error = await errorOf(client.execute(sql));
      assertInstanceOf(error, SqpError);
      assertEquals(
        [error.codeName, error.engine?.code, error.engine?.name],
        [codeName, code, name],
        sql,
      );
      assertEquals(error.retry, "no");
      assert(error.message.length > 0);
    }
    for (const sql of ["begin", "attach 'x' as y", "pragma journal_mode = delete"]) {
      const { codeName } = await errorOf(client.execute(sql));
      assert(codeName === "permission_denied" || codeName === "statement_not_allowed", codeName);
    }
    assertEquals((await client.execute("select count(*) from strict_one")).rows, [[1]]);
  },

  async "a client that closes with open requests fails them, and the server lets go of them"(
    server,
  ) {
    const client = await server.connect();
    const stream = client.stream(COUNTING, [100_000_000]);
    await stream.next();
    const running = client.execute(ENDLESS);
    await until("both run", () => runningStatements(server) === 2);
    const closing = client.close();
    assertEquals((await errorOf(running)).codeName, "closed");
    assertEquals((await errorOf(Array.fromAsync(stream))).codeName, "closed");
    await closing;
    await client.close();
    assertEquals((await client.closed).codeName, "closed");
    assertEquals((await errorOf(client.execute("select 1"))).codeName, "closed");
    await until("nothing runs", () => runningStatements(server) === 0);
  },

  async "a client is closed at the end of its scope, and may come again"(server) {
    const ended = () => server.server.counters()["endpoint"]!["ended"] ?? 0;
    const before = ended();
    for (let i = 0; i < 5; i++) {
      await using client = await server.connect();
      assertEquals(client.server.principal, "cert:CN=client");
      assert(client.server.permissions.includes("write"));
      assertEquals((await client.execute("select ?", [i])).rows, [[i]]);
    }
    await until("their sessions have ended", () => ended() === before + 5);
  },

  async "queries that are made in one turn with many others are all answered"(_, client) {
    // More than may be open at a time: the client keeps the rest back.
    const answers = await Promise.all(
      Array.from({ length: 2_000 }, (_, i) => client.execute("select ?", [i])),
    );
    assertEquals(
      answers.map(({ rows }) => rows[0]![0]),
      Array.from({ length: 2_000 }, (_, i) => i),
    );
  },

  async "messages of more than a datagram go whole, both ways"(_, client) {
    const text = "x".repeat(900_000);
    assertEquals((await client.execute("select length(?), ?1", [text])).rows, [[900_000, text]]);
    const tooLarge = await errorOf(client.execute("select ?", ["x".repeat(1_100_000)]));
    assertEquals(tooLarge.codeName, "message_too_large");
  },
};

function runningStatements(server: LiveServer): number {
  const { queued, running } = server.server.engineStatus;
  return queued + running;
}

liveTest("client and server over UDP", async (context) => {
  await using server = await LiveServer.start();
  await using client = await server.connect();
  for (const [name, fn] of Object.entries(SHARED)) {
    await context.step(name, () => fn(server, client));
  }
});
