// The change feeds of a PostgreSQL database: what its log is asked, by connections of the login of all permissions.

import { SqpError } from "../../wire/errors.ts";
import { appendChange, CHANGE_BYTES_MAX } from "../../wire/feed_page.ts";
import { ValueWriter } from "../../wire/value_writer.ts";
import { ChangeFeed } from "../change_feed.ts";
import type { Execution, FeedSink, SubscribeCommand } from "../engine.ts";
import type { FeedBackend, LogRow, PartReader, WatchOutcome } from "../feed_backend.ts";
import { FeedHub } from "../feed_hub.ts";
import type { FeedLimits } from "../feed_limits.ts";
import type { Ask, ChangeCapture } from "./change_capture.ts";
import {
  CHANGES_CHANNEL,
  FORGET_SHARDED,
  LOG_CAPTURE,
  LOG_EXISTS,
  NOTE_CHANGED_SHAPES,
  PRUNE_LARGE,
  PRUNE_OLD,
  PRUNE_ROWS_MAX,
} from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import type { Decoder } from "./decoder.ts";
import { DecodingCapture, mayDecode } from "./decoding_capture.ts";
import { isDistributed } from "./distribution.ts";
import { SnapshotReader } from "./feed_snapshot.ts";
import { borrow, withOwn } from "./own_connection.ts";
import { readRow, RowShapes } from "./row_shapes.ts";
import type { PostgresLimits } from "./settings.ts";
import { watchOutcome, watchTables } from "./table_watch.ts";
import { TRIGGER_CAPTURE } from "./trigger_capture.ts";

/** Rows of the log that are asked for at once, and bytes of them after which no more are given. */
const BATCH_ROWS = 200;
const BATCH_BYTES = 1024 * 1024;

/** How often it is looked after whether tables have another shape, while feeds are open. */
const UPKEEP_MS = 1_000;
const FIRST_UPKEEP_MS = 20;

/** Parts in which the log is pruned at a time, at most. */
const PRUNE_PARTS_MAX = 100;

const CURSOR_FACTS = `SELECT pg_catalog.min(id), pg_catalog.max(id),
  (SELECT at_ms FROM sqp_feeds.changes WHERE id = $1::bigint AND ends) FROM sqp_feeds.changes`;

/** Bytes of a row of the log beside the texts of a table's rows, at most. */
const LOG_ROW_BYTES = 16 * 1024;

// A change that is larger than what is taken from the server is told as such; asked for, it would end the connection.
const LOG_AFTER = `WITH next AS (
    SELECT entry, id, coalesce(pg_catalog.octet_length(before), 0)
      + coalesce(pg_catalog.octet_length(after), 0) AS bytes
    FROM sqp_feeds.changes WHERE id > $1::bigint ORDER BY id LIMIT ${BATCH_ROWS}
  ), sized AS (
    SELECT entry, pg_catalog.sum(bytes) OVER (ORDER BY id) - bytes AS bytes_before,
      bytes <= $2::bigint AS fits FROM next
  )
  SELECT c.id, c.ends, c.at_ms, coalesce(c.table_name, w.table_name), w.shape, w.shape_since_id,
    coalesce(c.reason, CASE WHEN NOT fits THEN 'transaction_too_large'::text END),
    CASE WHEN fits THEN c.before END, CASE WHEN fits THEN c.after END,
    (SELECT pg_catalog.min(id) FROM sqp_feeds.changes),
    (SELECT pg_catalog.count(*) FROM next)
  FROM sized JOIN sqp_feeds.changes c USING (entry) LEFT JOIN sqp_feeds.watched w USING (relid)
  WHERE bytes_before < ${BATCH_BYTES} ORDER BY c.id`;

const utf8 = new TextEncoder();

/** What the feeds of a database use. */
export interface FeedsHost {
  /** Connections of the login of all permissions. Who reads a snapshot slowly keeps one of the second pool. */
  readonly pool: ConnectionPool;
  readonly snapshotPool: ConnectionPool;
  readonly decoder: Decoder;
  readonly shapes: RowShapes;
}

type TextRow = readonly (string | null)[];

/** Opens feeds and wakes them. */
export class PostgresFeeds {
  readonly #pool: ConnectionPool;
  /** With what the log is asked. */
  readonly #own: { readonly pool: ConnectionPool; readonly msMax: number };
  readonly #limits: PostgresLimits;
  readonly #hub: FeedHub;
  readonly #backend: Omit<FeedBackend, "watch">;
  readonly #shapes: RowShapes;
  readonly #decoder: Decoder;
  readonly #decoding: ChangeCapture;
  /** How changes come into the log, as it was seen last. */
  #capture: ChangeCapture = TRIGGER_CAPTURE;
  #listener: PostgresConnection | undefined;
  #upkeep: ReturnType<typeof setTimeout> | undefined;
  #pruneAtMs = 0;
  #openCount = 0;
  #isClosed = false;

