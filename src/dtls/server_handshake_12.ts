// The server's side of the handshake of DTLS 1.2 from the ClientHello that it goes on with, in the order of its flights
// (RFC 6347 section 4.2.4, RFC 8422 section 2):
//   4. ServerHello, Certificate, ServerKeyExchange, [CertificateRequest], ServerHelloDone ->
//   5.               <- [Certificate], ClientKeyExchange, [CertificateVerify], ChangeCipherSpec, Finished
//   6. [NewSessionTicket], ChangeCipherSpec, Finished ->
// Of a session that is resumed (RFC 5246 section 7.3):
//   4. ServerHello, [NewSessionTicket], ChangeCipherSpec, Finished ->
//   5.                                       <- ChangeCipherSpec, Finished

import { EMPTY_BYTES } from "../base/bytes.ts";
import { decodeCertificateVerify } from "./certificate_messages.ts";
import { SIGNATURE_SCHEMES_12, signatureName } from "./cipher_suites.ts";
import { ExtensionType, HandshakeType } from "./code_points.ts";
import { certificateTypesOf, type ChosenServerCredential } from "./credential_choice_12.ts";
import type { KeyShares } from "./crypto/provider.ts";
import { DtlsFault } from "./errors.ts";
import { encodeProtocolNames, type Extensions } from "./extensions.ts";
import {
  deriveMasterSecret,
  exporter12,
  installMasterSecret,
  receiveFinished12,
  sendFinished12,
} from "./handshake_12.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { checkProof } from "./handshake_proofs.ts";
import {
  decodeCertificate12,
  decodeClientKeyExchange,
  EC_POINT_FORMATS,
  encodeCertificate12,
  encodeCertificateRequest12,
  encodeNewSessionTicket12,
  encodeServerKeyExchange,
  encodeServerParameters,
  RENEGOTIATION_INFO,
  setDowngradeSentinel,
  signedKeyExchange,
} from "./handshake_messages_12.ts";
import { encodeServerHello, RANDOM_BYTES } from "./hello_messages.ts";
import {
  chooseKeyExchange,
  type HelloNegotiation12,
  negotiateHello12,
} from "./hello_negotiation_12.ts";
import { startKeyExchange } from "./key_share.ts";
import { DEFAULT_VERSIONS, type DtlsServerOptions } from "./options.ts";
import { verifyChain } from "./peer_trust.ts";
import { answerConnectionIds, answerRecordSizes } from "./server_answers.ts";
import {
  makeTicket12,
  resumableState12,
  type SelectedSession12,
  selectSession12,
  SESSION_ID_BYTES,
} from "./resumption_12.ts";
import type { ResumableState } from "./session.ts";
import type { AcceptedHello } from "./server_hello.ts";

type Received<Value> = Generator<readonly HandshakeType[], Value, HandshakeMessage>;

/** A client's chain, and the public key that has yet to be proved. */
interface ClaimedChain {
  readonly chain: readonly Uint8Array[];
  readonly publicKey: Uint8Array | undefined;
}

