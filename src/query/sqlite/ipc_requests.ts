// The bodies of the messages that tell an engine process what to run.

import { ByteReader } from "../../base/byte_reader.ts";
import { ByteWriter } from "../../base/byte_writer.ts";
import { decodeQuery, encodeQuery } from "../../wire/query_payload.ts";
import type { BatchStatement } from "../engine.ts";
import type { PermissionMask } from "./permissions.ts";
import type { BatchRequest, RequestKey, StatementRequest } from "./statement_runner.ts";

const utf8 = new TextEncoder();
// A byte order mark is part of a SQL text.
const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** Where a command runs and with which permissions. */
export interface CommandPlace {
  readonly permissions: PermissionMask;
  /** The transaction that it belongs to, by the number that the server gave it; 0 for none. */
  readonly transaction: number;
}

/** What is done to a transaction. */
export const ControlKind = {
  BEGIN: 1,
  BEGIN_READ: 2,
  COMMIT: 3,
  ROLLBACK: 4,
  SAVEPOINT: 5,
  RELEASE: 6,
  ROLLBACK_TO: 7,
} as const;
export type ControlKind = typeof ControlKind[keyof typeof ControlKind];

/** The place of a command, which every body begins with. */
const PLACE_BYTES = 5;

/** Reads the place that a body begins with. */
export function readPlace(body: Uint8Array): CommandPlace {
  const reader = new ByteReader(body);
  return { permissions: reader.u8(), transaction: reader.u32() };
}

function start(place: CommandPlace, roomBytes: number): ByteWriter {
  return new ByteWriter(PLACE_BYTES + roomBytes).u8(place.permissions).u32(place.transaction);
}

function writeKey(writer: ByteWriter, key: RequestKey | undefined): void {
  if (key === undefined) {
    writer.u8(0);
    return;
  }
  const principal = utf8.encode(key.principal);
  const bytes = utf8.encode(key.key);
  writer.u8(1).u16(principal.length).bytes(principal).u16(bytes.length).bytes(bytes);
}

function readKey(reader: ByteReader): { key?: RequestKey } {
  if (reader.u8() === 0) return {};
  const principal = text.decode(reader.bytes(reader.u16()));
  return { key: { principal, key: text.decode(reader.bytes(reader.u16())) } };
}

/** The body of EXECUTE. */
export function executeBody(request: StatementRequest, transaction: number): Uint8Array {
  const sql = utf8.encode(request.sql);
  const writer = start({ ...request, transaction }, 5 + sql.length + request.params.length);
  writeKey(writer, request.key);
  return writer.u32(sql.length).bytes(sql).bytes(request.params).view();
}

/** Reads the body of EXECUTE. */
export function readExecute(body: Uint8Array): StatementRequest {
  const reader = new ByteReader(body);
  const permissions = reader.u8();
  reader.u32();
  const key = readKey(reader);
  const sql = text.decode(reader.bytes(reader.u32()));
  return { sql, params: reader.rest(), permissions, ...key };
}

/** The body of BATCH. */
export function batchBody(request: BatchRequest, transaction: number): Uint8Array {
  const steps = encodeQuery({ cmd: "batch", steps: request.steps });
  const writer = start({ ...request, transaction }, 1 + steps.length);
  writeKey(writer, request.key);
  return writer.bytes(steps).view();
}

/** Reads the body of BATCH. */
export function readBatch(body: Uint8Array): BatchRequest {
  const reader = new ByteReader(body);
  const permissions = reader.u8();
  reader.u32();
  const key = readKey(reader);
  const command = decodeQuery(reader.rest());
  // The server has put texts in the place of numbers.
  const steps = command.cmd === "batch" ? command.steps as readonly BatchStatement[] : [];
  return { steps, permissions, ...key };
}

/** The body of PREPARE. */
export function prepareBody(place: CommandPlace, sql: string): Uint8Array {
  const bytes = utf8.encode(sql);
  return start(place, bytes.length).bytes(bytes).view();
}

/** Reads the body of PREPARE. */
export function readPrepare(body: Uint8Array): string {
  return text.decode(body.subarray(PLACE_BYTES));
}

/** The body of CONTROL. */
export function controlBody(place: CommandPlace, kind: ControlKind, savepoint = 0): Uint8Array {
  return start(place, 5).u8(kind).u32(savepoint).view();
}

/** Reads the body of CONTROL. */
export function readControl(body: Uint8Array): { kind: ControlKind; savepoint: number } {
  const reader = new ByteReader(body.subarray(PLACE_BYTES));
  return { kind: reader.u8() as ControlKind, savepoint: reader.u32() };
}
