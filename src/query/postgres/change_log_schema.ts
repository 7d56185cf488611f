// The log of changes in a PostgreSQL database: a schema of the engine's own, `sqp_feeds`.
//
// What a transaction notes there has no number at first. When it commits, a deferred trigger makes one change of
// several to one row, and numbers what is left, under a lock that is held until the commit is visible: numbers are in
// the order of commits, and whoever sees one sees all before it. Numbers of transactions that failed after that are
// left out. How the changes of tables come here is for `change_capture.ts`.

/** Settings of the log's functions. Texts of values are written as results are read, whatever a session has set. */
export const SETTINGS = `SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
  SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'iso_8601' SET extra_float_digits = 1 SET bytea_output = 'hex'`;

/**
 * Takes the lock under which transactions are numbered. It is one of the log's own tables, which nobody else may lock:
 * an advisory lock is anybody's, and who holds it keeps everybody from writing.
 */
export const LOCK_NUMBERS = "LOCK TABLE sqp_feeds.log IN SHARE UPDATE EXCLUSIVE MODE";

/** The lock under which the log is made and tables are watched. */
export const WATCH_LOCK = 0x5351_5002;

/** Keeps those who wait for a table's lock, and those behind them, from waiting for long. */
export const LIMIT_LOCK_TIME = "SET LOCAL lock_timeout = 5000";

/**
 * Whether there is a log. It reads the catalog itself: what a session remembers of it may be older than the lock that
 * it has waited for.
 */
export const LOG_EXISTS = `SELECT EXISTS (SELECT FROM pg_catalog.pg_tables
  WHERE schemaname = 'sqp_feeds' AND tablename = 'changes')`;

/** How changes come into the log, by its name; NULL where it is older than this choice. */
export const LOG_CAPTURE = "SELECT pg_catalog.to_jsonb(l) ->> 'capture'::text FROM sqp_feeds.log l";

/** Which log it is, its last row, and when that was written. */
export const HEAD = `SELECT (SELECT log_id FROM sqp_feeds.log), id, at_ms FROM sqp_feeds.changes
  WHERE id IS NOT NULL ORDER BY id DESC LIMIT 1`;

/** The channel on which it is told that something was committed. */
export const CHANGES_CHANNEL = "sqp_changes";

/** What of the log is for one way to capture changes. */
export interface CaptureSchema {
  readonly name: string;
  /** An expression of JSON: all that it relies on of the table `rel`, whose row in `pg_class` is at hand. */
  readonly reliedOn: string;
  /** Makes what it needs, behind everything else. */
  readonly statements: readonly string[];
}

