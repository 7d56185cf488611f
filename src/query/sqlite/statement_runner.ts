// Runs one statement after the other and cuts their rows into pages. It knows nothing of processes: the engine
// process and simulations
// share it.

import { DecodeError } from "../../base/byte_reader.ts";
import { SqpError } from "../../wire/errors.ts";
import { type DecodedParams, decodeParams } from "../../wire/params.ts";
import { type ConnectionRole, type HandedOff, SqliteConnection } from "./connection.ts";
import { OWN, type PermissionMask } from "./permissions.ts";
import { ShortRead, StreamedRead } from "./read_statements.ts";
import { LOG_ROW_BYTES_MAX } from "./log_rows.ts";
import type { SqliteSettings } from "./settings.ts";
import { WatchStatement } from "./watch_statement.ts";
import { WriteStatement } from "./write_statement.ts";

/** What is to be run. */
export interface StatementRequest {
  readonly sql: string;
  /** Encoded parameters. */
  readonly params: Uint8Array;
  readonly permissions: PermissionMask;
}

/** Opens connections as they are needed, one for each set of permissions, and starts statements on them. */
export class StatementRunner {
  readonly #settings: SqliteSettings;
  readonly #role: ConnectionRole;
  readonly #clockMs: () => number;
  readonly #connections = new Map<PermissionMask, SqliteConnection>();

  /**
   * Opens the database. `clockMs` tells the time for {@linkcode SqliteSettings.limits} `pageMsMax`. Throws {@linkcode
   * SqpError}, among them
   * `not_a_database` and `database_io`.
   */
  constructor(settings: SqliteSettings, role: ConnectionRole, clockMs: () => number) {
    this.#settings = settings;
    this.#role = role;
    this.#clockMs = clockMs;
    this.#connection(0);
  }

  #connection(permissions: PermissionMask): SqliteConnection {
    let connection = this.#connections.get(permissions);
    if (connection === undefined) {
      connection = new SqliteConnection(this.#settings, this.#role, permissions);
      this.#connections.set(permissions, connection);
    }
    return connection;
  }

  /** Whether the statement is prepared already. */
  knows({ sql, permissions }: StatementRequest): boolean {
    return this.#connections.get(permissions)?.knows(sql) ?? false;
  }

  /**
   * Prepares and binds a statement without running it. A reader hands off what would write. Throws {@linkcode
   * SqpError}.
   */
  start(
    request: StatementRequest,
  ): ShortRead | StreamedRead | WriteStatement | WatchStatement | HandedOff {
    const connection = this.#connection(request.permissions);
    const isOwn = (request.permissions & OWN) !== 0;
    if (isOwn && this.#role === "writer") return new WatchStatement(connection, request.sql);
    const prepared = connection.prepare(request.sql);
    if (prepared.kind === "handOff") return prepared;
    const bindings = prepared.plan.bind(decode(request.params));
    const { limits } = this.#settings;
    if (this.#role === "writer" || prepared.effects.writes) {
      return new WriteStatement(connection, prepared, bindings, limits.returningBytesMax);
    }
    if (prepared.fewRows) return new ShortRead(connection, prepared, bindings);
    return new StreamedRead(connection, prepared, bindings, {
      firstPageBytesMax: limits.firstPageBytesMax,
      pageMsMax: limits.pageMsMax,
      clockMs: this.#clockMs,
      ...(isOwn && { rowBytesMax: LOG_ROW_BYTES_MAX }),
    });
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }
}

function decode(params: Uint8Array): DecodedParams {
  try {
    return decodeParams(params);
  } catch (error) {
    if (error instanceof DecodeError) {
      throw new SqpError("malformed_payload", { message: error.message, cause: error });
    }
    throw error;
  }
}
