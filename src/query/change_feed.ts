// One change feed: registered, answered, an optional snapshot, then transactions as they are committed.

import { concatBytes } from "../base/bytes.ts";
import { DecodeError } from "../base/byte_reader.ts";
import { SqpError } from "../wire/errors.ts";
import { encodeChanges, encodeMark } from "../wire/feed_page.ts";
import { decodeParams } from "../wire/params.ts";
import type { SqlValue } from "../wire/value.ts";
import type { Execution, FeedSink, SubscribeCommand } from "./engine.ts";
import type {
  FedTable,
  FeedBackend,
  LogRow,
  UnsupportedTable,
  WatchedTable,
} from "./feed_backend.ts";
import { decodeCursor, encodeCursor } from "./feed_cursor.ts";
import { filterChanges, type RowFilter } from "./feed_filter.ts";
import type { FeedHub } from "./feed_hub.ts";

/** Bytes after which what there is for a feed is handed over. */
const BATCH_BYTES = 32 * 1024;

/** The feed cannot go on, and why. */
class Reset extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

const utf8 = new TextDecoder();

/** A feed under way. Every failure goes to its sink. */
export class ChangeFeed implements Execution {
  readonly #hub: FeedHub;
  readonly #backend: FeedBackend;
  readonly #command: SubscribeCommand;
  readonly #sink: FeedSink;
  #tables: FedTable[] = [];
  #logId = "";
  /** The last row of the log that was looked at. */
  #id = 0;
  /** The last one that ended a transaction, and when it was written. */
  #ended = { id: 0, atMs: 0 };
  /** Something of the transaction after it was told. */
  #isInside = false;
  #hasFollowed = false;
  /** Hand-overs that were asked for; the first comes unasked. */
  #credit = 1;
  #onCredit: (() => void) | undefined;
  /** Why it is ended from outside. */
  #ending: SqpError | undefined;
  #onEnding: ((why: SqpError) => void) | undefined;

  constructor(hub: FeedHub, backend: FeedBackend, command: SubscribeCommand, sink: FeedSink) {
    this.#hub = hub;
    this.#backend = backend;
    this.#command = command;
    this.#sink = sink;
    queueMicrotask(() => this.#run());
  }

  pull(pages: number): void {
    this.#credit += pages;
    this.#onCredit?.();
  }

  cancel(): void {
    this.fail(new SqpError("cancelled"));
  }

  /** Ends it, whatever it waits for, with this error. Harmless after its end. */
  fail(error: SqpError): void {
    this.#ending ??= error;
    this.#onEnding?.(this.#ending);
  }

  async #run(): Promise<void> {
    try {
      this.#hub.enter(this);
      await this.#feed();
    } catch (error) {
      this.#end(error);
    } finally {
      this.#hub.leave(this);
    }
  }

