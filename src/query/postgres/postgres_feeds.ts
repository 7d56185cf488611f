// The change feeds of a PostgreSQL database: what its log is asked, by connections of the login of all permissions.

import { concatBytes } from "../../base/bytes.ts";
import { SqpError } from "../../wire/errors.ts";
import { appendChange, CHANGE_BYTES_MAX, encodeChanges } from "../../wire/feed_page.ts";
import type { SqlValue } from "../../wire/value.ts";
import { type NumberKind, ValueWriter } from "../../wire/value_writer.ts";
import { ChangeFeed } from "../change_feed.ts";
import type { Execution, FeedSink, SubscribeCommand } from "../engine.ts";
import type {
  FedTable,
  FeedBackend,
  LogRow,
  PartReader,
  SnapshotPart,
  UnsupportedTable,
  WatchedTable,
  WatchOutcome,
} from "../feed_backend.ts";
import { filterChanges } from "../feed_filter.ts";
import { FeedHub } from "../feed_hub.ts";
import type { FeedLimits } from "../feed_limits.ts";
import {
  CHANGE_LOG_SCHEMA,
  CHANGES_CHANNEL,
  NOTE_CHANGED_SHAPES,
  PRUNE_LARGE,
  PRUNE_OLD,
  WATCH_LOCK,
} from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import { parseRowText } from "./row_text.ts";
import type { PostgresLimits } from "./settings.ts";
import { valueFormat, type ValueParser } from "./values.ts";

/** Rows that are asked for at once. */
const BATCH_ROWS = 200;

/** Bytes of rows in one page of a snapshot, unless a single row is larger. */
const PAGE_BYTES = 32 * 1024;

/** How long watching a table may wait for those who write to it. */
const LOCK_TIMEOUT_MS = 5_000;

/** How often the log is looked after while feeds are open. */
const UPKEEP_MS = 1_000;
const FIRST_UPKEEP_MS = 20;

/** How often what is too old or too much is looked for. */
const PRUNE_MS = 30_000;

/** It reads the catalog itself: what a session remembers of it may be older than the lock that it has waited for. */
const LOG_EXISTS = `SELECT EXISTS (SELECT FROM pg_catalog.pg_tables
  WHERE schemaname = 'sqp_feeds' AND tablename = 'changes')`;

const TABLE_FACTS = `SELECT c.oid, c.oid::regclass::text, c.relkind, c.relpersistence,
    has_table_privilege($2::name, c.oid, 'SELECT'), sqp_feeds.shape(c.oid),
    w.shape IS NOT DISTINCT FROM sqp_feeds.shape(c.oid)
      AND w.table_name = c.oid::regclass::text
  FROM pg_catalog.pg_class c LEFT JOIN sqp_feeds.watched w ON w.relid = c.oid
  WHERE c.oid = to_regclass($1::text)`;

const WATCH = `INSERT INTO sqp_feeds.watched
  SELECT $1::text, $2::oid, sqp_feeds.shape($2::oid), max(id), max(id) FROM sqp_feeds.changes
  ON CONFLICT (table_name) DO UPDATE SET relid = excluded.relid, shape = excluded.shape,
    since_id = excluded.since_id, shape_since_id = excluded.shape_since_id`;

const HEAD = `SELECT (SELECT log_id FROM sqp_feeds.log), id, at_ms FROM sqp_feeds.changes
  WHERE id IS NOT NULL ORDER BY id DESC LIMIT 1`;

const CURSOR_FACTS = `SELECT min(id), max(id),
  (SELECT at_ms FROM sqp_feeds.changes WHERE id = $1::bigint AND ends) FROM sqp_feeds.changes`;

const LOG_AFTER = `SELECT c.id, c.ends, c.at_ms, w.table_name, w.shape, w.shape_since_id, c.reason,
    c.before, c.after, (SELECT min(id) FROM sqp_feeds.changes)
  FROM sqp_feeds.changes c LEFT JOIN sqp_feeds.watched w USING (relid)
  WHERE c.id > $1::bigint ORDER BY c.id LIMIT ${BATCH_ROWS}`;

type TextRow = readonly (string | null)[];

/** How the rows of a table are read. */
interface RowShape {
  readonly columns: readonly { readonly name: string; readonly declaredType: string }[];
  readonly keys: readonly number[];
  readonly parsers: readonly ValueParser[];
  readonly kinds: readonly NumberKind[];
}

const utf8 = new TextEncoder();

/** Shapes by their texts. */
class Shapes {
  readonly #shapes = new Map<string, RowShape>();

