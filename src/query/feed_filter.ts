// Row filters of a change feed: equality of columns. Applied to changes as they are encoded, which are cut, not
// decoded and encoded again.

import { concatBytes, equalBytes } from "../base/bytes.ts";
import { LIMITS } from "../wire/limits.ts";
import type { SqlValue } from "../wire/value.ts";
import { ValueReader } from "../wire/value_reader.ts";

/** What the columns of a row must be, by their place in it. */
export type RowFilter = ReadonlyMap<number, SqlValue>;

/** Changes as `appendChange` writes them. */
export interface EncodedChanges {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** [nil, and [, nil]: heads of a change with one row. */
const HEAD = new Uint8Array([0x92]);
const HEAD_OF_NEW = new Uint8Array([0x92, 0xc0]);
const NIL = new Uint8Array([0xc0]);

/**
 * The changes to the rows that pass a filter. A row that comes to pass it is a new one, a row that no longer does is
 * one that is gone.
 */
export function filterChanges({ count, bytes }: EncodedChanges, filter: RowFilter): EncodedChanges {
  if (filter.size === 0) return { count, bytes };
  const reader = new ValueReader(bytes, { integersAsBigInt: true });
  const kept: Uint8Array[] = [];
  let keptCount = 0;
  for (let i = 0; i < count; i++) {
    reader.arrayHead(2);
    const before = readIfPasses(reader, bytes, filter);
    const after = readIfPasses(reader, bytes, filter);
    if (before === undefined && after === undefined) continue;
    keptCount++;
    if (before === undefined) kept.push(HEAD_OF_NEW, after!);
    else kept.push(HEAD, before, after ?? NIL);
  }
  return { count: keptCount, bytes: concatBytes(...kept) };
}

/** Reads a row or nil, and gives the row's encoding where it passes. */
function readIfPasses(
  reader: ValueReader,
  bytes: Uint8Array,
  filter: RowFilter,
): Uint8Array | undefined {
  if (reader.takeNil()) return undefined;
  const from = reader.offset;
  const columnCount = reader.arrayHead(LIMITS.columnsMax);
  let passes = true;
  for (let i = 0; i < columnCount; i++) {
    const value = reader.value();
    const wanted = filter.get(i);
    if (wanted !== undefined && !isSame(value, wanted)) passes = false;
  }
  return passes ? bytes.subarray(from, reader.offset) : undefined;
}

/** Equality of values of one kind, where integers and floats are one kind, and NULL is equal to NULL. */
function isSame(a: SqlValue, b: SqlValue): boolean {
  if (a === null || b === null) return a === b;
  if (isNumber(a) && isNumber(b)) {
    // The loose comparison of an integer and a float is exact.
    // deno-lint-ignore eqeqeq
    return a == b;
  }
  if (a instanceof Uint8Array) return b instanceof Uint8Array && equalBytes(a, b);
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  return a === b;
}

function isNumber(value: SqlValue): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}
