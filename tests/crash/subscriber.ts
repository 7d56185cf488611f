// Who follows the table through every loss of its feed, from the last cursor that it was given.

import { pause, until } from "../harness/live_server.ts";
import type { Random } from "../harness/random.ts";
import { Replica } from "../query/feed_harness.ts";
import type { Access, Told } from "./access.ts";
import { lossOf } from "./writes.ts";

/** The longest time, in milliseconds, that goes by between two feeds: what is written meanwhile is told later. */
const LOST_MS_MAX = 150;

/** What ends a following. */
export interface Ends {
  readonly over: AbortSignal;
  /** Ends the feed that is open, not the following. */
  readonly loss?: () => AbortSignal;
}

/** What feeds have told, one after the other. */
export class Subscriber {
  readonly #replica = new Replica();
  readonly #transactions: Told["changes"][] = [];
  readonly #told = new Set<unknown>();
  #cursor: string | undefined;
  #lossCount = 0;

  /** The transactions in the order in which they were told, after the snapshot. */
  get transactions(): readonly Told["changes"][] {
    return this.#transactions;
  }

  /** The table as it is by what was told, in the order of its keys. */
  get rows(): readonly (readonly unknown[])[] {
    return [...this.#replica.rows.values()].sort(([a], [b]) => Number(a) - Number(b));
  }

  /** Where to go on. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** Takes what was told. Throws where that does not fit what was told before. */
  take({ cursor, changes }: Told): void {
    this.#replica.apply(changes.map((change) => ({ table: "w", ...change })));
    if (changes.length > 0 && this.#cursor !== undefined) this.#transactions.push(changes);
    for (const { after } of changes) this.#told.add(after?.[1]);
    this.#cursor = cursor;
  }

  /** Waits until a transaction more was told. */
  async progress(): Promise<void> {
    const before = this.#transactions.length;
    await until("a transaction is told", () => this.#transactions.length > before);
  }

  /** The feed is lost. */
  onLost(): void {
    this.#lossCount++;
  }

  /** Whether a write was told. */
  has(n: number): boolean {
    return this.#told.has(n);
  }

  /** Follows until it is over. `ready` gives a way to the database once there is one. */
  async follow(
    ready: () => Promise<Access>,
    random: Random,
    { over, loss }: Ends,
  ): Promise<void> {
    while (!over.aborted) {
      const access = await ready();
      const signal = loss === undefined ? over : AbortSignal.any([over, loss()]);
      try {
        for await (const told of access.feed(this.#cursor, signal)) this.take(told);
      } catch (error) {
        lossOf(error);
        this.onLost();
        await pause(random.integer(0, LOST_MS_MAX));
      }
    }
  }

  /** What happened, for a person. */
  summary(): string {
    const changeCount = this.#transactions.flat().length;
    const told = `${changeCount} changes of ${this.#transactions.length} transactions told`;
    return `${told} by a feed that was lost ${this.#lossCount} times`;
  }
}
