// What both sides of a handshake of DTLS 1.2 do alike: keys from the master secret, proofs and Finished (RFC 5246
// sections 7.1 and 7.4.9, RFC 7627).

import { DecodeError } from "../base/byte_reader.ts";
import { groupNumber, type SuiteParameters } from "./cipher_suites.ts";
import { ClientCertificateType, HandshakeType, type NamedGroup } from "./code_points.ts";
import { readPublicKey } from "./crypto/der.ts";
import { DtlsFault } from "./errors.ts";
import { type Exporter, type HandshakeIo, scheduleParameters } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { checkFinished } from "./handshake_proofs.ts";
import {
  exportKeyingMaterial12,
  extendedMasterSecret,
  finishedVerifyData12,
  writeKeys,
} from "./key_schedule_12.ts";
import { type RecordKeys12, RecordOpener12, RecordSealer12 } from "./record_protection_12.ts";

/** The epoch of all that follows a ChangeCipherSpec: without renegotiation there is no other. */
const PROTECTED_EPOCH = 1;

/** One of the two ends. */
export type End = "client" | "server";

/** What the keys of an association come from. */
export interface MasterSecret12 {
  readonly suite: SuiteParameters;
  /** 48 bytes. */
  readonly secret: Uint8Array;
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
}

/** The master secret after the ClientKeyExchange. Zeroes the premaster secret. */
export function deriveMasterSecret(
  io: HandshakeIo,
  suite: SuiteParameters,
  premasterSecret: Uint8Array,
  randoms: Pick<MasterSecret12, "clientRandom" | "serverRandom">,
): MasterSecret12 {
  const parameters = scheduleParameters(io.provider, suite);
  const secret = extendedMasterSecret(parameters, premasterSecret, io.transcript.digest());
  premasterSecret.fill(0);
  return { suite, secret, ...randoms };
}

/** Keeps a master secret for the association's life: tells it to the key log, and opens what the peer protects. */
export function installMasterSecret(io: HandshakeIo, peer: End, master: MasterSecret12): void {
  io.eraseAtEnd(master.secret);
  io.logSecret("CLIENT_RANDOM", master.clientRandom, master.secret);
  io.installOpener(
    new RecordOpener12(
      PROTECTED_EPOCH,
      recordKeys(io, peer, master),
      io.receiveConnectionId,
      io.limits.replayWindowRecords,
    ),
  );
}

function recordKeys(io: HandshakeIo, sender: End, master: MasterSecret12): RecordKeys12 {
  const { suite, secret, clientRandom, serverRandom } = master;
  const parameters = scheduleParameters(io.provider, suite);
  const keys = writeKeys(parameters, secret, clientRandom, serverRandom);
  const aead = io.provider.aead(suite.aead, keys[sender].key);
  keys.client.key.fill(0);
  keys.server.key.fill(0);
  return { aead, iv: keys[sender].iv };
}

/** ChangeCipherSpec and this end's Finished, the first message that is protected. */
export function sendFinished12(io: HandshakeIo, self: End, master: MasterSecret12): void {
  const verifyData = verifyDataOf(io, self, master);
  io.sendChangeCipherSpec();
  const keys = recordKeys(io, self, master);
  io.installSealer(new RecordSealer12(PROTECTED_EPOCH, master.suite, keys, io.sendConnectionId));
  io.send(HandshakeType.FINISHED, verifyData);
}

/**
 * Waits for the peer's Finished and checks it. ChangeCipherSpec itself is not waited for: it says nothing that the
 * epoch of the Finished does not, and whoever injects one changes nothing.
 */
export function* receiveFinished12(
  io: HandshakeIo,
  peer: End,
  master: MasterSecret12,
): Generator<readonly HandshakeType[], void, HandshakeMessage> {
  const expected = verifyDataOf(io, peer, master);
  io.expectEpoch(PROTECTED_EPOCH);
  const message = yield [HandshakeType.FINISHED];
  checkFinished(message.body, expected);
  io.transcript.add(message);
}

function verifyDataOf(io: HandshakeIo, sender: End, { suite, secret }: MasterSecret12): Uint8Array {
  const parameters = scheduleParameters(io.provider, suite);
  return finishedVerifyData12(parameters, secret, sender, io.transcript.digest());
}

/** The exporter of an association (RFC 5705). */
export function exporter12(io: HandshakeIo, master: MasterSecret12): Exporter {
  const { suite, secret, clientRandom, serverRandom } = master;
  const parameters = scheduleParameters(io.provider, suite);
  const randoms = { client: clientRandom, server: serverRandom };
  return (label, context, lengthBytes) =>
    exportKeyingMaterial12(parameters, secret, randoms, label, context, lengthBytes);
}

/** The kind of certificate that a public key belongs to, and of one with ECDSA the group of its curve. */
export interface CertificateKind {
  readonly type: ClientCertificateType;
  readonly group: NamedGroup | undefined;
}

/** The kind of a public key (SubjectPublicKeyInfo, DER). Throws {@linkcode DtlsFault} for one that is not known. */
export function certificateKind(publicKey: Uint8Array): CertificateKind {
  try {
    const { kind } = readPublicKey(publicKey);
    const isRsa = kind === "rsa";
    // RFC 8422 section 5.5: "ecdsa_sign [...] The certificate MUST contain an ECDSA- or EdDSA-capable public key".
    const type = isRsa ? ClientCertificateType.RSA_SIGN : ClientCertificateType.ECDSA_SIGN;
    return { type, group: groupNumber(kind) };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DtlsFault("unsupported-certificate", "the certificate's key is of an unknown kind");
  }
}
