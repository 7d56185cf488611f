// What is done differently where a database is spread over several servers, on one that looks as if it were.

import { assertEquals } from "@std/assert";
import type { Engine, Permission } from "../../src/query/engine.ts";
import { AskedSession } from "./asked_session.ts";
import { postgresTests } from "./postgres_harness.ts";
import { ask } from "./query_harness.ts";

const postgresTest = postgresTests();

/** One connection, so that whatever comes next has the one of before. */
const ONE = { connectionsMax: 1 };

/** The process that answers a principal. */
async function processOf(engine: Engine, principal: string): Promise<unknown> {
  return (await ask(engine, "SELECT pg_backend_pid()", { principal })).rows[0]![0];
}

for (const isDistributed of [false, true]) {
  const what = isDistributed ? "closed where a reset does not reach all of it" : "reset and kept";
  postgresTest(`before another principal gets a session it is ${what}`, async (engine, server) => {
    if (isDistributed) await server.distribute("own");
    const first = await processOf(engine, "a");
    assertEquals(await processOf(engine, "a"), first);
    assertEquals(await processOf(engine, "b") !== first, isDistributed);
  }, ONE);
}

for (
  const [who, permissions, isTogether] of [
    ["cannot write", ["read"], true],
    ["could write, which other servers would not refuse, do not", ["read", "write"], false],
  ] as const satisfies readonly [string, readonly Permission[], boolean][]
) {
  postgresTest(
    `short queries of several servers run together: those of who ${who}`,
    async (engine, server) => {
      await server.distribute("own");
      const session = new AskedSession(engine, "reader", permissions);
      const rows = () => session.rows("SELECT 1");
      await rows();
      const all = await Promise.all(Array.from({ length: 20 }, rows));
      assertEquals(all, Array.from({ length: 20 }, () => [[1]]));
      assertEquals((engine.status().counters["together"] ?? 0) > 0, isTogether);
    },
    { ...ONE, shortMsMax: 60_000, togetherMsMax: 60_000 },
  );
}
