// ECDSA and RSA on libcrypto. Keys are read once: those of ECDSA from their point and scalar, which takes an eighth of
// the time that the library's own reader of DER takes.

import { equalBytes } from "../base/bytes.ts";
import { DerReader } from "../dtls/x509/der_reader.ts";
import { type DerPrivateKey, readPublicKey, writePublicKey } from "../dtls/crypto/der.ts";
import { KeyCache } from "../dtls/crypto/key_cache.ts";
import { UnsupportedKeyError } from "../dtls/crypto/key_errors.ts";
import type { SignatureName, SigningKey } from "../dtls/crypto/provider.ts";
import { rsaSchemes, SCHEMES_OF_KIND, SIGNATURE_SHAPES } from "../dtls/crypto/signature_shape.ts";
import { CURVE_NIDS, type CurveName, type OpensslCurve } from "./openssl_exchange.ts";
import { Handle } from "./openssl_handle.ts";
import type { OpensslHashes } from "./openssl_hash.ts";
import { cString, given, type Libcrypto, OpensslError, sizeT } from "./openssl_library.ts";

/** Bytes of the longest signature: RSA of 8,192 bits. */
const SIGNATURE_BYTES_MAX = 1_024;

// Calls are synchronous, so that one of each serves all keys.
const signatureRoom = new Uint8Array(SIGNATURE_BYTES_MAX);
/** The room that a function finds, and the length that it writes: an unsigned int or a size_t, little-endian. */
const signatureBytes = new Uint8Array(8);

function setRoom(): void {
  signatureBytes.fill(0);
  signatureBytes[1] = SIGNATURE_BYTES_MAX >>> 8;
}

function takeSignature(): Uint8Array {
  return signatureRoom.slice(0, signatureBytes[0]! + 256 * signatureBytes[1]!);
}

/** What keys are made and used with. */
export interface OpensslKeyParts {
  readonly libcrypto: Libcrypto;
  readonly hashes: OpensslHashes;
  readonly curves: Readonly<Record<CurveName, OpensslCurve>>;
}

/** A key that was read. */
interface NativeKey {
  readonly schemes: readonly SignatureName[];
  sign(scheme: SignatureName, message: Uint8Array): Uint8Array;
  verify(scheme: SignatureName, message: Uint8Array, signature: Uint8Array): boolean;
  release(): void;
}

/** An EC_KEY. */
class EcKey implements NativeKey {
  readonly schemes: readonly SignatureName[];
  readonly #parts: OpensslKeyParts;
  readonly #key: Handle;

  /** Throws {@linkcode UnsupportedKeyError} where the numbers are no key of the curve. */
  constructor(parts: OpensslKeyParts, curve: CurveName, point: Uint8Array, scalar?: Uint8Array) {
    const { libcrypto } = parts;
    this.schemes = SCHEMES_OF_KIND[curve];
    this.#parts = parts;
    const pointer = libcrypto.EC_KEY_new_by_curve_name(CURVE_NIDS[curve]);
    this.#key = new Handle(
      given(libcrypto, "EC_KEY_new_by_curve_name", pointer),
      (key) => libcrypto.EC_KEY_free(key),
    );
    const isPoint = libcrypto.EC_KEY_oct2key(pointer, point, sizeT(point.length), null) === 1;
    const isKey = isPoint &&
      (scalar === undefined ||
        libcrypto.EC_KEY_oct2priv(pointer, scalar, sizeT(scalar.length)) === 1 &&
          libcrypto.EC_KEY_check_key(pointer) === 1);
    if (isKey) return;
    this.#key.release();
    libcrypto.ERR_clear_error();
    throw new UnsupportedKeyError("a key that is none of its curve");
  }

  #digest(scheme: SignatureName, message: Uint8Array): Uint8Array {
    return this.#parts.hashes.digest(SIGNATURE_SHAPES[scheme].hash!, message);
  }

  sign(scheme: SignatureName, message: Uint8Array): Uint8Array {
    const { libcrypto } = this.#parts;
    const digest = this.#digest(scheme, message);
    const key = this.#key.pointer;
    setRoom();
    if (
      libcrypto.ECDSA_sign(0, digest, digest.length, signatureRoom, signatureBytes, key) !== 1
    ) throw new OpensslError(libcrypto, "ECDSA_sign");
    return takeSignature();
  }

  verify(scheme: SignatureName, message: Uint8Array, signature: Uint8Array): boolean {
    const { libcrypto } = this.#parts;
    const digest = this.#digest(scheme, message);
    const key = this.#key.pointer;
    const { length } = signature;
    if (libcrypto.ECDSA_verify(0, digest, digest.length, signature, length, key) === 1) return true;
    libcrypto.ERR_clear_error();
    return false;
  }

  release(): void {
    this.#key.release();
  }
}

