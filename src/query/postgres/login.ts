// Where a PostgreSQL database is and who logs in: the URL that an operator gives, and the login role of each set of
// permissions.

import { SqpError } from "../../wire/errors.ts";
import type { Permission } from "../engine.ts";

/** The permissions that a login role stands for, in the order in which they appear in its name. */
const LOGIN_PERMISSIONS = ["read", "write", "schema"] as const satisfies readonly Permission[];

/** How the connection to the database is protected. */
export type TlsMode = "disable" | "require" | "verify-full";

/** A database and the role that is logged in as. */
export interface Login {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** A file in which the password is looked up where there is none. */
  readonly passwordFile?: string;
  readonly tls: TlsMode;
  /** Files in PEM: the authorities that the server's certificate is held against, and a certificate of our own. */
  readonly tlsFiles: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** The name of a database without what is secret in it, for logs and texts of errors. */
export function withoutPassword(database: string): string {
  if (!isPostgresUrl(database)) return database;
  const url = URL.parse(database);
  if (url === null) return "postgres://";
  url.password = "";
  return url.href;
}

/** The parameters of a URL, by the names that PostgreSQL's own programs give them. */
const URL_PARAMETERS = ["sslmode", "sslrootcert", "sslcert", "sslkey", "passfile"];

const DEFAULT_PORT = 5432;

/** Whether a database is named by a URL of PostgreSQL's. */
export function isPostgresUrl(database: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(database);
}

/**
 * Reads `postgres://user:password@host:port/database?sslmode=...`. Without `sslmode` the server's certificate is
 * verified, on this machine's own address excepted. Throws {@linkcode SqpError} `bad_configuration`, whose text does
 * not hold the password.
 */
export function parseLogin(text: string): Login {
  if (!isPostgresUrl(text)) throw badUrl("it does not begin with postgres://");
  const url = URL.parse(text);
  if (url === null) throw badUrl("it cannot be read");
  for (const name of url.searchParams.keys()) {
    if (!URL_PARAMETERS.includes(name)) throw badUrl(`the parameter "${name}" is not known`);
  }
  const user = decodeURIComponent(url.username);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw badUrl("it names no host");
  if (user === "") throw badUrl("it names no user");
  const file = (name: string) => url.searchParams.get(name) ?? undefined;
  const [ca, cert, key] = [file("sslrootcert"), file("sslcert"), file("sslkey")];
  const passwordFile = file("passfile");
  return {
    host,
    port: url.port === "" ? DEFAULT_PORT : Number(url.port),
    database: decodeURIComponent(url.pathname.slice(1)) || user,
    user,
    password: decodeURIComponent(url.password),
    ...(passwordFile !== undefined && { passwordFile }),
    tls: tlsMode(url.searchParams.get("sslmode"), host),
    tlsFiles: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    },
  };
}

function tlsMode(mode: string | null, host: string): TlsMode {
  switch (mode) {
    case null:
      return /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host) ? "disable" : "verify-full";
    case "disable":
    case "require":
    case "verify-full":
      return mode;
  }
  throw badUrl('sslmode is "disable", "require" or "verify-full"');
}

function badUrl(why: string): SqpError {
  return new SqpError("bad_configuration", { message: `The database's URL is not valid: ${why}.` });
}

/**
 * The role that a set of permissions logs in as: the user of the URL for all of them, the same with the names of the
 * permissions behind it for fewer (`app_read`, `app_read_write`), `undefined` for none. A principal is never given a
 * role of another set.
 */
export function roleName(user: string, permissions: ReadonlySet<Permission>): string | undefined {
  const held = LOGIN_PERMISSIONS.filter((permission) => permissions.has(permission));
  if (held.length === 0) return undefined;
  return held.length === LOGIN_PERMISSIONS.length ? user : [user, ...held].join("_");
}
