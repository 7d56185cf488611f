// What the protocol itself costs a query: both ends on one thread, no socket, an engine that answers at once.

import { figure, type Measured, summary, type Table } from "./measure.ts";
import { MemoryServer } from "./memory_pair.ts";

const ROUND_MS = 2_500;
const WARM_UP_MS = 800;
const SQL = "select id, name, value from points where id = ?";

/** Sends as many queries as may be in flight whenever one has ended. */
function measure(server: MemoryServer, inFlight: number): Measured {
  const client = server.connect();
  const timesMs: number[] = [];
  let open = 0;
  const run = (durationMs: number) => {
    const begin = performance.now();
    timesMs.length = 0;
    while (performance.now() < begin + durationMs) {
      while (open < inFlight) {
        const start = performance.now();
        open++;
        client.query(SQL, [open], () => {
          open--;
          timesMs.push(performance.now() - start);
        });
      }
      server.exchange(client);
    }
    return performance.now() - begin;
  };
  run(WARM_UP_MS);
  const elapsedMs = run(ROUND_MS);
  server.disconnect(client);
  return summary(timesMs, elapsedMs);
}

/** Measures queries in memory. */
export async function benchMemoryQueries(): Promise<Table> {
  const server = await MemoryServer.make();
  const rows = [1, 64].map((inFlight) => {
    const { perSecond } = measure(server, inFlight);
    return [`${inFlight} in flight`, figure(perSecond), figure(1e6 / perSecond)];
  });
  server.close();
  return {
    title: "Point queries in memory, an instant engine, both ends on one thread",
    columns: ["", "a second", "microseconds each"],
    rows,
  };
}
