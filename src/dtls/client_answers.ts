// What a client checks of a server's answers in either version: extensions, cipher suite, protocol, connection IDs.

import { EMPTY_BYTES } from "../base/bytes.ts";
import { type SuiteParameters, suiteParameters } from "./cipher_suites.ts";
import type { ClientOffer } from "./client_hello.ts";
import { ExtensionType } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import {
  decodeExtension,
  extensionName,
  type Extensions,
  readConnectionId,
  readProtocolNames,
} from "./extensions.ts";
import type { HandshakeIo } from "./handshake.ts";
import type { ServerHello } from "./hello_messages.ts";
import type { DtlsClientOptions, DtlsVersion } from "./options.ts";

/** The code points that this library knows, and so those that can stand in a wrong message. */
const KNOWN_EXTENSIONS: readonly number[] = Object.values(ExtensionType);

/**
 * RFC 8446 section 4.2: an extension that was not offered is answered with "unsupported_extension", one that is
 * known but not specified for the message with "illegal_parameter".
 */
export function allowOnly(
  extensions: Extensions,
  allowed: readonly number[],
  offered: Extensions | undefined,
): void {
  for (const type of extensions.keys()) {
    if (allowed.includes(type) && (offered === undefined || offered.has(type))) continue;
    const isMisplaced = KNOWN_EXTENSIONS.includes(type) && (offered?.has(type) ?? false);
    throw new DtlsFault(
      isMisplaced ? "illegal-parameter" : "unsupported-extension",
      `extension ${extensionName(type)} has no place here`,
    );
  }
}

/** The suite that a server chose, if it was offered and is of the version. */
export function acceptSuite(
  offer: ClientOffer,
  hello: ServerHello,
  version: DtlsVersion,
): SuiteParameters {
  const suite = suiteParameters(hello.cipherSuite);
  if (suite?.version !== version || !offer.cipherSuites.includes(hello.cipherSuite)) {
    throw new DtlsFault(
      "illegal-parameter",
      "the server chose a cipher suite that was not offered",
    );
  }
  return suite;
}

/**
 * Takes the connection IDs of both directions, where the server agreed to any. Returns whether it knows the return
 * routability check as well.
 */
export function negotiateConnectionIds(
  io: HandshakeIo,
  options: DtlsClientOptions,
  extensions: Extensions,
): boolean {
  const send = decodeExtension(extensions, ExtensionType.CONNECTION_ID, readConnectionId);
  if (send !== undefined) io.setConnectionIds(options.connectionId ?? EMPTY_BYTES, send);
  decodeExtension(extensions, ExtensionType.RRC, (reader) => reader.expectEnd());
  const hasCheck = extensions.has(ExtensionType.RRC);
  if (hasCheck && send === undefined) {
    throw new DtlsFault("illegal-parameter", "a routability check without connection IDs");
  }
  return hasCheck;
}

/** The protocol that ALPN chose. */
export function acceptProtocol(
  options: DtlsClientOptions,
  extensions: Extensions,
): string | undefined {
  const names = decodeExtension(
    extensions,
    ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
    readProtocolNames,
  );
  if (names === undefined) {
    if (options.isAlpnRequired !== true) return undefined;
    throw new DtlsFault("no-application-protocol", "the server chose no application protocol");
  }
  const [alpn] = names;
  const { alpn: offered = [], isAnyProtocolAccepted = false } = options;
  const isAccepted = alpn !== undefined &&
    (offered.includes(alpn) || isAnyProtocolAccepted && offered.length > 0);
  if (names.length !== 1 || !isAccepted) {
    throw new DtlsFault("illegal-parameter", "the server chose a protocol that was not offered");
  }
  return alpn;
}