  of(text: string): RowShape {
    let shape = this.#shapes.get(text);
    if (shape === undefined) {
      if (this.#shapes.size > 1_000) this.#shapes.clear();
      shape = parseShape(text);
      this.#shapes.set(text, shape);
    }
    return shape;
  }
}

function parseShape(text: string): RowShape {
  const [columns, keys]: [[string, string, number][], string[] | null] = JSON.parse(text);
  const formats = columns.map(([, , oid]) => valueFormat(oid));
  return {
    columns: columns.map(([name, declaredType]) => ({ name, declaredType })),
    keys: (keys ?? []).map((key) => columns.findIndex(([name]) => name === key)),
    parsers: formats.map(({ parse }) => parse),
    kinds: formats.map(({ numbers }) => numbers),
  };
}

/** The values of the text of a row; `undefined` where it is of another shape. */
function readRow(text: string, { parsers }: RowShape): SqlValue[] | undefined {
  const texts = parseRowText(text);
  if (texts.length !== parsers.length) return undefined;
  return texts.map((value, i) => value === null ? null : parsers[i]!(utf8.encode(value)));
}

/** Opens feeds and wakes them. */
export class PostgresFeeds {
  readonly #pool: ConnectionPool;
  readonly #limits: PostgresLimits;
  readonly #hub: FeedHub;
  readonly #backend: Omit<FeedBackend, "watch">;
  readonly #shapes = new Shapes();
  #listener: PostgresConnection | undefined;
  #upkeep: ReturnType<typeof setTimeout> | undefined;
  #pruneAtMs = 0;
  #openCount = 0;
  #isClosed = false;

  /** `pool` is of the login of all permissions. */
  constructor(pool: ConnectionPool, limits: PostgresLimits, feeds: FeedLimits) {
    this.#pool = pool;
    this.#limits = limits;
    this.#backend = {
      filterValue: (value) => value,
      cursorFacts: (id) => this.#cursorFacts(id),
      snapshot: (tables) => new SnapshotReader(this.#pool, this.#shapes, tables),
      logAfter: (id) => this.#logAfter(id),
    };
    this.#hub = new FeedHub(this.#backend, feeds);
  }

  /** Opens a feed of tables that a role may read. */
  open(role: string, command: SubscribeCommand, sink: FeedSink): Execution {
    this.#openCount++;
    this.#keepUp();
    const over = () => this.#openCount--;
    const backend = {
      ...this.#backend,
      watch: (tables: readonly string[]) => this.#watch(tables, role),
    };
    const feed = new ChangeFeed(this.#hub, backend, command, {
      onStart: (start) => sink.onStart(start),
      onPage: (pages) => sink.onPage(pages),
      onEnd() {
        over();
        sink.onEnd();
      },
      onError(error) {
        over();
        sink.onError(error);
      },
    });
    return { pull: (pages) => feed.pull(pages), cancel: () => feed.cancel() };
  }

