// What a server reads out of a ClientHello: whether it can serve it, and with which suite and group (RFC 8446 section
// 4.2).

import { type SuiteParameters, suiteParameters } from "./cipher_suites.ts";
import { CertificateType, ExtensionType } from "./code_points.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import {
  decodeExtension,
  type KeyShare,
  readAuthorities,
  readCodePoints,
  readConnectionId,
  readKeyShares,
  readProtocolNames,
  readServerName,
  requireExtension,
} from "./extensions.ts";
import type { ClientHello } from "./hello_messages.ts";
import {
  DEFAULT_CIPHER_SUITES,
  DEFAULT_GROUPS,
  DEFAULT_VERSIONS,
  type DtlsServerOptions,
  type DtlsVersion,
} from "./options.ts";
import { VERSION_NUMBERS } from "./versions.ts";

/** What a ClientHello and this server have in common. */
export interface HelloNegotiation {
  readonly suite: SuiteParameters;
  readonly group: number;
  /** The client's public value of the group; `undefined` where it has yet to be asked for. */
  readonly share: KeyShare | undefined;
  readonly signatureSchemes: readonly number[];
  /** The names of authorities that the client trusts; none where it does not say. */
  readonly authorities: readonly Uint8Array[];
  readonly serverName: string | undefined;
  readonly alpn: string | undefined;
  /** The connection ID that the client wants in records to it; `undefined` where it knows none. */
  readonly connectionId: Uint8Array | undefined;
}

/** A client that speaks 1.3 takes 1.2 from a server that speaks it too for an attack: there is nothing to prefer. */
const LATEST_FIRST: readonly DtlsVersion[] = ["1.3", "1.2"];

/** The latest version that both speak. Throws `DtlsFault` where there is none. */
export function negotiateVersion(hello: ClientHello, options: DtlsServerOptions): DtlsVersion {
  const offered = decodeExtension(
    hello.extensions,
    ExtensionType.SUPPORTED_VERSIONS,
    (reader) => readCodePoints(reader, 1),
  );
  const accepted = options.versions ?? DEFAULT_VERSIONS;
  const version = offered === undefined
    ? legacyVersion(hello, accepted)
    : LATEST_FIRST.find((one) => accepted.includes(one) && offered.includes(VERSION_NUMBERS[one]));
  if (version === undefined) {
    throw new DtlsFault("unsupported-version", "the client offers no version that is accepted");
  }
  return version;
}

/**
 * RFC 8446 section 4.2.1: "If this extension is not present, servers [...] MUST negotiate TLS 1.2 or prior", by the
 * client's highest version, whose number is the lower the later it is.
 */
function legacyVersion(
  { legacyVersion }: ClientHello,
  accepted: readonly DtlsVersion[],
): DtlsVersion | undefined {
  const isLateEnough = legacyVersion <= VERSION_NUMBERS["1.2"];
  return isLateEnough && accepted.includes("1.2") ? "1.2" : undefined;
}

/**
 * Negotiates DTLS 1.3 from the server's preferences. Throws `DtlsFault` or `DecodeError` where nothing fits.
 */
