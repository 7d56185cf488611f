// What each cipher suite and each code point of the handshake means to the crypto provider.

import { CipherSuite, NamedGroup, SignatureScheme } from "./code_points.ts";
import type { AeadName, GroupName, HashName, SignatureName } from "./crypto/provider.ts";

/** The parameters of a cipher suite. */
export interface SuiteParameters {
  readonly suite: CipherSuite;
  readonly aead: AeadName;
  readonly hash: HashName;
  readonly hashBytes: number;
  readonly keyBytes: number;
  /** Records that one key may seal (RFC 9147 section 4.5.3). */
  readonly sealedRecordsMax: number;
}

/** RFC 9147 section 4.5.3: at most 2^36 records may fail to open under one key, for all three AEADs. */
export const FORGED_RECORDS_MAX: number = 2 ** 36;

/** Bytes of the nonce of every AEAD here. */
export const NONCE_BYTES = 12;

const SUITES: readonly SuiteParameters[] = [
  {
    suite: CipherSuite.TLS_AES_128_GCM_SHA256,
    aead: "aes-128-gcm",
    hash: "sha256",
    hashBytes: 32,
    keyBytes: 16,
    // RFC 8446 section 5.5: "For AES-GCM, up to 2^24.5 full-size records".
    sealedRecordsMax: Math.floor(2 ** 24.5),
  },
  {
    suite: CipherSuite.TLS_AES_256_GCM_SHA384,
    aead: "aes-256-gcm",
    hash: "sha384",
    hashBytes: 48,
    keyBytes: 32,
    sealedRecordsMax: Math.floor(2 ** 24.5),
  },
  {
    suite: CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    aead: "chacha20-poly1305",
    hash: "sha256",
    hashBytes: 32,
    keyBytes: 32,
    // RFC 8446 section 5.5: the record sequence number would wrap first; 2^48 - 1 is the largest here.
    sealedRecordsMax: 2 ** 48 - 1,
  },
];

/** The parameters of a suite, or `undefined` for one that is not implemented. */
export function suiteParameters(suite: number): SuiteParameters | undefined {
  return SUITES.find((parameters) => parameters.suite === suite);
}

const GROUPS: readonly (readonly [NamedGroup, GroupName])[] = [
  [NamedGroup.X25519, "x25519"],
  [NamedGroup.SECP256R1, "secp256r1"],
  [NamedGroup.SECP384R1, "secp384r1"],
];

/** The provider's name of a group, or `undefined` for one that is not implemented. */
export function groupName(group: number): GroupName | undefined {
  return GROUPS.find(([codePoint]) => codePoint === group)?.[1];
}

const SCHEMES: readonly (readonly [SignatureScheme, SignatureName])[] = [
  [SignatureScheme.ED25519, "ed25519"],
  [SignatureScheme.ECDSA_SECP256R1_SHA256, "ecdsa_secp256r1_sha256"],
  [SignatureScheme.ECDSA_SECP384R1_SHA384, "ecdsa_secp384r1_sha384"],
  [SignatureScheme.RSA_PSS_RSAE_SHA256, "rsa_pss_rsae_sha256"],
  [SignatureScheme.RSA_PSS_RSAE_SHA384, "rsa_pss_rsae_sha384"],
  [SignatureScheme.RSA_PSS_RSAE_SHA512, "rsa_pss_rsae_sha512"],
];

/** The provider's name of a signature scheme, or `undefined` for one that is not implemented. */
export function signatureName(scheme: number): SignatureName | undefined {
  return SCHEMES.find(([codePoint]) => codePoint === scheme)?.[1];
}

/** The code point of a signature scheme. */
export function signatureScheme(name: SignatureName): SignatureScheme {
  const found = SCHEMES.find(([, schemeName]) => schemeName === name);
  if (found === undefined) throw new RangeError(`no code point for ${name}`);
  return found[0];
}

/** All signature schemes that can be verified, best first. */
export const SIGNATURE_SCHEMES: readonly SignatureScheme[] = SCHEMES.map(([codePoint]) =>
  codePoint
);