  /** Ends all feeds. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#upkeep);
    this.#hub.close(new SqpError("shutting_down"));
    this.#listener?.destroy();
  }

  async #cursorFacts(id: number) {
    const [row] = await this.#values(CURSOR_FACTS, [String(id)]);
    const [minId, maxId, atMs] = row!;
    return {
      minId: Number(minId),
      maxId: Number(maxId),
      atMs: atMs === null || atMs === undefined ? null : Number(atMs),
    };
  }

  async #values(sql: string, parameters: readonly string[] = []): Promise<TextRow[]> {
    const connection = await borrow(this.#pool);
    try {
      return await connection.values(sql, parameters);
    } finally {
      this.#pool.release(connection, performance.now());
    }
  }

  // Watching

  async #watch(tables: readonly string[], role: string): Promise<WatchOutcome> {
    const connection = await borrow(this.#pool);
    try {
      await connection.values("BEGIN");
      await connection.values(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      await connection.values(`SELECT pg_advisory_xact_lock(${WATCH_LOCK})`);
      const [exists] = await connection.values(LOG_EXISTS);
      if (exists![0] !== "t") {
        for (const sql of CHANGE_LOG_SCHEMA) await connection.values(sql);
      }
      const names: string[] = [];
      const unsupported: UnsupportedTable[] = [];
      for (const table of tables) {
        const name = await this.#watchOne(connection, table, role);
        if (typeof name === "string") names.push(name);
        else unsupported.push(name);
      }
      if (unsupported.length > 0) {
        await connection.values("ROLLBACK");
        return { unsupported };
      }
      await connection.values("COMMIT");
      return await this.#outcome(connection, names);
    } finally {
      // Whatever failed has left its transaction open, and is not lent again.
      this.#pool.release(connection, performance.now());
    }
  }

  async #watchOne(
    connection: PostgresConnection,
    table: string,
    role: string,
  ): Promise<string | UnsupportedTable> {
    const [facts] = await connection.values(TABLE_FACTS, [table, role]);
    if (facts === undefined) return { missing: true, why: `There is no table ${table}.` };
    const [oid, name, kind, persistence, isReadable, shape, isWatched] = facts as string[];
    if (isReadable !== "t") {
      throw new SqpError("permission_denied", { message: `The table ${name} may not be read.` });
    }
    if (kind !== "r" || persistence === "t" || name!.startsWith("sqp_feeds.")) {
      return { missing: false, why: `${name} is no ordinary table.` };
    }
    if (parseShape(shape!).keys.length === 0) {
      return { missing: false, why: `The table ${name} has no primary key.` };
    }
    if (isWatched === "t") return name!;
    const { keys, columns } = parseShape(shape!);
    const literals = keys.map((key) => `'${columns[key]!.name.replaceAll("'", "''")}'`);
    await connection.values(`DROP TRIGGER IF EXISTS sqp_capture ON ${name}`);
    await connection.values(`DROP TRIGGER IF EXISTS sqp_truncate ON ${name}`);
    await connection.values(`CREATE TRIGGER sqp_capture AFTER INSERT OR UPDATE OR DELETE ON ${name}
      FOR EACH ROW EXECUTE FUNCTION sqp_feeds.capture(${literals})`);
    await connection.values(`CREATE TRIGGER sqp_truncate AFTER TRUNCATE ON ${name}
      FOR EACH STATEMENT EXECUTE FUNCTION sqp_feeds.capture()`);
    await connection.values(WATCH, [name!, oid!]);
    return name!;
  }

  async #outcome(
    connection: PostgresConnection,
    names: readonly string[],
  ): Promise<WatchOutcome> {
    const [head] = await connection.values(HEAD);
    const [logId, headId, headAtMs] = head as string[];
    const rows = await connection.values(
      "SELECT table_name, shape, since_id, shape_since_id FROM sqp_feeds.watched",
    );
    const watched = new Map(rows.map((row) => [row[0]!, row]));
    const tables = names.map((name): WatchedTable => {
      const [, shape, sinceId, shapeSinceId] = watched.get(name)!;
      const { columns, keys } = this.#shapes.of(shape!);
      return {
        ...{ name, columns, keys, shape: shape! },
        ...{ sinceId: Number(sinceId), shapeSinceId: Number(shapeSinceId) },
      };
    });
    return { logId: logId!, headId: Number(headId), headAtMs: Number(headAtMs), tables };
  }

  // The log

  #logAfter(id: number): PartReader<LogRow[]> {
    let previousId = id;
    let isOver = false;
    return {
      next: async () => {
        if (isOver) return undefined;
        const rows = await this.#values(LOG_AFTER, [String(previousId)]);
        if (rows.length < BATCH_ROWS) isOver = true;
        if (rows.length === 0) return undefined;
        return rows.map((row) => {
          // Rows that were removed came after the place that was asked for.
          const isGap = previousId < Number(row[9]);
          const logRow = this.#logRow(row, isGap ? NaN : previousId);
          previousId = logRow.id;
          return logRow;
        });
      },
      close: () => void (isOver = true),
    };
  }

  #logRow(row: TextRow, previousId: number): LogRow {
    const [id, ends, atMs, table, shapeText, shapeSinceId, reason, before, after] = row;
    const facts = {
      ...{ id: Number(id), previousId, ends: ends === "t", atMs: Number(atMs) },
      table: table ?? null,
    };
    const reset = (why: string) => ({ ...facts, count: 0, body: utf8.encode(why) });
    if (table === null || table === undefined) {
      return { ...facts, count: 0, body: new Uint8Array(0) };
    }
    if (reason !== null && reason !== undefined) return reset(reason);
    // Its values are of a shape that is known no more.
    if (shapeText === null || Number(shapeSinceId) > Number(id)) return reset("schema_changed");
    const shape = this.#shapes.of(shapeText!);
    const rows = [before, after].map((text) =>
      text === null || text === undefined ? null : readRow(text, shape)
    );
    if (rows.includes(undefined)) return reset("schema_changed");
    const writer = new ValueWriter(1_024);
    appendChange(writer, rows[0]!, rows[1]!, shape.kinds);
    if (writer.length > CHANGE_BYTES_MAX) return reset("transaction_too_large");
    return { ...facts, count: 1, body: writer.view() };
  }

  // Upkeep: news, shapes, what is too old.

  #keepUp(): void {
    if (this.#upkeep !== undefined || this.#isClosed) return;
    this.#upkeep = setTimeout(async () => {
      try {
        await this.#lookAfter();
      } catch {
        // The database cannot be reached; the next time it may be.
      }
      this.#upkeep = undefined;
      if (this.#openCount > 0) this.#keepUp();
    }, this.#listener === undefined ? FIRST_UPKEEP_MS : UPKEEP_MS);
  }

  async #lookAfter(): Promise<void> {
    const [exists] = await this.#values(LOG_EXISTS);
    if (exists![0] !== "t") return;
    if (this.#listener?.isOpen !== true) await this.#listen();
    await this.#values(NOTE_CHANGED_SHAPES);
    if (performance.now() < this.#pruneAtMs) return;
    this.#pruneAtMs = performance.now() + PRUNE_MS;
    const { changesMsMax, changesBytesMax } = this.#limits;
    await this.#values(PRUNE_OLD, [String(Date.now() - changesMsMax)]);
    const [size] = await this.#values("SELECT pg_table_size('sqp_feeds.changes')");
    if (Number(size![0]) > changesBytesMax) {
      await this.#values(PRUNE_LARGE, [String(changesBytesMax)]);
    }
  }

  async #listen(): Promise<void> {
    const connection = await borrow(this.#pool);
    connection.onNotification = () => this.#hub.wake();
    this.#listener = connection;
    await connection.values(`LISTEN ${CHANGES_CHANNEL}`);
    if (this.#isClosed) connection.destroy();
    this.#hub.wake();
  }
}

function borrow(pool: ConnectionPool): Promise<PostgresConnection> {
  return new Promise((onConnection, onError) => {
    pool.request({ principal: "", onConnection, onError });
  });
}

/** Reads tables as they are at one moment, and where the log stands at it. */
class SnapshotReader implements PartReader<SnapshotPart> {
  readonly #pool: ConnectionPool;
  readonly #shapes: Shapes;
  readonly #tables: readonly FedTable[];
  #connection: PostgresConnection | undefined;
  #table = -1;
  #isOver = false;
  #isReading = false;

