import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { type Core, type Milliseconds, NEVER } from "../../src/base/core.ts";
import { EPOCH_MS } from "./clock.ts";
import {
  blackouts,
  bottleneck,
  bursts,
  corrupt,
  delay,
  duplicate,
  jitter,
  Link,
  type LinkNode,
  loss,
  mtu,
  rate,
} from "./link.ts";
import { Random } from "./random.ts";
import { forEachSeed, Simulation } from "./simulation.ts";
import { SqpPair } from "./sqp_pair.ts";

/** Answers each datagram with one of half its length. */
class Halver implements Core<number> {
  readonly #out: Uint8Array[] = [];
  readonly #events: number[] = [];
  handleDatagram(bytes: Uint8Array): void {
    this.#events.push(bytes.length);
    if (bytes.length > 1) this.#out.push(bytes.subarray(0, bytes.length >> 1));
  }
  handleTimeout(): void {}
  pollTransmit(): Uint8Array | undefined {
    return this.#out.shift();
  }
  pollTimeout(): Milliseconds {
    return NEVER;
  }
  pollEvent(): number | undefined {
    return this.#events.shift();
  }
}

function trace(seed: number): [number, number][] {
  const random = new Random(seed);
  const nodes = () => [
    loss(0.1),
    duplicate(0.3, 5),
    corrupt(0.2),
    rate(1e6, 1e5),
    delay(10),
    jitter(4),
  ];
  const aToB = new Link(random.fork(), nodes());
  const seen: [number, number][] = [];
  const simulation = new Simulation<number>(
    { core: new Halver(), onEvent: (length, now) => seen.push([now - EPOCH_MS, length]) },
    { core: new Halver(), onEvent: (length, now) => seen.push([now - EPOCH_MS, length]) },
    { aToB, bToA: new Link(random.fork(), nodes()) },
  );
  for (let i = 0; i < 20; i++) aToB.send(new Uint8Array(64), simulation.now);
  simulation.runUntilIdle();
  return seen;
}

Deno.test("a simulation is the same for the same seed and differs for another", () => {
  assertEquals(trace(1), trace(1));
  assert(JSON.stringify(trace(1)) !== JSON.stringify(trace(2)));
  assert(trace(1).length > 50);
});

Deno.test("a link with a rate spaces datagrams and drops what its queue cannot hold", () => {
  const link = new Link(new Random(1), [rate(1000, 300)]);
  for (let i = 0; i < 5; i++) link.send(new Uint8Array(100), 0);
  assertEquals([link.receive(99), link.receive(100)?.length, link.receive(199)], [
    undefined,
    100,
    undefined,
  ]);
  assertEquals(link.counters.get("overflowed"), 2);
});

Deno.test("a failing scenario names its seed", () => {
  assertThrows(
    () =>
      forEachSeed(5, (seed) => {
        if (seed === 3) throw new Error("x");
      }),
    Error,
    "seed 3",
  );
});

/** Which of `count` datagrams a link carries that one node makes, sent a millisecond apart from the epoch on. */
function carried(node: LinkNode, count: number, bytes = 100): boolean[] {
  const link = new Link(new Random(1), [node]);
  return Array.from({ length: count }, (_, i) => {
    link.send(new Uint8Array(bytes), EPOCH_MS + i);
    const isCarried = link.length > 0;
    link.receive(EPOCH_MS + i);
    return isCarried;
  });
}

/** The longest run of losses. */
function longestRun(fates: readonly boolean[]): number {
  const runs = fates.map((isCarried) => isCarried ? " " : "x").join("").split(" ");
  return Math.max(...runs.map(({ length }) => length));
}

Deno.test("losses in runs of at most three, and in bursts of good and bad times", () => {
  const short = carried(loss(0.3, 3), 10_000);
  assertEquals(longestRun(short), 3);
  assertAlmostEquals(short.filter((isCarried) => !isCarried).length / 10_000, 0.3, 0.02);
  const burst = carried(bursts({ toBad: 0.02, toGood: 0.2, lossInBad: 0.9 }), 10_000);
  // A bad time is 1 of 11 parts, and 5 datagrams long.
  assertAlmostEquals(burst.filter((isCarried) => !isCarried).length / 10_000, 0.9 / 11, 0.02);
  assert(longestRun(burst) > 8);
});

Deno.test("blackouts come again and again; an MTU may change", () => {
  const fates = carried(blackouts(5, 2, EPOCH_MS), 14);
  const week = [true, true, true, true, true, false, false];
  assertEquals(fates, [...week, ...week]);
  const falling = mtu(100, { from: EPOCH_MS + 3, maxBytes: 99 });
  assertEquals(carried(falling, 5), [true, true, true, false, false]);
  assertEquals(carried(mtu(99), 1), [false]);
});

Deno.test("a bottleneck sends one datagram and queues so many", () => {
  const link = new Link(new Random(1), [bottleneck(8_000, 2)]);
  for (let i = 0; i < 5; i++) link.send(new Uint8Array(100), 0);
  assertEquals(link.counters.get("overflowed"), 2);
  assertEquals([link.receive(99), link.receive(100)?.length, link.nextAt()], [undefined, 100, 200]);
});

Deno.test("a client behind a NAT that is rebound sends from its new address, and only that reaches it", () => {
  const pair = new SqpPair().connect();
  const { client } = pair;
  const { counters } = pair.linksOf(client).toClient;
  const sentTo: string[] = [];
  pair.rebind(client, "10.9.9.9:4000");
  pair.onDatagram = (from, _bytes, address) => void (from === "server" && sentTo.push(address));
  const before = counters.get("sent");
  client.ask("echo");
  pair.advance(50);
  const arriving = sentTo.filter((address) => address === "10.9.9.9:4000");
  assertEquals(counters.get("sent") - before, arriving.length);
});
