// Prepares commands and gives them a connection to run on. It knows nothing of processes: the engine process and
// simulations
// share it.

import { DecodeError } from "../../base/byte_reader.ts";
import { SqpError } from "../../wire/errors.ts";
import { type DecodedParams, decodeParams } from "../../wire/params.ts";
import type { PageResult, StatementDescription } from "../../wire/response_payload.ts";
import { commandHash } from "../command_hash.ts";
import type { BatchStatement } from "../engine.ts";
import { BatchRead } from "./batch_read.ts";
import { type BatchHost, BatchWrite } from "./batch_write.ts";
import type { Bindings } from "./bindings.ts";
import {
  type ConnectionRole,
  type HandedOff,
  type PreparedStatement,
  SqliteConnection,
} from "./connection.ts";
import { KeyedWrite } from "./keyed_write.ts";
import { LOG_ROW_BYTES_MAX } from "./log_rows.ts";
import { OWN, type PermissionMask } from "./permissions.ts";
import { ShortRead, StreamedRead } from "./read_statements.ts";
import { HandOffError, readError, type RunningStatement } from "./running_statement.ts";
import type { SqliteSettings } from "./settings.ts";
import { WatchStatement } from "./watch_statement.ts";
import { WriteStatement } from "./write_statement.ts";

/** Who asks, as the outcomes of writes are stored. */
export interface RequestKey {
  readonly principal: string;
  readonly key: string;
}

/** A statement to run. */
export interface StatementRequest {
  readonly sql: string;
  /** Encoded parameters. */
  readonly params: Uint8Array;
  readonly permissions: PermissionMask;
  /** The write takes effect once for this key. */
  readonly key?: RequestKey;
}

/** A batch to run. */
export interface BatchRequest {
  readonly steps: readonly BatchStatement[];
  readonly permissions: PermissionMask;
  readonly key?: RequestKey;
}

/** Opens connections as they are needed, for each set of permissions, and starts commands on them. */
export class StatementRunner {
  readonly #settings: SqliteSettings;
  readonly #role: ConnectionRole;
  readonly #clockMs: () => number;
  readonly #connections = new Map<PermissionMask, SqliteConnection[]>();

  /**
   * Opens the database. `clockMs` tells the time for {@linkcode SqliteSettings.limits} `pageMsMax`. Throws {@linkcode
   * SqpError}, among them
   * `not_a_database` and `database_io`.
   */
  constructor(settings: SqliteSettings, role: ConnectionRole, clockMs: () => number) {
    this.#settings = settings;
    this.#role = role;
    this.#clockMs = clockMs;
    this.connection(0);
  }

