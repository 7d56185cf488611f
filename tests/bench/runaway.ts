// What runaway statements do to others: the latency of point queries from many sessions, first alone, then while some
// sessions run statements without end and another streams a result of millions of rows. Over UDP on this machine.

import { type Client, SqpError } from "../../src/client/mod.ts";
import { Random } from "../harness/random.ts";
import { figure, type Measured, summary, type Table } from "./measure.ts";
import { ServerProcess, SQLITE_SERVER } from "./server_process.ts";

const SESSIONS = 32;
const POINTS = 10_000;
const STREAM_ROWS = 10_000_000;
/** How long each of the two is measured. */
const ROUND_MS = 8_000;
/** Time for runaways and stream to be what the machine does, and for the first queries to be forgotten. */
const SETTLE_MS = 2_000;
/** Each session asks so often: a load that the machine has room for, so that waiting is what is measured. */
const PAUSE_MS = 100;

const POINT_QUERY = "select id, name, value from points where id = ?";
const SETUP = [
  "create table points (id integer primary key, name text, value real)",
  `insert into points with recursive c (n) as (select 1 union all select n + 1 from c limit ${POINTS})
    select n, 'point number ' || n, n * 1.5 from c`,
];
const STREAM_QUERY = `
  with recursive c (n) as (select 1 union all select n + 1 from c limit ${STREAM_ROWS})
  select n, 'a remark of ordinary length', n * 1.5 from c`;

/** Statements without end, of which half are no loops: functions that are slow by themselves. */
const SLOW = Array.from({ length: 300 }, (_, i) => `length(hex(zeroblob(${7_000_000 + i})))`)
  .join(" + ");
const RUNAWAYS = [
  "with recursive c (i) as (select 1 union all select i + 1 from c) select count(*) from c",
  "select count(*) from points a, points b, points c where a.value + b.value + c.value < 0",
  `select ${SLOW} from points where id = 1`,
  `select max(${SLOW}) from points where id < 1000`,
];

/** Asks point queries from every session, each at its own time, and times them. */
async function pointQueries(clients: readonly Client[]): Promise<Measured> {
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
  return summary(timesMs, performance.now() - begin);
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

/** Reads a stream as fast as it comes until told to stop. Returns how it is stopped. */
function stream(client: Client): () => Promise<Streamed> {
  const start = performance.now();
  let isStopped = false;
  const run = async () => {
    let rowCount = 0;
    let error = "";
    try {
      for await (const _row of client.stream(STREAM_QUERY, [], { urgency: 7 })) {
        rowCount++;
        if (isStopped) break;
      }
    } catch (thrown) {
      if (!(thrown instanceof SqpError)) throw thrown;
      error = `${thrown.codeName} after ${rowCount} rows: ${thrown.message}`;
    }
    return { rowsPerSecond: rowCount * 1_000 / (performance.now() - start), error };
  };
  const running = run();
  return () => {
    isStopped = true;
    return running;
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
  const others = await connect(RUNAWAYS.length + 1);
  try {
    for (const sql of SETUP) await clients[0]!.execute(sql);
    await pointQueries(clients);
    const quiet = await pointQueries(clients);
    const stopRunaways = RUNAWAYS.map((sql, i) => runaway(others[i]!, sql));
    await pause(SETTLE_MS);
    const besideRunaways = await pointQueries(clients);
    const stopStream = stream(others.at(-1)!);
    await pause(SETTLE_MS);
    const besideAll = await pointQueries(clients);
    const { rowsPerSecond, error } = await stopStream();
    await Promise.all(stopRunaways.map((stop) => stop()));
    const row = (name: string, { perSecond, medianMs, p99Ms }: Measured, others: string) => {
      // Whoever looks at a clock of 1 ms sees no less.
      const ratio = Math.max(1, p99Ms) / Math.max(1, quiet.p99Ms);
      return [name, ...[perSecond, medianMs, p99Ms, ratio].map(figure), others];
    };
    return {
      title:
        `Point queries of ${SESSIONS} sessions beside ${RUNAWAYS.length} statements without end and a stream of ${
          STREAM_ROWS.toLocaleString("en")
        } rows`,
      columns: ["", "a second", "median ms", "99 % ms", "ratio", "rows a second streamed"],
      rows: [
        row("alone", quiet, ""),
        row("beside statements without end", besideRunaways, ""),
        row("beside these and the stream", besideAll, `${figure(rowsPerSecond)} ${error}`),
      ],
    };
  } finally {
    await Promise.all([...clients, ...others].map((client) => client.close()));
  }
}
