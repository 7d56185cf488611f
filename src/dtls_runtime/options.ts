// What people say to have an association or an endpoint on a socket, and what becomes of it for the core.

import type { Entropy } from "../base/core.ts";
import type { CryptoProvider } from "../dtls/crypto/provider.ts";
import type { EndpointLimits } from "../dtls/endpoint.ts";
import { type AssociationError, DtlsError } from "../dtls/errors.ts";
import { keyLogLine } from "../dtls/key_log.ts";
import type { DtlsLimits } from "../dtls/limits.ts";
import type {
  Credential,
  CredentialSelector,
  DtlsClientOptions,
  DtlsOptions,
  DtlsServerOptions,
} from "../dtls/options.ts";
import { type CookieExemption, SingleUseTickets } from "../dtls/early_data.ts";
import { clientVerifier, serverVerifier } from "../dtls/peer_verifier.ts";
import type { DtlsSession } from "../dtls/session.ts";
import { SessionCache } from "../dtls/session_cache.ts";
import { TicketKeys } from "../dtls/ticket_keys.ts";
import { parseIpAddress } from "../dtls/x509/mod.ts";
import { monotonicNow } from "../net/driver.ts";
import { systemEntropy } from "../net/entropy.ts";
import type { UdpAddress, UdpRuntime } from "../net/socket.ts";
import {
  type CertificateAndKey,
  readCredential,
  readTrust,
  type TrustOptions,
} from "./credentials.ts";
import type { RuntimeLimits } from "./limits.ts";
import { systemProvider } from "./system_provider.ts";

/** Options of the core that have a default here, or another form. */
export type ReplacedOption = "provider" | "entropy" | "keyLog" | "limits";

