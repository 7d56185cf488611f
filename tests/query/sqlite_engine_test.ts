// The SQLite engine with its processes. No assertion here is about time: a test that never ends is the failure.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import type { SqliteDatabase, SqliteEngineOptions } from "../../src/query/sqlite/options.ts";
import type { Execution } from "../../src/query/engine.ts";
import { SqpError } from "../../src/wire/errors.ts";
import {
  ask,
  askError,
  CAN_READ_PROC,
  CANNOT_KILL,
  CANNOT_LINK,
  CANNOT_RUN_PROCESSES,
  ENDLESS,
  killProcess,
  makeLink,
} from "./query_harness.ts";

interface SharedTest {
  readonly name: string;
  readonly ignore: boolean;
  readonly fn: (engine: SqliteDatabase) => Promise<void>;
}

/**
 * Whether a test lacks a permission: those that kill processes by their number or read of their memory need more
 * than others.
 */
function lacksPermission(name: string): boolean {
  if (/killed from outside|again and again/.test(name)) return CANNOT_KILL;
  if (/symbolic link/.test(name)) return CANNOT_LINK;
  if (/memory/.test(name)) return !CAN_READ_PROC;
  return CANNOT_RUN_PROCESSES;
}

/** Tests that share one engine, which starts with an empty database for each. */
const shared: SharedTest[] = [];

/** A test with an engine on a private temporary database: of its own where it has options. */
function engineTest(
  name: string,
  fn: (engine: SqliteDatabase) => Promise<void>,
  options?: Partial<SqliteEngineOptions>,
): void {
  if (options === undefined) {
    shared.push({ name, ignore: lacksPermission(name), fn });
    return;
  }
  Deno.test({
    name,
    ignore: lacksPermission(name),
    async fn() {
      const engine = await openSqliteEngine({ database: ":memory:", ...options });
      try {
        await fn(engine);
      } finally {
        await engine.close();
      }
    },
  });
}

/** A test with a folder of its own. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test({
    name,
    ignore: lacksPermission(name),
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "sqp-test-" });
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** Somebody outside who kills processes of an engine, each at most once. */
interface Killer {
  kill(): void;
  /** Whether the engine has not seen the end of one of them yet. */
  isDying(): boolean;
}

function killer(engine: SqliteDatabase, role: "reader" | "writer"): Killer {
  const killed = new Set<number>();
  return {
    kill() {
      for (const pid of engine.processIds(role)) {
        if (killed.has(pid)) continue;
        killed.add(pid);
        killProcess(pid);
      }
    },
    isDying: () => engine.processIds(role).some((pid) => killed.has(pid)),
  };
}

const series = (count: number, value = "i") =>
  `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${count}) SELECT ${value} FROM c`;

