// One connection with the permissions of one set of principals, and its cache of prepared statements.

import { SqpError } from "../../wire/errors.ts";
import type { Column } from "../../wire/response_payload.ts";
import { Authorizer, type StatementEffects } from "./authorizer.ts";
import { BindingPlan } from "./bindings.ts";
import { type Instruction, proveBytecode } from "./bytecode.ts";
import type { WatchOutcome } from "../feed_backend.ts";
import { ChangeCapture } from "./change_capture.ts";
import {
  lastErrorText,
  type NodeColumn,
  type NodeDatabase,
  type NodeStatement,
  openDatabase,
  type SqliteValue,
} from "./node_sqlite.ts";
import { OWN, type PermissionMask, READ } from "./permissions.ts";
import type { SqliteSettings } from "./settings.ts";
import { isBlank } from "./sql_scanner.ts";
import { type ErrorPhase, fromSqlite, fromStepText } from "./sqlite_errors.ts";

/**
 * Reads go to connections that SQLite opened read-only, writes to those of the writer; `inPlace` are those of the
 * serving thread, which run a statement only by the schema that it was prepared by. `single` is the one connection
 * of a database in
 * memory, for simulations: it does both.
 */
export type ConnectionRole = "reader" | "inPlace" | "writer" | "single";

/** A statement that is ready to run on its connection. */
export interface PreparedStatement {
  readonly kind: "statement";
  readonly statement: NodeStatement;
  columns: readonly Column[];
  readonly effects: StatementEffects;
  readonly plan: BindingPlan;
  /** It gives so few rows that they may be held all at once. */
  readonly fewRows: boolean;
  /** It cannot run for long. */
  readonly short: boolean;
  /** A run of it is open; a second one at the same time needs a statement of its own. */
  busy: boolean;
  uses: number;
}

/** A statement that writes, prepared on a connection that only reads: it was not run, and is for the writer. */
export interface HandedOff {
  readonly kind: "handOff";
}

/** SQLite's own counters of a connection. They keep their values over statements that change nothing. */
export interface ConnectionCounts {
  readonly changes: number;
  readonly lastInsertRowid: bigint;
}

/** The engine's own savepoint, or one of a client, by its number. */
export type SavepointName = "sqp" | `sqp_${number}`;

/** Statements of the engine's own that are kept prepared. */
const CONTROLS_MAX = 64;

const HAND_OFF: HandedOff = { kind: "handOff" };

/**
 * A connection. Statements are authorized when they are prepared, so neither it nor its cache is shared between
 * permission sets.
 */
export class SqliteConnection {
  readonly #database: NodeDatabase;
  readonly #authorizer: Authorizer;
  readonly #settings: SqliteSettings;
  /** In the order of their last use. */
  readonly #cache = new Map<string, PreparedStatement | HandedOff>();
  #counts: NodeStatement | undefined;
  /** Streams of rows that are open: as long as there is one, every read sees the state of the first. */
  openStreams = 0;
  /** The statements that begin and end transactions, and others of the engine's own. */
  readonly #controls = new Map<string, NodeStatement>();
  readonly #capture: ChangeCapture | undefined;
  /** The tables that the unit under way dropped or altered. */
  #replaced: string[] = [];

  /** Opens the database. Throws {@linkcode SqpError}. */
  constructor(settings: SqliteSettings, role: ConnectionRole, permissions: PermissionMask) {
    this.#settings = settings;
    // Permissions beyond reading are no use on a connection that only reads; they decide whether the writer is asked.
    const readsOnly = role === "reader" || role === "inPlace";
    const effective = readsOnly ? permissions & (READ | OWN) : permissions;
    this.#authorizer = new Authorizer(effective, { readsOnly, isPinned: role === "inPlace" });
    this.#database = open(settings, role);
    if (!readsOnly) {
      this.#capture = new ChangeCapture(this.#database, settings.limits, () => Date.now());
    }
    this.#database.setAuthorizer(this.#authorizer.authorize);
  }