/** Options of both sides that the core does not have. */
export interface SocketOptions extends TrustOptions {
  /** Where the cryptographic primitives come from. Default: `systemProvider()`. */
  readonly provider?: CryptoProvider;
  /** Unpredictable bytes. Default: the system's. */
  readonly entropy?: Entropy;
  /** Takes lines of an SSLKEYLOGFILE: whoever has them can read everything. */
  readonly onKeyLogLine?: (line: string) => void;
  /** Where sockets come from. Default: this runtime's UDP. */
  readonly udp?: UdpRuntime;
  /** Ends the call before it has resolved, and closes an endpoint afterwards. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode connectDtls}. */
export interface ConnectDtlsOptions extends
  SocketOptions,
  Omit<
    DtlsClientOptions,
    ReplacedOption | "credentials" | "verifyPeer" | "serverName" | "offersEarlyData"
  > {
  /** The server: a name or an IP address. */
  readonly hostname: string;
  /** The server's port. */
  readonly port: number;
  /**
   * The name that the server's certificate must carry, sent to the server if it is no IP address. Default:
   * `hostname`.
   */
  readonly serverName?: string;
  /** What the client may present where the server asks for it, best first. Default: nothing. */
  readonly credentials?: readonly CertificateAndKey[];
  /**
   * Takes each session that the server gives, to be the `session` of a later association: it saves the server's proof
   * and, in DTLS 1.2, a round trip. `encodeSession` makes bytes of one to store.
   */
  readonly onSession?: (session: DtlsSession) => void;
  /**
   * Messages that go with the ClientHello where `session` allows it. Whoever records them can send them again, and not
   * every server sees to it that they are taken once: they have to be harmless when repeated.
   */
  readonly earlyData?: readonly Uint8Array[];
  /** Told of the messages of `earlyData` that the server has not taken, which may be sent again once connected. */
  readonly onEarlyDataLost?: (messages: readonly Uint8Array[]) => void;
  /** Decides about the server's chain, in place of `ca`, `crl` and the server's name. */
  readonly verifyPeer?: DtlsClientOptions["verifyPeer"];
  /** Limits that differ from `DTLS_LIMITS` and `RUNTIME_LIMITS`. */
  readonly limits?: Partial<DtlsLimits & RuntimeLimits>;
}

/** Options of {@linkcode listenDtls}. */
export interface ListenDtlsOptions extends
  SocketOptions,
  Omit<
    DtlsServerOptions,
    | ReplacedOption
    | "credentials"
    | "verifyPeer"
    | "connectionId"
    | "tickets"
    | "cookieExemption"
    | "sessionCache"
  > {
  /** The address to listen at. Default: `127.0.0.1`. */
  readonly hostname?: string;
  /** The port. Default: one of the system's choice. */
  readonly port?: number;
  /**
   * The server's certificates, best first: the first that a client can verify is used. A function chooses them by the
   * name that a client asks for.
   */
  readonly credentials: readonly CertificateAndKey[] | CredentialSelector;
  /** Seals and opens session tickets. Default: keys of this endpoint alone, changed every day. `null`: none. */
  readonly tickets?: TicketKeys | null;
  /** Lets clients that resume skip the cookie. Default: once with each ticket of this endpoint. `null`: none does. */
  readonly cookieExemption?: CookieExemption | null;
  /** Sessions of DTLS 1.2 for clients that know no tickets. Default: a cache of this endpoint alone. `null`: none. */
  readonly sessionCache?: SessionCache | null;
  /** Decides about clients' chains, in place of `ca` and `crl`. */
  readonly verifyPeer?: DtlsServerOptions["verifyPeer"];
  /** Limits that differ from `DTLS_LIMITS`, `ENDPOINT_LIMITS` and `RUNTIME_LIMITS`. */
  readonly limits?: Partial<DtlsLimits & EndpointLimits & RuntimeLimits>;
  /**
   * Takes messages that clients send before their handshake, where `earlyData` allows it. They are from a client that
   * was here before, but may have been held back on the way.
   */
  readonly onEarlyData?: (message: Uint8Array, from: UdpAddress) => void;
  /** Told of each handshake that came to nothing, which no loop over the endpoint sees. */
  readonly onHandshakeFailed?: (error: AssociationError, from: UdpAddress) => void;
}

/** What both sides' options have in common, for the core. */
function coreOptions(
  { provider, entropy, onKeyLogLine }: SocketOptions,
): Pick<DtlsOptions, "provider" | "entropy" | "keyLog"> {
  return {
    provider: provider ?? systemProvider(),
    entropy: entropy ?? systemEntropy,
    ...(onKeyLogLine !== undefined && {
      keyLog: (label, random, secret) => onKeyLogLine(keyLogLine(label, random, secret)),
    }),
  };
}

function readAll(
  credentials: readonly CertificateAndKey[],
  provider: CryptoProvider,
): readonly Credential[] {
  return credentials.map((one) => readCredential(one, provider));
}

/** The core's options of a client. Throws `DtlsError` `bad-option`. */
export async function clientOptions(options: ConnectDtlsOptions): Promise<DtlsClientOptions> {
  const { credentials, verifyPeer, serverName: _, earlyData, ...others } = options;
  const serverName = options.serverName ?? options.hostname;
  const core = coreOptions(options);
  // Who has a key with the server from elsewhere need not trust any authority.
  const needsTrust = options.ca !== undefined || (options.externalPsks ?? []).length === 0;
  const store = verifyPeer === undefined && needsTrust
    ? await readTrust(options, core.provider)
    : undefined;
  const verifier = verifyPeer ??
    (store === undefined ? undefined : serverVerifier(() => store, serverName));
  return {
    ...others,
    ...core,
    offersEarlyData: earlyData !== undefined && earlyData.length > 0,
    ...(verifier !== undefined && { verifyPeer: verifier }),
    // RFC 6066 section 3: "Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
    ...(parseIpAddress(serverName) === undefined && { serverName }),
    ...(credentials !== undefined && { credentials: readAll(credentials, core.provider) }),
  };
}

/** The core's options of a server. Throws `DtlsError` `bad-option`. */
export async function serverOptions(options: ListenDtlsOptions): Promise<DtlsServerOptions> {
  const core = coreOptions(options);
  const {
    credentials,
    verifyPeer,
    tickets = new TicketKeys(core, monotonicNow()),
    cookieExemption = options.earlyData ?? { tickets: new SingleUseTickets(core.entropy) },
    sessionCache = new SessionCache(),
    ...others
  } = options;
  const asksClients = (options.clientCertificate ?? "none") !== "none";
  // A server that asked the public authorities who its clients are would let in everybody.
  if (asksClients && verifyPeer === undefined && options.ca === undefined) {
    throw new DtlsError("bad-option", "ca: whom clients' certificates have to be from is not said");
  }
  const store = asksClients && verifyPeer === undefined
    ? await readTrust(options, core.provider)
    : undefined;
  const verifier = verifyPeer ??
    (store === undefined ? undefined : clientVerifier(() => store));
  return {
    ...others,
    ...core,
    credentials: typeof credentials === "function"
      ? credentials
      : readAll(credentials, core.provider),
    ...(tickets !== null && { tickets }),
    ...(cookieExemption !== null && { cookieExemption }),
    ...(sessionCache !== null && { sessionCache }),
    ...(verifier !== undefined && { verifyPeer: verifier }),
  };
}
