// The client's side of the handshake of DTLS 1.2 from the ServerHello on, in the order of its flights (RFC 6347 section
// 4.2.4, RFC 8422 section 2):
//   4.                         <- ServerHello, Certificate, ServerKeyExchange, [CertificateRequest], ServerHelloDone
//   5. [Certificate], ClientKeyExchange, [CertificateVerify], ChangeCipherSpec, Finished ->
//   6.                         <- [NewSessionTicket], ChangeCipherSpec, Finished
// Of a session that is resumed (RFC 5246 section 7.3):
//   4.                         <- ServerHello, [NewSessionTicket], ChangeCipherSpec, Finished
//   5. ChangeCipherSpec, Finished ->

import { EMPTY_BYTES, equalBytes } from "../base/bytes.ts";
import {
  acceptProtocol,
  acceptSuite,
  allowOnly,
  negotiateConnectionIds,
} from "./client_answers.ts";
import type { ClientOffer } from "./client_hello.ts";
import { groupName, signatureName, type SuiteParameters } from "./cipher_suites.ts";
import { ClientCertificateType, ExtensionType, HandshakeType } from "./code_points.ts";
import { chooseClientCredential } from "./credential_choice_12.ts";
import type { ChosenCredential } from "./credentials.ts";
import { DtlsFault } from "./errors.ts";
import { decodeExtension } from "./extensions.ts";
import {
  certificateKind,
  deriveMasterSecret,
  exporter12,
  installMasterSecret,
  type MasterSecret12,
  receiveFinished12,
  sendFinished12,
} from "./handshake_12.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { checkProof } from "./handshake_proofs.ts";
import {
  type CertificateRequest12,
  decodeCertificate12,
  decodeCertificateRequest12,
  decodeNewSessionTicket12,
  decodeServerKeyExchange,
  encodeCertificate12,
  encodeClientKeyExchange,
  hasDowngradeSentinel,
  type NewSessionTicket12,
  readPointFormats,
  readRenegotiationInfo,
  signedKeyExchange,
} from "./handshake_messages_12.ts";
import { encodeCertificateVerify } from "./certificate_messages.ts";
import type { ServerHello } from "./hello_messages.ts";
import { startKeyExchange } from "./key_share.ts";
import type { DtlsClientOptions } from "./options.ts";
import { verifyChain } from "./peer_trust.ts";
import { negotiateRecordSizes } from "./record_size_limit.ts";
import { resumableState12, sessionOf12 } from "./resumption_12.ts";
import type { DtlsSession } from "./session.ts";

type Received<Value> = Generator<readonly HandshakeType[], Value, HandshakeMessage>;

const SERVER_HELLO_EXTENSIONS: readonly number[] = [
  ExtensionType.SERVER_NAME,
  ExtensionType.EC_POINT_FORMATS,
  ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
  ExtensionType.EXTENDED_MASTER_SECRET,
  ExtensionType.RECORD_SIZE_LIMIT,
  ExtensionType.SESSION_TICKET,
  ExtensionType.CONNECTION_ID,
  ExtensionType.RRC,
  ExtensionType.RENEGOTIATION_INFO,
];

