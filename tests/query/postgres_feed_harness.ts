// Change feeds of PostgreSQL are tested with both ways in which changes come into the log.

import { assertEquals } from "@std/assert";
import type { Engine } from "../../src/query/engine.ts";
import {
  openPostgresEngine,
  type PostgresEngineOptions,
} from "../../src/query/postgres/postgres_engine.ts";
import { CAPTURES, PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { ask } from "./query_harness.ts";

/** A way in which changes come into the log. */
export type CaptureName = keyof typeof CAPTURES;

/** All of them. */
export const CAPTURE_NAMES = Object.keys(CAPTURES) as CaptureName[];

/** Where a test of feeds runs. */
export interface FeedTestPlace {
  readonly server: PostgresServer;
  readonly capture: CaptureName;
}

/** What a test of feeds has beside its name. */
export interface FeedTestOptions {
  readonly limits?: PostgresEngineOptions["limits"];
  readonly feeds?: PostgresEngineOptions["feeds"];
  /** The ways that it is for: by default all. */
  readonly captures?: readonly CaptureName[];
}

/** A test with an engine on a new database, once for each way to capture changes. */
export type FeedTest = (
  name: string,
  run: (engine: Engine, place: FeedTestPlace) => Promise<void>,
  options?: FeedTestOptions,
) => void;

const why = whyNoPostgres();

/** The name of a test, which says how changes are captured, and why it does not run here. */
export function feedTestName(name: string, capture: CaptureName): string {
  return `PostgreSQL (${capture}): ${name}${why === undefined ? "" : ` (not here: ${why})`}`;
}

/** How changes come into the log of a server's database. */
export async function captureOf(server: PostgresServer): Promise<unknown> {
  const sql = server.connect("feeds");
  const [row] = await sql`select capture from sqp_feeds.log`;
  await sql.end();
  return row!["capture"];
}

/** A database server for each way to capture changes, while the tests of a file run. */
export function captureServers(
  used: readonly CaptureName[] = CAPTURE_NAMES,
): ReadonlyMap<CaptureName, PostgresServer> {
  const servers = new Map<CaptureName, PostgresServer>();
  if (why === undefined) {
    Deno.test.beforeAll(async () => {
      for (const capture of used) {
        servers.set(capture, await PostgresServer.start(CAPTURES[capture]));
      }
    });
    Deno.test.afterAll(async () => {
      for (const server of servers.values()) await server[Symbol.asyncDispose]();
    });
  }
  return servers;
}

/** Defines tests that have such servers. */
export function feedTests(
  schema: string,
  used: readonly CaptureName[] = CAPTURE_NAMES,
): FeedTest {
  const servers = captureServers(used);
  return (name, run, { limits = {}, feeds = {}, captures = used } = {}) => {
    for (const capture of captures) {
      Deno.test({
        name: feedTestName(name, capture),
        ignore: why !== undefined,
        async fn() {
          const server = servers.get(capture)!;
          await server.makeDatabase("feeds");
          const engine = await openPostgresEngine({ url: server.url("feeds"), limits, feeds });
          try {
            await ask(engine, schema);
            await run(engine, { server, capture });
            assertEquals(await captureOf(server), capture);
          } finally {
            await engine.close();
          }
        },
      });
    }
  };
}
