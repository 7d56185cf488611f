// Random transactions by several writers, and subscribers that come and go: each has, in the end, exactly the tables
// as they are, by way of changes that each fitted what was there.

import { assertEquals } from "@std/assert";
import { openSqliteEngine, type SqliteDatabase } from "../../src/query/mod.ts";
import { SqpError } from "../../src/wire/errors.ts";
import type { Row, SqlValue } from "../../src/wire/value.ts";
import { inFolder } from "../harness/folder.ts";
import { Random } from "../harness/random.ts";
import { type FeedEvent, Replica, TestFeed, type Wanted } from "./feed_harness.ts";
import {
  ALL,
  ask,
  askIn,
  CANNOT_KILL,
  CANNOT_RUN_PROCESSES,
  killProcess,
  replied,
} from "./query_harness.ts";

const SEED = 9_101;

/** A write to one table writes to the other by a trigger: transactions span both. */
const SCHEMA = [
  "CREATE TABLE t (id INTEGER PRIMARY KEY, g INT, v)",
  // Both halves of a pair are always equal between transactions.
  "CREATE TABLE pairs (writer INT, half TEXT, n INT, PRIMARY KEY (writer, half)) WITHOUT ROWID",
  "INSERT INTO pairs SELECT w.value, h.value, 0 FROM json_each('[0,1,2]') w, json_each('[\"a\",\"b\"]') h",
  "CREATE TABLE u (k TEXT, n INT, v, PRIMARY KEY (n, k)) WITHOUT ROWID",
  `CREATE TRIGGER copied AFTER INSERT ON t BEGIN
     REPLACE INTO u VALUES ('of ' || new.id % 5, new.g, new.v);
   END`,
  `CREATE TRIGGER gone AFTER DELETE ON t BEGIN
     DELETE FROM u WHERE n = old.g;
   END`,
];

/** One server's life after the other, on the same database. */
class World {
  readonly #file: string;
  #engine: SqliteDatabase | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  get engine(): SqliteDatabase {
    return this.#engine!;
  }

  async start(): Promise<void> {
    this.#engine = await openSqliteEngine({
      database: this.#file,
      synchronous: "normal",
      feeds: { pollMs: 20, resolvedMs: 20, partBytesMax: 2_000, recentBytesMax: 10_000 },
    });
  }

  async stop(): Promise<void> {
    await this.#engine?.close();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}

function randomWrite(random: Random): [string, SqlValue[]] {
  const id = random.integer(0, 40);
  const value = random.pick([null, 1n, 0.5, "text é😀", new Uint8Array([0, 255]), "x".repeat(500)]);
  const span = random.integer(1, 12);
  switch (random.integer(0, 5)) {
    case 0:
      return ["DELETE FROM t WHERE id BETWEEN ? AND ?", [id, id + span]];
    case 1:
      return ["UPDATE t SET v = ?, g = g + 1 WHERE id BETWEEN ? AND ?", [value, id, id + span]];
    case 2:
      return ["UPDATE OR IGNORE t SET id = ? WHERE id = ?", [id, id + span]];
    case 3:
      return ["UPDATE OR REPLACE u SET n = (n + 1) % 4 WHERE k = ?", [`of ${id % 5}`]];
    default:
      return [
        `WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1 + ?2)
         REPLACE INTO t SELECT i, i % 4, ?3 FROM c`,
        [id, span, value],
      ];
  }
}

/** Several statements, one of which may be undone, that are committed together or not at all. */
async function transact(world: World, random: Random, writer: number): Promise<void> {
  const session = world.engine.open({ principal: "writer", permissions: new Set(ALL) });
  const begun = Promise.withResolvers<void>();
  const transaction = session.begin({ readOnly: false }, {
    onEnd: begun.resolve,
    onError: begun.reject,
  });
  const raise = (half: string) =>
    askIn(transaction, "UPDATE pairs SET n = n + 1 WHERE writer = ? AND half = ?", {
      params: [writer, half],
    });
  try {
    await begun.promise;
    await raise("a");
    const isUndone = random.chance(0.3);
    if (isUndone) await replied<void>((reply) => transaction.savepoint(1, reply));
    const [sql, params] = randomWrite(random);
    await askIn(transaction, sql, { params });
    if (isUndone) await replied<void>((reply) => transaction.rollbackTo(1, reply));
    await raise("b");
    const isKept = random.chance(0.8);
    await replied<void>((reply) =>
      isKept ? transaction.commit(reply) : transaction.rollback(reply)
    );
  } finally {
    session.close();
  }
}

async function write(world: World, random: Random, writer: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const [sql, params] = randomWrite(random);
    try {
      if (random.chance(0.2)) await transact(world, random, writer);
      else await ask(world.engine, sql, { params });
    } catch (error) {
      // A server that stops, or a writer that was killed: whether it took effect is for the subscribers to see.
      if (!(error instanceof SqpError)) throw error;
    }
  }
}

