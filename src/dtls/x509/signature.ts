// Public keys and signatures of certificates and revocation lists: which are understood, and whether they verify.

import { Buffer } from "node:buffer";
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import { equalBytes } from "../../base/bytes.ts";
import { DecodeError } from "../../base/byte_reader.ts";
import type { CryptoProvider, HashName, SignatureName } from "../crypto/provider.ts";
import { contextTag, DerReader, DerTag } from "./der_reader.ts";

/** A signature algorithm of certificates. */
export type SignatureAlgorithm =
  | { readonly kind: "ecdsa" | "rsa-pkcs1" | "rsa-pss"; readonly hash: HashName }
  | { readonly kind: "ed25519" };

/** A public key's kind, `unsupported` for those that nothing here verifies with. */
export type PublicKeyKind = "p256" | "p384" | "ed25519" | "rsa" | "unsupported";

/** A certificate's public key. */
export interface PublicKeyInfo {
  /** Algorithm and curve. */
  readonly kind: PublicKeyKind;
  /** The SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  /** Bits of an RSA modulus; 0 for other kinds. */
  readonly modulusBits: number;
  /** Whether an RSA exponent is one that signatures can be trusted under. */
  readonly isExponentSound: boolean;
}

const HASH_OF_ALGORITHM: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ["1.2.840.10045.4.3.2", { kind: "ecdsa", hash: "sha256" }],
  ["1.2.840.10045.4.3.3", { kind: "ecdsa", hash: "sha384" }],
  ["1.2.840.10045.4.3.4", { kind: "ecdsa", hash: "sha512" }],
  ["1.3.101.112", { kind: "ed25519" }],
  ["1.2.840.113549.1.1.11", { kind: "rsa-pkcs1", hash: "sha256" }],
  ["1.2.840.113549.1.1.12", { kind: "rsa-pkcs1", hash: "sha384" }],
  ["1.2.840.113549.1.1.13", { kind: "rsa-pkcs1", hash: "sha512" }],
]);

const RSASSA_PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";
const HASHES: ReadonlyMap<string, HashName> = new Map([
  ["2.16.840.1.101.3.4.2.1", "sha256"],
  ["2.16.840.1.101.3.4.2.2", "sha384"],
  ["2.16.840.1.101.3.4.2.3", "sha512"],
]);
const HASH_BYTES: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** The algorithm of an AlgorithmIdentifier, `undefined` where it is not supported. Throws {@linkcode DecodeError}. */
export function readSignatureAlgorithm(identifier: Uint8Array): SignatureAlgorithm | undefined {
  const fields = new DerReader(identifier).sequence();
  const id = fields.objectIdentifier();
  if (id === RSASSA_PSS) return readPssAlgorithm(fields);
  const algorithm = HASH_OF_ALGORITHM.get(id);
  if (algorithm === undefined) return undefined;
  // RFC 5758 section 3.2 and RFC 8410 section 3: parameters are absent; RFC 4055 section 5: NULL, or absent.
  if (algorithm.kind === "rsa-pkcs1") expectNullOrAbsent(fields);
  fields.expectEnd();
  return algorithm;
}

function expectNullOrAbsent(fields: DerReader): void {
  if (!fields.isEmpty && fields.content(DerTag.null).length !== 0) {
    throw new DecodeError("NULL with content");
  }
  fields.expectEnd();
}

/** RSASSA-PSS-params (RFC 4055 section 3.1), as RFC 8446 wants them: one hash for both, a salt of its length. */
function readPssAlgorithm(fields: DerReader): SignatureAlgorithm | undefined {
  if (fields.isEmpty) return undefined;
  const params = fields.sequence();
  fields.expectEnd();
  const hash = readHash(params.optional(contextTag(0, "constructed"))?.sequence());
  const mask = params.optional(contextTag(1, "constructed"))?.sequence();
  const saltBytes = params.optional(contextTag(2, "constructed"))?.smallInteger();
  if (hash === undefined || mask === undefined || saltBytes !== HASH_BYTES[hash]) return undefined;
  if (mask.objectIdentifier() !== MGF1 || readHash(mask.sequence()) !== hash) return undefined;
  return params.isEmpty ? { kind: "rsa-pss", hash } : undefined;
}

function readHash(identifier: DerReader | undefined): HashName | undefined {
  if (identifier === undefined) return undefined;
  const hash = HASHES.get(identifier.objectIdentifier());
  expectNullOrAbsent(identifier);
  return hash;
}

