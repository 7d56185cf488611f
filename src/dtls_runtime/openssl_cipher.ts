// AEADs and record number ciphers on libcrypto. A context is made once for a key; a record only sets its nonce.

import {
  checkKey,
  checkNonce,
  checkRoom,
  checkSample,
  TAG_BYTES,
} from "../dtls/crypto/aead_shape.ts";
import { DestroyedKeyError } from "../dtls/crypto/key_errors.ts";
import type { Aead, AeadName, RecordNumberCipher } from "../dtls/crypto/provider.ts";
import { Handle } from "./openssl_handle.ts";
import { cString, given, type Libcrypto, OpensslError, type Pointer } from "./openssl_library.ts";

/** EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG. */
const GET_TAG = 0x10;
const SET_TAG = 0x11;

const OPEN = 0;
const SEAL = 1;

// Every call is synchronous, so that one of each serves all contexts.
/** Where libcrypto says how many bytes it wrote, which the lengths given to it say as well. */
const written = new Uint8Array(4);
const tag = new Uint8Array(TAG_BYTES);
const mask = new Uint8Array(16);
const ZEROS = new Uint8Array(16);
/** Where a record is opened before its tag is checked; zeros between calls. */
const unverified = new Uint8Array(2_048);

/** What the longest key is replaced by. */
const NO_KEY = new Uint8Array(32);

/**
 * Contexts of one cipher that are kept for the next keys, as many as a handful of handshakes need: of AES, of which a
 * new key overwrites all that there was of the old one. ChaCha20 leaves the end of its last key stream.
 */
const SPARE_CONTEXTS_MAX = 64;

/** What the ciphers of one library are made from. */
export class OpensslCiphers {
  readonly #libcrypto: Libcrypto;
  readonly #contexts = new Map<string, Contexts>();

  constructor(libcrypto: Libcrypto) {
    this.#libcrypto = libcrypto;
  }

