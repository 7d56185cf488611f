// Key exchanges with the X25519 of this folder, which is faster than that of the libraries.

import { KeyConsumedError } from "../key_errors.ts";
import type { KeyExchange } from "../provider.ts";
import { isAllZero, isPublicKeyShape, privateScalar } from "../scalar.ts";
import { openX25519, type X25519, x25519Program } from "./x25519.ts";

class WasmX25519Exchange implements KeyExchange {
  readonly group = "x25519";
  readonly #x25519: X25519;
  #scalar: Uint8Array | undefined;
  #publicKey: Uint8Array | undefined;

  constructor(x25519: X25519, randomness: Uint8Array) {
    this.#x25519 = x25519;
    this.#scalar = privateScalar("x25519", randomness);
  }

  /** Computed when it is asked for: a server computes it with the secret, which takes less. */
  get publicKey(): Uint8Array {
    if (this.#publicKey === undefined) {
      if (this.#scalar === undefined) throw new KeyConsumedError();
      this.#publicKey = this.#x25519.publicValue(this.#scalar);
    }
    return this.#publicKey;
  }

  sharedSecret(peerPublicKey: Uint8Array): Uint8Array | undefined {
    const scalar = this.#scalar;
    if (scalar === undefined) throw new KeyConsumedError();
    try {
      if (!isPublicKeyShape("x25519", peerPublicKey)) {
        this.#publicKey ??= this.#x25519.publicValue(scalar);
        return undefined;
      }
      const secret = this.#secret(scalar, peerPublicKey);
      // RFC 8446 section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman shared secret is the
      // all-zero value and abort if so"
      return isAllZero(secret) ? undefined : secret;
    } finally {
      this.destroy();
    }
  }

  destroy(): void {
    this.#scalar?.fill(0);
    this.#scalar = undefined;
  }

  #secret(scalar: Uint8Array, peerPublicKey: Uint8Array): Uint8Array {
    if (this.#publicKey !== undefined) return this.#x25519.secret(scalar, peerPublicKey);
    const { publicValue, secret } = this.#x25519.both(scalar, peerPublicKey);
    this.#publicKey = publicValue;
    return secret;
  }
}

/** Made when it is first asked for, which takes 40 ms or so; `null` where this machine has none. */
let opened: X25519 | null | undefined;

/** {@linkcode CryptoProvider.keyExchange} in x25519; `undefined` where this machine is not what it is made for. */
export function wasmX25519Exchange(randomness: Uint8Array): KeyExchange | undefined {
  if (opened === undefined) opened = openX25519(x25519Program()) ?? null;
  return opened === null ? undefined : new WasmX25519Exchange(opened, randomness);
}
