// AEADs and record number ciphers on libcrypto. A context is made once for a key; a record only sets its nonce.

import {
  checkKey,
  checkNonce,
  checkRoom,
  checkSample,
  TAG_BYTES,
} from "../dtls/crypto/aead_shape.ts";
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

/** What the ciphers of one library are made from. */
export class OpensslCiphers {
  readonly #libcrypto: Libcrypto;
  readonly #fetched = new Map<string, Pointer>();
  readonly #free: (pointer: Pointer) => void;

  constructor(libcrypto: Libcrypto) {
    this.#libcrypto = libcrypto;
    this.#free = (pointer) => libcrypto.EVP_CIPHER_CTX_free(pointer);
  }

  /** {@linkcode CryptoProvider.aead} on libcrypto. */
  aead(name: AeadName, key: Uint8Array): Aead {
    checkKey(name, key);
    return new OpensslAead(this.#libcrypto, this.#context(name, key));
  }

  /** {@linkcode CryptoProvider.recordNumberCipher} on libcrypto. */
  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    checkKey(name, key);
    if (name === "chacha20-poly1305") {
      return new OpensslChaChaMask(this.#libcrypto, this.#context("chacha20", key));
    }
    // Padding would come at the end, which there is none of: each block is encrypted at once.
    const context = this.#context(name === "aes-128-gcm" ? "aes-128-ecb" : "aes-256-ecb", key);
    return new OpensslAesMask(this.#libcrypto, context);
  }

  /** A context with a key, which libcrypto copies. */
  #context(cipherName: string, key: Uint8Array): Handle {
    const libcrypto = this.#libcrypto;
    let cipher = this.#fetched.get(cipherName);
    if (cipher === undefined) {
      const found = libcrypto.EVP_CIPHER_fetch(null, cString(cipherName), null);
      cipher = given(libcrypto, "EVP_CIPHER_fetch", found);
      this.#fetched.set(cipherName, cipher);
    }
    const pointer = given(libcrypto, "EVP_CIPHER_CTX_new", libcrypto.EVP_CIPHER_CTX_new());
    const context = new Handle(pointer, this.#free);
    if (libcrypto.EVP_CipherInit_ex(pointer, cipher, null, key, null, SEAL) === 1) return context;
    context.release();
    throw new OpensslError(libcrypto, "EVP_CipherInit_ex");
  }
}

class OpensslAead implements Aead {
  readonly tagBytes = TAG_BYTES;
  readonly #libcrypto: Libcrypto;
  readonly #context: Handle;

  constructor(libcrypto: Libcrypto, context: Handle) {
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
  readonly #context: Handle;

  constructor(libcrypto: Libcrypto, context: Handle) {
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
  readonly #context: Handle;

  constructor(libcrypto: Libcrypto, context: Handle) {
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