  /** {@linkcode CryptoProvider.aead} on libcrypto. */
  aead(name: AeadName, key: Uint8Array): Aead {
    checkKey(name, key);
    return new OpensslAead(this.#libcrypto, new KeyedContext(this.#contextsOf(name), key));
  }

  /** {@linkcode CryptoProvider.recordNumberCipher} on libcrypto. */
  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    checkKey(name, key);
    const cipher = MASK_CIPHERS[name];
    const context = new KeyedContext(this.#contextsOf(cipher), key);
    return name === "chacha20-poly1305"
      ? new OpensslChaChaMask(this.#libcrypto, context)
      : new OpensslAesMask(this.#libcrypto, context);
  }

  #contextsOf(cipherName: string): Contexts {
    let contexts = this.#contexts.get(cipherName);
    if (contexts === undefined) {
      contexts = new Contexts(this.#libcrypto, cipherName);
      this.#contexts.set(cipherName, contexts);
    }
    return contexts;
  }
}

/** What hides record numbers. ECB pads at the end, which there is none of: each block is encrypted at once. */
const MASK_CIPHERS: Readonly<Record<AeadName, string>> = {
  "aes-128-gcm": "aes-128-ecb",
  "aes-256-gcm": "aes-256-ecb",
  "chacha20-poly1305": "chacha20",
};

/** The contexts of one cipher: to make one takes longer than to give it another key. */
class Contexts {
  readonly #libcrypto: Libcrypto;
  readonly #cipher: Pointer;
  readonly #free: (pointer: Pointer) => void;
  readonly #spareMax: number;
  /** Contexts that nobody uses, with a key of zeros. */
  readonly #spare: Handle[] = [];

  constructor(libcrypto: Libcrypto, cipherName: string) {
    const found = libcrypto.EVP_CIPHER_fetch(null, cString(cipherName), null);
    this.#libcrypto = libcrypto;
    this.#cipher = given(libcrypto, "EVP_CIPHER_fetch", found);
    this.#free = (pointer) => libcrypto.EVP_CIPHER_CTX_free(pointer);
    this.#spareMax = cipherName.startsWith("aes") ? SPARE_CONTEXTS_MAX : 0;
  }

  /** A context with a key, which libcrypto copies. */
  take(key: Uint8Array): Handle {
    const libcrypto = this.#libcrypto;
    let context = this.#spare.pop();
    let cipher: Pointer | null = null;
    if (context === undefined) {
      const pointer = given(libcrypto, "EVP_CIPHER_CTX_new", libcrypto.EVP_CIPHER_CTX_new());
      context = new Handle(pointer, this.#free);
      cipher = this.#cipher;
    }
    if (libcrypto.EVP_CipherInit_ex(context.pointer, cipher, null, key, null, SEAL) === 1) {
      return context;
    }
    context.release();
    throw new OpensslError(libcrypto, "EVP_CipherInit_ex");
  }

  /** Takes back a context that is of no more use. What libcrypto made of its key is overwritten or zeroed. */
  giveBack(context: Handle): void {
    const { pointer } = context;
    const isSpare = this.#spare.length < this.#spareMax &&
      this.#libcrypto.EVP_CipherInit_ex(pointer, null, null, NO_KEY, null, SEAL) === 1;
    if (isSpare) this.#spare.push(context);
    else context.release();
  }
}

/** A context as long as its key is in it. */
class KeyedContext {
  readonly #contexts: Contexts;
  #context: Handle | undefined;

  constructor(contexts: Contexts, key: Uint8Array) {
    this.#contexts = contexts;
    this.#context = contexts.take(key);
  }

  /** The pointer. Throws {@linkcode DestroyedKeyError} after the end. */
  get pointer(): Pointer {
    if (this.#context === undefined) throw new DestroyedKeyError();
    return this.#context.pointer;
  }

  /** Ends the use of the key. Harmless when called again. */
  release(): void {
    if (this.#context !== undefined) this.#contexts.giveBack(this.#context);
    this.#context = undefined;
  }
}

class OpensslAead implements Aead {
  readonly tagBytes = TAG_BYTES;
  readonly #libcrypto: Libcrypto;
  readonly #context: KeyedContext;

  constructor(libcrypto: Libcrypto, context: KeyedContext) {
    this.#libcrypto = libcrypto;
    this.#context = context;
  }

  seal(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
  ): void {
    checkNonce(nonce);
    checkRoom(plaintext, out);
    const lib = this.#libcrypto;
    const context = this.#context.pointer;
    const lengthBytes = plaintext.length;
    const isSealed = lib.EVP_CipherInit_ex(context, null, null, null, nonce, SEAL) === 1 &&
      lib.EVP_CipherUpdate(context, null, written, additionalData, additionalData.length) === 1 &&
      lib.EVP_CipherUpdate(context, out, written, plaintext, lengthBytes) === 1 &&
      lib.EVP_CipherFinal_ex(context, tag, written) === 1 &&
      lib.EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG_BYTES, tag) === 1;
    if (!isSealed) throw new OpensslError(lib, "a cipher");
    // A view of the last bytes, for the library to write into, would cost more than this.
    for (let i = 0; i < TAG_BYTES; i++) out[lengthBytes + i] = tag[i]!;
  }

  open(
    nonce: Uint8Array,
    additionalData: Uint8Array,
    sealed: Uint8Array,
    mayReplace = false,
  ): Uint8Array | undefined {
    checkNonce(nonce);
    const lib = this.#libcrypto;
    const context = this.#context.pointer;
    const lengthBytes = sealed.length - TAG_BYTES;
    if (lengthBytes < 0) return undefined;
    for (let i = 0; i < TAG_BYTES; i++) tag[i] = sealed[lengthBytes + i]!;
    const isReplacing = mayReplace && lengthBytes <= unverified.length;
    const plaintext = isReplacing ? unverified : new Uint8Array(lengthBytes);
    const isOpened = lib.EVP_CipherInit_ex(context, null, null, null, nonce, OPEN) === 1 &&
      lib.EVP_CIPHER_CTX_ctrl(context, SET_TAG, TAG_BYTES, tag) === 1 &&
      lib.EVP_CipherUpdate(context, null, written, additionalData, additionalData.length) === 1 &&
      lib.EVP_CipherUpdate(context, plaintext, written, sealed, lengthBytes) === 1 &&
      lib.EVP_CipherFinal_ex(context, tag, written) === 1;
    if (isOpened && !isReplacing) return plaintext;
    if (isOpened) sealed.set(plaintext.subarray(0, lengthBytes));
    else lib.ERR_clear_error();
    plaintext.fill(0, 0, lengthBytes);
    return isOpened ? sealed.subarray(0, lengthBytes) : undefined;
  }

  destroy(): void {
    this.#context.release();
  }
}

/** AES-ECB of the sample. */
class OpensslAesMask implements RecordNumberCipher {
  readonly #libcrypto: Libcrypto;
  readonly #context: KeyedContext;

  constructor(libcrypto: Libcrypto, context: KeyedContext) {
    this.#libcrypto = libcrypto;
    this.#context = context;
  }

  mask(ciphertext: Uint8Array): Uint8Array {
    checkSample(ciphertext);
    const lib = this.#libcrypto;
    // RFC 9147 section 4.2.3: "Mask = AES-ECB(sn_key, Ciphertext[0..15])"
    if (lib.EVP_CipherUpdate(this.#context.pointer, mask, written, ciphertext, 16) !== 1) {
      throw new OpensslError(lib, "EVP_CipherUpdate");
    }
    return mask;
  }

  destroy(): void {
    this.#context.release();
    mask.fill(0);
  }
}

class OpensslChaChaMask implements RecordNumberCipher {
  readonly #libcrypto: Libcrypto;
  readonly #context: KeyedContext;

  constructor(libcrypto: Libcrypto, context: KeyedContext) {
    this.#libcrypto = libcrypto;
    this.#context = context;
  }

  mask(ciphertext: Uint8Array): Uint8Array {
    checkSample(ciphertext);
    const lib = this.#libcrypto;
    const context = this.#context.pointer;
    // RFC 9147 section 4.2.3: "treating the first 4 bytes of the ciphertext as the block counter and the next 12
    // bytes as the nonce". libcrypto takes the two as one, the counter first and little-endian.
    const isMade = lib.EVP_CipherInit_ex(context, null, null, null, ciphertext, SEAL) === 1 &&
      lib.EVP_CipherUpdate(context, mask, written, ZEROS, ZEROS.length) === 1;
    if (!isMade) throw new OpensslError(lib, "a cipher");
    return mask;
  }

  destroy(): void {
    this.#context.release();
    mask.fill(0);
  }
}
