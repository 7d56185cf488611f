// The client's side of the handshake of DTLS 1.3, in the order of its flights (RFC 8446 section 2, RFC 9147 section
// 5.7):
//   1. ClientHello             ->
//   2.                         <- HelloRetryRequest
//   3. ClientHello with cookie ->
//   4.                         <- ServerHello, EncryptedExtensions, [CertificateRequest], Certificate,
//                                 CertificateVerify, Finished
//   5. [Certificate, CertificateVerify], Finished ->
//   6.                         <- ACK

import {
  type CertificateRequest,
  decodeCertificate,
  decodeCertificateRequest,
  decodeEncryptedExtensions,
  encodeCertificate,
} from "./certificate_messages.ts";
import type { SuiteParameters } from "./cipher_suites.ts";
import {
  acceptProtocol,
  acceptSuite,
  allowOnly,
  negotiateConnectionIds,
} from "./client_answers.ts";
import type { ClientOffer } from "./client_hello.ts";
import { ExtensionType, HandshakeType, ProtocolVersion } from "./code_points.ts";
import { chooseCredential } from "./credentials.ts";
import { DtlsFault } from "./errors.ts";
import {
  decodeExtension,
  type Extensions,
  readAuthorities,
  readCodePoints,
  readCookie,
  readKeyShare,
  requireExtension,
} from "./extensions.ts";
import { exporter, type Handshake, type HandshakeIo, scheduleParameters } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { decodeServerHello, isHelloRetryRequest, type ServerHello } from "./hello_messages.ts";
import {
  receiveCertificateVerify,
  receiveFinished,
  sendCertificateVerify,
  sendFinished,
} from "./handshake_proofs.ts";
import { settleEarlyData } from "./early_handshake.ts";
import { EarlySecret } from "./key_schedule.ts";
import type { Credential, DtlsClientOptions } from "./options.ts";
import { verifyChain } from "./peer_trust.ts";
import { readSelectedIdentity } from "./pre_shared_key.ts";
import type { OfferedPsk } from "./psk_offer.ts";
import { sessionOfTicket } from "./session_tickets.ts";
import { negotiateRecordSizes } from "./record_size_limit.ts";
import { trafficOpener, trafficSealer } from "./traffic_epochs.ts";
import { selectedVersion } from "./versions.ts";

/** A ServerHello or HelloRetryRequest. */
interface ReceivedHello {
  readonly message: HandshakeMessage;
  readonly hello: ServerHello;
}