  constructor(pool: ConnectionPool, shapes: Shapes, tables: readonly FedTable[]) {
    this.#pool = pool;
    this.#shapes = shapes;
    this.#tables = tables;
  }

  async next(): Promise<SnapshotPart | undefined> {
    this.#isReading = true;
    try {
      return await this.#next();
    } finally {
      this.#isReading = false;
      if (this.#isOver) this.close();
    }
  }

  async #next(): Promise<SnapshotPart | undefined> {
    if (this.#isOver) return undefined;
    if (this.#connection === undefined) return await this.#begin();
    if (this.#table < 0) await this.#open(0);
    const rows = await this.#connection.values(`FETCH ${BATCH_ROWS} FROM sqp_snapshot`);
    if (rows.length > 0) return { parts: [this.#page(rows)] };
    if (this.#table + 1 < this.#tables.length) {
      await this.#connection.values("CLOSE sqp_snapshot");
      await this.#open(this.#table + 1);
      return { parts: [] };
    }
    await this.#connection.values("COMMIT");
    this.#isOver = true;
    return undefined;
  }

  async #begin(): Promise<SnapshotPart> {
    const connection = await borrow(this.#pool);
    this.#connection = connection;
    await connection.values("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const [head] = await connection.values(HEAD);
    const watched = await connection.values(
      "SELECT table_name, shape FROM sqp_feeds.watched WHERE shape = sqp_feeds.shape(relid)",
    );
    const shapes = new Map(watched.map(([name, shape]) => [name, shape]));
    const other = this.#tables.find(({ watched: { name, shape } }) => shapes.get(name) !== shape);
    return {
      head: { id: Number(head![1]), atMs: Number(head![2]), otherTable: other?.watched.name },
      parts: [],
    };
  }

  async #open(table: number): Promise<void> {
    this.#table = table;
    const { name } = this.#tables[table]!.watched;
    await this.#connection!.values(
      `DECLARE sqp_snapshot CURSOR FOR SELECT sqp_row::text FROM ${name} AS sqp_row`,
    );
  }

  #page(rows: readonly TextRow[]): Uint8Array {
    const { watched, filter } = this.#tables[this.#table]!;
    const shape = this.#shapes.of(watched.shape);
    const parts: Uint8Array[] = [];
    let changes: Uint8Array[] = [];
    let bytes = 0;
    const take = () => {
      const kept = filterChanges({ count: changes.length, bytes: concatBytes(...changes) }, filter);
      if (kept.count > 0) parts.push(encodeChanges(this.#table, kept.count, kept.bytes));
      [changes, bytes] = [[], 0];
    };
    for (const [text] of rows) {
      const writer = new ValueWriter(256);
      appendChange(writer, null, readRow(text!, shape)!, shape.kinds);
      if (writer.length > CHANGE_BYTES_MAX) throw new SqpError("row_too_large");
      if (bytes + writer.length > PAGE_BYTES) take();
      changes.push(writer.view());
      bytes += writer.length;
    }
    take();
    return concatBytes(...parts);
  }

  close(): void {
    this.#isOver = true;
    if (this.#isReading || this.#connection === undefined) return;
    const connection = this.#connection;
    this.#connection = undefined;
    // With its transaction open, it is not lent again.
    this.#pool.release(connection, performance.now());
  }
}