  /**
   * A connection on which a read sees what was committed before: on one with an open stream of rows it would see the
   * state of then. Throws {@linkcode SqpError}.
   */
  connection(permissions: PermissionMask): SqliteConnection {
    let connections = this.#connections.get(permissions);
    if (connections === undefined) this.#connections.set(permissions, connections = []);
    const free = connections.find((connection) => connection.openStreams === 0);
    if (free !== undefined) return free;
    // A database in memory belongs to its connection.
    if (this.#role === "single" && connections.length > 0) return connections[0]!;
    if (connections.length >= this.#settings.limits.connectionsMax) {
      throw new SqpError("overloaded", { message: "Too many results are read slowly." });
    }
    const connection = new SqliteConnection(this.#settings, this.#role, permissions);
    connections.push(connection);
    return connection;
  }

  /** Whether the statement is prepared already. */
  knows(request: StatementRequest): boolean {
    return this.#known(request) !== undefined;
  }

  /** Whether the statement is prepared already, on a connection that only reads, and may give many rows. */
  isKnownStream(request: StatementRequest): boolean {
    const known = this.#known(request);
    return this.#role === "reader" && known?.kind === "statement" && !known.fewRows;
  }

  #known({ sql, permissions }: StatementRequest): PreparedStatement | HandedOff | undefined {
    const connections = this.#connections.get(permissions);
    return connections?.find(({ openStreams }) => openStreams === 0)?.known(sql);
  }

  /**
   * Prepares and binds a statement without running it. A reader hands off what would write. Throws {@linkcode
   * SqpError}.
   */
  start(request: StatementRequest): RunningStatement | HandedOff {
    const { limits } = this.#settings;
    const { permissions, sql, key } = request;
    const connection = this.connection(permissions);
    const isOwn = (permissions & OWN) !== 0;
    if (isOwn && this.#role === "writer") return new WatchStatement(connection, sql);
    const prepared = connection.prepare(sql);
    if (prepared.kind === "handOff") return prepared;
    const bindings = prepared.plan.bind(decode(request.params));
    if (this.#role === "writer" || prepared.effects.writes) {
      const bytesMax = limits.returningBytesMax;
      const write = new WriteStatement(connection, prepared, bindings, { bytesMax });
      if (key === undefined) return write;
      if (!write.writes) throw onlyReads();
      return new KeyedWrite(write, { ...key, hash: commandHash(request) }, limits);
    }
    if (key !== undefined) throw onlyReads();
    if (prepared.fewRows) return new ShortRead(connection, prepared, bindings);
    return this.#stream(connection, prepared, bindings, isOwn);
  }

  /** The same in a transaction of a client, on its connection. */
  startIn(
    connection: SqliteConnection,
    { sql, params }: StatementRequest,
  ): RunningStatement | HandedOff {
    const prepared = connection.prepare(sql);
    if (prepared.kind === "handOff") return prepared;
    const bindings = prepared.plan.bind(decode(params));
    if (prepared.effects.writes) {
      const bytesMax = this.#settings.limits.returningBytesMax;
      return new WriteStatement(connection, prepared, bindings, { bytesMax });
    }
    if (prepared.fewRows) return new ShortRead(connection, prepared, bindings);
    return this.#stream(connection, prepared, bindings, false);
  }

  #stream(
    connection: SqliteConnection,
    prepared: PreparedStatement,
    bindings: Bindings,
    isOwn: boolean,
  ): StreamedRead {
    const { firstPageBytesMax, pageMsMax } = this.#settings.limits;
    const clockMs = this.#clockMs;
    return new StreamedRead(connection, prepared, bindings, {
      firstPageBytesMax,
      pageMsMax,
      clockMs,
      ...(isOwn && { rowBytesMax: LOG_ROW_BYTES_MAX }),
    });
  }

  /** Takes a batch without running it. */
  startBatch(request: BatchRequest): RunningStatement {
    const { steps, permissions, key } = request;
    const connection = this.connection(permissions);
    if (this.#role === "reader") return new BatchRead(connection, steps, this.#hostOn(connection));
    const write = this.startBatchIn(connection, steps);
    if (key === undefined) return write;
    return new KeyedWrite(write, { ...key, hash: commandHash(request) }, this.#settings.limits);
  }

  /** The same in a transaction of a client, on its connection. */
  startBatchIn(connection: SqliteConnection, steps: readonly BatchStatement[]): BatchWrite {
    return new BatchWrite(connection, steps, this.#hostOn(connection));
  }

  #hostOn(connection: SqliteConnection): BatchHost {
    return {
      bytesMax: this.#settings.limits.batchBytesMax,
      run: (step, bytesMax) => runStep(connection, step, bytesMax),
    };
  }

  /** What a statement is; a reader hands off what would write. Throws {@linkcode SqpError}. */
  describe(
    sql: string,
    connection: SqliteConnection,
  ): StatementDescription | HandedOff {
    const prepared = connection.prepare(sql);
    if (prepared.kind === "handOff") return prepared;
    return { columns: prepared.columns, parameters: prepared.plan.parameters };
  }

  close(): void {
    for (const connections of this.#connections.values()) {
      for (const connection of connections) connection.close();
    }
    this.#connections.clear();
  }
}

/** Runs a step of a batch and takes all of its rows. Throws {@linkcode HandOffError} on a reader, for what writes. */
function runStep(
  connection: SqliteConnection,
  { sql, params }: BatchStatement,
  bytesMax: number,
): PageResult {
  const prepared = connection.prepare(sql);
  if (prepared.kind === "handOff") throw new HandOffError();
  const bindings = prepared.plan.bind(decode(params));
  const write = new WriteStatement(connection, prepared, bindings, {
    bytesMax,
    pageBytesMax: bytesMax,
  });
  write.execute();
  if (write.failure !== undefined) throw readError(connection, write.failure);
  return write.result();
}

function onlyReads(): SqpError {
  const message = "An idempotency key is for a statement that writes.";
  return new SqpError("bad_request", { message });
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