/** Runs the handshake of a server from the ClientHello that it goes on with. */
export function* serverHandshake12(
  io: HandshakeIo,
  options: DtlsServerOptions,
  accepted: AcceptedHello,
): Handshake {
  const { hello } = accepted;
  const negotiation = negotiateHello12(hello, options);
  const session = selectSession12(hello, negotiation, options, io.now());
  if (session !== undefined) return yield* resume(io, options, accepted, negotiation, session);
  const { credential, group } = chooseKeyExchange(hello, negotiation, options);
  const { suite } = credential;
  io.transcript.start(suite.hash, "1.2");
  addHello(io, accepted);

  const serverRandom = makeRandom(io, options);
  const randoms = { clientRandom: hello.random, serverRandom };
  const isTicketDue = negotiation.hasTicketExtension && options.tickets !== undefined &&
    options.ticketsPerHandshake !== 0;
  const sessionId = options.sessionCache === undefined || isTicketDue
    ? EMPTY_BYTES
    : io.entropy(SESSION_ID_BYTES);
  const exchange = startKeyExchange(io, group);
  const { signatureSchemes = SIGNATURE_SCHEMES_12 } = options;
  const isClientAsked = (options.clientCertificate ?? "none") !== "none";
  io.beginFlight();
  const extensions = answerExtensions(
    io,
    options,
    negotiation,
    accepted.hello.extensions,
    isTicketDue,
  );
  io.send(
    HandshakeType.SERVER_HELLO,
    encodeServerHello(serverRandom, sessionId, suite.suite, extensions),
  );
  io.send(HandshakeType.CERTIFICATE, encodeCertificate12(credential.credential.chain));
  sendKeyExchange(io, credential, { group, publicKey: exchange.publicKey }, randoms);
  if (isClientAsked) {
    io.send(
      HandshakeType.CERTIFICATE_REQUEST,
      encodeCertificateRequest12({
        certificateTypes: certificateTypesOf(signatureSchemes),
        signatureSchemes,
        authorities: options.certificateAuthorities ?? [],
      }),
    );
  } else {
    io.transcript.forgetMessages();
  }
  io.send(HandshakeType.SERVER_HELLO_DONE, EMPTY_BYTES);

  const claimed = isClientAsked ? yield* receiveClientCertificate(io, options) : NO_CHAIN;
  const premasterSecret = yield* receiveKeyExchange(io, exchange);
  const master = deriveMasterSecret(io, suite, premasterSecret, randoms);
  installMasterSecret(io, "client", master);
  if (claimed.publicKey !== undefined) {
    yield* receiveProof(io, signatureSchemes, claimed.publicKey);
  }
  io.transcript.forgetMessages();
  yield* receiveFinished12(io, "client", master);

  io.beginFlight();
  const { alpn, serverName } = negotiation;
  const facts = { serverName, alpn, peerChain: claimed.chain, authenticatedAt: io.now() };
  const state = resumableState12(master, facts);
  if (isTicketDue) sendTicket(io, options, state);
  if (sessionId.length > 0) options.sessionCache?.put(sessionId, state, io.now());
  else state.secret.fill(0);
  sendFinished12(io, "server", master);
  return {
    version: "1.2",
    hasRoutabilityCheck: extensions.has(ExtensionType.RRC),
    suite,
    group,
    alpn,
    serverName,
    peerChain: claimed.chain,
    credential: credential.credential,
    isRetried: false,
    isResumed: false,
    pskIdentity: undefined,
    exportKeyingMaterial: exporter12(io, master),
  };
}

/** The rest of a handshake that resumes a session: the server finishes first. */
function* resume(
  io: HandshakeIo,
  options: DtlsServerOptions,
  accepted: AcceptedHello,
  negotiation: HelloNegotiation12,
  { state, suite, isTicketDue }: SelectedSession12,
): Handshake {
  const { hello } = accepted;
  io.transcript.start(suite.hash, "1.2");
  io.transcript.forgetMessages();
  addHello(io, accepted);
  const serverRandom = makeRandom(io, options);
  const master = { suite, secret: state.secret, clientRandom: hello.random, serverRandom };
  const extensions = answerExtensions(
    io,
    options,
    negotiation,
    hello.extensions,
    isTicketDue,
  );
  io.beginFlight();
  // RFC 5077 section 3.4: the server gives back the session ID of the client whose ticket it takes, as it does with one
  // of its own.
  io.send(
    HandshakeType.SERVER_HELLO,
    encodeServerHello(serverRandom, hello.legacySessionId, suite.suite, extensions),
  );
  installMasterSecret(io, "client", master);
  if (isTicketDue) sendTicket(io, options, state);
  sendFinished12(io, "server", master);
  yield* receiveFinished12(io, "client", master);
  return {
    version: "1.2",
    hasRoutabilityCheck: extensions.has(ExtensionType.RRC),
    suite,
    group: undefined,
    alpn: negotiation.alpn,
    serverName: negotiation.serverName,
    peerChain: state.peerChain,
    credential: undefined,
    isRetried: false,
    isResumed: true,
    pskIdentity: undefined,
    exportKeyingMaterial: exporter12(io, master),
  };
}

function addHello(io: HandshakeIo, { messageSeq, body }: AcceptedHello): void {
  io.transcript.add({ type: HandshakeType.CLIENT_HELLO, messageSeq, body });
}

function sendTicket(io: HandshakeIo, options: DtlsServerOptions, state: ResumableState): void {
  const message = makeTicket12(options, state, io.now());
  io.send(HandshakeType.NEW_SESSION_TICKET, encodeNewSessionTicket12(message));
}

const NO_CHAIN: ClaimedChain = { chain: [], publicKey: undefined };

