// Appends decoded transactions to the log of changes, each once, whatever is killed: in one transaction of the
// database stands what was appended and up to where the server's log has been decoded.

import { SqpError } from "../../wire/errors.ts";
import { CHANGES_CHANNEL, LOCK_NUMBERS, SETTINGS } from "./change_log_schema.ts";
import type { PostgresConnection } from "./connection.ts";
import type { DecodedTable, DecodedTransaction } from "./decoded_transaction.ts";
import { within } from "./own_connection.ts";
import { type DecodedRelation, type Lsn, lsnText, parseLsn } from "./pgoutput.ts";
import type { FoundSlot } from "./replication_slot.ts";
import type { RowShapes } from "./row_shapes.ts";
import { Oid } from "./types.ts";

/**
 * Appends changes, which were decoded up to a place, where the log stands at the place before. `relations` are the
 * tables that they are of: as which version of what is watched they were taken, and their columns as decoded, where
 * these were described anew: the server does that after every change of what feeds rely on. Answers
 * `{"outcome": "appended"}`; `superseded` where somebody else has decoded them, `stale` where other tables are watched
 * than were thought, or are about to be, and `changed` with the numbers of tables whose shape is another one, unless
 * they are said to be. Nothing was done then.
 */
export const APPEND_FUNCTION = `CREATE FUNCTION sqp_feeds.append(
      of_slot text, from_lsn pg_lsn, to_lsn pg_lsn, relations json, changes json
    ) RETURNS json LANGUAGE plpgsql ${SETTINGS} AS $$
    DECLARE
      me bigint := pg_current_xact_id()::text::bigint;
      epoch bigint := me - (me & 4294967295);
      changed oid[];
      unknown bigint[];
      rows bigint;
      first bigint;
    BEGIN
      ${LOCK_NUMBERS};
      IF NOT EXISTS (SELECT FROM sqp_feeds.log WHERE slot = of_slot AND decoded = from_lsn) THEN
        RETURN json_build_object('outcome', 'superseded');
      END IF;
      IF EXISTS (
        SELECT FROM json_to_recordset(relations) r (relid oid, version text)
          LEFT JOIN sqp_feeds.watched w USING (relid)
        WHERE w.xmin::text IS DISTINCT FROM r.version
      ) THEN
        RETURN json_build_object('outcome', 'stale');
      END IF;
      SELECT array_agg(relid), array_agg(relid::bigint) FILTER (WHERE r.is_changed IS NOT TRUE)
        INTO changed, unknown
        FROM json_to_recordset(relations) r (relid oid, is_changed boolean, columns jsonb)
          JOIN sqp_feeds.watched w USING (relid)
        WHERE w.shape IS NOT NULL AND r.columns IS NOT NULL AND (
          sqp_feeds.shape(relid) IS DISTINCT FROM w.shape
          OR w.shape::jsonb -> 0 IS DISTINCT FROM (
            SELECT jsonb_agg(
              jsonb_build_array(c ->> 0, format_type((c ->> 1)::oid, (c ->> 2)::int), c -> 1)
              ORDER BY place)
            FROM jsonb_array_elements(r.columns) WITH ORDINALITY e (c, place)));
      IF unknown IS NOT NULL THEN
        RETURN json_build_object('outcome', 'changed', 'relids', to_json(unknown));
      END IF;
      -- Whoever watches one of them anew waits for the lock that is held here.
      IF cardinality(changed) > (SELECT count(*) FROM (
        SELECT FROM sqp_feeds.watched WHERE relid = ANY (changed) FOR UPDATE SKIP LOCKED) free
      ) THEN
        RETURN json_build_object('outcome', 'stale');
      END IF;
      UPDATE sqp_feeds.log SET decoded = to_lsn;
      rows := json_array_length(changes);
      IF rows = 0 THEN RETURN json_build_object('outcome', 'appended'); END IF;
      first := nextval('sqp_feeds.ids');
      IF rows > 1 THEN PERFORM setval('sqp_feeds.ids', first + rows - 1); END IF;
      -- The upper half of a transaction's number is that of the current one, or the one before.
      INSERT INTO sqp_feeds.changes (xid, relid, before, after, reason, id, ends, at_ms)
        SELECT (epoch + x - CASE WHEN x > (me & 4294967295) THEN 4294967296 ELSE 0 END)::text::xid8,
          r, b, a, w, first + place - 1, e, t
        FROM ROWS FROM (
          json_to_recordset(changes)
            AS (x bigint, r oid, b text, a text, w text, e boolean, t bigint)
        ) WITH ORDINALITY c (x, r, b, a, w, e, t, place);
      IF changed IS NOT NULL THEN
        UPDATE sqp_feeds.watched SET shape = NULL, shape_since_id = first WHERE relid = ANY (changed);
      END IF;
      PERFORM pg_notify('${CHANGES_CHANNEL}', '');
      RETURN json_build_object('outcome', 'appended');
    END
  $$`;

