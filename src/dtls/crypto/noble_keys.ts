// Key pairs of the noble provider: key exchange, signing, verification. No RSA.

import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { p256, p384 } from "@noble/curves/nist.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { equalBytes } from "../../base/bytes.ts";
import {
  type DerPrivateKey,
  type KeyKind,
  readPrivateKey,
  readPublicKey,
  writePublicKey,
} from "./der.ts";
import { KeyConsumedError, UnsupportedKeyError } from "./key_errors.ts";
import type { GroupName, KeyExchange, SignatureName, SigningKey } from "./provider.ts";
import { isAllZero, isPublicKeyShape, privateScalar } from "./scalar.ts";
import { SCHEMES_OF_KIND, SIGNATURE_SHAPES } from "./signature_shape.ts";

const CURVES = { secp256r1: p256, secp384r1: p384 } as const;

class NobleKeyExchange implements KeyExchange {
  readonly group: GroupName;
  readonly publicKey: Uint8Array;
  #scalar: Uint8Array | undefined;

  constructor(group: GroupName, randomness: Uint8Array) {
    this.group = group;
    this.#scalar = privateScalar(group, randomness);
    this.publicKey = group === "x25519"
      ? x25519.getPublicKey(this.#scalar)
      : CURVES[group].getPublicKey(this.#scalar, false);
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const scalar = this.#scalar;
    if (scalar === undefined) throw new KeyConsumedError();
    this.#scalar = undefined;
    const group = this.group;
    try {
      if (!isPublicKeyShape(group, peerPublicKey)) return undefined;
      if (group === "x25519") {
        const secret = x25519.getSharedSecret(scalar, peerPublicKey);
        // RFC 8446 section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman shared secret is
        // the all-zero value and abort if so"
        return isAllZero(secret) ? undefined : secret;
      }
      // RFC 8446 section 7.4.2: "the x-coordinate of the ECDH shared secret elliptic curve point represented as an
      // octet string": the compressed form without its first byte.
      return CURVES[group].getSharedSecret(scalar, peerPublicKey, true).slice(1);
    } catch {
      // The library throws for points that are not on the curve, and for those of small order.
      return undefined;
    } finally {
      scalar.fill(0);
    }
  }

  destroy(): void {
    this.#scalar?.fill(0);
    this.#scalar = undefined;
  }
}

/** {@linkcode CryptoProvider.keyExchange} on the noble libraries. */
export function nobleKeyExchange(group: GroupName, randomness: Uint8Array): KeyExchange {
  return new NobleKeyExchange(group, randomness);
}

const HASHES = { sha256, sha384, sha512 } as const;

// RFC 8446 section 4.2.3: "The signature is represented as a DER-encoded [X690] ECDSA-Sig-Value structure." It knows
// no rule that s is the lower of the two that fit. Hashes are computed here, because the library ties one to a curve.
const ECDSA_OPTIONS = { format: "der", lowS: false, prehash: false } as const;

/** The hash of a message that an ECDSA scheme signs. */
function ecdsaDigest(scheme: SignatureName, message: Uint8Array): Uint8Array {
  return HASHES[SIGNATURE_SHAPES[scheme].hash!](message);
}

class NobleSigningKey implements SigningKey {
  readonly schemes: readonly SignatureName[];
  readonly publicKey: Uint8Array;
  readonly #kind: Exclude<KeyKind, "rsa">;
  readonly #secretKey: Uint8Array;

  constructor(kind: Exclude<KeyKind, "rsa">, secretKey: Uint8Array, publicKey: Uint8Array) {
    this.schemes = SCHEMES_OF_KIND[kind];
    this.publicKey = writePublicKey(kind, publicKey);
    this.#kind = kind;
    this.#secretKey = secretKey;
  }

  sign(scheme: SignatureName, message: Uint8Array): Uint8Array {
    if (!this.schemes.includes(scheme)) throw new UnsupportedKeyError(`key cannot sign ${scheme}`);
    return this.#kind === "ed25519"
      ? ed25519.sign(message, this.#secretKey)
      : CURVES[this.#kind].sign(ecdsaDigest(scheme, message), this.#secretKey, ECDSA_OPTIONS);
  }
}

function readOrRefuse(pkcs8: Uint8Array): DerPrivateKey {
  try {
    return readPrivateKey(pkcs8);
  } catch (cause) {
    throw new UnsupportedKeyError("not a private key in PKCS#8 of a supported kind", { cause });
  }
}

/** The public key of a private one. Throws {@linkcode UnsupportedKeyError} where the scalar is out of range. */
function publicKeyOf(kind: Exclude<KeyKind, "rsa">, secretKey: Uint8Array): Uint8Array {
  if (kind === "ed25519") return ed25519.getPublicKey(secretKey);
  try {
    return CURVES[kind].getPublicKey(secretKey, false);
  } catch (cause) {
    throw new UnsupportedKeyError("a private key outside its curve's range", { cause });
  }
}

/** {@linkcode CryptoProvider.signingKey} on the noble libraries. */
export function nobleSigningKey(pkcs8: Uint8Array): SigningKey {
  const { kind, key, publicKey } = readOrRefuse(pkcs8);
  if (kind === "rsa") {
    throw new UnsupportedKeyError("the portable provider has no RSA: use an ECDSA or Ed25519 key");
  }
  const derived = publicKeyOf(kind, key);
  if (publicKey !== undefined && !equalBytes(publicKey, derived)) {
    throw new UnsupportedKeyError("a private key beside another key's public one");
  }
  return new NobleSigningKey(kind, key.slice(), derived);
}

/** {@linkcode CryptoProvider.verify} on the noble libraries: false for every RSA scheme. */
export function nobleVerify(
  scheme: SignatureName,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const { kind, key } = readPublicKey(publicKey);
    if (kind === "rsa" || !SCHEMES_OF_KIND[kind].includes(scheme)) return false;
    // zip215 would take encodings that RFC 8032 refuses.
    return kind === "ed25519"
      ? ed25519.verify(signature, message, key, { zip215: false })
      : CURVES[kind].verify(signature, ecdsaDigest(scheme, message), key, ECDSA_OPTIONS);
  } catch {
    // A key or signature that cannot be read signs nothing: the answer of this function says all there is to say.
    return false;
  }
}
