// HKDF (RFC 5869) and its labelled forms (RFC 8446 section 7.1, RFC 9147 section 5.9), over a provider's HMAC.

import { EMPTY_BYTES, utf8Bytes } from "../../base/bytes.ts";
import { ByteWriter } from "../../base/byte_writer.ts";
import type { CryptoProvider, HashName } from "./provider.ts";

/** What stands before every label of HKDF-Expand-Label: TLS 1.3's, with a space, or DTLS 1.3's, without. */
export type LabelPrefix = "tls13 " | "dtls13";

/**
 * RFC 9147 section 5.9: "HKDF-Expand-Label uses a label prefix of "tls13 ".  For DTLS 1.3, that label SHALL be
 * "dtls13". [...]  Note that there is no trailing space".
 */
export const DTLS13_LABEL_PREFIX: LabelPrefix = "dtls13";

/** TLS 1.3's prefix, of which the published vectors are. */
export const TLS13_LABEL_PREFIX: LabelPrefix = "tls13 ";

/** Bytes of each hash's output. */
export const HASH_BYTES: Readonly<Record<HashName, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** HKDF-Extract(salt, IKM): a pseudorandom key of the hash's length. An empty salt is one of zeros. */
export function hkdfExtract(
  provider: CryptoProvider,
  hash: HashName,
  salt: Uint8Array,
  inputKeyingMaterial: Uint8Array,
): Uint8Array {
  return provider.hmac(hash, salt, inputKeyingMaterial);
}

/**
 * HKDF-Expand(PRK, info, L): `lengthBytes` bytes of keying material. Throws `RangeError` where more than 255
 * times the hash's length is asked for.
 */
export function hkdfExpand(
  provider: CryptoProvider,
  hash: HashName,
  pseudorandomKey: Uint8Array,
  info: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const hashBytes = HASH_BYTES[hash];
  // RFC 5869 section 2.3: "L  length of output keying material in octets (<= 255*HashLen)"
  if (lengthBytes > 255 * hashBytes) {
    throw new RangeError(`HKDF expands to at most ${255 * hashBytes} bytes, not ${lengthBytes}`);
  }
  const output = new Uint8Array(lengthBytes);
  const counter = new Uint8Array(1);
  let block: Uint8Array = EMPTY_BYTES;
  for (let offset = 0; offset < lengthBytes; offset += hashBytes) {
    counter[0]!++;
    const next = provider.hmac(hash, pseudorandomKey, block, info, counter);
    block.fill(0);
    block = next;
    output.set(block.subarray(0, lengthBytes - offset), offset);
  }
  block.fill(0);
  return output;
}

/**
 * HKDF-Expand-Label(Secret, Label, Context, Length). `label` stands without its prefix. Throws `RangeError` where
 * label or context are longer than 255 bytes, or the length exceeds what HKDF-Expand gives.
 */
export function hkdfExpandLabel(
  provider: CryptoProvider,
  hash: HashName,
  prefix: LabelPrefix,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  // RFC 8446 section 7.1: "struct { uint16 length = Length; opaque label<7..255> = "tls13 " + Label;
  // opaque context<0..255> = Context; } HkdfLabel;"
  const info = new ByteWriter(64)
    .u16(lengthBytes)
    .opaque(1, utf8Bytes(prefix + label))
    .opaque(1, context)
    .view();
  return hkdfExpand(provider, hash, secret, info, lengthBytes);
}

/** Derive-Secret(Secret, Label, Messages), given the hash of the messages. */
export function deriveSecret(
  provider: CryptoProvider,
  hash: HashName,
  prefix: LabelPrefix,
  secret: Uint8Array,
  label: string,
  transcriptHash: Uint8Array,
): Uint8Array {
  return hkdfExpandLabel(provider, hash, prefix, secret, label, transcriptHash, HASH_BYTES[hash]);
}

/** The hash of no bytes at all, which Derive-Secret takes where it has no messages. */
export function emptyHash(provider: CryptoProvider, hash: HashName): Uint8Array {
  return provider.hash(hash).digest();
}
