// The server's side of the handshake of DTLS 1.3, from the ClientHello that it goes on with, in the order of its
// flights (RFC 8446 section 2, RFC 9147 section 5.7):
//   4. ServerHello, EncryptedExtensions, [CertificateRequest], Certificate, CertificateVerify, Finished ->
//   5.                                               <- [Certificate, CertificateVerify], Finished
//   6. ACK ->

import { EMPTY_BYTES } from "../base/bytes.ts";
import {
  decodeCertificate,
  encodeCertificate,
  encodeCertificateRequest,
  encodeEncryptedExtensions,
} from "./certificate_messages.ts";
import { SIGNATURE_SCHEMES } from "./cipher_suites.ts";
import { ExtensionType, HandshakeType } from "./code_points.ts";
import { type ChosenCredential, serverCredential } from "./credentials.ts";
import { DtlsFault } from "./errors.ts";
import {
  encodeAuthorities,
  encodeCodePoints,
  encodeKeyShare,
  encodeProtocolNames,
  type Extensions,
} from "./extensions.ts";
import { exporter, type Handshake, type HandshakeIo, scheduleParameters } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import {
  receiveCertificateVerify,
  receiveFinished,
  sendCertificateVerify,
  sendFinished,
} from "./handshake_proofs.ts";
import { encodeServerHello, RANDOM_BYTES } from "./hello_messages.ts";
import { type HelloNegotiation, negotiateHello } from "./hello_negotiation.ts";
import {
  acceptEarlyData,
  EARLY_DATA_EXTENSION,
  hasEarlyData,
  takeVouchingPsk,
  type VouchingPsk,
} from "./early_handshake.ts";
import type { Milliseconds } from "../base/core.ts";
import { EarlySecret } from "./key_schedule.ts";
import { SELECTED_VERSION } from "./hello_retry.ts";
import { answerKeyShare } from "./key_share.ts";
import type { DtlsServerOptions } from "./options.ts";
import { verifyChain } from "./peer_trust.ts";
import { encodeSelectedIdentity } from "./pre_shared_key.ts";
import {
  checkSelectedPsk,
  type SelectedPsk,
  selectPsk,
  usesPskWithExchange,
} from "./psk_selection.ts";
import { answerConnectionIds, answerRecordSizes } from "./server_answers.ts";
import type { AcceptedHello } from "./server_hello.ts";
import { sendTickets } from "./session_tickets.ts";
import { trafficOpener, trafficSealer } from "./traffic_epochs.ts";

