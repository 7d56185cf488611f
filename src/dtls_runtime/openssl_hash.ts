// Hashes and HMAC on libcrypto. The state of a hash is bytes that the caller provides, so that there is nothing to
// release, and a copy is a copy of bytes.

import type { Hash, HashName } from "../dtls/crypto/provider.ts";
import { type Libcrypto, OpensslError } from "./openssl_library.ts";

/** One hash function: its sizes, and its three steps. */
interface HashFunction {
  readonly hashBytes: number;
  readonly blockBytes: number;
  /** Bytes of SHA256_CTX or SHA512_CTX. */
  readonly stateBytes: number;
  /** A state for what begins and ends in one call. */
  readonly scratch: Uint8Array;
  init(state: Uint8Array): void;
  update(state: Uint8Array, bytes: Uint8Array, lengthBytes: number): void;
  final(state: Uint8Array, out: Uint8Array): void;
}

function hashFunctions(libcrypto: Libcrypto): Readonly<Record<HashName, HashFunction>> {
  const check = (status: number) => {
    if (status !== 1) throw new OpensslError(libcrypto, "a hash function");
  };
  return {
    sha256: {
      hashBytes: 32,
      blockBytes: 64,
      stateBytes: 112,
      scratch: new Uint8Array(112),
      init: (state) => check(libcrypto.SHA256_Init(state)),
      update: (state, bytes, lengthBytes) =>
        check(libcrypto.SHA256_Update(state, bytes, lengthBytes)),
      final: (state, out) => check(libcrypto.SHA256_Final(out, state)),
    },
    sha384: {
      hashBytes: 48,
      blockBytes: 128,
      stateBytes: 216,
      scratch: new Uint8Array(216),
      init: (state) => check(libcrypto.SHA384_Init(state)),
      update: (state, bytes, lengthBytes) =>
        check(libcrypto.SHA384_Update(state, bytes, lengthBytes)),
      final: (state, out) => check(libcrypto.SHA384_Final(out, state)),
    },
    sha512: {
      hashBytes: 64,
      blockBytes: 128,
      stateBytes: 216,
      scratch: new Uint8Array(216),
      init: (state) => check(libcrypto.SHA512_Init(state)),
      update: (state, bytes, lengthBytes) =>
        check(libcrypto.SHA512_Update(state, bytes, lengthBytes)),
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
    const digest = new Uint8Array(hashBytes);
    scratch.set(this.#state);
    final(scratch, digest);
    return digest;
  }

  copy(): Hash {
    return new OpensslHash(this.#function, this.#state.slice());
  }
}

/** RFC 2104 section 2: "ipad = the byte 0x36 repeated B times, opad = the byte 0x5C repeated B times"; four at once. */
const IPAD = 0x3636_3636;
const OPAD = 0x5c5c_5c5c;

/** Bytes of a text that is put behind the inner pad, so that one call takes both: all that a handshake derives from. */
const TEXT_ROOM_BYTES = 1_024;

/** HMAC with one hash function. Calls are synchronous, so that its buffers serve all of them. */
class Hmac {
  readonly #function: HashFunction;
  /** K XOR ipad, and the text. */
  readonly #inner: Uint8Array;
  readonly #innerPad: Uint32Array;
  /** K XOR opad, and the inner hash. */
  readonly #outer: Uint8Array;
  readonly #outerPad: Uint32Array;
  readonly #innerHash: Uint8Array;

  constructor(hashFunction: HashFunction) {
    const { blockBytes, hashBytes } = hashFunction;
    this.#function = hashFunction;
    this.#inner = new Uint8Array(blockBytes + TEXT_ROOM_BYTES);
    this.#innerPad = new Uint32Array(this.#inner.buffer, 0, blockBytes / 4);
    this.#outer = new Uint8Array(blockBytes + hashBytes);
    this.#outerPad = new Uint32Array(this.#outer.buffer, 0, blockBytes / 4);
    this.#innerHash = this.#outer.subarray(blockBytes);
  }

  compute(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    const { blockBytes, hashBytes, scratch: state, init, update, final } = this.#function;
    const [inner, outer, innerPad, outerPad] = [
      this.#inner,
      this.#outer,
      this.#innerPad,
      this.#outerPad,
    ];
    // Both are zeros between calls.
    if (key.length > blockBytes) {
      // "Applications that use keys longer than B bytes will first hash the key using H"
      init(state);
      update(state, key, key.length);
      final(state, inner);
    } else {
      inner.set(key);
    }
    for (let i = 0; i < innerPad.length; i++) {
      const word = innerPad[i]!;
      innerPad[i] = word ^ IPAD;
      outerPad[i] = word ^ OPAD;
    }
    // "H(K XOR opad, H(K XOR ipad, text))"
    let filledBytes = blockBytes;
    init(state);
    for (const part of parts) {
      if (filledBytes + part.length > inner.length) {
        update(state, inner, filledBytes);
        filledBytes = 0;
      }
      if (part.length > inner.length) {
        update(state, part, part.length);
      } else {
        inner.set(part, filledBytes);
        filledBytes += part.length;
      }
    }
    update(state, inner, filledBytes);
    final(state, this.#innerHash);
    init(state);
    update(state, outer, blockBytes + hashBytes);
    const mac = new Uint8Array(hashBytes);
    final(state, mac);
    state.fill(0);
    inner.fill(0);
    outer.fill(0);
    return mac;
  }
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
    const state = new Uint8Array(hashFunction.stateBytes);
    hashFunction.init(state);
    return new OpensslHash(hashFunction, state);
  }

  /** The hash of one byte string. */
  digest(name: HashName, bytes: Uint8Array): Uint8Array {
    const { scratch: state, hashBytes, init, update, final } = this.#functions[name];
    const digest = new Uint8Array(hashBytes);
    init(state);
    update(state, bytes, bytes.length);
    final(state, digest);
    return digest;
  }

  /** {@linkcode CryptoProvider.hmac} on libcrypto. */
  hmac(name: HashName, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    return this.#hmacs[name].compute(key, parts);
  }
}
