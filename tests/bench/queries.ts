// Queries, streams and writes over loopback UDP: a client in this process, a server in one of its own.

import type { Client } from "../../src/client/mod.ts";
import { RowPageWriter } from "../../src/wire/row_page.ts";
import { Random } from "../harness/random.ts";
import { figure, measureLatency, type Table } from "./measure.ts";
import { INSTANT_SERVER, ServerProcess, SQLITE_SERVER, sqliteServer } from "./server_process.ts";

const ROUND_MS = 3_000;
const POINTS = 10_000;
const STREAM_ROWS = 100_000;
/** Streams of that many rows, one after the other, of which the fastest counts: others use the machine as well. */
const STREAMS = 6;

const POINT_QUERY = "select id, name, value from points where id = ?";
const INSERT = "insert into points (name, value) values (?, ?)";
const MAKE_TABLE = "create table points (id integer primary key, name text, value real)";
const FILL_TABLE = `insert into points
  with recursive counter (n) as (select 1 union all select n + 1 from counter where n < ${POINTS})
  select n, 'point number ' || n, n * 1.5 from counter`;
const STREAM_QUERY = `
  with recursive counter (n) as (select 1 union all select n + 1 from counter where n < ${STREAM_ROWS})
  select n, 'a remark of ordinary length for a row of a result', n * 1.5, null from counter`;

async function connectTo(server: ServerProcess): Promise<Client> {
  const client = await server.connect();
  await client.execute(MAKE_TABLE);
  await client.execute(FILL_TABLE);
  return client;
}

/** Measures an operation with 1 and with 64 in flight, as rows of a table. */
async function atBothDepths(name: string, operation: () => Promise<unknown>): Promise<string[][]> {
  const rows: string[][] = [];
  for (const inFlight of [1, 64]) {
    const { perSecond, medianMs, p99Ms } = await measureLatency(operation, inFlight, ROUND_MS);
    rows.push([
      `${name}, ${inFlight} in flight`,
      figure(perSecond),
      figure(medianMs),
      figure(p99Ms),
    ]);
  }
  return rows;
}

const LATENCY_COLUMNS = ["", "a second", "median ms", "99 % ms"];

/** Point queries on SQLite. */
export async function benchQueries(): Promise<Table> {
  await using server = await ServerProcess.start(SQLITE_SERVER);
  await using client = await connectTo(server);
  const random = new Random(1);
  const rows = await atBothDepths("point query", async () => {
    const id = random.integer(1, POINTS);
    const result = await client.execute(POINT_QUERY, [id]);
    if (result.rows[0]?.[0] !== id) throw new Error("a query found another row");
  });
  return { title: "Loopback UDP, SQLite", columns: LATENCY_COLUMNS, rows };
}

/** The same with an engine that answers at once: what sockets and protocol cost. */
export async function benchSockets(): Promise<Table> {
  await using server = await ServerProcess.start(INSTANT_SERVER);
  await using client = await server.connect();
  const rows = await atBothDepths("point query", () => client.execute(POINT_QUERY, [1]));
  return { title: "Loopback UDP, an instant engine", columns: LATENCY_COLUMNS, rows };
}

/** Writes on SQLite, each a transaction of its own that is on the disk when it is answered. */
export async function benchWrites(): Promise<Table> {
  await using server = await ServerProcess.start(SQLITE_SERVER);
  await using client = await connectTo(server);
  const rows = await atBothDepths("insert", () => client.execute(INSERT, ["somebody", 2.5]));
  return { title: "Loopback UDP, SQLite, synchronous writes", columns: LATENCY_COLUMNS, rows };
}

/** The bytes of a row of the stream in its pages. */
function bytesPerRow(): number {
  const writer = new RowPageWriter();
  const rows = 100;
  for (let i = 0; i < rows; i++) {
    const n = BigInt(STREAM_ROWS / 2);
    writer.append([n, "a remark of ordinary length for a row of a result", Number(n) * 1.5, null]);
  }
  return writer.takePayload().length / rows;
}

/** Rows a second of a stream from a server with one provider of cryptography. */
async function streamRate(provider: "noble" | "node" | "openssl"): Promise<number> {
  await using server = await ServerProcess.start(sqliteServer(provider));
  await using client = await server.connect();
  let best = 0;
  for (let stream = 0; stream < STREAMS; stream++) {
    const start = performance.now();
    let rows = 0;
    for await (const row of client.stream(STREAM_QUERY)) if (row[0] === ++rows) continue;
    if (rows !== STREAM_ROWS) throw new Error(`a stream of ${rows} rows`);
    best = Math.max(best, STREAM_ROWS * 1_000 / (performance.now() - start));
  }
  return best;
}

/** Rows streamed from SQLite, by the server's provider of cryptography; the client takes the fastest. */
export async function benchStream(): Promise<Table> {
  const rows: string[][] = [];
  for (const provider of ["noble", "node", "openssl"] as const) {
    try {
      const perSecond = await streamRate(provider);
      const megabits = perSecond * bytesPerRow() * 8 / 1e6;
      rows.push([provider, figure(perSecond), figure(megabits)]);
    } catch (error) {
      if (!String(error).includes("has not started")) throw error;
      rows.push([provider, "absent", ""]);
    }
  }
  return {
    title: `Loopback UDP, SQLite, rows of ${Math.round(bytesPerRow())} bytes streamed`,
    columns: ["the server's cryptography", "rows a second", "Mbit/s"],
    rows,
  };
}
