// The change feeds of one database, and how they use its engine.

import { SqpError } from "../../wire/errors.ts";
import { PAGE_PREFIX_BYTES } from "../../wire/page_cutter.ts";
import { encodeParams } from "../../wire/params.ts";
import { decodeRowPage } from "../../wire/row_page.ts";
import type { SqlParams } from "../../wire/value.ts";
import { ChangeFeed } from "../change_feed.ts";
import type {
  ExecuteCommand,
  Execution,
  FeedSink,
  ResultSink,
  SubscribeCommand,
} from "../engine.ts";
import type { FeedBackend, PartReader } from "../feed_backend.ts";
import { FeedHub } from "../feed_hub.ts";
import type { FeedLimits } from "../feed_limits.ts";
import { toSqliteValue } from "./bindings.ts";
import { readSnapshotPage, snapshotStatement } from "./feed_snapshot.ts";
import type { ProcessRole } from "./ipc.ts";
import { decodeLogPage, LOG_AFTER } from "./log_rows.ts";
import { readWatchOutcome, watchText } from "./watch_statement.ts";

/** Runs the engine's own commands, which may use its own tables. */
export interface FeedHost {
  /** To a writer, the text is one of `watchText`. */
  runOwn(role: ProcessRole, command: ExecuteCommand, sink: ResultSink): Execution;
}

/** Opens feeds and wakes them. */
export class SqliteFeeds {
  readonly #hub: FeedHub;
  readonly #backend: FeedBackend;

  constructor(host: FeedHost, limits: FeedLimits) {
    this.#backend = backendOf(host);
    this.#hub = new FeedHub(this.#backend, limits);
  }

  /** Opens a feed. */
  open(command: SubscribeCommand, sink: FeedSink): Execution {
    return new ChangeFeed(this.#hub, this.#backend, command, sink);
  }

  /** What is counted. */
  get counts(): Readonly<Record<string, number>> {
    return this.#hub.counts;
  }

  /** A write has ended. */
  wake(): void {
    this.#hub.wake();
  }

  /** Ends all feeds. */
  close(): void {
    this.#hub.close(new SqpError("shutting_down"));
  }
}

const CURSOR_FACTS = `SELECT min(id), max(id),
  (SELECT at_ms FROM main.sqp_changes WHERE id = ? AND ends = 1) FROM main.sqp_changes`;

function backendOf(host: FeedHost): FeedBackend {
  const read = (sql: string, params: SqlParams) => new OwnRead(host, "reader", sql, params);
  return {
    async watch(tables) {
      const reader = new OwnRead(host, "writer", watchText(tables), []);
      const page = await reader.next();
      const [value] = decodeRowPage(page!.subarray(PAGE_PREFIX_BYTES), 1)[0]!;
      return readWatchOutcome(value as string);
    },
    filterValue: toSqliteValue,
    async cursorFacts(id) {
      const page = await read(CURSOR_FACTS, [id]).next();
      const [minId, maxId, atMs] = decodeRowPage(page!.subarray(PAGE_PREFIX_BYTES), 3)[0]!;
      return { minId: Number(minId), maxId: Number(maxId), atMs: atMs as number | null };
    },
    snapshot(tables) {
      const { sql, params } = snapshotStatement(tables);
      return mapped(read(sql, params), (page) => readSnapshotPage(page, tables));
    },
    // A transaction writes to the log itself.
    settle: () => Promise.resolve(),
    logAfter: (id) => mapped(read(LOG_AFTER, [id]), decodeLogPage),
  };
}

function mapped<From, To>(reader: PartReader<From>, convert: (part: From) => To): PartReader<To> {
  return {
    async next() {
      const part = await reader.next();
      return part === undefined ? undefined : convert(part);
    },
    close: () => reader.close(),
  };
}

/** A result that is taken page by page. */
class OwnRead implements PartReader<Uint8Array>, ResultSink {
  readonly #execution: Execution;
  #page: Uint8Array | undefined;
  #isFirst = true;
  #hasEnded = false;
  #error: SqpError | undefined;
  #waiting:
    | { resolve(page: Uint8Array | undefined): void; reject(error: SqpError): void }
    | undefined;

  constructor(host: FeedHost, role: ProcessRole, sql: string, params: SqlParams) {
    this.#execution = host.runOwn(role, { sql, params: encodeParams(params) }, this);
  }

  next(): Promise<Uint8Array | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    this.#waiting = { resolve, reject };
    // The first page comes unasked.
    if (!this.#isFirst && this.#page === undefined && !this.#hasEnded) this.#execution.pull(1);
    this.#isFirst = false;
    this.#settle();
    return promise;
  }

  close(): void {
    if (!this.#hasEnded) this.#execution.cancel();
  }

  onHead(): void {}

  onPage(page: Uint8Array): void {
    this.#page = page;
    this.#settle();
  }

  onEnd(): void {
    this.#hasEnded = true;
    this.#settle();
  }

  onError(error: SqpError): void {
    this.#error = error;
    this.onEnd();
  }

  #settle(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const page = this.#page;
    if (page === undefined && !this.#hasEnded) return;
    this.#waiting = undefined;
    this.#page = undefined;
    if (page === undefined && this.#error !== undefined) waiting.reject(this.#error);
    else waiting.resolve(page);
  }
}
