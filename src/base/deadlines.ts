// One table of a layer's deadlines: every timer of the layer has a name in it.

import { type Milliseconds, NEVER } from "./core.ts";

/** The named deadlines of one core. `Name` is a union of string literals, one for each timer of the layer. */
export class Deadlines<Name extends string> {
  readonly #at = new Map<Name, Milliseconds>();

  /** Sets a deadline, in place of the one it had; {@linkcode NEVER} clears it. */
  set(name: Name, at: Milliseconds): void {
    if (at === NEVER) this.#at.delete(name);
    else this.#at.set(name, at);
  }

  /** Forgets a deadline. */
  clear(name: Name): void {
    this.#at.delete(name);
  }

  /** Forgets all deadlines. */
  clearAll(): void {
    this.#at.clear();
  }

  /** When a deadline is, {@linkcode NEVER} if it is not set. */
  get(name: Name): Milliseconds {
    return this.#at.get(name) ?? NEVER;
  }

  /** Whether a deadline is set. */
  has(name: Name): boolean {
    return this.#at.has(name);
  }

  /** The earliest deadline, {@linkcode NEVER} if none is set. */
  next(): Milliseconds {
    let earliest = NEVER;
    for (const at of this.#at.values()) if (at < earliest) earliest = at;
    return earliest;
  }

  /** Takes the earliest deadline that is due out of the table and returns its name, or `undefined`. */
  takeDue(now: Milliseconds): Name | undefined {
    let due: Name | undefined;
    let earliest = now;
    for (const [name, at] of this.#at) {
      if (at <= earliest && (due === undefined || at < earliest)) {
        due = name;
        earliest = at;
      }
    }
    if (due !== undefined) this.#at.delete(due);
    return due;
  }
}
