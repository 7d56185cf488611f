// Whole clients and a server over a bad network: what is asked is answered right, and no write happens twice.

import { assert, assertEquals } from "@std/assert";
import {
  corrupt,
  delay,
  duplicate,
  jitter,
  type LinkNode,
  loss,
  outage,
  rate,
  reorder,
} from "../harness/link.ts";
import type { Random } from "../harness/random.ts";
import { forEachSeed } from "../harness/simulation.ts";
import type { Asked, TestClient } from "../harness/sqp_client.ts";
import { streamRow } from "../harness/sqp_engine.ts";
import { SqpPair, tokenClient } from "../harness/sqp_pair.ts";

/** 20 % each of loss, corruption, duplication and reordering, on a link of 800 kB a second. */
function trouble(): LinkNode[] {
  return [
    loss(0.2),
    corrupt(0.2),
    rate(800_000, 60_000),
    duplicate(0.2, 60),
    delay(15),
    jitter(10),
    reorder(0.2, 40),
  ];
}

const QUERIES_PER_CLIENT = 20;

/** What a query must give. */
interface Expected {
  readonly asked: Asked;
  readonly check: (asked: Asked) => void;
  /** The error that is its right answer. */
  readonly error?: string;
  readonly write?: string;
}

function askEcho(client: TestClient, random: Random): Expected {
  const values = [random.u32(), "é".repeat(random.pick([0, 10, 400, 3_000])), random.float()];
  const asked = client.ask("echo", { params: values });
  return { asked, check: ({ rows }) => assertEquals(rows, [values]) };
}

function askWrite(client: TestClient, random: Random, index: number): Expected {
  const write = `${client.address}/${index}`;
  const delayMs = random.integer(0, 80);
  const asked = client.ask(`after ${delayMs} write ${write}`);
  return { asked, write, check: ({ changes }) => assertEquals(changes, 1) };
}

function askRows(client: TestClient, random: Random, index: number): Expected {
  const bytes = random.integer(200, 900);
  const count = index === 7 ? Math.ceil(250_000 / bytes) : random.integer(0, 60);
  const asked = client.ask(`rows ${count} ${bytes}`);
  const rows = Array.from({ length: count }, (_, i) => streamRow(i, bytes));
  return { asked, check: (one) => assertEquals(one.rows, rows) };
}

function askBlob(client: TestClient, random: Random): Expected {
  const bytes = random.pick([900, 1_100, 12_000]);
  const asked = client.ask(`blob ${bytes}`);
  return { asked, check: ({ rows }) => assertEquals(rows, [["x".repeat(bytes)]]) };
}

function askFailure(client: TestClient, random: Random): Expected {
  const error = random.pick(["constraint_unique", "unknown_table"]);
  return { asked: client.ask(`fail ${error}`), error, check: () => {} };
}

function askSomething(client: TestClient, random: Random, index: number): Expected {
  const kind = index === 7 ? 6 : random.integer(0, 9);
  if (kind <= 2) return askEcho(client, random);
  if (kind <= 5) return askWrite(client, random, index);
  if (kind === 6) return askRows(client, random, index);
  return kind <= 8 ? askBlob(client, random) : askFailure(client, random);
}

/** What became of all queries of all seeds. */
const totals = {
  queries: 0,
  right: 0,
  failed: new Map<string, number>(),
  network: new Map<string, number>(),
};

/** Whether it was answered right. What is not right must have failed with an error of a name and a number. */
function isRight({ asked, check, error }: Expected): boolean {
  if (asked.isDone && error === undefined) {
    check(asked);
    return true;
  }
  assert(asked.error !== undefined, `${asked.sql} ends as ${asked.outcome}`);
  if (asked.error.codeName === error) return true;
  const name = asked.error.codeName;
  totals.failed.set(name, (totals.failed.get(name) ?? 0) + 1);
  return false;
}

function runSeed(seed: number): void {
  const pair = new SqpPair({
    seed,
    toServer: trouble,
    toClient: trouble,
    clients: [{}, tokenClient("good:somebody")],
  });
  const random = pair.random.fork();
  const expected: Expected[] = [];
  for (const client of pair.clients) {
    let afterMs = 0;
    for (let index = 0; index < QUERIES_PER_CLIENT; index++) {
      pair.after(afterMs, () => expected.push(askSomething(client, random, index)));
      // The first ones go with the handshake.
      if (index >= 3) afterMs += random.integer(0, 300);
    }
  }
  pair.advance(QUERIES_PER_CLIENT * 300);
  pair.answerAll();
  pair.finish();

  const right = expected.map(isRight);
  totals.queries += expected.length;
  totals.right += right.filter((one) => one).length;
  for (const [index, { write }] of expected.entries()) {
    if (write === undefined) continue;
    const executed = pair.engine.writes.get(write) ?? 0;
    if (right[index]!) assertEquals(executed, 1, `write ${write}`);
    else assert(executed <= 1, `write ${write} was executed ${executed} times`);
  }
  for (const client of pair.clients) {
    const { toServer, toClient } = pair.linksOf(client);
    for (const { counters } of [toServer, toClient]) {
      for (const [name, count] of Object.entries(counters.snapshot())) {
        totals.network.set(name, (totals.network.get(name) ?? 0) + count);
      }
    }
  }
}

for (const first of [1, 26, 51, 76]) {
  const seeds = `seeds ${first} to ${first + 24}`;
  Deno.test(`over 20 % loss, duplication, reordering, corruption each way, queries are answered: ${seeds}`, () => {
    forEachSeed(25, runSeed, first);
    const { queries, right, failed, network } = totals;
    // One seed alone, when it is replayed, is no statistics.
    if (queries < 1_000) return;
    assert(right >= 0.99 * queries, `${right} of ${queries}: ${JSON.stringify([...failed])}`);
    const share = (name: string) => (network.get(name) ?? 0) / network.get("sent")!;
    assert(share("lost") > 0.18 && share("corrupted") > 0.14);
    assert(share("duplicated") > 0.1 && share("delayed") > 0.1);
  });
}

Deno.test("where the network ends for good, every request ends, and no write happens twice", () => {
  forEachSeed(30, (seed) => {
    const pair = new SqpPair({ seed, clients: [] });
    const from = pair.now + pair.random.integer(100, 5_000);
    const toServer = [outage(from, Infinity), ...trouble()];
    const client = pair.addClient({ toServer, toClient: [outage(from, Infinity), ...trouble()] });
    for (let i = 0; i < 40; i++) {
      const sql = i % 4 === 3 ? "rows 60 900" : `after ${10 * i} write ${i}`;
      pair.after(i * 150, () => client.ask(sql));
    }
    pair.advance(6_000);
    pair.runUntilIdle();
    pair.checkReleased();
    for (const { sql, outcome, isDone, error } of client.asked) {
      const executed = pair.engine.writes.get(sql.split(" ").at(-1)!) ?? 0;
      if (isDone && sql.includes("write")) assertEquals(executed, 1);
      assert(executed <= 1 && (isDone || error !== undefined), `${sql}: ${outcome}`);
    }
  });
});

Deno.test("a seed gives the same run each time: the same datagrams at the same times", () => {
  const [first, second] = [1, 2].map(() => {
    const pair = new SqpPair({ seed: 9, toServer: trouble, toClient: trouble });
    const seen: string[] = [];
    pair.onDatagram = (from, { length }) => seen.push(`${pair.now} ${from} ${length}`);
    for (const sql of ["write w", "rows 60 900", "echo"]) pair.client.ask(sql);
    pair.answerAll();
    pair.finish();
    return seen;
  });
  assertEquals(first, second);
  assert(first!.length > 100);
});
