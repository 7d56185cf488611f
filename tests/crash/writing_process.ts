// A process that writes with keys and follows the table until it is killed, and tells what it does in lines of JSON:
// `writing_process.ts JOB`, which is one of these in JSON.

import { connect } from "../../src/client/mod.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { type Access, clientAccess, DIALECTS, engineAccess, type Told } from "./access.ts";
import { ownerOptions } from "./server.ts";
import { keyedKind, write } from "./writes.ts";

/** Whose process it is: a client's, or that of PostgreSQL's engine. */
export type Target =
  | {
    readonly kind: "client";
    readonly url: string;
    readonly folder: string;
    readonly dialect: keyof typeof DIALECTS;
  }
  | { readonly kind: "engine"; readonly url: string };

/** What it does. */
export interface Job {
  readonly target: Target;
  /** The first write that is sent again, and the first that was never sent. */
  readonly again: number;
  readonly next: number;
  /** It ends after what is sent again, and follows nothing. */
  readonly isLast: boolean;
  /** Where the feed goes on. */
  readonly cursor?: string;
}

/** What it says. */
export type Line =
  /** It is about to send a write for the first time. */
  | { readonly kind: "sent"; readonly n: number }
  | { readonly kind: "answered"; readonly n: number; readonly answer: unknown }
  | { readonly kind: "told"; readonly told: Told };

const WRITERS = 6;

const encoder = new TextEncoder();

function say(line: Line): void {
  const text = JSON.stringify(line, (_, value) => typeof value === "bigint" ? `${value}n` : value);
  for (let rest = encoder.encode(`${text}\n`); rest.length > 0;) {
    rest = rest.subarray(Deno.stdout.writeSync(rest));
  }
}

async function open(target: Target, end: AbortSignal): Promise<Access & AsyncDisposable> {
  if (target.kind === "engine") {
    const engine = await openPostgresEngine({ url: target.url });
    const access = engineAccess(engine, DIALECTS.postgres);
    return { ...access, [Symbol.asyncDispose]: () => engine.close() };
  }
  const client = await connect(target.url, ownerOptions(target.folder));
  const access = clientAccess(client, DIALECTS[target.dialect], end);
  return { ...access, [Symbol.asyncDispose]: () => client.close() };
}

async function follow(access: Access, cursor: string | undefined, end: AbortSignal): Promise<void> {
  for await (const told of access.feed(cursor, end)) say({ kind: "told", told });
}

async function run({ target, again, next, isLast, cursor }: Job): Promise<void> {
  const end = new AbortController();
  await using access = await open(target, end.signal);
  let n = again;
  const writeOn = async () => {
    while (!isLast || n < next) {
      const mine = n++;
      if (mine >= next) say({ kind: "sent", n: mine });
      say({ kind: "answered", n: mine, answer: await write(access, keyedKind(mine), mine) });
    }
  };
  await Promise.all([
    ...(isLast ? [] : [follow(access, cursor, end.signal)]),
    ...Array.from({ length: WRITERS }, writeOn),
  ]);
}

if (import.meta.main) await run(JSON.parse(Deno.args[0]!));
