// What runaway statements do to others: the latency of point queries from many sessions, first alone, then while some
// sessions run statements without end and another streams a result of millions of rows. Over UDP on this machine.

import type { Client } from "../../src/client/mod.ts";
import { Random } from "../harness/random.ts";
import { figure, summary, type Table } from "./measure.ts";
import { ServerProcess, SQLITE_SERVER } from "./server_process.ts";

const SESSIONS = 32;
const POINTS = 10_000;
const STREAM_ROWS = 10_000_000;
/** Rounds of one after the other, and how long each is measured in a round. */
const ROUNDS = 3;
const ROUND_MS = 4_000;
/** Time for runaways and stream to be what the machine does, and for the first queries to be forgotten. */
const SETTLE_MS = 1_000;
/** Each session asks so often: a load that the machine has room for, so that waiting is what is measured. */
const PAUSE_MS = 100;

const POINT_QUERY = "select id, name, value from points where id = ?";
const SETUP = [
  "create table points (id integer primary key, name text, value real)",
  `insert into points with recursive c (n) as (select 1 union all select n + 1 from c limit ${POINTS})
    select n, 'point number ' || n, n * 1.5 from c`,
];
/** Statements without end, of which half are no loops: functions that are slow by themselves. */
const SLOW = Array.from({ length: 300 }, (_, i) => `length(hex(zeroblob(${7_000_000 + i})))`)
  .join(" + ");
const RUNAWAYS = [
  "with recursive c (i) as (select 1 union all select i + 1 from c) select count(*) from c",
  "select count(*) from points a, points b, points c where a.value + b.value + c.value < 0",
  `select ${SLOW} from points where id = 1`,
  `select max(${SLOW}) from points where id < 1000`,
];

/** Asks point queries from every session, each at its own time. Returns how long each took, in milliseconds. */
async function pointQueries(clients: readonly Client[]): Promise<number[]> {
  const random = new Random(1);
  const begin = performance.now();
  const timesMs: number[] = [];
  await Promise.all(clients.map(async (client) => {
    await pause(random.float() * PAUSE_MS);
    while (performance.now() < begin + ROUND_MS) {
      const id = random.integer(1, POINTS);
      const start = performance.now();
      const { rows } = await client.execute(POINT_QUERY, [id]);
      if (rows[0]?.[0] !== id) throw new Error("a query found another row");
      timesMs.push(performance.now() - start);
      await pause(PAUSE_MS * (0.5 + random.float()));
    }
  }));
  return timesMs;
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Runs a statement again and again until told to stop. Returns how it is stopped. */
function runaway(client: Client, sql: string): () => Promise<void> {
  const stopping = new AbortController();
  const run = async () => {
    while (!stopping.signal.aborted) {
      await client.execute(sql, [], { signal: stopping.signal }).catch(() => pause(1));
    }
  };
  const running = run();
  return async () => {
    stopping.abort();
    await running;
  };
}

/** What came of the stream. */
interface Streamed {
  readonly rowsPerSecond: number;
  /** The error that ended it, if any did. */
  readonly error: string;
}

/** Has a process read a stream as fast as it comes until told to stop. Returns how it is stopped. */
function stream(server: ServerProcess): () => Promise<Streamed> {
  const client = server.startClient(new URL("./runaway_stream.ts", import.meta.url), STREAM_ROWS);
  return async () => {
    await client.stdin.close();
    const { stdout } = await client.output();
    return JSON.parse(new TextDecoder().decode(stdout));
  };
}

/** The latency of point queries alone, and beside runaway statements and a stream. */
export async function benchRunaway(): Promise<Table> {
  await using server = await ServerProcess.start(SQLITE_SERVER);
  const connect = async (count: number) => {
    const clients: Client[] = [];
    for (let i = 0; i < count; i++) clients.push(await server.connect());
    return clients;
  };
  const clients = await connect(SESSIONS);
  const others = await connect(RUNAWAYS.length);
  try {
    for (const sql of SETUP) await clients[0]!.execute(sql);
    await pointQueries(clients);
    const quiet: number[] = [];
    const besideRunaways: number[] = [];
    const besideAll: number[] = [];
    const streams: Streamed[] = [];
    // In turn, because the machine has other moods at other times.
    for (let round = 0; round < ROUNDS; round++) {
      quiet.push(...await pointQueries(clients));
      const stopRunaways = RUNAWAYS.map((sql, i) => runaway(others[i]!, sql));
      await pause(SETTLE_MS);
      besideRunaways.push(...await pointQueries(clients));
      const stopStream = stream(server);
      await pause(SETTLE_MS);
      besideAll.push(...await pointQueries(clients));
      streams.push(await stopStream());
      await Promise.all(stopRunaways.map((stop) => stop()));
      await pause(SETTLE_MS);
    }
    const alone = summary(quiet, ROUNDS * ROUND_MS);
    const row = (name: string, timesMs: number[], others: string) => {
      const { perSecond, medianMs, p99Ms } = summary(timesMs, ROUNDS * ROUND_MS);
      // Whoever looks at a clock of 1 ms sees no less.
      const ratio = Math.max(1, p99Ms) / Math.max(1, alone.p99Ms);
      return [name, ...[perSecond, medianMs, p99Ms, ratio].map(figure), others];
    };
    const rowsPerSecond = streams.reduce((sum, each) => sum + each.rowsPerSecond, 0) / ROUNDS;
    const errors = streams.map(({ error }) => error).join(" ").trim();
    return {
      title:
        `Point queries of ${SESSIONS} sessions beside ${RUNAWAYS.length} statements without end and a stream of ${
          STREAM_ROWS.toLocaleString("en")
        } rows`,
      columns: ["", "a second", "median ms", "99 % ms", "ratio", "rows a second streamed"],
      rows: [
        row("alone", quiet, ""),
        row("beside statements without end", besideRunaways, ""),
        row("beside these and the stream", besideAll, `${figure(rowsPerSecond)} ${errors}`),
      ],
    };
  } finally {
    await Promise.all([...clients, ...others].map((client) => client.close()));
  }
}
