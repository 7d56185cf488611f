// A process that writes and follows is killed at random moments, and the next one sends everything again with the same
// keys.

import { assert, assertEquals } from "@std/assert";
import type { Random } from "../harness/random.ts";
import type { Access } from "./access.ts";
import { Ledger } from "./ledger.ts";
import { Subscriber } from "./subscriber.ts";
import { keyedKind, makeTable } from "./writes.ts";
import type { Job, Line, Target } from "./writing_process.ts";

/** The longest time, in milliseconds, between the first line of a kind and the kill. */
const PAUSE_MS_MAX = 200;

const SCRIPT = new URL("./writing_process.ts", import.meta.url).pathname;

/** What is killed, and how often. */
export interface ProcessKills {
  readonly random: Random;
  readonly rounds: number;
  readonly target: Target;
  /** Another way to the database. */
  readonly access: Access;
}

/**
 * Kills processes that write with keys, and checks then that every write is there once, answered in the same way by
 * whichever process asked, and that feeds have told every change once and in order: one that is lost with each process,
 * and goes on in the next.
 */
export async function surviveKilledProcesses(
  { random, rounds, target, access }: ProcessKills,
): Promise<void> {
  const ledger = new Ledger();
  const subscriber = new Subscriber();
  await makeTable(access);
  for (let round = 0; round < rounds; round++) {
    const { next, unsettled: again } = ledger;
    const { cursor } = subscriber;
    const job = { target, again, next, isLast: false, ...(cursor !== undefined && { cursor }) };
    const kill = {
      after: round % 2 === 0 ? "told" as const : random.pick(["sent", "answered"] as const),
      pauseMs: random.integer(0, PAUSE_MS_MAX),
    };
    const { signal } = await runJob(job, { ledger, subscriber }, kill);
    assertEquals(signal, "SIGKILL");
    subscriber.onLost();
  }
  const last = { target, again: 1, next: ledger.next, isLast: true };
  const { success } = await runJob(last, { ledger, subscriber });
  assert(success);
  const over = new AbortController();
  const ready = () => Promise.resolve(access);
  const following = subscriber.follow(ready, random, { over: over.signal });
  await Promise.race([following, ledger.close(access, [subscriber])]);
  over.abort();
  await following;
  await ledger.check(access, [subscriber]);
  // deno-lint-ignore no-console
  console.log(
    `${rounds} kills of the ${target.kind}: ${ledger.summary()}; ${subscriber.summary()}`,
  );
}

/** Has a process do a job, and kills it so many milliseconds after its first line of a kind. */
async function runJob(
  job: Job,
  { ledger, subscriber }: { readonly ledger: Ledger; readonly subscriber: Subscriber },
  kill?: { readonly after: Line["kind"]; readonly pauseMs: number },
): Promise<Deno.CommandStatus> {
  await using child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--allow-read", "--allow-net=127.0.0.1"],
      ...["--allow-env=PGAPPNAME,PGTARGETSESSIONATTRS", SCRIPT, JSON.stringify(job)],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    for await (const line of linesOf(child.stdout)) {
      if (line.kind === "sent") ledger.onSent(line.n, keyedKind(line.n));
      else if (line.kind === "told") subscriber.take(line.told);
      else ledger.onAnswered(line.n, line.answer);
      if (line.kind !== kill?.after) continue;
      timer ??= setTimeout(() => child.kill("SIGKILL"), kill.pauseMs);
    }
  } finally {
    clearTimeout(timer);
  }
  return await child.status;
}

/** The lines of a process; one that it was killed in is left out. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncIterable<Line> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}
