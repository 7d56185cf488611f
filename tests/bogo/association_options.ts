// What the runner's flags mean to this library: the options of an association.

import { randomBytes, X509Certificate } from "node:crypto";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { NamedGroup, ProtocolVersion, type SignatureScheme } from "../../src/dtls/code_points.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import type { DtlsLimits } from "../../src/dtls/limits.ts";
import {
  type ClientCertificatePolicy,
  type Credential,
  type DtlsClientOptions,
  type DtlsOptions,
  type DtlsServerOptions,
  type DtlsVersion,
  type PeerVerifier,
} from "../../src/dtls/options.ts";
import type { SessionCache } from "../../src/dtls/session_cache.ts";
import type { DtlsSession } from "../../src/dtls/session.ts";
import { TicketKeys } from "../../src/dtls/ticket_keys.ts";
import { readPsks } from "./credentials.ts";
import { ExpectationError } from "./expectations.ts";
import { type ConnectionFlags, UnknownFlagError } from "./flags.ts";

/** BoringSSL's first retransmission timeout, which the runner expects. */
const INITIAL_TIMEOUT_MS = 400;
/** A path whose size the runner does not limit. */
const MTU_BYTES = 1_472;
/** BoringSSL sends a flight at once, however large. */
const RECORDS_PER_TRANSMISSION = 1_000;
/** The largest message that BoringSSL takes. */
const HANDSHAKE_MESSAGE_BYTES = 102_400;
/** More certificates than any chain of the runner's has. */
const CERTIFICATES = 100;
/** Sent records that BoringSSL remembers, and the runner expects to be remembered. */
const SENT_RECORDS = 32;

function limits(flags: ConnectionFlags): Partial<DtlsLimits> {
  const datagramBytesMax = flags.number("-mtu") ?? MTU_BYTES;
  const initialTimeoutMs = flags.number("-initial-timeout-duration-ms") ?? INITIAL_TIMEOUT_MS;
  return {
    datagramBytesMax,
    // The runner says itself how large datagrams may be, and how much time goes by.
    smallDatagramBytesMax: MTU_BYTES,
    recordsPerTransmissionMax: RECORDS_PER_TRANSMISSION,
    sentRecordsMax: SENT_RECORDS,
    initialTimeoutMs,
    handshakeMsMax: 3_600_000,
    handshakeMessageBytesMax: flags.number("-max-cert-list") ?? HANDSHAKE_MESSAGE_BYTES,
    certificateChainMax: CERTIFICATES,
    fragmentRangesMax: HANDSHAKE_MESSAGE_BYTES,
  };
}

/** What the versions' numbers are to the runner. */
const VERSION_FLAGS = [
  { version: "1.3", number: ProtocolVersion.DTLS_1_3, exclude: "-no-tls13" },
  { version: "1.2", number: ProtocolVersion.DTLS_1_2, exclude: "-no-tls12" },
] as const;

/** The wire counts DTLS's versions down. */
function versions(flags: ConnectionFlags): readonly DtlsVersion[] {
  const min = flags.number("-min-version") ?? 0xffff;
  const max = flags.number("-max-version") ?? 0;
  return VERSION_FLAGS
    .filter(({ number, exclude }) => number <= min && number >= max && !flags.has(exclude))
    .map(({ version }) => version);
}

function groups(flags: ConnectionFlags): readonly NamedGroup[] | undefined {
  const curves = flags.numbers("-curves");
  const known: readonly number[] = Object.values(NamedGroup);
  const unknown = curves?.find((curve) => !known.includes(curve));
  if (unknown !== undefined) throw new UnknownFlagError(`-curves ${unknown}`);
  return curves as readonly NamedGroup[] | undefined;
}

