// A simulated one-way link in virtual time: a chain of small nodes, each doing one thing to a datagram.

import { type Milliseconds, NEVER } from "../../src/base/core.ts";
import { Counters } from "../../src/base/counters.ts";
import type { Random } from "./random.ts";

/** A datagram on its way, and when it leaves the node it is in. */
export interface Passage {
  readonly bytes: Uint8Array;
  readonly at: Milliseconds;
}

/** What may happen to a datagram on a link. */
export type LinkCount =
  | "sent"
  | "delivered"
  | "lost"
  | "duplicated"
  | "delayed"
  | "corrupted"
  | "overflowed"
  | "too large";

/** What a node may use: the link's randomness and its counters. */
export interface LinkContext {
  readonly random: Random;
  readonly counters: Counters<LinkCount>;
}

/**
 * Turns a datagram that enters at `passage.at` into none, one or more that leave. Nodes see datagrams in
 * the order in which they were sent, so those whose state depends on time ({@linkcode rate}) come
 * before those that reorder ({@linkcode jitter}, {@linkcode reorder}).
 */
export type LinkNode = (passage: Passage, context: LinkContext) => readonly Passage[];

/** Delays every datagram by the same time. */
export function delay(byMs: number): LinkNode {
  return ({ bytes, at }) => [{ bytes, at: at + byMs }];
}

/** Delays each datagram by a random time up to `upToMs`, which also reorders them. */
export function jitter(upToMs: number): LinkNode {
  return ({ bytes, at }, { random }) => [{ bytes, at: at + random.float() * upToMs }];
}

/** Holds some datagrams back, so that later ones overtake them. */
export function reorder(probability: number, byMs: number): LinkNode {
  return (passage, { random, counters }) => {
    if (!random.chance(probability)) return [passage];
    counters.add("delayed");
    return [{ bytes: passage.bytes, at: passage.at + byMs }];
  };
}

/** Loses some datagrams, in runs of at most `runMax`. */
export function loss(probability: number, runMax = Infinity): LinkNode {
  let run = 0;
  return (passage, { random, counters }) => {
    const isLost = random.chance(probability) && run < runMax;
    run = isLost ? run + 1 : 0;
    if (!isLost) return [passage];
    counters.add("lost");
    return [];
  };
}

/** How a link of good and bad times (Gilbert and Elliott) changes, for each datagram. */
export interface GilbertElliott {
  /** Probability that a good time ends, and that a bad one does. */
  readonly toBad: number;
  readonly toGood: number;
  /** Probability of loss in each. */
  readonly lossInBad: number;
  readonly lossInGood?: number;
}

/** Loses datagrams in bursts. */
export function bursts({ toBad, toGood, lossInBad, lossInGood = 0 }: GilbertElliott): LinkNode {
  let isBad = false;
  return (passage, { random, counters }) => {
    if (random.chance(isBad ? toGood : toBad)) isBad = !isBad;
    if (!random.chance(isBad ? lossInBad : lossInGood)) return [passage];
    counters.add("lost");
    return [];
  };
}

/** Loses the datagrams that a scenario chooses; `index` counts from 0 what entered this node. */
export function lossOf(chosen: (index: number, bytes: Uint8Array) => boolean): LinkNode {
  let index = 0;
  return (passage, { counters }) => {
    if (!chosen(index++, passage.bytes)) return [passage];
    counters.add("lost");
    return [];
  };
}

/** Loses everything that enters from `from` until `until`. */
export function outage(from: Milliseconds, until: Milliseconds): LinkNode {
  return (passage, { counters }) => {
    if (passage.at < from || passage.at >= until) return [passage];
    counters.add("lost");
    return [];
  };
}

/** Carries datagrams for `onMs`, loses all for `offMs`, and so on from `from`. */
export function blackouts(onMs: number, offMs: number, from: Milliseconds): LinkNode {
  return (passage, { counters }) => {
    if (passage.at < from || (passage.at - from) % (onMs + offMs) < onMs) return [passage];
    counters.add("lost");
    return [];
  };
}

