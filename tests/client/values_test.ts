// Every kind of value as parameter and in a result, and what is told of columns, over sockets, on each engine.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Client, type SqlValue, SqpError, Timestamp } from "../../src/client/mod.ts";
import { CAN_RUN_LIVE, LiveServer, liveTest } from "../harness/live_server.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";

/** A value that is given, and what comes back where that is not the same. */
type Trip = readonly [given: SqlValue, back?: SqlValue];

/** Values of which every engine gives back what it was given. */
const INTEGERS: readonly SqlValue[] = [
  ...[0, 1, -1, 127, 128, -128, 255, 65_536, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1],
  ...[2 ** 53 - 1, -(2 ** 53) + 1, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n],
  ...[2n ** 63n - 1n, -(2n ** 63n)],
];
const FLOATS: readonly SqlValue[] = [
  ...[0.5, -2.25, 0.1, 0.1 + 0.2, 1e300, 5e-324, 2 ** 60, Number.MAX_VALUE, Infinity, -Infinity],
];
const TEXTS: readonly SqlValue[] = [
  ...["", " ", "it's", 'a "b" \\ c', "\u{1f600}\u{1f468}\u200d\u{1f469}", "\u{10ffff}", "\ufeffx"],
  ...["e\u0301", "\ud7ff\ue000", "\u0001\u007f\u0080", "a\r\n\tb", "x".repeat(20_000), "NULL"],
];
const BYTES: readonly SqlValue[] = [
  new Uint8Array(),
  new Uint8Array([0]),
  Uint8Array.from({ length: 256 }, (_, i) => i),
  new Uint8Array(20_000).fill(92),
];

/** Gives values to a query, and to a column of a table, and takes them back in each way that a client has. */
async function goAndReturn(
  client: Client,
  { type, parameter, trips }: {
    readonly type: string;
    readonly parameter: (n: number) => string;
    readonly trips: readonly Trip[];
  },
): Promise<void> {
  await client.execute("DROP TABLE IF EXISTS v");
  await client.execute(`CREATE TABLE v (n integer PRIMARY KEY, x ${type})`);
  const insert = `INSERT INTO v VALUES (${parameter(1)}, ${parameter(2)})`;
  const prepared = await client.prepare(insert);
  const expected = [...trips, [null]].map(([given, back]) => back === undefined ? given : back);
  for (const [n, [given]] of [...trips, [null] as const].entries()) {
    // As a text and by its handle in turn.
    if (n % 2 === 0) await client.execute(insert, [n, given!]);
    else await prepared.execute([n, given!]);
  }
  const query = "SELECT x FROM v ORDER BY n";
  for (let run = 0; run < 3; run++) {
    const executed = (await client.execute(query)).rows.map(([x]) => x!);
    const streamed: SqlValue[] = [];
    for await (const [x] of client.stream(query)) streamed.push(x!);
    const [batch] = await client.batch([{ sql: query }]);
    assert(batch !== null && !(batch instanceof SqpError));
    for (const found of [executed, streamed, batch!.rows.map(([x]) => x!)]) {
      assertSame(found, expected as SqlValue[], type);
    }
  }
}

/** Equal, and of the same kind: 0 is not -0, a `number` no `bigint`, a `Timestamp` no `Date`. */
function assertSame(found: readonly SqlValue[], expected: readonly SqlValue[], what: string): void {
  assertEquals(found, expected, what);
  for (const [at, value] of expected.entries()) {
    assert(Object.is(value, found[at]) || typeof value === "object", `${what}: ${value}`);
    assertEquals(found[at]?.constructor, value?.constructor, what);
    if (value instanceof Timestamp) {
      const { nanosecondsInMillisecond } = found[at] as Timestamp;
      assertEquals(nanosecondsInMillisecond, value.nanosecondsInMillisecond);
    }
  }
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, SqpError)).codeName;
}

const same = (values: readonly SqlValue[]): Trip[] => values.map((value) => [value]);

const AT = Date.UTC(2026, 0, 31, 9, 5, 7, 12);

