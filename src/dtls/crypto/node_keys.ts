// Key pairs of the node:crypto provider: key exchange, signing, verification.

import { Buffer } from "node:buffer";
import {
  constants,
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type ECDH,
  type KeyObject,
  sign as signWithKey,
  verify as verifyWithKey,
} from "node:crypto";
import { concatBytes, fromHex } from "../../base/bytes.ts";
import { readPublicKey } from "./der.ts";
import { HASH_BYTES } from "./hkdf.ts";
import { KeyCache } from "./key_cache.ts";
import type { GroupName, KeyExchange, SignatureName, SigningKey } from "./provider.ts";
import { isAllZero, isPublicKeyShape, privateScalar } from "./scalar.ts";
import { KeyConsumedError, UnsupportedKeyError } from "./key_errors.ts";
import { rsaSchemes, SCHEMES_OF_KIND, SIGNATURE_SHAPES } from "./signature_shape.ts";

/** The bytes of a Buffer without its class, so that they compare and slice as other byte strings do. */
export function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

// RFC 8410 section 10.3 and section 4: what stands before the 32 bytes of an X25519 key in PKCS#8 and SPKI.
const X25519_PKCS8_PREFIX = fromHex("302e020100300506032b656e04220420");
const X25519_SPKI_PREFIX = fromHex("302a300506032b656e032100");

class NodeX25519 implements KeyExchange {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  #privateKey: KeyObject | undefined;

  constructor(randomness: Uint8Array) {
    const scalar = privateScalar("x25519", randomness);
    const pkcs8 = Buffer.from(concatBytes(X25519_PKCS8_PREFIX, scalar).buffer);
    this.#privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    scalar.fill(0);
    pkcs8.fill(0);
    const spki = createPublicKey(this.#privateKey).export({ format: "der", type: "spki" });
    this.publicKey = new Uint8Array(spki.subarray(X25519_SPKI_PREFIX.length));
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const privateKey = this.#privateKey;
    if (privateKey === undefined) throw new KeyConsumedError();
    this.#privateKey = undefined;
    if (!isPublicKeyShape("x25519", peerPublicKey)) return undefined;
    try {
      const spki = Buffer.from(concatBytes(X25519_SPKI_PREFIX, peerPublicKey).buffer);
      const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
      const secret = plainBytes(diffieHellman({ privateKey, publicKey }));
      // RFC 8446 section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman shared secret is
      // the all-zero value and abort if so"
      return isAllZero(secret) ? undefined : secret;
    } catch {
      // node:crypto throws for the points of small order, whose secret is zero.
      return undefined;
    }
  }

  /** node:crypto has no way to zero a key: it is let go of. */
  destroy(): void {
    this.#privateKey = undefined;
  }
}

const CURVE_NAMES = { secp256r1: "prime256v1", secp384r1: "secp384r1" } as const;

class NodeEcdh implements KeyExchange {
  readonly group: "secp256r1" | "secp384r1";
  readonly publicKey: Uint8Array;
  #ecdh: ECDH | undefined;
  readonly #scalar: Uint8Array;

