// The portable crypto provider, on the noble libraries: everything but RSA. Key pairs are in noble_keys.ts.

import { gcm, unsafe as aesBlocks } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import {
  checkKey,
  checkNonce,
  checkRoom,
  checkSample,
  SAMPLE_BYTES,
  TAG_BYTES,
} from "./aead_shape.ts";
import { ChaChaBlock } from "./chacha_block.ts";
import { DestroyedKeyError } from "./key_errors.ts";
import { writeMac } from "./mac_shape.ts";
import { nobleKeyExchange, nobleSigningKey, nobleVerify } from "./noble_keys.ts";
import type {
  Aead,
  AeadName,
  CryptoProvider,
  Hash,
  HashName,
  RecordNumberCipher,
} from "./provider.ts";

const HASHES = { sha256, sha384, sha512 } as const;

/** What the libraries' running hashes have in common. */
interface NobleRunningHash {
  update(bytes: Uint8Array): unknown;
  digest(): Uint8Array;
  clone(): NobleRunningHash;
}

class NobleHash implements Hash {
  readonly #hash: NobleRunningHash;

  constructor(hash: NobleRunningHash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    // The library ends a hash with its digest, hence the copy.
    return this.#hash.clone().digest();
  }

  copy(): Hash {
    return new NobleHash(this.#hash.clone());
  }
}

class NobleAead implements Aead {
  readonly tagBytes = TAG_BYTES;
  readonly #name: AeadName;
  #key: Uint8Array | undefined;

  constructor(name: AeadName, key: Uint8Array) {
    checkKey(name, key);
    this.#name = name;
    this.#key = key.slice();
  }

  #cipher(nonce: Uint8Array, additionalData: Uint8Array): ReturnType<typeof gcm> {
    checkNonce(nonce);
    if (this.#key === undefined) throw new DestroyedKeyError();
    const cipher = this.#name === "chacha20-poly1305" ? chacha20poly1305 : gcm;
    return cipher(this.#key, nonce, additionalData);
  }

  seal(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
  ): void {
    checkRoom(plaintext, out);
    out.set(this.#cipher(nonce, additionalData).encrypt(plaintext));
  }

  open(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    const cipher = this.#cipher(nonce, additionalData);
    if (sealed.length < TAG_BYTES) return undefined;
    try {
      return cipher.decrypt(sealed);
    } catch {
      // Arguments were checked above, so that a wrong tag is what is left to throw for.
      return undefined;
    }
  }

  destroy(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

class NobleAesMask implements RecordNumberCipher {
  #expandedKey: Uint32Array | undefined;
  readonly #block = new Uint8Array(16);

  constructor(name: AeadName, key: Uint8Array) {
    checkKey(name, key);
    this.#expandedKey = aesBlocks.expandKeyLE(key);
  }

  mask(ciphertext: Uint8Array): Uint8Array {
    checkSample(ciphertext);
    if (this.#expandedKey === undefined) throw new DestroyedKeyError();
    // RFC 9147 section 4.2.3: "Mask = AES-ECB(sn_key, Ciphertext[0..15])"
    for (let i = 0; i < SAMPLE_BYTES; i++) this.#block[i] = ciphertext[i]!;
    return aesBlocks.encryptBlock(this.#expandedKey, this.#block);
  }

  destroy(): void {
    this.#expandedKey?.fill(0);
    this.#expandedKey = undefined;
    this.#block.fill(0);
  }
}

class NobleChaChaMask implements RecordNumberCipher {
  #block: ChaChaBlock | undefined;

  constructor(key: Uint8Array) {
    checkKey("chacha20-poly1305", key);
    this.#block = new ChaChaBlock(key);
  }

  mask(ciphertext: Uint8Array): Uint8Array {
    checkSample(ciphertext);
    if (this.#block === undefined) throw new DestroyedKeyError();
    // RFC 9147 section 4.2.3: "Mask = ChaCha20(sn_key, Ciphertext[0..3], Ciphertext[4..15])"
    return this.#block.block(ciphertext);
  }

  destroy(): void {
    this.#block?.destroy();
    this.#block = undefined;
  }
}

class NobleProvider implements CryptoProvider {
  readonly name = "noble";
  readonly keyExchange = nobleKeyExchange;
  readonly signingKey = nobleSigningKey;
  readonly verify = nobleVerify;

  hash(name: HashName): Hash {
    return new NobleHash(HASHES[name].create());
  }

  hmac(name: HashName, out: Uint8Array, key: Uint8Array, ...parts: readonly Uint8Array[]): void {
    const running = hmac.create(HASHES[name], key);
    for (const part of parts) running.update(part);
    writeMac(running.digest(), out);
  }

  aead(name: AeadName, key: Uint8Array): Aead {
    return new NobleAead(name, key);
  }

  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    return name === "chacha20-poly1305" ? new NobleChaChaMask(key) : new NobleAesMask(name, key);
  }
}

/**
 * The portable provider. It has no RSA: `signingKey` throws {@linkcode UnsupportedKeyError} for an RSA key, and
 * `verify` is false for every RSA signature. AES here is made of table look-ups, whose time can depend on the key
 * where caches are shared with an attacker; the ECDSA libraries blind their arithmetic with the system's randomness,
 * which does not show in the signature (RFC 6979).
 */
export const nobleProvider: CryptoProvider = new NobleProvider();