liveTest("values over UDP, on SQLite", async (context) => {
  await using server = await LiveServer.start();
  await using client = await server.connect();
  const parameter = (n: number) => `?${n}`;
  const moments: Trip[] = [
    [new Date(AT), "2026-01-31T09:05:07.012000Z"],
    [new Timestamp(AT, 345_000), "2026-01-31T09:05:07.012345Z"],
    [new Date(0), "1970-01-01T00:00:00.000000Z"],
    [new Date(-1), "1969-12-31T23:59:59.999000Z"],
  ];
  const columns: readonly (readonly [type: string, trips: readonly Trip[]])[] = [
    ["integer", same(INTEGERS)],
    ["real", [...same([...FLOATS, 0, 3]), [-0, 0]]],
    ["text", [...same(TEXTS), ...moments]],
    ["blob", same(BYTES)],
    ["boolean", [[true, 1], [false, 0]]],
    // Without a type a column keeps what it is given, -0 included.
    ["", [...same([...INTEGERS, ...FLOATS, ...TEXTS, ...BYTES]), ...moments, [-0]]],
  ];
  for (const [type, trips] of columns) {
    await context.step(
      type === "" ? "any type" : type,
      () => goAndReturn(client, { type, parameter, trips }),
    );
  }

  await context.step("a value by itself keeps its kind", async () => {
    const cases: readonly (readonly [SqlValue, SqlValue, string])[] = [
      [-0, -0, "real"],
      [3, 3, "integer"],
      [2n ** 63n - 1n, 2n ** 63n - 1n, "integer"],
      [0.5, 0.5, "real"],
      [true, 1, "integer"],
      [null, null, "null"],
      [new Date(AT), "2026-01-31T09:05:07.012000Z", "text"],
      [new Uint8Array([1]), new Uint8Array([1]), "blob"],
    ];
    for (const [given, back, type] of cases) {
      const { rows } = await client.execute("SELECT ?1, typeof(?1)", [given]);
      assertSame(rows[0]!, [back, type], String(given));
    }
  });

  await context.step("what SQLite would store as something else is refused", async () => {
    for (const value of [NaN, "a\0b", new Date(Date.UTC(10_000, 0))]) {
      assertEquals(await refusal(client.execute("SELECT ?", [value])), "parameter_range");
    }
    for (const value of [2n ** 63n, -(2n ** 63n) - 1n, new Date(NaN)]) {
      assertEquals(await refusal(client.execute("SELECT ?", [value])), "parameter_range");
    }
    assertEquals(await refusal(client.execute("SELECT ?", ["\ud800"])), "text_not_unicode");
  });

  await context.step(
    "a column tells its name, its declared type and where it is from",
    async () => {
      await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, price DECIMAL(10, 2), x)");
      await client.execute("CREATE VIEW w AS SELECT price AS p FROM t");
      const sql = "SELECT id, price AS cost, x, id + 1 AS next, p FROM t, w";
      const origin = (column: string) => ({ schema: "main", table: "t", column });
      const expected = [
        { name: "id", declaredType: "INTEGER", origin: origin("id") },
        { name: "cost", declaredType: "DECIMAL(10, 2)", origin: origin("price") },
        { name: "x", declaredType: null, origin: origin("x") },
        { name: "next", declaredType: null },
        { name: "p", declaredType: "DECIMAL(10, 2)", origin: origin("price") },
      ];
      assertEquals((await client.execute(sql, [], { origins: true })).columns, expected);
      const plain = expected.map(({ name, declaredType }) => ({ name, declaredType }));
      assertEquals((await client.execute(sql)).columns, plain);
      assertEquals((await client.prepare(sql)).columns, expected);
    },
  );
});

const why = whyNoPostgres() ?? (CAN_RUN_LIVE ? undefined : "a permission is missing");

