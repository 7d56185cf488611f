// Capture by triggers: one of each watched table notes its rows before and after, as their texts.

import { beginWithShapes, type ChangeCapture } from "./change_capture.ts";
import { HEAD, SETTINGS } from "./change_log_schema.ts";

const CAPTURE_FUNCTION =
  `CREATE FUNCTION sqp_feeds.capture() RETURNS trigger LANGUAGE plpgsql ${SETTINGS} AS $$
    DECLARE
      me text := pg_current_xact_id()::text;
      old_key text[];
      new_key text[];
      row_values jsonb;
    BEGIN
      -- SET CONSTRAINTS ALL IMMEDIATE would have every row numbered by itself.
      IF current_setting('sqp_feeds.deferred', true) IS DISTINCT FROM me THEN
        SET CONSTRAINTS sqp_feeds.number DEFERRED;
        PERFORM set_config('sqp_feeds.deferred', me, true);
      END IF;
      IF TG_OP IN ('UPDATE', 'DELETE') THEN
        row_values := to_jsonb(OLD);
        SELECT array_agg(row_values ->> name ORDER BY place) INTO old_key
          FROM unnest(TG_ARGV) WITH ORDINALITY k (name, place);
      END IF;
      IF TG_OP IN ('INSERT', 'UPDATE') THEN
        row_values := to_jsonb(NEW);
        SELECT array_agg(row_values ->> name ORDER BY place) INTO new_key
          FROM unnest(TG_ARGV) WITH ORDINALITY k (name, place);
      END IF;
      IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO sqp_feeds.changes (relid, reason) VALUES (TG_RELID, 'truncated');
      ELSIF TG_OP = 'UPDATE' AND old_key = new_key THEN
        INSERT INTO sqp_feeds.changes (relid, key, before, after)
          VALUES (TG_RELID, new_key, OLD::text, NEW::text);
      ELSE
        IF TG_OP <> 'INSERT' THEN
          INSERT INTO sqp_feeds.changes (relid, key, before) VALUES (TG_RELID, old_key, OLD::text);
        END IF;
        IF TG_OP <> 'DELETE' THEN
          INSERT INTO sqp_feeds.changes (relid, key, after) VALUES (TG_RELID, new_key, NEW::text);
        END IF;
      END IF;
      INSERT INTO sqp_feeds.pending VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
      RETURN NULL;
    END
  $$`;

const KEY_IS_DEFERRABLE = `SELECT EXISTS (SELECT FROM pg_catalog.pg_index
  WHERE indrelid = $1::oid AND indisprimary AND NOT indimmediate)`;

/** Captures changes by triggers, which any table's owner may make. */
export const TRIGGER_CAPTURE: ChangeCapture = {
  schema: {
    name: "triggers",
    // xmin tells whether they were disabled or made anew meanwhile.
    reliedOn: `(SELECT json_agg(json_build_array(tgname, tgenabled, xmin::text) ORDER BY tgname)
        FROM pg_trigger WHERE tgrelid = rel AND tgname IN ('sqp_capture', 'sqp_truncate'))`,
    statements: [CAPTURE_FUNCTION],
  },

  watchSql: `INSERT INTO sqp_feeds.watched
    SELECT $1::text, $2::oid, sqp_feeds.shape($2::oid), pg_catalog.max(id), pg_catalog.max(id)
    FROM sqp_feeds.changes
    ON CONFLICT (table_name) DO UPDATE SET relid = excluded.relid, shape = excluded.shape,
      shape_since_id = excluded.shape_since_id`,

  async refusal(connection, oid, name) {
    const [row] = await connection.values(KEY_IS_DEFERRABLE, [oid]);
    if (row![0] !== "t") return undefined;
    return `The key of ${name} is deferrable, so that triggers may see two rows with the same.`;
  },

  async capture(connection, { name, keys }) {
    const literals = keys.map((key) => `'${key.replaceAll("'", "''")}'`);
    for (
      const sql of [
        `DROP TRIGGER IF EXISTS sqp_capture ON ${name}`,
        `DROP TRIGGER IF EXISTS sqp_truncate ON ${name}`,
        `CREATE TRIGGER sqp_capture AFTER INSERT OR UPDATE OR DELETE ON ${name}
          FOR EACH ROW EXECUTE FUNCTION sqp_feeds.capture(${literals})`,
        `CREATE TRIGGER sqp_truncate AFTER TRUNCATE ON ${name}
          FOR EACH STATEMENT EXECUTE FUNCTION sqp_feeds.capture()`,
        // Also what a subscription of PostgreSQL's own brings.
        `ALTER TABLE ${name} ENABLE ALWAYS TRIGGER sqp_capture,
          ENABLE ALWAYS TRIGGER sqp_truncate`,
      ]
    ) await connection.values(sql);
  },

  // A transaction writes to the log itself.
  settle: () => Promise.resolve(),
  settleWatched: () => Promise.resolve(),

  async beginSnapshot(connection, tables) {
    await beginWithShapes(connection, tables);
    const [head] = await connection.values(HEAD);
    return { id: Number(head![1]), atMs: Number(head![2]) };
  },
};