async function makeTable(engine: SqliteDatabase): Promise<void> {
  await ask(engine, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
}

engineTest(
  "reads and writes find their process, and a read sees the writes answered before it",
  async (engine) => {
    await makeTable(engine);
    const before = engine.status().counters["handedOff"] ?? 0;
    for (let i = 1; i <= 20; i++) {
      const { end } = await ask(engine, "INSERT INTO t (a) VALUES (?)", { params: [i] });
      assertEquals(end, { changes: 1, lastInsertRowid: BigInt(i), rowCount: 0 });
      assertEquals((await ask(engine, "SELECT count(*), max(a) FROM t")).rows, [[i, i]]);
    }
    assertEquals(engine.processIds("writer").length, 1);
    assert(engine.processIds("reader").length >= 1);
    // Once a text is known to write, it goes to the writer at once.
    assertEquals(engine.status().counters["handedOff"]! - before, 1);
  },
);

engineTest("writes of many callers are each executed once and in one order", async (engine) => {
  await makeTable(engine);
  const ends = await Promise.all(
    Array.from(
      { length: 500 },
      (_, i) => ask(engine, "INSERT INTO t (a) VALUES (?) RETURNING id", { params: [i] }),
    ),
  );
  const ids = ends.map(({ rows }) => rows[0]![0] as number).sort((a, b) => a - b);
  assertEquals(ids, Array.from({ length: 500 }, (_, i) => i + 1));
  assertEquals((await ask(engine, "SELECT count(DISTINCT a) FROM t")).rows, [[500]]);
});

engineTest(
  "a write that fails does not touch the others that are committed with it",
  async (engine) => {
    await ask(engine, "CREATE TABLE u (a UNIQUE)");
    const outcomes = await Promise.allSettled(
      Array.from(
        { length: 100 },
        (_, i) => ask(engine, "INSERT INTO u VALUES (?)", { params: [i % 60] }),
      ),
    );
    assertEquals(
      outcomes.filter(({ status }) => status === "rejected").length,
      40,
    );
    assertEquals((await ask(engine, "SELECT count(*) FROM u")).rows, [[60]]);
  },
);

engineTest(
  "permissions: a statement that is cached for one caller is no way in for another",
  async (engine) => {
    await makeTable(engine);
    const insert = "INSERT INTO t (a) VALUES (1)";
    const select = "SELECT * FROM t";
    for (let i = 0; i < 3; i++) {
      await ask(engine, insert, { permissions: ["write"] });
      await ask(engine, select, { permissions: ["read"] });
      const denied = "permission_denied";
      assertEquals(await askError(engine, insert, { permissions: ["read"] }), denied);
      assertEquals(await askError(engine, insert, { permissions: ["read", "schema"] }), denied);
      assertEquals(await askError(engine, insert, { permissions: [] }), denied);
      assertEquals(await askError(engine, select, { permissions: ["write", "schema"] }), denied);
      assertEquals(await askError(engine, select, { permissions: [] }), denied);
      assertEquals(
        await askError(engine, "DROP TABLE t", { permissions: ["read", "write"] }),
        denied,
      );
      const returning = `${insert} RETURNING id`;
      assertEquals(await askError(engine, returning, { permissions: ["write"] }), denied);
      assertEquals(await askError(engine, "BEGIN"), "statement_not_allowed");
      assertEquals(await askError(engine, "VACUUM"), "statement_not_allowed");
      assertEquals(await askError(engine, "ATTACH 'x' AS x"), "statement_not_allowed");
    }
    assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[3]]);
  },
);

engineTest(
  "permissions: a schema that changes under a cached statement opens nothing",
  async (engine) => {
    await makeTable(engine);
    await ask(engine, "CREATE VIEW v AS SELECT 1 AS x");
    await ask(
      engine,
      "CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (1); END",
    );
    const read = { permissions: ["read"] } as const;
    assertEquals((await ask(engine, "SELECT x FROM v", read)).rows, [[1]]);
    assertEquals(await askError(engine, "INSERT INTO v VALUES (1)", read), "permission_denied");
    await ask(engine, "DROP VIEW v");
    await ask(engine, "CREATE VIEW v AS SELECT id AS x FROM t");
    assertEquals((await ask(engine, "SELECT x FROM v", read)).rows, []);
  },
);

engineTest(
  "a result of 200,000 rows streams whole, and of what is not asked for nothing is computed",
  async (engine) => {
    let pages = 0;
    let resume = () => {};
    const paused = new Promise<void>((resolve) => resume = resolve);
    let execution: Execution | undefined;
    const whole = ask(engine, series(200_000, "i, 'row ' || i"), {
      onStart: (started) => execution = started,
      onPage(started) {
        if (++pages === 3) resume();
        else if (pages !== 3) started.pull(1);
      },
    });
    await paused;
    // While the stream waits, its process serves others; had it gone on, its pages would come before their answers.
    for (let i = 0; i < 20; i++) await ask(engine, "SELECT ?", { params: [i] });
    assertEquals(pages, 3);
    execution!.pull(1);
    const { rows, end } = await whole;
    assertEquals([rows.length, end.rowCount], [200_000, 200_000]);
    assertEquals([rows[0], rows[123_456], rows.at(-1)], [
      [1, "row 1"],
      [123_457, "row 123457"],
      [200_000, "row 200000"],
    ]);
  },
);

