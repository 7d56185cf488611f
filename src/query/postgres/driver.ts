// npm postgres, set up as a connection of one session.

import type { Socket } from "node:net";
import postgres from "postgres";
import type { Login } from "./login.ts";
import { findPassword } from "./password_file.ts";
import type { PostgresLimits } from "./settings.ts";
import { readSettingsFile } from "./socket.ts";

/** The driver of one connection. */
export type Driver = ReturnType<typeof postgres>;

/** A column as the server describes it. */
export interface BackendColumn {
  readonly name: string;
  /** The number of its type. */
  readonly type: number;
  /** The number of its table and of its column there; 0 for what is computed. */
  readonly table: number;
  readonly number: number;
}

/** The texts of a row's values, valid until the next turn of the event loop. */
export type BackendRow = readonly (Uint8Array | null)[];

/** The driver's query, as far as it is used; some of it stands in no type of its own. */
export interface DriverQuery extends Promise<DriverResult> {
  /** The next number of rows is read from here after every batch. */
  cursorRows: number;
  readonly statement?: {
    readonly columns?: readonly BackendColumn[];
    readonly types: readonly number[];
  };
  /** The statement is described and not run. */
  onlyDescribe?: boolean;
  cursor(rows: number, onBatch: () => Promise<void>): unknown;
  forEach(onRow: (row: BackendRow) => void): unknown;
}

/** A result of the driver, or the stream that COPY makes of it. */
export interface DriverResult {
  readonly command?: string | null;
  readonly count: number | null;
  readonly columns?: readonly BackendColumn[];
  on?(event: "error", listener: () => void): void;
}

const identity = (text: string) => text;

/** Parameters come as texts: the driver is kept from writing any of them in a way of its own. */
const TYPES = {
  boolean: { to: 16, from: [16], serialize: identity, parse: identity },
  bytea: { to: 17, from: [17], serialize: identity, parse: identity },
  json: { to: 114, from: [114, 3802], serialize: identity, parse: identity },
  date: { to: 1184, from: [1082, 1114, 1184], serialize: identity, parse: identity },
};

/** What every session is set to, so that values are written as they are read here. */
export const SESSION = {
  application_name: "sqp",
  TimeZone: "UTC",
  DateStyle: "ISO, MDY",
  IntervalStyle: "iso_8601",
  extra_float_digits: "1",
  client_min_messages: "error",
  // Transactions have shorter limits of their own; this one is for a server that has lost them.
  idle_in_transaction_session_timeout: "180000",
};

/** The settings of a session that streams changes, which writes values as the log's triggers do. */
export const REPLICATION_SESSION = {
  ...SESSION,
  replication: "database",
  bytea_output: "hex",
  search_path: "pg_catalog, pg_temp",
};

async function passwordOf(login: Login): Promise<string> {
  if (login.password !== "" || login.passwordFile === undefined) return login.password;
  return findPassword(await readSettingsFile(login.passwordFile), login) ?? "";
}

/** A driver of a session with these settings. Its only connection is the socket, for which its first statement asks. */
export function openDriver(
  login: Login,
  limits: PostgresLimits,
  { session, openSocket }: {
    readonly session: Readonly<Record<string, string>>;
    readonly openSocket: () => Promise<Socket>;
  },
): Driver {
  const { host, port, user, database } = login;
  const options = {
    ...{ host, port, user, database, pass: () => passwordOf(login) },
    // Every setting is given, so that the driver looks for none in the environment.
    ...{ max: 1, ssl: false, sslnegotiation: null, connect_timeout: limits.connectMs / 1000 },
    ...{ max_pipeline: 100, backoff: 0, keep_alive: 60, prepare: true, debug: false },
    ...{ publications: "", target_session_attrs: null, fetch_types: false, idle_timeout: 0 },
    ...{ max_lifetime: 0, no_subscribe: true, onnotice() {}, types: TYPES, connection: session },
    socket: openSocket,
  };
  return postgres(options as unknown as Parameters<typeof postgres>[0]);
}
