// The key schedule of (D)TLS 1.2: the PRF, the extended master secret and what comes from it (RFC 5246 sections 5, 6.3
// and 7.4.9, RFC 7627, RFC 5705).

import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES, utf8Bytes } from "../base/bytes.ts";
import { shortBytes } from "../base/short_bytes.ts";
import { AEAD_KEY_BYTES } from "./crypto/aead_shape.ts";
import { HASH_BYTES } from "./crypto/hkdf.ts";
import type { AeadName } from "./crypto/provider.ts";
import type { KeyScheduleParameters, TrafficKeyParameters } from "./key_schedule.ts";

/** RFC 5246 section 8.1: "The master secret is always exactly 48 bytes in length." */
const MASTER_SECRET_BYTES = 48;

/** RFC 5246 section 7.4.9: verify_data_length is 12 where a cipher suite does not say otherwise. */
const VERIFY_DATA_BYTES = 12;

/** Bytes of the nonce that both ends derive: RFC 5288 section 3 for GCM, RFC 7905 section 2 for ChaCha20-Poly1305. */
export const FIXED_IV_BYTES_12: Readonly<Record<AeadName, number>> = {
  "aes-128-gcm": 4,
  "aes-256-gcm": 4,
  "chacha20-poly1305": 12,
};

/** PRF(secret, label, seed) (RFC 5246 section 5), with the cipher suite's hash; `seed` in parts. */
export function prf12(
  { provider, hash }: KeyScheduleParameters,
  secret: Uint8Array,
  label: string,
  seed: readonly Uint8Array[],
  lengthBytes: number,
): Uint8Array {
  const labelled = [utf8Bytes(label), ...seed];
  const output = new Uint8Array(lengthBytes);
  // RFC 5246 section 5: "A(0) = seed, A(i) = HMAC_hash(secret, A(i-1))".
  const hashBytes = HASH_BYTES[hash];
  const chain = shortBytes(hashBytes);
  provider.hmac(hash, chain, secret, ...labelled);
  for (let offset = 0; offset < lengthBytes; offset += hashBytes) {
    const block = output.subarray(offset, Math.min(offset + hashBytes, lengthBytes));
    provider.hmac(hash, block, secret, chain, ...labelled);
    provider.hmac(hash, chain, secret, chain);
  }
  chain.fill(0);
  return output;
}

/**
 * The extended master secret (RFC 7627 section 4), given the hash of the messages up to and with the
 * ClientKeyExchange. The premaster secret stays the caller's to zero.
 */
export function extendedMasterSecret(
  parameters: KeyScheduleParameters,
  premasterSecret: Uint8Array,
  sessionHash: Uint8Array,
): Uint8Array {
  const label = "extended master secret";
  return prf12(parameters, premasterSecret, label, [sessionHash], MASTER_SECRET_BYTES);
}

/** What one direction protects its records with. */
export interface WriteKeys {
  /** The AEAD's key. */
  readonly key: Uint8Array;
  /** What both ends know of each nonce. */
  readonly iv: Uint8Array;
}

/** The keys of both directions (RFC 5246 section 6.3). */
export function writeKeys(
  parameters: TrafficKeyParameters,
  masterSecret: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
): { readonly client: WriteKeys; readonly server: WriteKeys } {
  const keyBytes = AEAD_KEY_BYTES[parameters.aead];
  const ivBytes = FIXED_IV_BYTES_12[parameters.aead];
  const seed = [serverRandom, clientRandom];
  const block = prf12(parameters, masterSecret, "key expansion", seed, 2 * (keyBytes + ivBytes));
  const ivStart = 2 * keyBytes;
  const keys = {
    client: { key: block.slice(0, keyBytes), iv: block.slice(ivStart, ivStart + ivBytes) },
    server: { key: block.slice(keyBytes, ivStart), iv: block.slice(ivStart + ivBytes) },
  };
  block.fill(0);
  return keys;
}

/**
 * verify_data of an end's Finished (RFC 5246 section 7.4.9), given the hash of the messages before it. Compare it in
 * constant time.
 */
export function finishedVerifyData12(
  parameters: KeyScheduleParameters,
  masterSecret: Uint8Array,
  sender: "client" | "server",
  transcriptHash: Uint8Array,
): Uint8Array {
  const label = `${sender} finished`;
  return prf12(parameters, masterSecret, label, [transcriptHash], VERIFY_DATA_BYTES);
}

/**
 * Keying material for others (RFC 5705 section 4): "If no context is provided", it is other material than with an
 * empty context. Throws `RangeError` for a context of more than 65,535 bytes.
 */
export function exportKeyingMaterial12(
  parameters: KeyScheduleParameters,
  masterSecret: Uint8Array,
  randoms: { readonly client: Uint8Array; readonly server: Uint8Array },
  label: string,
  context: Uint8Array | undefined,
  lengthBytes: number,
): Uint8Array {
  const suffix = context === undefined
    ? EMPTY_BYTES
    : new ByteWriter(2 + context.length).opaque(2, context).view();
  const seed = [randoms.client, randoms.server, suffix];
  return prf12(parameters, masterSecret, label, seed, lengthBytes);
}
