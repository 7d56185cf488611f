// Runs in the client's namespace of netlab, as `netlab_client.ts PEER HOST FOLDER`: connects, asks, and prints what it
// measured as a line of JSON.

import { measureLatency } from "./measure.ts";
import { CONNECT, type Peer } from "./netlab_clients.ts";

/** The first quarter, in which code is compiled, does not count. */
const ROUND_MS = 16_000;
const IN_FLIGHT = 64;
const FIRST_ANSWERS = 5;
const POINTS = 1_000;

const [peer, host, folder] = Deno.args as [Peer, string, string];
const file = (name: string) => Deno.readTextFile(`${folder}/${name}`);
const [ca, cert, key] = await Promise.all(["ca.pem", "client.pem", "client.key"].map(file));
const address = { host, ca: ca!, cert: cert!, key: key! };

await using client = await CONNECT[peer](address);
await client.fill(POINTS);

const firstAnswersMs: number[] = [];
for (let i = 0; i < FIRST_ANSWERS; i++) {
  const begin = performance.now();
  await using another = await CONNECT[peer](address);
  await another.nameOf(1);
  firstAnswersMs.push(performance.now() - begin);
}
firstAnswersMs.sort((a, b) => a - b);

let next = 0;
const measured = await measureLatency(
  async () => {
    const id = 1 + next++ % POINTS;
    const name = await client.nameOf(id);
    if (name !== `point number ${id}`) throw new Error(`point ${id} is "${name}"`);
  },
  IN_FLIGHT,
  ROUND_MS,
);
const connectMs = firstAnswersMs[Math.floor(FIRST_ANSWERS / 2)];
// deno-lint-ignore no-console -- it is what the parent reads
console.log(JSON.stringify({ ...measured, connectMs }));
