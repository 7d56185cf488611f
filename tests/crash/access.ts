// A database as whoever writes to it and follows it has it: through a client, or through an engine in this process.

import type { Client } from "../../src/client/mod.ts";
import type { Engine } from "../../src/query/engine.ts";
import { decodeBatchResponse } from "../../src/wire/batch_payload.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { encodeParams } from "../../src/wire/params.ts";
import type { Row } from "../../src/wire/value.ts";
import { TestFeed } from "../query/feed_harness.ts";
import { ALL, askIn, replied } from "../query/query_harness.ts";

/** How an engine says what differs. */
export interface Dialect {
  /** Makes the table that is written to. Nothing in it keeps a write from being there twice. */
  readonly makeTable: string;
  /** Inserts a row of a write; large, so that a good part of the time is spent in commits. */
  readonly insert: string;
}

/** What of SQL differs between the engines. */
export const DIALECTS = {
  sqlite: {
    makeTable: "CREATE TABLE w (id INTEGER PRIMARY KEY, n INT NOT NULL, part INT, filler)",
    insert: "INSERT INTO w (n, part, filler) VALUES (?, ?, zeroblob(2000)) RETURNING id",
  },
  postgres: {
    makeTable: `CREATE TABLE w (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      n int NOT NULL, part int, filler bytea)`,
    insert: `INSERT INTO w (n, part, filler)
      VALUES ($1, $2, decode(repeat('00', 2000), 'hex')) RETURNING id`,
  },
} as const satisfies Readonly<Record<string, Dialect>>;

/** A statement and its parameters. */
export type Step = readonly [sql: string, params: readonly number[]];

/** What a feed has told at a cursor: a whole transaction, the rows of its snapshot, or nothing. */
export interface Told {
  readonly cursor: string;
  readonly changes: readonly { readonly before: Row | null; readonly after: Row | null }[];
}

/** A way to the database. What it is asked for rejects with {@linkcode SqpError}. */
export interface Access {
  readonly dialect: Dialect;
  /** Runs a statement, and gives everything that it was answered with. */
  execute(step: Step, key?: string): Promise<{ readonly rows: readonly Row[] }>;
  /** Runs a batch, and gives everything that it was answered with. */
  batch(steps: readonly Step[], key: string): Promise<unknown>;
  /** Runs statements in a transaction. */
  transaction(steps: readonly Step[]): Promise<void>;
  /** Follows the table from a cursor, without one from a snapshot, until the feed fails or is aborted. */
  feed(cursor: string | undefined, signal: AbortSignal): AsyncIterable<Told>;
}

/** The table without its filler. */
export const NARROW = "SELECT id, n, part FROM w ORDER BY id";

function source(cursor: string | undefined) {
  return { tables: ["w"], ...(cursor === undefined ? { snapshot: true } : { cursor }) };
}

function narrow(row: Row | null): Row | null {
  return row === null ? null : row.slice(0, 3);
}

/** Through a client, until it is aborted: then nobody waits until the server's silence is noticed. */
export function clientAccess(client: Client, dialect: Dialect, end: AbortSignal): Access {
  const options = (key: string | undefined) => ({
    signal: end,
    ...(key !== undefined && { idempotencyKey: key }),
  });
  return {
    dialect,
    execute: ([sql, params], key) => client.execute(sql, params, options(key)),
    batch: (steps, key) =>
      client.batch(steps.map(([sql, params]) => ({ sql, params })), options(key)),
    transaction: (steps) =>
      Promise.race([
        client.transaction((tx) => {
          for (const [sql, params] of steps) {
            tx.execute(sql, params, { signal: end }).catch(() => {});
          }
          return Promise.resolve();
        }),
        new Promise<never>((_, reject) =>
          end.addEventListener("abort", () => reject(new SqpError("connection_lost")))
        ),
      ]),
    async *feed(cursor, signal) {
      const either = AbortSignal.any([signal, end]);
      const snapshot: Row[] = [];
      for await (const event of client.subscribe({ ...source(cursor), signal: either })) {
        if (event.kind === "reset") throw new Error(`the feed was reset: ${event.reason}`);
        if (event.kind === "snapshot") snapshot.push(...event.rows);
        else {
          const changes = event.kind === "transaction"
            ? event.changes
            : snapshot.splice(0).map((after) => ({ before: null, after }));
          yield { cursor: event.cursor, changes: narrowed(changes) };
        }
      }
    },
  };
}

function narrowed(changes: Told["changes"]): Told["changes"] {
  return changes.map(({ before, after }) => ({ before: narrow(before), after: narrow(after) }));
}

/** Through an engine. */
export function engineAccess(engine: Engine, dialect: Dialect): Access {
  const session = engine.open({ principal: "writer", permissions: new Set(ALL) });
  return {
    dialect,
    execute: ([sql, params], key) =>
      askIn(session, sql, { params, ...(key !== undefined && { idempotencyKey: key }) }),
    async batch(steps, idempotencyKey) {
      const command = {
        steps: steps.map(([sql, params]) => ({
          ...{ sql, params: encodeParams(params), conditions: [], mayFail: false },
        })),
        idempotencyKey,
      };
      const { payload } = await replied<{ payload: Uint8Array }>((reply) =>
        session.batch(command, reply)
      );
      return decodeBatchResponse(payload);
    },
    async transaction(steps) {
      const transaction = session.begin({ readOnly: false }, { onEnd() {}, onError() {} });
      const done = steps.map(([sql, params]) => askIn(transaction, sql, { params }));
      const committed = replied<void>((reply) => transaction.commit(reply));
      await Promise.allSettled(done);
      await committed;
    },
    async *feed(cursor, signal) {
      const feed = new TestFeed(engine, source(cursor));
      const cancel = () => feed.cancel();
      signal.addEventListener("abort", cancel);
      if (signal.aborted) cancel();
      try {
        for (;;) {
          const event = await feed.nextMark();
          if (event.kind === "reset") throw new Error(`the feed was reset: ${event.reason}`);
          yield { cursor: event.cursor, changes: narrowed(event.changes) };
        }
      } finally {
        signal.removeEventListener("abort", cancel);
        cancel();
      }
    },
  };
}
