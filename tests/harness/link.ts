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

/** Loses some datagrams. */
export function loss(probability: number): LinkNode {
  return (passage, { random, counters }) => {
    if (!random.chance(probability)) return [passage];
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

/** Drops datagrams above a size. */
export function mtu(maxBytes: number): LinkNode {
  return (passage, { counters }) => {
    if (passage.bytes.length <= maxBytes) return [passage];
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
