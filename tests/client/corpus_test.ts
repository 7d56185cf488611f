// A real corpus through the client over UDP: loaded a row a line, asked, and held against what SQLite says when asked
// directly.

import { assert, assertEquals } from "@std/assert";
import type { Client, Row, SqlValue } from "../../src/client/mod.ts";
import { type NodeDatabase, openDatabase } from "../../src/query/sqlite/node_sqlite.ts";
import { type CorpusLine, loadCorpus } from "../harness/corpus.ts";
import { liveTest } from "../harness/live_server.ts";
import { curveText, MeasuredServer, type MemoryPoint } from "../harness/server_memory.ts";

/** Rows of one INSERT: with four parameters each far below the 32,766 of a statement. */
const ROWS_PER_STATEMENT = 250;

/**
 * How often a stream gives the whole corpus: far more than the runtime takes for its own use while it gets faster, and
 * than an engine's heap, which grows by some 40 MiB before the runtime collects what is garbage there.
 */
const REPEATS = 60;

/** Lines that go one to a statement, beside the others. */
const SINGLE_ROWS = 4_000;

/** Statements that are under way at one time. */
const IN_FLIGHT = 32;

/** What a server may hold more at one point of a stream than at another: a small part of what it sends. */
const HELD_BYTES_MAX = 3 * 2 ** 20;

const QUESTIONS: readonly (readonly [string, SqlValue[]])[] = [
  ["select count(*), count(distinct document), sum(length(line)) from corpus", []],
  ["select document, count(*), max(number) from corpus group by document order by 2 desc, 1", []],
  [
    "select rowid, document, number, line from corpus where corpus match ? order by rank, rowid limit 200",
    [
      "handshake",
    ],
  ],
  ["select rowid, rank, bm25(corpus) from corpus where corpus match ? order by rowid", ["record"]],
  [
    "select rowid, snippet(corpus, 2, '[', ']', '…', 6) from corpus where corpus match ? order by rowid",
    [
      '"sequence number"',
    ],
  ],
  [
    "select rowid, highlight(corpus, 2, '<b>', '</b>') from corpus where corpus match ? order by rank, rowid",
    [
      "epoch AND (client OR server) NOT record",
    ],
  ],
  ["select rowid, line from corpus where corpus match ? order by rowid desc", [
    "NEAR(client server, 3)",
  ]],
  ["select document, count(*) from corpus where corpus match ? group by 1 order by 2 desc, 1", [
    "hand*",
  ]],
  ["select count(*) from corpus where corpus match ?", ["nowhereatall"]],
  ["select rowid, line from corpus where line like ? order by length(line) desc, rowid limit 50", [
    "%MUST%",
  ]],
  ["select length(line), count(*) from corpus group by 1 order by 1", []],
  ["select rowid, line from corpus where rowid between ? and ? order by rowid", [1_000, 1_100]],
  ["select avg(length(line)), total(number), group_concat(distinct document) from corpus", []],
];

