// The handshake messages that DTLS 1.2 has for itself, and its extensions (RFC 5246 section 7.4, RFC 6347 section
// 4.2.1, RFC 8422 section 5). What stands here is 1.2's form where 1.3 has another of the same name.

import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { concatBytes, equalBytes } from "../base/bytes.ts";
import {
  type CertificateVerify,
  decodeCertificateVerify,
  encodeCertificateVerify,
} from "./certificate_messages.ts";
import { ClientCertificateType, ProtocolVersion } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import type { KeyShare } from "./extensions.ts";

/** The only form of a curve: RFC 8422 section 5.4 deprecates the others. */
const NAMED_CURVE = 3;

/** Decodes a HelloVerifyRequest's body to its cookie. */
export function decodeHelloVerifyRequest(body: Uint8Array): Uint8Array {
  const reader = new ByteReader(body);
  // RFC 6347 section 4.2.1: clients "MUST NOT assume that because the server uses version 1.0 in the HelloVerifyRequest
  // that the server is not DTLS 1.2": nothing depends on it.
  reader.u16();
  const cookie = reader.opaque(1);
  reader.expectEnd();
  return cookie;
}

/** Encodes a HelloVerifyRequest's body. */
export function encodeHelloVerifyRequest(cookie: Uint8Array): Uint8Array {
  // RFC 6347 section 4.2.1: "DTLS 1.2 server implementations SHOULD use DTLS version 1.0 regardless of the version of
  // TLS that is expected to be negotiated."
  return new ByteWriter().u16(ProtocolVersion.DTLS_1_0).opaque(1, cookie).finish();
}

/** Decodes a Certificate body of at most `chainMax` certificates: the chain in DER, leaf first. */
export function decodeCertificate12(body: Uint8Array, chainMax: number): readonly Uint8Array[] {
  const reader = new ByteReader(body);
  const list = reader.vector(3);
  reader.expectEnd();
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) {
    if (chain.length === chainMax) throw new DtlsFault("bad-certificate", "the chain is too long");
    chain.push(list.opaque(3, 1));
  }
  return chain;
}

/** Encodes a Certificate body. */
export function encodeCertificate12(chain: readonly Uint8Array[]): Uint8Array {
  return new ByteWriter(2_048).vector(3, (writer) => {
    for (const certificate of chain) writer.opaque(3, certificate);
  }).finish();
}

/** A ServerKeyExchange of ECDHE: the server's public value, and its signature over that and both random values. */
export interface ServerKeyExchange {
  /** The public value and its group. */
  readonly share: KeyShare;
  /** Scheme and signature. */
  readonly proof: CertificateVerify;
  /** ServerECDHParams as they stand, which are signed. */
  readonly parameters: Uint8Array;
}

/** ServerECDHParams (RFC 8422 section 5.4). */
export function encodeServerParameters({ group, publicKey }: KeyShare): Uint8Array {
  return new ByteWriter(128).u8(NAMED_CURVE).u16(group).opaque(1, publicKey).finish();
}

/** Decodes a ServerKeyExchange's body. Throws `DecodeError` or {@linkcode DtlsFault}. */
export function decodeServerKeyExchange(body: Uint8Array): ServerKeyExchange {
  const reader = new ByteReader(body);
  if (reader.u8() !== NAMED_CURVE) {
    throw new DtlsFault("illegal-parameter", "the server's curve has no name");
  }
  const share = { group: reader.u16(), publicKey: reader.opaque(1, 1) };
  const parameters = body.subarray(0, reader.offset);
  return { share, parameters, proof: decodeCertificateVerify(reader.rest()) };
}

/** Encodes a ServerKeyExchange's body. */
export function encodeServerKeyExchange(
  parameters: Uint8Array,
  proof: CertificateVerify,
): Uint8Array {
  return concatBytes(parameters, encodeCertificateVerify(proof));
}

/** What a ServerKeyExchange signs (RFC 8422 section 5.4). */
export function signedKeyExchange(
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
  parameters: Uint8Array,
): Uint8Array {
  return concatBytes(clientRandom, serverRandom, parameters);
}

/** Decodes a ClientKeyExchange's body of ECDHE to the client's public value. */
export function decodeClientKeyExchange(body: Uint8Array): Uint8Array {
  const reader = new ByteReader(body);
  const publicKey = reader.opaque(1, 1);
  reader.expectEnd();
  return publicKey;
}

/** Encodes a ClientKeyExchange's body. */
export function encodeClientKeyExchange(publicKey: Uint8Array): Uint8Array {
  return new ByteWriter(1 + publicKey.length).opaque(1, publicKey).finish();
}

/** A CertificateRequest. */
export interface CertificateRequest12 {
  /** Kinds of keys; see {@linkcode ClientCertificateType}. */
  readonly certificateTypes: readonly number[];
  /** What the server verifies. */
  readonly signatureSchemes: readonly number[];
  /** Names of issuers in DER; empty for any. */
  readonly authorities: readonly Uint8Array[];
}

