// Many clients read results of a gigabyte each, and slowly: what the server holds of them meanwhile.

import { assert } from "@std/assert";
import type { Client, RowStream } from "../../src/client/mod.ts";
import { QUERY_LIMITS } from "../../src/query/limits.ts";
import { DEFAULT_TRANSPORT_LIMITS } from "../../src/transport/limits.ts";
import { LIMITS } from "../../src/wire/limits.ts";
import { liveTest, pause } from "../harness/live_server.ts";
import { curveText, MeasuredServer, type MemoryPoint } from "../harness/server_memory.ts";

const CLIENTS = 10;
const ROWS = 1_000_000;

/** A gigabyte of rows. */
const GIGABYTE =
  `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${ROWS}) SELECT i, printf('%01000d', i) FROM c`;

/** Rows that a client takes, and how long it then looks at them. */
const ROWS_AT_ONCE = 100;
const LOOK_MS = 200;

/** How often the server is asked, a second apart. */
const SAMPLES = 8;

/**
 * What a server may hold for one stream: what waits to be sent, what was sent and not acknowledged, of which there is
 * never more than the credit that a fast link may bring a stream, and a page on its way from the engine.
 */
const STREAM_BYTES_MAX: number = QUERY_LIMITS.streamBufferBytes +
  DEFAULT_TRANSPORT_LIMITS.streamCreditBytesMax +
  LIMITS.pageBytesMax;

/** What its other work may add between two looks: garbage that is not collected, caches that fill. */
const SLACK_BYTES = 4 * 2 ** 20;

/** Takes rows, a few at a time, until told to stop. Returns how many. */
async function readSlowly(rows: RowStream, isStopped: () => boolean): Promise<number> {
  let count = 0;
  for await (const [i] of rows) {
    if (i !== ++count) throw new Error(`row ${i} came as number ${count}`);
    if (count % ROWS_AT_ONCE === 0) await pause(LOOK_MS);
    if (isStopped()) break;
  }
  return count;
}

liveTest(
  "ten clients that read a gigabyte each, slowly, cost the server a bounded memory",
  async () => {
    await using server = await MeasuredServer.start();
    const clients: Client[] = [];
    try {
      for (let i = 0; i < CLIENTS; i++) clients.push(await server.connect());
      // Code and buffers that every stream needs are there before the first look.
      await Promise.all(clients.map((client) => readSlowly(client.stream(GIGABYTE), () => true)));
      const points: MemoryPoint[] = [{ rows: 0, ...await server.memory() }];
      let isStopped = false;
      const counts: number[] = [];
      const readers = clients.map(async (client, i) => {
        counts[i] = await readSlowly(client.stream(GIGABYTE), () => isStopped);
      });
      for (let i = 1; i <= SAMPLES; i++) {
        await pause(1_000);
        points.push({ rows: i, ...await server.memory() });
      }
      isStopped = true;
      await Promise.all(readers);
      const held = (point: MemoryPoint) => point.heapBytes + point.externalBytes;
      const mostBytes = Math.max(...points.map(held)) - held(points[0]!);
      const boundBytes = CLIENTS * STREAM_BYTES_MAX + SLACK_BYTES;
      const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
      // deno-lint-ignore no-console
      console.log(
        `${curveText(points)}held beside what it held before: ${mib(mostBytes)} at most; ` +
          `the bound is ${CLIENTS} x ${mib(STREAM_BYTES_MAX)} + ${mib(SLACK_BYTES)} = ${
            mib(boundBytes)
          }; ` +
          `rows read: ${counts.join(", ")}`,
      );
      assert(counts.every((count) => count > 0), "every client gets rows");
      assert(counts.every((count) => count < ROWS), "none has read all");
      assert(mostBytes <= boundBytes, `${mib(mostBytes)} are more than ${mib(boundBytes)}`);
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  },
);
