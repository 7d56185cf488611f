// The crypto provider: the primitives that DTLS needs, behind one small synchronous interface.
// Implementations are noble.ts (portable) and node.ts (node:crypto), whose X25519 is that of the folder x25519 where it
// runs; `composed.ts` takes the fastest of each.

/** Hash functions, by the names of the system's cryptography. */
export type HashName = "sha256" | "sha384" | "sha512";

/** AEAD algorithms of RFC 5116 and RFC 8439 that the cipher suites use; all have a tag of 16 bytes. */
export type AeadName = "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";

/** Groups for (EC)DHE. */
export type GroupName = "x25519" | "secp256r1" | "secp384r1";

/**
 * Signature schemes: those of RFC 8446 section 4.2.3 by its names, of which CertificateVerify in 1.3 takes no
 * `rsa_pkcs1`; and `ecdsa_sha...`, ECDSA with a hash and any curve, as TLS 1.2 (RFC 5246 section 7.4.1.4.1) and
 * certificates have it.
 */
export type SignatureName =
  | "ecdsa_secp256r1_sha256"
  | "ecdsa_secp384r1_sha384"
  | "ecdsa_sha256"
  | "ecdsa_sha384"
  | "ecdsa_sha512"
  | "ed25519"
  | "rsa_pss_rsae_sha256"
  | "rsa_pss_rsae_sha384"
  | "rsa_pss_rsae_sha512"
  | "rsa_pkcs1_sha256"
  | "rsa_pkcs1_sha384"
  | "rsa_pkcs1_sha512";

/** A running hash. */
export interface Hash {
  /** Adds bytes. */
  update(bytes: Uint8Array): void;
  /** The hash of all bytes so far; more may be added afterwards. */
  digest(): Uint8Array;
  /** An independent copy with the same bytes so far. */
  copy(): Hash;
}

/** An AEAD algorithm under one key. It lives as long as its key. */
export interface Aead {
  /** Bytes that sealing adds. */
  readonly tagBytes: number;
  /**
   * Seals `plaintext` into `out`, which has room for exactly `plaintext.length + tagBytes` bytes; the two may
   * start at the same byte of the same buffer. `nonce` has 12 bytes.
   */
  seal(nonce: Uint8Array, additionalData: Uint8Array, plaintext: Uint8Array, out: Uint8Array): void;
  /**
   * The plaintext of `sealed` (with its tag), or `undefined` where the tag is wrong. Never throws for bad input. With
   * `mayReplace` the plaintext may lie where `sealed` begins, which saves memory of its own; `sealed` stays as it is
   * where the tag is wrong.
   */
  open(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    sealed: Uint8Array,
    mayReplace?: boolean,
  ): Uint8Array | undefined;
  /** Zeroes what of the key this object holds; it is not used after that. */
  destroy(): void;
}

/** The block function that hides record numbers (RFC 9147 section 4.2.3) under one key. */
export interface RecordNumberCipher {
  /**
   * The mask of a record's ciphertext, of which the first 16 bytes are the sample: at least 2 bytes, of which the first
   * are used. The result is valid until any such object is asked for the next one.
   */
  mask(ciphertext: Uint8Array): Uint8Array;
  /**
   * Zeroes what of the key this object holds; it is not used after that. Each object is destroyed in the end: the
   * one of node:crypto holds a resource of the runtime that nothing else frees.
   */
  destroy(): void;
}

/** One end's fresh secret for one key exchange, whatever it is made of. */
export interface KeyShares {
  /** The public value as RFC 8446 section 4.2.8 encodes it (x25519: 32 bytes; NIST curves: 0x04, X, Y). */
  readonly publicKey: Uint8Array;
  /**
   * The shared secret with a peer's public value, or `undefined` where that value is not a valid one (wrong
   * length, not on the curve, all-zero result). Zeroes the private key: once only.
   */
  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined;
  /** Zeroes the private key of an exchange that comes to nothing. Harmless where it is zeroed already. */
  destroy(): void;
}

/** One end's fresh secret for one key exchange in a group. */
export interface KeyExchange extends KeyShares {
  /** The group of both public values. */
  readonly group: GroupName;
}

/** A private key that signs, loaded once. */
export interface SigningKey {
  /** The schemes that this key can sign with, for 1.3 and 1.2, best first; the first is one of 1.3's. */
  readonly schemes: readonly SignatureName[];
  /** The SubjectPublicKeyInfo of the key in DER, to compare with a certificate's. */
  readonly publicKey: Uint8Array;
  /** Signs `message`; ECDSA signatures are DER sequences. */
  sign(scheme: SignatureName, message: Uint8Array): Uint8Array;
}

/** The primitives. All are synchronous; keys and randomness are arguments. */
export interface CryptoProvider {
  /** What people call it: `node`, `noble`, ... */
  readonly name: string;
  /** Starts a hash. */
  hash(name: HashName): Hash;
  /**
   * Writes the HMAC of the concatenation of `parts`, or as much of its beginning as `out` has room for. Throws
   * `RangeError` where `out` is longer than the HMAC.
   */
  hmac(name: HashName, out: Uint8Array, key: Uint8Array, ...parts: readonly Uint8Array[]): void;
  /** An AEAD under a key of 16 (aes-128-gcm) or 32 bytes. The key's bytes may be zeroed by the caller afterwards. */
  aead(name: AeadName, key: Uint8Array): Aead;
  /** The record number cipher that belongs to an AEAD. */
  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher;
  /**
   * Starts a key exchange from `randomness`, which has {@linkcode KEY_EXCHANGE_RANDOMNESS_BYTES} bytes of the
   * system's randomness: the same bytes give the same key.
   */
  keyExchange(group: GroupName, randomness: Uint8Array): KeyExchange;
  /** Loads a private key in PKCS#8 DER. Throws `TypeError` for a key of an unsupported kind. */
  signingKey(pkcs8: Uint8Array): SigningKey;
  /**
   * Whether `signature` is `message`'s under the key in `publicKey` (SubjectPublicKeyInfo, DER). False as well
   * where the key does not fit the scheme, or anything is malformed. Never throws.
   */
  verify(
    scheme: SignatureName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean;
}

/** Bytes of randomness that one key exchange takes, for every group. */
export const KEY_EXCHANGE_RANDOMNESS_BYTES = 56;
