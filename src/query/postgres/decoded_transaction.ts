// What one transaction has changed, as it is decoded, and what of it is appended to the log: one change of several to
// one row, as the log has it from triggers.

import type { DecodedRelation, Lsn, ReplicationMessage, Tuple } from "./pgoutput.ts";
import { formatRowText } from "./row_text.ts";

/** A change to a row as it was decoded; with neither row the table was emptied. */
interface RowChange {
  readonly relation: DecodedRelation;
  readonly before: Tuple | null;
  readonly after: Tuple | null;
  /** Why it cannot be told. */
  readonly reason?: string;
}

/** A row of the log, as far as the transaction says it. */
export interface LoggedChange {
  readonly relid: number;
  readonly before: string | null;
  readonly after: string | null;
  readonly reason: string | null;
}

/** What the decoder knows of a table that is watched. */
export interface DecodedTable {
  /** Transactions whose commit lies before it are none of this watch. */
  readonly sinceLsn: Lsn;
  /** The places of the key's columns; `undefined` where feeds of the table have been ended. */
  readonly keys: readonly number[] | undefined;
  /** It has another shape than the one that is watched. */
  readonly isChanged: boolean;
}

/** Bytes that a change takes in memory beside its texts. */
const CHANGE_BYTES = 200;

/** A transaction on its way from the server's log to that of changes. */
export class DecodedTransaction {
  readonly finalLsn: Lsn;
  readonly committedAtMs: number;
  readonly xid: number;
  /** The end of its commit. */
  endLsn: Lsn = 0n;
  /** Somebody waits until it was appended. */
  isMarked = false;
  /** Memory that it takes. */
  bytes = 0;
  readonly #limits: { readonly bytesMax: number; readonly changeBytesMax: number };
  #changes: RowChange[] = [];
  /** The tables that it has changed, by their numbers, as they were when they were changed last. */
  readonly relations = new Map<number, DecodedRelation>();
  #isTooLarge = false;

  /** `changeBytesMax` is for a row before and after. */
  constructor(
    begin: Extract<ReplicationMessage, { readonly kind: "begin" }>,
    limits: { readonly bytesMax: number; readonly changeBytesMax: number },
  ) {
    this.finalLsn = begin.finalLsn;
    this.committedAtMs = begin.committedAtMs;
    this.xid = begin.xid;
    this.#limits = limits;
  }

  /** Whether the log is not to hear of it. */
  get isEmpty(): boolean {
    return this.relations.size === 0 && !this.isMarked;
  }

  /** Takes a change of a table. `lengthBytes` is the length of the message that told it. */
  add(
    relation: DecodedRelation,
    { before, after }: { readonly before: Tuple | null | undefined; readonly after: Tuple | null },
    lengthBytes: number,
  ): void {
    // Without the whole old row the table has lost its replica identity.
    if (before === undefined || before?.includes(undefined) === true) {
      return this.refuse(relation, "schema_changed");
    }
    if (lengthBytes > this.#limits.changeBytesMax) {
      return this.refuse(relation, "transaction_too_large");
    }
    this.#push({ relation, before, after }, lengthBytes);
  }

  /** A table cannot be told further, and why. */
  refuse(relation: DecodedRelation, reason: string): void {
    this.#push({ relation, before: null, after: null, reason }, 0);
  }

  #push(change: RowChange, lengthBytes: number): void {
    const { relation } = change;
    const earlier = this.relations.get(relation.relid);
    this.relations.set(relation.relid, relation);
    if (earlier !== undefined && !sameColumns(earlier, relation)) {
      return this.refuse(relation, "schema_changed");
    }
    if (this.#isTooLarge) return;
    this.bytes += CHANGE_BYTES + lengthBytes;
    if (this.bytes <= this.#limits.bytesMax) this.#changes.push(change);
    else {
      this.#isTooLarge = true;
      this.#changes = [];
      this.bytes = 0;
    }
  }

  /** What the log is told of it, in the order in which rows were changed last. */
  logged(tables: ReadonlyMap<number, DecodedTable>): LoggedChange[] {
    const reasons = new Map<number, string>();
    for (const relid of this.relations.keys()) {
      if (this.#isTooLarge) reasons.set(relid, "transaction_too_large");
      if (tables.get(relid)?.isChanged === true) reasons.set(relid, "schema_changed");
    }
    for (const { relation: { relid }, reason } of this.#changes) {
      if (reason !== undefined && !reasons.has(relid)) reasons.set(relid, reason);
    }
    const logged: LoggedChange[] = [];
    for (const [relid, reason] of reasons) {
      if (this.#concerns(tables.get(relid))) {
        logged.push({ relid, before: null, after: null, reason });
      }
    }
    const rows = new Map<string, RowUnderKey>();
    for (const { relation: { relid }, before, after } of this.#changes) {
      const table = tables.get(relid);
      if (reasons.has(relid) || !this.#concerns(table)) continue;
      addChange(rows, { relid, keys: table.keys }, before, after);
    }
    for (const { relid, before, rows: [after = null] } of rows.values()) {
      if (before !== after) logged.push({ relid, before, after, reason: null });
    }
    return logged;
  }

  #concerns(
    table: DecodedTable | undefined,
  ): table is DecodedTable & { readonly keys: readonly number[] } {
    return table?.keys !== undefined && this.finalLsn >= table.sinceLsn;
  }
}

/** Whether rows of a table look alike before and after it was described anew. */
export function sameColumns(one: DecodedRelation, other: DecodedRelation): boolean {
  return one === other || JSON.stringify(one.columns) === JSON.stringify(other.columns);
}

/** What becomes of a key. */
interface RowUnderKey {
  readonly relid: number;
  /** The row that had it before the transaction. */
  before: string | null;
  /** Those that the transaction has given it: where the key is checked at the end, there may be two for a while. */
  readonly rows: string[];
}

/** Adds a change to those before it. A key that changes is a row that is gone and one that is new. */
function addChange(
  rows: Map<string, RowUnderKey>,
  { relid, keys }: { readonly relid: number; readonly keys: readonly number[] },
  before: Tuple | null,
  after: Tuple | null,
): void {
  const under = (tuple: Tuple) => {
    const key = JSON.stringify([relid, ...keys.map((place) => tuple[place])]);
    const row = rows.get(key) ?? { relid, before: null, rows: [] };
    // The row that was changed last comes last.
    rows.delete(key);
    rows.set(key, row);
    return row;
  };
  if (before !== null) {
    const row = under(before);
    const text = textOf(before);
    const at = row.rows.indexOf(text);
    if (at < 0) row.before = text;
    else row.rows.splice(at, 1);
  }
  if (after === null) return;
  // A value that is stored apart is not sent again where the old row has it.
  const whole = after.map((value, at) => value === undefined ? before![at]! : value);
  under(whole).rows.push(textOf(whole));
}

function textOf(tuple: Tuple): string {
  return formatRowText(tuple.map((value) => value ?? null));
}
