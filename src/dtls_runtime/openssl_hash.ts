// Hashes and HMAC on libcrypto. The state of a hash is bytes that the caller provides, so that there is nothing to
// release, and a copy is a copy of bytes.

import { shortBytes, shortCopy } from "../base/short_bytes.ts";
import { checkMac } from "../dtls/crypto/mac_shape.ts";
import type { Hash, HashName } from "../dtls/crypto/provider.ts";
import { type Libcrypto, OpensslError, sizeT } from "./openssl_library.ts";

/** One hash function: its sizes, and its steps. */
interface HashFunction {
  readonly hashBytes: number;
  readonly blockBytes: number;
  /** Bytes of the words that a state and a length are made of. */
  readonly wordBytes: 4 | 8;
  /** SHA256_CTX or SHA512_CTX before the first byte. */
  readonly initialState: Uint8Array;
  /** A state for what begins and ends in one call. */
  readonly scratch: Uint8Array;
  update(state: Uint8Array, bytes: Uint8Array, lengthBytes: number): void;
  final(state: Uint8Array, out: Uint8Array): void;
}

function hashFunctions(libcrypto: Libcrypto): Readonly<Record<HashName, HashFunction>> {
  const check = (status: number) => {
    if (status !== 1) throw new OpensslError(libcrypto, "a hash function");
  };
  const begun = (init: (state: Uint8Array) => number, stateBytes: number) => {
    const initialState = new Uint8Array(stateBytes);
    check(init(initialState));
    return { initialState, scratch: new Uint8Array(stateBytes) };
  };
  return {
    sha256: {
      hashBytes: 32,
      blockBytes: 64,
      wordBytes: 4,
      ...begun(libcrypto.SHA256_Init, 112),
      update: (state, bytes, lengthBytes) =>
        check(libcrypto.SHA256_Update(state, bytes, sizeT(lengthBytes))),
      final: (state, out) => check(libcrypto.SHA256_Final(out, state)),
    },
    sha384: {
      hashBytes: 48,
      blockBytes: 128,
      wordBytes: 8,
      ...begun(libcrypto.SHA384_Init, 216),
      update: (state, bytes, lengthBytes) =>
        check(libcrypto.SHA384_Update(state, bytes, sizeT(lengthBytes))),
      final: (state, out) => check(libcrypto.SHA384_Final(out, state)),
    },
    sha512: {
      hashBytes: 64,
      blockBytes: 128,
      wordBytes: 8,
      ...begun(libcrypto.SHA512_Init, 216),
      update: (state, bytes, lengthBytes) =>
        check(libcrypto.SHA512_Update(state, bytes, sizeT(lengthBytes))),
      final: (state, out) => check(libcrypto.SHA512_Final(out, state)),
    },
  };
}

class OpensslHash implements Hash {
  readonly #function: HashFunction;
  readonly #state: Uint8Array;

  constructor(hashFunction: HashFunction, state: Uint8Array) {
    this.#function = hashFunction;
    this.#state = state;
  }

  update(bytes: Uint8Array): void {
    this.#function.update(this.#state, bytes, bytes.length);
  }

