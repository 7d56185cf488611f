// Certificate, CertificateRequest, CertificateVerify and EncryptedExtensions (RFC 8446 sections 4.3 and 4.4).

import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES, utf8Bytes } from "../base/bytes.ts";
import { DtlsFault } from "./errors.ts";
import { type Extensions, readExtensions, writeExtensions } from "./extensions.ts";

/** A Certificate message: the chain in DER, leaf first; empty where the client has none. */
export interface CertificateMessage {
  readonly requestContext: Uint8Array;
  readonly chain: readonly Uint8Array[];
}

/** A CertificateRequest message. */
export interface CertificateRequest {
  readonly requestContext: Uint8Array;
  readonly extensions: Extensions;
}

/** A CertificateVerify message. */
export interface CertificateVerify {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** Decodes an EncryptedExtensions body. */
export function decodeEncryptedExtensions(body: Uint8Array): Extensions {
  const reader = new ByteReader(body);
  const extensions = readExtensions(reader);
  reader.expectEnd();
  return extensions;
}

/** Encodes an EncryptedExtensions body. */
export function encodeEncryptedExtensions(extensions: Extensions): Uint8Array {
  const writer = new ByteWriter();
  writeExtensions(writer, extensions);
  return writer.finishShort();
}

/** Decodes a Certificate body of at most `chainMax` certificates. */
export function decodeCertificate(body: Uint8Array, chainMax: number): CertificateMessage {
  const reader = new ByteReader(body);
  const requestContext = reader.opaque(1);
  const list = reader.vector(3);
  reader.expectEnd();
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) {
    if (chain.length === chainMax) throw new DtlsFault("bad-certificate", "the chain is too long");
    chain.push(list.opaque(3, 1));
    // RFC 8446 section 4.4.2: extensions of a certificate answer what this side offered, and it offered none.
    if (readExtensions(list).size > 0) {
      throw new DtlsFault(
        "unsupported-extension",
        "a certificate carries an extension not offered",
      );
    }
  }
  return { requestContext, chain };
}

/** Encodes a Certificate body. */
export function encodeCertificate(
  chain: readonly Uint8Array[],
  requestContext = EMPTY_BYTES,
): Uint8Array {
  const writer = new ByteWriter(2_048).opaque(1, requestContext);
  writer.vector(3, () => {
    for (const certificate of chain) writer.opaque(3, certificate).u16(0);
  });
  return writer.finishShort();
}

/** Decodes a CertificateRequest body. */
export function decodeCertificateRequest(body: Uint8Array): CertificateRequest {
  const reader = new ByteReader(body);
  const requestContext = reader.opaque(1);
  const extensions = readExtensions(reader);
  reader.expectEnd();
  return { requestContext, extensions };
}

/** Encodes a CertificateRequest body with an empty context, as RFC 8446 section 4.3.2 has it in the main handshake. */
export function encodeCertificateRequest(extensions: Extensions): Uint8Array {
  const writer = new ByteWriter().opaque(1, EMPTY_BYTES);
  writeExtensions(writer, extensions);
  return writer.finishShort();
}

/** Decodes a CertificateVerify body. */
export function decodeCertificateVerify(body: Uint8Array): CertificateVerify {
  const reader = new ByteReader(body);
  const verify = { scheme: reader.u16(), signature: reader.opaque(2) };
  reader.expectEnd();
  return verify;
}

/** Encodes a CertificateVerify body. */
export function encodeCertificateVerify({ scheme, signature }: CertificateVerify): Uint8Array {
  return new ByteWriter().u16(scheme).opaque(2, signature).finishShort();
}

const SIGNED_PADDING = new Uint8Array(64).fill(0x20);
const SIGNED_CONTEXTS = {
  client: utf8Bytes("TLS 1.3, client CertificateVerify\0"),
  server: utf8Bytes("TLS 1.3, server CertificateVerify\0"),
} as const;

/**
 * What a CertificateVerify signs (RFC 8446 section 4.4.3): 64 spaces, a context string, a zero byte, the transcript
 * hash.
 */
export function signedContent(signer: "client" | "server", transcriptHash: Uint8Array): Uint8Array {
  return new ByteWriter().bytes(SIGNED_PADDING).bytes(SIGNED_CONTEXTS[signer]).bytes(transcriptHash)
    .finishShort();
}
