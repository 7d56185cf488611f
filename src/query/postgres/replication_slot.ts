// The replication slot from which the log of changes is written: the server keeps its own log for it from where it was
// confirmed last. A slot that is gone, or whose part of the log the server has given up, is made anew: what was
// committed meanwhile is lost, so the log of changes is another one from then on, and every feed begins again.

import { LIMIT_LOCK_TIME, LOG_CAPTURE, LOG_EXISTS, WATCH_LOCK } from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";
import { type Lsn, parseLsn } from "./pgoutput.ts";
import { providePublication, PUBLICATION } from "./publication.ts";

/** A slot that nobody reads, and where the log of changes stands. */
export interface FoundSlot {
  readonly slot: string;
  /** Up to where the server's log was decoded. */
  readonly position: Lsn;
}

/** What stands before the names of a database's slots; they are of the whole server. */
const PREFIX_QUERY = `SELECT 'sqp_feeds_'::text OPERATOR(pg_catalog.||) d.oid::text
    OPERATOR(pg_catalog.||) '_'::text
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()`;

const LOG_SLOT = `SELECT l.slot, l.decoded, s.active_pid, s.slot_name IS NOT NULL,
    s.wal_status = 'lost'::text
  FROM sqp_feeds.log l LEFT JOIN pg_catalog.pg_replication_slots s
    ON s.slot_name = l.slot::name AND s.database = pg_catalog.current_database()
      AND s.plugin = 'pgoutput'::name`;

/** Drops the slots of this database that nobody reads. */
const DROP_SLOTS = `SELECT pg_catalog.pg_drop_replication_slot(slot_name)
  FROM pg_catalog.pg_replication_slots
  WHERE pg_catalog.starts_with(slot_name::text, $1::text)
    AND database = pg_catalog.current_database() AND active_pid IS NULL`;

const MAKE_SLOT = `SELECT lsn
  FROM pg_catalog.pg_create_logical_replication_slot($1::name, 'pgoutput'::name)`;

/** Notes that feeds which are open cannot go on. */
const NOTE_LOST = `WITH noted AS (
    INSERT INTO sqp_feeds.changes (relid, table_name, reason)
    SELECT 0, table_name, 'changes_lost' FROM sqp_feeds.watched RETURNING xid
  ) INSERT INTO sqp_feeds.pending SELECT DISTINCT xid FROM noted`;

const TAKE_SLOT = `UPDATE sqp_feeds.log SET slot = $1::text, decoded = $2::pg_lsn,
  log_id = CASE WHEN slot IS NULL THEN log_id ELSE pg_catalog.gen_random_uuid()::text END`;

/**
 * The slot of the log, made anew where it is gone or the one that is given up; `busy` where somebody reads it, and
 * `none` where there is no log that is written from one: slots are dropped then. Throws `SqpError`.
 */
export async function findSlot(
  connection: PostgresConnection,
  { givenUp, slotMsMax }: { readonly givenUp: string | undefined; readonly slotMsMax: number },
): Promise<FoundSlot | "busy" | "none"> {
  const [prefixRow] = await connection.values(PREFIX_QUERY);
  const prefix = prefixRow![0]!;
  if (!await hasLog(connection)) {
    await connection.values(DROP_SLOTS, [prefix]);
    return "none";
  }
  const before = await lookUp(connection, givenUp);
  if (before.found !== undefined) return before.found;
  // A change cannot be decoded without the publication of its time, which has to be there before the slot.
  await beginAlone(connection);
  await providePublication(connection);
  await connection.values("COMMIT");
  await beginAlone(connection);
  const { found, isFirst } = await lookUp(connection, givenUp);
  if (found === undefined) {
    const fresh = `${prefix}${crypto.randomUUID().slice(0, 8)}`;
    await connection.values(`SET LOCAL statement_timeout = ${slotMsMax}`);
    await connection.values("SET LOCAL lock_timeout = 0");
    await connection.values(DROP_SLOTS, [prefix]);
    // Nothing may have been written before this.
    const [made] = await connection.values(MAKE_SLOT, [fresh]);
    if (!isFirst) await connection.values(NOTE_LOST);
    await connection.values(TAKE_SLOT, [fresh, made![0]!]);
    await connection.values("COMMIT");
    return { slot: fresh, position: parseLsn(made![0]!) };
  }
  await connection.values("COMMIT");
  return found;
}

/** Begins a transaction while nobody else makes a slot, or watches tables. */
async function beginAlone(connection: PostgresConnection): Promise<void> {
  await connection.values("BEGIN");
  await connection.values(LIMIT_LOCK_TIME);
  await connection.values(`SELECT pg_catalog.pg_advisory_xact_lock(${WATCH_LOCK})`);
}

/** What the log says of its slot, and the server: nothing was found where it has to be made. */
async function lookUp(connection: PostgresConnection, givenUp: string | undefined): Promise<{
  readonly found?: FoundSlot | "busy";
  readonly isFirst: boolean;
}> {
  const [row] = await connection.values(LOG_SLOT);
  const [slot, decoded, activePid, isThere, isLost] = row!;
  const isFirst = slot === null;
  if (isThere !== "t") return { isFirst };
  if (activePid !== null) return { found: "busy", isFirst };
  if (isLost === "t" || slot === givenUp) return { isFirst };
  return { found: { slot: slot!, position: parseLsn(decoded!) }, isFirst };
}

async function hasLog(connection: PostgresConnection): Promise<boolean> {
  const [exists] = await connection.values(LOG_EXISTS);
  if (exists![0] !== "t") return false;
  const [capture] = await connection.values(LOG_CAPTURE);
  return capture![0] === "decoding";
}

/** The command that streams what a slot has to tell from a place on. */
export function startReplication(slot: string, from: string): string {
  return `START_REPLICATION SLOT ${slot} LOGICAL ${from} ` +
    `(proto_version '1', publication_names '${PUBLICATION}', messages 'true')`;
}
