// What the providers share about private keys of key exchanges: the same randomness is the same key in each of them.

import { toHex } from "../../base/bytes.ts";
import { shortCopy } from "../../base/short_bytes.ts";
import { type GroupName, KEY_EXCHANGE_RANDOMNESS_BYTES } from "./provider.ts";

/** What a group's encodings look like. */
export interface GroupShape {
  /** Bytes of the private key and of the shared secret. */
  readonly scalarBytes: number;
  /** Bytes of the public value. */
  readonly publicKeyBytes: number;
  /** Order of the base point; `undefined` for x25519, which takes any 32 bytes. */
  readonly order: bigint | undefined;
}

/** The groups' shapes (RFC 8446 section 4.2.8.2; orders from FIPS 186-4 appendix D.1.2). */
export const GROUP_SHAPES: Readonly<Record<GroupName, GroupShape>> = {
  secp256r1: {
    scalarBytes: 32,
    publicKeyBytes: 65,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  secp384r1: {
    scalarBytes: 48,
    publicKeyBytes: 97,
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
  x25519: { scalarBytes: 32, publicKeyBytes: 32, order: undefined },
};

/**
 * The private key that `randomness` gives in a group: its first 32 bytes for x25519, else all of it as an integer
 * reduced to 1 to order - 1. 56 bytes are at least 64 bits longer than the order, so that the remainder is not
 * skewed (FIPS 186-4 appendix B.4.1). Throws `RangeError` where the randomness has another length.
 */
export function privateScalar(group: GroupName, randomness: Uint8Array): Uint8Array {
  if (randomness.length !== KEY_EXCHANGE_RANDOMNESS_BYTES) {
    throw new RangeError(`a key exchange takes ${KEY_EXCHANGE_RANDOMNESS_BYTES} bytes`);
  }
  const { scalarBytes, order } = GROUP_SHAPES[group];
  if (order === undefined) return shortCopy(randomness.subarray(0, scalarBytes));
  let rest = BigInt(`0x${toHex(randomness)}`) % (order - 1n) + 1n;
  const scalar = new Uint8Array(scalarBytes);
  for (let i = scalarBytes - 1; i >= 0; i--) {
    scalar[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return scalar;
}

/**
 * Whether a peer's public value has the form of its group: 32 bytes for x25519, else the uncompressed form.
 * It says nothing about the curve.
 */
export function isPublicKeyShape(group: GroupName, publicKey: Uint8Array): boolean {
  const { publicKeyBytes, order } = GROUP_SHAPES[group];
  // RFC 8446 section 4.2.8.2: "struct { uint8 legacy_form = 4; opaque X[coordinate_length]; ..."
  return publicKey.length === publicKeyBytes && (order === undefined || publicKey[0] === 4);
}

/** Whether all bytes are zero, in a time that depends on their number alone. */
export function isAllZero(bytes: Uint8Array): boolean {
  let seen = 0;
  for (const byte of bytes) seen |= byte;
  return seen === 0;
}
