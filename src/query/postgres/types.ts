// PostgreSQL's built-in types: their numbers, and their names as SQL has them.

/** The numbers of the types that values are read or bound as (pg_type.dat). */
export const Oid = {
  UNSPECIFIED: 0,
  BOOL: 16,
  BYTEA: 17,
  INT8: 20,
  INT2: 21,
  INT4: 23,
  OID: 26,
  FLOAT4: 700,
  FLOAT8: 701,
  TIMESTAMPTZ: 1184,
} as const;

/** Names of built-in types that results often have; others are asked for. */
export const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [16, "boolean"],
  [17, "bytea"],
  [18, '"char"'],
  [19, "name"],
  [20, "bigint"],
  [21, "smallint"],
  [23, "integer"],
  [25, "text"],
  [26, "oid"],
  [114, "json"],
  [700, "real"],
  [701, "double precision"],
  [1005, "smallint[]"],
  [1007, "integer[]"],
  [1009, "text[]"],
  [1016, "bigint[]"],
  [1042, "character"],
  [1043, "character varying"],
  [1082, "date"],
  [1083, "time without time zone"],
  [1114, "timestamp without time zone"],
  [1184, "timestamp with time zone"],
  [1186, "interval"],
  [1266, "time with time zone"],
  [1700, "numeric"],
  [2278, "void"],
  [2950, "uuid"],
  [3802, "jsonb"],
]);
