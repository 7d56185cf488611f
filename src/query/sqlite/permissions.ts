// What each action of SQLite's authorizer needs. Permissions bind here, in the engine, and nowhere else.

import type { Permission } from "../engine.ts";

/** A set of the permissions that the engine enforces, as bits. */
export type PermissionMask = number;

export const READ = 1;
export const WRITE = 2;
export const SCHEMA = 4;
/** Of the engine's own connections alone: to read its own tables. */
export const OWN = 8;

/** The bits of a set of permissions. */
export function permissionMask(permissions: ReadonlySet<Permission>): PermissionMask {
  return (permissions.has("read") ? READ : 0) | (permissions.has("write") ? WRITE : 0) |
    (permissions.has("schema") ? SCHEMA : 0);
}

/** The names of the bits of a mask. */
export function permissionNames(mask: PermissionMask): Permission[] {
  const names: Permission[] = [];
  if (mask & READ) names.push("read");
  if (mask & WRITE) names.push("write");
  if (mask & SCHEMA) names.push("schema");
  return names;
}

/** Any one of these permissions is enough. */
export const NEEDS_NOTHING = 0;
/** No permission is enough. */
export const NEVER = -1;

/** What an action needs: {@linkcode NEEDS_NOTHING}, {@linkcode NEVER}, or a mask of which one bit is enough. */
export interface Need {
  readonly anyOf: PermissionMask;
  /** Whether the action changes the database. */
  readonly writes: boolean;
}

const NOTHING: Need = { anyOf: NEEDS_NOTHING, writes: false };
const READING: Need = { anyOf: READ, writes: false };
/** SQLite reads its own schema table while it changes the schema. */
const READING_SCHEMA: Need = { anyOf: READ | SCHEMA, writes: false };
const WRITING: Need = { anyOf: WRITE, writes: true };
const CHANGING_SCHEMA: Need = { anyOf: SCHEMA, writes: true };
/** What SQLite's sessions ask for while a statement writes. */
const DESCRIBING: Need = { anyOf: READ | WRITE | SCHEMA, writes: false };
const READING_OWN: Need = { anyOf: OWN, writes: false };
const REFUSED: Need = { anyOf: NEVER, writes: false };

/**
 * SQLite's authorizer action codes, in its order, and what each needs; those that depend on their arguments come
 * below.
 */
const ACTIONS: readonly (readonly [number, string, Need])[] = [
  [1, "CREATE INDEX", CHANGING_SCHEMA],
  [2, "CREATE TABLE", CHANGING_SCHEMA],
  // Temporary objects would stay on a connection that others use after this statement.
  [3, "CREATE TEMP INDEX", REFUSED],
  [4, "CREATE TEMP TABLE", REFUSED],
  [5, "CREATE TEMP TRIGGER", REFUSED],
  [6, "CREATE TEMP VIEW", REFUSED],
  [7, "CREATE TRIGGER", CHANGING_SCHEMA],
  [8, "CREATE VIEW", CHANGING_SCHEMA],
  [9, "DELETE", WRITING],
  [10, "DROP INDEX", CHANGING_SCHEMA],
  [11, "DROP TABLE", CHANGING_SCHEMA],
  [12, "DROP TEMP INDEX", REFUSED],
  [13, "DROP TEMP TABLE", REFUSED],
  [14, "DROP TEMP TRIGGER", REFUSED],
  [15, "DROP TEMP VIEW", REFUSED],
  [16, "DROP TRIGGER", CHANGING_SCHEMA],
  [17, "DROP VIEW", CHANGING_SCHEMA],
  [18, "INSERT", WRITING],
  [19, "PRAGMA", REFUSED],
  [20, "READ", READING],
  [21, "SELECT", READING],
  // BEGIN, COMMIT, ROLLBACK and SAVEPOINT in text would leave a transaction open on a shared connection.
  [22, "TRANSACTION", REFUSED],
  [23, "UPDATE", WRITING],
  [24, "ATTACH", REFUSED],
  [25, "DETACH", REFUSED],
  [26, "ALTER TABLE", CHANGING_SCHEMA],
  [27, "REINDEX", CHANGING_SCHEMA],
  [28, "ANALYZE", CHANGING_SCHEMA],
  [29, "CREATE VIRTUAL TABLE", CHANGING_SCHEMA],
  [30, "DROP VIRTUAL TABLE", CHANGING_SCHEMA],
  [31, "FUNCTION", NOTHING],
  [32, "SAVEPOINT", REFUSED],
  [33, "RECURSIVE", READING],
];

const ACTION_DELETE = 9;
export const ACTION_INSERT = 18;
export const ACTION_PRAGMA = 19;
const ACTION_READ = 20;
export const ACTION_UPDATE = 23;
export const ACTION_DROP_TABLE = 11;
export const ACTION_ALTER_TABLE = 26;
const ACTION_REINDEX = 27;
const ACTION_ANALYZE = 28;
const ACTION_FUNCTION = 31;
const ACTION_RECURSIVE = 33;

