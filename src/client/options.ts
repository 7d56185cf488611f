// What a user decides when connecting, and what becomes of it: addresses, credentials and trust, checked before
// anything is sent.

import { DtlsError } from "../dtls/errors.ts";
import type { DtlsClientOptions } from "../dtls/options.ts";
import { decodeSession, type DtlsSession } from "../dtls/session.ts";
import { serverVerifier } from "../dtls/peer_verifier.ts";
import { systemProvider } from "../dtls_runtime/system_provider.ts";
import {
  CertificateFault,
  certificatesFromPem,
  crlsFromPem,
  parseCertificate,
  parseIpAddress,
  PemError,
  privateKeyFromPem,
  TrustStore,
  TrustStoreError,
} from "../dtls/x509/mod.ts";
import { equalBytes } from "../base/bytes.ts";
import type { Entropy } from "../base/core.ts";
import type { EventLog } from "../transport/event_log.ts";
import { SqpError } from "../wire/errors.ts";
import { ALPN_PROTOCOL, DEFAULT_PORT } from "../wire/protocol.ts";
import type { Credential } from "../wire/handshake_payload.ts";

/** How a client connects. Certificates and keys are PEM texts. */
export interface ConnectOptions {
  /** The certificate authorities that are trusted to sign the server's certificate. */
  readonly ca: string;
  /** The client's certificate chain, leaf first; with `key`. */
  readonly cert?: string;
  /** The private key of `cert`. */
  readonly key?: string;
  /** A JSON Web Token, instead of a certificate or bound to it. */
  readonly token?: string;
  /** Revocation lists of the authorities. */
  readonly crl?: string;
  /** The name that the server's certificate must carry. Default: the URL's host. */
  readonly serverName?: string;
  /**
   * What `Client.exportSession` gave: the security layer begins with it, faster, and with a full handshake where the
   * server will not. It is of the same server, and of a client with the same certificate, since the server takes the
   * new session for the old one's owner.
   */
  readonly session?: Uint8Array;
  /** How long connecting may take, in milliseconds. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** Name and version of the application, for the server's log. */
  readonly agent?: string;
  /** Takes lines of an SSLKEYLOGFILE: whoever has them can read everything. */
  readonly onKeyLogLine?: (line: string) => void;
  /** Takes what happens to the session's packets; nothing of it tells what is asked or answered. */
  readonly eventLog?: EventLog;
}

/** Where a server is. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** Reads `sqp://host:port`. Throws {@linkcode SqpError} `bad_configuration`. */
export function parseServerUrl(url: string): ServerAddress {
  const match = /^sqp:\/\/(\[[0-9a-fA-F:.]+\]|[^/:?#@\[\]]+)(?::(\d{1,5}))?\/?$/.exec(url);
  const port = match?.[2] === undefined ? DEFAULT_PORT : Number(match[2]);
  if (match === null || port < 1 || port > 65_535) {
    throw new SqpError("bad_configuration", {
      message: `"${url}" is not of the form sqp://host:port.`,
    });
  }
  const host = match[1]!;
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port };
}

/** Runs a step on the user's texts; what is wrong with them is `bad_configuration`. */
function checked<Result>(what: string, step: () => Result): Result {
  try {
    return step();
  } catch (error) {
    const isKnown = error instanceof PemError || error instanceof TrustStoreError ||
      error instanceof CertificateFault ||
      error instanceof TypeError;
    if (!isKnown) throw error;
    throw new SqpError("bad_configuration", { message: `${what}: ${error.message}`, cause: error });
  }
}

/** The options of the security layer. Throws {@linkcode SqpError} `bad_configuration`. */
export function clientDtlsOptions(
  options: ConnectOptions,
  host: string,
  entropy: Entropy,
): Omit<DtlsClientOptions, "keyLog"> {
  const provider = systemProvider();
  const serverName = options.serverName ?? host;
  const store = checked("ca", () =>
    new TrustStore({
      provider,
      trustAnchors: certificatesFromPem(options.ca),
      crls: options.crl === undefined ? [] : crlsFromPem(options.crl),
    }));
  // RFC 6066 section 3: "Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
  const isAddress = parseIpAddress(serverName) !== undefined;
  const credential = clientCredential(options);
  return {
    provider,
    entropy,
    alpn: [ALPN_PROTOCOL],
    // Every SQP server speaks 1.3: what makes a client take less is an attack.
    versions: ["1.3"],
    isAlpnRequired: true,
    verifyPeer: serverVerifier(() => store, serverName),
    ...(!isAddress && { serverName }),
    ...(options.session !== undefined && { session: storedSession(options.session) }),
    ...(credential !== undefined && {
      credentials: [{
        chain: credential.chain,
        key: checked("key", () => provider.signingKey(credential.pkcs8)),
      }],
    }),
  };
}

function storedSession(bytes: Uint8Array): DtlsSession {
  try {
    return decodeSession(bytes);
  } catch (error) {
    if (!(error instanceof DtlsError)) throw error;
    throw new SqpError("bad_configuration", { message: `session: ${error.message}`, cause: error });
  }
}

function clientCredential(
  { cert, key }: ConnectOptions,
): { chain: Uint8Array[]; pkcs8: Uint8Array } | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new SqpError("bad_configuration", { message: "cert and key belong together." });
  }
  const chain = checked("cert", () => certificatesFromPem(cert));
  const { pkcs8, publicKey } = checked("key", () => privateKeyFromPem(key));
  const leaf = checked("cert", () => parseCertificate(chain[0]!));
  if (!equalBytes(leaf.publicKey.spki, publicKey)) {
    throw new SqpError("bad_configuration", {
      message: "The private key does not belong to the certificate.",
    });
  }
  return { chain, pkcs8 };
}

/** What the client presents in the SQP handshake. */
export function sessionCredential(options: ConnectOptions): Credential | null {
  if (options.token !== undefined) return { type: "token", token: options.token };
  return options.cert === undefined ? null : { type: "certificate" };
}
