// A provider that does everything as the fastest ones do, and nothing twice: a fuzzer begins the same handshakes again
// and again, with the same randomness.

import { fastestProvider } from "../../src/dtls/crypto/composed.ts";
import type { Credential, CryptoProvider, PeerVerifier, SigningKey } from "../../src/dtls/mod.ts";

/** Results that are kept of one operation, before all of them are forgotten. */
const RESULTS_MAX = 4_096;

/** The bytes of several parts as the key of a map. */
function keyOf(...parts: readonly (string | Uint8Array)[]): string {
  let key = "";
  for (const part of parts) {
    key += typeof part === "string" ? part : String.fromCharCode(...part);
    key += "|";
  }
  return key;
}

class Results<Value> {
  readonly #values = new Map<string, Value>();

  get(key: string, make: () => Value): Value {
    if (this.#values.has(key)) return this.#values.get(key)!;
    if (this.#values.size >= RESULTS_MAX) this.#values.clear();
    const value = make();
    this.#values.set(key, value);
    return value;
  }
}

const fastest = fastestProvider();
const publicKeys = new Results<Uint8Array>();
const sharedSecrets = new Results<Uint8Array | undefined>();
const verdicts = new Results<boolean>();
const signatures = new Results<Uint8Array>();

/** The fastest providers, with the results of key exchanges and verifications kept. */
export const cachedProvider: CryptoProvider = {
  name: "cached",
  hash: (name) => fastest.hash(name),
  hmac: (name, out, key, ...parts) => fastest.hmac(name, out, key, ...parts),
  aead: (name, key) => fastest.aead(name, key),
  recordNumberCipher: (name, key) => fastest.recordNumberCipher(name, key),
  signingKey: (pkcs8) => fastest.signingKey(pkcs8),
  keyExchange: (group, randomness) => {
    const own = randomness.slice();
    const publicKey = publicKeys.get(
      keyOf(group, own),
      () => fastest.keyExchange(group, own.slice()).publicKey,
    );
    const sharedSecret = (peer: Uint8Array) =>
      sharedSecrets.get(
        keyOf(group, own, peer),
        () => fastest.keyExchange(group, own.slice()).sharedSecret(peer),
      )?.slice();
    return { group, publicKey, sharedSecret, destroy: () => own.fill(0) };
  },
  verify: (scheme, publicKey, message, signature) =>
    verdicts.get(
      keyOf(scheme, publicKey, message, signature),
      () => fastest.verify(scheme, publicKey, message, signature),
    ),
};

function cachedKey(key: SigningKey): SigningKey {
  return {
    schemes: key.schemes,
    publicKey: key.publicKey,
    sign: (scheme, message) =>
      signatures.get(keyOf(scheme, key.publicKey, message), () => key.sign(scheme, message)),
  };
}

/** A credential whose signatures are kept. */
export function cachedCredential({ chain, key }: Credential): Credential {
  return { chain, key: cachedKey(key) };
}

/** A verifier whose good verdicts are kept. */
export function cachedVerifier(verifier: PeerVerifier): PeerVerifier {
  const verified = new Results<ReturnType<PeerVerifier>>();
  return (chain, now) => verified.get(keyOf(...chain), () => verifier(chain, now));
}
