// Citus: PostgreSQL's extension that spreads a database over several servers. The rows of a table that it knows are in
// other tables, its shards, most of them on other servers; the parts of statements that concern them run there, in
// sessions of the extension's own. Everything here can be asked of any PostgreSQL.

/** An expression: whether the database is distributed. */
export const IS_DISTRIBUTED =
  "(pg_catalog.to_regclass('pg_catalog.pg_dist_partition'::text) IS NOT NULL)";
