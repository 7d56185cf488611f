// CertificateVerify and Finished, which both sides send and check alike (RFC 8446 sections 4.4.3 and 4.4.4); how a
// signature and a Finished are checked is the same in DTLS 1.2.

import {
  type CertificateVerify,
  decodeCertificateVerify,
  encodeCertificateVerify,
  signedContent,
} from "./certificate_messages.ts";
import { SIGNATURE_SCHEMES, signatureName } from "./cipher_suites.ts";
import { HandshakeType } from "./code_points.ts";
import type { ChosenCredential } from "./credentials.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { DtlsFault } from "./errors.ts";
import type { HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { equalSecrets, finishedVerifyData, type KeyScheduleParameters } from "./key_schedule.ts";

/** Sends the CertificateVerify of a chain that was just sent. */
export function sendCertificateVerify(
  io: HandshakeIo,
  signer: "client" | "server",
  { credential, scheme }: ChosenCredential,
): void {
  const content = signedContent(signer, io.transcript.digest());
  const signature = credential.key.sign(signatureName(scheme)!, content);
  io.send(HandshakeType.CERTIFICATE_VERIFY, encodeCertificateVerify({ scheme, signature }));
}

/** Waits for the peer's CertificateVerify and checks it against the public key of its certificate. */
export function* receiveCertificateVerify(
  io: HandshakeIo,
  signer: "client" | "server",
  publicKey: Uint8Array,
  schemes: readonly number[] = SIGNATURE_SCHEMES,
): Generator<readonly HandshakeType[], void, HandshakeMessage> {
  const message = yield [HandshakeType.CERTIFICATE_VERIFY];
  const proof = decodeCertificateVerify(message.body);
  const content = signedContent(signer, io.transcript.digest());
  checkProof(io.provider, { version: "1.3", schemes, publicKey }, content, proof);
  io.transcript.add(message);
}

/** What a signature of the peer is checked against. */
export interface ProofTerms {
  readonly version: "1.3" | "1.2";
  /** The schemes that were offered to the peer. */
  readonly schemes: readonly number[];
  /** The key of its certificate (SubjectPublicKeyInfo, DER). */
  readonly publicKey: Uint8Array;
}

/** Checks a signature of the peer over `content`. Throws {@linkcode DtlsFault} where it is none. */
export function checkProof(
  provider: CryptoProvider,
  { version, schemes, publicKey }: ProofTerms,
  content: Uint8Array,
  { scheme, signature }: CertificateVerify,
): void {
  const name = signatureName(scheme, version);
  // RFC 8446 section 4.4.3: "the signature algorithm MUST be one offered"; RFC 5246 section 7.4.3: the pair "MUST be
  // present in the "signature_algorithms" extension".
  if (name === undefined || !schemes.includes(scheme)) {
    throw new DtlsFault("illegal-parameter", "a signature scheme that was not offered");
  }
  if (!provider.verify(name, publicKey, content, signature)) {
    throw new DtlsFault("bad-signature", "the signature is not the certificate's");
  }
}

/** Sends this side's Finished. */
export function sendFinished(
  io: HandshakeIo,
  parameters: KeyScheduleParameters,
  trafficSecret: Uint8Array,
): void {
  const verifyData = finishedVerifyData(parameters, trafficSecret, io.transcript.digest());
  io.send(HandshakeType.FINISHED, verifyData);
}

/** Waits for the peer's Finished and checks it. */
export function* receiveFinished(
  io: HandshakeIo,
  parameters: KeyScheduleParameters,
  trafficSecret: Uint8Array,
): Generator<readonly HandshakeType[], void, HandshakeMessage> {
  const message = yield [HandshakeType.FINISHED];
  const expected = finishedVerifyData(parameters, trafficSecret, io.transcript.digest());
  checkFinished(message.body, expected);
  io.transcript.add(message);
}

/** Checks the verify_data of the peer's Finished. Throws {@linkcode DtlsFault} for another than what is expected. */
export function checkFinished(verifyData: Uint8Array, expected: Uint8Array): void {
  // RFC 8446 section 4.4.4: "Recipients of Finished messages MUST verify that the contents are correct and if incorrect
  // MUST terminate the connection with a "decrypt_error" alert."
  if (!equalSecrets(verifyData, expected)) {
    throw new DtlsFault("bad-finished", "the Finished does not match the handshake");
  }
}
