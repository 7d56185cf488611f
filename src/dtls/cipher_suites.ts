// What each cipher suite and each code point of the handshake means to the crypto provider.

import { CipherSuite, NamedGroup, SignatureScheme } from "./code_points.ts";
import type { AeadName, GroupName, HashName, SignatureName } from "./crypto/provider.ts";

/** The parameters of a cipher suite. */
export interface SuiteParameters {
  readonly suite: CipherSuite;
  readonly version: "1.3" | "1.2";
  /** In 1.2, the kind of certificate that the suite is for; RFC 8422 section 5.4 has Ed25519 with ECDSA. */
  readonly certificate: "any" | "ecdsa" | "rsa";
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

/**
 * RFC 8446 section 5.5: "For AES-GCM, up to 2^24.5 full-size records"; RFC 9325 section 4.4: "it is RECOMMENDED that
 * the same limit of 2^24.5 records is used for both versions."
 */
const GCM_RECORDS_MAX = Math.floor(2 ** 24.5);

/** Of ChaCha20-Poly1305 the number of a record would wrap first; 2^48 - 1 is the largest. */
const CHACHA_RECORDS_MAX = 2 ** 48 - 1;

const AES_128_GCM = {
  aead: "aes-128-gcm",
  hash: "sha256",
  hashBytes: 32,
  keyBytes: 16,
  sealedRecordsMax: GCM_RECORDS_MAX,
} as const;

const AES_256_GCM = {
  aead: "aes-256-gcm",
  hash: "sha384",
  hashBytes: 48,
  keyBytes: 32,
  sealedRecordsMax: GCM_RECORDS_MAX,
} as const;

const CHACHA20_POLY1305 = {
  aead: "chacha20-poly1305",
  hash: "sha256",
  hashBytes: 32,
  keyBytes: 32,
  sealedRecordsMax: CHACHA_RECORDS_MAX,
} as const;

const OF_1_3 = { version: "1.3", certificate: "any" } as const;
const ECDHE_ECDSA = { version: "1.2", certificate: "ecdsa" } as const;
const ECDHE_RSA = { version: "1.2", certificate: "rsa" } as const;

const SUITES: readonly SuiteParameters[] = [
  { suite: CipherSuite.TLS_AES_128_GCM_SHA256, ...OF_1_3, ...AES_128_GCM },
  { suite: CipherSuite.TLS_AES_256_GCM_SHA384, ...OF_1_3, ...AES_256_GCM },
  { suite: CipherSuite.TLS_CHACHA20_POLY1305_SHA256, ...OF_1_3, ...CHACHA20_POLY1305 },
  { suite: CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ...ECDHE_ECDSA, ...AES_128_GCM },
  { suite: CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ...ECDHE_ECDSA, ...AES_256_GCM },
  { suite: CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, ...ECDHE_RSA, ...AES_128_GCM },
  { suite: CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, ...ECDHE_RSA, ...AES_256_GCM },
  {
    suite: CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ...ECDHE_RSA,
    ...CHACHA20_POLY1305,
  },
  {
    suite: CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ...ECDHE_ECDSA,
    ...CHACHA20_POLY1305,
  },
];

const SUITES_BY_NUMBER: ReadonlyMap<number, SuiteParameters> = new Map(
  SUITES.map((parameters) => [parameters.suite, parameters]),
);

/** The parameters of a suite, or `undefined` for one that is not implemented. */
export function suiteParameters(suite: number): SuiteParameters | undefined {
  return SUITES_BY_NUMBER.get(suite);
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

/** The group of a provider's name, `undefined` where it names none. */
export function groupNumber(name: string): NamedGroup | undefined {
  return GROUPS.find(([, groupName]) => groupName === name)?.[0];
}

type SchemeTable = readonly (readonly [SignatureScheme, SignatureName])[];

/** What each code point names in each version, best first. */
const SCHEMES: Readonly<Record<"1.3" | "1.2", SchemeTable>> = {
  "1.3": [
    [SignatureScheme.ED25519, "ed25519"],
    [SignatureScheme.ECDSA_SECP256R1_SHA256, "ecdsa_secp256r1_sha256"],
    [SignatureScheme.ECDSA_SECP384R1_SHA384, "ecdsa_secp384r1_sha384"],
    [SignatureScheme.RSA_PSS_RSAE_SHA256, "rsa_pss_rsae_sha256"],
    [SignatureScheme.RSA_PSS_RSAE_SHA384, "rsa_pss_rsae_sha384"],
    [SignatureScheme.RSA_PSS_RSAE_SHA512, "rsa_pss_rsae_sha512"],
  ],
  "1.2": [
    [SignatureScheme.ED25519, "ed25519"],
    // RFC 8446 section 4.2.3: "ECDSA signature schemes align with TLS 1.2's ECDSA hash/signature pairs.  However, the
    // old semantics did not constrain the signing curve."
    [SignatureScheme.ECDSA_SECP256R1_SHA256, "ecdsa_sha256"],
    [SignatureScheme.ECDSA_SECP384R1_SHA384, "ecdsa_sha384"],
    // "Implementations that advertise support for RSASSA-PSS (which is mandatory in TLS 1.3) MUST be prepared to accept
    // a signature using that scheme even when TLS 1.2 is negotiated."
    [SignatureScheme.RSA_PSS_RSAE_SHA256, "rsa_pss_rsae_sha256"],
    [SignatureScheme.RSA_PSS_RSAE_SHA384, "rsa_pss_rsae_sha384"],
    [SignatureScheme.RSA_PSS_RSAE_SHA512, "rsa_pss_rsae_sha512"],
    // Of RSASSA-PKCS1-v1_5: "These values refer solely to signatures which appear in certificates [...] and are not
    // defined for use in signed TLS handshake messages" of 1.3.
    [SignatureScheme.RSA_PKCS1_SHA256, "rsa_pkcs1_sha256"],
    [SignatureScheme.RSA_PKCS1_SHA384, "rsa_pkcs1_sha384"],
    [SignatureScheme.RSA_PKCS1_SHA512, "rsa_pkcs1_sha512"],
  ],
};

/**
 * The provider's name of the scheme that signs a handshake of this version, or `undefined` for one that is not
 * implemented, or that the version does not allow.
 */
export function signatureName(
  scheme: number,
  version: "1.3" | "1.2" = "1.3",
): SignatureName | undefined {
  return SCHEMES[version].find(([codePoint]) => codePoint === scheme)?.[1];
}

/** The code point of a scheme in this version, or `undefined` where the version has none for it. */
export function signatureScheme(
  name: SignatureName,
  version: "1.3" | "1.2" = "1.3",
): SignatureScheme | undefined {
  return SCHEMES[version].find(([, schemeName]) => schemeName === name)?.[0];
}

const codePointsOf = (table: SchemeTable) => table.map(([codePoint]) => codePoint);

/** All signature schemes that can be verified in a handshake of 1.3, best first. */
export const SIGNATURE_SCHEMES: readonly SignatureScheme[] = codePointsOf(SCHEMES["1.3"]);

/** All signature schemes that can be verified in a handshake of 1.2, best first: those of 1.3 are among them. */
export const SIGNATURE_SCHEMES_12: readonly SignatureScheme[] = codePointsOf(SCHEMES["1.2"]);
