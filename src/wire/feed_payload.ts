// What a subscription asks for and how it is answered (PROTOCOL.md, "Change feeds").

import { type ControlValue, decodeControl, encodeControl } from "./control.ts";
import type { List } from "./control_fields.ts";
import { LIMITS } from "./limits.ts";
import type { Column } from "./response_payload.ts";

/** A table of a subscription. */
export interface FeedTableRequest {
  readonly table: string;
  /**
   * What the columns of its rows must be equal to, by name, as `encodeParams` encodes it. Every row where it is left
   * out. A view where it was received.
   */
  readonly where?: Uint8Array;
}

/** A table whose changes a feed tells. */
export interface FeedTable {
  /** As the schema spells it. */
  readonly name: string;
  /** The columns of its rows. */
  readonly columns: readonly Column[];
  /** The places of the primary key's columns, in its order. */
  readonly keys: readonly number[];
}

/** The answer to a subscription: it is registered, and its feed follows. */
export interface FeedResponse {
  readonly streamId: number;
  /** In the order in which they were asked for. */
  readonly tables: readonly FeedTable[];
  /** Where the feed begins; the end of a snapshot tells it otherwise. */
  readonly cursor?: string;
}

/** The tables of a subscription as a control payload has them. */
export function encodeFeedTables(tables: readonly FeedTableRequest[]): ControlValue {
  return tables.map(({ table, where }) => where === undefined ? [table] : [table, where]);
}

/** Reads them. Throws `DecodeError`. */
export function readFeedTables(list: List): FeedTableRequest[] {
  return list.lists(2).map((entry) => {
    const table = entry.textAt(0, { minBytes: 1 });
    const where = entry.optionalBytesAt(1);
    return where === undefined ? { table } : { table, where };
  });
}

/** Encodes the answer. Lone surrogates in names become U+FFFD. */
export function encodeFeedResponse({ streamId, tables, cursor }: FeedResponse): Uint8Array {
  const encoded = tables.map(({ name, columns, keys }) => [
    name.toWellFormed(),
    columns.map((column) => [
      column.name.toWellFormed(),
      column.declaredType === null ? null : column.declaredType.toWellFormed(),
    ]),
    keys,
  ]);
  return encodeControl({ stream: streamId, tables: encoded, cursor });
}

/** Decodes the answer. Throws `DecodeError`. */
export function decodeFeedResponse(payload: Uint8Array): FeedResponse {
  const fields = decodeControl(payload);
  const cursor = fields.optionalText("cursor", { minBytes: 1, maxBytes: LIMITS.cursorBytesMax });
  const tables = fields.list("tables", LIMITS.feedTablesMax).lists(3).map((entry): FeedTable => {
    const columns = entry.listAt(1, LIMITS.columnsMax).lists(2).map((column) => ({
      name: column.textAt(0),
      declaredType: column.textOrNullAt(1),
    }));
    const keys = entry.listAt(2, LIMITS.columnsMax).ints(0, columns.length - 1);
    return { name: entry.textAt(0), columns, keys };
  });
  return {
    streamId: fields.int("stream", 1, 0xffff_ffff),
    tables,
    ...(cursor !== undefined && { cursor }),
  };
}