/** One subscriber over all its subscriptions. */
class Subscriber {
  readonly #world: World;
  readonly #random: Random;
  readonly #wanted: Wanted;
  readonly replicas: Readonly<Record<string, Replica>>;
  #cursor: string | undefined;
  #lastAtMs = 0;

  constructor(world: World, random: Random, tables: Wanted["tables"]) {
    this.#world = world;
    this.#random = random;
    this.#wanted = { tables };
    this.replicas = { t: new Replica([0]), u: new Replica([1, 0]), pairs: new Replica([0, 1]) };
  }

  /** Reads feeds, one after the other, until everything before a time was told. */
  async readUntil(endAtMs: () => number): Promise<void> {
    while (this.#lastAtMs < endAtMs()) {
      const feed = new TestFeed(this.#world.engine, {
        ...this.#wanted,
        ...(this.#cursor === undefined ? { snapshot: true } : { cursor: this.#cursor }),
      });
      const events = this.#random.integer(1, 40);
      try {
        for (let i = 0; i < events && this.#lastAtMs < endAtMs(); i++) {
          this.#take(await feed.nextMark());
        }
      } catch (error) {
        if (!(error instanceof SqpError)) throw error;
        // The server stops; there will be another one.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      feed.cancel();
    }
  }

  #take(event: FeedEvent): void {
    if (event.kind === "reset") throw new Error(`${event.reason}: ${event.message}`);
    for (const [name, replica] of Object.entries(this.replicas)) {
      replica.apply(event.changes.filter(({ table }) => table === name));
    }
    const pairs = this.replicas.pairs!.sorted();
    for (let i = 0; i < pairs.length; i += 2) assertEquals(pairs[i]![2], pairs[i + 1]![2]);
    this.#cursor = event.cursor;
    if (event.kind === "resolved") this.#lastAtMs = event.atMs;
  }
}

async function tableRows(world: World, sql: string): Promise<Row[]> {
  return (await ask(world.engine, sql)).rows;
}

async function run(seed: number, disturb: (world: World, random: Random) => Promise<void>) {
  await inFolder(async (folder) => {
    const random = new Random(seed);
    const world = new World(`${folder}/feeds.sqlite`);
    await world.start();
    for (const sql of SCHEMA) await ask(world.engine, sql);
    await write(world, random.fork(), 0, 10);
    const whole = [0, 1].map(() => new Subscriber(world, random.fork(), ["t", "u", "pairs"]));
    const one = new Subscriber(world, random.fork(), ["u"]);
    const filtered = new Subscriber(world, random.fork(), [["t", { g: 2 }]]);
    let endedAtMs = Infinity;
    const reading = [...whole, one, filtered].map((subscriber) =>
      subscriber.readUntil(() => endedAtMs)
    );
    await Promise.all([
      ...[0, 1, 2].map((writer) => write(world, random.fork(), writer, 40)),
      disturb(world, random.fork()),
    ]);
    endedAtMs = Date.now() + 1;
    await Promise.all(reading);
    const sorted = (rows: Row[]) => rows.map((row) => JSON.stringify(row)).sort();
    const [t, u, g] = [
      sorted(await tableRows(world, "SELECT * FROM t")),
      sorted(await tableRows(world, "SELECT * FROM u")),
      sorted(await tableRows(world, "SELECT * FROM t WHERE g = 2")),
    ];
    for (const { replicas } of whole) {
      assertEquals(sorted(replicas.t!.sorted()), t, `seed ${seed}`);
      assertEquals(sorted(replicas.u!.sorted()), u, `seed ${seed}`);
    }
    assertEquals(sorted(one.replicas.u!.sorted()), u, `seed ${seed}`);
    assertEquals(sorted(filtered.replicas.t!.sorted()), g, `seed ${seed}`);
    await world.stop();
  });
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

Deno.test({
  name: "subscribers that come and go see every change once and in order",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    for (let seed = SEED; seed < SEED + 2; seed++) await run(seed, () => Promise.resolve());
  },
});

Deno.test({
  name: "so they do when the server is stopped and started again",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    await run(SEED + 10, async (world, random) => {
      for (let i = 0; i < 3; i++) {
        await pause(random.integer(50, 200));
        await world.restart();
      }
    });
  },
});

Deno.test({
  name: "so they do when engine processes are killed from outside",
  ignore: CANNOT_KILL,
  async fn() {
    await run(SEED + 20, async (world, random) => {
      for (let i = 0; i < 10; i++) {
        await pause(random.integer(20, 150));
        const role = random.chance(0.7) ? "writer" : "reader";
        for (const pid of world.engine.processIds(role)) killProcess(pid);
      }
    });
  },
});
