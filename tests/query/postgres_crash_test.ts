// Writes with keys while connections, backends, the database server and the engine's process are killed: every answered
// write is there, and none twice. `SQP_LONG` has it go on for two hundred rounds.

import { assert } from "@std/assert";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { granted } from "../harness/permissions.ts";
import { Random } from "../harness/random.ts";
import { assertOnce, MAKE_WRITES, writeOnce } from "./keyed_writer.ts";
import { ask, CANNOT_RUN_PROCESSES, killProcess } from "./query_harness.ts";

const WRITERS = 6;

const why = whyNoPostgres() ??
  (CANNOT_RUN_PROCESSES || !granted({ name: "run", command: "kill" })
    ? "a permission is missing"
    : undefined);
const isLong = granted({ name: "env", variable: "SQP_LONG" }) && Deno.env.get("SQP_LONG") === "1";
const ROUNDS = isLong ? 200 : 4;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A test with a database server of its own. */
function crashTest(
  name: string,
  fn: (server: PostgresServer, random: Random) => Promise<void>,
): void {
  Deno.test({
    name: `PostgreSQL: ${name}${why === undefined ? "" : ` (not here: ${why})`}`,
    ignore: why !== undefined,
    async fn() {
      await using server = await PostgresServer.start();
      await server.makeDatabase("own");
      await fn(server, new Random(7));
    },
  });
}

crashTest(
  "sessions and the database server are killed at random moments",
  async (server, random) => {
    const engine = await openPostgresEngine({
      url: server.url("own"),
      limits: { retryMs: 10, retryMsMax: 50 },
    });
    try {
      await ask(engine, MAKE_WRITES);
      const next = Array.from({ length: WRITERS }, () => 0);
      let isOver = false;
      const writers = next.map(async (_, writer) => {
        while (!isOver) {
          await writeOnce(engine, writer, next[writer]!);
          next[writer]!++;
        }
      });
      // A writer that fails ends the test at once.
      const failed = Promise.all(writers);
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.race([failed, pause(random.integer(50, 300))]);
        if (round % 4 === 3) {
          await server.crash();
          await server.restart();
        } else if (round % 4 === 2) {
          // All sessions end where one of them is killed so.
          const [backend] = await server.backends("sqp");
          if (backend !== undefined) killProcess(backend);
        } else await server.terminate("sqp");
      }
      await pause(300);
      isOver = true;
      await failed;
      await assertOnce(engine, next);
      assert(next.every((count) => count > 0), `${next}`);
    } finally {
      await engine.close();
    }
  },
);

crashTest("the engine's process is killed at random moments", async (server, random) => {
  const url = server.url("own");
  const engine = await openPostgresEngine({ url });
  try {
    await ask(engine, MAKE_WRITES);
    const next = Array.from({ length: WRITERS }, () => 0);
    for (let round = 0; round < ROUNDS; round++) {
      await writeAndKill(url, next, random);
      await assertOnce(engine, next);
    }
    assert(next.every((count) => count > 0), `${next}`);
  } finally {
    await engine.close();
  }
});

/** Has a process write on from these numbers, and kills it some time after every writer was answered once. */
async function writeAndKill(url: string, next: number[], random: Random): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--allow-read", "--allow-net=127.0.0.1"],
      "--allow-env=PGAPPNAME,PGTARGETSESSIONATTRS",
      new URL("./postgres_writer.ts", import.meta.url).pathname,
      ...[url, ...next.map(String)],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const answered = new Set<number>();
  let text = "";
  let isKilled = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (text + value).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      const [writer, n] = line.split(" ").map(Number) as [number, number];
      next[writer] = n + 1;
      answered.add(writer);
    }
    if (answered.size < next.length || isKilled) continue;
    isKilled = true;
    setTimeout(() => child.kill("SIGKILL"), random.integer(0, 60));
  }
  await child.status;
}
