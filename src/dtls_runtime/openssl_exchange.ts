// Key exchanges in the NIST curves on libcrypto, by its functions of points.

import { KeyConsumedError } from "../dtls/crypto/key_errors.ts";
import type { KeyExchange } from "../dtls/crypto/provider.ts";
import { GROUP_SHAPES, isPublicKeyShape, privateScalar } from "../dtls/crypto/scalar.ts";
import { given, type Libcrypto, type Pointer, sizeT } from "./openssl_library.ts";

/** What libcrypto calls the NIST curves. */
export const CURVE_NIDS = { secp256r1: 415, secp384r1: 715 } as const;

/** A NIST curve. */
export type CurveName = keyof typeof CURVE_NIDS;

/** Tells the arithmetic that a number is secret. */
const BN_FLG_CONSTTIME = 4;

const POINT_CONVERSION_UNCOMPRESSED = 4;

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
    const size = sizeT(product.length);
    const isMultiplied = point === undefined
      ? lib.EC_POINT_mul(group, result, number, null, null, null) === 1
      : lib.EC_POINT_oct2point(group, result, point, sizeT(point.length), null) === 1 &&
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

  destroy(): void {
    this.#scalar?.fill(0);
    this.#scalar = undefined;
  }
}

/** {@linkcode CryptoProvider.keyExchange} in a NIST curve on libcrypto. */
export function opensslEcdhExchange(curve: OpensslCurve, randomness: Uint8Array): KeyExchange {
  return new OpensslEcdh(curve, randomness);
}
