// Two cores and the links between them, stepped from deadline to deadline in virtual time.

import { type Core, type Milliseconds, NEVER } from "../../src/base/core.ts";
import { EPOCH_MS } from "./clock.ts";
import type { Link } from "./link.ts";

/** One end of a simulation: a core, and what the layer above does with its events. */
export interface Party<Event> {
  readonly core: Core<Event>;
  /** Called for each event; it may call the core. */
  readonly onEvent?: (event: Event, now: Milliseconds) => void;
}

/** How long a simulation may run; past a limit it throws. */
export interface RunLimits {
  readonly stepsMax?: number;
  readonly durationMs?: number;
}

/** Datagrams and events that may come of one moment before it counts as endless. */
const MOVES_OF_A_MOMENT_MAX = 200_000;
const STEPS_MAX = 2_000_000;
const DURATION_MS = 24 * 3600 * 1000;

interface Action {
  readonly at: Milliseconds;
  readonly run: (now: Milliseconds) => void;
}

/**
 * Runs two cores of any layer against each other. Time moves only in {@linkcode Simulation.step}, from one
 * deadline to the next, so the same seed gives the same run.
 */
export class Simulation<EventA, EventB = EventA> {
  now: Milliseconds = EPOCH_MS;
  readonly #a: Party<EventA>;
  readonly #b: Party<EventB>;
  readonly #aToB: Link;
  readonly #bToA: Link;
  #actions: Action[] = [];

  constructor(a: Party<EventA>, b: Party<EventB>, links: { aToB: Link; bToA: Link }) {
    this.#a = a;
    this.#b = b;
    this.#aToB = links.aToB;
    this.#bToA = links.bToA;
  }

  /** Runs `run` at a time of the simulation, after what the network and the timers do then. */
  at(at: Milliseconds, run: (now: Milliseconds) => void): void {
    this.#actions.push({ at, run });
    this.#actions.sort((x, y) => x.at - y.at);
  }

  /** Runs `run` so many milliseconds from now. */
  after(ms: number, run: (now: Milliseconds) => void): void {
    this.at(this.now + ms, run);
  }

  /** Drains both cores until neither has anything more to send or to tell at this moment. */
  settle(): void {
    let moves = 0;
    let before: number;
    do {
      before = moves;
      moves += drain(this.#a, this.#aToB, this.now) + drain(this.#b, this.#bToA, this.now);
      if (moves > MOVES_OF_A_MOMENT_MAX) throw new Error("a moment of the simulation does not end");
    } while (moves !== before);
  }

  /** Puts a datagram on the link of one end, as if its core had sent it now. */
  inject(from: "a" | "b", bytes: Uint8Array): void {
    (from === "a" ? this.#aToB : this.#bToA).send(bytes, this.now);
  }

  /** When something happens next; `NEVER` for not at all. */
  nextAt(): Milliseconds {
    return Math.min(
      this.#aToB.nextAt(),
      this.#bToA.nextAt(),
      this.#a.core.pollTimeout(),
      this.#b.core.pollTimeout(),
      this.#actions[0]?.at ?? NEVER,
    );
  }

  /** Goes to the next deadline and runs what is due then. Returns whether there was one. */
  step(): boolean {
    this.settle();
    const next = this.nextAt();
    if (next === NEVER) return false;
    this.now = Math.max(this.now, next);
    deliver(this.#aToB, this.#b, this.now);
    deliver(this.#bToA, this.#a, this.now);
    if (this.#a.core.pollTimeout() <= this.now) this.#a.core.handleTimeout(this.now);
    if (this.#b.core.pollTimeout() <= this.now) this.#b.core.handleTimeout(this.now);
    while ((this.#actions[0]?.at ?? NEVER) <= this.now) this.#actions.shift()!.run(this.now);
    this.settle();
    return true;
  }

  /** Steps until `done` holds, or nothing is left to happen. Returns whether `done` holds. */
  runUntil(done: () => boolean, limits: RunLimits = {}): boolean {
    const end = this.now + (limits.durationMs ?? DURATION_MS);
    this.settle();
    for (let steps = 0; !done(); steps++) {
      if (steps >= (limits.stepsMax ?? STEPS_MAX)) throw new Error(`no end after ${steps} steps`);
      const next = this.nextAt();
      if (next === NEVER) return false;
      if (next > end) throw new Error(`no end after ${this.now - EPOCH_MS} ms`);
      this.step();
    }
    return true;
  }

  /** Steps until nothing is left to happen: no datagram under way, no timer, no action. */
  runUntilIdle(limits: RunLimits = {}): void {
    this.runUntil(() => this.nextAt() === NEVER, limits);
  }

  /** Lets `ms` milliseconds pass. */
  advance(ms: number): void {
    const end = this.now + ms;
    this.settle();
    while (this.nextAt() <= end) this.step();
    this.now = end;
  }
}

/** Moves everything that a core has for the network and for the layer above. Returns how much that was. */
function drain<Event>(party: Party<Event>, out: Link, now: Milliseconds): number {
  let moves = 0;
  for (let event; (event = party.core.pollEvent()) !== undefined; moves++) {
    party.onEvent?.(event, now);
  }
  for (let bytes; (bytes = party.core.pollTransmit(now)) !== undefined; moves++) {
    out.send(bytes, now);
  }
  return moves;
}

function deliver<Event>(link: Link, party: Party<Event>, now: Milliseconds): void {
  for (let bytes; (bytes = link.receive(now)) !== undefined;) party.core.handleDatagram(bytes, now);
}

/** Whether this is `deno task test:long`, which sets SQP_LONG. */
export function isLong(): boolean {
  return readVariable("SQP_LONG") !== undefined;
}

/** Seeds of a simulation: 30, and 300 in `deno task test:long`. */
export function seedCount(): number {
  return isLong() ? 300 : 30;
}

/**
 * Runs a scenario with `count` seeds from `first` on; a failure names its seed. With the environment variable
 * SQP_SEED and the permission to read it, only that seed runs.
 */
export function forEachSeed(count: number, scenario: (seed: number) => void, first = 1): void {
  for (const seed of chosenSeed() ?? Array.from({ length: count }, (_, i) => first + i)) {
    try {
      scenario(seed);
    } catch (error) {
      throw new Error(`seed ${seed} fails (SQP_SEED=${seed} replays it)`, { cause: error });
    }
  }
}

function chosenSeed(): number[] | undefined {
  const seed = readVariable("SQP_SEED");
  return seed === undefined ? undefined : [Number(seed)];
}

/** A variable of the environment, where it may be read. */
function readVariable(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}
