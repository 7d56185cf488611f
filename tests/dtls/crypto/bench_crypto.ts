// Prints microseconds an operation of each provider: `deno run tests/dtls/crypto/bench_crypto.ts [PATTERN]`, with
// --allow-ffi for libcrypto. Not a test.

// deno-lint-ignore-file no-console -- printing is what it is for

import { HASH_BYTES } from "../../../src/dtls/crypto/hkdf.ts";
import { nobleProvider } from "../../../src/dtls/crypto/noble.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";
import { fastestProvider } from "../../../src/dtls/crypto/composed.ts";
import { openOpensslProvider } from "../../../src/dtls_runtime/openssl.ts";
import {
  type AeadName,
  type CryptoProvider,
  type GroupName,
  KEY_EXCHANGE_RANDOMNESS_BYTES,
} from "../../../src/dtls/crypto/provider.ts";
import { AEAD_KEY_BYTES, TAG_BYTES } from "../../../src/dtls/crypto/aead_shape.ts";
import { deriveSecret, DTLS13_LABEL_PREFIX } from "../../../src/dtls/crypto/hkdf.ts";
import { PRIVATE_KEYS } from "./keys.ts";

/**
 * How long one round of an operation runs, and how many rounds there are, of which the fastest counts: so short that
 * some of them are undisturbed on a busy machine.
 */
const ROUND_MS = 3;
const ROUND_COUNT = 60;

function microseconds(operation: () => void): number {
  let fastest = Infinity;
  for (let round = 0; round < ROUND_COUNT; round++) {
    const start = performance.now();
    let count = 0;
    let elapsedMs = 0;
    do {
      operation();
      count++;
      elapsedMs = performance.now() - start;
    } while (elapsedMs < ROUND_MS);
    fastest = Math.min(fastest, elapsedMs * 1_000 / count);
  }
  return fastest;
}

type Operations = Map<string, (provider: CryptoProvider) => () => void>;
const operations: Operations = new Map();

const nonce = new Uint8Array(12);
const header = new Uint8Array(5);

for (const name of ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const) addAead(name);

function addAead(name: AeadName): void {
  const key = new Uint8Array(AEAD_KEY_BYTES[name]);
  for (const lengthBytes of [64, 1_200]) {
    const plaintext = new Uint8Array(lengthBytes);
    const out = new Uint8Array(lengthBytes + TAG_BYTES);
    operations.set(`${name} seal ${lengthBytes}`, (provider) => {
      const aead = provider.aead(name, key);
      return () => aead.seal(nonce, header, plaintext, out);
    });
    operations.set(`${name} open ${lengthBytes}`, (provider) => {
      const aead = provider.aead(name, key);
      const sealed = new Uint8Array(out.length);
      aead.seal(nonce, header, plaintext, sealed);
      return () => aead.open(nonce, header, sealed);
    });
  }
  operations.set(`${name} mask`, (provider) => {
    const cipher = provider.recordNumberCipher(name, key);
    const sample = new Uint8Array(16);
    return () => cipher.mask(sample);
  });
}

const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(7);
for (const group of ["x25519", "secp256r1", "secp384r1"] as GroupName[]) {
  operations.set(`${group} start`, (provider) => () => {
    provider.keyExchange(group, randomness).publicKey;
  });
  operations.set(`${group} start and share`, (provider) => {
    const peer = provider.keyExchange(group, randomness).publicKey;
    return () => provider.keyExchange(group, randomness).sharedSecret(peer);
  });
}

const message = new Uint8Array(130);
for (const [kind, pkcs8] of PRIVATE_KEYS) {
  operations.set(`${kind} sign`, (provider) => {
    const key = provider.signingKey(pkcs8);
    return () => key.sign(key.schemes[0]!, message);
  });
  operations.set(`${kind} verify`, (provider) => {
    const key = provider.signingKey(pkcs8);
    const scheme = key.schemes[0]!;
    const signature = key.sign(scheme, message);
    return () => provider.verify(scheme, key.publicKey, message, signature);
  });
}

for (const name of ["sha256", "sha384"] as const) {
  for (const lengthBytes of [64, 1_200]) {
    const bytes = new Uint8Array(lengthBytes);
    operations.set(`${name} ${lengthBytes}`, (provider) => () => {
      const hash = provider.hash(name);
      hash.update(bytes);
      hash.digest();
    });
  }
  const key = new Uint8Array(32);
  operations.set(`hmac ${name} 64`, (provider) => {
    const bytes = new Uint8Array(64);
    const out = new Uint8Array(HASH_BYTES[name]);
    return () => provider.hmac(name, out, key, bytes);
  });
  operations.set(`derive-secret ${name}`, (provider) => {
    const transcriptHash = new Uint8Array(32);
    const label = "c hs traffic";
    return () => deriveSecret(provider, name, DTLS13_LABEL_PREFIX, key, label, transcriptHash);
  });
}

const openssl = openOpensslProvider();
const others = openssl === undefined ? [] : [openssl];
const providers = [nobleProvider, nodeProvider, ...others, fastestProvider(...others)];
const only = new RegExp(Deno.args[0] ?? "");
console.log(["microseconds".padEnd(28), ...providers.map((p) => p.name.padStart(10))].join(""));
for (const [name, prepare] of operations) {
  if (!only.test(name)) continue;
  const columns = providers.map((provider) => {
    try {
      return microseconds(prepare(provider)).toFixed(2);
    } catch {
      return "none"; // the provider lacks the primitive
    }
  });
  console.log([name.padEnd(28), ...columns.map((column) => column.padStart(10))].join(""));
}
