// How a SQLite database is opened, and what its owner sees of it.

import type { Engine } from "../engine.ts";
import type { FeedLimits } from "../feed_limits.ts";
import type { PoolLimits } from "./pool_limits.ts";
import type { SqliteLimits, Synchronous } from "./settings.ts";

/** An open SQLite database. */
export interface SqliteDatabase extends Engine {
  /** The process numbers of the engine processes that are up. */
  processIds(role: "reader" | "writer"): number[];
}

/** How a SQLite database is opened. */
export interface SqliteEngineOptions {
  /**
   * A file, which is made where there is none, or `:memory:` for a private temporary one that is removed at the
   * end.
   */
  readonly database: string;
  /** Where the folder of a temporary database is made; the system's folder for temporary files by default. */
  readonly temporaryFolder?: string;
  /** `full` by default. */
  readonly synchronous?: Synchronous;
  /** Limits of SQLite that differ from the defaults. */
  readonly limits?: Partial<SqliteLimits>;
  /** Limits of the processes that differ from {@linkcode POOL_LIMITS}. */
  readonly pool?: Partial<PoolLimits>;
  /** Limits of change feeds that differ from {@linkcode FEED_LIMITS}. */
  readonly feeds?: Partial<FeedLimits>;
}
