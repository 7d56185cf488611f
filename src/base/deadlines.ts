// One table of a layer's deadlines: every timer of the layer has a name in it.

import { type Milliseconds, NEVER } from "./core.ts";

/** The named deadlines of one core. `Name` is a union of string literals, one for each timer of the layer. */
export class Deadlines<Name extends string> {
  readonly #names: readonly Name[];
  /** When each is, in the order of the names. They are a handful: to look through them is faster than a Map. */
  readonly #at: Milliseconds[];

  /** A table of these timers, none of them set. Of two that are due at once the one that is named first goes first. */
  constructor(...names: readonly Name[]) {
    this.#names = names;
    this.#at = names.map(() => NEVER);
  }

  /** Sets a deadline, in place of the one it had; {@linkcode NEVER} clears it. */
  set(name: Name, at: Milliseconds): void {
    this.#at[this.#names.indexOf(name)] = at;
  }

  /** Forgets a deadline. */
  clear(name: Name): void {
    this.set(name, NEVER);
  }

  /** Forgets all deadlines. */
  clearAll(): void {
    this.#at.fill(NEVER);
  }

  /** When a deadline is, {@linkcode NEVER} if it is not set. */
  get(name: Name): Milliseconds {
    return this.#at[this.#names.indexOf(name)]!;
  }

  /** Whether a deadline is set. */
  has(name: Name): boolean {
    return this.get(name) !== NEVER;
  }

  /** The earliest deadline, {@linkcode NEVER} if none is set. */
  next(): Milliseconds {
    let earliest = NEVER;
    for (const at of this.#at) if (at < earliest) earliest = at;
    return earliest;
  }

  /** Takes the earliest deadline that is due out of the table and returns its name, or `undefined`. */
  takeDue(now: Milliseconds): Name | undefined {
    const earliest = this.next();
    if (earliest > now || earliest === NEVER) return undefined;
    const name = this.#names[this.#at.indexOf(earliest)]!;
    this.clear(name);
    return name;
  }
}
