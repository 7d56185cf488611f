// Tells the log what a transaction changes: sessions on the tables that are watched, read before the commit, each row
// completed by its key, since a changeset leaves out what an update did not change.

import { appendChange, CHANGE_BYTES_MAX } from "../../wire/feed_page.ts";
import { ValueWriter } from "../../wire/value_writer.ts";
import type { UnsupportedTable, WatchOutcome } from "../feed_backend.ts";
import { ChangeLog, type ChangeRetention, type LogEntry, resetEntry } from "./change_log.ts";
import { readChangeset, type RecordValue, type RowChange } from "./changeset.ts";
import type { NodeDatabase, NodeSession, NodeStatement, SqliteValue } from "./node_sqlite.ts";
import { quoteName, readTableShape, shapeText, type TableShape } from "./table_shape.ts";

/** Bytes of changes in one row of the log, unless a single change is larger. */
const ENTRY_BYTES_MAX = 32 * 1024;

/** Limits of what is captured. */
export interface CaptureLimits extends ChangeRetention {
  /** The changeset of one transaction and table; of a larger one feeds are only told that it was. */
  readonly changesetBytesMax: number;
}

interface WatchedTable {
  readonly shape: TableShape;
  /** Reads the row of a key. */
  readonly select: NodeStatement;
  /** Finds a row whose key holds NULL, where there can be one. */
  readonly findNullKey: NodeStatement | undefined;
}

/** A table in the unit that is open. */
interface Recording {
  readonly table: WatchedTable;
  readonly session: NodeSession;
}

/** Changes that are too large, or a row that cannot be completed. */
class NotCaptured extends Error {}

/**
 * Captures the changes of one writing connection. A unit is what feeds see as one transaction; several may be
 * committed together. The caller has switched the authorizer off around every method.
 */
export class ChangeCapture {
  readonly #database: NodeDatabase;
  readonly #limits: CaptureLimits;
  readonly #clockMs: () => number;
  readonly #schemaVersion: NodeStatement;
  readonly #keptSession: NodeSession;
  readonly #log: ChangeLog;
  #knownVersion: bigint | undefined;
  #watched: WatchedTable[] = [];
  #recordings: Recording[] = [];
  /** A unit is under way. */
  #hasBegun = false;

  /** `clockMs` tells the time since 1970. */
  constructor(database: NodeDatabase, limits: CaptureLimits, clockMs: () => number) {
    this.#database = database;
    this.#limits = limits;
    this.#clockMs = clockMs;
    // A DELETE of all rows that is prepared while there is no session would empty its table unseen.
    this.#keptSession = database.createSession({ table: "sqp_none" });
    this.#schemaVersion = database.prepare("PRAGMA schema_version");
    this.#log = new ChangeLog(database, limits);
  }

  /** The connection is about to be closed. */
  close(): void {
    this.#keptSession.close();
  }