/** An EVP_PKEY of RSA, with a context for each scheme that it was used with. */
class RsaKey implements NativeKey {
  readonly schemes: readonly SignatureName[];
  readonly #parts: OpensslKeyParts;
  readonly #key: Handle;
  readonly #isPrivate: boolean;
  readonly #contexts = new Map<SignatureName, Handle>();

  /** `der` is SubjectPublicKeyInfo or PKCS#8. Throws {@linkcode UnsupportedKeyError}. */
  constructor(
    parts: OpensslKeyParts,
    der: Uint8Array,
    schemes: readonly SignatureName[],
    isPrivate: boolean,
  ) {
    const { libcrypto } = parts;
    const bytes = given(libcrypto, "BIO_new_mem_buf", libcrypto.BIO_new_mem_buf(der, der.length));
    const key = isPrivate
      ? libcrypto.d2i_PrivateKey_bio(bytes, null)
      : libcrypto.d2i_PUBKEY_bio(bytes, null);
    libcrypto.BIO_free(bytes);
    libcrypto.ERR_clear_error();
    if (key === null) throw new UnsupportedKeyError("an RSA key that cannot be read");
    this.schemes = schemes;
    this.#parts = parts;
    this.#isPrivate = isPrivate;
    this.#key = new Handle(key, (one) => libcrypto.EVP_PKEY_free(one));
  }

  #context(scheme: SignatureName): Handle {
    let context = this.#contexts.get(scheme);
    if (context !== undefined) return context;
    const { libcrypto } = this.#parts;
    const pointer = libcrypto.EVP_PKEY_CTX_new(this.#key.pointer, null);
    context = new Handle(
      given(libcrypto, "EVP_PKEY_CTX_new", pointer),
      (one) => libcrypto.EVP_PKEY_CTX_free(one),
    );
    const set = (name: string, value: string) =>
      libcrypto.EVP_PKEY_CTX_ctrl_str(pointer, cString(name), cString(value)) === 1;
    const { algorithm, hash } = SIGNATURE_SHAPES[scheme];
    const isPss = algorithm === "rsa-pss";
    const isReady =
      (this.#isPrivate
          ? libcrypto.EVP_PKEY_sign_init(pointer)
          : libcrypto.EVP_PKEY_verify_init(pointer)) === 1 &&
      set("rsa_padding_mode", isPss ? "pss" : "pkcs1") &&
      set("digest", hash!) &&
      // RFC 8446 section 4.2.3: "The length of the Salt MUST be equal to the length of the output of the digest
      // algorithm."
      (!isPss || set("rsa_pss_saltlen", "digest"));
    if (!isReady) {
      context.release();
      throw new OpensslError(libcrypto, "EVP_PKEY_CTX_ctrl_str");
    }
    this.#contexts.set(scheme, context);
    return context;
  }

  sign(scheme: SignatureName, message: Uint8Array): Uint8Array {
    const { libcrypto, hashes } = this.#parts;
    const digest = hashes.digest(SIGNATURE_SHAPES[scheme].hash!, message);
    const { pointer } = this.#context(scheme);
    const size = sizeT(digest.length);
    setRoom();
    if (
      libcrypto.EVP_PKEY_sign(pointer, signatureRoom, signatureBytes, digest, size) !== 1
    ) throw new OpensslError(libcrypto, "EVP_PKEY_sign");
    return takeSignature();
  }