const APPEND = "SELECT sqp_feeds.append($1::text, $2::pg_lsn, $3::pg_lsn, $4::json, $5::json)";

const WATCHED = "SELECT relid, xmin::text, shape, since_lsn FROM sqp_feeds.watched";

/** Characters of changes that are sent at once, one change more or less. */
const PART_CHARACTERS = 1024 * 1024;

/** How often an append is tried, and the pause between, where tables come to be watched meanwhile. */
const ATTEMPTS_MAX = 10;
const ATTEMPT_PAUSE_MS = 20;

/** A table and which version of its watch is meant, `null` where it is not watched. */
interface KnownTable extends DecodedTable {
  readonly version: string | null;
}

const NOT_WATCHED: KnownTable = { version: null, sinceLsn: 0n, keys: undefined, isChanged: false };

/** What {@linkcode APPEND_FUNCTION} answers. */
interface Answer {
  readonly outcome: "appended" | "superseded" | "stale" | "changed";
  readonly relids?: readonly number[];
}

/** With what the log is appended to. */
export interface DecodedLogHost {
  readonly connection: PostgresConnection;
  readonly shapes: RowShapes;
  /** How long appending some transactions may take. */
  readonly msMax: number;
}

/** The log of changes as the decoder of one replication slot has it. */
export class DecodedLog {
  readonly #connection: PostgresConnection;
  readonly #shapes: RowShapes;
  readonly #msMax: number;
  readonly #slot: string;
  #position: Lsn;
  readonly #tables = new Map<number, KnownTable>();
  /** Tables as they were described when they were found to have the shape that is watched. */
  readonly #verified = new Map<number, DecodedRelation>();

  constructor({ connection, shapes, msMax }: DecodedLogHost, { slot, position }: FoundSlot) {
    this.#connection = connection;
    this.#shapes = shapes;
    this.#msMax = msMax;
    this.#slot = slot;
    this.#position = position;
  }

  /** Up to where the server's log has been decoded. */
  get position(): Lsn {
    return this.#position;
  }

  /** Appends transactions in their order. Throws {@linkcode SqpError}: nothing was appended then, or nobody can say. */
  append(transactions: readonly DecodedTransaction[]): Promise<void> {
    return within(this.#connection, this.#msMax, () => this.#append(transactions));
  }

  async #append(transactions: readonly DecodedTransaction[]): Promise<void> {
    const relations = new Map(transactions.flatMap((transaction) => [...transaction.relations]));
    const changed = new Set<number>();
    for (let attempts = 1;; attempts++) {
      await this.#know([...relations.keys()]);
      const answer = await this.#try(transactions, relations, changed);
      if (answer.outcome === "appended") break;
      const { outcome, relids = [] } = answer;
      if (outcome === "superseded" || attempts === ATTEMPTS_MAX) {
        const message = `The log of changes cannot be appended to: ${outcome}.`;
        throw new SqpError("engine_failure", { message });
      }
      if (outcome === "stale") {
        this.#tables.clear();
        if (attempts > 1) await new Promise((resolve) => setTimeout(resolve, ATTEMPT_PAUSE_MS));
      }
      for (const relid of relids) changed.add(relid);
    }
    this.#position = transactions.at(-1)!.endLsn;
    for (const [relid, relation] of relations) {
      if (!changed.has(relid)) this.#verified.set(relid, relation);
    }
  }

