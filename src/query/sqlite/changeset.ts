// Reads the changesets of SQLite's session extension (sqlite3session.c, "SESSION CHANGESET FORMAT").

import { ByteReader, DecodeError } from "../../base/byte_reader.ts";
import type { SqliteValue } from "./node_sqlite.ts";

/** What became of a row. */
export type RowOperation = "insert" | "update" | "delete";

/** A value of a record; `undefined` where an update leaves it out, because it is that of before. */
export type RecordValue = SqliteValue | undefined;

/** The table that changes belong to. */
export interface ChangedTable {
  readonly name: string;
  /** For each column whether it belongs to the primary key. Generated columns are none here. */
  readonly isKey: readonly boolean[];
}

/** A row that a transaction changed, once whatever it did to it on the way. */
export interface RowChange {
  readonly table: ChangedTable;
  readonly operation: RowOperation;
  /** The row before. `undefined` for an insert; of an update only the key and what was changed. */
  readonly before: readonly RecordValue[] | undefined;
  /** The row after. `undefined` for a delete; of an update only what was changed, which the key never is. */
  readonly after: readonly RecordValue[] | undefined;
}

const TABLE_HEAD = 0x54;
const TABLE_HEAD_OF_PATCHSET = 0x50;

/** "The operation is one of SQLITE_INSERT (0x12), SQLITE_UPDATE (0x17) or SQLITE_DELETE (0x09)." */
const OPERATIONS: Readonly<Record<number, RowOperation>> = {
  0x12: "insert",
  0x17: "update",
  0x09: "delete",
};

const VALUE_UNDEFINED = 0;
const VALUE_INTEGER = 1;
const VALUE_FLOAT = 2;
const VALUE_TEXT = 3;
const VALUE_BLOB = 4;
const VALUE_NULL = 5;

/** SQLite's own largest number of columns (SQLITE_MAX_COLUMN can be raised to this and no further). */
const COLUMNS_MAX = 32_767;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads a changeset: its changes table by table, in no order within one. Throws {@linkcode DecodeError}. Byte strings
 * are copies.
 */
export function* readChangeset(bytes: Uint8Array): Generator<RowChange> {
  const reader = new ByteReader(bytes);
  let table: ChangedTable | undefined;
  while (reader.remaining > 0) {
    const head = reader.u8();
    if (head === TABLE_HEAD) table = readTableHead(reader);
    else if (head === TABLE_HEAD_OF_PATCHSET) throw new DecodeError("a patchset, not a changeset");
    else if (table === undefined) throw new DecodeError("a change before the head of its table");
    else yield readChange(reader, head, table);
  }
}

/** "1 byte: Constant 0x54. Varint: number of columns. nCol bytes: 0x01 for a PK column. N bytes: table name (NUL)." */
function readTableHead(reader: ByteReader): ChangedTable {
  const columnCount = readLength(reader);
  if (columnCount === 0 || columnCount > COLUMNS_MAX) {
    throw new DecodeError(`a table cannot have ${columnCount} columns`);
  }
  // A column's place in the key follows 1 and 2 where it is not the first; any number but 0 says that it is in it.
  const isKey = Array.from(reader.bytes(columnCount), (flag) => flag !== 0);
  if (!isKey.includes(true)) throw new DecodeError("a table without a primary key");
  return { name: readName(reader), isKey };
}

function readName(reader: ByteReader): string {
  const bytes: number[] = [];
  for (let byte = reader.u8(); byte !== 0; byte = reader.u8()) bytes.push(byte);
  return utf8.decode(new Uint8Array(bytes));
}

/** "1 byte: operation. 1 byte: indirect-change flag. old.* record: DELETE, UPDATE. new.* record: INSERT, UPDATE." */
function readChange(reader: ByteReader, code: number, table: ChangedTable): RowChange {
  const operation = OPERATIONS[code];
  if (operation === undefined) throw new DecodeError(`the operation ${code} is none`);
  if (reader.u8() > 1) throw new DecodeError("a flag is neither 0 nor 1");
  const before = operation === "insert" ? undefined : readRecord(reader, table.isKey.length);
  const after = operation === "delete" ? undefined : readRecord(reader, table.isKey.length);
  if (operation === "update") checkUpdate(table.isKey, before!, after!);
  else if ((before ?? after)!.includes(undefined)) {
    throw new DecodeError(`an incomplete ${operation}`);
  }
  return { table, operation, before, after };
}

function checkUpdate(
  isKey: readonly boolean[],
  before: readonly RecordValue[],
  after: readonly RecordValue[],
): void {
  for (let i = 0; i < isKey.length; i++) {
    if (isKey[i] && before[i] === undefined) throw new DecodeError("an update without its key");
    if (after[i] !== undefined && before[i] === undefined) {
      throw new DecodeError("an update of a value that it does not tell");
    }
  }
}

function readRecord(reader: ByteReader, columnCount: number): RecordValue[] {
  // Every value takes a byte: what cannot be there is not made room for.
  if (reader.remaining < columnCount) throw new DecodeError("a record is cut short");
  const record: RecordValue[] = [];
  for (let i = 0; i < columnCount; i++) record.push(readValue(reader));
  return record;
}

function readValue(reader: ByteReader): RecordValue {
  const type = reader.u8();
  switch (type) {
    case VALUE_UNDEFINED:
      return undefined;
    case VALUE_INTEGER:
      return BigInt.asIntN(64, reader.u64());
    case VALUE_FLOAT: {
      const bytes = reader.bytes(8);
      return new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0);
    }
    case VALUE_TEXT:
      // SQLite stores text that is no valid UTF-8; it is shown as node:sqlite shows it in a row.
      return utf8.decode(reader.bytes(readLength(reader)));
    case VALUE_BLOB:
      return reader.bytes(readLength(reader)).slice();
    case VALUE_NULL:
      return null;
  }
  throw new DecodeError(`the type ${type} of a value is none`);
}

/** SQLite's varint of at most 32 bits: seven bits in each byte, the most significant first, the last without bit 7. */
function readLength(reader: ByteReader): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = reader.u8();
    value = value * 0x80 + (byte & 0x7f);
    if (byte < 0x80) return value;
  }
  throw new DecodeError("a length of more than 32 bits");
}