/** The protocols of ALPN's list on the wire. */
function protocolNames(list: string): string[] {
  const names: string[] = [];
  for (let at = 0; at < list.length;) {
    const length = list.charCodeAt(at);
    names.push(list.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return names;
}

/** Accepts every chain, as BoringSSL's shim does, but where the runner wants it refused. */
function verifier(flags: ConnectionFlags): PeerVerifier {
  return ([leaf]) => {
    const isRequired = flags.has("-verify-peer") || flags.has("-require-any-client-certificate");
    if (flags.has("-verify-fail") && isRequired) {
      // BoringSSL's own verification ends in the alert handshake_failure, a verifier of its user in the other.
      const isCustom = flags.has("-use-custom-verify-callback");
      const reason = isCustom ? "certificate-unknown" : "no-common-parameters";
      throw new DtlsFault(reason, "the runner wants this chain refused");
    }
    const { publicKey } = new X509Certificate(leaf!);
    return { publicKey: new Uint8Array(publicKey.export({ format: "der", type: "spki" })) };
  };
}

const entropy = (lengthBytes: number) => new Uint8Array(randomBytes(lengthBytes));

/** The keys of a server's tickets, for all connections of a process. */
export function ticketKeys(nowMs: number): TicketKeys {
  return new TicketKeys({ provider: nodeProvider, entropy }, nowMs);
}

function common(flags: ConnectionFlags): DtlsOptions {
  const chosenGroups = groups(flags);
  const signatureSchemes = flags.numbers("-verify-prefs") as readonly SignatureScheme[] | undefined;
  return {
    provider: nodeProvider,
    entropy,
    limits: limits(flags),
    retransmission: "timed",
    versions: versions(flags),
    reverifyPeer: flags.has("-reverify-on-resume"),
    externalPsks: readPsks(flags).map(({ psk }) => psk),
    ...(chosenGroups === undefined ? {} : { groups: chosenGroups }),
    ...(signatureSchemes === undefined ? {} : { signatureSchemes }),
  };
}

/** The options of a client. */
export function clientOptions(
  flags: ConnectionFlags,
  credentials: readonly Credential[],
  session: DtlsSession | undefined,
): DtlsClientOptions {
  const serverName = flags.text("-host-name");
  const alpn = flags.text("-advertise-alpn");
  return {
    ...common(flags),
    // With PSKs BoringSSL takes a certificate only where it is told to verify it.
    ...(readPsks(flags).length > 0 && !flags.has("-verify-peer")
      ? {}
      : { verifyPeer: verifier(flags) }),
    connectionId: null,
    isAnyProtocolAccepted: flags.has("-allow-unknown-alpn-protos"),
    ...(session === undefined ? {} : { session }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(alpn === undefined ? {} : { alpn: protocolNames(alpn) }),
    credentials,
    isCredentialRequired: credentials.length > 0,
  };
}

function clientCertificatePolicy(flags: ConnectionFlags): ClientCertificatePolicy {
  if (flags.has("-require-any-client-certificate")) return "required";
  return flags.has("-verify-peer") ? "optional" : "none";
}

/** The options of a server. */
export function serverOptions(
  flags: ConnectionFlags,
  credentials: readonly Credential[],
  { tickets, sessionCache }: { tickets: TicketKeys; sessionCache: SessionCache },
): DtlsServerOptions {
  const chooseProtocol = protocolChooser(flags);
  return {
    ...common(flags),
    credentials,
    ...(flags.has("-no-ticket") ? {} : { tickets }),
    sessionCache,
    ...(flags.has("-skip-ticket") ? { ticketsPerHandshake: 0 } : {}),
    isPskPreferred: flags.credentials[0]?.has("-new-x509-credential") !== true,
    isServerNameAcknowledged: !flags.has("-no-server-name-ack"),
    clientCertificate: clientCertificatePolicy(flags),
    verifyPeer: verifier(flags),
    ...(chooseProtocol === undefined ? {} : { chooseProtocol }),
  };
}

/** What the runner wants chosen of a client's protocols. */
function protocolChooser(flags: ConnectionFlags): DtlsServerOptions["chooseProtocol"] {
  const chosen = flags.text("-select-alpn") ?? (flags.has("-select-empty-alpn") ? "" : undefined);
  if (chosen === undefined && !flags.has("-reject-alpn")) return undefined;
  const advertised = flags.text("-expect-advertised-alpn");
  return (offered) => {
    if (advertised !== undefined && `${offered}` !== `${protocolNames(advertised)}`) {
      throw new ExpectationError(`the client offers the protocols ${offered}`);
    }
    return chosen;
  };
}