Deno.test({
  name: `values over UDP, on PostgreSQL${why === undefined ? "" : ` (not here: ${why})`}`,
  ignore: why !== undefined,
  async fn(context) {
    await using postgres = await PostgresServer.start();
    await postgres.makeDatabase("values");
    await using server = await LiveServer.start({ database: postgres.url("values") });
    await using client = await server.connect();
    const parameter = (n: number) => `$${n}`;
    const columns: readonly (readonly [type: string, trips: readonly Trip[]])[] = [
      ["boolean", same([true, false])],
      ["bigint", same(INTEGERS)],
      ["integer", same([0, -1, 2 ** 31 - 1, -(2 ** 31)])],
      ["smallint", same([0, 32_767, -32_768])],
      ["double precision", same([...FLOATS, 0, -0, 3, NaN])],
      ["real", [...same([0.5, -0, NaN, Infinity, -Infinity]), [0.1, 0.1]]],
      ["text", same(TEXTS)],
      ["bytea", same(BYTES)],
      [
        "timestamptz",
        same([
          new Date(AT),
          new Timestamp(AT, 345_000),
          new Date(0),
          new Date(-1),
          new Timestamp(-1, 1_000),
          new Date(Date.UTC(9_999, 11, 31, 23, 59, 59, 999)),
          "infinity",
          "-infinity",
        ]),
      ],
      ["timestamp", [
        ...same(["2026-01-31 09:05:07.012345", "infinity"]),
        [new Timestamp(AT, 345_000), "2026-01-31 09:05:07.012345"],
      ]],
      [
        "numeric",
        [
          ...same(["123456789012345678901234567890.0123456789", "NaN", "0.10", "-0.5"]),
          ...[[7, "7"], [0.5, "0.5"], [2n ** 63n - 1n, "9223372036854775807"]] as const,
        ],
      ],
      ["numeric(12, 2)", [["1.5", "1.50"], [3, "3.00"]]],
      ["uuid", same(["00112233-4455-6677-8899-aabbccddeeff"])],
      ["json", same(['{"b":1,  "a":[null,"\u{1f600}"]}', "null"])],
      ["jsonb", [['{"b":1,"a":2}', '{"a": 2, "b": 1}'], ["[1]", "[1]"]]],
      ["date", [
        ...same(["2026-01-31", "0044-03-15 BC", "infinity"]),
        [new Date(AT), "2026-01-31"],
      ]],
      ["time", same(["09:05:07.25"])],
      ["timetz", same(["09:05:07.25+02"])],
      ["interval", same(["P1Y2M3DT4H5M6.5S", "PT0S", "P-1D"])],
      ["integer[]", same(["{1,2,NULL}", "{}", "{{1,2},{3,4}}"])],
      ["text[]", same(['{a,"b c","d\\"e",\u{1f600},NULL,"NULL"}'])],
      ["uuid[]", same(["{00112233-4455-6677-8899-aabbccddeeff}"])],
      ["timestamptz[]", same(['{"2026-01-31 09:05:07+00"}'])],
      ["bit(3)", same(["101"])],
      ["int4range", same(["[1,5)"])],
      ["inet", same(["10.0.0.1"])],
      ["money", same(["$1.50"])],
    ];
    for (const [type, trips] of columns) {
      await context.step(type, () => goAndReturn(client, { type, parameter, trips }));
    }

    await context.step("what PostgreSQL cannot hold is refused", async () => {
      const name = (sql: string, params: readonly SqlValue[]) =>
        refusal(client.execute(sql, params));
      assertEquals(await name("SELECT $1", ["a\0b"]), "parameter_range");
      assertEquals(await name("SELECT $1::bigint", [2n ** 63n]), "parameter_range");
      assertEquals(await name("SELECT $1::smallint", [32_768]), "value_error");
      assertEquals(await name("SELECT $1::int", [2n ** 31n]), "value_error");
      assertEquals(await name("SELECT $1::uuid", ["no"]), "parameter_range");
      assertEquals(await name("SELECT $1::json", ["{"]), "parameter_range");
      assertEquals(await name("SELECT $1", ["\ud800"]), "text_not_unicode");
      assertEquals(await name("SELECT chr(0)", []), "engine_limit");
      assertEquals(await name("SELECT 'a\0b'", []), "syntax");
    });

    await context.step("a column tells its name, its type and where it is from", async () => {
      await client.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, price numeric(10, 2), tags text[], at timestamptz(3))",
      );
      const sql = "SELECT id, price AS cost, tags, at, id + 1 AS next, 'x' FROM t";
      const origin = (column: string) => ({ schema: "public", table: "t", column });
      const expected = [
        { name: "id", declaredType: "bigint", origin: origin("id") },
        { name: "cost", declaredType: "numeric(10,2)", origin: origin("price") },
        { name: "tags", declaredType: "text[]", origin: origin("tags") },
        { name: "at", declaredType: "timestamp(3) with time zone", origin: origin("at") },
        { name: "next", declaredType: "bigint" },
        { name: "?column?", declaredType: "text" },
      ];
      assertEquals((await client.execute(sql, [], { origins: true })).columns, expected);
      const plain = expected.map(({ name, declaredType }) => ({ name, declaredType }));
      assertEquals((await client.execute(sql)).columns, plain);
      const prepared = await client.prepare(`${sql} WHERE price > $1 AND at < $2`);
      assertEquals(prepared.columns, expected);
      assertEquals(prepared.parameters.map(({ type }) => type), [
        "numeric",
        "timestamp with time zone",
      ]);
    });
  },
});
