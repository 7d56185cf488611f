// Benchmark of the SQLite engine with its processes:
// deno run --allow-run --allow-read --allow-write tests/query/bench_query.ts

import type { EngineSession, ExecuteCommand, Permission } from "../../src/query/engine.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { encodeParams } from "../../src/wire/params.ts";
import type { SqlParams } from "../../src/wire/value.ts";

/** One measured line. */
export interface Measurement {
  readonly name: string;
  /** How many a second. */
  readonly perSecond: number;
}

const PERMISSIONS = new Set<Permission>(["read", "write", "schema"]);

/** How far ahead of its reader a stream is computed here. */
const PAGES_AHEAD = 4;

function command(sql: string, params: SqlParams = []): ExecuteCommand {
  return { sql, params: encodeParams(params) };
}

/** Runs a command to its end and counts its rows. */
function run(session: EngineSession, what: ExecuteCommand): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const execution = session.execute(what, {
    onHead() {},
    onPage: (_, last) => void (last || execution.pull(1)),
    onEnd: ({ rowCount }) => resolve(rowCount),
    onError: reject,
  });
  execution.pull(PAGES_AHEAD);
  return promise;
}

/** Runs `count` commands, `inFlight` at a time. Returns how many a second. */
async function rate(
  session: EngineSession,
  count: number,
  inFlight: number,
  make: (i: number) => ExecuteCommand,
): Promise<number> {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(session, make(next++));
  };
  const startMs = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  return count * 1000 / (performance.now() - startMs);
}

const series = (count: number, values: string) =>
  `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${count}) SELECT ${values} FROM c`;

/** Measures the engine on a private temporary database. */
export async function benchQuery(): Promise<Measurement[]> {
  const engine = await openSqliteEngine({ database: ":memory:" });
  const session = engine.open({ principal: "bench", permissions: PERMISSIONS });
  const measured: Measurement[] = [];
  const add = (name: string, perSecond: number) => measured.push({ name, perSecond });
  try {
    await run(session, command("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL, c BLOB)"));
    await run(
      session,
      command(`INSERT INTO t ${series(100_000, "i, 'text number ' || i, i / 3.0, randomblob(8)")}`),
    );
    const point = (i: number) => command("SELECT * FROM t WHERE id = ?", [i * 7919 % 100_000 + 1]);
    const ten = (i: number) =>
      command("SELECT * FROM t WHERE id BETWEEN ? AND ? + 9", [
        i * 7919 % 90_000,
        i * 7919 % 90_000,
      ]);
    const insert = (i: number) => command("INSERT INTO t (a, b) VALUES (?, ?)", [`row ${i}`, i]);
    await rate(session, 5_000, 64, point);
    add("point queries, 1 in flight", await rate(session, 10_000, 1, point));
    add("point queries, 64 in flight", await rate(session, 50_000, 64, point));
    add("queries of 10 rows, 64 in flight", await rate(session, 20_000, 64, ten));
    add("writes, 1 in flight (synchronous=FULL)", await rate(session, 500, 1, insert));
    add("writes, 64 in flight (synchronous=FULL)", await rate(session, 10_000, 64, insert));
    const startMs = performance.now();
    const rows = await run(
      session,
      command("SELECT * FROM t a JOIN (SELECT 1 UNION ALL SELECT 2) LIMIT 200000"),
    );
    add("rows streamed (4 columns)", rows * 1000 / (performance.now() - startMs));
  } finally {
    await engine.close();
  }
  return measured;
}

if (import.meta.main) {
  const text = (await benchQuery()).map(({ name, perSecond }) =>
    `${Math.round(perSecond).toLocaleString("en").padStart(10)} /s  ${name}\n`
  ).join("");
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
