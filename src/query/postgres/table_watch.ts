// How the changes of a table come to be kept: the log is made, and has the table's changes captured.

import { SqpError } from "../../wire/errors.ts";
import type { UnsupportedTable, WatchedTable, WatchOutcome } from "../feed_backend.ts";
import type { Ask, ChangeCapture } from "./change_capture.ts";
import { findShardedTables, isWorker } from "./distribution.ts";
import {
  changeLogSchema,
  HEAD,
  LIMIT_LOCK_TIME,
  LOG_CAPTURE,
  LOG_EXISTS,
  NOTE_REPLACED,
  WATCH_LOCK,
} from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";
import type { RowShapes } from "./row_shapes.ts";

// These run as the login of all permissions: a function is named with its schema, lest somebody else's suits better,
// and a table of another owner is not read, as its rows could be made to run what that one wants.

const TABLE_FACTS = `SELECT c.oid, c.oid::regclass::text, c.relkind, c.relpersistence,
    c.relrowsecurity, pg_catalog.has_table_privilege($2::name, c.oid, 'SELECT'),
    sqp_feeds.shape(c.oid), w.shape IS NOT DISTINCT FROM sqp_feeds.shape(c.oid)
      AND w.table_name = c.oid::regclass::text,
    pg_catalog.pg_has_role(c.relowner, 'USAGE')
  FROM pg_catalog.pg_class c LEFT JOIN sqp_feeds.watched w ON w.relid = c.oid
  WHERE c.oid = pg_catalog.to_regclass($1::text)`;

const FORGET_OTHER_NAMES =
  "DELETE FROM sqp_feeds.watched WHERE relid = $2::oid AND table_name <> $1::text";

/** With what tables are watched. */
export interface WatchHost {
  readonly connection: PostgresConnection;
  readonly shapes: RowShapes;
  /** The way to capture changes that a log which is made now has. Rejects with `SqpError`. */
  choose(): Promise<ChangeCapture>;
  /** The way that a log has. */
  captureOf(name: string | null): ChangeCapture;
}

/** Tables that are watched, by their names, and how their changes come into the log. */
export interface Watching {
  readonly names: readonly string[];
  readonly capture: ChangeCapture;
}

