// One change feed: registered, answered, an optional snapshot, then transactions as they are committed.

import { concatBytes } from "../../base/bytes.ts";
import { decodeFeedWhere } from "../../wire/feed_payload.ts";
import { SqpError } from "../../wire/errors.ts";
import { encodeChanges, encodeMark } from "../../wire/feed_page.ts";
import type { FeedTable } from "../../wire/feed_payload.ts";
import type { Execution, FeedSink, SubscribeCommand } from "../engine.ts";
import { filterChanges, type RowFilter } from "../feed_filter.ts";
import type { WatchOutcome } from "./change_capture.ts";
import { toSqliteValue } from "./bindings.ts";
import { decodeCursor, encodeCursor } from "./feed_cursor.ts";
import type { FeedBackend, FeedHub } from "./feed_hub.ts";
import { readSnapshot, type SnapshotTable } from "./feed_snapshot.ts";
import type { LogRow } from "./log_rows.ts";

/** Bytes after which what there is for a feed is handed over. */
const BATCH_BYTES = 32 * 1024;

const CURSOR_FACTS = `SELECT (SELECT log_id FROM main.sqp_log),
  (SELECT min(id) FROM main.sqp_changes), (SELECT max(id) FROM main.sqp_changes),
  (SELECT at_ms FROM main.sqp_changes WHERE id = ? AND ends = 1)`;

/** A table of this feed. */
interface FedTable extends SnapshotTable {
  readonly filter: RowFilter;
  readonly sinceId: number;
}

/** The feed cannot go on, and why. */
class Reset extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The feed was cancelled. */
class Left extends Error {}

const REASONS: Readonly<Record<string, string>> = {
  schema_changed: "The schema of the table %s was changed.",
  transaction_too_large: "A transaction changed more of the table %s than is kept.",
  null_key: "The key of the table %s came to hold NULL.",
};

/** A feed under way. Every failure goes to its sink. */
export class SqliteFeed implements Execution {
  readonly #hub: FeedHub;
  readonly #backend: FeedBackend;
  readonly #command: SubscribeCommand;
  readonly #sink: FeedSink;
  #tables: FedTable[] = [];
  #logId = "";
  /** The last row of the log that was handed over. */
  #id = 0;
  /** The last row that ended a transaction, and when it was written. */
  #ended = { id: 0, atMs: 0 };
  #hasTold = false;
  /** Hand-overs that were asked for; the first comes unasked. */
  #credit = 1;
  readonly #left = Promise.withResolvers<never>();
  #room: (() => void) | undefined;
  #isOver = false;

  constructor(hub: FeedHub, backend: FeedBackend, command: SubscribeCommand, sink: FeedSink) {
    this.#hub = hub;
    this.#backend = backend;
    this.#command = command;
    this.#sink = sink;
    this.#left.promise.catch(() => {});
    this.#run();
  }

  pull(pages: number): void {
    this.#credit += pages;
    this.#room?.();
  }

  cancel(): void {
    this.#left.reject(new Left());
  }

