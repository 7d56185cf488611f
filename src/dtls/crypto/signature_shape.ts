// What each signature scheme is made of, and which keys can use it: what the providers share about signatures.

import type { KeyKind } from "./der.ts";
import type { HashName, SignatureName } from "./provider.ts";

/** What a signature scheme is made of. */
export type SignatureShape =
  | { readonly algorithm: "ecdsa" | "rsa-pss" | "rsa-pkcs1"; readonly hash: HashName }
  | { readonly algorithm: "ed25519"; readonly hash: undefined };

/** The parts of each scheme. */
export const SIGNATURE_SHAPES: Readonly<Record<SignatureName, SignatureShape>> = {
  ecdsa_secp256r1_sha256: { algorithm: "ecdsa", hash: "sha256" },
  ecdsa_secp384r1_sha384: { algorithm: "ecdsa", hash: "sha384" },
  ecdsa_sha256: { algorithm: "ecdsa", hash: "sha256" },
  ecdsa_sha384: { algorithm: "ecdsa", hash: "sha384" },
  ecdsa_sha512: { algorithm: "ecdsa", hash: "sha512" },
  ed25519: { algorithm: "ed25519", hash: undefined },
  rsa_pss_rsae_sha256: { algorithm: "rsa-pss", hash: "sha256" },
  rsa_pss_rsae_sha384: { algorithm: "rsa-pss", hash: "sha384" },
  rsa_pss_rsae_sha512: { algorithm: "rsa-pss", hash: "sha512" },
  rsa_pkcs1_sha256: { algorithm: "rsa-pkcs1", hash: "sha256" },
  rsa_pkcs1_sha384: { algorithm: "rsa-pkcs1", hash: "sha384" },
  rsa_pkcs1_sha512: { algorithm: "rsa-pkcs1", hash: "sha512" },
};

/** The schemes of keys other than RSA, best first. */
export const SCHEMES_OF_KIND: Readonly<Record<Exclude<KeyKind, "rsa">, readonly SignatureName[]>> =
  {
    // RFC 8446 section 4.2.3: "Indicates a signature algorithm using ECDSA, the corresponding curve [...], and the
    // corresponding hash algorithm": one curve, one scheme. The others are TLS 1.2's, which ties no hash to a curve.
    secp256r1: ["ecdsa_secp256r1_sha256", "ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512"],
    secp384r1: ["ecdsa_secp384r1_sha384", "ecdsa_sha384", "ecdsa_sha512", "ecdsa_sha256"],
    ed25519: ["ed25519"],
  };

/** Bits of the largest RSA modulus: checking a signature takes time that grows with its square. */
const RSA_MODULUS_BITS_MAX = 8_192;

/** The largest RSA public exponent: checking a signature takes time that grows with its bits. */
const RSA_EXPONENT_MAX = 0xffff_ffffn;

/** RSA's schemes, best first, with the bits that the modulus has at least. */
const RSA_SCHEMES: readonly (readonly [SignatureName, number])[] = [
  // RFC 8017 section 9.1.1: "emBits [...] at least 8hLen + 8sLen + 9", of a message one bit shorter than the modulus.
  ["rsa_pss_rsae_sha256", 16 * 32 + 10],
  ["rsa_pss_rsae_sha384", 16 * 48 + 10],
  ["rsa_pss_rsae_sha512", 16 * 64 + 10],
  // RFC 8017 section 9.2: "If emLen < tLen + 11, output "intended encoded message length too short"", of whole bytes,
  // where tLen is 19 bytes and the hash.
  ["rsa_pkcs1_sha256", 8 * (19 + 32 + 11) - 7],
  ["rsa_pkcs1_sha384", 8 * (19 + 48 + 11) - 7],
  ["rsa_pkcs1_sha512", 8 * (19 + 64 + 11) - 7],
];

/**
 * The schemes that an RSA key of this size can be used with; none where it is so large that a peer could keep us busy
 * with it. Keys that are too small to be safe are the certificate policy's to refuse.
 */
export function rsaSchemes(modulusBits: number, publicExponent: bigint): SignatureName[] {
  if (modulusBits > RSA_MODULUS_BITS_MAX || publicExponent > RSA_EXPONENT_MAX) return [];
  // With an exponent of 1 every message is its own signature; an even one is no exponent.
  if (publicExponent < 3n || publicExponent % 2n === 0n) return [];
  return RSA_SCHEMES.filter(([, bitsMin]) => modulusBits >= bitsMin).map(([scheme]) => scheme);
}
