// Starts a server from what an operator says: addresses, folders and files, with everything made that is missing.

import type { ProviderName } from "../dtls/crypto/composed.ts";
import { AddressError } from "../net/socket.ts";
import type { Engine } from "../query/engine.ts";
import { isPostgresUrl, openSqliteEngine, withoutPassword } from "../query/mod.ts";
import { type Permission, PERMISSIONS } from "../session/permissions.ts";
import { SqpError } from "../wire/errors.ts";
import type { AuthenticationPolicy } from "./authenticator.ts";
import {
  type DevelopmentCertificates,
  ensureDevelopmentCertificates,
} from "./certificate_directory.ts";
import { eventLogFiles } from "./event_log_files.ts";
import type { Logger } from "./log.ts";
import { fileExists } from "./certificate_files.ts";
import { ensureTokenKeys, tokenPrivateKeyPath, tokenPublicKeyPath } from "./token_files.ts";
import { DEFAULT_TOKEN_AUDIENCE, DEFAULT_TOKEN_ISSUER } from "./token_issuer.ts";
import { Server } from "./server.ts";

/** The database of a server that is told of none; its folder is made. */
export const DEFAULT_DATABASE = "data/sqp.sqlite";

/** What an operator decides. */
export interface ServerSettings {
  readonly hostname: string;
  /** 0: one of the system's choice. */
  readonly port: number;
  /** A file, `:memory:` for a database that is gone with the server, or the URL of a PostgreSQL database. */
  readonly database: string;
  /** The folder of certificates; what is missing in it is made. */
  readonly certificates: string;
  readonly policy: AuthenticationPolicy;
  readonly log: Logger;
  /** What the principal of a certificate may do. Default: everything but `admin`. */
  readonly certificatePermissions?: readonly Permission[];
  /** The file that TLS secrets are appended to: whoever has it can read everything. */
  readonly keyLogFile?: string;
  /** The folder of event logs, a file for each session. */
  readonly eventLogs?: string;
  readonly drainMs?: number;
  /** How long a transaction may be idle before it is rolled back. */
  readonly transactionIdleMs?: number;
  /** Where cryptographic primitives come from. Default: the fastest that is present for each. */
  readonly cryptography?: ProviderName;
  /** What `iss` of tokens has to be. Default: what `deno task token` writes. */
  readonly tokenIssuer?: string;
  /** What `aud` of tokens has to be. Default: what `deno task token` writes. */
  readonly tokenAudience?: string;
}

/** A server that was started, and what was made for it. */
export interface StartedServer {
  readonly server: Server;
  readonly certificates: DevelopmentCertificates;
}

/**
 * Starts a server. Throws `CertificateFileError`, {@linkcode AddressError}, `ProviderAbsentError`, or `SqpError` for a
 * database that cannot be opened; nothing is left running then.
 */
export async function startServer(settings: ServerSettings): Promise<StartedServer> {
  const certificates = await ensureDevelopmentCertificates(settings.certificates);
  const made = [...certificates.made];
  const acceptsTokens = settings.policy !== "certificate";
  if (acceptsTokens && !await fileExists(tokenPublicKeyPath(settings.certificates))) {
    await ensureTokenKeys(settings.certificates, "EdDSA");
    made.push(
      tokenPublicKeyPath(settings.certificates),
      tokenPrivateKeyPath(settings.certificates),
    );
  }
  const onKeyLogLine = settings.keyLogFile === undefined
    ? undefined
    : keyLogWriter(settings.keyLogFile, settings.log);
  const eventLog = settings.eventLogs === undefined
    ? undefined
    : eventLogFiles(settings.eventLogs, "server", settings.log);
  if (settings.database === DEFAULT_DATABASE) await Deno.mkdir("data", { recursive: true });
  const engine = await openDatabase(settings.database);
  try {
    const server = await Server.start({
      hostname: settings.hostname,
      port: settings.port,
      engine,
      trust: {
        ...certificates,
        ...(acceptsTokens && { tokenKeys: tokenPublicKeyPath(settings.certificates) }),
      },
      tokens: {
        issuer: settings.tokenIssuer ?? DEFAULT_TOKEN_ISSUER,
        audience: settings.tokenAudience ?? DEFAULT_TOKEN_AUDIENCE,
      },
      policy: settings.policy,
      certificatePermissions: settings.certificatePermissions ??
        PERMISSIONS.filter((permission) => permission !== "admin"),
      log: settings.log,
      ...(onKeyLogLine !== undefined && { onKeyLogLine }),
      ...(eventLog !== undefined && { eventLog }),
      ...(settings.transactionIdleMs !== undefined && {
        queries: { transactionIdleMs: settings.transactionIdleMs },
      }),
      ...(settings.drainMs !== undefined && { limits: { drainMs: settings.drainMs } }),
      ...(settings.cryptography !== undefined && { cryptography: settings.cryptography }),
    });
    return { server, certificates: { ...certificates, made } };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** Opens the database. Throws `SqpError` whose text names it. */
async function openDatabase(database: string): Promise<Engine> {
  const name = withoutPassword(database);
  try {
    if (!isPostgresUrl(database)) return await openSqliteEngine({ database });
    // Whoever serves a file needs no driver.
    const { openPostgresEngine } = await import("../query/postgres/postgres_engine.ts");
    return await openPostgresEngine({ url: database });
  } catch (error) {
    if (!(error instanceof SqpError) || error.message.includes(name)) throw error;
    const message = `${name}: ${error.message}`;
    throw new SqpError({ ...error.toPayload(), message }, { cause: error });
  }
}

/**
 * Appends lines to a file that only its owner can read, opened for each line. Throws what the system says where it
 * cannot be written.
 */
function keyLogWriter(path: string, log: Logger): (line: string) => void {
  const append = (text: string) =>
    Deno.writeTextFileSync(path, text, { append: true, create: true, mode: 0o600 });
  append("");
  return (line) => {
    try {
      append(`${line}\n`);
    } catch (error) {
      log.error("secrets not written", { file: path, error: String(error) });
    }
  };
}

/** Reads `host:port`, `[host]:port`, `host` or `:port`. Throws {@linkcode AddressError}. */
export function parseListenAddress(
  text: string,
  defaultPort: number,
): { hostname: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]*)(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[2] === undefined ? defaultPort : Number(match[2]);
  if (match === null || port > 65_535) throw new AddressError(`"${text}" is not host:port`);
  const host = match[1] === "" ? "0.0.0.0" : match[1]!;
  return { hostname: host.startsWith("[") ? host.slice(1, -1) : host, port };
}
