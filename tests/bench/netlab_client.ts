// Runs in the client's namespace of netlab: connects, asks, and prints what it measured as a line of JSON.

import { connect } from "../../src/client/mod.ts";
import { measureLatency } from "./measure.ts";

const ROUND_MS = 10_000;
const IN_FLIGHT = 64;
const FIRST_ANSWERS = 5;
const POINTS = 1_000;

const [address, folder] = Deno.args as [string, string];
const file = (name: string) => Deno.readTextFile(`${folder}/${name}`);
const [ca, cert, key] = await Promise.all(["ca.pem", "client.pem", "client.key"].map(file));
const options = { ca: ca!, cert: cert!, key: key!, serverName: "localhost" };

const firstAnswersMs: number[] = [];
for (let i = 0; i < FIRST_ANSWERS; i++) {
  const begin = performance.now();
  await using client = await connect(`sqp://${address}`, options);
  await client.execute("select 1");
  firstAnswersMs.push(performance.now() - begin);
}
firstAnswersMs.sort((a, b) => a - b);

await using client = await connect(`sqp://${address}`, options);
await client.execute("create table points (id integer primary key, name text, value real)");
await client.execute(
  `insert into points with recursive counter (n) as
   (select 1 union all select n + 1 from counter where n < ?)
   select n, 'point number ' || n, n * 1.5 from counter`,
  [POINTS],
);
let next = 0;
const measured = await measureLatency(
  () => client.execute("select id, name, value from points where id = ?", [1 + next++ % POINTS]),
  IN_FLIGHT,
  ROUND_MS,
);
const connectMs = firstAnswersMs[Math.floor(FIRST_ANSWERS / 2)];
// deno-lint-ignore no-console -- it is what the parent reads
console.log(JSON.stringify({ ...measured, connectMs }));