  #end(error: unknown): void {
    if (error instanceof SqpError) this.#sink.onError(error);
    else if (error instanceof Reset) {
      const { reason, message } = error;
      this.#sink.onPage(encodeMark({ kind: "reset", reason, message }));
      this.#sink.onEnd();
    } else {
      const message = error instanceof Error ? error.message : String(error);
      this.#sink.onError(new SqpError("internal", { message, cause: error }));
    }
  }

  /** Waits, but no longer than the feed is wanted. */
  #orEnding<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#onEnding = reject;
      if (this.#ending !== undefined) reject(this.#ending);
      promise.then(resolve, reject);
    });
  }

  async #feed(): Promise<never> {
    const { cursor, snapshot, tables } = this.#command;
    const outcome = await this.#orEnding(this.#backend.watch(tables.map(({ table }) => table)));
    if ("unsupported" in outcome) throw refusalOf(outcome.unsupported);
    this.#tables = outcome.tables.map((watched, index) => ({
      watched,
      filter: this.#filterOf(watched, tables[index]!.where),
    }));
    this.#logId = outcome.logId;
    this.#hub.noteHead(outcome.headId);
    this.#moveTo(outcome.headId, outcome.headAtMs);
    const startsAt = cursor ?? (snapshot ? undefined : this.#cursor());
    this.#sink.onStart({
      tables: outcome.tables.map(({ name, columns, keys }) => ({ name, columns, keys })),
      ...(startsAt !== undefined && { cursor: startsAt }),
    });
    if (cursor !== undefined) await this.#resume(cursor);
    else if (snapshot) await this.#tellSnapshot();
    for (;;) await this.#tellNext();
  }

  /** The filter of a table. Throws {@linkcode SqpError}. */
  #filterOf({ name: table, columns }: WatchedTable, where: Uint8Array | undefined): RowFilter {
    const filter = new Map<number, SqlValue>();
    if (where === undefined) return filter;
    for (const [name, value] of decodeWhere(where)) {
      const column = columns.findIndex((c) => c.name.toLowerCase() === name.toLowerCase());
      if (column < 0) {
        const message = `The table ${table} has no column ${name} that feeds tell.`;
        throw new SqpError("unknown_column", { message });
      }
      filter.set(column, this.#backend.filterValue(value, `The column ${name}`));
    }
    return filter;
  }

  #cursor(): string {
    return encodeCursor({ logId: this.#logId, ...this.#ended });
  }

  #moveTo(id: number, atMs: number): void {
    this.#id = id;
    this.#ended = { id, atMs };
  }

  /** Waits until there is room, and hands over. */
  async #give(...parts: readonly Uint8Array[]): Promise<void> {
    while (this.#credit === 0) {
      await this.#orEnding(new Promise<void>((resolve) => this.#onCredit = resolve));
    }
    if (this.#ending !== undefined) throw this.#ending;
    this.#credit--;
    this.#sink.onPage(parts.length === 1 ? parts[0]! : concatBytes(...parts));
  }

  // From a cursor

  async #resume(cursor: string): Promise<void> {
    const position = decodeCursor(cursor);
    if (position === undefined || position.logId !== this.#logId) throw unknownCursor();
    const { id, atMs } = position;
    const facts = await this.#orEnding(this.#backend.cursorFacts(id));
    if (id > facts.maxId) throw unknownCursor();
    if (id < facts.minId) throw tooOld();
    if (facts.atMs !== atMs) throw unknownCursor();
    const late = this.#tables.find(({ watched }) => watched.sinceId > id);
    if (late !== undefined) {
      const message = `Changes of the table ${late.watched.name} were not kept then.`;
      throw new Reset("cursor_too_old", message);
    }
    const changed = this.#tables.find(({ watched }) => watched.shapeSinceId > id);
    if (changed !== undefined) throw schemaChanged(changed.watched.name);
    this.#moveTo(id, atMs);
  }

  // The snapshot

  async #tellSnapshot(): Promise<void> {
    const reader = this.#backend.snapshot(this.#tables);
    try {
      for (let part; (part = await this.#orEnding(reader.next())) !== undefined;) {
        const { head, parts } = part;
        if (head !== undefined) {
          if (head.otherTable !== undefined) throw schemaChanged(head.otherTable);
          this.#moveTo(head.id, head.atMs);
        }
        if (parts.length > 0) await this.#give(...parts);
      }
    } finally {
      reader.close();
    }
    await this.#give(encodeMark({ kind: "snapshot-end", cursor: this.#cursor() }));
  }

  // Transactions

  async #tellNext(): Promise<void> {
    const { rows, resolvedAtMs } = await this.#orEnding(this.#hub.after(this, this.#id));
    if (resolvedAtMs !== undefined) {
      const mark = { kind: "resolved", cursor: this.#cursor(), atMs: resolvedAtMs } as const;
      return await this.#give(encodeMark(mark));
    }
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for (const row of rows) {
      // Rows before it were removed.
      if (row.previousId !== this.#id) throw this.#hasFollowed ? tooSlow() : tooOld();
      const reset = this.#tell(row, parts);
      if (reset !== undefined) {
        if (parts.length > 0) await this.#give(...parts);
        throw reset;
      }
      bytes += row.body.length;
      if (bytes < BATCH_BYTES) continue;
      if (parts.length > 0) await this.#give(...parts);
      [parts, bytes] = [[], 0];
      // Whatever else this thread has to do comes first.
      await this.#orEnding(new Promise<void>((resolve) => setTimeout(resolve, 0)));
    }
    if (parts.length > 0) await this.#give(...parts);
    this.#hasFollowed = true;
  }

  /** Adds what a row of the log is to this feed, or gives the reason for which the feed ends with it. */
  #tell(row: LogRow, parts: Uint8Array[]): Reset | undefined {
    for (const [index, { watched, filter }] of this.#tables.entries()) {
      if (row.table !== watched.name) continue;
      if (row.count === 0) return resetOf(utf8.decode(row.body), watched.name);
      const { count, bytes } = filterChanges({ count: row.count, bytes: row.body }, filter);
      if (count === 0) continue;
      parts.push(encodeChanges(index, count, bytes));
      this.#isInside = true;
    }
    this.#id = row.id;
    if (!row.ends) return undefined;
    this.#moveTo(row.id, row.atMs);
    if (!this.#isInside) return undefined;
    this.#isInside = false;
    parts.push(encodeMark({ kind: "commit", cursor: this.#cursor(), atMs: row.atMs }));
    return undefined;
  }
}

// What is asked for

function refusalOf(unsupported: readonly UnsupportedTable[]): SqpError {
  const message = unsupported.map(({ why }) => why).join(" ");
  const isMissing = unsupported.every(({ missing }) => missing);
  return new SqpError(isMissing ? "unknown_table" : "feed_not_supported", { message });
}

function decodeWhere(where: Uint8Array): ReadonlyMap<string, SqlValue> {
  try {
    const params = decodeParams(where);
    if (params.kind === "named") return params.values;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  throw new SqpError("malformed_payload", {
    message: "The filter of a table is no map of values.",
  });
}

// Why a feed ends

function unknownCursor(): Reset {
  return new Reset("cursor_unknown", "The cursor is none of this database as it is now.");
}

function tooOld(): Reset {
  return new Reset("cursor_too_old", "Changes after the cursor are no longer kept.");
}

function tooSlow(): Reset {
  const message = "The feed was read so slowly that its next changes are no longer kept.";
  return new Reset("too_slow", message);
}

function schemaChanged(table: string): Reset {
  return new Reset("schema_changed", `The schema of the table ${table} was changed.`);
}

/** The reset that a row of the log says. */
function resetOf(reason: string, table: string): Reset {
  if (reason === "schema_changed") return schemaChanged(table);
  if (reason === "changes_lost") {
    return new Reset(reason, "Changes were lost before they came into the log.");
  }
  if (reason === "truncated") return new Reset(reason, `The table ${table} was truncated.`);
  const message = reason === "null_key"
    ? `The key of the table ${table} came to hold NULL.`
    : `A transaction changed more of the table ${table} than feeds are told.`;
  return new Reset(reason, message);
}