/** Decodes a CertificateRequest's body. */
export function decodeCertificateRequest12(body: Uint8Array): CertificateRequest12 {
  const reader = new ByteReader(body);
  const certificateTypes = [...reader.opaque(1, 1)];
  const schemes = reader.vector(2, 2);
  const names = reader.vector(2);
  reader.expectEnd();
  const signatureSchemes: number[] = [];
  while (schemes.remaining > 0) signatureSchemes.push(schemes.u16());
  const authorities: Uint8Array[] = [];
  while (names.remaining > 0) authorities.push(names.opaque(2, 1));
  return { certificateTypes, signatureSchemes, authorities };
}

/** Encodes a CertificateRequest's body. */
export function encodeCertificateRequest12(
  { certificateTypes, signatureSchemes, authorities }: CertificateRequest12,
): Uint8Array {
  const writer = new ByteWriter(256).opaque(1, new Uint8Array(certificateTypes));
  writer.vector(2, () => {
    for (const scheme of signatureSchemes) writer.u16(scheme);
  });
  writer.vector(2, () => {
    for (const name of authorities) writer.opaque(2, name);
  });
  return writer.finish();
}

/**
 * The kind of certificate that a key of a scheme belongs to. RFC 8422 section 5.5 has Ed25519 under ecdsa_sign, and
 * RSASSA-PSS is RSA's.
 */
export function certificateTypeOf(scheme: number): ClientCertificateType {
  const isRsa = (scheme & 0xff) === 0x01 || (scheme >= 0x0804 && scheme <= 0x0806);
  return isRsa ? ClientCertificateType.RSA_SIGN : ClientCertificateType.ECDSA_SIGN;
}

/** A NewSessionTicket of RFC 5077 section 3.3. */
export interface NewSessionTicket12 {
  /** How long the ticket is good for, as the server sees it; 0 for no promise. */
  readonly lifetimeSeconds: number;
  /** Opaque to the client; empty where the server has none after all. */
  readonly ticket: Uint8Array;
}

/** Decodes a NewSessionTicket's body. */
export function decodeNewSessionTicket12(body: Uint8Array): NewSessionTicket12 {
  const reader = new ByteReader(body);
  const message = { lifetimeSeconds: reader.u32(), ticket: reader.opaque(2) };
  reader.expectEnd();
  return message;
}

/** Encodes a NewSessionTicket's body. */
export function encodeNewSessionTicket12(
  { lifetimeSeconds, ticket }: NewSessionTicket12,
): Uint8Array {
  return new ByteWriter(6 + ticket.length).u32(lifetimeSeconds).opaque(2, ticket).finish();
}

/** RFC 5746 section 3.2: renegotiated_connection, which "is of zero length" in the first handshake. */
export const RENEGOTIATION_INFO: Uint8Array = new Uint8Array([0]);

/** Reads a renegotiation_info extension. Throws {@linkcode DtlsFault} for one of a renegotiation. */
export function readRenegotiationInfo(reader: ByteReader): true {
  // RFC 5746 section 3.4: "if it is not, MUST abort the handshake (by sending a fatal handshake_failure alert)".
  if (reader.opaque(1).length > 0) {
    throw new DtlsFault("no-common-parameters", "a renegotiation in the first handshake");
  }
  return true;
}

/** RFC 8422 section 5.1.2: ec_point_formats with "uncompressed" alone. */
export const EC_POINT_FORMATS: Uint8Array = new Uint8Array([1, 0]);

/** Reads an ec_point_formats extension. Throws {@linkcode DtlsFault} where uncompressed points are not among them. */
export function readPointFormats(reader: ByteReader): true {
  // RFC 8422 section 5.1: "If the Supported Point Formats Extension is indeed sent, it MUST contain the value 0
  // (uncompressed) as one of the items in the list of point formats."
  if (!reader.opaque(1, 1).includes(0)) {
    throw new DtlsFault("illegal-parameter", "points that are not compressed are refused");
  }
  return true;
}

/** The last bytes of a server's random value that say "I could have done better" (RFC 8446 section 4.1.3). */
const DOWNGRADE_BYTES = 8;
const DOWNGRADE_TO_1_2 = new Uint8Array([0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 0x01]);
const DOWNGRADE_TO_OLDER = new Uint8Array([0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 0x00]);

/** Marks a server's random value: this server speaks 1.3, and was asked for 1.2. */
export function setDowngradeSentinel(random: Uint8Array): void {
  random.set(DOWNGRADE_TO_1_2, random.length - DOWNGRADE_BYTES);
}

/** Whether a server's random value says that the server would have spoken a later version. */
export function hasDowngradeSentinel(random: Uint8Array): boolean {
  const end = random.subarray(random.length - DOWNGRADE_BYTES);
  return equalBytes(end, DOWNGRADE_TO_1_2) || equalBytes(end, DOWNGRADE_TO_OLDER);
}
