// Citus: PostgreSQL's extension that spreads a database over several servers. The rows of a table that it knows are in
// other tables, its shards, most of them on other servers; the parts of statements that concern them run there, in
// sessions of the extension's own. Everything here can be asked of any PostgreSQL.

/** Runs a statement of the engine's own. Rejects with `SqpError`. */
type Ask = (sql: string, parameters?: readonly string[]) => Promise<(string | null)[][]>;

/** An expression: whether the database is distributed. */
export const IS_DISTRIBUTED =
  "(pg_catalog.to_regclass('pg_catalog.pg_dist_partition'::text) IS NOT NULL)";

/** The name of the table $1 where the role $2 may read it and its rows are in shards. */
const SHARDED_TABLE = `SELECT c.oid::regclass::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_dist_partition p ON p.logicalrelid::oid = c.oid
  WHERE c.oid = pg_catalog.to_regclass($1::text)
    AND pg_catalog.has_table_privilege($2::name, c.oid, 'SELECT')`;

/** Which group of servers this one is in: 0 is the coordinator, the only one to make tables that others know. */
const SERVER_GROUP = "SELECT groupid FROM pg_catalog.pg_dist_local_group";

/** Whether the database is distributed now. Throws `SqpError`. */
export async function isDistributed(ask: Ask): Promise<boolean> {
  const [row] = await ask(`SELECT ${IS_DISTRIBUTED}`);
  return row![0] === "t";
}

/** Whether this is one of the other servers of a distributed database. Throws `SqpError`. */
export async function isWorker(ask: Ask): Promise<boolean> {
  if (!await isDistributed(ask)) return false;
  const [row] = await ask(SERVER_GROUP);
  return row![0] !== "0";
}

/** The names of those tables whose rows are in shards, and which a role may read. Throws `SqpError`. */
export async function findShardedTables(
  ask: Ask,
  tables: readonly string[],
  role: string,
): Promise<string[]> {
  if (!await isDistributed(ask)) return [];
  const names: string[] = [];
  for (const table of tables) {
    for (const [name] of await ask(SHARDED_TABLE, [table, role])) names.push(name!);
  }
  return names;
}