/** Runs the handshake of a client from the ServerHello on. */
export function* clientHandshake12(
  io: HandshakeIo,
  options: DtlsClientOptions,
  offer: ClientOffer,
  { message, hello }: { readonly message: HandshakeMessage; readonly hello: ServerHello },
): Handshake {
  const suite = acceptServerHello(offer, hello);
  offer.psks.destroy();
  io.transcript.start(suite.hash, "1.2");
  io.transcript.add(message);
  const hasRoutabilityCheck = negotiateConnectionIds(io, options, hello.extensions);
  negotiateRecordSizes(io, { version: "1.2", options, extensions: hello.extensions });
  const alpn = acceptProtocol(options, hello.extensions);
  const isTicketDue = hello.extensions.has(ExtensionType.SESSION_TICKET);
  const { session12, legacySessionId } = offer;
  const isResumed = session12 !== undefined &&
    equalBytes(hello.legacySessionIdEcho, legacySessionId);
  if (isResumed) {
    return yield* resume(io, session12, { suite, alpn, isTicketDue, hasRoutabilityCheck }, {
      clientRandom: offer.random,
      serverRandom: hello.random,
    });
  }

  const { peerChain, publicKey } = yield* receiveServerCertificate(io, options, offer, suite);
  const share = yield* receiveKeyExchange(io, offer, publicKey, hello.random);
  const request = yield* receiveHelloDone(io);

  io.beginFlight();
  const credential = request === undefined
    ? undefined
    : chooseClientCredential(options.credentials ?? [], request);
  if (request !== undefined) {
    if (credential === undefined && options.isCredentialRequired === true) {
      throw new DtlsFault("no-common-parameters", "no credential that the server can verify");
    }
    io.send(HandshakeType.CERTIFICATE, encodeCertificate12(credential?.credential.chain ?? []));
  }
  const exchange = offer.exchanges.get(share.group) ?? startKeyExchange(io, share.group);
  offer.exchanges.clear();
  const premasterSecret = exchange.sharedSecret(share.publicKey);
  if (premasterSecret === undefined) {
    throw new DtlsFault("illegal-parameter", "the server's key share is not a valid public value");
  }
  io.send(HandshakeType.CLIENT_KEY_EXCHANGE, encodeClientKeyExchange(exchange.publicKey));
  const randoms = { clientRandom: offer.random, serverRandom: hello.random };
  const master = deriveMasterSecret(io, suite, premasterSecret, randoms);
  installMasterSecret(io, "server", master);
  if (credential !== undefined) sendProof(io, credential);
  io.transcript.forgetMessages();
  sendFinished12(io, "client", master);

  const ticket = isTicketDue ? yield* receiveTicket(io) : undefined;
  yield* receiveFinished12(io, "server", master);
  const { serverName } = options;
  const facts = { serverName, alpn, peerChain, authenticatedAt: io.now() };
  const state = () => resumableState12(master, facts);
  return {
    version: "1.2",
    hasRoutabilityCheck,
    suite,
    group: share.group,
    alpn,
    serverName,
    peerChain,
    credential: credential?.credential,
    isRetried: false,
    isResumed: false,
    pskIdentity: undefined,
    session: sessionOf12(state, ticket, hello.legacySessionIdEcho, io.now()),
    exportKeyingMaterial: exporter12(io, master),
  };
}

/** The rest of a handshake whose server takes the session: it finishes first, and the client's flight is the last. */
function* resume(
  io: HandshakeIo,
  session: DtlsSession,
  { suite, alpn, isTicketDue, hasRoutabilityCheck }: {
    readonly suite: SuiteParameters;
    readonly alpn: string | undefined;
    readonly isTicketDue: boolean;
    readonly hasRoutabilityCheck: boolean;
  },
  randoms: Pick<MasterSecret12, "clientRandom" | "serverRandom">,
): Handshake {
  // RFC 5246 section 7.4.1.3: of a resumed session "this field is the value from the state of the session being
  // resumed." The protocol is the session's as well: see `ResumableState`.
  if (suite.suite !== session.suite || alpn !== session.alpn) {
    throw new DtlsFault("illegal-parameter", "the session is resumed with other parameters");
  }
  io.transcript.forgetMessages();
  const master = { suite, secret: session.secret.slice(), ...randoms };
  installMasterSecret(io, "server", master);
  const ticket = isTicketDue ? yield* receiveTicket(io) : undefined;
  yield* receiveFinished12(io, "server", master);
  io.beginFlight();
  sendFinished12(io, "client", master);
  const renewed = sessionOf12(
    () => ({ ...session, secret: master.secret.slice() }),
    ticket,
    EMPTY_BYTES,
    io.now(),
  );
  return {
    version: "1.2",
    hasRoutabilityCheck,
    suite,
    group: undefined,
    alpn,
    serverName: session.serverName,
    peerChain: session.peerChain,
    credential: undefined,
    isRetried: false,
    isResumed: true,
    pskIdentity: undefined,
    // Without a new ticket the session is as good as it was.
    session: renewed ?? { ...session, secret: session.secret.slice() },
    exportKeyingMaterial: exporter12(io, master),
  };
}

/** RFC 5077 section 3.3: the ticket that the ServerHello announced comes before the ChangeCipherSpec, unprotected. */
function* receiveTicket(io: HandshakeIo): Received<NewSessionTicket12> {
  const message = yield [HandshakeType.NEW_SESSION_TICKET];
  const ticket = decodeNewSessionTicket12(message.body);
  io.transcript.add(message);
  return ticket;
}