/** Runs the handshake of a server from the ClientHello that it goes on with. */
export function* serverHandshake13(
  io: HandshakeIo,
  options: DtlsServerOptions,
  accepted: AcceptedHello,
): Handshake {
  const { hello } = accepted;
  const negotiation = accepted.negotiation ?? negotiateHello(hello, options);
  const { suite, share } = negotiation;
  if (share === undefined) {
    // RFC 8446 section 4.1.2: after a HelloRetryRequest the client sends the share that it named; pitfall "no
    // key_share after HelloRetryRequest".
    throw new DtlsFault("illegal-parameter", "the ClientHello has no key share for a common group");
  }
  if (accepted.retry !== undefined) {
    io.transcript.replaceByHash(suite.hash, accepted.retry.clientHelloHash);
    io.transcript.add({
      type: HandshakeType.SERVER_HELLO,
      messageSeq: 0,
      body: accepted.retry.helloRetryRequest,
    });
  }
  io.transcript.start(suite.hash);
  const { messageSeq, body } = accepted;
  const vouching = acceptedPsk(accepted, negotiation, options, io.now());
  const psk = vouching?.psk ?? selectPsk(hello, negotiation, options, io.now());
  if (psk !== undefined) {
    io.eraseAfterHandshake(psk.key);
    if (psk !== vouching?.psk) {
      checkSelectedPsk(io.provider, psk, io.transcript.before(suite.hash), body);
    }
  }
  // Whatever may fail for the client's wishes fails before there are keys that it does not have.
  const chosen = psk === undefined ? serverCredential(options, negotiation) : undefined;
  if (psk === undefined && chosen === undefined) {
    throw new DtlsFault("no-common-parameters", "no credential that the client can verify");
  }
  io.transcript.add({ type: HandshakeType.CLIENT_HELLO, messageSeq, body });

  const takesEarlyData = vouching?.takesEarlyData === true;
  if (takesEarlyData) acceptEarlyData(io, suite, vouching.psk, hello.random);
  const { publicKey, sharedSecret } = answerKeyShare(io, share);
  const answer = serverHello(
    io,
    options,
    negotiation,
    hello.extensions,
    publicKey,
    psk,
  );
  io.beginFlight();
  io.send(HandshakeType.SERVER_HELLO, answer.body);

  const parameters = scheduleParameters(io.provider, suite);
  const handshakeSecret = new EarlySecret(parameters, psk?.key).handshakeSecret(sharedSecret);
  sharedSecret.fill(0);
  const helloHash = io.transcript.digest();
  const clientSecret = handshakeSecret.clientHandshakeTrafficSecret(helloHash);
  const serverSecret = handshakeSecret.serverHandshakeTrafficSecret(helloHash);
  io.eraseAfterHandshake(handshakeSecret, clientSecret, serverSecret);
  io.logSecret("CLIENT_HANDSHAKE_TRAFFIC_SECRET", hello.random, clientSecret);
  io.logSecret("SERVER_HANDSHAKE_TRAFFIC_SECRET", hello.random, serverSecret);
  io.installOpener(trafficOpener(io, 2, suite, clientSecret));
  io.expectEpoch(2);
  io.installSealer(trafficSealer(io, 2, suite, serverSecret));

  sendEncryptedExtensions(io, options, negotiation, {
    offered: hello.extensions,
    isPskTaken: psk !== undefined,
    isEarlyDataTaken: takesEarlyData,
  });
  // RFC 8446 section 4.3.2: "Servers which are authenticating with a PSK MUST NOT send the CertificateRequest message
  // in the main handshake".
  const isClientAsked = chosen !== undefined && (options.clientCertificate ?? "none") !== "none";
  if (chosen !== undefined) sendCredential(io, options, chosen, isClientAsked);
  sendFinished(io, parameters, serverSecret);

  const master = handshakeSecret.masterSecret();
  const serverFinishedHash = io.transcript.digest();
  const trafficSecrets = {
    send: master.serverApplicationTrafficSecret(serverFinishedHash),
    receive: master.clientApplicationTrafficSecret(serverFinishedHash),
  };
  const exporterSecret = master.exporterMasterSecret(serverFinishedHash);
  io.eraseAfterHandshake(master);
  io.eraseAtEnd(trafficSecrets.send, trafficSecrets.receive, exporterSecret);
  io.logSecret("CLIENT_TRAFFIC_SECRET_0", hello.random, trafficSecrets.receive);
  io.logSecret("SERVER_TRAFFIC_SECRET_0", hello.random, trafficSecrets.send);
  io.logSecret("EXPORTER_SECRET", hello.random, exporterSecret);
  io.installSealer(trafficSealer(io, 3, suite, trafficSecrets.send));

  const peerChain = isClientAsked
    ? yield* receiveClientCertificate(io, options)
    : psk?.ticket?.peerChain ?? [];
  yield* receiveFinished(io, parameters, clientSecret);
  // RFC 9147 section 5.8.1: "Implementations MUST either discard or buffer all application data records for epoch
  // 3 and above until they have received the Finished message from the peer": until here there is no key for them.
  io.installOpener(trafficOpener(io, 3, suite, trafficSecrets.receive));
  io.expectEpoch(3);
  const { alpn, serverName } = negotiation;
  const pskIdentity = psk?.external?.identity ?? psk?.ticket?.pskIdentity;
  if (usesPskWithExchange(hello)) {
    const resumptionSecret = master.resumptionMasterSecret(io.transcript.digest());
    io.eraseAfterHandshake(resumptionSecret);
    const authenticatedAt = psk?.ticket?.authenticatedAt ?? io.now();
    const resumable = {
      suite,
      resumptionSecret,
      serverName,
      alpn,
      peerChain,
      pskIdentity,
      authenticatedAt,
    };
    sendTickets(io, options, resumable, accepted.address);
  }
  return {
    version: "1.3",
    suite,
    hasRoutabilityCheck: answer.hasRoutabilityCheck,
    group: share.group,
    alpn,
    serverName,
    peerChain,
    credential: chosen?.credential,
    isRetried: accepted.retry !== undefined,
    isResumed: psk?.ticket !== undefined,
    pskIdentity,
    exportKeyingMaterial: exporter(parameters, exporterSecret),
    trafficSecrets,
  };
}

function serverHello(
  io: HandshakeIo,
  options: DtlsServerOptions,
  { suite, group, connectionId }: HelloNegotiation,
  offered: Extensions,
  publicKey: Uint8Array,
  psk: SelectedPsk | undefined,
): { readonly body: Uint8Array; readonly hasRoutabilityCheck: boolean } {
  const extensions = new Map<number, Uint8Array>();
  extensions.set(ExtensionType.SUPPORTED_VERSIONS, SELECTED_VERSION);
  extensions.set(ExtensionType.KEY_SHARE, encodeKeyShare({ group, publicKey }));
  const hasRoutabilityCheck = answerConnectionIds(io, connectionId, {
    options,
    offered,
    answers: extensions,
  });
  if (psk !== undefined) {
    extensions.set(ExtensionType.PRE_SHARED_KEY, encodeSelectedIdentity(psk.index));
  }
  // RFC 9147 section 5: "DTLS servers MUST NOT echo the "legacy_session_id" value from the client".
  const random = io.entropy(RANDOM_BYTES);
  const body = encodeServerHello(random, EMPTY_BYTES, suite.suite, extensions);
  return { body, hasRoutabilityCheck };
}

