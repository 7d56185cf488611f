import { assert, assertEquals } from "@std/assert";
import { delay, duplicate, jitter, type LinkNode, loss, rate, reorder } from "../harness/link.ts";
import { forEachSeed } from "../harness/simulation.ts";
import { type End, Pair } from "./fixture.ts";
import { Answering, Asking } from "./traffic.ts";

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

const rising = (a: number, b: number) => a - b;

function assertReleased({ transport }: End): void {
  const stats = transport.stats();
  assertEquals(stats.packetsSent, stats.packetsAcked + stats.packetsLost + stats.packetsInFlight);
  assertEquals(stats.packetsInFlight, 0);
  assertEquals(stats.bytesInFlight, 0);
  assertEquals(transport.bufferedBytes, 0);
  assertEquals(transport.isDrained, true);
  const tables = [stats.openRequests, stats.sendStreams, stats.receiveStreams];
  assertEquals(tables, [0, 0, 0]);
}

Deno.test("over 20 % loss, duplication and reordering each way, all arrives once, in order, and ends", () => {
  forEachSeed(60, (seed) => {
    const pair = new Pair({ seed, nodes: trouble });
    const asking = new Asking(pair.client);
    const answering = new Answering(pair.server, pair.random.fork());
    const requests = Array.from({ length: 12 }, (_, i) => i + 1 + 10 * seed);
    let afterMs = 0;
    for (const requestId of requests) {
      pair.simulation.after(afterMs += pair.random.integer(0, 40), () => asking.ask(requestId));
    }
    pair.simulation.runUntilIdle({ durationMs: 600_000 });
    assertEquals([...asking.answered].toSorted(rising), requests);
    assertEquals(answering.seen.toSorted(rising), requests);
    assertEquals(asking.responses.toSorted(rising), requests);
    assertReleased(pair.client);
    assertReleased(pair.server);
    assert(pair.toClient.counters.get("lost") > 0 && pair.toClient.counters.get("duplicated") > 0);
  });
});
