// X25519 on libcrypto, for machines where this project's own does not run.

import { shortBytes } from "../base/short_bytes.ts";
import { KeyConsumedError } from "../dtls/crypto/key_errors.ts";
import type { KeyExchange } from "../dtls/crypto/provider.ts";
import { isAllZero, isPublicKeyShape, privateScalar } from "../dtls/crypto/scalar.ts";
import { Handle } from "./openssl_handle.ts";
import { given, type Libcrypto, OpensslError } from "./openssl_library.ts";

/** EVP_PKEY_X25519. */
const X25519_ID = 1034;

const X25519_BYTES = 32;
const X25519_SIZE = BigInt(X25519_BYTES);

class OpensslX25519 implements KeyExchange {
  readonly group = "x25519";
  readonly publicKey: Uint8Array;
  readonly #libcrypto: Libcrypto;
  #privateKey: Handle | undefined;

  constructor(libcrypto: Libcrypto, randomness: Uint8Array) {
    this.#libcrypto = libcrypto;
    const scalar = privateScalar("x25519", randomness);
    const key = libcrypto.EVP_PKEY_new_raw_private_key(X25519_ID, null, scalar, X25519_SIZE);
    scalar.fill(0);
    const pointer = given(libcrypto, "EVP_PKEY_new_raw_private_key", key);
    this.#privateKey = new Handle(pointer, (key) => libcrypto.EVP_PKEY_free(key));
    this.publicKey = shortBytes(X25519_BYTES);
    if (libcrypto.EVP_PKEY_get_raw_public_key(pointer, this.publicKey, roomSize()) !== 1) {
      throw new OpensslError(libcrypto, "EVP_PKEY_get_raw_public_key");
    }
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const privateKey = this.#privateKey;
    if (privateKey === undefined) throw new KeyConsumedError();
    this.#privateKey = undefined;
    try {
      return isPublicKeyShape("x25519", peerPublicKey)
        ? this.#derive(privateKey, peerPublicKey)
        : undefined;
    } finally {
      privateKey.release();
    }
  }

  destroy(): void {
    this.#privateKey?.release();
    this.#privateKey = undefined;
  }

  #derive(privateKey: Handle, peerPublicKey: Uint8Array): Uint8Array | undefined {
    const lib = this.#libcrypto;
    const peer = given(
      lib,
      "EVP_PKEY_new_raw_public_key",
      lib.EVP_PKEY_new_raw_public_key(X25519_ID, null, peerPublicKey, X25519_SIZE),
    );
    const context = lib.EVP_PKEY_CTX_new(privateKey.pointer, null);
    const secret = shortBytes(X25519_BYTES);
    const isDerived = context !== null &&
      lib.EVP_PKEY_derive_init(context) === 1 &&
      lib.EVP_PKEY_derive_set_peer(context, peer) === 1 &&
      lib.EVP_PKEY_derive(context, secret, roomSize()) === 1;
    lib.EVP_PKEY_CTX_free(context);
    lib.EVP_PKEY_free(peer);
    // RFC 8446 section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman shared secret is the
    // all-zero value and abort if so", for which libcrypto fails as well.
    if (isDerived && !isAllZero(secret)) return secret;
    lib.ERR_clear_error();
    return undefined;
  }
}

/** The size_t of 32, where a function reads how much room there is, and writes how much of it it used. */
function roomSize(): Uint8Array {
  // Deno runs on little-endian machines alone.
  return Uint8Array.of(X25519_BYTES, 0, 0, 0, 0, 0, 0, 0);
}

/** {@linkcode CryptoProvider.keyExchange} in x25519 on libcrypto. */
export function opensslX25519Exchange(libcrypto: Libcrypto, randomness: Uint8Array): KeyExchange {
  return new OpensslX25519(libcrypto, randomness);
}