  /**
   * Prepares a statement or takes it from the cache. Throws {@linkcode SqpError}: `syntax`, `empty_statement`,
   * `multiple_statements`,
   * `permission_denied`, `statement_not_allowed`, and what SQLite says.
   */
  prepare(sql: string): PreparedStatement | HandedOff {
    const cached = this.#cache.get(sql);
    if (cached !== undefined) {
      this.#cache.delete(sql);
      if (cached.kind === "handOff" || !cached.busy) {
        const worn = cached.kind === "statement" &&
          ++cached.uses >= this.#settings.limits.statementUsesMax;
        if (!worn) this.#cache.set(sql, cached);
        return cached;
      }
    }
    const prepared = this.#prepareNew(sql);
    if (prepared.kind === "handOff" || isAboutRows(prepared)) this.#remember(sql, prepared);
    return prepared;
  }

  /** A statement that is in the cache, which it is not for a run of it. */
  known(sql: string): PreparedStatement | HandedOff | undefined {
    return this.#cache.get(sql);
  }

  #remember(sql: string, prepared: PreparedStatement | HandedOff): void {
    const { cachedStatementsMax, cachedSqlCharactersMax } = this.#settings.limits;
    if (sql.length > cachedSqlCharactersMax) return;
    this.#cache.set(sql, prepared);
    if (this.#cache.size <= cachedStatementsMax) return;
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest);
      break;
    }
  }

  #prepareNew(sql: string): PreparedStatement | HandedOff {
    // SQLite would read up to the NUL and ignore the rest.
    if (sql.includes("\0")) throw new SqpError("syntax", { message: "The SQL text holds U+0000." });
    if (isBlank(sql)) throw new SqpError("empty_statement");
    this.#readSchema();
    const authorizer = this.#authorizer;
    authorizer.beginPrepare();
    let statement: NodeStatement;
    let effects: StatementEffects;
    try {
      statement = this.#database.prepare(sql);
      effects = authorizer.endPrepare();
    } catch (error) {
      effects = authorizer.endPrepare();
      const refusal = authorizer.takeRefusal();
      if (refusal !== undefined) throw refusal;
      if (this.#authorizer.readsOnly && effects.writes) return HAND_OFF;
      throw fromSqlite(error, "prepare");
    }
    // SQLite compiles the first statement and leaves the rest; its text says where it ended.
    if (!isBlank(sql, statement.sourceSQL.length)) throw new SqpError("multiple_statements");
    const columns = statement.columns().map(columnOf);
    const proof = proveBytecode(this.#explain(sql));
    return {
      kind: "statement",
      statement,
      columns,
      effects,
      plan: new BindingPlan(sql),
      fewRows: proof.fewRows,
      short: proof.short,
      busy: false,
      uses: 0,
    };
  }

  /**
   * Has SQLite look whether the schema has changed: it prepares by the schema that it remembers, and finds nothing to
   * drop or to reindex in it, and nothing wrong with that.
   */
  #readSchema(): void {
    this.#control("SELECT 1 FROM sqlite_schema LIMIT 0");
  }

  /**
   * Whether SQLite has prepared a statement anew since it was last asked, because the schema had changed. Then the
   * statement has the columns that it has now, and what was proved of it is forgotten.
   */
  isRenewed(prepared: PreparedStatement): boolean {
    if (!this.#authorizer.takeAskedWhileRunning()) return false;
    prepared.columns = prepared.statement.columns().map(columnOf);
    this.#forget(prepared);
    return true;
  }

  /** Whether a statement was to be prepared anew since this was last asked, on a connection that allows it not. */
  isRefusedAnew(): boolean {
    return this.#authorizer.takeAskedWhileRunning();
  }

  #forget(prepared: PreparedStatement): void {
    for (const [sql, cached] of this.#cache) if (cached === prepared) this.#cache.delete(sql);
  }

  /** The bytecode of a statement that was just prepared; nothing where it cannot be explained, such as an EXPLAIN. */
  #explain(sql: string): Instruction[] {
    return this.#authorizer.trusted(() => {
      try {
        return this.#database.prepare(`EXPLAIN ${sql}`).all().map((row) => ({
          opcode: String(row[1]),
          p2: Number(row[3]),
        }));
      } catch {
        return [];
      }
    });
  }

  /**
   * The error of SQP for what a call on this connection threw; what the authorizer refused comes before what SQLite
   * says of it.
   */
  errorOf(error: unknown, phase: ErrorPhase = "step"): SqpError {
    return this.#authorizer.takeRefusal() ?? fromSqlite(error, phase);
  }

  /**
   * The error that ended an `iterate()` in silence, `undefined` where the last step succeeded. Call it right after
   * the end.
   */
  silentError(): SqpError | undefined {
    const text = lastErrorText(this.#database);
    if (text === undefined) return undefined;
    return this.#authorizer.takeRefusal() ?? fromStepText(text);
  }

  /** What SQLite counts on this connection. */
  counts(): ConnectionCounts {
    return this.#authorizer.trusted(() => {
      this.#counts ??= this.#database.prepare(
        "SELECT changes(), last_insert_rowid()",
      );
      const [changes, lastInsertRowid] = this.#counts.get()! as bigint[];
      return {
        changes: Number(changes!),
        lastInsertRowid: lastInsertRowid!,
      };
    });
  }

  /**
   * Begins a write transaction, and the unit of it that change feeds see as one. Throws {@linkcode SqpError}.
   */
  begin(): void {
    this.#control("BEGIN IMMEDIATE");
    this.#orRollback(() => this.#captured((capture) => capture.begin()));
  }

  /**
   * Ends a unit and begins the next one of the same transaction. Throws {@linkcode SqpError}; then the transaction is
   * rolled back.
   */
  endUnit(): void {
    this.#orRollback(() => {
      this.#finishUnit();
      this.#captured((capture) => capture.begin());
    });
  }

  /** Begins a transaction that only reads and sees one state of the database. Throws {@linkcode SqpError}. */
  beginRead(): void {
    this.#control("BEGIN");
    // A transaction sees the state of its first read.
    this.#control("SELECT count(*) FROM sqlite_schema");
  }

  /** Commits. Throws {@linkcode SqpError}; then the transaction is rolled back. */
  commit(): void {
    this.#orRollback(() => {
      this.#finishUnit();
      this.#control("COMMIT");
    });
  }

  /** Rolls back, where SQLite has not done so by itself. */
  rollback(): void {
    this.#captured((capture) => capture.abandon());
    this.#replaced = [];
    if (this.inTransaction) this.#control("ROLLBACK");
  }

  #orRollback(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  /** Notes what a statement did that changesets do not show. Call it for each that was run in a transaction. */
  noteReplaced({ replaces }: StatementEffects): void {
    this.#replaced.push(...replaces);
  }

  #finishUnit(): void {
    const replaced = this.#replaced;
    this.#replaced = [];
    this.#captured((capture) => capture.finish(replaced));
  }

  /** Keeps the changes of tables from now on: see {@linkcode ChangeCapture.watch}. Throws {@linkcode SqpError}. */
  watch(tables: readonly string[]): WatchOutcome {
    let outcome: WatchOutcome | undefined;
    this.begin();
    this.#orRollback(() => outcome = this.#captured((capture) => capture.watch(tables)));
    this.commit();
    return outcome!;
  }

  #captured<T>(body: (capture: ChangeCapture) => T): T | undefined {
    const capture = this.#capture;
    if (capture === undefined) return undefined;
    return this.#authorizer.trusted(() => {
      try {
        return body(capture);
      } catch (error) {
        throw fromSqlite(error, "step");
      }
    });
  }

  /** Whether a transaction is open. */
  get inTransaction(): boolean {
    return this.#database.isTransaction;
  }

  /** Marks where {@linkcode SqliteConnection.rollbackTo} leads. Throws {@linkcode SqpError}. */
  savepoint(name: SavepointName = "sqp"): void {
    this.#control(`SAVEPOINT ${name}`);
  }

  /** Forgets the savepoint and keeps what came after it. Throws {@linkcode SqpError}. */
  release(name: SavepointName = "sqp"): void {
    this.#control(`RELEASE ${name}`);
  }

  /** Undoes what came after the savepoint, which stays. Throws {@linkcode SqpError}. */
  rollbackTo(name: SavepointName): void {
    this.#control(`ROLLBACK TO ${name}`);
  }

  /**
   * Undoes what came after the engine's own savepoint and forgets it, where SQLite has not undone the whole
   * transaction. Throws {@linkcode SqpError}.
   */
  rollbackToSavepoint(): void {
    if (!this.inTransaction) return;
    this.rollbackTo("sqp");
    this.release();
  }

  /** Runs a statement of the engine's own with parameters. Throws {@linkcode SqpError}. */
  own(sql: string, ...values: SqliteValue[]): SqliteValue[] | undefined {
    return this.#control(sql, ...values);
  }

  #control(sql: string, ...values: SqliteValue[]): SqliteValue[] | undefined {
    return this.#authorizer.trusted(() => {
      try {
        // Not `exec`, whose errors have no code.
        let statement = this.#controls.get(sql);
        if (statement === undefined) {
          statement = this.#database.prepare(sql);
          this.#keepControl(sql, statement);
        }
        return statement.get(...values);
      } catch (error) {
        throw fromSqlite(error, "step");
      }
    });
  }

  /** The numbers of savepoints are the clients' choice, so there may be many texts. */
  #keepControl(sql: string, statement: NodeStatement): void {
    if (this.#controls.size >= CONTROLS_MAX) this.#controls.clear();
    this.#controls.set(sql, statement);
  }

  close(): void {
    this.#cache.clear();
    this.#capture?.close();
    this.#database.close();
  }
}

