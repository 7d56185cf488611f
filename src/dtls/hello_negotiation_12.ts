// What a server of DTLS 1.2 reads out of a ClientHello: whether it can serve it, and with which suite, group and
// credential (RFC 5246 section 7.4.1, RFC 8422 section 5.1).

import { groupName, type SuiteParameters, suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, SignallingSuite } from "./code_points.ts";
import { chooseServerCredential, type ChosenServerCredential } from "./credential_choice_12.ts";
import { credentialsFor } from "./credentials.ts";
import { DtlsFault } from "./errors.ts";
import {
  decodeExtension,
  readAuthorities,
  readCodePoints,
  readConnectionId,
  readServerName,
} from "./extensions.ts";
import { readPointFormats, readRenegotiationInfo } from "./handshake_messages_12.ts";
import type { ClientHello } from "./hello_messages.ts";
import { negotiateProtocol, requireX509 } from "./hello_negotiation.ts";
import {
  DEFAULT_CIPHER_SUITES,
  DEFAULT_GROUPS,
  DEFAULT_VERSIONS,
  type DtlsServerOptions,
} from "./options.ts";

/** What a ClientHello and this server have in common in DTLS 1.2, however the handshake goes on. */
export interface HelloNegotiation12 {
  /** The suites in common, the server's best first; there is one at least. */
  readonly suites: readonly SuiteParameters[];
  readonly serverName: string | undefined;
  readonly alpn: string | undefined;
  /** The connection ID that the client wants in records to it; `undefined` where it knows none. */
  readonly connectionId: Uint8Array | undefined;
  /** Whether the client is told that renegotiation would be safe, which it waits for. */
  readonly isRenegotiationInfoDue: boolean;
  /** Whether the client sent the extension of points, which is answered in kind. */
  readonly hasPointFormats: boolean;
  /** Whether the client knows tickets. */
  readonly hasTicketExtension: boolean;
}

/** With what a full handshake exchanges keys. */
export interface KeyExchangeChoice {
  readonly credential: ChosenServerCredential;
  readonly group: number;
}

/** Negotiates from the server's preferences. Throws `DtlsFault` or `DecodeError` where nothing fits. */
export function negotiateHello12(
  hello: ClientHello,
  options: DtlsServerOptions,
): HelloNegotiation12 {
  checkHello(hello, options);
  requireX509(hello);
  const { extensions } = hello;
  const suites = commonSuites(hello, options);
  if (suites.length === 0) {
    throw new DtlsFault("no-common-parameters", "no cipher suite in common");
  }
  const hasInfo = decodeExtension(
    extensions,
    ExtensionType.RENEGOTIATION_INFO,
    readRenegotiationInfo,
  );
  return {
    suites,
    serverName: decodeExtension(extensions, ExtensionType.SERVER_NAME, readServerName),
    alpn: negotiateProtocol(hello, options),
    connectionId: decodeExtension(extensions, ExtensionType.CONNECTION_ID, readConnectionId),
    isRenegotiationInfoDue: hasInfo === true ||
      hello.cipherSuites.includes(SignallingSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV),
    hasPointFormats: extensions.has(ExtensionType.EC_POINT_FORMATS),
    hasTicketExtension: extensions.has(ExtensionType.SESSION_TICKET),
  };
}

/** Chooses group and credential of a full handshake. Throws `DtlsFault` or `DecodeError` where nothing fits. */
export function chooseKeyExchange(
  { extensions }: ClientHello,
  { suites, serverName }: HelloNegotiation12,
  options: DtlsServerOptions,
): KeyExchangeChoice {
  const groups = decodeExtension(
    extensions,
    ExtensionType.SUPPORTED_GROUPS,
    (reader) => readCodePoints(reader, 2),
  ) ?? [];
  const group = (options.groups ?? DEFAULT_GROUPS).find((one) =>
    groups.includes(one) && groupName(one) !== undefined
  );
  // RFC 8422 section 4 leaves the group to the server where a client names none; such a client may know none of these.
  if (group === undefined) throw new DtlsFault("no-common-parameters", "no group in common");
  const schemes = decodeExtension(
    extensions,
    ExtensionType.SIGNATURE_ALGORITHMS,
    (reader) => readCodePoints(reader, 2),
  ) ?? [];
  const authorities = decodeExtension(
    extensions,
    ExtensionType.CERTIFICATE_AUTHORITIES,
    readAuthorities,
  ) ?? [];
  const abilities = { suites, groups, schemes, authorities };
  const credential = chooseServerCredential(credentialsFor(options, serverName), abilities);
  if (credential === undefined) {
    throw new DtlsFault("no-common-parameters", "no credential that the client can verify");
  }
  return { credential, group };
}

function commonSuites(hello: ClientHello, options: DtlsServerOptions): SuiteParameters[] {
  return (options.cipherSuites ?? DEFAULT_CIPHER_SUITES).flatMap((suite) => {
    const parameters = hello.cipherSuites.includes(suite) ? suiteParameters(suite) : undefined;
    return parameters?.version === "1.2" ? [parameters] : [];
  });
}

function checkHello(hello: ClientHello, options: DtlsServerOptions): void {
  // RFC 7507 section 3: "If TLS_FALLBACK_SCSV appears in ClientHello.cipher_suites and the highest protocol version
  // supported by the server is higher than the version indicated in ClientHello.client_version, the server MUST respond
  // with a fatal inappropriate_fallback alert".
  const isBetterThere = (options.versions ?? DEFAULT_VERSIONS).includes("1.3");
  if (isBetterThere && hello.cipherSuites.includes(SignallingSuite.TLS_FALLBACK_SCSV)) {
    throw new DtlsFault("inappropriate-fallback", "the client could speak a later version");
  }
  // RFC 5246 section 7.4.1.2: "This vector MUST contain, and all implementations MUST support, CompressionMethod.null."
  if (!hello.compressionMethods.includes(0)) {
    throw new DtlsFault("illegal-parameter", "the client insists on compression");
  }
  // RFC 7627 section 5.3: "If the server receives a ClientHello without the extension, the server SHOULD abort the
  // handshake if it does not wish to interoperate with legacy clients."
  const { extensions } = hello;
  const hasExtendedMasterSecret = decodeExtension(
    extensions,
    ExtensionType.EXTENDED_MASTER_SECRET,
    (reader) => {
      reader.expectEnd();
      return true;
    },
  );
  if (hasExtendedMasterSecret !== true) {
    throw new DtlsFault("no-common-parameters", "the client has no extended master secret");
  }
  decodeExtension(extensions, ExtensionType.EC_POINT_FORMATS, readPointFormats);
}
