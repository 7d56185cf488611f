// The messages of PostgreSQL's logical replication (sections 55.4 and 55.9 of its manual): what a server tells of its
// log, in the form of the plug-in `pgoutput`, protocol version 1.

import { ByteReader, DecodeError } from "../../base/byte_reader.ts";

/** A place in the server's log. */
export type Lsn = bigint;

/** The text that PostgreSQL writes for a place: two hexadecimal numbers of 32 bits. */
export function lsnText(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

/** Reads the text of a place. Throws {@linkcode DecodeError}. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text);
  if (match === null) throw new DecodeError("no place in a log");
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** The texts of a row's values; `undefined` for one that is stored apart and was not changed. */
export type Tuple = readonly (string | null | undefined)[];

/** A column as a Relation message describes it. */
export interface DecodedColumn {
  readonly name: string;
  /** The number of its type, and the type's modifier: -1 for none. */
  readonly type: number;
  readonly modifier: number;
}

/** A table as it was when what follows was written. */
export interface DecodedRelation {
  readonly kind: "relation";
  readonly relid: number;
  readonly columns: readonly DecodedColumn[];
}

/** What the server tells, one after the other. */
export type ReplicationMessage =
  /** All up to `walEnd` has been told. */
  | { readonly kind: "keepalive"; readonly walEnd: Lsn; readonly isReplyWanted: boolean }
  /** A transaction whose commit stands at `finalLsn`; what it did follows, then `commit`. */
  | {
    readonly kind: "begin";
    readonly finalLsn: Lsn;
    readonly committedAtMs: number;
    /** The low 32 bits of its number. */
    readonly xid: number;
  }
  /** The transaction is over; its commit ends before `endLsn`. */
  | { readonly kind: "commit"; readonly endLsn: Lsn }
  | DecodedRelation
  | { readonly kind: "insert"; readonly relid: number; readonly after: Tuple }
  /** `before` is the whole old row, `undefined` where the table's replica identity does not give it. */
  | {
    readonly kind: "update";
    readonly relid: number;
    readonly before: Tuple | undefined;
    readonly after: Tuple;
  }
  | { readonly kind: "delete"; readonly relid: number; readonly before: Tuple | undefined }
  | { readonly kind: "truncate"; readonly relids: readonly number[] }
  /** What somebody has written with `pg_logical_emit_message`. */
  | { readonly kind: "message"; readonly isTransactional: boolean; readonly prefix: string }
  /** Something that says nothing of rows: the origin of a transaction, a type. */
  | { readonly kind: "other" };

const code = (letter: string) => letter.charCodeAt(0);

/** Messages of the streaming replication protocol. */
const XLOG_DATA = code("w");
const KEEPALIVE = code("k");
const STATUS_UPDATE = code("r");

/** Parts of a TupleData. */
const NULL_VALUE = code("n");
const UNCHANGED_VALUE = code("u");
const TEXT_VALUE = code("t");

/** "The value is in number of microseconds since PostgreSQL epoch (2000-01-01)." */
const EPOCH_MS = Date.UTC(2000, 0, 1);

/** Reads a message as CopyData has it. Throws {@linkcode DecodeError}. */
export function readReplicationMessage(bytes: Uint8Array): ReplicationMessage {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  if (kind === KEEPALIVE) {
    const walEnd = reader.u64();
    // "The server's system clock at the time of transmission".
    reader.u64();
    const isReplyWanted = reader.u8() === 1;
    reader.expectEnd();
    return { kind: "keepalive", walEnd, isReplyWanted };
  }
  if (kind !== XLOG_DATA) throw unknown(kind);
  // "The starting point of the WAL data in this message", "the current end of WAL on the server", and its clock.
  reader.bytes(3 * 8);
  return readMessage(reader);
}

function readMessage(reader: ByteReader): ReplicationMessage {
  const kind = reader.u8();
  switch (kind) {
    case code("B"):
      return readBegin(reader);
    case code("C"):
      return readCommit(reader);
    case code("R"):
      return readRelation(reader);
    case code("I"):
      return readInsert(reader);
    case code("U"):
      return readUpdate(reader);
    case code("D"):
      return readDelete(reader);
    case code("T"):
      return readTruncate(reader);
    case code("M"):
      return readEmitted(reader);
    case code("O"):
    case code("Y"):
      return { kind: "other" };
  }
  throw unknown(kind);
}

function unknown(kind: number): DecodeError {
  return new DecodeError(`an unknown message of replication: ${String.fromCharCode(kind)}`);
}

function readBegin(reader: ByteReader): ReplicationMessage {
  const finalLsn = reader.u64();
  const committedAtMs = EPOCH_MS + Math.floor(reader.u64Number() / 1_000);
  const xid = reader.u32();
  reader.expectEnd();
  return { kind: "begin", finalLsn, committedAtMs, xid };
}

function readCommit(reader: ByteReader): ReplicationMessage {
  // "Flags; currently unused", "the LSN of the commit".
  reader.bytes(1 + 8);
  const endLsn = reader.u64();
  reader.u64();
  reader.expectEnd();
  return { kind: "commit", endLsn };
}

function readRelation(reader: ByteReader): DecodedRelation {
  const relid = reader.u32();
  // Its schema and its name: tables are known by their number.
  readText(reader);
  readText(reader);
  // "Replica identity setting for the relation": what rows show of it decides.
  reader.u8();
  const columns = Array.from({ length: reader.u16() }, () => {
    // "Flags for the column": with a full replica identity every one is part of the key.
    reader.u8();
    return { name: readText(reader), type: reader.u32(), modifier: reader.u32() | 0 };
  });
  reader.expectEnd();
  return { kind: "relation", relid, columns };
}

function readInsert(reader: ByteReader): ReplicationMessage {
  const relid = reader.u32();
  const after = readNew(reader, reader.u8());
  reader.expectEnd();
  return { kind: "insert", relid, after };
}

function readUpdate(reader: ByteReader): ReplicationMessage {
  const relid = reader.u32();
  const first = reader.u8();
  // "The Update message may contain either a 'K' message part or an 'O' message part or neither of them, but never both
  // of them."
  const hasOld = first === code("K") || first === code("O");
  const old = hasOld ? readTuple(reader) : undefined;
  const before = first === code("O") ? old : undefined;
  const after = readNew(reader, hasOld ? reader.u8() : first);
  reader.expectEnd();
  return { kind: "update", relid, before, after };
}

function readDelete(reader: ByteReader): ReplicationMessage {
  const relid = reader.u32();
  const first = reader.u8();
  if (first !== code("K") && first !== code("O")) throw new DecodeError("a delete without a row");
  const old = readTuple(reader);
  reader.expectEnd();
  return { kind: "delete", relid, before: first === code("O") ? old : undefined };
}

function readTruncate(reader: ByteReader): ReplicationMessage {
  const count = reader.u32();
  // "Option bits for TRUNCATE: 1 for CASCADE, 2 for RESTART IDENTITY".
  reader.u8();
  if (count * 4 !== reader.remaining) throw new DecodeError("another number of relations");
  return { kind: "truncate", relids: Array.from({ length: count }, () => reader.u32()) };
}

function readEmitted(reader: ByteReader): ReplicationMessage {
  const isTransactional = (reader.u8() & 1) !== 0;
  reader.u64();
  const prefix = readText(reader);
  reader.bytes(reader.u32());
  reader.expectEnd();
  return { kind: "message", isTransactional, prefix };
}

function readNew(reader: ByteReader, kind: number): Tuple {
  if (kind !== code("N")) throw new DecodeError("a new row is missing");
  return readTuple(reader);
}

function readTuple(reader: ByteReader): Tuple {
  return Array.from({ length: reader.u16() }, () => {
    const kind = reader.u8();
    if (kind === TEXT_VALUE) return reader.text(reader.u32());
    if (kind === NULL_VALUE) return null;
    // "Identifies unchanged TOASTed value (the actual value is not sent)."
    if (kind === UNCHANGED_VALUE) return undefined;
    throw new DecodeError("a value of an unknown kind");
  });
}

/** A text up to a zero byte. */
function readText(reader: ByteReader): string {
  const bytes: number[] = [];
  for (let byte; (byte = reader.u8()) !== 0;) bytes.push(byte);
  return new ByteReader(new Uint8Array(bytes)).text(bytes.length);
}

/** A Standby status update: all up to `lsn` has been kept, and need not be told again. */
export function encodeStatusUpdate(lsn: Lsn, nowMs: number): Uint8Array {
  const bytes = new Uint8Array(1 + 4 * 8 + 1);
  const view = new DataView(bytes.buffer);
  bytes[0] = STATUS_UPDATE;
  // "The location of the last WAL byte + 1 received and written", "flushed", "applied".
  for (const at of [1, 9, 17]) view.setBigUint64(at, lsn);
  view.setBigUint64(25, BigInt(nowMs - EPOCH_MS) * 1_000n);
  return bytes;
}
