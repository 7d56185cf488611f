// The answer to a status command (PROTOCOL.md, "status").

import { decodeControl, encodeControl } from "./control.ts";
import { LIMITS } from "./limits.ts";

/** What a server is doing. */
export interface ServerStatus {
  /** The engine's name, such as `sqlite`. */
  readonly engine: string;
  /** Prepared statements of the session. */
  readonly statements: number;
  /** Transactions of the session that are open. */
  readonly transactions: number;
  /** What the engine is doing for everybody; for principals with the permission `admin`. */
  readonly server?: {
    /** Commands that wait for their turn. */
    readonly queued: number;
    /** Commands under way. */
    readonly running: number;
    /** Processes or connections that are up. */
    readonly processes: number;
    /** Counts since the engine was opened, by name. */
    readonly counters: Readonly<Record<string, number>>;
  };
}

/** Encodes a status. */
export function encodeStatus(status: ServerStatus): Uint8Array {
  const { engine, statements, transactions, server } = status;
  return encodeControl({
    engine,
    statements,
    transactions,
    server: server === undefined ? undefined : {
      queued: server.queued,
      running: server.running,
      processes: server.processes,
      counters: Object.entries(server.counters),
    },
  });
}

/** Decodes a status. Throws `DecodeError`. */
export function decodeStatus(payload: Uint8Array): ServerStatus {
  const fields = decodeControl(payload);
  const server = fields.optionalMap("server");
  return {
    engine: fields.text("engine", { maxBytes: LIMITS.nameBytesMax }),
    statements: fields.int("statements"),
    transactions: fields.int("transactions"),
    ...(server !== undefined && {
      server: {
        queued: server.int("queued"),
        running: server.int("running"),
        processes: server.int("processes"),
        counters: Object.fromEntries(
          server.list("counters", LIMITS.controlElementsMax).lists(2)
            .map((counter) => [counter.textAt(0), counter.intAt(1)]),
        ),
      },
    }),
  };
}