  /** Begins a unit in the transaction that is open. */
  begin(): void {
    // SQLite may have undone the transaction of the last unit by itself.
    if (this.#hasBegun) this.abandon();
    this.#hasBegun = true;
    const changed = this.#reload();
    if (changed.length > 0) this.#log.append(changed, this.#clockMs());
    this.#recordings = this.#watched.map((table) => ({
      table,
      session: this.#database.createSession({ table: table.shape.name }),
    }));
  }

  /** Ends a unit: appends its changes to the log. `replaced` are the tables that its statements dropped or altered. */
  finish(replaced: readonly string[] = []): void {
    // A transaction that only reads.
    if (!this.#hasBegun) return;
    const resets = new Map<string, LogEntry>();
    for (const { table: { shape } } of this.#recordings) {
      if (isAmong(shape.name, replaced)) {
        resets.set(shape.name, resetEntry(shape.name, "schema_changed"));
      }
    }
    for (const entry of this.#reload()) resets.set(entry.table!, entry);
    const entries: LogEntry[] = [];
    for (const recording of this.#recordings) {
      if (!resets.has(recording.table.shape.name)) this.#capture(recording, entries, resets);
    }
    this.#closeSessions();
    entries.push(...resets.values());
    if (entries.length > 0) this.#log.append(entries, this.#clockMs());
  }

  /** Forgets what was done since the transaction began: it is rolled back. */
  abandon(): void {
    this.#closeSessions();
    // What was seen of the schema may be undone as well.
    this.#knownVersion = undefined;
  }

  #closeSessions(): void {
    this.#hasBegun = false;
    for (const { session } of this.#recordings) session.close();
    this.#recordings = [];
  }

  /**
   * Keeps the changes of tables from this transaction on, and tells what feeds need of them; of none where one of them
   * cannot be watched.
   */
  watch(tables: readonly string[]): WatchOutcome {
    const shapes = tables.map((table) => this.#supportedShape(table));
    const unsupported = shapes.filter((shape) => "why" in shape);
    if (unsupported.length > 0) return { unsupported };
    if (!this.#log.exists()) this.#log.create(this.#clockMs());
    const watched = this.#log.watched();
    const added: string[] = [];
    const tablesSince = (shapes as TableShape[]).map((shape) => {
      const known = watched.get(shape.name);
      const text = shapeText(shape);
      if (known === undefined) added.push(shape.name);
      const { name, columns, keys } = shape;
      return { name, columns, keys, shape: text, ...known ?? this.#log.watch(name, text) };
    });
    // Every connection to the database looks at what is watched when the schema has changed.
    if (added.length > 0) {
      this.#database.prepare("CREATE TABLE sqp_changed (x)").run();
      this.#database.prepare("DROP TABLE sqp_changed").run();
    }
    return { tables: tablesSince, ...this.#log.head() };
  }

  #supportedShape(table: string): TableShape | UnsupportedTable {
    const shape = readTableShape(this.#database, table);
    if ("why" in shape || !shape.nullableKey) return shape;
    if (this.#prepareNullKey(shape).get() === undefined) return shape;
    return { missing: false, why: `The key of the table ${shape.name} holds NULL.` };
  }

  /** Looks at what is watched where the schema has changed. Gives an entry for each table that is another now. */
  #reload(): LogEntry[] {
    const [version] = this.#schemaVersion.get() as [bigint];
    if (version === this.#knownVersion) return [];
    this.#knownVersion = version;
    this.#watched = [];
    if (!this.#log.exists()) return [];
    const changed: LogEntry[] = [];
    for (const [name, { shape: stored }] of this.#log.watched()) {
      const shape = readTableShape(this.#database, name);
      const isGone = "why" in shape || shape.name !== name;
      if (!isGone) this.#watched.push(this.#prepareTable(shape));
      if (!isGone && shapeText(shape) === stored) continue;
      if (isGone) this.#log.unwatch(name);
      else this.#log.watch(name, shapeText(shape));
      changed.push(resetEntry(name, "schema_changed"));
    }
    return changed;
  }

  #prepareTable(shape: TableShape): WatchedTable {
    const columns = shape.columns.map(({ name }) => quoteName(name));
    const where = shape.keys.map((key) => `${columns[key]} = ?`).join(" AND ");
    return {
      shape,
      select: this.#database.prepare(
        `SELECT ${columns.join()} FROM main.${quoteName(shape.name)} WHERE ${where}`,
      ),
      findNullKey: shape.nullableKey ? this.#prepareNullKey(shape) : undefined,
    };
  }

  #prepareNullKey({ name, columns, keys }: TableShape): NodeStatement {
    const key = quoteName(columns[keys[0]!]!.name);
    return this.#database.prepare(`SELECT 1 FROM main.${quoteName(name)} WHERE ${key} IS NULL`);
  }

  #capture(recording: Recording, entries: LogEntry[], resets: Map<string, LogEntry>): void {
    const { table } = recording;
    const { name } = table.shape;
    if (table.findNullKey?.get() !== undefined) {
      this.#log.unwatch(name);
      // Whoever else has this table among its own looks again.
      this.#knownVersion = undefined;
      resets.set(name, resetEntry(name, "null_key"));
      return;
    }
    const from = entries.length;
    try {
      this.#appendChanges(recording, entries);
    } catch (error) {
      if (!(error instanceof NotCaptured)) throw error;
      entries.length = from;
      resets.set(name, resetEntry(name, "transaction_too_large"));
    }
  }

  #appendChanges({ table, session }: Recording, entries: LogEntry[]): void {
    const bytes = changesetOf(session);
    if (bytes.length > this.#limits.changesetBytesMax) throw new NotCaptured();
    const writer = new ValueWriter(1_024);
    let changeCount = 0;
    const take = (lengthBytes: number) => {
      const written = writer.view().slice();
      entries.push({
        table: table.shape.name,
        changeCount,
        body: written.subarray(0, lengthBytes),
      });
      writer.truncate(0);
      writer.bytes(written.subarray(lengthBytes));
      changeCount = 0;
    };
    for (const change of readChangeset(bytes)) {
      const from = writer.length;
      const { before, after } = completed(table, change);
      appendChange(writer, before, after);
      if (writer.length - from > CHANGE_BYTES_MAX) throw new NotCaptured();
      if (from > 0 && writer.length > ENTRY_BYTES_MAX) take(from);
      changeCount++;
    }
    if (changeCount > 0) take(writer.length);
  }
}

function isAmong(name: string, names: readonly string[]): boolean {
  return names.some((other) => other.toLowerCase() === name.toLowerCase());
}

/** SQLite has run out of the memory that it may take where it has none. */
function changesetOf(session: NodeSession): Uint8Array {
  try {
    return session.changeset();
  } catch {
    throw new NotCaptured();
  }
}

type Image = readonly SqliteValue[] | null;

/** A change with all values of its rows: an update's row after it is in the table. */
function completed(table: WatchedTable, change: RowChange): { before: Image; after: Image } {
  const { operation, before, after } = change;
  if (operation === "insert") return { before: null, after: after as SqliteValue[] };
  if (operation === "delete") return { before: before as SqliteValue[], after: null };
  const { keys } = table.shape;
  const row = table.select.get(...keys.map((key) => before![key] as SqliteValue));
  if (row === undefined) throw new NotCaptured();
  // A number that became one of the other kind: its row is told as a new one beside this.
  const isOther = keys.some((key) => after![key] !== undefined);
  if (isOther) return { before: overlay(row, before!), after: null };
  return { before: overlay(row, before!), after: overlay(row, after!) };
}

function overlay(row: readonly SqliteValue[], values: readonly RecordValue[]): SqliteValue[] {
  return row.map((value, i) => {
    const known = values[i];
    return known === undefined ? value : known;
  });
}
