// A process that writes with keys until it is killed: `postgres_writer.ts URL WRITERS NEXT...` continues each writer at
// its number, and prints `WRITER NUMBER` when a write was answered.

import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { writeOnce } from "./keyed_writer.ts";

const [url, ...next] = Deno.args;
const engine = await openPostgresEngine({ url: url! });
const encoder = new TextEncoder();
await Promise.all(next.map(async (first, writer) => {
  for (let n = Number(first);; n++) {
    await writeOnce(engine, writer, n);
    Deno.stdout.writeSync(encoder.encode(`${writer} ${n}\n`));
  }
}));
