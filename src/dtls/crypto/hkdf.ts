// HKDF (RFC 5869) and its labelled forms (RFC 8446 section 7.1, RFC 9147 section 5.9), over a provider's HMAC.

import { EMPTY_BYTES, fromHex } from "../../base/bytes.ts";
import { shortBytes } from "../../base/short_bytes.ts";
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
  const key = shortBytes(HASH_BYTES[hash]);
  provider.hmac(hash, key, salt, inputKeyingMaterial);
  return key;
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
  let before: Uint8Array = EMPTY_BYTES;
  for (let offset = 0; offset < lengthBytes; offset += hashBytes) {
    counter[0]!++;
    const block = output.subarray(offset, Math.min(offset + hashBytes, lengthBytes));
    provider.hmac(hash, block, pseudorandomKey, before, info, counter);
    before = block;
  }
  return output;
}

/** HkdfLabel and the counter of the first block: two vectors of at most 255 bytes, and four bytes more. */
const labelRoom = new Uint8Array(2 + 1 + 255 + 1 + 255 + 1);
/** The beginnings of it that were used, by length. */
const labelViews = new Map<number, Uint8Array>();

function labelView(lengthBytes: number): Uint8Array {
  let view = labelViews.get(lengthBytes);
  if (view === undefined) {
    view = labelRoom.subarray(0, lengthBytes);
    labelViews.set(lengthBytes, view);
  }
  return view;
}

/**
 * HKDF-Expand-Label(Secret, Label, Context, Length). `label` stands without its prefix. Throws `RangeError` where it is
 * not ASCII, it or the context is longer than 255 bytes, or the length exceeds what HKDF-Expand gives. `allocate` is
 * where what is no longer than a hash gets its memory from.
 */
export function hkdfExpandLabel(
  provider: CryptoProvider,
  hash: HashName,
  prefix: LabelPrefix,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  lengthBytes: number,
  allocate: (lengthBytes: number) => Uint8Array = shortBytes,
): Uint8Array {
  // RFC 8446 section 7.1: "struct { uint16 length = Length; opaque label<7..255> = "tls13 " + Label;
  // opaque context<0..255> = Context; } HkdfLabel;"
  const labelBytes = prefix.length + label.length;
  if (labelBytes > 255 || context.length > 255) throw new RangeError("a label or context too long");
  const info = labelRoom;
  info[0] = lengthBytes >>> 8;
  info[1] = lengthBytes;
  info[2] = labelBytes;
  let at = 3;
  for (let i = 0; i < prefix.length; i++) info[at++] = prefix.charCodeAt(i);
  for (let i = 0; i < label.length; i++) {
    const code = label.charCodeAt(i);
    if (code > 0x7f) throw new RangeError("a label that is not ASCII");
    info[at++] = code;
  }
  info[at++] = context.length;
  info.set(context, at);
  at += context.length;
  if (lengthBytes > HASH_BYTES[hash]) {
    return hkdfExpand(provider, hash, secret, info.slice(0, at), lengthBytes);
  }
  // RFC 5869 section 2.3: "T(1) = HMAC-Hash(PRK, T(0) | info | 0x01)", T(0) being empty: nearly all that is derived is
  // no longer than that.
  info[at] = 1;
  const output = allocate(lengthBytes);
  provider.hmac(hash, output, secret, labelView(at + 1));
  return output;
}

/** Derive-Secret(Secret, Label, Messages), given the hash of the messages. */
export function deriveSecret(
  provider: CryptoProvider,
  hash: HashName,
  prefix: LabelPrefix,
  secret: Uint8Array,
  label: string,
  transcriptHash: Uint8Array,
  allocate: (lengthBytes: number) => Uint8Array = shortBytes,
): Uint8Array {
  const hashBytes = HASH_BYTES[hash];
  return hkdfExpandLabel(
    provider,
    hash,
    prefix,
    secret,
    label,
    transcriptHash,
    hashBytes,
    allocate,
  );
}

/** The hash of no bytes at all, which Derive-Secret takes where it has no messages. */
export const EMPTY_HASH: Readonly<Record<HashName, Uint8Array>> = {
  sha256: fromHex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
  sha384: fromHex(`38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da
    274edebfe76f65fbd51ad2f14898b95b`),
  sha512: fromHex(`cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce
    47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e`),
};
