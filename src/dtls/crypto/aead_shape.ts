// Sizes of the AEAD algorithms and the checks of arguments that the providers share.

import type { AeadName } from "./provider.ts";

/** Bytes of every AEAD's tag. */
export const TAG_BYTES = 16;

/** Bytes of every AEAD's nonce. */
export const NONCE_BYTES = 12;

/** Bytes of ciphertext that a record number's mask is made from (RFC 9147 section 4.2.3). */
export const SAMPLE_BYTES = 16;

/** Bytes of the AEADs' keys, and of the record number keys that belong to them. */
export const AEAD_KEY_BYTES: Readonly<Record<AeadName, number>> = {
  "aes-128-gcm": 16,
  "aes-256-gcm": 32,
  "chacha20-poly1305": 32,
};

/** Throws `RangeError` where a key's length is not the algorithm's. */
export function checkKey(name: AeadName, key: Uint8Array): void {
  if (key.length !== AEAD_KEY_BYTES[name]) {
    throw new RangeError(`${name} takes a key of ${AEAD_KEY_BYTES[name]} bytes, not ${key.length}`);
  }
}

/** Throws `RangeError` where a nonce's length is not 12: GCM would take any, and derive another nonce from it. */
export function checkNonce(nonce: Uint8Array): void {
  if (nonce.length !== NONCE_BYTES) {
    throw new RangeError(`a nonce has ${NONCE_BYTES} bytes, not ${nonce.length}`);
  }
}

/** Throws `RangeError` where the room for sealed bytes is not exactly that. */
export function checkRoom(plaintext: Uint8Array, out: Uint8Array): void {
  if (out.length !== plaintext.length + TAG_BYTES) {
    throw new RangeError(`${plaintext.length} bytes do not seal into ${out.length}`);
  }
}

/** Throws `RangeError` where ciphertext is too short for a sample. */
export function checkSample(ciphertext: Uint8Array): void {
  if (ciphertext.length < SAMPLE_BYTES) {
    throw new RangeError(`a sample has ${SAMPLE_BYTES} bytes, not ${ciphertext.length}`);
  }
}
