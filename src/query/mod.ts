// The query layer: commands, the engine interface, the engines.

export * from "./query_session.ts";
export * from "./answer.ts";
export type { QueryLimits } from "./limits.ts";
export * from "./engine.ts";
export { openSqliteEngine } from "./sqlite/sqlite_engine.ts";
export type { SqliteDatabase, SqliteEngineOptions } from "./sqlite/options.ts";
export { isPostgresUrl, withoutPassword } from "./postgres/login.ts";
export type { PostgresEngineOptions } from "./postgres/postgres_engine.ts";
export type { PostgresLimits } from "./postgres/settings.ts";
export type { PoolLimits } from "./sqlite/pool_limits.ts";
export type { SqliteLimits, Synchronous } from "./sqlite/settings.ts";
export type { Column } from "../wire/response_payload.ts";
export * from "../wire/errors.ts";
export * from "../wire/error_codes.ts";