/** Checks all that a ServerHello says besides what is negotiated with it, and returns the suite. */
function acceptServerHello(offer: ClientOffer, hello: ServerHello): SuiteParameters {
  // RFC 8446 section 4.1.3: "If a match is found, the client MUST abort the handshake with an "illegal_parameter"
  // alert."
  if (offer.versions.includes("1.3") && hasDowngradeSentinel(hello.random)) {
    throw new DtlsFault("illegal-parameter", "somebody made the server speak an older version");
  }
  if (hello.compressionMethod !== 0) {
    throw new DtlsFault("illegal-parameter", "the server chose a compression method");
  }
  const { extensions } = hello;
  allowOnly(extensions, SERVER_HELLO_EXTENSIONS, offer.extensions);
  const read = (type: ExtensionType) =>
    decodeExtension(extensions, type, (reader) => reader.expectEnd());
  read(ExtensionType.SERVER_NAME);
  read(ExtensionType.EXTENDED_MASTER_SECRET);
  read(ExtensionType.SESSION_TICKET);
  // RFC 7627 section 5.2: a client that wants no legacy server "MUST abort the handshake" without the extension.
  if (!extensions.has(ExtensionType.EXTENDED_MASTER_SECRET)) {
    throw new DtlsFault("no-common-parameters", "the server has no extended master secret");
  }
  decodeExtension(extensions, ExtensionType.RENEGOTIATION_INFO, readRenegotiationInfo);
  decodeExtension(extensions, ExtensionType.EC_POINT_FORMATS, readPointFormats);
  return acceptSuite(offer, hello, "1.2");
}

function* receiveServerCertificate(
  io: HandshakeIo,
  options: DtlsClientOptions,
  offer: ClientOffer,
  suite: SuiteParameters,
): Received<{ readonly peerChain: readonly Uint8Array[]; readonly publicKey: Uint8Array }> {
  const message = yield [HandshakeType.CERTIFICATE];
  const peerChain = decodeCertificate12(message.body, io.limits.certificateChainMax);
  // RFC 5246 section 7.4.2: a server's certificate is always there where the key exchange is not anonymous.
  if (peerChain.length === 0) throw new DtlsFault("decode-error", "the server sent no certificate");
  const { publicKey } = verifyChain(options.verifyPeer, peerChain, io.now());
  const { type, group } = certificateKind(publicKey);
  // RFC 5246 section 7.4.2: "The end entity certificate's public key (and associated restrictions) MUST be compatible
  // with the selected key exchange algorithm."
  if ((suite.certificate === "rsa") !== (type === ClientCertificateType.RSA_SIGN)) {
    throw new DtlsFault("illegal-parameter", "the certificate is not of the cipher suite's kind");
  }
  // RFC 8422 section 5.3: "its public key MUST be ECDSA-capable" and "use a curve and point format from those offered".
  if (group !== undefined && !offer.groups.includes(group)) {
    throw new DtlsFault("illegal-parameter", "the certificate's curve was not offered");
  }
  io.transcript.add(message);
  return { peerChain, publicKey };
}

function* receiveKeyExchange(
  io: HandshakeIo,
  offer: ClientOffer,
  publicKey: Uint8Array,
  serverRandom: Uint8Array,
) {
  const message: HandshakeMessage = yield [HandshakeType.SERVER_KEY_EXCHANGE];
  const { share, parameters, proof } = decodeServerKeyExchange(message.body);
  // A group of DTLS 1.3 alone was offered for that.
  if (!offer.groups.includes(share.group) || groupName(share.group) === undefined) {
    throw new DtlsFault("illegal-parameter", "the server chose a group that was not offered");
  }
  const content = signedKeyExchange(offer.random, serverRandom, parameters);
  const terms = { version: "1.2", schemes: offer.signatureSchemes, publicKey } as const;
  checkProof(io.provider, terms, content, proof);
  io.transcript.add(message);
  return share;
}

/** The rest of the server's flight: whether and how it asks for a certificate. */
function* receiveHelloDone(io: HandshakeIo): Received<CertificateRequest12 | undefined> {
  let message = yield [HandshakeType.CERTIFICATE_REQUEST, HandshakeType.SERVER_HELLO_DONE];
  let request: CertificateRequest12 | undefined;
  if (message.type === HandshakeType.CERTIFICATE_REQUEST) {
    request = decodeCertificateRequest12(message.body);
    io.transcript.add(message);
    message = yield [HandshakeType.SERVER_HELLO_DONE];
  }
  if (message.body.length > 0) {
    throw new DtlsFault("decode-error", "a ServerHelloDone has no content");
  }
  io.transcript.add(message);
  return request;
}

/** RFC 5246 section 7.4.8: the signature is over "all handshake messages sent or received" so far. */
function sendProof(io: HandshakeIo, { credential, scheme }: ChosenCredential): void {
  const content = io.transcript.messages();
  const signature = credential.key.sign(signatureName(scheme, "1.2")!, content);
  io.send(HandshakeType.CERTIFICATE_VERIFY, encodeCertificateVerify({ scheme, signature }));
}