const BY_ACTION = new Map(ACTIONS.map(([action, name, need]) => [action, { name, need }]));

/** Functions that reach out of the database. */
const FUNCTIONS_REFUSED = new Set(["load_extension", "fts3_tokenizer"]);

/** Pragmas that only read, whatever their argument. */
const PRAGMAS_READING = new Set([
  "foreign_key_check",
  "foreign_key_list",
  "index_info",
  "index_list",
  "index_xinfo",
  "integrity_check",
  "quick_check",
  "table_info",
  "table_list",
]);

/** Pragmas that only read as long as they have no argument. */
const PRAGMAS_READING_BARE = new Set([
  "application_id",
  "auto_vacuum",
  "collation_list",
  "compile_options",
  "encoding",
  "foreign_keys",
  "freelist_count",
  "function_list",
  "journal_mode",
  "module_list",
  "page_count",
  "page_size",
  "pragma_list",
  "schema_version",
  "synchronous",
  "user_version",
]);

/** Pragmas that store a number in the database's header, for migrations. */
const PRAGMAS_STORING = new Set(["application_id", "user_version"]);

/** The names of the engine's own tables begin so; only the engine itself may use them. */
export const OWN_NAME = /^sqp_/i;

/** Actions whose arguments name no object that they change or read, or that may concern the engine's own as well. */
const ACTIONS_OF_ALL = new Set([
  ACTION_PRAGMA,
  ACTION_REINDEX,
  ACTION_ANALYZE,
  ACTION_FUNCTION,
  ACTION_RECURSIVE,
]);

/** Whether an action concerns one of the engine's own tables, or would make an object that looks like one. */
function concernsOwn(action: number, argument1: string | null, argument2: string | null): boolean {
  if (ACTIONS_OF_ALL.has(action)) return false;
  if (OWN_NAME.test(argument1 ?? "")) return true;
  // The second argument of these two is a column.
  const isColumn = action === ACTION_READ || action === ACTION_UPDATE;
  return !isColumn && OWN_NAME.test(argument2 ?? "");
}

/** SQLite's own tables: its schema, sequences and statistics. */
function isSchemaTable(table: string | null): boolean {
  return table !== null && /^sqlite_/i.test(table);
}

/** What an action needs; arguments as SQLite gives them to an authorizer. An action that is not known is refused. */
export function needOf(
  action: number,
  argument1: string | null,
  argument2: string | null,
  database: string | null,
): Need {
  if (concernsOwn(action, argument1, argument2)) {
    return action === ACTION_READ ? READING_OWN : REFUSED;
  }
  const need = needByArguments(action, argument1, argument2);
  // `CREATE TABLE temp.x` is no CREATE TEMP TABLE to SQLite. ALTER TABLE has the database in its first argument.
  const temporary = database === "temp" || (action === ACTION_ALTER_TABLE && argument1 === "temp");
  // ALTER TABLE ... RENAME looks for the old name in the temporary schema too, which is always empty.
  if (action === ACTION_UPDATE && isSchemaTable(argument1)) return need;
  return temporary && need.writes ? REFUSED : need;
}

function needByArguments(
  action: number,
  argument1: string | null,
  argument2: string | null,
): Need {
  switch (action) {
    case ACTION_PRAGMA:
      return pragmaNeed((argument1 ?? "").toLowerCase(), argument2);
    case ACTION_FUNCTION:
      return FUNCTIONS_REFUSED.has((argument2 ?? "").toLowerCase()) ? REFUSED : NOTHING;
    case ACTION_READ:
      return isSchemaTable(argument1) ? READING_SCHEMA : READING;
    case ACTION_INSERT:
    case ACTION_UPDATE:
    case ACTION_DELETE:
      return isSchemaTable(argument1) ? CHANGING_SCHEMA : WRITING;
    default:
      return BY_ACTION.get(action)?.need ?? REFUSED;
  }
}

function pragmaNeed(pragma: string, argument: string | null): Need {
  // Full-text tables ask for this one while they answer a query.
  if (pragma === "data_version" && argument === null) return NOTHING;
  if (pragma === "table_xinfo") return DESCRIBING;
  if (PRAGMAS_READING.has(pragma)) return READING;
  if (argument === null) return PRAGMAS_READING_BARE.has(pragma) ? READING : REFUSED;
  return PRAGMAS_STORING.has(pragma) ? CHANGING_SCHEMA : REFUSED;
}

/** An action in words, for the text of an error. */
export function describeAction(
  action: number,
  argument1: string | null,
  argument2: string | null,
): string {
  const name = BY_ACTION.get(action)?.name ?? `action ${action}`;
  if (action === ACTION_FUNCTION) return `the function ${argument2}`;
  if (action === ACTION_PRAGMA) return `PRAGMA ${argument1}${argument2 === null ? "" : " = ..."}`;
  if (argument1 === null || argument1 === "") return name;
  return `${name} ${argument1}${action === ACTION_READ && argument2 ? `.${argument2}` : ""}`;
}
