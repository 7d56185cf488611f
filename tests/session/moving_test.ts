// Sessions whose client gets another address, or whose keys change, while results are under way.

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { bottleneck, delay, loss, mtu, outage } from "../harness/link.ts";
import { forEachSeed } from "../harness/simulation.ts";
import { SqpPair, type SqpPairOptions } from "../harness/sqp_pair.ts";

/** A large result that is under way for some seconds. */
const RESULT = "rows 2000 1000";

/** A pair, and what it asked; the result has begun. */
function streaming(options: SqpPairOptions = {}) {
  const pair = new SqpPair(options).connect();
  const asked = pair.client.ask(RESULT);
  pair.runUntil(() => asked.rows.length > 100);
  return { pair, asked };
}

Deno.test("a session survives a NAT rebinding in the middle of a result: nothing is lost or asked twice", () => {
  const { pair, asked } = streaming();
  const server = pair.serverSide(pair.client)!;
  pair.rebind(pair.client, "10.9.9.9:1");
  pair.answerAll();
  assertEquals([asked.outcome, asked.rows.length], ["done", 2_000]);
  assertEquals(server.address, "10.9.9.9:1");
  assertEquals(server.stack.association.pathCounts.snapshot(), { moved: 1 });
  assertEquals(pair.engine.statements, [RESULT]);
  pair.finish();
});

Deno.test("with a network that loses as well", () => {
  forEachSeed(10, (seed) => {
    const { pair, asked } = streaming({
      seed,
      toServer: () => [loss(0.05), delay(10)],
      toClient: () => [loss(0.05), delay(10)],
    });
    for (let n = 1; n <= 3; n++) {
      pair.rebind(pair.client, `10.9.9.${n}:1`);
      pair.advance(6_000);
    }
    pair.answerAll();
    assertEquals([asked.outcome, asked.rows.length], ["done", 2_000]);
    pair.finish();
  });
});

Deno.test("a client that knows of its new path says so, with a fresh connection ID, and waits for nothing", () => {
  const options = { clients: [{ dtls: { spareConnectionIds: 1 } }] };
  const { pair, asked } = streaming(options);
  const ids = new Set<string>();
  const seen: string[] = [];
  pair.onDatagram = (from, bytes) => {
    if (from !== "client") return;
    ids.add(bytes.subarray(1, 9).toString());
    seen.push(bytes.subarray(1, 9).toString());
  };
  pair.advance(50);
  const before = seen.at(-1);
  pair.rebind(pair.client, "10.9.9.9:1");
  seen.length = 0;
  pair.client.stack.changePath(pair.now);
  pair.answerAll();
  assert(!seen.includes(before!), "the ID of the old path is not on the new one");
  assertEquals([asked.outcome, asked.rows.length], ["done", 2_000]);
  pair.finish();
});

Deno.test("somebody who replays a client's datagrams from elsewhere does not get its session", () => {
  const { pair, asked } = streaming();
  const server = pair.serverSide(pair.client)!;
  const copies: Uint8Array[] = [];
  let sentToAttacker = 0;
  pair.onDatagram = (from, bytes, address) => {
    if (from === "client" && copies.length < 50) copies.push(bytes);
    if (from === "server" && address === "10.66.6.6:6") sentToAttacker++;
  };
  for (let n = 0; n < 20; n++) {
    pair.advance(5);
    // Its copies arrive before the client's own.
    for (const bytes of copies.splice(0)) pair.inject(bytes, "10.66.6.6:6");
  }
  pair.answerAll();
  assertEquals([asked.outcome, server.address, sentToAttacker], [
    "done",
    pair.client.address,
    0,
  ]);
  pair.finish();
});

Deno.test("keys that wear out are changed under a session that does not notice", () => {
  const limits = { sealedRecordsMax: 200 };
  const { pair, asked } = streaming({ dtls: { limits }, clients: [{ dtls: { limits } }] });
  pair.answerAll();
  assertEquals([asked.outcome, asked.rows.length], ["done", 2_000]);
  assertEquals(pair.client.ended, undefined);
  pair.finish();
});

