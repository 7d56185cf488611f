// What the database says of types that are not built in, remembered.

import type { Column } from "../../wire/response_payload.ts";
import type { BackendColumn, PostgresConnection } from "./connection.ts";
import type { ConnectionPool } from "./connection_pool.ts";
import { FIRST_OWN_OID, TYPE_NAMES } from "./types.ts";

/** Types that are remembered. More come only where somebody makes and drops types all the time. */
const NAMES_MAX = 10_000;

const TYPE_QUERY = "SELECT oid, format_type(oid, NULL) FROM pg_catalog.pg_type WHERE oid = ANY($1)";

/** Names the types of columns. Has a connection of its own, so that a result that waits for a name holds up nobody. */
export class Catalog {
  readonly #pool: ConnectionPool;
  readonly #names = new Map<number, string | null>(TYPE_NAMES);

  /** `pool` is for one connection. */
  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** Whether the database can be reached. Throws {@linkcode SqpError}. */
  async check(): Promise<void> {
    await this.#query(TYPE_QUERY, "{}");
  }

  /** The columns as they travel: at once where all their types are known. */
  describe(columns: readonly BackendColumn[]): readonly Column[] | Promise<readonly Column[]> {
    const unknown = columns.map(({ type }) => type).filter((type) => !this.#names.has(type));
    if (unknown.length === 0) return this.#described(columns);
    return this.#ask([...new Set(unknown)]).then(() => this.#described(columns));
  }

  #described(columns: readonly BackendColumn[]): Column[] {
    return columns.map(({ name, type }) => ({
      name,
      declaredType: this.#names.get(type) ?? null,
    }));
  }

  /** A type that cannot be named now has no name for this result, and is asked for again with the next. */
  async #ask(types: readonly number[]): Promise<void> {
    try {
      for (const [oid, name] of await this.#query(TYPE_QUERY, `{${types.join(",")}}`)) {
        if (this.#names.size >= NAMES_MAX) this.#forgetOwn();
        this.#names.set(Number(oid), name ?? null);
      }
    } catch {
      return;
    }
  }

  #forgetOwn(): void {
    for (const oid of this.#names.keys()) if (oid >= FIRST_OWN_OID) this.#names.delete(oid);
  }

  #query(sql: string, parameter: string): Promise<(string | null)[][]> {
    const { promise, resolve, reject } = Promise.withResolvers<PostgresConnection>();
    this.#pool.request({ principal: "", onConnection: resolve, onError: reject });
    return promise.then(async (connection) => {
      try {
        return await connection.values(sql, [parameter]);
      } finally {
        this.#pool.release(connection, performance.now());
      }
    });
  }
}
