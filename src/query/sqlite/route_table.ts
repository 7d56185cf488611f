// Which SQL texts are known to write. It saves a way through a reader; what a text may do is decided where it is
// prepared.

import type { ProcessRole } from "./ipc.ts";

/** Texts that are remembered. */
const ROUTES_MAX = 4_096;

/** Longer texts are not remembered. */
const SQL_CHARACTERS_MAX = 4_096;

/** Remembers texts that a reader handed off, the oldest forgotten first. */
export class RouteTable {
  readonly #writes = new Set<string>();

  /** Where a text is to be tried first. */
  get(sql: string): ProcessRole {
    return this.#writes.has(sql) ? "writer" : "reader";
  }

  /** Remembers that a text writes. */
  addWrite(sql: string): void {
    if (sql.length > SQL_CHARACTERS_MAX) return;
    this.#writes.add(sql);
    if (this.#writes.size <= ROUTES_MAX) return;
    for (const oldest of this.#writes) {
      this.#writes.delete(oldest);
      break;
    }
  }
}
