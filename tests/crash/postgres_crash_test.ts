// Sessions of PostgreSQL, its server, and the process of the engine are killed at random moments of a load of writes:
// every write that was answered is there, none is there twice, what has a key is answered in the end, and change feeds
// have every change once and in order.

import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import { granted } from "../harness/permissions.ts";
import { CAPTURES, PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { Random } from "../harness/random.ts";
import { CAPTURE_NAMES, type CaptureName } from "../query/postgres_feed_harness.ts";
import { CANNOT_RUN_PROCESSES, killProcess } from "../query/query_harness.ts";
import { DIALECTS, engineAccess } from "./access.ts";
import { surviveKilledProcesses } from "./killed_process.ts";
import { roundCount, survive } from "./load.ts";

const why = whyNoPostgres() ??
  (CANNOT_RUN_PROCESSES || !granted({ name: "run", command: "kill" })
    ? "a permission is missing"
    : undefined);

/** A test with a database server of its own, for each way to capture changes. */
function crashTest(
  name: string,
  fn: (server: PostgresServer, random: Random, capture: CaptureName) => Promise<void>,
): void {
  for (const capture of CAPTURE_NAMES) {
    Deno.test({
      name: `PostgreSQL (${capture}): ${name}${why === undefined ? "" : ` (not here: ${why})`}`,
      ignore: why !== undefined,
      async fn() {
        await using server = await PostgresServer.start(CAPTURES[capture]);
        await server.makeDatabase("own");
        await fn(server, new Random(7), capture);
      },
    });
  }
}

/** Kills something of the database. */
async function killIn(server: PostgresServer, round: number): Promise<string> {
  if (round % 4 === 3) {
    await server.crash();
    await server.restart();
    return "the database server";
  }
  // All sessions end where one of them is killed so.
  const [backend] = round % 4 === 2 ? await server.backends("sqp") : [];
  if (backend === undefined) {
    await server.terminate("sqp");
    return "all sessions";
  }
  killProcess(backend);
  return "a session's process";
}

crashTest(
  "sessions and the database server are killed at random moments",
  async (server, random, capture) => {
    const engine = await openPostgresEngine({
      url: server.url("own"),
      limits: { retryMs: 10, retryMsMax: 50 },
      feeds: { pollMs: 100 },
    });
    try {
      const access = engineAccess(engine, DIALECTS.postgres);
      await survive({
        ...{ random, rounds: roundCount(4, 200), pauseMsMax: 300 },
        // The server's log is decoded again from where the slot stood 15 s before, at least: of a server that is killed
        // more often than that, from the first round on.
        ...(capture === "decoding" && { toldMsMax: 60_000 }),
        ready: () => Promise.resolve(access),
        kill: (round) => killIn(server, round),
      });
    } finally {
      await engine.close();
    }
  },
);

crashTest("the engine's process is killed at random moments", async (server, random) => {
  const url = server.url("own");
  const engine = await openPostgresEngine({ url });
  try {
    await surviveKilledProcesses({
      ...{ random, rounds: roundCount(4, 200) },
      target: { kind: "engine", url },
      access: engineAccess(engine, DIALECTS.postgres),
    });
  } finally {
    await engine.close();
  }
});