  verify(scheme: SignatureName, message: Uint8Array, signature: Uint8Array): boolean {
    const { libcrypto, hashes } = this.#parts;
    const digest = hashes.digest(SIGNATURE_SHAPES[scheme].hash!, message);
    const { pointer } = this.#context(scheme);
    const [signatureSize, size] = [sizeT(signature.length), sizeT(digest.length)];
    if (libcrypto.EVP_PKEY_verify(pointer, signature, signatureSize, digest, size) === 1) {
      return true;
    }
    libcrypto.ERR_clear_error();
    return false;
  }

  release(): void {
    for (const context of this.#contexts.values()) context.release();
    this.#contexts.clear();
    this.#key.release();
  }
}

/** The schemes of an RSAPublicKey in DER. */
function schemesOfRsa(publicKey: Uint8Array): readonly SignatureName[] {
  const numbers = new DerReader(publicKey).sequence();
  const modulus = numbers.unsigned();
  const exponent = numbers.unsigned();
  const modulusBits = 8 * modulus.length - Math.clz32(modulus[0]!) + 24;
  return rsaSchemes(modulusBits, exponent.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n));
}

class OpensslSigningKey implements SigningKey {
  readonly schemes: readonly SignatureName[];
  readonly publicKey: Uint8Array;
  readonly #key: NativeKey;

  constructor(publicKey: Uint8Array, key: NativeKey) {
    this.schemes = key.schemes;
    this.publicKey = publicKey;
    this.#key = key;
  }

  sign(scheme: SignatureName, message: Uint8Array): Uint8Array {
    if (!this.schemes.includes(scheme)) throw new UnsupportedKeyError(`key cannot sign ${scheme}`);
    return this.#key.sign(scheme, message);
  }
}

/** Loads a private key of ECDSA. Throws {@linkcode UnsupportedKeyError} where it is none of its curve. */
export function opensslEcdsaKey(
  parts: OpensslKeyParts,
  kind: CurveName,
  { key, publicKey }: DerPrivateKey,
): SigningKey {
  const point = parts.curves[kind].multiply(key);
  if (point === undefined) throw new UnsupportedKeyError("a private key outside its curve's range");
  if (publicKey !== undefined && !equalBytes(publicKey, point)) {
    throw new UnsupportedKeyError("a private key beside another key's public one");
  }
  return new OpensslSigningKey(writePublicKey(kind, point), new EcKey(parts, kind, point, key));
}

/** Loads a private key of RSA, which `twin` is in another provider. Throws {@linkcode UnsupportedKeyError}. */
export function opensslRsaKey(
  parts: OpensslKeyParts,
  pkcs8: Uint8Array,
  twin: SigningKey,
): SigningKey {
  return new OpensslSigningKey(twin.publicKey, new RsaKey(parts, pkcs8, twin.schemes, true));
}

/** Checks signatures of ECDSA and RSA, and keeps the keys that it read. */
export class OpensslVerifier {
  readonly #keys: KeyCache<NativeKey>;

  constructor(parts: OpensslKeyParts) {
    this.#keys = new KeyCache<NativeKey>(
      (spki) => {
        const { kind, key } = readPublicKey(spki);
        if (kind === "ed25519") throw new UnsupportedKeyError("no key of ECDSA or RSA");
        return kind === "rsa"
          ? new RsaKey(parts, spki, schemesOfRsa(key), false)
          : new EcKey(parts, kind, key);
      },
      (key) => key.release(),
    );
  }

  /** {@linkcode CryptoProvider.verify} on libcrypto, but for Ed25519. */
  verify(
    scheme: SignatureName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    try {
      const key = this.#keys.get(publicKey);
      return key.schemes.includes(scheme) && key.verify(scheme, message, signature);
    } catch {
      // A key or signature that cannot be read signs nothing: the answer of this function says all there is to say.
      return false;
    }
  }
}
