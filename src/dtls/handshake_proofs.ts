// CertificateVerify and Finished, which both sides send and check alike (RFC 8446 sections 4.4.3 and 4.4.4).

import {
  decodeCertificateVerify,
  encodeCertificateVerify,
  signedContent,
} from "./certificate_messages.ts";
import { SIGNATURE_SCHEMES, signatureName } from "./cipher_suites.ts";
import { HandshakeType } from "./code_points.ts";
import type { ChosenCredential } from "./credentials.ts";
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
  const { scheme, signature } = decodeCertificateVerify(message.body);
  const name = signatureName(scheme);
  // RFC 8446 section 4.4.3: "the signature algorithm MUST be one offered".
  if (name === undefined || !schemes.includes(scheme)) {
    throw new DtlsFault("illegal-parameter", "a signature scheme that was not offered");
  }
  const content = signedContent(signer, io.transcript.digest());
  if (!io.provider.verify(name, publicKey, content, signature)) {
    throw new DtlsFault("bad-signature", "the CertificateVerify is not the certificate's");
  }
  io.transcript.add(message);
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
  // RFC 8446 section 4.4.4: "Recipients of Finished messages MUST verify that the contents are correct and if incorrect
  // MUST terminate the connection with a "decrypt_error" alert."
  if (!equalSecrets(message.body, expected)) {
    throw new DtlsFault("bad-finished", "the Finished does not match the handshake");
  }
  io.transcript.add(message);
}