/** Sends some datagrams twice, the copy up to `withinMs` later. */
export function duplicate(probability: number, withinMs = 0): LinkNode {
  return (passage, { random, counters }) => {
    if (!random.chance(probability)) return [passage];
    counters.add("duplicated");
    const copy = { bytes: passage.bytes.slice(), at: passage.at + random.float() * withinMs };
    return [passage, copy];
  };
}

/** Flips one to three bits of some datagrams, in a copy. */
export function corrupt(probability: number): LinkNode {
  return (passage, { random, counters }) => {
    if (passage.bytes.length === 0 || !random.chance(probability)) return [passage];
    counters.add("corrupted");
    const bytes = passage.bytes.slice();
    for (let flips = random.integer(1, 3); flips > 0; flips--) {
      bytes[random.integer(0, bytes.length - 1)]! ^= 1 << random.integer(0, 7);
    }
    return [{ bytes, at: passage.at }];
  };
}

/** Sends with a fixed rate behind a queue; what does not fit the queue is dropped from its tail. */
export function rate(bytesPerSecond: number, queueBytes: number): LinkNode {
  let freeAt = 0;
  return ({ bytes, at }, { counters }) => {
    const start = Math.max(at, freeAt);
    const waitingBytes = ((start - at) * bytesPerSecond) / 1000;
    if (waitingBytes + bytes.length > queueBytes) {
      counters.add("overflowed");
      return [];
    }
    freeAt = start + (bytes.length * 1000) / bytesPerSecond;
    return [{ bytes, at: freeAt }];
  };
}

/** Sends with a fixed rate behind a queue of so many datagrams; what finds it full is dropped. */
export function bottleneck(bitsPerSecond: number, queueDatagrams: number): LinkNode {
  const leaving: Milliseconds[] = [];
  return ({ bytes, at }, { counters }) => {
    while (leaving[0]! <= at) leaving.shift();
    // The first is being sent, the others wait.
    if (leaving.length > queueDatagrams) {
      counters.add("overflowed");
      return [];
    }
    const left = (leaving.at(-1) ?? at) + (bytes.length * 8_000) / bitsPerSecond;
    leaving.push(left);
    return [{ bytes, at: left }];
  };
}

/** Drops datagrams above a size; from a time on above another one. */
export function mtu(maxBytes: number, later?: { from: Milliseconds; maxBytes: number }): LinkNode {
  return (passage, { counters }) => {
    const isLater = later !== undefined && passage.at >= later.from;
    if (passage.bytes.length <= (isLater ? later.maxBytes : maxBytes)) return [passage];
    counters.add("too large");
    return [];
  };
}

/** One direction of a network: datagrams go through the nodes in turn and come out in order of time. */
export class Link {
  readonly counters: Counters<LinkCount> = new Counters<LinkCount>();
  readonly #nodes: readonly LinkNode[];
  readonly #context: LinkContext;
  /** Datagrams under way, ordered by when they come out, then by when they went in. */
  readonly #underWay: Passage[] = [];

  constructor(random: Random, nodes: readonly LinkNode[]) {
    this.#nodes = nodes;
    this.#context = { random, counters: this.counters };
  }

  /** How many datagrams are under way. */
  get length(): number {
    return this.#underWay.length;
  }

  /** Puts a datagram on the link. The bytes are not copied: the sender must not change them. */
  send(bytes: Uint8Array, now: Milliseconds): void {
    this.counters.add("sent");
    let passages: readonly Passage[] = [{ bytes, at: now }];
    for (const node of this.#nodes) {
      passages = passages.flatMap((passage) => node(passage, this.#context));
    }
    for (const passage of passages) this.#insert(passage);
  }

  #insert(passage: Passage): void {
    const list = this.#underWay;
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]!.at > passage.at) high = middle;
      else low = middle + 1;
    }
    list.splice(low, 0, passage);
  }

  /** When the next datagram comes out; `NEVER` when none is under way. */
  nextAt(): Milliseconds {
    return this.#underWay[0]?.at ?? NEVER;
  }

  /** Takes the next datagram that has come out by `now`. */
  receive(now: Milliseconds): Uint8Array | undefined {
    if (this.nextAt() > now) return undefined;
    this.counters.add("delivered");
    return this.#underWay.shift()!.bytes;
  }
}
