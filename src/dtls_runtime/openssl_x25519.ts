// X25519 on libcrypto. Its functions that make a key multiply the base point by code that takes longer than the one
// for other points, and look their algorithm up each time. So a key is given to it with a public value that is not
// used, and its own is computed as a shared secret with the base point; what does not depend on a key is made once.

import { shortBytes } from "../base/short_bytes.ts";
import { KeyConsumedError } from "../dtls/crypto/key_errors.ts";
import type { KeyExchange } from "../dtls/crypto/provider.ts";
import { isAllZero, isPublicKeyShape, privateScalar } from "../dtls/crypto/scalar.ts";
import { Handle } from "./openssl_handle.ts";
import { cString, given, type Libcrypto, OpensslError, type Pointer } from "./openssl_library.ts";

/** EVP_PKEY_X25519. */
const X25519_ID = 1034;

/** EVP_PKEY_KEYPAIR. */
const KEY_PAIR = 0x87;

const X25519_BYTES = 32;
const X25519_SIZE = BigInt(X25519_BYTES);

/** RFC 7748 section 4.1: the base point's "U(P)" is 9, little-endian. */
const BASE_POINT = new Uint8Array(X25519_BYTES).fill(9, 0, 1);

/** What the private key is between calls. */
const ZEROS = new Uint8Array(X25519_BYTES);

/** OSSL_PKEY_PARAM_PUB_KEY and OSSL_PKEY_PARAM_PRIV_KEY. */
const PUBLIC_NAME = cString("pub");
const PRIVATE_NAME = cString("priv");

// Calls are synchronous, so that one of each serves all exchanges.
/** The size_t of 32, where a function reads how much room there is, and writes how much it used. */
const lengthBytes = new Uint8Array(8);

/** The arithmetic of X25519. */
export class OpensslX25519 {
  readonly #libcrypto: Libcrypto;
  readonly #maker: Pointer;
  /** Parameters of a key pair, and the one among them that is the private key. */
  readonly #parameters: Pointer;
  readonly #privateKey: Pointer;
  /** Where libcrypto puts a key that it makes: its address, which this program hands on as the number that it is. */
  readonly #key = new BigUint64Array(1);
  readonly #keyBytes = new Uint8Array(this.#key.buffer);
  /** What contexts that multiply are copied from: to make one from nothing takes longer. */
  readonly #template: Pointer;
  readonly #basePoint: Pointer;
  /** Any other point, whose bytes are set before it is used. */
  readonly #point: Pointer;
  readonly #free: (context: Pointer) => void;

  constructor(libcrypto: Libcrypto) {
    const lib = libcrypto;
    const make = <Name extends keyof Libcrypto>(name: Name, pointer: Deno.PointerValue) =>
      given(lib, name, pointer);
    const newPoint = () =>
      make(
        "EVP_PKEY_new_raw_public_key",
        lib.EVP_PKEY_new_raw_public_key(X25519_ID, null, BASE_POINT, X25519_SIZE),
      );
    this.#libcrypto = lib;
    this.#basePoint = newPoint();
    this.#point = newPoint();
    this.#maker = make(
      "EVP_PKEY_CTX_new_from_name",
      lib.EVP_PKEY_CTX_new_from_name(null, cString("X25519"), null),
    );
    const builder = make("OSSL_PARAM_BLD_new", lib.OSSL_PARAM_BLD_new());
    lib.OSSL_PARAM_BLD_push_octet_string(builder, PUBLIC_NAME, BASE_POINT, X25519_SIZE);
    lib.OSSL_PARAM_BLD_push_octet_string(builder, PRIVATE_NAME, ZEROS, X25519_SIZE);
    this.#parameters = make("OSSL_PARAM_BLD_to_param", lib.OSSL_PARAM_BLD_to_param(builder));
    lib.OSSL_PARAM_BLD_free(builder);
    this.#privateKey = make(
      "OSSL_PARAM_locate",
      lib.OSSL_PARAM_locate(this.#parameters, PRIVATE_NAME),
    );
    if (lib.EVP_PKEY_fromdata_init(this.#maker) !== 1) {
      throw new OpensslError(lib, "EVP_PKEY_fromdata_init");
    }
    this.#makeKey(ZEROS);
    this.#template = make(
      "EVP_PKEY_CTX_new_at",
      lib.EVP_PKEY_CTX_new_at(this.#key[0]!, null),
    );
    this.#takeKey(this.#template);
    this.#free = (context) => lib.EVP_PKEY_CTX_free(context);
  }

