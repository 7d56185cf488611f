// Bad input before and after the handshake: damaged, cut and invented datagrams, against a server and a client.

import { assert, assertEquals } from "@std/assert";
import { delay, type LinkNode } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import type { TestClient } from "../harness/sqp_client.ts";
import { SqpPair } from "../harness/sqp_pair.ts";

/** Every single-bit flip and every truncation, and some bytes more or instead. */
function* damaged(datagram: Uint8Array, random: Random): Generator<Uint8Array> {
  for (let bit = 0; bit < 8 * datagram.length; bit++) {
    const copy = datagram.slice();
    copy[bit >>> 3]! ^= 1 << (bit & 7);
    yield copy;
  }
  for (let cut = 0; cut < datagram.length; cut++) yield datagram.slice(0, cut);
  for (const more of [1, 20, 500]) {
    const longer = new Uint8Array(datagram.length + more);
    longer.set(datagram);
    longer.set(random.bytes(more), datagram.length);
    // What follows a whole record may be dropped alone: the record itself must not be there.
    longer[datagram.length - 1]! ^= 1;
    yield longer;
  }
  const invented = random.bytes(datagram.length);
  if (invented.length > 0) invented[0] = datagram[0]!;
  yield invented;
}

/** Holds what passes in one direction back, on demand. */
class Tap {
  isOn = false;
  readonly caught: Uint8Array[] = [];
  readonly node: LinkNode = (passage) => {
    if (!this.isOn) return [passage];
    this.caught.push(passage.bytes.slice());
    return [];
  };

  take(): Uint8Array[] {
    return this.caught.splice(0);
  }
}

/** A pair whose only client's datagrams can be held back. */
class Tapped {
  readonly toServer = new Tap();
  readonly toClient = new Tap();
  readonly pair = new SqpPair({ clients: [] });
  readonly random = new Random(5);
  client: TestClient;
  /** Bytes that the server and the client have sent. */
  sent = { client: 0, server: 0 };

  constructor(holds: "toServer" | "toClient" | "nothing" = "nothing") {
    if (holds !== "nothing") this[holds].isOn = true;
    this.pair.onDatagram = (from, { length }) => this.sent[from] += length;
    this.client = this.pair.addClient({
      toServer: [this.toServer.node, delay(10)],
      toClient: [this.toClient.node, delay(10)],
    });
  }

  /** Runs an action and gives the datagrams that come of it in one direction, undelivered. */
  hold(tap: Tap, action: () => void, forMs = 1): Uint8Array[] {
    tap.isOn = true;
    action();
    this.pair.settle();
    this.pair.advance(forMs);
    tap.isOn = false;
    return tap.take();
  }

  /** Everything that was dropped anywhere on a side. */
  drops(side: "client" | "server"): number {
    const { stack } = side === "client" ? this.client : this.pair.serverSide(this.client) ?? {};
    const server = side === "client" ? {} : this.pair.endpoint.dtlsDrops;
    const counts = Object.values(server).reduce((sum, count) => sum + count, 0);
    const gate = stack !== undefined && "gate" in stack ? stack.gate?.drops.total() ?? 0 : 0;
    return counts + gate + (stack?.association.drops.total() ?? 0) +
      (stack?.transport?.drops.total() ?? 0);
  }

  deliver(side: "client" | "server", bytes: Uint8Array): void {
    if (side === "server") this.pair.inject(bytes, this.client.address);
    else {
      this.client.handleDatagram(bytes, this.pair.now);
      this.pair.settle();
    }
  }

  /** Delivers what is left of a datagram in every form; each is dropped and counted, and draws nothing. */
  damageAll(side: "client" | "server", datagram: Uint8Array, what: string): void {
    for (const bytes of damaged(datagram, this.random)) {
      const dropsBefore = this.drops(side);
      const sentBefore = this.sent[side];
      this.deliver(side, bytes);
      assert(this.drops(side) > dropsBefore, `${what}: a drop is not counted`);
      assertEquals(this.sent[side], sentBefore, `${what}: something was answered`);
    }
  }
}

