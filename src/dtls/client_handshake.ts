// The client's side of the handshake, in the order of its flights (RFC 8446 section 2, RFC 9147 section 5.7):
//   1. ClientHello             ->
//   2.                         <- HelloRetryRequest
//   3. ClientHello with cookie ->
//   4.                         <- ServerHello, EncryptedExtensions, [CertificateRequest], Certificate,
//                                 CertificateVerify, Finished
//   5. [Certificate, CertificateVerify], Finished ->
//   6.                         <- ACK

import { EMPTY_BYTES } from "../base/bytes.ts";
import { codePointName } from "../base/code_points.ts";
import {
  type CertificateRequest,
  decodeCertificate,
  decodeCertificateRequest,
  decodeEncryptedExtensions,
  encodeCertificate,
} from "./certificate_messages.ts";
import { groupName, SIGNATURE_SCHEMES, suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, HandshakeType, NamedGroup, ProtocolVersion } from "./code_points.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES, type KeyExchange } from "./crypto/provider.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import {
  decodeExtension,
  encodeCodePoints,
  encodeConnectionId,
  encodeCookie,
  encodeKeyShares,
  encodeProtocolNames,
  encodeServerName,
  extensionName,
  type Extensions,
  readCodePoints,
  readConnectionId,
  readCookie,
  readKeyShare,
  readProtocolNames,
  requireExtension,
} from "./extensions.ts";
import {
  type Handshake,
  type HandshakeIo,
  type HandshakeResult,
  scheduleParameters,
} from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import {
  decodeServerHello,
  encodeClientHello,
  isHelloRetryRequest,
  RANDOM_BYTES,
  type ServerHello,
} from "./hello_messages.ts";
import {
  chooseCredential,
  receiveCertificateVerify,
  receiveFinished,
  sendCertificateVerify,
  sendFinished,
} from "./handshake_proofs.ts";
import { EarlySecret } from "./key_schedule.ts";
import { DEFAULT_CIPHER_SUITES, DEFAULT_GROUPS, type DtlsClientOptions } from "./options.ts";

/** What the client has offered and may be answered with. */
class Offer {
  readonly random: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly exchanges = new Map<number, KeyExchange>();
  extensions = new Map<number, Uint8Array>();
  readonly #io: HandshakeIo;

  constructor(io: HandshakeIo, options: DtlsClientOptions) {
    this.#io = io;
    this.random = io.entropy(RANDOM_BYTES);
    this.cipherSuites = options.cipherSuites ?? DEFAULT_CIPHER_SUITES;
    this.groups = options.groups ?? DEFAULT_GROUPS;
    for (const group of options.keyShareGroups ?? this.groups.slice(0, 1)) {
      this.#startExchange(group);
    }
    const set = this.extensions;
    if (options.serverName !== undefined) {
      set.set(ExtensionType.SERVER_NAME, encodeServerName(options.serverName));
    }
    set.set(ExtensionType.SUPPORTED_VERSIONS, encodeCodePoints([ProtocolVersion.DTLS_1_3], 1));
    set.set(ExtensionType.SUPPORTED_GROUPS, encodeCodePoints(this.groups, 2));
    set.set(ExtensionType.SIGNATURE_ALGORITHMS, encodeCodePoints(SIGNATURE_SCHEMES, 2));
    if (options.alpn !== undefined && options.alpn.length > 0) {
      set.set(
        ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
        encodeProtocolNames(options.alpn),
      );
    }
    if (options.connectionId !== null) {
      // RFC 9147 section 5.1: "DTLS clients which do not want to receive a Connection ID SHOULD still offer the
      // "connection_id" extension".
      set.set(ExtensionType.CONNECTION_ID, encodeConnectionId(options.connectionId ?? EMPTY_BYTES));
    }
    this.#setKeyShares();
  }

  #startExchange(group: number): void {
    const name = groupName(group);
    if (name === undefined) {
      throw new DtlsError(
        "bad-option",
        `the group ${codePointName(NamedGroup, group)} is not implemented`,
      );
    }
    const randomness = this.#io.entropy(KEY_EXCHANGE_RANDOMNESS_BYTES);
    this.exchanges.set(group, this.#io.provider.keyExchange(name, randomness));
    randomness.fill(0);
  }