  /** Makes the key of a scalar. */
  #makeKey(scalar: Uint8Array): void {
    const lib = this.#libcrypto;
    lib.OSSL_PARAM_set_octet_string(this.#privateKey, scalar, X25519_SIZE);
    const isMade =
      lib.EVP_PKEY_fromdata(this.#maker, this.#keyBytes, KEY_PAIR, this.#parameters) === 1;
    lib.OSSL_PARAM_set_octet_string(this.#privateKey, ZEROS, X25519_SIZE);
    if (!isMade) throw new OpensslError(lib, "EVP_PKEY_fromdata");
  }

  /** Hands the key that was made to a context, which alone holds it from then on. */
  #takeKey(context: Pointer): void {
    const lib = this.#libcrypto;
    const isTaken = lib.EVP_PKEY_derive_init(context) === 1;
    // What is there to be given another key lets go of this one.
    const isGone = lib.EVP_PKEY_set_type_at(this.#key[0]!, X25519_ID) === 1;
    if (!isTaken || !isGone) throw new OpensslError(lib, "EVP_PKEY_derive_init");
  }

  /** What multiplies points with a scalar, which its release zeroes. */
  multiplier(scalar: Uint8Array): Handle {
    const lib = this.#libcrypto;
    this.#makeKey(scalar);
    const context = given(lib, "EVP_PKEY_CTX_dup", lib.EVP_PKEY_CTX_dup(this.#template));
    const multiplier = new Handle(context, this.#free);
    this.#takeKey(context);
    return multiplier;
  }

  /** The product with a point's 32 bytes, or with the base point; `undefined` where that is zero. */
  multiply(multiplier: Handle, point?: Uint8Array): Uint8Array | undefined {
    const lib = this.#libcrypto;
    const context = multiplier.pointer;
    const product = shortBytes(X25519_BYTES);
    lengthBytes.fill(0);
    // Deno runs on little-endian machines alone.
    lengthBytes[0] = X25519_BYTES;
    const isMultiplied =
      (point === undefined
        ? lib.EVP_PKEY_derive_set_peer_ex(context, this.#basePoint, 0) === 1
        : lib.EVP_PKEY_set1_encoded_public_key(this.#point, point, X25519_SIZE) === 1 &&
          lib.EVP_PKEY_derive_set_peer_ex(context, this.#point, 0) === 1) &&
      lib.EVP_PKEY_derive(context, product, lengthBytes) === 1;
    if (isMultiplied && !isAllZero(product)) return product;
    lib.ERR_clear_error();
    return undefined;
  }
}

class X25519Exchange implements KeyExchange {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  readonly #x25519: OpensslX25519;
  #multiplier: Handle | undefined;

  constructor(x25519: OpensslX25519, randomness: Uint8Array) {
    const scalar = privateScalar("x25519", randomness);
    this.#x25519 = x25519;
    this.#multiplier = x25519.multiplier(scalar);
    scalar.fill(0);
    // No scalar makes the base point zero.
    this.publicKey = x25519.multiply(this.#multiplier)!;
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const multiplier = this.#multiplier;
    if (multiplier === undefined) throw new KeyConsumedError();
    this.#multiplier = undefined;
    try {
      // RFC 8446 section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman shared secret is the
      // all-zero value and abort if so": there is no product then.
      return isPublicKeyShape("x25519", peerPublicKey)
        ? this.#x25519.multiply(multiplier, peerPublicKey)
        : undefined;
    } finally {
      multiplier.release();
    }
  }
}

/** {@linkcode CryptoProvider.keyExchange} in x25519 on libcrypto. */
export function opensslX25519Exchange(
  x25519: OpensslX25519,
  randomness: Uint8Array,
): KeyExchange {
  return new X25519Exchange(x25519, randomness);
}
