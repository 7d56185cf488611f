// The authorizer of one connection: decides each action by the connection's permissions and remembers what a
// statement does.

import { SqpError } from "../../wire/errors.ts";
import {
  ACTION_ALTER_TABLE,
  ACTION_DROP_TABLE,
  ACTION_INSERT,
  ACTION_PRAGMA,
  ACTION_UPDATE,
  describeAction,
  needOf,
  NEEDS_NOTHING,
  NEVER,
  OWN,
  type PermissionMask,
  permissionNames,
  SCHEMA,
} from "./permissions.ts";

const SQLITE_OK = 0;
const SQLITE_DENY = 1;

/** What SQLite itself says of a statement that an authorizer has denied. */
const SQLITE_AUTH = { code: 23, name: "SQLITE_AUTH" } as const;

/** What a statement does, as its preparation showed. */
export interface StatementEffects {
  /** It changes the database. */
  writes: boolean;
  /**
   * It changes the schema, SQLite's own tables or a number in the header: what rows that takes is nobody's
   * business.
   */
  changesSchema: boolean;
  /** It alters a table, and may give it another name, which SQLite does not ask about. */
  altersTable: boolean;
  /** The tables that it names to be dropped or altered: they may be others by the same name afterwards. */
  replaces: string[];
  /** It inserts rows itself, apart from what triggers do. */
  inserts: boolean;
  /** It updates rows itself; together with `inserts`, an upsert. */
  updates: boolean;
}

/** What a connection is for. */
export interface AuthorizerOptions {
  /** A statement that writes is refused as soon as that shows, and is for the writer. */
  readonly readsOnly: boolean;
  /** No statement is prepared anew while it runs: what was proved of it would not hold any more. */
  readonly isPinned: boolean;
}

/**
 * One per connection. SQLite asks when a statement is prepared, when it is prepared again because the schema changed,
 * and for the inner
 * statements of virtual tables while a statement runs.
 */
export class Authorizer {
  readonly #permissions: PermissionMask;
  readonly readsOnly: boolean;
  readonly #isPinned: boolean;
  #preparing = false;
  #trusted = false;
  #askedWhileRunning = false;
  #effects: StatementEffects = noEffects();
  #refusal: SqpError | undefined;

  constructor(permissions: PermissionMask, options: AuthorizerOptions) {
    this.#permissions = permissions;
    this.readsOnly = options.readsOnly;
    this.#isPinned = options.isPinned;
  }

  /** Starts to record a new statement. */
  beginPrepare(): void {
    this.#preparing = true;
    this.#effects = noEffects();
    this.#refusal = undefined;
    this.#askedWhileRunning = false;
  }

  /** Ends the recording. */
  endPrepare(): StatementEffects {
    this.#preparing = false;
    return this.#effects;
  }

  /** What was refused since the last preparation or the last call, in words for the client. */
  takeRefusal(): SqpError | undefined {
    const refusal = this.#refusal;
    this.#refusal = undefined;
    return refusal;
  }

  /**
   * Whether a statement has asked while it ran, since the last call: SQLite prepares it anew where the schema has
   * changed.
   */
  takeAskedWhileRunning(): boolean {
    const asked = this.#askedWhileRunning;
    this.#askedWhileRunning = false;
    return asked;
  }

  /** Runs statements of the engine's own, which are not asked for permissions. */
  trusted<T>(body: () => T): T {
    this.#trusted = true;
    try {
      return body();
    } finally {
      this.#trusted = false;
    }
  }

  /** SQLite's callback. Never throws. */
  readonly authorize = (
    action: number,
    argument1: string | null,
    argument2: string | null,
    database: string | null,
    trigger: string | null,
  ): number => {
    if (this.#trusted) return SQLITE_OK;
    // Sessions ask for the columns of a table while a statement writes to it.
    if (!this.#preparing && action !== ACTION_PRAGMA) {
      this.#askedWhileRunning = true;
      if (this.#isPinned) return SQLITE_DENY;
    }
    const need = needOf(action, argument1, argument2, database);
    if (this.#preparing && need.writes) {
      // ALTER TABLE has the database in its first argument.
      const name = action === ACTION_ALTER_TABLE ? argument2 : argument1;
      this.#record(action, need.anyOf, name, trigger);
      if (this.readsOnly) return SQLITE_DENY;
    }
    if (need.anyOf === NEEDS_NOTHING) return SQLITE_OK;
    // While a statement runs on a read-only connection, SQLite itself refuses what would write.
    if (this.readsOnly && need.writes) return SQLITE_OK;
    if (need.anyOf !== NEVER && (need.anyOf & this.#permissions) !== 0) return SQLITE_OK;
    this.#refusal ??= refusalOf(need.anyOf, describeAction(action, argument1, argument2));
    return SQLITE_DENY;
  };

  #record(
    action: number,
    anyOf: PermissionMask,
    name: string | null,
    trigger: string | null,
  ): void {
    const effects = this.#effects;
    if (action === ACTION_ALTER_TABLE) effects.altersTable = true;
    if (action === ACTION_DROP_TABLE || action === ACTION_ALTER_TABLE) effects.replaces.push(name!);
    effects.writes = true;
    if (anyOf === SCHEMA) effects.changesSchema = true;
    if (trigger !== null) return;
    if (action === ACTION_INSERT) effects.inserts = true;
    if (action === ACTION_UPDATE) effects.updates = true;
  }
}

function noEffects(): StatementEffects {
  return {
    writes: false,
    changesSchema: false,
    altersTable: false,
    replaces: [],
    inserts: false,
    updates: false,
  };
}

function refusalOf(anyOf: PermissionMask, what: string): SqpError {
  if (anyOf === NEVER || anyOf === OWN) {
    const message = `Not allowed here: ${what}.`;
    return new SqpError("statement_not_allowed", { message, engine: SQLITE_AUTH });
  }
  const names = permissionNames(anyOf).map((name) => `"${name}"`).join(" or ");
  const message = `The principal lacks the permission ${names} for ${what}.`;
  return new SqpError("permission_denied", { message, engine: SQLITE_AUTH });
}
