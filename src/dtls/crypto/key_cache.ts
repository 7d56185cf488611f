// Public keys that were parsed, kept for the next signature.

import { Buffer } from "node:buffer";
import { equalBytes } from "../../base/bytes.ts";
import { UnsupportedKeyError } from "./key_errors.ts";

/** Parsed public keys that are kept: a server sees its clients' few issuers again and again. */
export const PARSED_KEY_COUNT_MAX = 64;

/** Bytes of the longest SubjectPublicKeyInfo that is parsed: RSA of 8,192 bits has 1,062. */
const PUBLIC_KEY_BYTES_MAX = 2_048;

/** Keys by their SubjectPublicKeyInfo, the least recently used out first. */
export class KeyCache<Key> {
  readonly #parse: (spki: Uint8Array) => Key;
  readonly #release: ((key: Key) => void) | undefined;
  readonly #kept = new Map<string, Key>();
  /** The last of them, which is the one that is most often asked for again. */
  #latest: { readonly spki: Uint8Array; readonly key: Key } | undefined;

  /** `parse` may throw; `release` is told of each key that is kept no longer. */
  constructor(parse: (spki: Uint8Array) => Key, release?: (key: Key) => void) {
    this.#parse = parse;
    this.#release = release;
  }

  /** Keys that are kept now. */
  get keptCount(): number {
    return this.#kept.size;
  }

  /**
   * The key of a SubjectPublicKeyInfo, good until the next call. Throws {@linkcode UnsupportedKeyError} for one that
   * is too long, and what `parse` throws.
   */
  get(spki: Uint8Array): Key {
    const latest = this.#latest;
    if (latest !== undefined && equalBytes(latest.spki, spki)) return latest.key;
    if (spki.length > PUBLIC_KEY_BYTES_MAX) throw new UnsupportedKeyError("a public key too long");
    const name = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString("latin1");
    let key = this.#kept.get(name);
    if (key !== undefined) {
      this.#kept.delete(name);
    } else {
      key = this.#parse(spki);
      if (this.#kept.size >= PARSED_KEY_COUNT_MAX) this.#dropOldest();
    }
    this.#kept.set(name, key);
    this.#latest = { spki: spki.slice(), key };
    return key;
  }

  #dropOldest(): void {
    for (const [name, key] of this.#kept) {
      this.#kept.delete(name);
      this.#release?.(key);
      return;
    }
  }
}
