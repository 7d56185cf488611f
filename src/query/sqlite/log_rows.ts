// Rows of the log of changes as the server reads them.

import type { LogRow } from "../feed_backend.ts";
import { ValueReader } from "../../wire/value_reader.ts";
import { LIMITS } from "../../wire/limits.ts";
import { PAGE_PREFIX_BYTES } from "../../wire/page_cutter.ts";

/** The log after a row, in order. */
export const LOG_AFTER =
  `SELECT id, ends, at_ms, table_name, change_count, body FROM main.sqp_changes WHERE id > ? ORDER BY id`;

/** Bytes of the largest row of such a result: a change of 2 MiB, and the other columns. */
export const LOG_ROW_BYTES_MAX = 2 * LIMITS.rowBytesMax + 1_024;

/** Decodes a page of such a result. */
export function decodeLogPage(page: Uint8Array): LogRow[] {
  const reader = new ValueReader(page.subarray(PAGE_PREFIX_BYTES));
  const rows: LogRow[] = [];
  for (let left = reader.arrayHead(LIMITS.pageRowsMax); left > 0; left--) {
    reader.arrayHead(LIMITS.columnsMax);
    const id = reader.value() as number;
    rows.push({
      id,
      // Ids are consecutive.
      previousId: id - 1,
      ends: reader.value() === 1,
      atMs: reader.value() as number,
      table: reader.value() as string | null,
      count: reader.value() as number,
      body: reader.value() as Uint8Array,
    });
  }
  return rows;
}
