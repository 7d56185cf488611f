// What libcrypto allocated and a JavaScript object owns.

import { DestroyedKeyError } from "../dtls/crypto/key_errors.ts";
import type { Pointer } from "./openssl_library.ts";

/** What is left to release when a handle is forgotten. */
interface Held {
  readonly pointer: Pointer;
  readonly release: (pointer: Pointer) => void;
}

const forgotten = new FinalizationRegistry<Held>(({ pointer, release }) => release(pointer));

/**
 * A pointer with the function that releases it, and what it stands for with it: libcrypto zeroes keys that it releases.
 * Who forgets to call `release` leaves that to the garbage collector.
 */
export class Handle {
  readonly #release: (pointer: Pointer) => void;
  #pointer: Pointer | undefined;

  constructor(pointer: Pointer, release: (pointer: Pointer) => void) {
    this.#pointer = pointer;
    this.#release = release;
    forgotten.register(this, { pointer, release }, this);
  }

  /** The pointer. Throws {@linkcode DestroyedKeyError} after the release. */
  get pointer(): Pointer {
    if (this.#pointer === undefined) throw new DestroyedKeyError();
    return this.#pointer;
  }

  /** Releases it. Harmless when called again. */
  release(): void {
    if (this.#pointer === undefined) return;
    forgotten.unregister(this);
    this.#release(this.#pointer);
    this.#pointer = undefined;
  }
}
