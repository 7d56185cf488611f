// Reads in the serving thread: those that an engine process has proved short, which answers them without a way to it.

import { decodeParams } from "../../wire/params.ts";
import type { ResultSink } from "../engine.ts";
import { SqliteConnection } from "./connection.ts";
import type { PermissionMask } from "./permissions.ts";
import { ShortRead } from "./read_statements.ts";
import type { SqliteSettings } from "./settings.ts";
import type { StatementRequest } from "./statement_runner.ts";

/** Texts that are known to be short, for each set of permissions. */
const TEXTS_MAX = 1_024;

/** Longer texts are not remembered: to prepare them takes its time. */
const SQL_CHARACTERS_MAX = 2_048;

/** The connections of the serving thread, which only read, and only what is short. */
export class InPlaceReads {
  readonly #settings: SqliteSettings;
  readonly #texts = new Map<PermissionMask, Set<string>>();
  readonly #connections = new Map<PermissionMask, SqliteConnection>();

  constructor(settings: SqliteSettings) {
    const { inPlaceBytesMax } = settings.limits;
    this.#settings = {
      ...settings,
      limits: { ...settings.limits, valueBytesMax: inPlaceBytesMax },
    };
  }

  /** Remembers that a text cannot run for long with these permissions, as a process has proved. */
  learn(sql: string, permissions: PermissionMask): void {
    if (sql.length > SQL_CHARACTERS_MAX) return;
    let texts = this.#texts.get(permissions);
    if (texts === undefined) this.#texts.set(permissions, texts = new Set());
    texts.add(sql);
    if (texts.size <= TEXTS_MAX) return;
    for (const oldest of texts) {
      texts.delete(oldest);
      break;
    }
  }

  /**
   * Runs a statement that is known to be short; its sink hears of it in a microtask. Returns `false` where an engine
   * process has to run it: it is not known, its rows are large, or it fails, of which a process tells the reason.
   */
  run({ sql, params, permissions }: StatementRequest, sink: ResultSink): boolean {
    if (this.#texts.get(permissions)?.has(sql) !== true) return false;
    let connection: SqliteConnection | undefined;
    try {
      connection = this.#connection(permissions);
      const prepared = connection.prepare(sql);
      if (prepared.kind === "handOff" || !prepared.short) return this.#forget(permissions);
      const read = new ShortRead(connection, prepared, prepared.plan.bind(decodeParams(params)));
      const { page, end } = read.next();
      if (end === undefined) return false;
      queueMicrotask(() => {
        sink.onHead(read.columns);
        if (page !== undefined) sink.onPage(page, true);
        sink.onEnd(end);
      });
      return true;
    } catch {
      // By another schema it may be anything but short, so it was not prepared anew.
      return connection?.isRefusedAnew() === true ? this.#forget(permissions) : false;
    }
  }

  #connection(permissions: PermissionMask): SqliteConnection {
    let connection = this.#connections.get(permissions);
    if (connection === undefined) {
      connection = new SqliteConnection(this.#settings, "inPlace", permissions);
      this.#connections.set(permissions, connection);
    }
    return connection;
  }

  /** Nothing is known to be short any more, until a process says so again. */
  #forget(permissions: PermissionMask): false {
    this.#texts.delete(permissions);
    this.#connections.get(permissions)?.close();
    this.#connections.delete(permissions);
    return false;
  }

  close(): void {
    for (const permissions of [...this.#connections.keys()]) this.#forget(permissions);
    this.#texts.clear();
  }
}
