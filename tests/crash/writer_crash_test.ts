// The process that writes to SQLite is killed at random moments of a load of writes: every write that was answered is
// there, none is there twice, and what has a key is answered in the end.

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import type { EngineSession } from "../../src/query/engine.ts";
import type { SqliteDatabase } from "../../src/query/sqlite/options.ts";
import { openSqliteEngine } from "../../src/query/sqlite/sqlite_engine.ts";
import { decodeBatchResponse } from "../../src/wire/batch_payload.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { pause, TemporaryFolder } from "../harness/live_server.ts";
import { Random } from "../harness/random.ts";
import { ALL, ask, askIn, CANNOT_KILL, killProcess, replied } from "../query/query_harness.ts";
import {
  COUNT_WRITES,
  crashCount,
  INSERT,
  Ledger,
  MAKE_TABLE,
  PARTS,
  type Writer,
} from "./ledger.ts";

const WRITERS = 8;

/** Writes through a session of the engine. */
function writerOf(session: EngineSession): Writer {
  return {
    insert: async (n, key) =>
      (await askIn(session, INSERT, {
        params: [n, 0],
        ...(key !== undefined && { idempotencyKey: key }),
      })).rows,
    async batch(n, idempotencyKey) {
      const steps = PARTS.map((part) => ({
        sql: INSERT,
        params: encodeParams([n, part]),
        conditions: [],
        mayFail: false,
      }));
      const { payload } = await replied<{ payload: Uint8Array }>((reply) =>
        session.batch({ steps, idempotencyKey }, reply)
      );
      return decodeBatchResponse(payload);
    },
    async transaction(n) {
      const transaction = session.begin({ readOnly: false }, { onEnd() {}, onError() {} });
      const inserted = PARTS.map((part) => askIn(transaction, INSERT, { params: [n, part] }));
      const committed = replied<void>((reply) => transaction.commit(reply));
      await Promise.allSettled(inserted);
      await committed;
    },
  };
}

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
    const random = new Random(1);
    const engine = await openSqliteEngine({ database: join(folder.path, "w.db") });
    try {
      await ask(engine, MAKE_TABLE);
      const ledger = new Ledger();
      const writers = Array.from({ length: WRITERS }, () => {
        const caller = { principal: "writer", permissions: new Set(ALL) };
        const writer = writerOf(engine.open(caller));
        return ledger.write(() => Promise.resolve(writer), random.fork());
      });
      const killed = new Set<number>();
      for (let round = 0; round < crashCount(); round++) {
        await pause(random.integer(20, 250));
        await killWriter(engine, killed);
      }
      ledger.stop();
      await Promise.all(writers);
      ledger.check((await ask(engine, COUNT_WRITES)).rows as [number, number, number][]);
      assertEquals(killed.size, crashCount());
      // deno-lint-ignore no-console
      console.log(`${killed.size} kills of the writer: ${ledger.summary()}`);
    } finally {
      await engine.close();
    }
  },
});