/** Inserts the lines from `first` to `end`, `perStatement` rows at a time, with many statements under way. */
async function load(
  client: Client,
  lines: readonly CorpusLine[],
  { first, end, perStatement }: { first: number; end: number; perStatement: number },
): Promise<number> {
  let next = first;
  let changes = 0;
  const work = async () => {
    while (next < end) {
      const start = next;
      next = Math.min(start + perStatement, end);
      const rows = lines.slice(start, next);
      const values = rows.map(() => "(?, ?, ?, ?)").join(", ");
      const params = rows.flatMap((
        { document, number, text },
        i,
      ) => [start + i + 1, document, number, text]);
      const sql = `insert into corpus (rowid, document, number, line) values ${values}`;
      const result = await client.execute(sql, params);
      changes += result.changes;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return changes;
}

function openDirectly(path: string): NodeDatabase & Disposable {
  const database = openDatabase(path, { readOnly: true, readBigInts: true, returnArrays: true });
  return Object.assign(database, { [Symbol.dispose]: () => database.close() });
}

/** What SQLite says when it is asked directly, in the client's types. */
function askDirectly(database: NodeDatabase, sql: string, params: SqlValue[]): Row[] {
  const bound = params.map((value) => typeof value === "number" ? BigInt(value) : value);
  const rows = database.prepare(sql).all(...bound);
  return rows.map((row) =>
    row.map((value) =>
      typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value
    )
  );
}

/** assertEquals of 70,000 rows takes seconds where nothing is wrong. */
function assertSameRows(actual: readonly Row[], expected: readonly Row[], question: string): void {
  assertEquals(actual.length, expected.length, question);
  for (let i = 0; i < expected.length; i++) {
    if (!actual[i]!.every((value, k) => Object.is(value, expected[i]![k]))) {
      assertEquals(actual[i], expected[i], `${question}, row ${i}`);
    }
  }
}

liveTest(
  "a corpus that is loaded over UDP, a row a line, answers as SQLite does when asked directly",
  async (context) => {
    const { source, lines } = loadCorpus();
    await using server = await MeasuredServer.start();
    await using client = await server.connect();
    await context.step(`${lines.length} lines (${source}) are loaded`, async () => {
      assert(lines.length > 50_000);
      await client.execute(
        "create virtual table corpus using fts5(document unindexed, number unindexed, line)",
      );
      const single = { first: 0, end: SINGLE_ROWS, perStatement: 1 };
      const many = { first: SINGLE_ROWS, end: lines.length, perStatement: ROWS_PER_STATEMENT };
      const [one, rest] = await Promise.all([
        load(client, lines, single),
        load(client, lines, many),
      ]);
      assertEquals([one, rest], [SINGLE_ROWS, lines.length - SINGLE_ROWS]);
    });
    using database = openDirectly(`${server.folder}/test.sqlite`);
    await context.step("the server's memory does not grow with the result", async () => {
      const sql = "select corpus.rowid, i, document, number, line from corpus join " +
        `(select value as i from json_each('[${Array.from({ length: REPEATS }).fill(1)}]'))`;
      const points: MemoryPoint[] = [];
      let rows = 0;
      let sum = 0;
      let characters = 0;
      for await (const [rowid, , document, , line] of client.stream(sql)) {
        rows++;
        sum += rowid as number;
        characters += (document as string).length + (line as string).length;
        if (rows % lines.length === 0) points.push({ rows, ...await server.memory() });
      }
      // deno-lint-ignore no-console
      console.log(curveText(points));
      const totals =
        `select count(*), sum(rowid), sum(length(document) + length(line)) from (${sql})`;
      assertEquals(askDirectly(database, totals, []), [[rows, sum, characters]]);
      assertEquals(rows, REPEATS * lines.length);
      const growth = (of: (point: MemoryPoint) => number, from = 0) =>
        Math.max(...points.map(of)) - of(points[from]!);
      assert(growth(({ heapBytes }) => heapBytes) < HELD_BYTES_MAX, "the heap grows");
      // What allocators keep is not what is held, but far less than what has passed.
      assert(growth(({ externalBytes }) => externalBytes) < characters / 2, "buffers pile up");
      // The first rows bring code and stacks that later ones find there.
      assert(growth(({ rssBytes }) => rssBytes, 1) < characters / 2, "the server grows");
      assert(growth(({ engineBytes }) => engineBytes ?? 0, 1) < characters / 2, "the engine grows");
    });
    for (const [sql, params] of QUESTIONS) {
      await context.step(`${sql} ${params.join()}`, async () => {
        const expected = askDirectly(database, sql, params);
        assert(expected.length > 0);
        assertSameRows((await client.execute(sql, params)).rows, expected, sql);
      });
    }
    await context.step("all rows, as a stream and at once", async () => {
      const sql = "select rowid, document, number, line from corpus order by rowid";
      const expected = askDirectly(database, sql, []);
      assert(expected.length > 50_000);
      assertSameRows(await Array.fromAsync(client.stream(sql)), expected, sql);
      assertSameRows((await client.execute(sql)).rows, expected, sql);
      assertSameRows(
        expected,
        lines.map(({ document, number, text }, i) => [i + 1, document, number, text]),
        "the corpus itself",
      );
    });
    await context.step("the questions all at once", async () => {
      const answers = await Promise.all(
        QUESTIONS.map(([sql, params]) => client.execute(sql, params)),
      );
      for (const [i, [sql, params]] of QUESTIONS.entries()) {
        assertSameRows(answers[i]!.rows, askDirectly(database, sql, params), sql);
      }
    });
  },
);