/** Runs the handshake of a client from the server's first hello on. */
export function* clientHandshake13(
  io: HandshakeIo,
  options: DtlsClientOptions,
  offer: ClientOffer,
  first: ReceivedHello,
): Handshake {
  const { message, hello, retrySuite } = yield* receiveServerHello(io, offer, first);
  io.transcript.add(message);
  const suite = acceptSuite(offer, hello, "1.3");
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
  const hasRoutabilityCheck = negotiateConnectionIds(io, options, hello.extensions);
  const psk = acceptPsk(offer, options, hello, suite);
  const sharedSecret = exchange.sharedSecret(share.publicKey);
  offer.exchanges.clear();
  if (sharedSecret === undefined) {
    throw new DtlsFault("illegal-parameter", "the server's key share is not a valid public value");
  }
  const parameters = scheduleParameters(io.provider, suite);
  const handshakeSecret = new EarlySecret(parameters, psk?.key).handshakeSecret(sharedSecret);
  offer.psks.destroy();
  sharedSecret.fill(0);
  const helloHash = io.transcript.digest();
  const clientSecret = handshakeSecret.clientHandshakeTrafficSecret(helloHash);
  const serverSecret = handshakeSecret.serverHandshakeTrafficSecret(helloHash);
  io.eraseAfterHandshake(handshakeSecret, clientSecret, serverSecret);
  io.logSecret("CLIENT_HANDSHAKE_TRAFFIC_SECRET", offer.random, clientSecret);
  io.logSecret("SERVER_HANDSHAKE_TRAFFIC_SECRET", offer.random, serverSecret);
  io.installOpener(trafficOpener(io, 2, suite, serverSecret));
  io.expectEpoch(2);
  io.installSealer(trafficSealer(io, 2, suite, clientSecret));

  const encrypted = yield [HandshakeType.ENCRYPTED_EXTENSIONS];
  io.transcript.add(encrypted);
  const extensions = decodeEncryptedExtensions(encrypted.body);
  const alpn = acceptEncryptedExtensions(offer, options, extensions);
  negotiateRecordSizes(io, { version: "1.3", options, extensions });
  settleEarlyData(io, extensions, { session: offer.earlySession, psk, suite, alpn });

  const { peerChain, request } = psk === undefined
    ? yield* receiveServerCredential(io, options, offer)
    : { peerChain: psk.session?.peerChain ?? [], request: undefined };
  yield* receiveFinished(io, parameters, serverSecret);

  const master = handshakeSecret.masterSecret();
  const serverFinishedHash = io.transcript.digest();
  const exporterSecret = master.exporterMasterSecret(serverFinishedHash);
  const trafficSecrets = {
    send: master.clientApplicationTrafficSecret(serverFinishedHash),
    receive: master.serverApplicationTrafficSecret(serverFinishedHash),
  };
  io.eraseAtEnd(exporterSecret, trafficSecrets.send, trafficSecrets.receive);
  io.logSecret("CLIENT_TRAFFIC_SECRET_0", offer.random, trafficSecrets.send);
  io.logSecret("SERVER_TRAFFIC_SECRET_0", offer.random, trafficSecrets.receive);
  io.logSecret("EXPORTER_SECRET", offer.random, exporterSecret);

  io.beginFlight();
  const credential = request && presentCredential(io, options, request);
  sendFinished(io, parameters, clientSecret);
  io.installOpener(trafficOpener(io, 3, suite, trafficSecrets.receive));
  io.expectEpoch(3);
  io.installSealer(trafficSealer(io, 3, suite, trafficSecrets.send));
  const resumptionSecret = master.resumptionMasterSecret(io.transcript.digest());
  master.destroy();
  io.eraseAtEnd(resumptionSecret);
  const { serverName } = options;
  const pskIdentity = psk?.external?.identity ?? psk?.session?.pskIdentity;
  const authenticatedAt = psk?.session?.authenticatedAt ?? io.now();
  const resumable = {
    suite,
    resumptionSecret,
    serverName,
    alpn,
    peerChain,
    pskIdentity,
    authenticatedAt,
  };
  return {
    version: "1.3",
    suite,
    hasRoutabilityCheck,
    group: share.group,
    alpn,
    serverName,
    peerChain,
    credential,
    isRetried: retrySuite !== undefined,
    isResumed: psk?.session !== undefined,
    pskIdentity,
    acceptTicket: (body, now) => sessionOfTicket(io.provider, resumable, body, now),
    exportKeyingMaterial: exporter(parameters, exporterSecret),
    trafficSecrets,
  };
}

/** The PSK that the server took; `undefined` where it proves itself by certificate. */
function acceptPsk(
  offer: ClientOffer,
  options: DtlsClientOptions,
  { extensions }: ServerHello,
  suite: SuiteParameters,
): OfferedPsk | undefined {
  const index = decodeExtension(extensions, ExtensionType.PRE_SHARED_KEY, readSelectedIdentity);
  if (index !== undefined) return offer.psks.select(index, suite);
  if (options.verifyPeer !== undefined) return undefined;
  throw new DtlsFault("missing-extension", "the server took none of the PSKs");
}

interface ServerCredential {
  readonly peerChain: readonly Uint8Array[];
  readonly request: CertificateRequest | undefined;
}

