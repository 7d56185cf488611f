// Whole clients and a server over networks that a seed makes up: whatever they are, all arrives whole and ends.

import { assertEquals } from "@std/assert";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  blackouts,
  bottleneck,
  bursts,
  corrupt,
  delay,
  duplicate,
  jitter,
  type LinkNode,
  loss,
  mtu,
  reorder,
} from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { forEachSeed, seedCount } from "../harness/simulation.ts";
import type { Asked } from "../harness/sqp_client.ts";
import { type SqpClientOptions, SqpPair } from "../harness/sqp_pair.ts";
import { checkRows, rowsOf } from "./scenario.ts";

/** A network of a random rate, delay and queue, with some of the troubles that there are. */
function madeUp(random: Random): LinkNode[] {
  const nodes: LinkNode[] = [];
  const perhaps = (node: () => LinkNode) => void (random.chance(0.35) && nodes.push(node()));
  perhaps(() => loss(random.float() * 0.1));
  perhaps(() => bursts({ toBad: 0.02, toGood: 0.3, lossInBad: 0.7 }));
  perhaps(() => corrupt(random.float() * 0.1));
  perhaps(() => blackouts(random.integer(1_500, 4_000), random.integer(100, 800), EPOCH_MS));
  perhaps(() => mtu(random.integer(1_200, 1_460)));
  perhaps(() =>
    mtu(1_460, {
      from: EPOCH_MS + random.integer(500, 2_000),
      maxBytes: random.integer(1_200, 1_400),
    })
  );
  nodes.push(bottleneck(random.integer(2, 50) * 1_000_000, random.integer(10, 200)));
  perhaps(() => duplicate(random.float() * 0.1, 30));
  nodes.push(delay(random.integer(1, 120)));
  perhaps(() => jitter(random.integer(1, 20)));
  perhaps(() => reorder(random.float() * 0.1, random.integer(1, 60)));
  return nodes;
}

/** Little credit, so that it runs out, or what there is by default. */
function credit(random: Random): Pick<SqpClientOptions, "limits"> {
  return random.chance(0.5) ? { limits: { streamCredit: 65_536, sessionCredit: 98_304 } } : {};
}

/** A result that is read page by page, more slowly than it comes. */
function askSlowly(pair: SqpPair): Asked {
  const asked = pair.client.ask(rowsOf(400_000), { pages: 1 });
  const read = () => {
    asked.pull(1);
    pair.client.stack.settle(pair.now);
    if (!asked.isOver) pair.after(60, read);
  };
  pair.after(1_000, read);
  return asked;
}

Deno.test("over a network that a seed makes up, streams and answers arrive whole, and all ends", () => {
  forEachSeed(seedCount(), (seed) => {
    const random = new Random(seed);
    const [toServer, toClient] = [madeUp(random), madeUp(random)];
    const links = { toServer: () => toServer, toClient: () => toClient };
    const pair = new SqpPair({ seed, ...links, clients: [credit(random)] });
    const streams = [rowsOf(150_000), rowsOf(60_000)].map((sql) => pair.client.ask(sql));
    streams.push(askSlowly(pair));
    const points = Array.from({ length: 40 }, (_, i) => pair.client.ask("echo", { params: [i] }));
    pair.answerAll();
    streams.forEach(checkRows);
    for (const [i, { rows }] of points.entries()) assertEquals(rows, [[i]]);
    pair.finish();
  });
});