engineTest("the memory of neither side grows with the result", async (engine) => {
  const residentBytes = () => {
    const sizes = [Deno.memoryUsage().rss];
    for (const pid of engine.processIds("reader")) {
      const status = Deno.readTextFileSync(`/proc/${pid}/status`);
      sizes.push(1024 * Number(/VmRSS:\s*(\d+)/.exec(status)![1]));
    }
    return sizes.reduce((sum, size) => sum + size, 0);
  };
  await ask(engine, series(20_000, "i, zeroblob(2000)"), { dropRows: true });
  const before = residentBytes();
  let most = 0;
  let pages = 0;
  await ask(engine, series(200_000, "i, zeroblob(2000)"), {
    dropRows: true,
    onPage(execution) {
      if (++pages % 50 === 0) most = Math.max(most, residentBytes());
      execution.pull(1);
    },
  });
  // 400 MB went through. A result that were held would show; what waits for the garbage collectors may.
  assert(most - before < 200e6, `${(most - before) / 1e6} MB more`);
});

for (
  const [what, sql] of [
    ["read", ENDLESS],
    ["write", `INSERT INTO t (a) ${ENDLESS}`],
  ] as const
) {
  engineTest(
    `a deadline ends a ${what} that never yields, and the next one works`,
    async (engine) => {
      await makeTable(engine);
      assertEquals(await askError(engine, sql, { deadlineMs: 50 }), "deadline_exceeded");
      await ask(engine, "INSERT INTO t (a) VALUES (1)");
      assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
    },
  );

  engineTest(
    `cancelling ends a ${what} that never yields, and the next one works`,
    async (engine) => {
      await makeTable(engine);
      const onStart = (execution: Execution) => {
        setTimeout(() => execution.cancel(), 40);
      };
      assertEquals(await askError(engine, sql, { onStart }), "cancelled");
      await ask(engine, "INSERT INTO t (a) VALUES (1)");
      assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[1]]);
    },
  );
}

engineTest(
  "what waits behind statements that never yield is answered before they end",
  async (engine) => {
    const executions: Execution[] = [];
    const onStart = (execution: Execution) => void executions.push(execution);
    const runaways = Array.from({ length: 4 }, () => askError(engine, ENDLESS, { onStart }));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => ask(engine, "SELECT ?", { params: [i] })),
    );
    assertEquals(answers.map(({ rows }) => rows[0]![0]), Array.from({ length: 100 }, (_, i) => i));
    for (const execution of executions) execution.cancel();
    assertEquals(new Set(await Promise.all(runaways)), new Set(["cancelled"]));
  },
);

engineTest(
  "a process that turned to a statement while it was given to another one does not stand there for ever",
  async (engine) => {
    const executions: Execution[] = [];
    const onStart = (execution: Execution) => void executions.push(execution);
    const runaways = Array.from({ length: 4 }, () => askError(engine, ENDLESS, { onStart }));
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => ask(engine, "SELECT ?", { params: [i] })),
    );
    for (const execution of executions) execution.cancel();
    const errors = await Promise.all(runaways);
    assert(errors.every((name) => ["cancelled", "engine_not_run"].includes(name)), `${errors}`);
  },
  // Everything that waits is taken away as soon as anything runs.
  { pool: { stuckMs: 0, tickMs: 1, orphanMsMax: 100 } },
);

