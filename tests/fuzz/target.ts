// What a fuzz target is: it makes inputs from randomness, and holds what comes of one to its rules.

import type { Random } from "../harness/random.ts";

/**
 * An input: a head and parts, which mean what the target says. Whatever the bytes are, it can be run, so that parts can
 * be left out and changed.
 */
export type FuzzInput = readonly Uint8Array[];

/** What running an input showed, where no rule was broken. */
export interface FuzzOutcome {
  /** Datagrams, messages or chains that were handled. */
  readonly count: number;
  /** What happened, in a few words each: an input that shows something new is worth keeping. */
  readonly features: readonly string[];
}

/** A target. */
export interface FuzzTarget {
  readonly name: string;
  /** Makes an input; `kept` are inputs to begin from. */
  make(random: Random, kept: readonly FuzzInput[]): FuzzInput;
  /** Runs an input. Throws where a rule was broken, with the rule as the message. */
  run(input: FuzzInput): FuzzOutcome;
}

/** A rule was broken. */
export class BrokenRule extends Error {
  override readonly name = "BrokenRule";
}

/** Throws {@linkcode BrokenRule} unless the rule holds. */
export function rule(holds: boolean, text: string): asserts holds {
  if (!holds) throw new BrokenRule(text);
}
