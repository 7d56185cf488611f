// `deno task sqllogictest FILE ... [--database postgres://...]`: scripts of sqllogictest through a client and a server
// over UDP on this machine, each on an empty database. Without --database that is one of SQLite.

// deno-lint-ignore-file no-console -- printing is what it is for

import { parseArgs } from "@std/cli/parse-args";
import type { Client } from "../../src/client/mod.ts";
import { LiveServer } from "../harness/live_server.ts";
import { runScript, type ScriptOutcome } from "./run_script.ts";
import { readScript } from "./script.ts";

/** Failures that are printed of one script. */
const SHOWN_FAILURES = 10;

/** What a PostgreSQL database has in the schema that scripts write to, with the word that drops it. */
const RELATIONS = `
  select case relkind when 'v' then 'view' else 'table' end, quote_ident(relname)
  from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')`;

/** Runs a script on a database that is empty before and after. */
async function runFile(path: string, database: string | undefined): Promise<ScriptOutcome> {
  const isPostgres = database !== undefined;
  const records = readScript(await Deno.readTextFile(path), isPostgres ? "postgresql" : "sqlite");
  await using server = await LiveServer.start(isPostgres ? { database } : {});
  await using client = await server.connect();
  if (!isPostgres) return await runScript(client, records);
  const { rows } = await client.execute(RELATIONS);
  if (rows.length > 0) {
    throw new Error("the database is not empty: it has to be one for this alone");
  }
  try {
    return await runScript(client, records);
  } finally {
    await dropRelations(client);
  }
}

async function dropRelations(client: Client): Promise<void> {
  const { rows } = await client.execute(RELATIONS);
  for (const [kind, name] of rows) await client.execute(`drop ${kind} if exists ${name} cascade`);
}

const { _: files, ...options } = parseArgs(Deno.args, { string: ["database"] });
const database = options["database"] as string | undefined;
if (files.length === 0) {
  console.error("usage: deno task sqllogictest FILE ... [--database postgres://...]");
  Deno.exit(2);
}
let passed = 0;
let failed = 0;
for (const path of files.map(String)) {
  const start = performance.now();
  const outcome = await runFile(path, database);
  const seconds = ((performance.now() - start) / 1_000).toFixed(1);
  passed += outcome.passed;
  failed += outcome.failures.length;
  console.log(
    `${path}: ${outcome.passed} passed, ${outcome.failures.length} failed (${seconds} s)`,
  );
  for (const { line, message } of outcome.failures.slice(0, SHOWN_FAILURES)) {
    console.log(`  line ${line}: ${message}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);