engineTest(
  "a read sees the writes answered before it, however slowly another result is read",
  async (engine) => {
    await makeTable(engine);
    await ask(engine, `INSERT INTO t ${series(50_000, "i, zeroblob(100)")}`);
    let paused: Execution | undefined;
    const slow = askError(engine, "SELECT * FROM t", {
      onStart: (execution) => paused = execution,
      onPage() {},
    });
    for (let i = 1; i <= 3; i++) {
      await ask(engine, "INSERT INTO t (a) VALUES (1)");
      assertEquals((await ask(engine, "SELECT count(*) FROM t")).rows, [[50_000 + i]]);
      assertEquals((await ask(engine, "SELECT max(id) FROM t")).rows, [[50_000 + i]]);
    }
    paused!.cancel();
    assertEquals(await slow, "cancelled");
  },
  { pool: { readersMin: 1, readersMax: 1 } },
);

engineTest("writes that wait behind one that is killed are executed, once", async (engine) => {
  await makeTable(engine);
  // Known as writes before, so that they go the same way.
  await ask(engine, "INSERT INTO t (a) VALUES (?)", { params: [-1] });
  const endless = askError(engine, `INSERT INTO t (a) ${ENDLESS}`, { deadlineMs: 100 });
  const writes = Array.from(
    { length: 30 },
    (_, i) => ask(engine, "INSERT INTO t (a) VALUES (?)", { params: [i] }),
  );
  assertEquals(await endless, "deadline_exceeded");
  await Promise.all(writes);
  assertEquals((await ask(engine, "SELECT count(*), count(DISTINCT a) FROM t")).rows, [[31, 31]]);
});

engineTest(
  "a cancelled stream lets go of its process, and cancelling twice or late is harmless",
  async (engine) => {
    const killed = engine.status().counters["killed"] ?? 0;
    const errors: string[] = [];
    for (let i = 0; i < 30; i++) {
      errors.push(
        await askError(engine, series(1_000_000), {
          onPage(execution) {
            execution.cancel();
            execution.cancel();
          },
        }),
      );
    }
    assertEquals(new Set(errors), new Set(["cancelled"]));
    let late: Execution | undefined;
    await ask(engine, "SELECT 1", { onStart: (execution) => late = execution });
    late!.cancel();
    late!.pull(3);
    assertEquals((await ask(engine, "SELECT 2")).rows, [[2]]);
    assertEquals(engine.status().counters["killed"] ?? 0, killed);
  },
);

engineTest(
  "readers that are killed from outside are replaced; what had no row yet is run again",
  async (engine) => {
    const { kill } = killer(engine, "reader");
    for (let round = 0; round < 3; round++) {
      const answers = Array.from(
        { length: 40 },
        (_, i) => ask(engine, `${series(20_000, "i")} WHERE i > ?`, { params: [20_000 - i] }),
      );
      kill();
      const outcomes = await Promise.allSettled(answers);
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.status === "fulfilled") assertEquals(outcome.value.rows.length, i);
        else {
          // In mid-result, or never begun by any of the processes that were killed one after the other.
          const { codeName } = outcome.reason as SqpError;
          assert(["engine_failure", "engine_not_run"].includes(codeName), codeName);
        }
      }
      assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
    }
  },
);

folderTest(
  "a writer that is killed from outside loses no write that was answered and repeats none",
  async (folder) => {
    const database = join(folder, "w.db");
    const engine = await openSqliteEngine({ database });
    try {
      await ask(engine, "CREATE TABLE big (n, x)");
      const answered = new Set<number>();
      const unknown = new Set<number>();
      let next = 0;
      let killing = true;
      const client = async () => {
        while (killing) {
          const n = next++;
          try {
            // Large, so that most of the time is spent in the commit.
            await ask(engine, "INSERT INTO big VALUES (?, zeroblob(50000))", { params: [n] });
            answered.add(n);
          } catch (error) {
            if ((error as SqpError).codeName === "outcome_unknown") unknown.add(n);
            else assertEquals((error as SqpError).codeName, "engine_not_run");
          }
        }
      };
      const clients = Array.from({ length: 16 }, client);
      const { kill } = killer(engine, "writer");
      for (let i = 0; i < 8; i++) {
        await new Promise((resolve) => setTimeout(resolve, 130));
        kill();
      }
      killing = false;
      await Promise.all(clients);
      const { rows } = await ask(
        engine,
        "SELECT n, count(*) FROM big GROUP BY n",
      );
      const present = new Set(rows.map(([a]) => a as number));
      for (const [a, count] of rows) assertEquals(count, 1, `${a} was written ${count} times`);
      for (const n of answered) assert(present.has(n), `${n} was answered and is lost`);
      for (const n of present) assert(answered.has(n) || unknown.has(n));
      assert(answered.size > 5, `${answered.size} answered`);
    } finally {
      await engine.close();
    }
  },
);

