// Response: a small result, or the head of a stream that carries a larger one (PROTOCOL.md, "Response").

import { DecodeError } from "../base/byte_reader.ts";
import { decodeControl, encodeControl } from "./control.ts";
import { LIMITS } from "./limits.ts";

/** A column of a result. */
export interface Column {
  /** The name that the statement or the schema gives it; not always unique. */
  readonly name: string;
  /** The type that the schema declares; `null` where there is none, as for an expression. */
  readonly declaredType: string | null;
}

/** A result that fits the message. */
export interface PageResponse {
  readonly kind: "page";
  readonly columns: readonly Column[];
  /** The payload of one row page, for `decodeRowPage`. A view where it was received. */
  readonly page: Uint8Array;
  /** Rows that the statement inserted, updated or deleted. */
  readonly changes: number;
  /** The row id of the last inserted row; `null` where the statement inserted none. */
  readonly rowid: number | bigint | null;
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
  const columns = response.columns.map(({ name, declaredType }) => [
    name.toWellFormed(),
    declaredType === null ? null : declaredType.toWellFormed(),
  ]);
  if (response.kind === "stream") return encodeControl({ columns, stream: response.streamId });
  const { page, changes, rowid } = response;
  return encodeControl({ columns, page, changes, rowid });
}

/** Decodes a response, its page excepted. Throws {@linkcode DecodeError}. */
export function decodeResponse(payload: Uint8Array): Response {
  const fields = decodeControl(payload);
  const columns = fields.list("columns", LIMITS.columnsMax).lists(2).map((column): Column => ({
    name: column.textAt(0),
    declaredType: column.textOrNullAt(1),
  }));
  const streamId = fields.optionalInt("stream", 1, 0xffff_ffff);
  const page = fields.optionalBytes("page", { minBytes: 1 });
  if ((streamId === undefined) === (page === undefined)) {
    throw new DecodeError("a response has either a page or a stream");
  }
  if (streamId !== undefined) return { kind: "stream", columns, streamId };
  return {
    kind: "page",
    columns,
    page: page!,
    changes: fields.int("changes"),
    rowid: fields.optionalInt64("rowid") ?? null,
  };
}
