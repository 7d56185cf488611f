// Capture by logical decoding: the server's own log says what each transaction has changed, and a decoder appends it to
// the log of changes. Writers do no more than they do without it, and wait for nobody; what they have committed is in
// the log of changes a moment later.

import { SqpError } from "../../wire/errors.ts";
import {
  type Ask,
  beginWithShapes,
  type ChangeCapture,
  type SnapshotPlace,
} from "./change_capture.ts";
import type { CaptureSchema } from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";
import { APPEND_FUNCTION } from "./decoded_log.ts";
import { MAKE_PUBLICATION, MARK_PREFIX, providePublication, PUBLICATION } from "./publication.ts";
import type { PostgresLimits } from "./settings.ts";

/** Snapshots that are tried, and of these the first which keeps writers out while it begins. */
const SNAPSHOTS_MAX = 6;
const FIRST_LOCKED = 3;

/** Pauses between looks at how far the decoder is. */
const LOOK_MS_FIRST = 1;
const LOOK_MS_MAX = 50;

/**
 * Whether the login may have changes decoded. `max_slot_wal_keep_size` is asked for lest a slot that nobody reads fill
 * the disk; the version for messages in the stream.
 */
const MAY_DECODE = `SELECT pg_catalog.current_setting('wal_level', true) = 'logical'
    AND pg_catalog.current_setting('server_version_num', true)::int >= 140000
    AND pg_catalog.current_setting('max_slot_wal_keep_size', true) <> '-1'
    AND pg_catalog.current_setting('max_wal_senders', true)::int > 0
    AND (r.rolreplication OR EXISTS (
      SELECT FROM pg_catalog.pg_roles m
      WHERE m.rolname = 'rds_replication' AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')))
  FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`;

const SLOT_IS_FREE = `SELECT pg_catalog.count(*)
    < pg_catalog.current_setting('max_replication_slots')::int
  FROM pg_catalog.pg_replication_slots`;

/** Why the server's log does not say all of a table's rows. */
const REFUSAL = `SELECT c.relpersistence <> 'p'::"char", EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attgenerated <> ''::"char" AND NOT a.attisdropped)
  FROM pg_catalog.pg_class c WHERE c.oid = $1::oid`;

const IDENTITY = `SELECT c.relreplident = 'f'::"char", EXISTS (
    SELECT FROM pg_catalog.pg_publication_rel r
      JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = c.oid AND p.pubname = '${PUBLICATION}'::name)
  FROM pg_catalog.pg_class c WHERE c.oid = $1::oid`;

/**
 * Writes something that will be decoded, and says where: whoever was committed before has its commit before that place
 * in the server's log.
 */
const MARK = `SELECT pg_catalog.pg_logical_emit_message(true, '${MARK_PREFIX}'::text, ''::text)`;

const IS_DECODED = "SELECT coalesce(decoded >= $1::pg_catalog.pg_lsn, false) FROM sqp_feeds.log";

/**
 * From when on tables are captured that were watched before the place $1, which the decoder is past: what it had
 * appended until then may be from before.
 */
const SETTLE_WATCHED = `UPDATE sqp_feeds.watched SET is_settled = true, shape_since_id = head.id,
    since_id = CASE WHEN since_id = shape_since_id THEN head.id ELSE since_id END
  FROM (SELECT pg_catalog.max(id) AS id FROM sqp_feeds.changes) head
  WHERE NOT is_settled AND since_lsn <= $1::pg_catalog.pg_lsn`;

const LOG_ID = "SELECT log_id FROM sqp_feeds.log";

/**
 * The last transaction of the log before the first one that a snapshot, $1, does not see among those of the tables $2,
 * and whether it sees a later one.
 */
const PLACE = `WITH told AS MATERIALIZED (
    SELECT c.id, pg_catalog.pg_visible_in_snapshot(c.xid, $1::pg_catalog.pg_snapshot) AS is_seen
    FROM sqp_feeds.changes c
    WHERE c.xid >= pg_catalog.pg_snapshot_xmin($1::pg_catalog.pg_snapshot) AND c.id IS NOT NULL
      AND (c.table_name = ANY ($2::text[]) OR c.relid IN (
        SELECT w.relid FROM sqp_feeds.watched w WHERE w.table_name = ANY ($2::text[])))
  ), unseen AS (
    SELECT pg_catalog.min(id) AS id FROM told WHERE NOT is_seen
  )
  SELECT c.id, c.at_ms, EXISTS (SELECT FROM told t WHERE t.is_seen AND t.id > u.id), (${LOG_ID})
  FROM sqp_feeds.changes c, unseen u
  WHERE c.ends AND (u.id IS NULL OR c.id < u.id) ORDER BY c.id DESC LIMIT 1`;

/** What of the log is for the decoder. */
const DECODING_SCHEMA: CaptureSchema = {
  name: "decoding",
  // xmin tells whether a table was left out meanwhile; a column list or a filter of rows stands in its row as well.
  reliedOn: `(SELECT json_build_array(relreplident, p.xmin::text, to_jsonb(p),
          (SELECT json_build_array(r.xmin::text, to_jsonb(r)) FROM pg_publication_rel r
            WHERE r.prrelid = rel AND r.prpubid = p.oid))
        FROM pg_publication p WHERE p.pubname = '${PUBLICATION}')`,
  statements: [
    // The replication slot, and the end of the last commit in the server's log that was appended to this one.
    "ALTER TABLE sqp_feeds.log ADD slot text, ADD decoded pg_lsn",
    // What was committed before a place in the server's log is of another watch, or of none.
    `ALTER TABLE sqp_feeds.watched ADD since_lsn pg_lsn NOT NULL,
      ADD is_settled boolean NOT NULL DEFAULT false`,
    "CREATE INDEX ON sqp_feeds.changes (xid)",
    APPEND_FUNCTION,
    ...MAKE_PUBLICATION,
  ],
};

