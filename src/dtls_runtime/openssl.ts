// The crypto provider on the system's libcrypto, by foreign functions, where the program may use them.

import { type DerPrivateKey, readPrivateKey } from "../dtls/crypto/der.ts";
import { nodeProvider } from "../dtls/crypto/node.ts";
import type {
  Aead,
  AeadName,
  CryptoProvider,
  GroupName,
  Hash,
  HashName,
  KeyExchange,
  RecordNumberCipher,
  SignatureName,
  SigningKey,
} from "../dtls/crypto/provider.ts";
import { wasmX25519Exchange } from "../dtls/crypto/x25519/exchange.ts";
import { OpensslCiphers } from "./openssl_cipher.ts";
import { OpensslCurve, opensslEcdhExchange } from "./openssl_exchange.ts";
import { OpensslHashes } from "./openssl_hash.ts";
import {
  opensslEcdsaKey,
  type OpensslKeyParts,
  opensslRsaKey,
  OpensslVerifier,
} from "./openssl_keys.ts";
import { type Libcrypto, openLibcrypto } from "./openssl_library.ts";
import { opensslX25519Exchange } from "./openssl_x25519.ts";

class OpensslProvider implements CryptoProvider {
  readonly name = "openssl";
  readonly #parts: OpensslKeyParts;
  readonly #ciphers: OpensslCiphers;
  readonly #verifier: OpensslVerifier;

  constructor(libcrypto: Libcrypto) {
    this.#parts = {
      libcrypto,
      hashes: new OpensslHashes(libcrypto),
      curves: {
        secp256r1: new OpensslCurve(libcrypto, "secp256r1"),
        secp384r1: new OpensslCurve(libcrypto, "secp384r1"),
      },
    };
    this.#ciphers = new OpensslCiphers(libcrypto);
    this.#verifier = new OpensslVerifier(this.#parts);
  }

  hash(name: HashName): Hash {
    return this.#parts.hashes.hash(name);
  }

  hmac(name: HashName, out: Uint8Array, key: Uint8Array, ...parts: readonly Uint8Array[]): void {
    this.#parts.hashes.hmac(name, out, key, parts);
  }

  aead(name: AeadName, key: Uint8Array): Aead {
    return this.#ciphers.aead(name, key);
  }

  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    return this.#ciphers.recordNumberCipher(name, key);
  }

  keyExchange(group: GroupName, randomness: Uint8Array): KeyExchange {
    return group === "x25519"
      ? wasmX25519Exchange(randomness) ??
        opensslX25519Exchange(this.#parts.libcrypto, randomness)
      : opensslEcdhExchange(this.#parts.curves[group], randomness);
  }

  signingKey(pkcs8: Uint8Array): SigningKey {
    let key: DerPrivateKey;
    try {
      key = readPrivateKey(pkcs8);
    } catch {
      // node:crypto reads the key again, and names what is wrong with it.
      return nodeProvider.signingKey(pkcs8);
    }
    if (key.kind === "ed25519") return nodeProvider.signingKey(pkcs8);
    if (key.kind === "rsa") {
      return opensslRsaKey(this.#parts, pkcs8, nodeProvider.signingKey(pkcs8));
    }
    return opensslEcdsaKey(this.#parts, key.kind, key);
  }

  verify(
    scheme: SignatureName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    return scheme === "ed25519"
      ? nodeProvider.verify(scheme, publicKey, message, signature)
      : this.#verifier.verify(scheme, publicKey, message, signature);
  }
}

function open(): CryptoProvider | undefined {
  const libcrypto = openLibcrypto();
  try {
    return libcrypto && new OpensslProvider(libcrypto);
  } catch {
    // A library that is not what it should be is no better than none.
    return undefined;
  }
}

// It is opened with this module, and stays open as long as the program runs: a test of Deno's that opened it, and did
// not close it, would fail for that.
const provider = open();

/**
 * The provider on the system's libcrypto (OpenSSL 3), where this runtime is Deno, the program had the permission
 * `ffi` for one of {@linkcode OPENSSL_LIBRARY_PATHS} when it loaded this module, and the library is there; else
 * `undefined`. Never asks for a permission, and never throws. Ed25519, which is faster there, comes from node:crypto,
 * and X25519, which takes longer in libcrypto, from WebAssembly where the machine has what that needs.
 */
export function openOpensslProvider(): CryptoProvider | undefined {
  return provider;
}