/** What a client does in a session, and what of it the server must have seen once the datagram is whole. */
const CLIENT_ACTIONS: Record<string, (tapped: Tapped) => void> = {
  "Query": ({ client }) => client.ask("write w"),
  "Query in fragments": ({ client }) => client.ask("echo", { params: ["x".repeat(1_500)] }),
  "Cancel": ({ client }) => client.cancel(client.asked[0]!),
  "Heartbeat": ({ pair }) => pair.advance(10_001),
};

Deno.test("damaged datagrams of a session are dropped, counted and not answered by the server; whole ones work", () => {
  const tapped = new Tapped();
  const { pair, client } = tapped;
  pair.connect();
  client.ask("hang");
  pair.advance(500);
  for (const [what, action] of Object.entries(CLIENT_ACTIONS)) {
    const datagrams = tapped.hold(tapped.toServer, () => action(tapped));
    assert(datagrams.length > 0, what);
    tapped.damageAll("server", datagrams[0]!, what);
    for (const bytes of datagrams) tapped.deliver("server", bytes);
    pair.advance(300);
  }
  assertEquals([...pair.engine.writes, pair.engine.runningCount], [["w", 1], 0]);
  // Acks: the server's answer arrives, and what the client says to it is held.
  client.ask("echo");
  const acks = tapped.hold(tapped.toServer, () => {}, 50);
  pair.advance(100);
  if (acks.length > 0) tapped.damageAll("server", acks[0]!, "Ack");
  const last = tapped.hold(tapped.toServer, () => client.close(pair.now));
  for (const bytes of last) tapped.damageAll("server", bytes, "Termination");
  assertEquals(pair.endpoint.counters.get("ended"), 0);
  pair.runUntilIdle();
  pair.checkReleased();
});

const SERVER_ACTIONS: Record<string, string> = {
  "Response": "echo",
  "Response in fragments": "blob 2500",
  "Error": "fail constraint",
  "StreamData": "rows 30 700",
  "StreamEnd": "rows 0 1 abort engine_failure",
};

Deno.test("damaged datagrams of a session are dropped, counted and not answered by the client; whole ones work", () => {
  const tapped = new Tapped();
  const { pair, client } = tapped;
  pair.connect();
  for (const [what, sql] of Object.entries(SERVER_ACTIONS)) {
    const asked = client.ask(sql);
    const datagrams = tapped.hold(tapped.toClient, () => {}, 20);
    assert(datagrams.length > 0, what);
    tapped.damageAll("client", datagrams[0]!, what);
    assertEquals(asked.isOver, false);
    for (const bytes of datagrams) tapped.deliver("client", bytes);
    pair.answerAll();
    assert(asked.isDone || ["constraint", "engine_failure"].includes(asked.outcome), asked.outcome);
  }
  const farewell = tapped.hold(tapped.toClient, () => pair.endpoint.drain(1, pair.now), 3);
  assert(farewell.length > 0);
  for (const bytes of farewell) tapped.damageAll("client", bytes, "Termination");
  pair.runUntilIdle();
  pair.checkReleased();
});

Deno.test("damaged flights of a client's handshake are dropped and counted, and the whole flight is taken then", () => {
  const tapped = new Tapped();
  const { pair, client } = tapped;
  client.ask("write w");
  // The server's flight comes after 40 ms; the client's answer to it is held.
  pair.advance(35);
  const flight = tapped.hold(tapped.toServer, () => {}, 20);
  assert(flight.length >= 2);
  for (const datagram of flight) {
    for (const bytes of damaged(datagram, tapped.random)) {
      const dropsBefore = tapped.drops("server");
      const sentBefore = tapped.sent.server;
      tapped.deliver("server", bytes);
      assert(tapped.drops("server") > dropsBefore, "a drop is not counted");
      // Other records of the same datagram may be whole, and are acknowledged.
      assert(tapped.sent.server - sentBefore <= 3 * bytes.length);
    }
  }
  for (const bytes of flight) tapped.deliver("server", bytes);
  pair.answerAll();
  assertEquals([client.asked[0]!.outcome, ...pair.engine.writes], ["done", ["w", 1]]);
  pair.finish();
});