  #setKeyShares(): void {
    const shares = [...this.exchanges].map(([group, { publicKey }]) => ({ group, publicKey }));
    this.extensions.set(ExtensionType.KEY_SHARE, encodeKeyShares(shares));
  }

  /** Changes the offer as a HelloRetryRequest asks (RFC 8446 section 4.1.2). */
  retry(group: number | undefined, cookie: Uint8Array | undefined): void {
    if (group !== undefined) {
      // RFC 8446 section 4.2.8: the client checks that the group was offered, and had no share before.
      if (!this.groups.includes(group) || this.exchanges.has(group)) {
        throw new DtlsFault(
          "illegal-parameter",
          "the HelloRetryRequest asks for a group that makes no sense",
        );
      }
      this.exchanges.clear();
      this.#startExchange(group);
      this.#setKeyShares();
    }
    if (cookie !== undefined) this.extensions.set(ExtensionType.COOKIE, encodeCookie(cookie));
  }

  encode(): Uint8Array {
    return encodeClientHello(this.random, this.cipherSuites, this.extensions);
  }
}

/** Runs the handshake of a client. */
export function* clientHandshake(io: HandshakeIo, options: DtlsClientOptions): Handshake {
  const offer = new Offer(io, options);
  io.beginFlight();
  io.send(HandshakeType.CLIENT_HELLO, offer.encode());

  const { message, hello, retrySuite } = yield* receiveServerHello(io, offer);
  io.transcript.add(HandshakeType.SERVER_HELLO, message.body);
  const suite = acceptSuite(offer, hello);
  // RFC 8446 section 4.1.4: "the value of ... cipher_suite in the HelloRetryRequest" is kept in the ServerHello.
  if (retrySuite !== undefined && retrySuite !== suite.suite) {
    throw new DtlsFault(
      "illegal-parameter",
      "the cipher suite changed after the HelloRetryRequest",
    );
  }
  const share = requireExtension(hello.extensions, ExtensionType.KEY_SHARE, readKeyShare);
  const exchange = offer.exchanges.get(share.group);
  if (exchange === undefined) {
    throw new DtlsFault("illegal-parameter", "the server chose a group without a key share");
  }
  io.transcript.start(suite.hash);
  negotiateConnectionIds(io, options, hello.extensions);
  const sharedSecret = exchange.sharedSecret(share.publicKey);
  offer.exchanges.clear();
  if (sharedSecret === undefined) {
    throw new DtlsFault("illegal-parameter", "the server's key share is not a valid public value");
  }
  const parameters = scheduleParameters(io.provider, suite);
  const handshakeSecret = new EarlySecret(parameters).handshakeSecret(sharedSecret);
  sharedSecret.fill(0);
  const helloHash = io.transcript.digest();
  const clientSecret = handshakeSecret.clientHandshakeTrafficSecret(helloHash);
  const serverSecret = handshakeSecret.serverHandshakeTrafficSecret(helloHash);
  io.eraseAfterHandshake(handshakeSecret, clientSecret, serverSecret);
  io.logSecret("CLIENT_HANDSHAKE_TRAFFIC_SECRET", offer.random, clientSecret);
  io.logSecret("SERVER_HANDSHAKE_TRAFFIC_SECRET", offer.random, serverSecret);
  io.installOpener(2, suite, serverSecret);
  io.installSealer(2, suite, clientSecret);

  const encrypted = yield [HandshakeType.ENCRYPTED_EXTENSIONS];
  io.transcript.add(encrypted.type, encrypted.body);
  const alpn = acceptEncryptedExtensions(offer, options, decodeEncryptedExtensions(encrypted.body));

  let next = yield [HandshakeType.CERTIFICATE_REQUEST, HandshakeType.CERTIFICATE];
  let request: CertificateRequest | undefined;
  if (next.type === HandshakeType.CERTIFICATE_REQUEST) {
    request = acceptCertificateRequest(next);
    io.transcript.add(next.type, next.body);
    next = yield [HandshakeType.CERTIFICATE];
  }
  const peerChain = acceptServerCertificate(io, next);
  const peer = options.verifyPeer(peerChain, io.now());
  io.transcript.add(next.type, next.body);
  yield* receiveCertificateVerify(io, "server", peer.publicKey);
  yield* receiveFinished(io, parameters, serverSecret);

  const master = handshakeSecret.masterSecret();
  const serverFinishedHash = io.transcript.digest();
  const result: HandshakeResult = {
    suite,
    group: share.group,
    alpn,
    serverName: options.serverName,
    peerChain,
    exporterSecret: master.exporterMasterSecret(serverFinishedHash),
    sendSecret: master.clientApplicationTrafficSecret(serverFinishedHash),
    receiveSecret: master.serverApplicationTrafficSecret(serverFinishedHash),
  };
  master.destroy();
  io.eraseAtEnd(result.exporterSecret, result.sendSecret, result.receiveSecret);
  io.logSecret("CLIENT_TRAFFIC_SECRET_0", offer.random, result.sendSecret);
  io.logSecret("SERVER_TRAFFIC_SECRET_0", offer.random, result.receiveSecret);
  io.logSecret("EXPORTER_SECRET", offer.random, result.exporterSecret);

  io.beginFlight();
  if (request !== undefined) presentCredential(io, options, request);
  sendFinished(io, parameters, clientSecret);
  io.installOpener(3, suite, result.receiveSecret);
  io.installSealer(3, suite, result.sendSecret);
  return result;
}

