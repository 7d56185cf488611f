// Sessions whose client gets another address, or whose keys change, while results are under way.

import { assert, assertEquals } from "@std/assert";
import { delay, loss, outage } from "../harness/link.ts";
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
