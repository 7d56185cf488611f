// Tests of an engine on an empty database of PostgreSQL, where the machine has it.

import type { Engine } from "../../src/query/engine.ts";
import { openPostgresEngine } from "../../src/query/postgres/postgres_engine.ts";
import type { PostgresLimits } from "../../src/query/postgres/settings.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";

/** A test with an engine on an empty database, `own`. */
export type PostgresTest = (
  name: string,
  fn: (engine: Engine, server: PostgresServer) => Promise<void>,
  limits?: Partial<PostgresLimits>,
) => void;

/** Has a database server while the tests of a file run: those that this defines. */
export function postgresTests(): PostgresTest {
  const why = whyNoPostgres();
  let server: PostgresServer | undefined;
  if (why === undefined) {
    Deno.test.beforeAll(async () => void (server = await PostgresServer.start()));
    Deno.test.afterAll(async () => await server?.[Symbol.asyncDispose]());
  }
  return (name, fn, limits = {}) =>
    Deno.test({
      name: `PostgreSQL: ${name}${why === undefined ? "" : ` (not here: ${why})`}`,
      ignore: why !== undefined,
      async fn() {
        await server!.makeDatabase("own");
        const engine = await openPostgresEngine({ url: server!.url("own"), limits });
        try {
          await fn(engine, server!);
        } finally {
          await engine.close();
        }
      },
    });
}