engineTest(
  "a process that ends again and again makes commands fail instead of waiting",
  async (engine) => {
    let killing = true;
    const { kill, isDying } = killer(engine, "reader");
    const killed = (async () => {
      while (killing) {
        kill();
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    const outcome = await askError(engine, ENDLESS, { deadlineMs: 20_000 });
    killing = false;
    await killed;
    // The end of the last one is another one in a row.
    while (isDying()) await new Promise((resolve) => setTimeout(resolve, 5));
    assert(["engine_failure", "engine_not_run"].includes(outcome), outcome);
    assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
  },
  { pool: { restartMsMax: 50, crashesMax: 3 } },
);

engineTest("beyond the queue's limit commands are refused at once", async (engine) => {
  const all = await Promise.allSettled(
    Array.from({ length: 40 }, () => ask(engine, ENDLESS, { deadlineMs: 300 })),
  );
  const names = all.map((outcome) =>
    outcome.status === "rejected" ? (outcome.reason as SqpError).codeName : "?"
  );
  assert(names.includes("overloaded"));
  assertEquals(new Set(names), new Set(["overloaded", "deadline_exceeded"]));
  assertEquals((await ask(engine, "SELECT 1")).rows, [[1]]);
  assertEquals(engine.status().queued, 0);
}, { pool: { queueMax: 10, readersMax: 2 } });

engineTest(
  "a result that is not read for too long is given up, and so is a page that takes too long",
  async (engine) => {
    assertEquals(await askError(engine, series(1_000_000), { onPage() {} }), "deadline_exceeded");
    assertEquals(await askError(engine, ENDLESS), "deadline_exceeded");
    assertEquals((await ask(engine, series(200_000), { dropRows: true })).end.rowCount, 200_000);
  },
  { pool: { stallMsMax: 100, pageMsMax: 300 } },
);

engineTest("status counts what waits, runs and is up, and comes to rest", async (engine) => {
  const running = askError(engine, ENDLESS, { deadlineMs: 200 });
  await ask(engine, "SELECT 1");
  assertEquals(engine.status().running, 1);
  await running;
  await ask(engine, "SELECT 1");
  while (engine.status().running > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(engine.status().queued, 0);
});

Deno.test({
  name: "closing ends what runs, even what never yields, and answers it",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    const engine = await openSqliteEngine({ database: ":memory:", pool: { closeMs: 50 } });
    await makeTable(engine);
    const reads = [askError(engine, ENDLESS), askError(engine, ENDLESS)];
    const write = askError(engine, `INSERT INTO t (a) ${ENDLESS}`);
    await ask(engine, "SELECT 1");
    await engine.close();
    assertEquals(await Promise.all(reads), ["shutting_down", "shutting_down"]);
    assertEquals(await write, "shutting_down");
    assertEquals(await askError(engine, "SELECT 1"), "shutting_down");
    await engine.close();
  },
});

folderTest("the file is a write-ahead-logged database that others can open", async (folder) => {
  const database = join(folder, "d.db");
  const engine = await openSqliteEngine({ database });
  await makeTable(engine);
  await ask(engine, "INSERT INTO t (a) VALUES ('kept')");
  assertEquals((await ask(engine, "PRAGMA journal_mode")).rows, [["wal"]]);
  await engine.close();
  const again = await openSqliteEngine({ database, synchronous: "normal" });
  assertEquals((await ask(again, "SELECT a FROM t")).rows, [["kept"]]);
  await again.close();
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["d.db"]);
});

folderTest("a symbolic link leads to its file", async (folder) => {
  makeLink(join(folder, "real.db"), join(folder, "link.db"));
  await Deno.writeFile(join(folder, "real.db"), new Uint8Array());
  const engine = await openSqliteEngine({ database: join(folder, "link.db") });
  await makeTable(engine);
  await engine.close();
  assert(Deno.statSync(join(folder, "real.db")).size > 0);
});

folderTest("what is no database is a typed error when it is opened", async (folder) => {
  const refused = async (database: string) =>
    (await assertRejects(() => openSqliteEngine({ database }), SqpError)).codeName;
  const garbage = join(folder, "garbage.db");
  await Deno.writeTextFile(garbage, "this is not a database. ".repeat(1_000));
  assertEquals(await refused(garbage), "not_a_database");
  assertEquals(await refused(join(folder, "missing", "x.db")), "database_io");
  assertEquals(await refused(folder), "database_io");
  assertEquals(await refused(join(folder, "a,b.db")), "bad_configuration");
});

folderTest(
  "a private temporary database is gone at the end, and the server's end ends its processes",
  async (folder) => {
    const script = join(folder, "server.ts");
    const engineUrl = new URL("../../src/query/sqlite/sqlite_engine.ts", import.meta.url).href;
    const harnessUrl = new URL("./query_harness.ts", import.meta.url).href;
    await Deno.writeTextFile(
      script,
      `
    import { openSqliteEngine } from ${JSON.stringify(engineUrl)};
    import { ask, ENDLESS } from ${JSON.stringify(harnessUrl)};
    const engine = await openSqliteEngine({ database: ":memory:" });
    ask(engine, ENDLESS).catch(() => {});
    await ask(engine, "SELECT 1");
    const pids = [...engine.processIds("writer"), ...engine.processIds("reader")];
    console.log(JSON.stringify(pids));
  `,
    );
    const server = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--config",
        new URL("../../deno.json", import.meta.url).pathname,
        `--allow-run=${Deno.execPath()}`,
        "--allow-read",
        "--allow-write",
        script,
      ],
      env: { TMPDIR: folder },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const reader = server.stdout.getReader();
    const { value } = await reader.read();
    const pids: number[] = JSON.parse(new TextDecoder().decode(value));
    assert(pids.length >= 2);
    server.kill("SIGKILL");
    await server.status;
    await reader.cancel();
    await server.stderr.cancel();
    const alive = (pid: number) => {
      try {
        // A process that ended and that nobody waits for stays as a zombie.
        return !/^State:\s*Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
      } catch {
        return false;
      }
    };
    const left = () => [...Deno.readDirSync(folder)].map(({ name }) => name);
    while (left().length > 1 || (CAN_READ_PROC && pids.some(alive))) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assertEquals(left(), ["server.ts"]);
  },
);

Deno.test({
  name: "an engine with the default limits",
  ignore: CANNOT_RUN_PROCESSES,
  async fn() {
    const engine = await openSqliteEngine({ database: ":memory:" });
    try {
      // Not steps: one may leave a process that replaces another, and only all of them together leave nothing.
      for (const { name, ignore, fn } of shared) {
        if (ignore) continue;
        try {
          await fn(engine);
          const { rows } = await ask(
            engine,
            "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'",
          );
          for (const [type, table] of rows) await ask(engine, `DROP ${type} ${table}`);
        } catch (error) {
          throw new Error(name, { cause: error });
        }
      }
    } finally {
      await engine.close();
    }
  },
});