/** RFC 8446 section 4.1.3: a server that speaks 1.3 and was asked for 1.2 says so in its random value. */
function makeRandom(io: HandshakeIo, options: DtlsServerOptions): Uint8Array {
  const random = io.entropy(RANDOM_BYTES);
  if ((options.versions ?? DEFAULT_VERSIONS).includes("1.3")) setDowngradeSentinel(random);
  return random;
}

/** The extensions of the ServerHello, each an answer to one of the client's. */
function answerExtensions(
  io: HandshakeIo,
  options: DtlsServerOptions,
  { alpn, serverName, connectionId, isRenegotiationInfoDue, hasPointFormats }: HelloNegotiation12,
  offered: Extensions,
  isTicketDue: boolean,
): Map<number, Uint8Array> {
  const extensions = new Map<number, Uint8Array>();
  if (isRenegotiationInfoDue) extensions.set(ExtensionType.RENEGOTIATION_INFO, RENEGOTIATION_INFO);
  extensions.set(ExtensionType.EXTENDED_MASTER_SECRET, EMPTY_BYTES);
  if (hasPointFormats) extensions.set(ExtensionType.EC_POINT_FORMATS, EC_POINT_FORMATS);
  // RFC 6066 section 3: a server that used the name "SHALL include an extension of type "server_name"", empty.
  if (serverName !== undefined && options.isServerNameAcknowledged !== false) {
    extensions.set(ExtensionType.SERVER_NAME, EMPTY_BYTES);
  }
  if (alpn !== undefined) {
    extensions.set(
      ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
      encodeProtocolNames([alpn]),
    );
  }
  if (isTicketDue) extensions.set(ExtensionType.SESSION_TICKET, EMPTY_BYTES);
  answerConnectionIds(io, connectionId, { options, offered, answers: extensions });
  answerRecordSizes(io, "1.2", { options, offered, answers: extensions });
  return extensions;
}

function sendKeyExchange(
  io: HandshakeIo,
  { credential, scheme }: ChosenServerCredential,
  share: { readonly group: number; readonly publicKey: Uint8Array },
  { clientRandom, serverRandom }: { clientRandom: Uint8Array; serverRandom: Uint8Array },
): void {
  const parameters = encodeServerParameters(share);
  const content = signedKeyExchange(clientRandom, serverRandom, parameters);
  const signature = credential.key.sign(signatureName(scheme, "1.2")!, content);
  const body = encodeServerKeyExchange(parameters, { scheme, signature });
  io.send(HandshakeType.SERVER_KEY_EXCHANGE, body);
}

/** The client's Certificate: empty where it has none, and may. */
function* receiveClientCertificate(
  io: HandshakeIo,
  options: DtlsServerOptions,
): Received<ClaimedChain> {
  const message = yield [HandshakeType.CERTIFICATE];
  const chain = decodeCertificate12(message.body, io.limits.certificateChainMax);
  io.transcript.add(message);
  if (chain.length === 0) {
    // RFC 5246 section 7.4.6: "If the client does not send any certificates, the server MAY at its discretion either
    // continue the handshake without client authentication, or respond with a fatal handshake_failure alert."
    if (options.clientCertificate === "required") {
      throw new DtlsFault("certificate-required", "the client presented no certificate");
    }
    return NO_CHAIN;
  }
  return { chain, publicKey: verifyChain(options.verifyPeer, chain, io.now()).publicKey };
}

function* receiveKeyExchange(io: HandshakeIo, exchange: KeyShares): Received<Uint8Array> {
  const message = yield [HandshakeType.CLIENT_KEY_EXCHANGE];
  const premasterSecret = exchange.sharedSecret(decodeClientKeyExchange(message.body));
  if (premasterSecret === undefined) {
    throw new DtlsFault("illegal-parameter", "the client's key share is not a valid public value");
  }
  io.transcript.add(message);
  return premasterSecret;
}

/** Pitfall "missing or reordered CertificateVerify accepted": a chain that was presented is proved, or all fails. */
function* receiveProof(
  io: HandshakeIo,
  signatureSchemes: readonly number[],
  publicKey: Uint8Array,
): Received<void> {
  const message = yield [HandshakeType.CERTIFICATE_VERIFY];
  const proof = decodeCertificateVerify(message.body);
  const content = io.transcript.messages();
  const terms = { version: "1.2", schemes: signatureSchemes, publicKey } as const;
  checkProof(io.provider, terms, content, proof);
  io.transcript.add(message);
}