/** Whether a log that is made now can be written by a decoder. Throws {@linkcode SqpError}. */
export async function mayDecode(connection: PostgresConnection): Promise<boolean> {
  const [may] = await connection.values(MAY_DECODE);
  if (may?.[0] !== "t") return false;
  const [isFree] = await connection.values(SLOT_IS_FREE);
  return isFree![0] === "t";
}

/** What capture by decoding needs. */
export interface DecodingHost {
  /** On a connection of its own each time. */
  readonly ask: Ask;
  readonly limits: PostgresLimits;
  /** Has a decoder run here, unless one does. */
  start(): void;
  /** What keeps it from its work, for a person. */
  trouble(): string | undefined;
}

/** Captures changes from the server's log, which takes a login that may replicate. */
export class DecodingCapture implements ChangeCapture {
  readonly schema = DECODING_SCHEMA;
  readonly watchSql = `INSERT INTO sqp_feeds.watched
    SELECT $1::text, $2::oid, sqp_feeds.shape($2::oid), pg_catalog.max(id), pg_catalog.max(id),
      pg_catalog.pg_current_wal_insert_lsn(), false
    FROM sqp_feeds.changes
    ON CONFLICT (table_name) DO UPDATE SET relid = excluded.relid, shape = excluded.shape,
      shape_since_id = excluded.shape_since_id, since_lsn = excluded.since_lsn, is_settled = false`;
  readonly #host: DecodingHost;

  constructor(host: DecodingHost) {
    this.#host = host;
  }

  async refusal(
    connection: PostgresConnection,
    oid: string,
    name: string,
  ): Promise<string | undefined> {
    const [row] = await connection.values(REFUSAL, [oid]);
    const [isUnlogged, hasGenerated] = row!;
    if (isUnlogged === "t") return `The table ${name} is in no log of the server.`;
    if (hasGenerated === "t") {
      return `The table ${name} has generated columns, which the server's log does not tell.`;
    }
    return undefined;
  }

  async capture(
    connection: PostgresConnection,
    { oid, name }: { readonly oid: string; readonly name: string },
  ): Promise<void> {
    await providePublication(connection);
    const [row] = await connection.values(IDENTITY, [oid]);
    const [isFull, isPublished] = row!;
    if (isFull !== "t") await connection.values(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
    if (isPublished === "t") {
      await connection.values(`ALTER PUBLICATION ${PUBLICATION} DROP TABLE ONLY ${name}`);
    }
    await connection.values(`ALTER PUBLICATION ${PUBLICATION} ADD TABLE ONLY ${name}`);
  }

  async settle(): Promise<void> {
    await this.#passed();
  }

  async settleWatched(): Promise<void> {
    this.#host.start();
    const lsn = await this.#passed();
    await this.#host.ask(SETTLE_WATCHED, [lsn]);
  }

  /** Waits until the decoder is past a place behind everything that was committed before, and gives that place. */
  async #passed(): Promise<string> {
    const { ask, limits: { settleMsMax } } = this.#host;
    const untilMs = performance.now() + settleMsMax;
    const [mark] = await ask(MARK);
    const lsn = mark![0]!;
    for (let pauseMs = LOOK_MS_FIRST;; pauseMs = Math.min(LOOK_MS_MAX, 2 * pauseMs)) {
      const [isDecoded] = await ask(IS_DECODED, [lsn]);
      if (isDecoded?.[0] === "t") return lsn;
      if (performance.now() > untilMs) throw notDecoded(settleMsMax, this.#host.trouble());
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async beginSnapshot(
    connection: PostgresConnection,
    tables: readonly string[],
  ): Promise<SnapshotPlace> {
    const { ask } = this.#host;
    for (let attempt = 0; attempt < SNAPSHOTS_MAX; attempt++) {
      if (attempt > 0) await connection.values("ROLLBACK");
      const [logId] = await ask(LOG_ID);
      await beginWithShapes(connection, tables);
      const snapshot = await takeSnapshot(connection, tables, attempt >= FIRST_LOCKED);
      await this.#passed();
      const [place] = await ask(PLACE, [snapshot, `{${tables.map(quoted).join(",")}}`]);
      if (place === undefined) continue;
      const [id, atMs, isOutOfOrder, ofLogId] = place;
      if (isOutOfOrder === "f" && ofLogId === logId![0]) {
        return { id: Number(id), atMs: Number(atMs) };
      }
    }
    const message = "No moment was found at which a snapshot stands between two transactions.";
    throw new SqpError("database_busy", { message });
  }
}

/**
 * Settles what the transaction sees, and gives the text of its snapshot. Transactions need not come to be seen in the
 * order in which their commits stand in the server's log: some wait until theirs is written there. Of one that has let
 * go of its locks on a table both are true, so it helps to lock others out for the moment.
 */
async function takeSnapshot(
  connection: PostgresConnection,
  tables: readonly string[],
  isLocked: boolean,
): Promise<string> {
  if (isLocked) {
    await connection.values("SAVEPOINT sqp_locked");
    await connection.values(`LOCK TABLE ONLY ${tables.join(", ONLY ")} IN SHARE MODE`);
  }
  const [snapshot] = await connection.values("SELECT pg_catalog.pg_current_snapshot()");
  if (isLocked) await connection.values("ROLLBACK TO sqp_locked");
  return snapshot![0]!;
}

/** An element in the text of an array. */
function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function notDecoded(waitedMs: number, trouble: string | undefined): SqpError {
  const why = trouble === undefined ? "" : `: ${trouble}`;
  const message = `What was committed before has not been decoded within ${waitedMs} ms${why}.`;
  return new SqpError("database_busy", { message });
}