/** Makes the log, statement by statement, in a transaction. */
export const changeLogSchema = (capture: CaptureSchema): readonly string[] => [
  "CREATE SCHEMA sqp_feeds",
  "CREATE SEQUENCE sqp_feeds.ids",
  "CREATE TABLE sqp_feeds.log (log_id text NOT NULL, capture text NOT NULL)",
  `INSERT INTO sqp_feeds.log VALUES (gen_random_uuid()::text, '${capture.name}')`,
  // `shape` is NULL where the table has another one now: it is looked up when somebody subscribes again.
  `CREATE TABLE sqp_feeds.watched (
    table_name text PRIMARY KEY,
    relid oid NOT NULL UNIQUE,
    shape text,
    since_id bigint NOT NULL,
    shape_since_id bigint NOT NULL
  )`,
  // `relid` is 0 where `table_name` says whose feeds end.
  `CREATE TABLE sqp_feeds.changes (
    entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    relid oid NOT NULL,
    table_name text,
    key text[],
    before text,
    after text,
    reason text,
    id bigint,
    ends boolean,
    at_ms bigint
  )`,
  // One row for a transaction under way, however many rows it changes: the deferred trigger is called once for it.
  "CREATE TABLE sqp_feeds.pending (xid xid8 PRIMARY KEY)",
  "CREATE UNIQUE INDEX ON sqp_feeds.changes (id)",
  "CREATE INDEX ON sqp_feeds.changes (xid) WHERE id IS NULL",
  `INSERT INTO sqp_feeds.changes (relid, id, ends, at_ms)
    VALUES (0, nextval('sqp_feeds.ids'), true, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`,
  // All that a feed relies on.
  `CREATE FUNCTION sqp_feeds.shape(rel oid) RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_build_array(
      (SELECT json_agg(
          json_build_array(attname, format_type(atttypid, atttypmod), atttypid::bigint)
          ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped),
      (SELECT json_agg(a.attname ORDER BY k.place)
        FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (number, place),
          pg_attribute a
        WHERE i.indrelid = rel AND i.indisprimary AND a.attrelid = rel AND a.attnum = k.number),
      rel::regclass::text,
      relrowsecurity,
      ${capture.reliedOn}
    )::text FROM pg_class WHERE oid = rel
  $$`,
  `CREATE FUNCTION sqp_feeds.number() RETURNS trigger LANGUAGE plpgsql ${SETTINGS} AS $$
    DECLARE
      me xid8 := pg_current_xact_id();
      changed oid[];
      rows bigint;
      first bigint;
      now_ms bigint;
    BEGIN
      DELETE FROM sqp_feeds.pending WHERE xid = me;
      PERFORM set_config('sqp_feeds.deferred', '', true);
      -- SET CONSTRAINTS, and other deferred triggers that write, bring a transaction here more than once.
      IF current_setting('sqp_feeds.numbered', true) = me::text THEN
        UPDATE sqp_feeds.changes SET id = NULL, ends = NULL, at_ms = NULL WHERE xid = me AND id > (
          SELECT id FROM sqp_feeds.changes WHERE id IS NOT NULL AND xid <> me ORDER BY id DESC LIMIT 1);
      END IF;
      SELECT array_agg(w.relid) INTO changed FROM sqp_feeds.watched w
        WHERE w.relid IN (SELECT relid FROM sqp_feeds.changes WHERE xid = me AND id IS NULL)
          AND w.shape IS NOT NULL AND sqp_feeds.shape(w.relid) IS DISTINCT FROM w.shape;
      IF changed IS NOT NULL THEN
        DELETE FROM sqp_feeds.changes WHERE xid = me AND id IS NULL AND relid = ANY (changed);
        INSERT INTO sqp_feeds.changes (relid, reason) SELECT r, 'schema_changed' FROM unnest(changed) r;
      END IF;
      SELECT count(*) INTO rows FROM sqp_feeds.changes WHERE xid = me AND id IS NULL;
      IF rows > 1 THEN
        UPDATE sqp_feeds.changes c SET before = r.oldest FROM (
          SELECT entry, first_value(before) OVER w AS oldest,
            row_number() OVER (PARTITION BY relid, key ORDER BY entry DESC) AS from_last
          FROM sqp_feeds.changes WHERE xid = me AND id IS NULL AND reason IS NULL
          WINDOW w AS (PARTITION BY relid, key ORDER BY entry)
        ) r WHERE c.entry = r.entry AND r.from_last = 1 AND c.before IS DISTINCT FROM r.oldest;
        DELETE FROM sqp_feeds.changes c USING (
          SELECT entry, row_number() OVER (PARTITION BY relid, key ORDER BY entry DESC) AS from_last
          FROM sqp_feeds.changes WHERE xid = me AND id IS NULL AND reason IS NULL
        ) r WHERE c.entry = r.entry AND r.from_last > 1;
      END IF;
      DELETE FROM sqp_feeds.changes
        WHERE xid = me AND id IS NULL AND reason IS NULL AND before IS NOT DISTINCT FROM after;
      SELECT count(*) INTO rows FROM sqp_feeds.changes WHERE xid = me AND id IS NULL;
      IF rows = 0 THEN RETURN NULL; END IF;
      ${LOCK_NUMBERS};
      first := nextval('sqp_feeds.ids');
      IF rows > 1 THEN PERFORM setval('sqp_feeds.ids', first + rows - 1); END IF;
      now_ms := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
      UPDATE sqp_feeds.changes c SET id = first + n.place - 1, ends = n.place = rows, at_ms = now_ms
        FROM (
          SELECT entry, row_number() OVER (ORDER BY entry) AS place
          FROM sqp_feeds.changes WHERE xid = me AND id IS NULL
        ) n WHERE c.entry = n.entry;
      IF changed IS NOT NULL THEN
        UPDATE sqp_feeds.watched SET shape = NULL, shape_since_id = first WHERE relid = ANY (changed);
      END IF;
      PERFORM set_config('sqp_feeds.numbered', me::text, true);
      PERFORM pg_notify('${CHANGES_CHANNEL}', '');
      RETURN NULL;
    END
  $$`,
  `CREATE CONSTRAINT TRIGGER number AFTER INSERT ON sqp_feeds.pending DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION sqp_feeds.number()`,
  "ALTER TABLE sqp_feeds.pending ENABLE ALWAYS TRIGGER number",
  ...capture.statements,
];

