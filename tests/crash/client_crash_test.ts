// Clients are killed at random moments while they write with keys, and others send everything again: each write is
// there once, and whoever asks is given the same outcome.

import { connect } from "../../src/client/mod.ts";
import { LIVE_PERMISSIONS, TemporaryFolder } from "../harness/live_server.ts";
import { testWith } from "../harness/permissions.ts";
import { PostgresServer, whyNoPostgres } from "../harness/postgres_server.ts";
import { Random } from "../harness/random.ts";
import { ServerProcess } from "../harness/server_process.ts";
import { clientAccess, DIALECTS } from "./access.ts";
import { surviveKilledProcesses } from "./killed_process.ts";
import { roundCount } from "./load.ts";
import { ownerOptions } from "./server.ts";

/** Kills clients of a server of this database. */
async function killClients(dialect: keyof typeof DIALECTS, database: string): Promise<void> {
  await using folder = new TemporaryFolder();
  await using server = await ServerProcess.start(
    ["--certs", `${folder.path}/certs`, "--database", database],
    { cwd: folder.path },
  );
  await using client = await connect(server.url, ownerOptions(folder.path));
  await surviveKilledProcesses({
    ...{ random: new Random(3), rounds: roundCount(4, 100) },
    target: { kind: "client", url: server.url, folder: folder.path, dialect },
    access: clientAccess(client, DIALECTS[dialect], new AbortController().signal),
  });
  // In order it would end only after it has waited for clients that are gone.
  server.signal("SIGKILL");
}

testWith(
  { permissions: LIVE_PERMISSIONS },
  "SQLite: clients are killed again and again, and what another one sends again is done once",
  () => killClients("sqlite", "w.sqlite"),
);

const why = whyNoPostgres();

testWith(
  { permissions: LIVE_PERMISSIONS, unless: () => why !== undefined },
  "PostgreSQL: clients are killed again and again, and what another one sends again is done once" +
    (why === undefined ? "" : ` (not here: ${why})`),
  async () => {
    await using postgres = await PostgresServer.start();
    await postgres.makeDatabase("own");
    await killClients("postgres", postgres.url("own"));
  },
);