  async #run(): Promise<void> {
    let entered = false;
    try {
      await Promise.resolve();
      this.#hub.enter();
      entered = true;
      await this.#feed();
    } catch (error) {
      this.#end(error);
    } finally {
      if (entered) this.#hub.leave();
    }
  }

  #end(error: unknown): void {
    this.#isOver = true;
    if (error instanceof Left) this.#sink.onError(new SqpError("cancelled"));
    else if (error instanceof SqpError) this.#sink.onError(error);
    else if (error instanceof Reset) {
      const { reason, message } = error;
      this.#sink.onPage(encodeMark({ kind: "reset", reason, message }));
      this.#sink.onEnd();
    } else this.#sink.onError(new SqpError("internal", { cause: error }));
  }

  /** Ends with the feed where that is cancelled. */
  #orLeave<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#left.promise]);
  }

  async #feed(): Promise<never> {
    const { cursor, snapshot, tables } = this.#command;
    const outcome = await this.#orLeave(this.#backend.watch(tables.map(({ table }) => table)));
    this.#tables = tables.map((asked, index) => fedTable(outcome.tables[index]!, asked.where));
    this.#logId = outcome.logId;
    this.#hub.noteHead(outcome.headId);
    this.#moveTo(outcome.headId, outcome.headAtMs);
    const facts = this.#tables.map(({ shape: { name, columns, keys } }): FeedTable => ({
      name,
      columns,
      keys,
    }));
    const startsAt = cursor ?? (snapshot ? undefined : this.#cursor());
    this.#sink.onStart({ tables: facts, ...(startsAt !== undefined && { cursor: startsAt }) });
    if (cursor !== undefined) await this.#resume(cursor);
    else if (snapshot) await this.#tellSnapshot();
    for (;;) await this.#tellNext();
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
      await this.#orLeave(new Promise<void>((resolve) => this.#room = resolve));
    }
    this.#credit--;
    this.#sink.onPage(parts.length === 1 ? parts[0]! : concatBytes(...parts));
  }

  // From a cursor

  async #resume(cursor: string): Promise<void> {
    const position = decodeCursor(cursor);
    if (position === undefined) throw unknownCursor();
    const { logId, id, atMs } = position;
    const [log, minId, maxId, writtenAtMs] = await this.#orLeave(this.#cursorFacts(id));
    if (log !== logId || id > maxId) throw unknownCursor();
    if (id < minId) throw tooOld();
    if (writtenAtMs !== atMs) throw unknownCursor();
    const late = this.#tables.find(({ sinceId }) => sinceId > id);
    if (late !== undefined) {
      const message = `Changes of the table ${late.shape.name} were not kept then.`;
      throw new Reset("cursor_too_old", message);
    }
    this.#moveTo(id, atMs);
  }

  async #cursorFacts(id: number): Promise<[string, number, number, number | null]> {
    const pages = this.#backend.read(CURSOR_FACTS, [id]);
    for await (const page of pages) {
      return decodeRowPage(page.subarray(PAGE_PREFIX_BYTES), 4)[0] as [
        string,
        number,
        number,
        number | null,
      ];
    }
    throw new SqpError("engine_failure");
  }

  // The snapshot

  async #tellSnapshot(): Promise<void> {
    const snapshot = readSnapshot(this.#backend, this.#tables);
    try {
      for (;;) {
        const step = await this.#orLeave(snapshot.next());
        if (step.done) break;
        const part = step.value;
        if (part.kind === "head") {
          if (part.isOtherSchema) throw resetOf("schema_changed", part.table);
          this.#moveTo(part.id, part.atMs);
        } else await this.#give(part.page);
      }
    } finally {
      await snapshot.return();
    }
    await this.#give(encodeMark({ kind: "snapshot-end", cursor: this.#cursor() }));
  }

  // Transactions

  async #tellNext(): Promise<void> {
    const { rows, resolvedAtMs } = await this.#orLeave(this.#hub.after(this.#id));
    if (resolvedAtMs !== undefined) {
      const mark = { kind: "resolved", cursor: this.#cursor(), atMs: resolvedAtMs } as const;
      return await this.#give(encodeMark(mark));
    }
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for (const row of rows) {
      if (row.id !== this.#id + 1) throw this.#hasTold ? tooSlow() : tooOld();
      for (const part of this.#partsOf(row)) {
        parts.push(part);
        bytes += part.length;
      }
      if (bytes < BATCH_BYTES) continue;
      await this.#give(...parts);
      [parts, bytes] = [[], 0];
      // Whatever else this thread has to do comes first.
      await this.#orLeave(new Promise<void>((resolve) => setTimeout(resolve, 0)));
    }
    if (parts.length > 0) await this.#give(...parts);
    this.#hasTold = true;
  }
}
