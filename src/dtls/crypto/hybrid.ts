// X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem): X25519 beside ML-KEM-768 (FIPS 203), so that what is recorded today
// stays secret as long as one of the two holds.

import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concatBytes } from "../../base/bytes.ts";
import { KeyConsumedError } from "./key_errors.ts";
import { type CryptoProvider, KEY_EXCHANGE_RANDOMNESS_BYTES, type KeyShares } from "./provider.ts";

const ENCAPSULATION_KEY_BYTES = 1_184;
const CIPHERTEXT_BYTES = 1_088;
const X25519_BYTES = 32;
/** FIPS 203: the two seeds of a key pair, and the randomness of an encapsulation. */
const KEY_SEED_BYTES = 64;
const ENCAPSULATION_SEED_BYTES = 32;

/** Bytes of randomness that {@linkcode startHybrid} takes; {@linkcode answerHybrid} uses fewer of them. */
export const HYBRID_RANDOMNESS_BYTES: number = KEY_SEED_BYTES + KEY_EXCHANGE_RANDOMNESS_BYTES;

/** Starts the exchange of a client: its share is the encapsulation key, then the public value of X25519. */
export function startHybrid(provider: CryptoProvider, randomness: Uint8Array): KeyShares {
  const classic = provider.keyExchange("x25519", randomness.subarray(KEY_SEED_BYTES));
  const { publicKey, secretKey } = ml_kem768.keygen(randomness.slice(0, KEY_SEED_BYTES));
  let isUsed = false;
  return {
    publicKey: concatBytes(publicKey, classic.publicKey),
    sharedSecret: (serverShare) => {
      if (isUsed) throw new KeyConsumedError();
      isUsed = true;
      const classicSecret = classic.sharedSecret(serverShare.subarray(CIPHERTEXT_BYTES));
      const isShaped = serverShare.length === CIPHERTEXT_BYTES + X25519_BYTES;
      const secret = isShaped && classicSecret !== undefined
        ? joined(
          ml_kem768.decapsulate(serverShare.slice(0, CIPHERTEXT_BYTES), secretKey),
          classicSecret,
        )
        : undefined;
      secretKey.fill(0);
      return secret;
    },
    destroy: () => {
      isUsed = true;
      classic.destroy();
      secretKey.fill(0);
    },
  };
}

/**
 * The share of a server, the ciphertext and then the public value of X25519, and the secret; `undefined` where the
 * client's share is not a valid one.
 */
export function answerHybrid(
  provider: CryptoProvider,
  randomness: Uint8Array,
  clientShare: Uint8Array,
): { readonly publicKey: Uint8Array; readonly sharedSecret: Uint8Array } | undefined {
  if (clientShare.length !== ENCAPSULATION_KEY_BYTES + X25519_BYTES) return undefined;
  const classic = provider.keyExchange("x25519", randomness.subarray(KEY_SEED_BYTES));
  const classicSecret = classic.sharedSecret(clientShare.subarray(ENCAPSULATION_KEY_BYTES));
  if (classicSecret === undefined) return undefined;
  const encapsulated = encapsulate(
    clientShare.slice(0, ENCAPSULATION_KEY_BYTES),
    randomness.slice(0, ENCAPSULATION_SEED_BYTES),
  );
  if (encapsulated === undefined) return undefined;
  return {
    publicKey: concatBytes(encapsulated.cipherText, classic.publicKey),
    sharedSecret: joined(encapsulated.sharedSecret, classicSecret),
  };
}

function encapsulate(key: Uint8Array, seed: Uint8Array) {
  try {
    return ml_kem768.encapsulate(key, seed);
  } catch {
    // FIPS 203 section 7.2, the check of the modulus: the key is not an encoding of what it stands for.
    return undefined;
  }
}

/** The draft, section 4.3: the secret of ML-KEM, then that of X25519. */
function joined(quantumSecret: Uint8Array, classicSecret: Uint8Array): Uint8Array {
  const secret = concatBytes(quantumSecret, classicSecret);
  quantumSecret.fill(0);
  classicSecret.fill(0);
  return secret;
}