  digest(): Uint8Array {
    // libcrypto ends a hash with its digest, hence the copy.
    const { hashBytes, scratch, final } = this.#function;
    const digest = shortBytes(hashBytes);
    scratch.set(this.#state);
    final(scratch, digest);
    return digest;
  }

  copy(): Hash {
    return new OpensslHash(this.#function, shortCopy(this.#state));
  }
}

/** RFC 2104 section 2: "ipad = the byte 0x36 repeated B times, opad = the byte 0x5C repeated B times"; four at once. */
const IPAD = 0x3636_3636;
const OPAD = 0x5c5c_5c5c;

/** Bytes of the longest text that is hashed as whole blocks: all that a handshake derives from. */
const TEXT_BYTES_MAX = 1_024;

/** Bytes of a message's length in bits behind its padding, for the function with the larger blocks. */
const LENGTH_BYTES_MAX = 16;

/** The words that SHA256_CTX and SHA512_CTX begin with: the hash so far, and how much was hashed. */
const CHANGING_WORDS = 10;

/**
 * HMAC with one hash function. Calls are synchronous, so that its buffers serve all of them. A hash is one call of
 * libcrypto: the message is padded here (FIPS 180-4 section 5.1), so that it is whole blocks, and the hash read from
 * the state, which begins with its words. A call costs more than a block, and short loops over words less than the
 * functions of byte arrays do.
 */
class Hmac {
  readonly #function: HashFunction;
  /** The initial state between calls; whole blocks change no more of it than the words that it begins with. */
  readonly #state: Uint8Array;
  readonly #stateWords: Uint32Array;
  readonly #initialWords: Uint32Array;
  /** K XOR ipad, the text, and the padding; zeros between calls. */
  readonly #inner: Uint8Array;
  readonly #innerWords: Uint32Array;
  /** K XOR opad, the inner hash, and the padding, which is always the same. */
  readonly #outer: Uint8Array;
  readonly #outerWords: Uint32Array;

  constructor(hashFunction: HashFunction) {
    const { blockBytes, hashBytes, wordBytes, initialState } = hashFunction;
    this.#function = hashFunction;
    this.#state = initialState.slice();
    this.#stateWords = new Uint32Array(this.#state.buffer, 0, CHANGING_WORDS * wordBytes / 4);
    this.#initialWords = this.#stateWords.slice();
    const roomBytes = blockBytes + TEXT_BYTES_MAX + 1 + LENGTH_BYTES_MAX;
    this.#inner = new Uint8Array(Math.ceil(roomBytes / blockBytes) * blockBytes);
    this.#innerWords = new Uint32Array(this.#inner.buffer);
    this.#outer = new Uint8Array(2 * blockBytes);
    this.#outerWords = new Uint32Array(this.#outer.buffer);
    pad(this.#outer, blockBytes + hashBytes, hashFunction);
  }

  compute(out: Uint8Array, key: Uint8Array, parts: readonly Uint8Array[]): void {
    const { blockBytes, hashBytes, wordBytes, update } = this.#function;
    checkMac(hashBytes, out);
    const state = this.#state;
    const stateWords = this.#stateWords;
    const initialWords = this.#initialWords;
    const inner = this.#inner;
    const innerWords = this.#innerWords;
    const outerWords = this.#outerWords;
    const blockWords = blockBytes >> 2;
    const hashWords = hashBytes >> 2;
    this.#setKey(key);
    for (let i = 0; i < blockWords; i++) {
      const word = innerWords[i]!;
      innerWords[i] = word ^ IPAD;
      outerWords[i] = word ^ OPAD;
    }
    // "H(K XOR opad, H(K XOR ipad, text))"
    let lengthBytes = blockBytes;
    for (const part of parts) lengthBytes += part.length;
    if (lengthBytes - blockBytes <= TEXT_BYTES_MAX) {
      let at = blockBytes;
      for (const part of parts) {
        inner.set(part, at);
        at += part.length;
      }
      const usedBytes = pad(inner, lengthBytes, this.#function);
      update(state, inner, usedBytes);
      for (let i = 0; i < hashWords; i++) {
        outerWords[blockWords + i] = bigEndian(hashWord(stateWords, i, wordBytes));
      }
      for (let i = 0; i < usedBytes >> 2; i++) innerWords[i] = 0;
    } else this.#hashLong(parts);
    for (let i = 0; i < initialWords.length; i++) stateWords[i] = initialWords[i]!;
    update(state, this.#outer, 2 * blockBytes);
    for (let i = 0; i < out.length; i++) {
      out[i] = hashWord(stateWords, i >> 2, wordBytes) >>> (24 - 8 * (i & 3));
    }
    for (let i = 0; i < initialWords.length; i++) stateWords[i] = initialWords[i]!;
    for (let i = 0; i < blockWords + hashWords; i++) outerWords[i] = 0;
  }

  /** Puts the key where the inner pad is to be. */
  #setKey(key: Uint8Array): void {
    const { blockBytes, initialState, scratch, update, final } = this.#function;
    if (key.length <= blockBytes) return this.#inner.set(key);
    // "Applications that use keys longer than B bytes will first hash the key using H"
    scratch.set(initialState);
    update(scratch, key, key.length);
    final(scratch, this.#inner);
  }

  /** The inner hash of a text that has no room behind the inner pad. */
  #hashLong(parts: readonly Uint8Array[]): void {
    const { blockBytes, hashBytes, initialState, update, final } = this.#function;
    update(this.#state, this.#inner, blockBytes);
    for (const part of parts) update(this.#state, part, part.length);
    final(this.#state, this.#outer.subarray(blockBytes, blockBytes + hashBytes));
    this.#state.set(initialState);
    this.#inner.fill(0, 0, blockBytes);
  }
}

/**
 * Pads the message that `room` begins with: the bit 1, zeros, which are there, and the length in bits. Returns how many
 * bytes the padded message has.
 */
function pad(
  room: Uint8Array,
  lengthBytes: number,
  { blockBytes, wordBytes }: HashFunction,
): number {
  room[lengthBytes] = 0x80;
  const end = Math.ceil((lengthBytes + 1 + 2 * wordBytes) / blockBytes) * blockBytes;
  const lengthBits = 8 * lengthBytes;
  room[end - 2] = lengthBits >>> 8;
  room[end - 1] = lengthBits;
  return end;
}

/** Four bytes of the hash that a state holds, as a number; the machine has the state's words little-endian. */
function hashWord(stateWords: Uint32Array, i: number, wordBytes: 4 | 8): number {
  return stateWords[wordBytes === 4 ? i : i ^ 1]!;
}

/** What a little-endian machine writes as the big-endian bytes of a number. */
function bigEndian(word: number): number {
  return word << 24 | (word & 0xff00) << 8 | word >>> 8 & 0xff00 | word >>> 24;
}

/** The hashes of one library. */
export class OpensslHashes {
  readonly #functions: Readonly<Record<HashName, HashFunction>>;
  readonly #hmacs: Readonly<Record<HashName, Hmac>>;

  constructor(libcrypto: Libcrypto) {
    const functions = hashFunctions(libcrypto);
    this.#functions = functions;
    this.#hmacs = {
      sha256: new Hmac(functions.sha256),
      sha384: new Hmac(functions.sha384),
      sha512: new Hmac(functions.sha512),
    };
  }

  /** {@linkcode CryptoProvider.hash} on libcrypto. */
  hash(name: HashName): Hash {
    const hashFunction = this.#functions[name];
    return new OpensslHash(hashFunction, shortCopy(hashFunction.initialState));
  }

  /** The hash of one byte string. */
  digest(name: HashName, bytes: Uint8Array): Uint8Array {
    const { scratch: state, initialState, hashBytes, update, final } = this.#functions[name];
    const digest = shortBytes(hashBytes);
    state.set(initialState);
    update(state, bytes, bytes.length);
    final(state, digest);
    return digest;
  }

  /** {@linkcode CryptoProvider.hmac} on libcrypto. */
  hmac(name: HashName, out: Uint8Array, key: Uint8Array, parts: readonly Uint8Array[]): void {
    this.#hmacs[name].compute(out, key, parts);
  }
}
