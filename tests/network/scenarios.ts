// The scenarios of the QUIC interop runner on SQP, in virtual time, over its link unless they say otherwise.

import { assert, assertEquals } from "@std/assert";
import { UnifiedHeader } from "../../src/dtls/record.ts";
import { HEADER_BYTES } from "../../src/wire/frame.ts";
import { STREAM_DATA_PREFIX_BYTES } from "../../src/wire/stream_data.ts";
import { CA_CREDENTIAL, credential, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { blackouts, bottleneck, corrupt, delay, loss } from "../harness/link.ts";
import { SqpPair, type SqpPairOptions } from "../harness/sqp_pair.ts";
import {
  bothWays,
  checkRows,
  type Figures,
  link,
  QUEUE,
  RATE,
  rowsOf,
  type Scenario,
  transfer,
} from "./scenario.ts";
import { sharedLink } from "./shared_link.ts";
import type { TcpCongestion } from "./tcp_flow.ts";

const MB = 1_000_000;

/** A transfer over a link that loses 2 %, however that falls. */
const LOSSY = { totalBytes: [2 * MB], withinMs: 9_000 };

/** The mean time of a handshake where almost a third of all datagrams is lost or damaged. */
const HANDSHAKE_MEAN_MS_MAX = 4_000;

/** So many clients at once, each with its own network and one query: every one is answered. */
function handshakes(count: number, options: SqpPairOptions): Figures {
  let slowestMs = 0;
  let totalMs = 0;
  for (let seed = 1; seed <= count; seed++) {
    const pair = new SqpPair({ ...options, seed: seed + 1_000 * (options.seed ?? 1) });
    const begin = pair.now;
    const asked = pair.client.ask("echo", { params: [seed] });
    pair.answerAll();
    assertEquals(asked.rows, [[seed]], `handshake ${seed} ends as ${asked.outcome}`);
    slowestMs = Math.max(slowestMs, asked.endedAt - begin);
    totalMs += asked.endedAt - begin;
    pair.finish();
  }
  const mean = Math.round(totalMs / count);
  assert(mean <= HANDSHAKE_MEAN_MS_MAX, `${mean} ms in the mean`);
  return {
    virtualMs: totalMs,
    notes: `${count} of ${count}, mean ${mean} ms, slowest ${Math.round(slowestMs)} ms`,
  };
}

function multiplexing(seed: number): Figures {
  const pair = new SqpPair({ seed, ...bothWays(link) });
  const begin = pair.now;
  const all = Array.from({ length: 1_999 }, (_, i) => pair.client.ask("echo", { params: [i] }));
  pair.answerAll();
  for (const [i, { rows }] of all.entries()) assertEquals(rows, [[i]]);
  const virtualMs = pair.now - begin;
  assert(virtualMs <= 1_500, `${virtualMs} ms`);
  pair.finish();
  return { virtualMs, notes: `${Math.round(1_999_000 / virtualMs)} answers a second` };
}

function keyUpdates(seed: number): Figures {
  const pair = new SqpPair({ seed, ...bothWays(link) });
  const begin = pair.now;
  const asked = pair.client.ask(rowsOf(3 * MB));
  let updates = 0;
  const epochs = { client: new Set<number>(), server: new Set<number>() };
  pair.onDatagram = (from, [first]) => {
    if (pair.client.isReady) epochs[from].add(first! & UnifiedHeader.EPOCH_MASK);
  };
  for (const ms of [500, 1_000, 1_500]) {
    pair.after(ms, () => {
      updates += pair.client.stack.association.updateKeys({ requestPeer: true }) ? 1 : 0;
    });
  }
  pair.answerAll();
  assert(asked.isDone, asked.outcome);
  assertEquals(updates, 3);
  // Epochs 3 to 6, of which a record tells two bits.
  for (const seen of Object.values(epochs)) assertEquals(seen, new Set([3, 0, 1, 2]));
  const virtualMs = pair.now - begin;
  assert(virtualMs <= 3_000, `${virtualMs} ms`);
  pair.finish();
  return { virtualMs, notes: `${updates} updates of both directions` };
}

/** A server's flight of more than three times the first datagram; before the second one it does not send it. */
function amplification(seed: number): Figures {
  const more = Array.from({ length: 7 }, () => CA_CREDENTIAL.certificate);
  const credentials = [credential(SERVER_CREDENTIAL, more)];
  const pair = new SqpPair({ seed, ...bothWays(link), dtls: { credentials } });
  const begin = pair.now;
  let firstBytes = 0;
  let clientDatagrams = 0;
  let serverBytes = 0;
  pair.onDatagram = (from, { length }) => {
    if (pair.client.isReady) return;
    if (from === "client") {
      firstBytes ||= length;
      clientDatagrams++;
      return;
    }
    serverBytes += length;
    // The second one answers something that the server has sent there.
    assert(clientDatagrams > 1 || serverBytes <= 3 * firstBytes, `${serverBytes} bytes at once`);
  };
  pair.connect();
  const virtualMs = pair.now - begin;
  assert(serverBytes > 3 * firstBytes, `${serverBytes} bytes for ${firstBytes}`);
  pair.finish();
  return { virtualMs, notes: `${serverBytes} bytes of the server, first datagram ${firstBytes}` };
}

/** At least 93 % of the bytes of StreamData that the link could carry in packets of the size that was found. */
function goodput(seed: number): Figures {
  const pair = new SqpPair({ seed, ...bothWays(link) });
  pair.connect();
  const begin = pair.now;
  let streamBytes = 0;
  let largestDatagram = 0;
  pair.onDatagram = (from, { length }) => {
    if (from === "server") largestDatagram = Math.max(largestDatagram, length);
  };
  const asked = pair.client.ask(rowsOf(10 * MB));
  pair.answerAll();
  checkRows(asked);
  const virtualMs = pair.now - begin;
  const stats = pair.client.stack.transport!.stats();
  streamBytes = stats.sessionBytesReceived;
  const { packetBytes } = pair.serverSide(pair.client)!.stack.transport!.stats();
  const dataBytes = packetBytes - HEADER_BYTES - STREAM_DATA_PREFIX_BYTES;
  const share = streamBytes / ((RATE / 8_000) * virtualMs * (dataBytes / largestDatagram));
  assert(share >= 0.93, `${share} of what the link carries`);
  pair.finish();
  const notes = `${
    (100 * share).toFixed(1)
  } % of the link at datagrams of ${largestDatagram} bytes`;
  return { virtualMs, notes };
}

/** A bottleneck shared with a TCP flow that began before. */
function crossTraffic(congestion: TcpCongestion): Scenario["run"] {
  return (seed) => {
    const measureMs = 20_000;
    const share = sharedLink({ seed, congestion, beforeMs: 3_000, settleMs: 5_000, measureMs });
    return { virtualMs: measureMs, notes: `${(100 * share).toFixed(1)} % beside TCP` };
  };
}

/** Point queries beside a bulk stream that fills the link: they wait for the queue of the link, for nothing else. */
function beside(seed: number): Figures {
  const pair = new SqpPair({ seed, ...bothWays(link) });
  pair.connect();
  const bulk = pair.client.ask(rowsOf(12 * MB));
  pair.advance(1_000);
  const timesMs: number[] = [];
  for (let i = 0; i < 100; i++) {
    pair.after(50 * i, () => {
      const begin = pair.now;
      pair.client.ask("echo", { params: [i], onEnd: () => timesMs.push(pair.now - begin) });
    });
  }
  pair.advance(6_000);
  assert(!bulk.isOver);
  assertEquals(timesMs.length, 100);
  timesMs.sort((a, b) => a - b);
  const [median, p99] = [timesMs[49]!, timesMs[98]!];
  // 30 ms of round trip, and up to 25 packets of 1,452 bytes before one.
  assert(p99 <= 75, `${p99} ms`);
  pair.client.cancel(bulk);
  pair.finish();
  return { virtualMs: 6_000, notes: `median ${Math.round(median)} ms, 99 % ${Math.round(p99)} ms` };
}

/** An urgent result beside background transfers that fill the link: it takes little longer than alone. */
function urgent(seed: number): Figures {
  const timeOf = (backgrounds: number) => {
    const pair = new SqpPair({ seed, ...bothWays(link) });
    pair.connect();
    const others = Array.from(
      { length: backgrounds },
      () => pair.client.ask(rowsOf(3 * MB), { urgency: 7 }),
    );
    pair.advance(1_000);
    const begin = pair.now;
    const asked = pair.client.ask(rowsOf(MB / 2), { urgency: 1 });
    pair.runUntil(() => asked.isOver);
    checkRows(asked);
    const virtualMs = pair.now - begin;
    for (const other of others) {
      assert(!other.isOver);
      pair.client.cancel(other);
    }
    pair.finish();
    return virtualMs;
  };
  const [alone, beside] = [timeOf(0), timeOf(12)];
  assert(beside <= alone + 150, `${alone} ms alone, ${beside} ms`);
  return {
    virtualMs: beside,
    notes: `${Math.round(beside)} ms beside 12 streams, ${Math.round(alone)} ms alone`,
  };
}

/** What a person would try. Each takes seconds of real time at most. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: "transfer of 2, 3 and 5 MB at once",
    run: (seed) =>
      transfer({ seed, ...bothWays(link) }, {
        totalBytes: [2 * MB, 3 * MB, 5 * MB],
        withinMs: 9_000,
      }),
  },
  {
    name: "long round trip: 2 MB over 750 ms one way",
    run: (seed) => {
      const nodes = () => [bottleneck(RATE, QUEUE), delay(750)];
      return transfer({ seed, ...bothWays(nodes) }, { totalBytes: [2 * MB], withinMs: 18_000 });
    },
  },
  { name: "multiplexing: 1,999 queries at once", run: multiplexing },
  {
    name: "50 handshakes, 30 % loss each way in bursts of up to 3",
    run: (seed) => handshakes(50, { seed, ...bothWays(() => link(loss(0.3, 3))) }),
  },
  {
    name: "50 handshakes, 30 % corruption each way",
    run: (seed) => handshakes(50, { seed, ...bothWays(() => link(corrupt(0.3))) }),
  },
  {
    name: "transfer of 2 MB, 2 % loss",
    run: (seed) => transfer({ seed, ...bothWays(() => link(loss(0.02))) }, LOSSY),
  },
  {
    name: "transfer of 2 MB, 2 % corruption",
    run: (seed) => transfer({ seed, ...bothWays(() => link(corrupt(0.02))) }, LOSSY),
  },
  {
    name: "transfer of 10 MB, blackouts (5 s on, 2 s off)",
    run: (seed) => {
      const nodes = () => link(blackouts(5_000, 2_000, EPOCH_MS));
      return transfer({ seed, ...bothWays(nodes) }, { totalBytes: [10 * MB], withinMs: 12_500 });
    },
  },
  { name: "key updates during a transfer of 3 MB", run: keyUpdates },
  { name: "goodput of 10 MB", run: goodput },
  { name: "cross traffic: half of a link with CUBIC TCP", run: crossTraffic("cubic") },
  { name: "cross traffic: half of a link with New Reno TCP", run: crossTraffic("newreno") },
  { name: "point queries beside a bulk stream", run: beside },
  { name: "an urgent result of 500 kB beside 12 in the background", run: urgent },
  { name: "amplification: a server's flight of 3 kB", run: amplification },
];