interface ReceivedServerHello {
  readonly message: HandshakeMessage;
  readonly hello: ServerHello;
  readonly retrySuite: number | undefined;
}

/** Flights 2 and 3, where there are any, and the ServerHello. */
function* receiveServerHello(
  io: HandshakeIo,
  offer: Offer,
): Generator<readonly HandshakeType[], ReceivedServerHello, HandshakeMessage> {
  const message = yield [HandshakeType.SERVER_HELLO];
  const hello = acceptHello(message);
  if (!isHelloRetryRequest(hello)) {
    allowOnly(hello.extensions, SERVER_HELLO_EXTENSIONS, offer.extensions);
    return { message, hello, retrySuite: undefined };
  }
  const suite = acceptSuite(offer, hello);
  allowOnly(hello.extensions, [...HELLO_RETRY_EXTENSIONS], undefined);
  const group = decodeExtension(
    hello.extensions,
    ExtensionType.KEY_SHARE,
    (reader) => reader.u16(),
  );
  const cookie = decodeExtension(hello.extensions, ExtensionType.COOKIE, readCookie);
  // RFC 8446 section 4.1.4: "Clients MUST abort the handshake with an "illegal_parameter" alert if the
  // HelloRetryRequest would not result in any change in the ClientHello."
  if (group === undefined && cookie === undefined) {
    throw new DtlsFault("illegal-parameter", "the HelloRetryRequest asks for no change");
  }
  io.transcript.start(suite.hash);
  io.transcript.replaceByHash(suite.hash);
  io.transcript.add(message.type, message.body);
  offer.retry(group, cookie);
  io.beginFlight();
  io.send(HandshakeType.CLIENT_HELLO, offer.encode());

  const second = yield [HandshakeType.SERVER_HELLO];
  const secondHello = acceptHello(second);
  // RFC 9147 section 5.1: "clients MUST abort the handshake with an "unexpected_message" alert in response to any
  // second HelloRetryRequest which was sent in the same connection".
  if (isHelloRetryRequest(secondHello)) {
    throw new DtlsFault("unexpected-message", "a second HelloRetryRequest");
  }
  allowOnly(secondHello.extensions, SERVER_HELLO_EXTENSIONS, offer.extensions);
  return { message: second, hello: secondHello, retrySuite: suite.suite };
}

const SERVER_HELLO_EXTENSIONS: readonly number[] = [
  ExtensionType.SUPPORTED_VERSIONS,
  ExtensionType.KEY_SHARE,
  ExtensionType.CONNECTION_ID,
];
const HELLO_RETRY_EXTENSIONS: readonly number[] = [
  ExtensionType.SUPPORTED_VERSIONS,
  ExtensionType.COOKIE,
  ExtensionType.KEY_SHARE,
];
const ENCRYPTED_EXTENSIONS: readonly number[] = [
  ExtensionType.SERVER_NAME,
  ExtensionType.SUPPORTED_GROUPS,
  ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
];

/** The code points that this library knows, and so those that can stand in a wrong message. */
const KNOWN_EXTENSIONS: readonly number[] = Object.values(ExtensionType);

/**
 * RFC 8446 section 4.2: an extension that was not offered is answered with "unsupported_extension", one that is
 * known but not specified for the message with "illegal_parameter".
 */