/** CertificateRequest, where there is one, Certificate and CertificateVerify. */
function* receiveServerCredential(
  io: HandshakeIo,
  options: DtlsClientOptions,
  { signatureSchemes }: ClientOffer,
): Generator<readonly HandshakeType[], ServerCredential, HandshakeMessage> {
  let next = yield [HandshakeType.CERTIFICATE_REQUEST, HandshakeType.CERTIFICATE];
  let request: CertificateRequest | undefined;
  if (next.type === HandshakeType.CERTIFICATE_REQUEST) {
    request = acceptCertificateRequest(next);
    io.transcript.add(next);
    next = yield [HandshakeType.CERTIFICATE];
  }
  const peerChain = acceptServerCertificate(io, next);
  const peer = verifyChain(options.verifyPeer, peerChain, io.now());
  io.transcript.add(next);
  yield* receiveCertificateVerify(io, "server", peer.publicKey, signatureSchemes);
  return { peerChain, request };
}

interface RetriedServerHello extends ReceivedHello {
  readonly retrySuite: number | undefined;
}

/** Flights 2 and 3, where there are any, and the ServerHello. */
function* receiveServerHello(
  io: HandshakeIo,
  offer: ClientOffer,
  { message, hello }: ReceivedHello,
): Generator<readonly HandshakeType[], RetriedServerHello, HandshakeMessage> {
  checkHello(hello);
  if (!isHelloRetryRequest(hello)) {
    allowOnly(hello.extensions, SERVER_HELLO_EXTENSIONS, offer.extensions);
    return { message, hello, retrySuite: undefined };
  }
  const suite = acceptSuite(offer, hello, "1.3");
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
  io.transcript.add(message);
  offer.retry(suite, group, cookie);
  io.earlyData.settle(false);
  io.beginFlight();
  io.send(HandshakeType.CLIENT_HELLO, offer.encode());

  const second = yield [HandshakeType.SERVER_HELLO];
  const secondHello = decodeServerHello(second.body);
  // RFC 8446 section 4.1.4: "The value of selected_version in the HelloRetryRequest "supported_versions" extension MUST
  // be retained in the ServerHello".
  if (selectedVersion(secondHello, offer) !== "1.3") {
    throw new DtlsFault("illegal-parameter", "the version changed after the HelloRetryRequest");
  }
  checkHello(secondHello);
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
  ExtensionType.RRC,
  ExtensionType.PRE_SHARED_KEY,
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
  ExtensionType.RECORD_SIZE_LIMIT,
  ExtensionType.EARLY_DATA,
];

function checkHello(hello: ServerHello): void {
  if (hello.legacyVersion !== ProtocolVersion.DTLS_1_2) {
    throw new DtlsFault("illegal-parameter", "the server chose a version that was not offered");
  }
  if (hello.legacySessionIdEcho.length > 0 || hello.compressionMethod !== 0) {
    throw new DtlsFault("illegal-parameter", "session id or compression method were not offered");
  }
}

/** Returns the protocol that ALPN chose. */
function acceptEncryptedExtensions(
  offer: ClientOffer,
  options: DtlsClientOptions,
  extensions: Extensions,
): string | undefined {
  allowOnly(extensions, ENCRYPTED_EXTENSIONS, offer.extensions);
  decodeExtension(
    extensions,
    ExtensionType.SUPPORTED_GROUPS,
    (reader) => readCodePoints(reader, 2),
  );
  decodeExtension(extensions, ExtensionType.SERVER_NAME, (reader) => reader.expectEnd());
  return acceptProtocol(options, extensions);
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
): Credential | undefined {
  const schemes = requireExtension(
    request.extensions,
    ExtensionType.SIGNATURE_ALGORITHMS,
    (reader) => readCodePoints(reader, 2),
  );
  const authorities = decodeExtension(
    request.extensions,
    ExtensionType.CERTIFICATE_AUTHORITIES,
    readAuthorities,
  );
  const wishes = { version: "1.3", schemes, authorities: authorities ?? [] } as const;
  const { credentials = [], isCredentialRequired = false } = options;
  const sent = chooseCredential(credentials, wishes);
  if (sent === undefined && isCredentialRequired) {
    throw new DtlsFault("no-common-parameters", "no credential that the server can verify");
  }
  io.send(HandshakeType.CERTIFICATE, encodeCertificate(sent?.credential.chain ?? []));
  if (sent !== undefined) sendCertificateVerify(io, "client", sent);
  return sent?.credential;
}