/** The PSK that a first ClientHello is taken with: an endpoint's choice, or this association's without an endpoint. */
function acceptedPsk(
  { hello, body, vouching, retry, address }: AcceptedHello,
  negotiation: HelloNegotiation,
  options: DtlsServerOptions,
  now: Milliseconds,
): VouchingPsk | undefined {
  if (retry === undefined && address === undefined) {
    return takeVouchingPsk({ hello, body, address, now }, negotiation, options);
  }
  // RFC 8446 section 4.2.10: "A client MUST NOT include the "early_data" extension in its followup ClientHello."
  if (retry !== undefined && hasEarlyData(hello.extensions)) {
    throw new DtlsFault("illegal-parameter", "early data after a HelloRetryRequest");
  }
  return vouching;
}

/** What of EncryptedExtensions depends on the client's offer, and on the PSK. */
interface EncryptedAnswers {
  readonly offered: Extensions;
  readonly isPskTaken: boolean;
  readonly isEarlyDataTaken: boolean;
}

function sendEncryptedExtensions(
  io: HandshakeIo,
  options: DtlsServerOptions,
  { alpn, serverName }: HelloNegotiation,
  { offered, isPskTaken, isEarlyDataTaken }: EncryptedAnswers,
): void {
  const encrypted = new Map<number, Uint8Array>();
  // RFC 6066 section 3: "A server that receives a client hello containing the "server_name" extension MAY use the
  // information contained in the extension [...]. In this event, the server SHALL include an extension of type
  // "server_name" in the (extended) server hello. The "extension_data" field of this extension SHALL be empty." And:
  // "When resuming a session, the server MUST NOT include a server_name extension in the server hello."
  const isAcknowledged = options.isServerNameAcknowledged !== false && !isPskTaken;
  if (serverName !== undefined && isAcknowledged) {
    encrypted.set(ExtensionType.SERVER_NAME, EMPTY_BYTES);
  }
  if (alpn !== undefined) {
    encrypted.set(
      ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
      encodeProtocolNames([alpn]),
    );
  }
  answerRecordSizes(io, "1.3", { options, offered, answers: encrypted });
  if (isEarlyDataTaken) encrypted.set(ExtensionType.EARLY_DATA, EARLY_DATA_EXTENSION);
  io.send(HandshakeType.ENCRYPTED_EXTENSIONS, encodeEncryptedExtensions(encrypted));
}

/** CertificateRequest, Certificate, CertificateVerify. */
function sendCredential(
  io: HandshakeIo,
  options: DtlsServerOptions,
  chosen: ChosenCredential,
  isClientAsked: boolean,
): void {
  if (isClientAsked) {
    const { signatureSchemes = SIGNATURE_SCHEMES, certificateAuthorities = [] } = options;
    const wishes = new Map<number, Uint8Array>();
    wishes.set(ExtensionType.SIGNATURE_ALGORITHMS, encodeCodePoints(signatureSchemes, 2));
    if (certificateAuthorities.length > 0) {
      wishes.set(ExtensionType.CERTIFICATE_AUTHORITIES, encodeAuthorities(certificateAuthorities));
    }
    io.send(HandshakeType.CERTIFICATE_REQUEST, encodeCertificateRequest(wishes));
  }
  io.send(HandshakeType.CERTIFICATE, encodeCertificate(chosen.credential.chain));
  sendCertificateVerify(io, "server", chosen);
}

/** The client's Certificate, and its CertificateVerify unless the chain is empty and may be. */
function* receiveClientCertificate(
  io: HandshakeIo,
  options: DtlsServerOptions,
): Generator<readonly HandshakeType[], readonly Uint8Array[], HandshakeMessage> {
  const message = yield [HandshakeType.CERTIFICATE];
  const { requestContext, chain } = decodeCertificate(message.body, io.limits.certificateChainMax);
  if (requestContext.length > 0) {
    throw new DtlsFault("illegal-parameter", "a certificate for a request that was not made");
  }
  if (chain.length === 0) {
    // RFC 8446 section 4.4.2.4: "the server MAY at its discretion either continue the handshake without client
    // authentication or abort the handshake with a "certificate_required" alert."
    if (options.clientCertificate === "required") {
      throw new DtlsFault("certificate-required", "the client presented no certificate");
    }
    io.transcript.add(message);
    return chain;
  }
  const peer = verifyChain(options.verifyPeer, chain, io.now());
  io.transcript.add(message);
  yield* receiveCertificateVerify(io, "client", peer.publicKey, options.signatureSchemes);
  return chain;
}
