// ClientHello, ServerHello and HelloRetryRequest (RFC 9147 sections 5.3 and 5.4, RFC 8446 section 4.1).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES, equalBytes, fromHex } from "../base/bytes.ts";
import { ProtocolVersion } from "./code_points.ts";
import { type Extensions, readExtensions, writeExtensions } from "./extensions.ts";

/** Bytes of a hello's random value. */
export const RANDOM_BYTES = 32;

/**
 * RFC 8446 section 4.1.3: the random value that makes a ServerHello a HelloRetryRequest, SHA-256 of
 * "HelloRetryRequest".
 */
export const HELLO_RETRY_REQUEST_RANDOM: Uint8Array = fromHex(
  "CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C",
);

/** A ClientHello. */
export interface ClientHello {
  /** 0xfefd, whatever the version. */
  readonly legacyVersion: number;
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** Empty in DTLS 1.3, unless the client has one of an older version. */
  readonly legacySessionId: Uint8Array;
  /** Empty in DTLS 1.3. */
  readonly legacyCookie: Uint8Array;
  /** The suites on offer, the client's best first. */
  readonly cipherSuites: readonly number[];
  /** A single 0. */
  readonly compressionMethods: Uint8Array;
  /** The extensions, by type. */
  readonly extensions: Extensions;
}

/** A ServerHello or HelloRetryRequest. */
export interface ServerHello {
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly legacySessionIdEcho: Uint8Array;
  readonly cipherSuite: number;
  readonly compressionMethod: number;
  readonly extensions: Extensions;
}

/** Decodes a ClientHello's body. Throws `DecodeError` or `DtlsFault`. */
export function decodeClientHello(body: Uint8Array): ClientHello {
  const reader = new ByteReader(body);
  const legacyVersion = reader.u16();
  const random = reader.bytes(RANDOM_BYTES);
  const legacySessionId = reader.opaque(1, 0, 32);
  const legacyCookie = reader.opaque(1);
  const suites = reader.vector(2, 2);
  const cipherSuites: number[] = [];
  while (suites.remaining > 0) cipherSuites.push(suites.u16());
  const compressionMethods = reader.opaque(1, 1);
  const extensions = reader.remaining === 0 ? new Map() : readExtensions(reader);
  reader.expectEnd();
  return {
    legacyVersion,
    random,
    legacySessionId,
    legacyCookie,
    cipherSuites,
    compressionMethods,
    extensions,
  };
}

/** What of a ClientHello its sender chooses. */
export type ClientHelloContent =
  & Pick<ClientHello, "random" | "cipherSuites" | "extensions">
  & Partial<Pick<ClientHello, "legacySessionId" | "legacyCookie">>;

/** Encodes a ClientHello's body. */
export function encodeClientHello({
  random,
  legacySessionId = EMPTY_BYTES,
  legacyCookie = EMPTY_BYTES,
  cipherSuites,
  extensions,
}: ClientHelloContent): Uint8Array {
  const writer = new ByteWriter(512);
  // RFC 9147 section 5.3: "the legacy_version field MUST be set to {254, 253}".
  writer.u16(ProtocolVersion.DTLS_1_2).bytes(random).opaque(1, legacySessionId).opaque(
    1,
    legacyCookie,
  );
  writer.vector(2, () => {
    for (const suite of cipherSuites) writer.u16(suite);
  });
  writer.u8(1).u8(0);
  writeExtensions(writer, extensions);
  return writer.finishShort();
}

/** Decodes the body of a ServerHello or HelloRetryRequest. Throws `DecodeError` or `DtlsFault`. */
export function decodeServerHello(body: Uint8Array): ServerHello {
  const reader = new ByteReader(body);
  const legacyVersion = reader.u16();
  const random = reader.bytes(RANDOM_BYTES);
  const legacySessionIdEcho = reader.opaque(1, 0, 32);
  const cipherSuite = reader.u16();
  const compressionMethod = reader.u8();
  const extensions = reader.remaining === 0 ? new Map() : readExtensions(reader);
  reader.expectEnd();
  return {
    legacyVersion,
    random,
    legacySessionIdEcho,
    cipherSuite,
    compressionMethod,
    extensions,
  };
}

/** Encodes the body of a ServerHello, or of a HelloRetryRequest when `random` is its value. */
export function encodeServerHello(
  random: Uint8Array,
  legacySessionIdEcho: Uint8Array,
  cipherSuite: number,
  extensions: Extensions,
): Uint8Array {
  if (random.length !== RANDOM_BYTES) throw new DecodeError("a random value has 32 bytes");
  const writer = new ByteWriter(256);
  writer.u16(ProtocolVersion.DTLS_1_2).bytes(random).opaque(1, legacySessionIdEcho);
  writer.u16(cipherSuite).u8(0);
  writeExtensions(writer, extensions);
  return writer.finishShort();
}

/** Whether a ServerHello asks for another ClientHello. */
export function isHelloRetryRequest(hello: ServerHello): boolean {
  return equalBytes(hello.random, HELLO_RETRY_REQUEST_RANDOM);
}
