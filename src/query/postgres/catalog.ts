// What the database says of types and tables, remembered until the schema changes.

import type { Column } from "../../wire/response_payload.ts";
import type { PostgresConnection } from "./connection.ts";
import type { BackendColumn } from "./driver.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import { TYPE_NAMES } from "./types.ts";

/** Types and tables that are remembered; beyond, all are forgotten and asked for again. */
const REMEMBERED_MAX = 10_000;

// These run as the login of all permissions, so no name in them may find a function that somebody else has made: a
// `format_type(oid, text)` in the schema `public` would suit a NULL better than the server's own.

const TYPE_QUERY = `
  SELECT oid, pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type WHERE oid = ANY($1)`;

const TABLE_QUERY = `
  SELECT a.attrelid, a.attnum, n.nspname, c.relname, a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod)
  FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attrelid = ANY($1) AND a.attnum > 0`;

/** Columns of tables, by their number: what they are called and how their type was declared. */
type TableColumns = ReadonlyMap<number, Pick<Column, "declaredType" | "origin">>;

/** Describes columns. Has a connection of its own, so that a result that waits for a name holds up nobody. */
export class Catalog {
  readonly #pool: ConnectionPool;
  #types = new Map<number, string | null>(TYPE_NAMES);
  #tables = new Map<number, TableColumns>();

  /** `pool` is for one connection. */
  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** Whether the database can be reached. Throws {@linkcode SqpError}. */
  async check(): Promise<void> {
    await this.#query(TYPE_QUERY, []);
  }

  /** Forgets what a change of the schema may have made wrong. */
  forget(): void {
    this.#types = new Map(TYPE_NAMES);
    this.#tables = new Map();
  }

  /** The columns as they travel: at once where all their types and tables are known. */
  describe(columns: readonly BackendColumn[]): readonly Column[] | Promise<readonly Column[]> {
    const isKnown = columns.every(({ table, type }) =>
      table === 0 ? this.#types.has(type) : this.#tables.has(table)
    );
    return isKnown ? this.#described(columns) : this.#learn(columns);
  }

  async #learn(columns: readonly BackendColumn[]): Promise<readonly Column[]> {
    const tables = columns.map(({ table }) => table)
      .filter((table) => table !== 0 && !this.#tables.has(table));
    if (tables.length > 0) await this.#learnTables([...new Set(tables)]);
    await this.typeNames(columns.map(({ type }) => type));
    return this.#described(columns);
  }

  #described(columns: readonly BackendColumn[]): Column[] {
    return columns.map(({ name, table, number, type }) => {
      const column = this.#tables.get(table)?.get(number);
      return { name, declaredType: this.#types.get(type) ?? null, ...column };
    });
  }

  /** The names of types. One that cannot be asked for now has none. */
  async typeNames(types: readonly number[]): Promise<(string | null)[]> {
    const unknown = new Set(types.filter((type) => !this.#types.has(type)));
    for (const [oid, name] of await this.#answer(TYPE_QUERY, [...unknown])) {
      this.#types.set(Number(oid), name ?? null);
    }
    return types.map((type) => this.#types.get(type) ?? null);
  }

  async #learnTables(tables: readonly number[]): Promise<void> {
    const learnt = new Map<number, Map<number, Pick<Column, "declaredType" | "origin">>>();
    for (const row of await this.#answer(TABLE_QUERY, tables)) {
      const [oid, number, schema, table, column, declaredType] = row as string[];
      const columns = learnt.get(Number(oid)) ?? new Map();
      learnt.set(Number(oid), columns);
      columns.set(Number(number), {
        declaredType: declaredType!,
        origin: { schema: schema!, table: table!, column: column! },
      });
    }
    for (const [table, columns] of learnt) this.#tables.set(table, columns);
  }

  /** The rows of a query for numbers, none where it cannot be asked now. */
  async #answer(sql: string, numbers: readonly number[]): Promise<(string | null)[][]> {
    if (numbers.length === 0) return [];
    if (this.#types.size + this.#tables.size > REMEMBERED_MAX) this.forget();
    try {
      return await this.#query(sql, numbers);
    } catch {
      return [];
    }
  }

  #query(sql: string, numbers: readonly number[]): Promise<(string | null)[][]> {
    return this.ask(sql, [`{${numbers.join(",")}}`]);
  }

  /** Runs a statement of the engine's own, as the login of all permissions. Throws {@linkcode SqpError}. */
  async ask(sql: string, parameters: readonly string[] = []): Promise<(string | null)[][]> {
    const { promise, resolve, reject } = Promise.withResolvers<PostgresConnection>();
    this.#pool.request({ principal: "", onConnection: resolve, onError: reject });
    const connection = await promise;
    try {
      return await connection.values(sql, parameters);
    } finally {
      this.#pool.release(connection, performance.now());
    }
  }
}
