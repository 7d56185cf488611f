// The process that writes to SQLite is killed at random moments of a load of writes: every write that was answered is
// there, none is there twice, what has a key is answered in the end, and change feeds have every change once and in
// order.

import { join } from "node:path";
import type { SqliteDatabase } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { pause, TemporaryFolder } from "../harness/live_server.ts";
import { Random } from "../harness/random.ts";
import { CANNOT_KILL, killProcess } from "../query/query_harness.ts";
import { DIALECTS, engineAccess } from "./access.ts";
import { roundCount, survive } from "./load.ts";

/** Kills the writer, once it is up. */
async function killWriter(engine: SqliteDatabase, killed: Set<number>): Promise<void> {
  for (;;) {
    const pid = engine.processIds("writer").find((pid) => !killed.has(pid));
    if (pid === undefined) await pause(5);
    else {
      killed.add(pid);
      return killProcess(pid);
    }
  }
}

Deno.test({
  name: "the writing process is killed again and again, and no write is lost or done twice",
  ignore: CANNOT_KILL,
  async fn() {
    await using folder = new TemporaryFolder();
    const engine = await openSqliteEngine({ database: join(folder.path, "w.db") });
    try {
      const access = engineAccess(engine, DIALECTS.sqlite);
      const killed = new Set<number>();
      await survive({
        ...{ random: new Random(1), rounds: roundCount(3, 100), pauseMsMax: 150 },
        ready: () => Promise.resolve(access),
        async kill() {
          await killWriter(engine, killed);
          return "the writer";
        },
      });
    } finally {
      await engine.close();
    }
  },
});
