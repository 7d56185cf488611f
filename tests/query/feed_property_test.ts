// Random transactions by several writers, and subscribers that come and go: each has, in the end, exactly the tables
// as they are, by way of changes that each fitted what was there.

import { assert, assertEquals } from "@std/assert";
import type { Engine } from "../../src/query/engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { openSqliteEngine, type SqliteDatabase } from "../../src/query/mod.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import type { Row, SqlValue } from "../../src/wire/value.ts";
import { inFolder } from "../harness/folder.ts";
import { CAPTURES, PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { Random } from "../harness/random.ts";
import { type FeedEvent, Replica, TestFeed, type Wanted } from "./feed_harness.ts";
import { CAPTURE_NAMES, type CaptureName, feedTestName } from "./postgres_feed_harness.ts";
import {
  ALL,
  ask,
  askIn,
  CANNOT_KILL,
  CANNOT_RUN_PROCESSES,
  killProcess,
  replied,
  retried,
} from "./query_harness.ts";

const SEED = 9_101;

/** Limits that make feeds read from the log, and be told that nothing happens, all the time. */
const FEEDS = { pollMs: 20, resolvedMs: 20, partBytesMax: 2_000, recentBytesMax: 10_000 };

type Write = readonly [string, readonly SqlValue[]];

/** An engine under test. */
interface Subject {
  /** Opens the database of a test, again after it was closed. */
  open(folder: string): Promise<Engine>;
  /** A write to one table writes to the other by a trigger: transactions span both. */
  readonly schema: readonly string[];
  randomWrite(random: Random): Write;
  /** Raises one half of a writer's pair; both are equal between transactions. */
  readonly raise: string;
  /** Ends feeds with a reset, once each in this order. */
  readonly upheavals: readonly string[];
}

const SQLITE: Subject = {
  open: (folder) =>
    openSqliteEngine({
      database: `${folder}/feeds.sqlite`,
      synchronous: "normal",
      feeds: FEEDS,
    }),
  schema: [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, g INT, v)",
    "CREATE TABLE pairs (writer INT, half TEXT, n INT, PRIMARY KEY (writer, half)) WITHOUT ROWID",
    "CREATE TABLE u (k TEXT, n INT, v, PRIMARY KEY (n, k)) WITHOUT ROWID",
    `CREATE TRIGGER copied AFTER INSERT ON t BEGIN
       REPLACE INTO u VALUES ('of ' || new.id % 5, new.g, new.v);
     END`,
    `CREATE TRIGGER gone AFTER DELETE ON t BEGIN
       DELETE FROM u WHERE n = old.g;
     END`,
  ],
  randomWrite: randomSqliteWrite,
  raise: "UPDATE pairs SET n = n + 1 WHERE writer = ? AND half = ?",
  upheavals: [
    "ALTER TABLE t RENAME COLUMN v TO w",
    "ALTER TABLE t RENAME COLUMN w TO v",
    "ALTER TABLE u RENAME TO gone",
    "ALTER TABLE gone RENAME TO u",
  ],
};

/** What ends feeds where changes are captured in one of both ways. */
const CAPTURE_UPHEAVALS: Readonly<Record<CaptureName, readonly string[]>> = {
  triggers: ["ALTER TABLE t DISABLE TRIGGER USER", "ALTER TABLE t ENABLE TRIGGER USER"],
  decoding: [
    "ALTER TABLE u REPLICA IDENTITY DEFAULT",
    "ALTER PUBLICATION sqp_feeds DROP TABLE t",
    "DROP PUBLICATION sqp_feeds",
  ],
};

const postgresSubject = (of: PostgresServer, capture: CaptureName): Subject => ({
  open: () => openPostgresEngine({ url: of.url("feeds"), feeds: FEEDS }),
  schema: [
    "CREATE TABLE t (id int PRIMARY KEY, g int, v text)",
    "CREATE TABLE pairs (writer int, half text, n int, PRIMARY KEY (writer, half))",
    "CREATE TABLE u (k text, n int, v text, PRIMARY KEY (n, k))",
    `CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO u VALUES ('of ' || new.id % 5, new.g, new.v)
         ON CONFLICT (n, k) DO UPDATE SET v = excluded.v;
       RETURN NULL;
     END $$`,
    "CREATE TRIGGER copied AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION copy()",
  ],
  randomWrite: randomPostgresWrite,
  raise: "UPDATE pairs SET n = n + 1 WHERE writer = $1 AND half = $2",
  upheavals: [
    "ALTER TABLE t ADD COLUMN extra int DEFAULT 7",
    "TRUNCATE u",
    "ALTER TABLE u RENAME COLUMN n TO m",
    "ALTER TABLE u RENAME COLUMN m TO n",
    "ALTER TABLE t RENAME TO gone",
    "ALTER TABLE gone RENAME TO t",
    ...CAPTURE_UPHEAVALS[capture],
  ],
});

/** One server's life after the other, on the same database. */
class World {
  readonly subject: Subject;
  readonly #folder: string;
  /** Feeds may end with a reset. */
  isUpheaved = false;
  #engine: Engine | undefined;

  constructor(subject: Subject, folder: string) {
    this.subject = subject;
    this.#folder = folder;
  }

  get engine(): Engine {
    return this.#engine!;
  }

  async start(): Promise<void> {
    this.#engine = await this.subject.open(this.#folder);
  }

