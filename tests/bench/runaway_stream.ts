// Reads a stream as `runaway_stream.ts ADDRESS FOLDER ROWS`, in a process of its own that yields to others, as its work
// would be another machine's and is not to be taken for the server's. Prints what it read as a line of JSON when its
// input ends.

// deno-lint-ignore-file no-console -- printing is what it is for

import { setPriority } from "node:os";
import { connect, SqpError } from "../../src/client/mod.ts";

/** What engine processes that read have. */
const NICENESS = 10;

setPriority(NICENESS);

const [address, folder, rowCount] = Deno.args as [string, string, string];
const file = (name: string) => Deno.readTextFile(`${folder}/${name}`);
const [ca, cert, key] = await Promise.all(["ca.pem", "client.pem", "client.key"].map(file));
const client = await connect(`sqp://${address}`, { ca: ca!, cert: cert!, key: key! });

let isStopped = false;
const stopped = (async () => {
  await Deno.stdin.read(new Uint8Array(1));
  isStopped = true;
})();

const sql = `
  with recursive c (n) as (select 1 union all select n + 1 from c limit ${rowCount})
  select n, 'a remark of ordinary length', n * 1.5 from c`;
const start = performance.now();
let rows = 0;
let error = "";
try {
  for await (const _row of client.stream(sql, [], { urgency: 7 })) {
    rows++;
    if (isStopped) break;
  }
} catch (thrown) {
  if (!(thrown instanceof SqpError)) throw thrown;
  error = `${thrown.codeName} after ${rows} rows: ${thrown.message}`;
}
const rowsPerSecond = rows * 1_000 / (performance.now() - start);
console.log(JSON.stringify({ rowsPerSecond, error }));
await stopped;
await client.close();