/**
 * Whether a statement reads or changes rows. Others are rare, and REINDEX of what has no index does not look whether
 * the schema has changed since it was prepared.
 */
function isAboutRows({ columns, effects }: PreparedStatement): boolean {
  return columns.length > 0 || effects.writes && !effects.changesSchema;
}

function columnOf(column: NodeColumn): Column {
  const { name, type, database, table, column: origin } = column;
  const described = { name, declaredType: type };
  if (database === null || table === null || origin === null) return described;
  return { ...described, origin: { schema: database, table, column: origin } };
}

function open(settings: SqliteSettings, role: ConnectionRole): NodeDatabase {
  const readsOnly = role === "reader" || role === "inPlace";
  const { path, synchronous, limits } = settings;
  let database: NodeDatabase | undefined;
  try {
    database = openDatabase(path, {
      readOnly: readsOnly,
      enableForeignKeyConstraints: true,
      allowExtension: false,
      enableDoubleQuotedStringLiterals: false,
      defensive: true,
      timeout: limits.busyTimeoutMs,
      readBigInts: true,
      returnArrays: true,
      limits: { length: limits.valueBytesMax, sqlLength: limits.sqlBytesMax, attach: 0 },
    });
    const pragma = (text: string) => database!.prepare(`PRAGMA ${text}`).all();
    pragma(`hard_heap_limit = ${limits.heapBytesMax}`);
    pragma("cell_size_check = ON");
    if (!readsOnly) {
      const mode = pragma("journal_mode = WAL")[0]?.[0];
      if (mode !== (role === "writer" ? "wal" : "memory")) {
        throw new SqpError("engine_failure", {
          message: `The database cannot use a write-ahead log; its journal mode stays ${mode}.`,
        });
      }
      pragma(`synchronous = ${synchronous === "full" ? "FULL" : "NORMAL"}`);
    }
    // The first access to the file: one that is not a database is found here.
    database.prepare("SELECT count(*) FROM sqlite_schema").get();
    return database;
  } catch (error) {
    database?.close();
    throw fromSqlite(error, "open");
  }
}
