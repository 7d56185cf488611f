// What writers did while everything around them was killed, and what must then be in the database.

import { assert, assertEquals } from "@std/assert";
import { SqpError } from "../../src/wire/errors.ts";
import { isLong } from "../harness/simulation.ts";
import type { Random } from "../harness/random.ts";

/** The table that is written to. Each write has a number; one of three rows has parts 0 to 2. */
export const MAKE_TABLE =
  "CREATE TABLE w (id INTEGER PRIMARY KEY, n INT NOT NULL, part INT, filler)";

/** One row of a write; large, so that a good part of the time is spent in commits. */
export const INSERT = "INSERT INTO w (n, part, filler) VALUES (?, ?, zeroblob(2000)) RETURNING id";

/** Parts of a write of three rows. */
export const PARTS = [0, 1, 2];

/** Writes, in whatever way. Each rejects with {@linkcode SqpError}. */
export interface Writer {
  /** Writes one row, once for a key. */
  insert(n: number, key?: string): Promise<unknown>;
  /** Writes three rows by a batch, once for a key. */
  batch(n: number, key: string): Promise<unknown>;
  /** Writes three rows by a transaction. */
  transaction(n: number): Promise<unknown>;
}

/** How often something is killed: 3 times, and 100 times in `deno task test:long`. */
export function crashCount(): number {
  return isLong() ? 100 : 3;
}

type Fate = "written" | "unknown";

/** The writes of a test. */
export class Ledger {
  readonly #fates = new Map<number, { readonly fate: Fate; readonly rows: number }>();
  readonly #errors = new Map<string, number>();
  #nextNumber = 1;
  #isStopped = false;

  /** Writers finish what they are at. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Writes of random kinds until the ledger is stopped. `ready` gives a writer once there is one again. */
  async write(ready: () => Promise<Writer>, random: Random): Promise<void> {
    while (!this.#isStopped) {
      const n = this.#nextNumber++;
      switch (random.pick(["insert", "keyed", "batch", "transaction"] as const)) {
        case "insert":
          await this.#once(n, 1, await ready(), (writer) => writer.insert(n));
          break;
        case "transaction":
          await this.#once(n, PARTS.length, await ready(), (writer) => writer.transaction(n));
          break;
        case "keyed":
          await this.#untilAnswered(n, 1, ready, (writer) => writer.insert(n, `write ${n}`));
          break;
        case "batch":
          await this.#untilAnswered(
            n,
            PARTS.length,
            ready,
            (writer) => writer.batch(n, `write ${n}`),
          );
      }
    }
  }

  /** A write without a key: if it is not answered, nobody knows. */
  async #once(
    n: number,
    rows: number,
    writer: Writer,
    write: (writer: Writer) => Promise<unknown>,
  ): Promise<void> {
    this.#fates.set(n, { fate: "unknown", rows });
    try {
      await write(writer);
      this.#fates.set(n, { fate: "written", rows });
    } catch (error) {
      this.#count(error);
    }
  }

  /** A write with a key is sent until it is answered, and once more: the answer is the same. */
  async #untilAnswered(
    n: number,
    rows: number,
    ready: () => Promise<Writer>,
    write: (writer: Writer) => Promise<unknown>,
  ): Promise<void> {
    const answers: unknown[] = [];
    while (answers.length < 2) {
      try {
        answers.push(await write(await ready()));
        this.#fates.set(n, { fate: "written", rows });
      } catch (error) {
        this.#count(error);
      }
    }
    assertEquals(answers[1], answers[0], `the write ${n} was answered in two ways`);
  }

  #count(error: unknown): void {
    if (!(error instanceof SqpError)) throw error;
    const { codeName } = error;
    // These would say that a write happened twice, or that a key was mistaken.
    assert(!/constraint|mismatch|internal|engine_failure/.test(codeName), `${codeName}: ${error}`);
    this.#errors.set(codeName, (this.#errors.get(codeName) ?? 0) + 1);
  }

  /** Checks what is in the database: the number of each write and how many rows and different parts it has. */
  check(rows: readonly (readonly [n: number, count: number, parts: number])[]): void {
    const found = new Map(rows.map(([n, count, parts]) => [n, [count, parts]]));
    for (const [n, { fate, rows }] of this.#fates) {
      const inDatabase = found.get(n);
      found.delete(n);
      if (inDatabase === undefined) assert(fate === "unknown", `the write ${n} is lost`);
      else assertEquals(inDatabase, [rows, rows], `the write ${n} is not there once and whole`);
    }
    assertEquals([...found], [], "what nobody wrote");
  }

  /** What happened, for a person. */
  summary(): string {
    let written = 0;
    for (const { fate } of this.#fates.values()) if (fate === "written") written++;
    const errors = [...this.#errors].map(([name, count]) => `${count} ${name}`).join(", ");
    return `${this.#fates.size} writes, ${written} answered; ${errors || "no errors"}`;
  }
}

/** The query whose rows {@linkcode Ledger.check} takes. */
export const COUNT_WRITES = "SELECT n, count(*), count(DISTINCT part) FROM w GROUP BY n";
