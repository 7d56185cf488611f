// What a change feed has to know of a table: its columns and its key, and whether its changes can be told at all.

import type { Column } from "../../wire/response_payload.ts";
import type { UnsupportedTable } from "../feed_backend.ts";
import type { NodeDatabase } from "./node_sqlite.ts";
import { OWN_NAME } from "./permissions.ts";

/** A table whose changes can be told. */
export interface TableShape {
  /** As the schema spells it. */
  readonly name: string;
  /** The columns that are stored; generated ones are not told. */
  readonly columns: readonly Column[];
  /** The places of the primary key's columns, in its order. */
  readonly keys: readonly number[];
  /** The key's one column may hold NULL, which a changeset does not tell. */
  readonly nullableKey: boolean;
}

interface ListedColumn {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** From 1 on; 0 for a column outside the key. */
  readonly placeInKey: number;
}

/** Looks a table up. Its name is compared as SQLite does, letters of either case being the same. */
export function readTableShape(
  database: NodeDatabase,
  table: string,
): TableShape | UnsupportedTable {
  const listed = database.prepare(
    "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE",
  ).get(table);
  if (listed === undefined || OWN_NAME.test(table)) {
    return { missing: true, why: `There is no table ${table}.` };
  }
  const [name, type, withoutRowid] = listed as [string, string, bigint];
  if (type !== "table" || name.startsWith("sqlite_")) {
    return { missing: false, why: `${name} is no ordinary table.` };
  }
  const columns = readColumns(database, name);
  const keyColumns = columns.filter(({ placeInKey }) => placeInKey > 0)
    .sort((a, b) => a.placeInKey - b.placeInKey);
  if (keyColumns.length === 0) {
    return { missing: false, why: `The table ${name} has no primary key.` };
  }
  const collation = foreignCollation(database, name, keyColumns);
  if (collation !== undefined) {
    return {
      missing: false,
      why:
        `The key of the table ${name} compares texts by ${collation}, so that different ones are the same.`,
    };
  }
  const nullable = withoutRowid === 1n ? [] : keyColumns.filter(({ notNull }) => !notNull);
  const isRowid = withoutRowid === 0n && keyColumns.length === 1 &&
    isRowidAlias(database, name, keyColumns[0]!);
  if (!isRowid && nullable.length > 0 && keyColumns.length > 1) {
    return {
      missing: false,
      why: `The column ${nullable[0]!.name} of the key of ${name} is not declared NOT NULL.`,
    };
  }
  return {
    name,
    columns: columns.map((column) => ({
      name: column.name,
      declaredType: column.type === "" ? null : column.type,
    })),
    keys: keyColumns.map((column) => columns.indexOf(column)),
    nullableKey: !isRowid && nullable.length > 0,
  };
}

function readColumns(database: NodeDatabase, table: string): ListedColumn[] {
  return database.prepare(
    `SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0`,
  ).all(table).map(([name, type, notNull, pk]) => ({
    name: name as string,
    type: type as string,
    notNull: notNull !== 0n,
    placeInKey: Number(pk),
  }));
}

/** How the bytecode names comparisons of texts byte by byte, in a database of any encoding. */
const BINARY = /^BINARY(-|$)/;

/**
 * A collation other than BINARY by which a column of the key or the key's index compares. SQLite's sessions look rows
 * up by it, and take one for another where it calls two texts equal.
 */
function foreignCollation(
  database: NodeDatabase,
  table: string,
  keyColumns: readonly ListedColumn[],
): string | undefined {
  const terms = keyColumns.map(({ name }) => `${quoteName(name)} = ?1`);
  // No pragma tells the collation of a column.
  const ofColumns = database.prepare(`EXPLAIN SELECT ${terms.join()} FROM main.${quoteName(table)}`)
    .all().filter(([, opcode]) => opcode === "Eq" || opcode === "Ne").map((row) => row[5]);
  const ofIndex = database.prepare(
    `SELECT x.coll FROM pragma_index_list(?1, 'main') l, pragma_index_xinfo(l.name, 'main') x
     WHERE l.origin = 'pk' AND x.key = 1`,
  ).all(table).map(([collation]) => collation);
  const found = [...ofColumns, ...ofIndex].find((text) =>
    typeof text === "string" && !BINARY.test(text)
  ) as string | undefined;
  return found?.replace(/-\w+$/, "");
}

/** INTEGER PRIMARY KEY is the row id, which is never NULL; any other key of a table with row ids has an index. */
function isRowidAlias(database: NodeDatabase, table: string, key: ListedColumn): boolean {
  if (key.type.toUpperCase() !== "INTEGER") return false;
  return database.prepare(
    "SELECT 1 FROM pragma_index_list(?, 'main') WHERE origin = 'pk'",
  ).get(table) === undefined;
}

/** An SQL name in its quotes. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A shape in the form in which it is stored, so that a changed one is seen. */
export function shapeText(shape: TableShape): string {
  return JSON.stringify([
    shape.columns.map(({ name, declaredType }) => [name, declaredType]),
    shape.keys,
    shape.nullableKey,
  ]);
}