  constructor(host: FeedsHost, limits: PostgresLimits, feeds: FeedLimits) {
    const { pool, snapshotPool, decoder, shapes } = host;
    this.#pool = pool;
    this.#shapes = shapes;
    this.#decoder = decoder;
    this.#decoding = new DecodingCapture({
      ask: (sql, parameters) => this.#values(sql, parameters),
      limits,
      start: () => decoder.start(),
      trouble: () => decoder.trouble,
    });
    this.#own = { pool, msMax: limits.pageMsMax };
    this.#limits = limits;
    const { pageMsMax: readMsMax, stallMsMax } = limits;
    const snapshotHost = {
      ...{ pool: snapshotPool, shapes, readMsMax, stallMsMax },
      capture: () => this.#capture,
    };
    this.#backend = {
      filterValue: (value) => value,
      cursorFacts: (id) => this.#cursorFacts(id),
      snapshot: (tables) => new SnapshotReader(snapshotHost, tables),
      logAfter: (id) => this.#logAfter(id),
      settle: () => this.#capture.settle(),
    };
    this.#hub = new FeedHub(this.#backend, feeds);
    // Changes are kept, and have to be pruned, also while nobody reads them.
    this.#keepUp(limits.pruneMs);
  }

  /** Opens a feed of tables that a role may read. */
  open(role: string, command: SubscribeCommand, sink: FeedSink): Execution {
    if (this.#openCount++ === 0) this.#keepUp(FIRST_UPKEEP_MS);
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
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#upkeep);
    this.#hub.close(new SqpError("shutting_down"));
    this.#listener?.destroy();
    await this.#decoder.close();
  }

  async #watch(tables: readonly string[], role: string): Promise<WatchOutcome> {
    const watching = await withOwn(this.#own, (connection) =>
      watchTables(
        {
          ...{ connection, shapes: this.#shapes },
          choose: async () =>
            await mayDecode(connection) && await this.#decoder.mayStream()
              ? this.#decoding
              : TRIGGER_CAPTURE,
          captureOf: (name) => this.#captureOf(name),
        },
        tables,
        role,
      ));
    if ("unsupported" in watching) return watching;
    const { names, capture } = watching;
    this.#capture = capture;
    // Without a connection of its own, as it may take a while.
    await capture.settleWatched();
    return await withOwn(
      this.#own,
      (connection) => watchOutcome(connection, names, this.#shapes),
    );
  }

  #captureOf(name: string | null): ChangeCapture {
    return this.#capture = name === this.#decoding.schema.name ? this.#decoding : TRIGGER_CAPTURE;
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

  #values(sql: string, parameters: readonly string[] = []): Promise<(string | null)[][]> {
    return withOwn(this.#own, (connection) => connection.values(sql, parameters));
  }

  // The log

  #logAfter(id: number): PartReader<LogRow[]> {
    const bytesMax = this.#limits.messageBytesMax - LOG_ROW_BYTES;
    let previousId = id;
    let isOver = false;
    return {
      next: async () => {
        if (isOver) return undefined;
        const rows = await this.#values(LOG_AFTER, [String(previousId), String(bytesMax)]);
        const foundCount = Number(rows[0]?.[10] ?? 0);
        if (foundCount < BATCH_ROWS && rows.length === foundCount) isOver = true;
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

  #keepUp(afterMs: number): void {
    clearTimeout(this.#upkeep);
    if (this.#isClosed) return;
    this.#upkeep = setTimeout(async () => {
      try {
        await this.#lookAfter();
      } catch {
        // The database cannot be reached; the next time it may be.
      }
      this.#keepUp(this.#openCount > 0 ? UPKEEP_MS : this.#limits.pruneMs);
    }, afterMs);
  }

  async #lookAfter(): Promise<void> {
    const [exists] = await this.#values(LOG_EXISTS);
    if (exists![0] !== "t") return;
    const [capture] = await this.#values(LOG_CAPTURE);
    if (this.#captureOf(capture![0]!) === this.#decoding) this.#decoder.start();
    if (this.#openCount > 0) {
      if (this.#listener?.isOpen !== true) await this.#listen();
      await this.#values(NOTE_CHANGED_SHAPES);
      const ask: Ask = (sql, parameters) => this.#values(sql, parameters);
      if (await isDistributed(ask)) await this.#values(FORGET_SHARDED);
    }
    if (performance.now() < this.#pruneAtMs) return;
    this.#pruneAtMs = performance.now() + this.#limits.pruneMs;
    const { changesMsMax, changesBytesMax } = this.#limits;
    await this.#prune(PRUNE_OLD, Date.now() - changesMsMax);
    const [size] = await this.#values("SELECT pg_catalog.pg_table_size('sqp_feeds.changes')");
    if (Number(size![0]) > changesBytesMax) await this.#prune(PRUNE_LARGE, changesBytesMax);
  }

  async #prune(sql: string, bound: number): Promise<void> {
    for (let parts = 0; parts < PRUNE_PARTS_MAX && !this.#isClosed; parts++) {
      const [pruned] = await this.#values(sql, [String(bound)]);
      if (Number(pruned![0]) < PRUNE_ROWS_MAX) return;
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