  async stop(): Promise<void> {
    await this.#engine?.close();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}

function randomPostgresWrite(random: Random): Write {
  const id = random.integer(0, 40);
  const value = random.pick([null, "", 'text, (é😀) "\\', "x".repeat(500)]);
  const span = random.integer(1, 12);
  switch (random.integer(0, 5)) {
    case 0:
      return ["DELETE FROM t WHERE id BETWEEN $1 AND $2", [id, id + span]];
    case 1:
      return ["UPDATE t SET v = $1, g = g + 1 WHERE id BETWEEN $2 AND $3", [value, id, id + span]];
    case 2:
      return ["UPDATE t SET id = $1 WHERE id = $2", [id, id + span]];
    case 3:
      return ["UPDATE u SET n = (n + 1) % 4 WHERE k = $1", [`of ${id % 5}`]];
    default:
      return [
        `INSERT INTO t SELECT i, i % 4, $3 FROM generate_series($1::int, $2::int) i
         ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
        [id, id + span, value],
      ];
  }
}

function randomSqliteWrite(random: Random): Write {
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
    askIn(transaction, world.subject.raise, { params: [writer, half] });
  try {
    await begun.promise;
    await raise("a");
    const isUndone = random.chance(0.3);
    if (isUndone) await replied<void>((reply) => transaction.savepoint(1, reply));
    const [sql, params] = world.subject.randomWrite(random);
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
    const [sql, params] = world.subject.randomWrite(random);
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
          const event = await feed.nextMark();
          if (event.kind === "reset") this.#beginAnew(event.reason);
          else this.#take(event);
          if (event.kind === "reset") break;
        }
      } catch (error) {
        if (!(error instanceof SqpError)) throw error;
        // The server stops; there will be another one.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      feed.cancel();
    }
  }

  #beginAnew(reason: string): void {
    assert(this.#world.isUpheaved, reason);
    this.#cursor = undefined;
    for (const { rows } of Object.values(this.replicas)) rows.clear();
  }

  #take(event: Exclude<FeedEvent, { kind: "reset" }>): void {
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

async function run(
  subject: Subject,
  seed: number,
  disturb: (world: World, random: Random) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const random = new Random(seed);
    const world = new World(subject, folder);
    await world.start();
    for (const sql of subject.schema) await ask(world.engine, sql);
    for (const writer of [0, 1, 2]) {
      await ask(world.engine, `INSERT INTO pairs VALUES (${writer}, 'a', 0), (${writer}, 'b', 0)`);
    }
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
    // Random deletes may have left nothing.
    await ask(world.engine, "INSERT INTO t VALUES (100, 2, 'the last')");
    endedAtMs = Date.now() + 1;
    await Promise.all(reading);
    const sorted = (rows: Row[]) => rows.map((row) => JSON.stringify(row)).sort();
    const [t, u, g] = [
      sorted(await tableRows(world, "SELECT * FROM t")),
      sorted(await tableRows(world, "SELECT * FROM u")),
      sorted(await tableRows(world, "SELECT * FROM t WHERE g = 2")),
    ];
    assert(t.length > 0 && u.length > 0);
    for (const { replicas } of whole) {
      assertEquals(sorted(replicas.t!.sorted()), t, `seed ${seed}`);
      assertEquals(sorted(replicas.u!.sorted()), u, `seed ${seed}`);
    }
    assertEquals(sorted(one.replicas.u!.sorted()), u, `seed ${seed}`);
    assertEquals(sorted(filtered.replicas.t!.sorted()), g, `seed ${seed}`);
    await world.stop();
  });
}

/** Changes tables so that their feeds end, while they are written to. */
async function upheave(world: World, random: Random): Promise<void> {
  world.isUpheaved = true;
  for (const sql of world.subject.upheavals) {
    await pause(random.integer(20, 200));
    await retried(() => ask(world.engine, sql));
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

Deno.test({
  name: "subscribers that come and go see every change once and in order",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    for (let seed = SEED; seed < SEED + 2; seed++) await run(SQLITE, seed, () => Promise.resolve());
  },
});

Deno.test({
  name: "so they do when the server is stopped and started again",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    await run(SQLITE, SEED + 10, async (world, random) => {
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
    await run(SQLITE, SEED + 20, async (world, random) => {
      for (let i = 0; i < 10; i++) {
        await pause(random.integer(20, 150));
        const role = random.chance(0.7) ? "writer" : "reader";
        const { processIds } = world.engine as SqliteDatabase;
        for (const pid of processIds.call(world.engine, role)) killProcess(pid);
      }
    });
  },
});

Deno.test({
  name: "so they do when tables get other shapes and names",
  ignore: CANNOT_RUN_PROCESSES,
  fn: () => run(SQLITE, SEED + 40, upheave),
});

const why = whyNoPostgres();

/** A test with a PostgreSQL server of its own, for each way to capture changes. */
function postgresTest(
  name: string,
  fn: (server: PostgresServer, subject: Subject) => Promise<void>,
): void {
  for (const capture of CAPTURE_NAMES) {
    Deno.test({
      name: feedTestName(name, capture),
      ignore: why !== undefined,
      async fn() {
        await using server = await PostgresServer.start(CAPTURES[capture]);
        await server.makeDatabase("feeds");
        await fn(server, postgresSubject(server, capture));
      },
    });
  }
}

postgresTest(
  "subscribers that come and go see every change once and in order",
  async (server, subject) => {
    for (let seed = SEED; seed < SEED + 2; seed++) {
      await run(subject, seed, () => Promise.resolve());
      await server.makeDatabase("feeds");
    }
  },
);

postgresTest(
  "so they do when SQP is started again, and when the database crashes",
  async (server, subject) => {
    await run(subject, SEED + 30, async (world, random) => {
      await pause(random.integer(100, 300));
      await world.restart();
      await pause(random.integer(100, 300));
      await server.crash();
      await server.restart();
    });
  },
);

postgresTest(
  "so they do when tables get other shapes and names, and what captures changes is disturbed",
  async (_, subject) => await run(subject, SEED + 50, upheave),
);
