import { assert, assertEquals } from "@std/assert";
import { NEVER } from "../../src/base/core.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  delay,
  duplicate,
  jitter,
  type LinkNode,
  loss,
  outage,
  rate,
  reorder,
} from "../harness/link.ts";
import { forEachSeed, seedCount } from "../harness/simulation.ts";
import { type End, Pair } from "./fixture.ts";
import { Answering, Asking, sendStream } from "./traffic.ts";
import { answerUnsteadily, askUnsteadily, listenUnsteadily } from "./unsteady.ts";

/** Every kind of trouble at once. Corrupted packets do not reach a transport: they are lost, too. */
function trouble(): LinkNode[] {
  const corrupted = loss(0.05);
  return [
    loss(0.2),
    corrupted,
    rate(400_000, 60_000),
    duplicate(0.1, 60),
    delay(20),
    jitter(15),
    reorder(0.1, 50),
  ];
}

/** By chance alone so many packets are lost in a row that a transport would take its peer for dead: not here. */
const patient = { deadSilenceMs: 600_000 };

const rising = (a: number, b: number) => a - b;

function assertReleased({ transport }: End, peer: End): void {
  const stats = transport.stats();
  assertEquals(stats.packetsSent, stats.packetsAcked + stats.packetsLost + stats.packetsInFlight);
  assertEquals(stats.packetsInFlight, 0);
  assertEquals(stats.bytesInFlight, 0);
  assertEquals(transport.bufferedBytes, 0);
  assertEquals(transport.isDrained, true);
  assertEquals(stats.sessionBytesReceived, peer.transport.stats().sessionBytesSent);
  assertEquals(stats.sessionBytesConsumed, stats.sessionBytesReceived);
  const tables = [stats.openRequests, stats.sendStreams, stats.receiveStreams];
  assertEquals(tables, [0, 0, 0]);
}

Deno.test("over 20 % loss, duplication and reordering each way, all arrives once, in order, and ends", () => {
  forEachSeed(seedCount(), (seed) => {
    const limits = { clientLimits: patient, serverLimits: patient };
    const pair = new Pair({ seed, nodes: trouble, beforeHandshake: true, ...limits });
    const asking = new Asking(pair.client);
    const answering = new Answering(pair.server, pair.random.fork());
    const requests = Array.from({ length: 12 }, (_, i) => i + 1 + 10 * seed);
    asking.shakeHands();
    // The first queries go out with the handshake.
    let afterMs = 0;
    for (const requestId of requests) {
      pair.simulation.after(afterMs += pair.random.integer(0, 40), () => asking.ask(requestId));
    }
    pair.simulation.runUntilIdle({ durationMs: 600_000 });
    assertEquals([...asking.answered].toSorted(rising), requests);
    assertEquals(answering.seen.toSorted(rising), requests);
    assertEquals(asking.responses.toSorted(rising), requests);
    assertReleased(pair.client, pair.server);
    assertReleased(pair.server, pair.client);
    assert(pair.toClient.counters.get("lost") > 0 && pair.toClient.counters.get("duplicated") > 0);
  });
});

Deno.test("streams given up by either side, at any time, leave no credit, memory or timer behind", () => {
  forEachSeed(seedCount(), (seed) => {
    const limits = { ...patient, streamCreditBytes: 66_000, sessionCreditBytes: 150_000 };
    const pair = new Pair({ seed, nodes: trouble, clientLimits: limits, serverLimits: limits });
    answerUnsteadily(pair, pair.random.fork());
    listenUnsteadily(pair, pair.random.fork());
    const random = pair.random.fork();
    let afterMs = 0;
    for (let requestId = 1; requestId <= 30; requestId++) {
      pair.simulation.after(
        afterMs += random.integer(0, 60),
        () => askUnsteadily(pair, requestId, random),
      );
    }
    pair.simulation.runUntilIdle({ durationMs: 3_600_000 });
    assertReleased(pair.client, pair.server);
    assertReleased(pair.server, pair.client);
  });
});

Deno.test("one stream uses most of a link with a queue, and loses little", () => {
  const nodes = () => [rate(1_000_000, 100_000), delay(25)];
  const pair = new Pair({ nodes });
  const ms = sendStream(pair, 5_000_000);
  assert(ms < 6_500, `5 MB over 1 MB/s took ${ms} ms`);
  const { packetsLost, packetsSent } = pair.server.transport.stats();
  assert(packetsLost < packetsSent / 20, `${packetsLost} of ${packetsSent} lost`);
});

Deno.test("a transfer goes on after an outage of ten seconds, and a longer one is told as death", () => {
  const outageOf = (ms: number) =>
    new Pair({
      nodes:
        () => [outage(EPOCH_MS + 1_000, EPOCH_MS + 1_000 + ms), rate(500_000, 50_000), delay(20)],
    });
  const short = outageOf(10_000);
  const ms = sendStream(short, 2_000_000);
  assert(ms > 10_000 && ms < 30_000, `${ms} ms`);
  const long = outageOf(600_000);
  assertEquals(sendStream(long, 2_000_000), Infinity);
  assertEquals(long.server.events.at(-1)?.kind, "dead");
  assertEquals(long.server.transport.pollTimeout(), NEVER);
});
