// Writes to a table whose changes are captured for feeds, in each way, and to one that nobody watches.

import type { Execution, FeedSink } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { CAPTURES, PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { figure, measureLatency, type Table } from "./measure.ts";

const ROUND_MS = 4_000;
const CONNECTIONS = 16;
/** Single writes of which it is measured when they are told. */
const TOLD_COUNT = 200;

/** A feed of which it is only known that something came. */
class Arrivals implements FeedSink {
  readonly started = Promise.withResolvers<void>();
  execution: Execution | undefined;
  count = 0;
  onNext: () => void = () => {};

  onStart(): void {
    this.started.resolve();
  }

  onPage(): void {
    this.count++;
    this.onNext();
    this.execution?.pull(1);
  }

  onEnd(): void {
    this.onError(new Error("the feed has ended"));
  }

  onError(error: Error): void {
    this.started.reject(error);
  }
}

/** Writes a second by connections at once, each row by itself. */
async function writesPerSecond(server: PostgresServer, table: string): Promise<string> {
  const connections = Array.from({ length: CONNECTIONS }, () => server.connect("bench"));
  const insert = `insert into ${table} (name) values ('somebody')`;
  let turn = 0;
  const { perSecond } = await measureLatency(
    () => connections[turn++ % CONNECTIONS]!.unsafe(insert, [], { prepare: true }),
    CONNECTIONS,
    ROUND_MS,
  );
  await Promise.all(connections.map((connection) => connection.end()));
  return figure(perSecond);
}

/** How long after the answer to its commit a write is told, in milliseconds: the median. */
async function toldAfterMs(server: PostgresServer, feed: Arrivals): Promise<string> {
  const connection = server.connect("bench");
  const timesMs: number[] = [];
  for (let i = 0; i < TOLD_COUNT; i++) {
    const before = feed.count;
    await connection.unsafe("insert into watched (name) values ('somebody')");
    const startMs = performance.now();
    while (feed.count === before) {
      await new Promise<void>((resolve) => feed.onNext = resolve);
    }
    timesMs.push(performance.now() - startMs);
  }
  await connection.end();
  return figure(timesMs.sort((a, b) => a - b)[TOLD_COUNT / 2]!);
}

/** Both ways to capture changes in PostgreSQL; writes are on the disk when they are answered. */
export async function benchCaptures(): Promise<Table> {
  const why = whyNoPostgres();
  const title = `Changes of PostgreSQL, ${CONNECTIONS} connections that write single rows`;
  if (why !== undefined) return { title, columns: [`not here: ${why}`], rows: [] };
  const rows: string[][] = [];
  for (const [capture, settings] of Object.entries(CAPTURES)) {
    await using server = await PostgresServer.start({ ...settings, fsync: "on" });
    await server.makeDatabase("bench");
    const owner = server.connect("bench");
    for (const table of ["watched", "plain"]) {
      await owner.unsafe(`create table ${table} (id bigserial primary key, name text);
        alter table ${table} owner to sqp; grant select on ${table} to sqp_read`);
    }
    await owner.end();
    const engine = await openPostgresEngine({ url: server.url("bench") });
    const session = engine.open({ principal: "bench", permissions: new Set(["read"]) });
    const feed = new Arrivals();
    feed.execution = session.subscribe({ tables: [{ table: "watched" }], snapshot: false }, feed);
    await feed.started.promise;
    rows.push([
      capture,
      await writesPerSecond(server, "plain"),
      await writesPerSecond(server, "watched"),
      await toldAfterMs(server, feed),
    ]);
    session.close();
    await engine.close();
  }
  const columns = ["", "not watched, a second", "watched, a second", "told after its commit, ms"];
  return { title, columns, rows };
}