/** Keeps the changes of tables that a role may read from now on. Throws {@linkcode SqpError}. */
export async function watchTables(
  host: WatchHost,
  tables: readonly string[],
  role: string,
): Promise<Watching | { readonly unsupported: readonly UnsupportedTable[] }> {
  const { connection } = host;
  await connection.values("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  await connection.values(LIMIT_LOCK_TIME);
  await connection.values(`SELECT pg_catalog.pg_advisory_xact_lock(${WATCH_LOCK})`);
  const sharded = await findShardedTables(asker(connection), tables, role);
  const watching = sharded.length > 0
    ? { unsupported: sharded.map(refuseSharded) }
    : await watchAll(host, tables, role);
  await connection.values("unsupported" in watching ? "ROLLBACK" : "COMMIT");
  return watching;
}

const asker = (connection: PostgresConnection): Ask => (sql, parameters = []) =>
  connection.values(sql, parameters);

/** Nothing of its log, nor a trigger, would tell what happens there. */
function refuseSharded(name: string): UnsupportedTable {
  const why =
    `The table ${name} is distributed: its rows change in its shards, which feeds do not see.`;
  return { missing: false, why };
}

async function watchAll(
  host: WatchHost,
  tables: readonly string[],
  role: string,
): Promise<Watching | { readonly unsupported: readonly UnsupportedTable[] }> {
  const capture = await openLog(host);
  const names: string[] = [];
  const unsupported: UnsupportedTable[] = [];
  for (const table of tables) {
    const name = await watchOne({ ...host, capture }, table, role);
    if (typeof name === "string") names.push(name);
    else unsupported.push(name);
  }
  return unsupported.length > 0 ? { unsupported } : { names, capture };
}

/** How changes come into the log, which is made where there is none. */
async function openLog({ connection, choose, captureOf }: WatchHost): Promise<ChangeCapture> {
  const [exists] = await connection.values(LOG_EXISTS);
  if (exists![0] === "t") {
    const [row] = await connection.values(LOG_CAPTURE);
    return captureOf(row![0]!);
  }
  if (await isWorker(asker(connection))) {
    const message =
      "Of a distributed database only the coordinator tells changes, those of its own tables.";
    throw new SqpError("feed_not_supported", { message });
  }
  const capture = await choose();
  for (const sql of changeLogSchema(capture.schema)) await connection.values(sql);
  return capture;
}

async function watchOne(
  host: Pick<WatchHost, "connection" | "shapes"> & { readonly capture: ChangeCapture },
  table: string,
  role: string,
  lockedOid?: string,
): Promise<string | UnsupportedTable> {
  const { connection, shapes, capture } = host;
  const [facts] = await connection.values(TABLE_FACTS, [table, role]);
  if (facts === undefined) return { missing: true, why: `There is no table ${table}.` };
  const [oid, name, kind, persistence, hasRowSecurity, isReadable, shape, isWatched, isOwned] =
    facts as string[];
  if (isReadable !== "t") {
    throw new SqpError("permission_denied", { message: `The table ${name} may not be read.` });
  }
  if (kind !== "r" || persistence === "t" || name!.startsWith("sqp_feeds.")) {
    return { missing: false, why: `${name} is no ordinary table.` };
  }
  if (isOwned !== "t") {
    return { missing: false, why: `The table ${name} belongs to another role than the log does.` };
  }
  if (hasRowSecurity === "t") {
    return { missing: false, why: `The table ${name} has row security, which feeds do not apply.` };
  }
  const { keys, columns } = shapes.of(shape!);
  if (keys.length === 0) {
    return { missing: false, why: `The table ${name} has no primary key.` };
  }
  const why = await capture.refusal(connection, oid!, name!);
  if (why !== undefined) return { missing: false, why };
  if (isWatched === "t") return name!;
  if (oid !== lockedOid) {
    // What was read so far may have changed before this.
    await connection.values(`LOCK TABLE ONLY ${name} IN SHARE ROW EXCLUSIVE MODE`);
    return await watchOne(host, table, role, oid);
  }
  await capture.capture(connection, {
    ...{ oid: oid!, name: name!, keys: keys.map((key) => columns[key]!.name) },
  });
  // Feeds of what had this name, or of this table by another one, would be told of something else from here on.
  for (const sql of [NOTE_REPLACED, FORGET_OTHER_NAMES, capture.watchSql]) {
    await connection.values(sql, [name!, oid!]);
  }
  return name!;
}

/** What the log says of tables that are watched. Throws {@linkcode SqpError}. */
export async function watchOutcome(
  connection: PostgresConnection,
  names: readonly string[],
  shapes: RowShapes,
): Promise<WatchOutcome> {
  const [head] = await connection.values(HEAD);
  const [logId, headId, headAtMs] = head as string[];
  const rows = await connection.values(
    "SELECT table_name, shape, since_id, shape_since_id FROM sqp_feeds.watched WHERE shape IS NOT NULL",
  );
  const watched = new Map(rows.map((row) => [row[0]!, row]));
  const tables = names.map((name): WatchedTable => {
    const row = watched.get(name);
    // Dropped or renamed since the commit.
    if (row === undefined) {
      throw new SqpError("unknown_table", { message: `There is no table ${name}.` });
    }
    const [, shape, sinceId, shapeSinceId] = row;
    const { columns, keys } = shapes.of(shape!);
    return {
      ...{ name, columns, keys, shape: shape! },
      ...{ sinceId: Number(sinceId), shapeSinceId: Number(shapeSinceId) },
    };
  });
  return { logId: logId!, headId: Number(headId), headAtMs: Number(headAtMs), tables };
}