Deno.test("a ClientHello that was changed never throws, draws at most three times its size, keeps nothing", () => {
  const tapped = new Tapped("toServer");
  const { pair, client } = tapped;
  pair.settle();
  const [hello] = tapped.toServer.take();
  let strangers = 0;
  for (const bytes of damaged(hello!, tapped.random)) {
    const before = tapped.drops("server");
    const sentBefore = tapped.sent.server;
    // Past three times what it received, the pair throws.
    pair.inject(bytes, `10.66.${strangers >>> 8}.${strangers++ & 255}:1`);
    const answered = tapped.sent.server - sentBefore;
    assert(answered <= 3 * bytes.length);
    // A piece of a longer ClientHello waits for the rest of it; everything else is answered or counted.
    const isPiece = bytes.length > 24 && bytes[0] === 22 && bytes[13] === 1;
    assert(answered > 0 || isPiece || tapped.drops("server") > before, "a drop is not counted");
  }
  assertEquals(pair.endpoint.clientCount, 0);
  tapped.toServer.isOn = false;
  pair.connect();
  assert(client.isReady);
  pair.finish();
});

Deno.test("a damaged second ClientHello spoils one handshake at most: the client is let in", () => {
  const tapped = new Tapped();
  const { pair, client } = tapped;
  pair.advance(15);
  const [hello] = tapped.hold(tapped.toServer, () => {}, 10);
  for (const bytes of damaged(hello!, tapped.random)) tapped.deliver("server", bytes);
  pair.connect();
  assert(client.isReady, client.ended?.message);
  assert(pair.endpoint.clientCount <= 2);
  pair.finish();
});

Deno.test("damaged datagrams that begin a handshake make no client throw, and cost it at most another attempt", () => {
  for (
    const [what, fromMs, forMs] of [["HelloRetryRequest", 5, 10], ["ServerHello", 25, 10]] as const
  ) {
    const first = new Tapped();
    first.pair.advance(fromMs);
    const [datagram] = first.hold(first.toClient, () => {}, forMs);
    assert(datagram !== undefined, what);
    let index = 0;
    for (const bytes of damaged(datagram, first.random)) {
      // A client takes one of these; many take all of them.
      if (index++ % 40 !== 0) continue;
      const tapped = new Tapped();
      tapped.pair.advance(fromMs);
      tapped.deliver("client", bytes);
      tapped.pair.connect();
      assert(tapped.client.isReady, `${what}: ${tapped.client.ended?.message}`);
      tapped.pair.finish();
    }
  }
});

Deno.test("random bytes never throw, draw at most three times their size from strangers, and are counted", () => {
  const tapped = new Tapped();
  const { pair, client, random } = tapped;
  pair.connect();
  const asked = client.ask("hang");
  pair.advance(500);
  for (let round = 0; round < 6_000; round++) {
    const bytes = random.bytes(random.pick([0, 1, 2, 13, 14, 25, 60, 300, 1_200]));
    // Types of DTLS records more often than chance would have them.
    if (bytes.length > 0 && random.chance(0.7)) {
      bytes[0] = random.pick([20, 21, 22, 23, 25, 26, 0x2e, 0x3e, 0x3f]);
    }
    if (bytes.length > 2 && random.chance(0.5)) bytes.set([0xfe, 0xfd], 1);
    const side = random.pick(["client", "server"] as const);
    const before = tapped.drops("server") + tapped.drops("client");
    if (side === "server" && random.chance(0.5)) pair.inject(bytes, "10.66.6.6:6");
    else tapped.deliver(side, bytes);
    assert(tapped.drops("server") + tapped.drops("client") > before, "a drop is not counted");
  }
  assertEquals([client.isReady, asked.outcome, pair.endpoint.clientCount], [true, "open", 1]);
  const last = client.ask("echo");
  pair.runUntil(() => last.isOver);
  assertEquals(last.outcome, "done");
  pair.finish();
});

Deno.test("replayed datagrams of a session change nothing", () => {
  const recorded: { from: "client" | "server"; bytes: Uint8Array }[] = [];
  const tapped = new Tapped();
  const { pair, client } = tapped;
  pair.onDatagram = (from, bytes) => recorded.push({ from, bytes: bytes.slice() });
  client.ask("write w");
  client.ask("rows 40 800");
  pair.answerAll();
  pair.advance(100);
  for (const { from, bytes } of recorded.splice(0)) {
    tapped.deliver(from === "client" ? "server" : "client", bytes);
  }
  pair.advance(2_000);
  assertEquals([...pair.engine.writes, client.isReady], [["w", 1], true]);
  pair.finish();
});