export function negotiateHello(hello: ClientHello, options: DtlsServerOptions): HelloNegotiation {
  const { extensions } = hello;
  // RFC 9147 section 5.3: a non-empty legacy_cookie, and RFC 8446 section 4.1.2: any compression method but null,
  // is an "illegal_parameter".
  if (hello.legacyCookie.length > 0) {
    throw new DtlsFault("illegal-parameter", "the legacy cookie is not empty");
  }
  if (hello.compressionMethods.length !== 1 || hello.compressionMethods[0] !== 0) {
    throw new DtlsFault("illegal-parameter", "a compression method is offered");
  }
  const preferred = options.cipherSuites ?? DEFAULT_CIPHER_SUITES;
  const common = preferred.find((one) =>
    hello.cipherSuites.includes(one) && suiteParameters(one)?.version === "1.3"
  );
  const suite = common && suiteParameters(common);
  if (suite === undefined) throw new DtlsFault("no-common-parameters", "no cipher suite in common");
  // RFC 8446 section 9.2: if a ClientHello does "not contain a "pre_shared_key" extension, it MUST contain both a
  // "signature_algorithms" extension and a "supported_groups" extension."
  const readSchemes = extensions.has(ExtensionType.PRE_SHARED_KEY)
    ? decodeExtension
    : requireExtension;
  const signatureSchemes = readSchemes(
    extensions,
    ExtensionType.SIGNATURE_ALGORITHMS,
    (reader) => readCodePoints(reader, 2),
  ) ?? [];
  requireX509(hello);
  const { group, share } = negotiateGroup(hello, options);
  return {
    suite,
    group,
    share,
    signatureSchemes,
    authorities: decodeExtension(
      extensions,
      ExtensionType.CERTIFICATE_AUTHORITIES,
      readAuthorities,
    ) ?? [],
    serverName: decodeExtension(extensions, ExtensionType.SERVER_NAME, readServerName),
    alpn: negotiateProtocol(hello, options),
    connectionId: decodeExtension(extensions, ExtensionType.CONNECTION_ID, readConnectionId),
  };
}

function negotiateGroup(
  { extensions }: ClientHello,
  options: DtlsServerOptions,
): { group: number; share: KeyShare | undefined } {
  const groups = new Set(requireExtension(
    extensions,
    ExtensionType.SUPPORTED_GROUPS,
    (reader) => readCodePoints(reader, 2),
  ));
  const shares = requireExtension(extensions, ExtensionType.KEY_SHARE, readKeyShares);
  // RFC 8446 section 4.2.8: "Clients MUST NOT offer any KeyShareEntry values for groups not listed in the client's
  // "supported_groups" extension."
  if (shares.some(({ group }) => !groups.has(group))) {
    throw new DtlsFault("illegal-parameter", "a key share for a group that is not offered");
  }
  const common = (options.groups ?? DEFAULT_GROUPS).filter((group) => groups.has(group));
  for (const group of common) {
    const share = shares.find((candidate) => candidate.group === group);
    if (share !== undefined) return { group, share };
  }
  const [group] = common;
  if (group === undefined) throw new DtlsFault("no-common-parameters", "no group in common");
  return { group, share: undefined };
}

/** Pitfall "credential type that was not negotiated": certificates here are X.509's (RFC 7250 section 4.2). */
export function requireX509({ extensions }: ClientHello): void {
  const types = decodeExtension(
    extensions,
    ExtensionType.SERVER_CERTIFICATE_TYPE,
    (reader) => reader.opaque(1, 1),
  );
  if (types === undefined || types.includes(CertificateType.X509)) return;
  throw new DtlsFault("no-common-parameters", "the client takes no X.509 certificate");
}

/** The protocol that ALPN chooses, the server's best. Throws `DtlsFault` where there is none in common. */
export function negotiateProtocol(
  { extensions }: ClientHello,
  options: DtlsServerOptions,
): string | undefined {
  const offered = decodeExtension(
    extensions,
    ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
    readProtocolNames,
  );
  const { alpn = [], isAlpnRequired = false, chooseProtocol } = options;
  const hasChoice = chooseProtocol !== undefined || alpn.length > 0;
  if (!isAlpnRequired && (offered === undefined || !hasChoice)) return undefined;
  const chosen = chooseProtocol === undefined
    ? alpn.find((name) => offered?.includes(name))
    : chooseProtocol(offered ?? []);
  if (chosen === "") throw new DtlsError("bad-option", "a protocol's name is not empty");
  // RFC 7301 section 3.2: "In the event that the server supports no protocols that the client advertises, then the
  // server SHALL respond with a fatal "no_application_protocol" alert."
  if (chosen === undefined) {
    throw new DtlsFault("no-application-protocol", "no application protocol in common");
  }
  return chosen;
}