  async #know(relids: readonly number[]): Promise<void> {
    if (relids.every((relid) => this.#tables.has(relid))) return;
    await this.#learn();
    for (const relid of relids) {
      if (!this.#tables.has(relid)) this.#tables.set(relid, NOT_WATCHED);
    }
  }

  async #learn(): Promise<void> {
    this.#tables.clear();
    this.#verified.clear();
    for (const row of await this.#connection.values(WATCHED)) {
      const [relid, version, shape, sinceLsn] = row;
      const keys = shape === null ? undefined : this.#shapes.of(shape!).keys;
      const table = { version: version!, keys, sinceLsn: parseLsn(sinceLsn!), isChanged: false };
      this.#tables.set(Number(relid), table);
    }
  }

  async #try(
    transactions: readonly DecodedTransaction[],
    relations: ReadonlyMap<number, DecodedRelation>,
    changed: ReadonlySet<number>,
  ): Promise<Answer> {
    const tables = new Map(
      [...this.#tables].map(([relid, table]) =>
        [relid, { ...table, isChanged: changed.has(relid) }] as const
      ),
    );
    const described = [...relations].map(([relid, relation]) => ({
      relid,
      version: tables.get(relid)!.version,
      is_changed: changed.has(relid),
      ...(this.#verified.get(relid) !== relation && {
        columns: relation.columns.map(({ name, type, modifier }) => [name, type, modifier]),
      }),
    }));
    const to = lsnText(transactions.at(-1)!.endLsn);
    const ask = (from: string, relationsText: string, changes: string) =>
      this.#ask([this.#slot, from, to, relationsText, changes]);
    const parts = [...partsOf(transactions, tables)];
    const from = lsnText(this.#position);
    if (parts.length === 1) return await ask(from, JSON.stringify(described), parts[0]!);
    await this.#connection.values("BEGIN");
    let answer: Answer | undefined;
    for (const part of parts) {
      answer = answer === undefined
        ? await ask(from, JSON.stringify(described), part)
        : await ask(to, "[]", part);
      if (answer.outcome !== "appended") break;
    }
    await this.#connection.values(answer!.outcome === "appended" ? "COMMIT" : "ROLLBACK");
    return answer!;
  }

  /** Appends, by a statement that is kept prepared: it is run for every few transactions. */
  async #ask(parameters: readonly string[]): Promise<Answer> {
    let answer: Answer | undefined;
    await this.#connection.run({
      ...{ sql: APPEND, prepare: true },
      parameters: parameters.map((text) => ({ text, oid: Oid.UNSPECIFIED })),
    }, {
      onRow: ([text]) => void (answer = JSON.parse(new TextDecoder().decode(text!))),
      onBatch: () => Promise.resolve(0),
    });
    return answer!;
  }
}

/** The changes of transactions in texts of JSON, of which there is one at least. */
function* partsOf(
  transactions: readonly DecodedTransaction[],
  tables: ReadonlyMap<number, DecodedTable>,
): Generator<string> {
  let rows: string[] = [];
  let characters = 0;
  for (const transaction of transactions) {
    const logged = transaction.logged(tables);
    for (const [at, { relid, before, after, reason }] of logged.entries()) {
      const row = JSON.stringify({
        ...{ x: transaction.xid, r: relid, b: before, a: after, w: reason },
        ...{ e: at === logged.length - 1, t: transaction.committedAtMs },
      });
      rows.push(row);
      characters += row.length;
      if (characters < PART_CHARACTERS) continue;
      yield `[${rows.join(",")}]`;
      [rows, characters] = [[], 0];
    }
  }
  yield `[${rows.join(",")}]`;
}
