// Response: a small result, or the head of a stream that carries a larger one; and the answers of commands that have
// no rows (PROTOCOL.md, "Response").

import { DecodeError } from "../base/byte_reader.ts";
import { type ControlMap, type ControlValue, decodeControl, encodeControl } from "./control.ts";
import type { Fields, List } from "./control_fields.ts";
import { LIMITS } from "./limits.ts";

/** Where a column of a result comes from. */
export interface ColumnOrigin {
  /** The schema, such as `main` or `public`. */
  readonly schema: string;
  /** The table. */
  readonly table: string;
  /** The column's name in it. */
  readonly column: string;
}

/** A column of a result. */
export interface Column {
  /** The name that the statement or the schema gives it; not always unique. */
  readonly name: string;
  /** The type that the schema declares; `null` where there is none, as for an expression. */
  readonly declaredType: string | null;
  /** The column of a table that it is, where it is one and the client asked. */
  readonly origin?: ColumnOrigin;
}

/** A whole result. */
export interface PageResult {
  readonly columns: readonly Column[];
  /** The payload of one row page, for `decodeRowPage`. A view where it was received. */
  readonly page: Uint8Array;
  /** Rows that the statement inserted, updated or deleted. */
  readonly changes: number;
  /** The row id of the last inserted row; `null` where the statement inserted none. */
  readonly rowid: number | bigint | null;
}

/** A result that fits the message. */
export interface PageResponse extends PageResult {
  readonly kind: "page";
}

/** The head of a result whose pages follow on a stream. */
export interface StreamResponse {
  readonly kind: "stream";
  readonly columns: readonly Column[];
  readonly streamId: number;
}

/** The answer to an execute command. */
export type Response = PageResponse | StreamResponse;

/** Encodes a response. Lone surrogates in the names of columns become U+FFFD. */
export function encodeResponse(response: Response): Uint8Array {
  if (response.kind === "page") return encodeControl(pageFields(response));
  return encodeControl({ columns: columnList(response.columns), stream: response.streamId });
}

/** Decodes a response, its page excepted. Throws {@linkcode DecodeError}. */
export function decodeResponse(payload: Uint8Array): Response {
  const fields = decodeControl(payload);
  const streamId = readStreamId(fields);
  if ((streamId === undefined) === !fields.has("page")) {
    throw new DecodeError("a response has either a page or a stream");
  }
  if (streamId === undefined) return { kind: "page", ...readPage(fields) };
  return { kind: "stream", columns: readColumns(fields), streamId };
}

/** Whether a Response of any command announces a stream. Throws {@linkcode DecodeError}. */
export function announcesStream(payload: Uint8Array): boolean {
  return readStreamId(decodeControl(payload)) !== undefined;
}

function readStreamId(fields: Fields): number | undefined {
  return fields.optionalInt("stream", 1, 0xffff_ffff);
}

/** The fields of a whole result. */
export function pageFields({ columns, page, changes, rowid }: PageResult): ControlMap {
  return { columns: columnList(columns), page, changes, rowid };
}

/** Reads the fields of a whole result. Throws {@linkcode DecodeError}. */
export function readPage(fields: Fields): PageResult {
  return {
    columns: readColumns(fields),
    page: fields.bytes("page", { minBytes: 1 }),
    changes: fields.int("changes"),
    rowid: fields.optionalInt64("rowid") ?? null,
  };
}

function columnList(columns: readonly Column[]): ControlValue {
  return columns.map(({ name, declaredType, origin }) => {
    const column = [name.toWellFormed(), declaredType?.toWellFormed() ?? null];
    return origin === undefined ? column : [
      ...column,
      [origin.schema.toWellFormed(), origin.table.toWellFormed(), origin.column.toWellFormed()],
    ];
  });
}

function readColumns(fields: Fields): Column[] {
  return fields.list("columns", LIMITS.columnsMax).lists(3).map((column): Column => {
    const name = column.textAt(0);
    const declaredType = column.textOrNullAt(1);
    return column.length < 3
      ? { name, declaredType }
      : { name, declaredType, origin: readOrigin(column.listAt(2, 3)) };
  });
}

function readOrigin(origin: List): ColumnOrigin {
  return { schema: origin.textAt(0), table: origin.textAt(1), column: origin.textAt(2) };
}

/** Encodes the answer to a command that has nothing to tell but that it was done. */
export function encodeDone(): Uint8Array {
  return encodeControl({});
}

/** A parameter of a prepared statement. */
export interface ParameterDescription {
  /** Its name without the prefix; `null` for a parameter by position. */
  readonly name: string | null;
  /** The type that the engine wants for it, by the engine's name; `null` where it takes any. */
  readonly type: string | null;
}

/** What a prepared statement is. */
export interface StatementDescription {
  readonly columns: readonly Column[];
  readonly parameters: readonly ParameterDescription[];
}

/** The answer to a prepare command. */
export interface PreparedResponse extends StatementDescription {
  /** The number to execute it by, in this session. */
  readonly statement: number;
}

/** Encodes the answer to a prepare command. */
export function encodePrepared({ statement, columns, parameters }: PreparedResponse): Uint8Array {
  return encodeControl({
    statement,
    columns: columnList(columns),
    parameters: parameters.map(({ name, type }) => [name, type]),
  });
}

/** Decodes the answer to a prepare command. Throws {@linkcode DecodeError}. */
export function decodePrepared(payload: Uint8Array): PreparedResponse {
  const fields = decodeControl(payload);
  return {
    statement: fields.int("statement", 1, 0xffff_ffff),
    columns: readColumns(fields),
    parameters: fields.list("parameters", LIMITS.parametersMax).lists(2).map((parameter) => ({
      name: parameter.textOrNullAt(0),
      type: parameter.textOrNullAt(1),
    })),
  };
}