/**
 * Notes which tables have another shape now; they are told with the next number. Not while tables are being watched:
 * who does that holds what this would wait for.
 */
export const NOTE_CHANGED_SHAPES = `WITH alone AS MATERIALIZED (
    SELECT pg_catalog.pg_try_advisory_xact_lock(${WATCH_LOCK}) AS it
  ), noted AS (
    INSERT INTO sqp_feeds.changes (relid, reason)
    SELECT relid, 'schema_changed' FROM alone, sqp_feeds.watched
    WHERE it AND shape IS NOT NULL AND sqp_feeds.shape(relid) IS DISTINCT FROM shape
    RETURNING xid
  ) INSERT INTO sqp_feeds.pending SELECT DISTINCT xid FROM noted`;

/** Notes that the name $1 is about to be that of the table $2, or of another shape of it. */
export const NOTE_REPLACED = `WITH noted AS (
    INSERT INTO sqp_feeds.changes (relid, table_name, reason)
    SELECT 0, table_name, 'schema_changed' FROM sqp_feeds.watched
    WHERE table_name = $1::text OR relid = $2::oid
    RETURNING xid
  ) INSERT INTO sqp_feeds.pending SELECT DISTINCT xid FROM noted ON CONFLICT DO NOTHING`;

/**
 * Forgets tables whose rows have been moved to shards; it is told with the next number that they are not what they
 * were. Not while tables are being watched.
 */
export const FORGET_SHARDED = `WITH alone AS MATERIALIZED (
    SELECT pg_catalog.pg_try_advisory_xact_lock(${WATCH_LOCK}) AS it
  ), forgotten AS (
    DELETE FROM sqp_feeds.watched w USING alone, pg_catalog.pg_dist_partition p
    WHERE it AND w.relid = p.logicalrelid::oid RETURNING w.table_name
  ), noted AS (
    INSERT INTO sqp_feeds.changes (relid, table_name, reason)
    SELECT 0, table_name, 'schema_changed' FROM forgotten RETURNING xid
  ) INSERT INTO sqp_feeds.pending SELECT DISTINCT xid FROM noted ON CONFLICT DO NOTHING`;

/** Rows that are removed at once, at most. */
export const PRUNE_ROWS_MAX = 10_000;

/** Removes rows, the last one never, and counts them. */
const prune = (before: string) =>
  `WITH pruned AS (
    DELETE FROM sqp_feeds.changes WHERE id IN (
      SELECT id FROM sqp_feeds.changes
      WHERE id < (SELECT pg_catalog.max(id) FROM sqp_feeds.changes) AND id < (${before})
      ORDER BY id LIMIT ${PRUNE_ROWS_MAX})
    RETURNING 1
  ) SELECT pg_catalog.count(*) FROM pruned`;

/** Removes rows that are older than $1. */
export const PRUNE_OLD = prune(`SELECT coalesce(
  (SELECT id FROM sqp_feeds.changes WHERE id IS NOT NULL AND at_ms >= $1::bigint ORDER BY id LIMIT 1),
  (SELECT pg_catalog.max(id) FROM sqp_feeds.changes))`);

/** Removes the oldest rows, so that those which are left take no more than $1 bytes. */
export const PRUNE_LARGE = prune(`SELECT pg_catalog.max(id) + 1 FROM (
  SELECT id, pg_catalog.sum(100 + coalesce(pg_catalog.pg_column_size(before), 0)
    + coalesce(pg_catalog.pg_column_size(after), 0)) OVER (ORDER BY id DESC) AS bytes
  FROM sqp_feeds.changes WHERE id IS NOT NULL
) sized WHERE bytes > $1::bigint`);