Deno.test("a change of keys that the network holds up stops the data, not the session", () => {
  const limits = { sealedRecordsMax: 200 };
  const start = new SqpPair().now;
  const { pair, asked } = streaming({
    dtls: { limits },
    toServer: () => [outage(start + 300, start + 1_300), delay(10)],
  });
  pair.answerAll();
  assertEquals([asked.outcome, asked.rows.length, pair.client.ended], ["done", 2_000, undefined]);
  pair.finish();
});

/** A network whose capacity a transport learns within seconds: 10 Mbit/s, 30 ms of round trip. */
const wired = () => [bottleneck(10_000_000, 25), delay(15)];

/** A pair on it that has learnt all, and the numbers of the server's transport then and since. */
function settled() {
  const pair = new SqpPair({ toServer: wired, toClient: wired }).connect();
  const asked = pair.client.ask("rows 20000 1000");
  pair.advance(5_000);
  const stats = () => pair.serverSide(pair.client)!.stack.transport!.stats();
  const before = stats();
  assert(before.ssthresh < Infinity && before.minRttMs > 0 && before.packetBytes > 1_300);
  return { pair, asked, before, stats };
}

Deno.test("9000 9.4: where the port alone changes, what was learnt of the path is kept", () => {
  const { pair, asked, before, stats } = settled();
  pair.rebind(pair.client, pair.client.address.replace(/\d+$/, "9"));
  pair.runUntil(() => pair.serverSide(pair.client) !== undefined);
  const after = stats();
  assert(after.ssthresh < Infinity, `${after.ssthresh}`);
  assertEquals(after.minRttMs, before.minRttMs);
  pair.client.cancel(asked);
  pair.finish();
});

Deno.test("9000 9.4: where the host changes, congestion, round-trip time and packet size are learnt anew", () => {
  const { pair, asked, before, stats } = settled();
  const slow = () => [mtu(1_300), bottleneck(2_000_000, 25), delay(60)];
  pair.rebind(pair.client, "10.9.9.9:1", { toServer: slow(), toClient: slow() });
  pair.runUntil(() => pair.serverSide(pair.client) !== undefined);
  const after = stats();
  assert(after.packetBytes < 1_200, `${after.packetBytes}`);
  assertEquals([after.ssthresh, after.minRttMs], [Infinity, 0]);
  assertEquals(after.congestionWindow, 10 * after.packetBytes);
  // The answer to the challenge at the new address took a round trip of it.
  assertAlmostEquals(after.smoothedRttMs, 120, 10);
  assert(after.packetsLost - before.packetsLost < 200);
  pair.advance(5_000);
  const later = stats();
  assert(later.minRttMs >= 120, `${later.minRttMs}`);
  assert(later.packetBytes > 1_200 && later.packetBytes < 1_300, `${later.packetBytes}`);
  const received = pair.client.stack.transport!.stats().sessionBytesReceived;
  pair.advance(10_000);
  const bytes = pair.client.stack.transport!.stats().sessionBytesReceived - received;
  assert(bytes > 0.85 * 10 * 250_000, `${bytes} bytes in 10 s`);
  pair.client.cancel(asked);
  pair.finish();
});

Deno.test("9000 9.4: a client that changes its path learns it anew as well", () => {
  const { pair, asked } = settled();
  const slow = () => [bottleneck(2_000_000, 25), delay(60)];
  const { transport } = pair.client.stack;
  assertAlmostEquals(transport!.stats().minRttMs, 30, 5);
  pair.rebind(pair.client, "10.9.9.9:1", { toServer: slow(), toClient: slow() });
  pair.client.stack.changePath(pair.now);
  assertEquals(transport!.stats().minRttMs, 0);
  pair.advance(5_000);
  assert(transport!.stats().minRttMs >= 120);
  pair.client.cancel(asked);
  pair.finish();
});