const EC_PUBLIC_KEY = "1.2.840.10045.2.1";
const RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
const ED25519 = "1.3.101.112";
const CURVES: ReadonlyMap<string, PublicKeyKind> = new Map([
  ["1.2.840.10045.3.1.7", "p256"],
  ["1.3.132.0.34", "p384"],
]);

/** Reads a SubjectPublicKeyInfo. Throws {@linkcode DecodeError}. */
export function readPublicKeyInfo(spki: Uint8Array): PublicKeyInfo {
  const fields = new DerReader(spki).sequence();
  const algorithm = fields.sequence();
  const id = algorithm.objectIdentifier();
  const key = fields.bitStringOctets();
  fields.expectEnd();
  const plain = { spki, modulusBits: 0, isExponentSound: true };
  switch (id) {
    case EC_PUBLIC_KEY: {
      // RFC 5480 section 2.1.1: "implicitCurve and specifiedCurve MUST NOT be used in PKIX".
      const curve = CURVES.get(algorithm.objectIdentifier());
      algorithm.expectEnd();
      return { ...plain, kind: curve ?? "unsupported" };
    }
    case ED25519:
      algorithm.expectEnd();
      return { ...plain, kind: "ed25519" };
    case RSA_ENCRYPTION: {
      expectNullOrAbsent(algorithm);
      const reader = new DerReader(key);
      const numbers = reader.sequence();
      reader.expectEnd();
      const modulus = numbers.unsigned();
      const exponent = numbers.unsigned();
      numbers.expectEnd();
      return { spki, kind: "rsa", modulusBits: bitLength(modulus), ...soundness(exponent) };
    }
    default:
      return { ...plain, kind: "unsupported" };
  }
}

function bitLength(magnitude: Uint8Array): number {
  return 8 * magnitude.length - (Math.clz32(magnitude[0]!) - 24);
}

/** An exponent of 1 makes every message its own signature; an even one is none; a huge one costs the verifier. */
function soundness(exponent: Uint8Array): { isExponentSound: boolean } {
  const isOdd = (exponent.at(-1)! & 1) === 1;
  return { isExponentSound: isOdd && exponent.length <= 8 && !equalBytes(exponent, ONE) };
}
const ONE = Uint8Array.of(1);

/** Whether a signature algorithm can belong to a key. */
export function isAlgorithmOfKey(algorithm: SignatureAlgorithm, key: PublicKeyInfo): boolean {
  switch (algorithm.kind) {
    case "ecdsa":
      return key.kind === "p256" || key.kind === "p384";
    case "ed25519":
      return key.kind === "ed25519";
    case "rsa-pkcs1":
    case "rsa-pss":
      return key.kind === "rsa";
  }
}

/** The provider's name of a signature algorithm other than RSA's. */
function schemeOf(algorithm: SignatureAlgorithm): SignatureName {
  return algorithm.kind === "ed25519" ? "ed25519" : `ecdsa_${algorithm.hash}`;
}

/**
 * Whether `signature` is `message`'s under `key`; false for malformed keys and signatures as well. Never throws.
 * RSA's are verified by node:crypto, since not every provider has it, and all of them without a provider.
 */
export function verifySignature(
  algorithm: SignatureAlgorithm,
  key: PublicKeyInfo,
  message: Uint8Array,
  signature: Uint8Array,
  provider?: CryptoProvider,
): boolean {
  if (!isAlgorithmOfKey(algorithm, key)) return false;
  if (provider !== undefined && key.kind !== "rsa") {
    return provider.verify(schemeOf(algorithm), key.spki, message, signature);
  }
  try {
    const keyObject = importPublicKey(key.spki);
    if (algorithm.kind === "ed25519") return verify(null, message, keyObject, signature);
    if (algorithm.kind !== "rsa-pss") return verify(algorithm.hash, message, keyObject, signature);
    return verify(algorithm.hash, message, {
      key: keyObject,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: HASH_BYTES[algorithm.hash],
    }, signature);
  } catch {
    // node:crypto throws for a point that is not on its curve, and the like: that key verifies nothing.
    return false;
  }
}

function importPublicKey(spki: Uint8Array): KeyObject {
  const key = Buffer.from(spki.buffer, spki.byteOffset, spki.byteLength);
  return createPublicKey({ key, format: "der", type: "spki" });
}