  constructor(group: "secp256r1" | "secp384r1", randomness: Uint8Array) {
    this.group = group;
    this.#scalar = privateScalar(group, randomness);
    this.#ecdh = createECDH(CURVE_NAMES[group]);
    // The ECDH object keeps this very array, so that zeroing it zeroes the key.
    this.#ecdh.setPrivateKey(this.#scalar);
    this.publicKey = new Uint8Array(this.#ecdh.getPublicKey());
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const ecdh = this.#ecdh;
    if (ecdh === undefined) throw new KeyConsumedError();
    this.#ecdh = undefined;
    try {
      if (!isPublicKeyShape(this.group, peerPublicKey)) return undefined;
      return plainBytes(ecdh.computeSecret(peerPublicKey));
    } catch {
      // RFC 8446 section 4.2.8.2: "Peers MUST validate each other's public value Q by ensuring that the point is a
      // valid point on the elliptic curve.": computeSecret throws for the others.
      return undefined;
    } finally {
      this.#scalar.fill(0);
    }
  }

  destroy(): void {
    this.#ecdh = undefined;
    this.#scalar.fill(0);
  }
}

/** {@linkcode CryptoProvider.keyExchange} on node:crypto. */
export function nodeKeyExchange(group: GroupName, randomness: Uint8Array): KeyExchange {
  return group === "x25519" ? new NodeX25519(randomness) : new NodeEcdh(group, randomness);
}

/** The kind of key of each curve, by node:crypto's name for it. */
const CURVE_KINDS: Readonly<Record<string, "secp256r1" | "secp384r1">> = {
  prime256v1: "secp256r1",
  secp384r1: "secp384r1",
};

/** The schemes that a key can be used with; none where it is of another kind. */
function schemesOf(key: KeyObject): readonly SignatureName[] {
  const details = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "ed25519") return SCHEMES_OF_KIND.ed25519;
  if (key.asymmetricKeyType === "ec") {
    const kind = CURVE_KINDS[details.namedCurve ?? ""];
    return kind === undefined ? [] : SCHEMES_OF_KIND[kind];
  }
  if (key.asymmetricKeyType === "rsa") {
    return rsaSchemes(details.modulusLength ?? 0, details.publicExponent ?? 0n);
  }
  return [];
}

/** What node:crypto is told for a scheme: the hash (none for Ed25519), and the key with its padding. */
function signatureParameters(scheme: SignatureName, key: KeyObject): {
  readonly hash: string | null;
  readonly key: KeyObject | { key: KeyObject; padding: number; saltLength: number };
} {
  const { algorithm, hash } = SIGNATURE_SHAPES[scheme];
  if (algorithm === "ed25519") return { hash: null, key };
  // The padding of RSA where nothing is said is PKCS#1's.
  if (algorithm !== "rsa-pss") return { hash, key };
  // RFC 8446 section 4.2.3: "The length of the Salt MUST be equal to the length of the output of the digest algorithm."
  const saltLength = HASH_BYTES[hash];
  return { hash, key: { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } };
}

class NodeSigningKey implements SigningKey {
  readonly schemes: readonly SignatureName[];
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  constructor(key: KeyObject, schemes: readonly SignatureName[]) {
    this.#key = key;
    this.schemes = schemes;
    this.publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  }

  sign(scheme: SignatureName, message: Uint8Array): Uint8Array {
    if (!this.schemes.includes(scheme)) throw new UnsupportedKeyError(`key cannot sign ${scheme}`);
    const { hash, key } = signatureParameters(scheme, this.#key);
    return plainBytes(signWithKey(hash, message, key));
  }
}

/** {@linkcode CryptoProvider.signingKey} on node:crypto. */
export function nodeSigningKey(pkcs8: Uint8Array): SigningKey {
  let key: KeyObject;
  const copy = Buffer.from(pkcs8);
  try {
    key = createPrivateKey({ key: copy, format: "der", type: "pkcs8" });
  } catch (cause) {
    throw new UnsupportedKeyError("not a private key in PKCS#8", { cause });
  } finally {
    copy.fill(0);
  }
  const schemes = schemesOf(key);
  if (schemes.length === 0) throw new UnsupportedKeyError("a private key of an unsupported kind");
  return new NodeSigningKey(key, schemes);
}

/** A public key that was parsed, with what it can be used for. */
interface ParsedPublicKey {
  readonly key: KeyObject;
  readonly schemes: readonly SignatureName[];
}

/** Checks signatures, and keeps the keys that it parsed. */
export class NodeVerifier {
  readonly #parsed = new KeyCache<ParsedPublicKey>(parsePublicKey);

  /** Keys that are kept now. */
  get keptCount(): number {
    return this.#parsed.keptCount;
  }

  /** {@linkcode CryptoProvider.verify} on node:crypto. */
  verify(
    scheme: SignatureName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    try {
      const parsed = this.#parsed.get(publicKey);
      if (!parsed.schemes.includes(scheme)) return false;
      const { hash, key } = signatureParameters(scheme, parsed.key);
      return verifyWithKey(hash, message, key, signature);
    } catch {
      // A key or signature that cannot be read signs nothing: the answer of this function says all there is to say.
      return false;
    }
  }
}

function parsePublicKey(spki: Uint8Array): ParsedPublicKey {
  // Whatever node:crypto may take beyond it, this is what a key looks like here.
  readPublicKey(spki);
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return { key, schemes: schemesOf(key) };
}