function allowOnly(
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

function acceptHello(message: HandshakeMessage): ServerHello {
  const hello = decodeServerHello(message.body);
  const version = decodeExtension(
    hello.extensions,
    ExtensionType.SUPPORTED_VERSIONS,
    (reader) => reader.u16(),
  );
  if (version === undefined) {
    throw new DtlsFault("unsupported-version", "the server does not speak DTLS 1.3");
  }
  // RFC 8446 section 4.2.1: a version that was not offered, or is before 1.3, is an "illegal_parameter".
  if (version !== ProtocolVersion.DTLS_1_3 || hello.legacyVersion !== ProtocolVersion.DTLS_1_2) {
    throw new DtlsFault("illegal-parameter", "the server chose a version that was not offered");
  }
  if (hello.legacySessionIdEcho.length > 0 || hello.compressionMethod !== 0) {
    throw new DtlsFault("illegal-parameter", "session id or compression method were not offered");
  }
  return hello;
}

function acceptSuite(offer: Offer, hello: ServerHello) {
  const suite = suiteParameters(hello.cipherSuite);
  if (suite === undefined || !offer.cipherSuites.includes(hello.cipherSuite)) {
    throw new DtlsFault(
      "illegal-parameter",
      "the server chose a cipher suite that was not offered",
    );
  }
  return suite;
}

function negotiateConnectionIds(
  io: HandshakeIo,
  options: DtlsClientOptions,
  extensions: Extensions,
): void {
  const send = decodeExtension(extensions, ExtensionType.CONNECTION_ID, readConnectionId);
  if (send !== undefined) io.setConnectionIds(options.connectionId ?? EMPTY_BYTES, send);
}

/** Returns the protocol that ALPN chose. */
function acceptEncryptedExtensions(
  offer: Offer,
  options: DtlsClientOptions,
  extensions: Extensions,
): string | undefined {
  allowOnly(extensions, ENCRYPTED_EXTENSIONS, offer.extensions);
  const names = decodeExtension(
    extensions,
    ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
    readProtocolNames,
  );
  decodeExtension(
    extensions,
    ExtensionType.SUPPORTED_GROUPS,
    (reader) => readCodePoints(reader, 2),
  );
  decodeExtension(extensions, ExtensionType.SERVER_NAME, (reader) => reader.expectEnd());
  if (names === undefined) {
    if (options.isAlpnRequired !== true) return undefined;
    throw new DtlsFault("no-application-protocol", "the server chose no application protocol");
  }
  const [alpn] = names;
  if (names.length !== 1 || alpn === undefined || !options.alpn?.includes(alpn)) {
    throw new DtlsFault("illegal-parameter", "the server chose a protocol that was not offered");
  }
  return alpn;
}

function acceptCertificateRequest(message: HandshakeMessage): CertificateRequest {
  const request = decodeCertificateRequest(message.body);
  // RFC 8446 section 4.3.2: the context "SHALL be zero length unless used for the post-handshake authentication".
  if (request.requestContext.length > 0) {
    throw new DtlsFault(
      "illegal-parameter",
      "a certificate request with a context in the handshake",
    );
  }
  return request;
}

function acceptServerCertificate(
  io: HandshakeIo,
  message: HandshakeMessage,
): readonly Uint8Array[] {
  const { requestContext, chain } = decodeCertificate(message.body, io.limits.certificateChainMax);
  if (requestContext.length > 0) {
    throw new DtlsFault("illegal-parameter", "a server certificate with a request context");
  }
  // RFC 8446 section 4.4.2.4: "If the server supplies an empty Certificate message, the client MUST abort the
  // handshake with a "decode_error" alert."
  if (chain.length === 0) throw new DtlsFault("decode-error", "the server sent no certificate");
  return chain;
}

/** The client's Certificate and CertificateVerify; an empty chain where it has nothing that the server can verify. */
function presentCredential(
  io: HandshakeIo,
  options: DtlsClientOptions,
  request: CertificateRequest,
): void {
  const schemes = requireExtension(
    request.extensions,
    ExtensionType.SIGNATURE_ALGORITHMS,
    (reader) => readCodePoints(reader, 2),
  );
  const sent = chooseCredential(
    options.credential === undefined ? [] : [options.credential],
    schemes,
  );
  io.send(HandshakeType.CERTIFICATE, encodeCertificate(sent?.credential.chain ?? []));
  if (sent !== undefined) sendCertificateVerify(io, "client", sent);
}
