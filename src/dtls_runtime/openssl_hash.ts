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
  init(state: Uint8Array): void;
  update(state: Uint8Array, bytes: Uint8Array): void;
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
      init: (state) => check(libcrypto.SHA256_Init(state)),
      update: (state, bytes) => check(libcrypto.SHA256_Update(state, bytes, bytes.length)),
      final: (state, out) => check(libcrypto.SHA256_Final(out, state)),
    },
    sha384: {
      hashBytes: 48,
      blockBytes: 128,
      stateBytes: 216,
      init: (state) => check(libcrypto.SHA384_Init(state)),
      update: (state, bytes) => check(libcrypto.SHA384_Update(state, bytes, bytes.length)),
      final: (state, out) => check(libcrypto.SHA384_Final(out, state)),
    },
    sha512: {
      hashBytes: 64,
      blockBytes: 128,
      stateBytes: 216,
      init: (state) => check(libcrypto.SHA512_Init(state)),
      update: (state, bytes) => check(libcrypto.SHA512_Update(state, bytes, bytes.length)),
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
    this.#function.update(this.#state, bytes);
  }

  digest(): Uint8Array {
    // libcrypto ends a hash with its digest, hence the copy.
    const digest = new Uint8Array(this.#function.hashBytes);
    this.#function.final(this.#state.slice(), digest);
    return digest;
  }

  copy(): Hash {
    return new OpensslHash(this.#function, this.#state.slice());
  }
}

/** RFC 2104 section 2: "ipad = the byte 0x36 repeated B times, opad = the byte 0x5C repeated B times". */
const IPAD = 0x36;
const OPAD = 0x5c;

/** HMAC with one hash function. Calls are synchronous, so that its buffers serve all of them. */
class Hmac {
  readonly #function: HashFunction;
  readonly #state: Uint8Array;
  readonly #pad: Uint8Array;
  readonly #inner: Uint8Array;

  constructor(hashFunction: HashFunction) {
    this.#function = hashFunction;
    this.#state = new Uint8Array(hashFunction.stateBytes);
    this.#pad = new Uint8Array(hashFunction.blockBytes);
    this.#inner = new Uint8Array(hashFunction.hashBytes);
  }

  compute(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    const { blockBytes, hashBytes, init, update, final } = this.#function;
    const [state, pad, inner] = [this.#state, this.#pad, this.#inner];
    if (key.length > blockBytes) {
      // "Applications that use keys longer than B bytes will first hash the key using H"
      init(state);
      update(state, key);
      pad.fill(0, hashBytes);
      final(state, pad);
    } else {
      pad.set(key);
      pad.fill(0, key.length);
    }
    // "H(K XOR opad, H(K XOR ipad, text))"
    for (let i = 0; i < blockBytes; i++) pad[i]! ^= IPAD;
    init(state);
    update(state, pad);
    for (const part of parts) update(state, part);
    final(state, inner);
    for (let i = 0; i < blockBytes; i++) pad[i]! ^= IPAD ^ OPAD;
    init(state);
    update(state, pad);
    update(state, inner);
    const mac = new Uint8Array(hashBytes);
    final(state, mac);
    for (const secret of [state, pad, inner]) secret.fill(0);
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
    const { stateBytes, hashBytes, init, update, final } = this.#functions[name];
    const state = new Uint8Array(stateBytes);
    const digest = new Uint8Array(hashBytes);
    init(state);
    update(state, bytes);
    final(state, digest);
    return digest;
  }

  /** {@linkcode CryptoProvider.hmac} on libcrypto. */
  hmac(name: HashName, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    return this.#hmacs[name].compute(key, parts);
  }
}
