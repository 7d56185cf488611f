// Key exchanges on libcrypto: X25519 by its EVP functions, the NIST curves by those of points.

import { shortBytes } from "../base/short_bytes.ts";
import { KeyConsumedError } from "../dtls/crypto/key_errors.ts";
import type { GroupName, KeyExchange } from "../dtls/crypto/provider.ts";
import { GROUP_SHAPES, isAllZero, isPublicKeyShape, privateScalar } from "../dtls/crypto/scalar.ts";
import { Handle } from "./openssl_handle.ts";
import { given, type Libcrypto, type Pointer } from "./openssl_library.ts";

/** EVP_PKEY_X25519. */
const X25519 = 1034;

/** What libcrypto calls the NIST curves. */
export const CURVE_NIDS = { secp256r1: 415, secp384r1: 715 } as const;

/** A NIST curve. */
export type CurveName = keyof typeof CURVE_NIDS;

/** Tells the arithmetic that a number is secret. */
const BN_FLG_CONSTTIME = 4;

const POINT_CONVERSION_UNCOMPRESSED = 4;

const X25519_BYTES = 32;
const X25519_SIZE = BigInt(X25519_BYTES);

/** The size_t of 32, for the functions that read there how much room there is, and write how much they used. */
const lengthBytes = new Uint8Array(8);

function lengthOfX25519(): Uint8Array {
  lengthBytes.fill(0);
  // Deno runs on little-endian machines alone.
  lengthBytes[0] = X25519_BYTES;
  return lengthBytes;
}

/** A peer's public key, of which each exchange sets the bytes: to make a new one takes a fifth of an exchange. */
let peerKey: Pointer | undefined;

class OpensslX25519 implements KeyExchange {
  readonly group = "x25519";
  readonly publicKey = shortBytes(X25519_BYTES);
  readonly #libcrypto: Libcrypto;
  #key: Handle | undefined;

  constructor(libcrypto: Libcrypto, randomness: Uint8Array) {
    this.#libcrypto = libcrypto;
    const scalar = privateScalar("x25519", randomness);
    const pointer = libcrypto.EVP_PKEY_new_raw_private_key(X25519, null, scalar, X25519_SIZE);
    scalar.fill(0);
    const key = given(libcrypto, "EVP_PKEY_new_raw_private_key", pointer);
    this.#key = new Handle(key, (one) => libcrypto.EVP_PKEY_free(one));
    libcrypto.EVP_PKEY_get_raw_public_key(key, this.publicKey, lengthOfX25519());
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const key = this.#key;
    if (key === undefined) throw new KeyConsumedError();
    this.#key = undefined;
    try {
      if (!isPublicKeyShape("x25519", peerPublicKey)) return undefined;
      return this.#derive(key.pointer, peerPublicKey);
    } finally {
      key.release();
    }
  }

  #derive(key: Pointer, peerPublicKey: Uint8Array): Uint8Array | undefined {
    const libcrypto = this.#libcrypto;
    peerKey ??= given(
      libcrypto,
      "EVP_PKEY_new_raw_public_key",
      libcrypto.EVP_PKEY_new_raw_public_key(X25519, null, peerPublicKey, X25519_SIZE),
    );
    const context = libcrypto.EVP_PKEY_CTX_new(key, null);
    const secret = shortBytes(X25519_BYTES);
    const isDerived =
      libcrypto.EVP_PKEY_set1_encoded_public_key(peerKey, peerPublicKey, X25519_SIZE) === 1 &&
      libcrypto.EVP_PKEY_derive_init(context) === 1 &&
      libcrypto.EVP_PKEY_derive_set_peer_ex(context, peerKey, 0) === 1 &&
      libcrypto.EVP_PKEY_derive(context, secret, lengthOfX25519()) === 1;
    libcrypto.EVP_PKEY_CTX_free(context);
    // RFC 8446 section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman shared secret is the
    // all-zero value and abort if so": libcrypto fails then.
    if (isDerived && !isAllZero(secret)) return secret;
    libcrypto.ERR_clear_error();
    return undefined;
  }
}

/** The arithmetic of one NIST curve. */
export class OpensslCurve {
  /** The curve's name. */
  readonly name: CurveName;
  readonly #libcrypto: Libcrypto;
  readonly #group: Pointer;

  constructor(libcrypto: Libcrypto, name: CurveName) {
    this.name = name;
    this.#libcrypto = libcrypto;
    const group = libcrypto.EC_GROUP_new_by_curve_name(CURVE_NIDS[name]);
    this.#group = given(libcrypto, "EC_GROUP_new_by_curve_name", group);
  }

  /**
   * `scalar` times the point in its uncompressed form, or times the base point; in the uncompressed form. `undefined`
   * for a point that is not on the curve, and where the product has no such form.
   */
  multiply(scalar: Uint8Array, point?: Uint8Array): Uint8Array | undefined {
    const lib = this.#libcrypto;
    const group = this.#group;
    const number = given(lib, "BN_bin2bn", lib.BN_bin2bn(scalar, scalar.length, null));
    lib.BN_set_flags(number, BN_FLG_CONSTTIME);
    const result = given(lib, "EC_POINT_new", lib.EC_POINT_new(group));
    const product = new Uint8Array(GROUP_SHAPES[this.name].publicKeyBytes);
    const size = BigInt(product.length);
    const isMultiplied = point === undefined
      ? lib.EC_POINT_mul(group, result, number, null, null, null) === 1
      : lib.EC_POINT_oct2point(group, result, point, BigInt(point.length), null) === 1 &&
        lib.EC_POINT_mul(group, result, null, result, number, null) === 1;
    const isWritten = isMultiplied &&
      lib.EC_POINT_point2oct(group, result, POINT_CONVERSION_UNCOMPRESSED, product, size, null) ===
        size;
    lib.EC_POINT_clear_free(result);
    lib.BN_clear_free(number);
    if (isWritten) return product;
    lib.ERR_clear_error();
    return undefined;
  }
}

class OpensslEcdh implements KeyExchange {
  readonly group: CurveName;
  readonly publicKey: Uint8Array;
  readonly #curve: OpensslCurve;
  #scalar: Uint8Array | undefined;

  constructor(curve: OpensslCurve, randomness: Uint8Array) {
    this.group = curve.name;
    this.#curve = curve;
    this.#scalar = privateScalar(curve.name, randomness);
    // A scalar below the order has a product.
    this.publicKey = curve.multiply(this.#scalar)!;
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const scalar = this.#scalar;
    if (scalar === undefined) throw new KeyConsumedError();
    this.#scalar = undefined;
    try {
      if (!isPublicKeyShape(this.group, peerPublicKey)) return undefined;
      // RFC 8446 section 4.2.8.2: "Peers MUST validate each other's public value Q by ensuring that the point is a
      // valid point on the elliptic curve."
      const product = this.#curve.multiply(scalar, peerPublicKey);
      // Section 7.4.2: "the x-coordinate of the ECDH shared secret elliptic curve point represented as an octet string"
      const secret = product?.slice(1, 1 + scalar.length);
      product?.fill(0);
      return secret;
    } finally {
      scalar.fill(0);
    }
  }
}

/** {@linkcode CryptoProvider.keyExchange} on libcrypto. */
export function opensslKeyExchange(
  libcrypto: Libcrypto,
  curves: Readonly<Record<CurveName, OpensslCurve>>,
  group: GroupName,
  randomness: Uint8Array,
): KeyExchange {
  return group === "x25519"
    ? new OpensslX25519(libcrypto, randomness)
    : new OpensslEcdh(curves[group], randomness);
}
