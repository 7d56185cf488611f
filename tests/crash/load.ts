// A load of writes, and feeds that follow it, while something is killed again and again.

import { isLong } from "../harness/simulation.ts";
import { pause } from "../harness/live_server.ts";
import type { Random } from "../harness/random.ts";
import type { Access } from "./access.ts";
import { Ledger } from "./ledger.ts";
import { Subscriber } from "./subscriber.ts";
import { makeTable } from "./writes.ts";

/** What is killed, and how often. */
export interface Kills {
  readonly random: Random;
  readonly rounds: number;
  /** The longest time, in milliseconds, between the first work that is seen and the kill. */
  readonly pauseMsMax: number;
  /** How long the last write may take to be told, where that is more than usual. */
  readonly toldMsMax?: number;
  /** A way to the database, as soon as there is one. */
  ready(): Promise<Access>;
  /** Kills something. Resolves with what that was, when whatever has to be started again was. */
  kill(round: number): Promise<string>;
}

const WRITERS = 6;

/** How often something is killed: so many times, and 100 or 200 times in `deno task test:long`. */
export function roundCount(short: number, long: 100 | 200): number {
  return isLong() ? long : short;
}

/**
 * Writes and follows while something is killed, and checks then that every write that was answered is there, none
 * twice, and that feeds have told every change once and in order: one that is lost at every kill, and one that goes on
 * where it can.
 */
export async function survive(
  { random, rounds, pauseMsMax, toldMsMax, ready, kill }: Kills,
): Promise<void> {
  const ledger = new Ledger();
  await makeTable(await ready());
  const over = new AbortController();
  let loss = new AbortController();
  const subscribers = [new Subscriber(), new Subscriber()] as const;
  const [lost, kept] = subscribers;
  const writers = Promise.all(
    Array.from({ length: WRITERS }, () => ledger.write(ready, random.fork())),
  );
  const load = Promise.all([
    writers,
    lost.follow(ready, random.fork(), { over: over.signal, loss: () => loss.signal }),
    kept.follow(ready, random.fork(), { over: over.signal }),
  ]);
  // Whoever fails ends the test at once.
  const unlessFailed = <T>(step: Promise<T>) => Promise.race([step, load.then(() => step)]);
  const killed = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    // What is killed has begun its work then.
    await unlessFailed(Promise.all([ledger.progress(), lost.progress()]));
    await unlessFailed(pause(random.integer(0, pauseMsMax)));
    const killing = kill(round);
    loss.abort();
    loss = new AbortController();
    const what = await unlessFailed(killing);
    killed.set(what, (killed.get(what) ?? 0) + 1);
  }
  ledger.stop();
  await unlessFailed(writers);
  await unlessFailed(ledger.close(await ready(), subscribers, toldMsMax));
  over.abort();
  await load;
  await ledger.check(await ready(), subscribers);
  const kills = [...killed].map(([what, count]) => `${count} kills of ${what}`).join(", ");
  // deno-lint-ignore no-console
  console.log(
    [kills, ledger.summary(), ...subscribers.map((one) => one.summary())].join("; "),
  );
}
