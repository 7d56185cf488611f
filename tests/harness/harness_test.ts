import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Core, type Milliseconds, NEVER } from "../../src/base/core.ts";
import { EPOCH_MS } from "./clock.ts";
import { corrupt, delay, duplicate, jitter, Link, loss, rate } from "./link.ts";
import { Random } from "./random.ts";
import { forEachSeed, Simulation } from "./simulation.ts";

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
