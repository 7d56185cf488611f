// Runs one test against every crypto provider.

import { fastestProvider } from "../../../src/dtls/crypto/composed.ts";
import { HASH_BYTES } from "../../../src/dtls/crypto/hkdf.ts";
import { nobleProvider } from "../../../src/dtls/crypto/noble.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";
import { nodeKeyExchange } from "../../../src/dtls/crypto/node_keys.ts";
import {
  type CryptoProvider,
  type GroupName,
  type HashName,
  KEY_EXCHANGE_RANDOMNESS_BYTES,
  type KeyExchange,
} from "../../../src/dtls/crypto/provider.ts";
import { openOpensslProvider } from "../../../src/dtls_runtime/openssl.ts";
import { openLibcrypto } from "../../../src/dtls_runtime/openssl_library.ts";
import { opensslX25519Exchange } from "../../../src/dtls_runtime/openssl_x25519.ts";

/** The provider of the system's libcrypto, where this run may open it. */
export const OPENSSL: CryptoProvider | undefined = openOpensslProvider();

const others = OPENSSL === undefined ? [] : [OPENSSL];

/** Every provider that is present. */
export const PROVIDERS: readonly CryptoProvider[] = [
  nodeProvider,
  nobleProvider,
  fastestProvider(...others),
  ...others,
];

/** What has key exchanges. */
export type ExchangingProvider = Pick<CryptoProvider, "name" | "keyExchange">;

// Opened with this module, and not in a test: one that opened it, and did not close it, would fail for that.
const libcrypto = openLibcrypto();

/** Every provider, and those whose X25519 is another where that of WebAssembly does not run. */
export const EXCHANGING_PROVIDERS: readonly ExchangingProvider[] = [
  ...PROVIDERS,
  { name: "node without WebAssembly", keyExchange: nodeKeyExchange },
  ...libcrypto === undefined ? [] : [{
    name: "openssl without WebAssembly",
    keyExchange: (group: GroupName, randomness: Uint8Array) =>
      group === "x25519"
        ? opensslX25519Exchange(libcrypto, randomness)
        : OPENSSL!.keyExchange(group, randomness),
  }],
];

/** One test for each provider, with its name before the requirement's. That of an absent one is ignored, by name. */
export function testEach(name: string, body: (provider: CryptoProvider) => void): void {
  testWithEach(PROVIDERS, name, body);
}

/** The same with each provider that has key exchanges. */
export function testExchanges(name: string, body: (provider: ExchangingProvider) => void): void {
  testWithEach(EXCHANGING_PROVIDERS, name, body);
}

function testWithEach<Provider extends ExchangingProvider>(
  providers: readonly Provider[],
  name: string,
  body: (provider: Provider) => void,
): void {
  for (const provider of providers) Deno.test(`${provider.name}: ${name}`, () => body(provider));
  if (OPENSSL === undefined) Deno.test.ignore(`openssl: ${name}`, () => {});
}

/** A whole HMAC. */
export function hmacOf(
  provider: CryptoProvider,
  name: HashName,
  key: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const mac = new Uint8Array(HASH_BYTES[name]);
  provider.hmac(name, mac, key, ...parts);
  return mac;
}

/** The key exchange whose private key is this one: what `randomness` has to be is what the reduction undoes. */
export function keyExchangeOf(
  provider: ExchangingProvider,
  group: GroupName,
  privateKey: Uint8Array,
): KeyExchange {
  const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES);
  if (group === "x25519") {
    randomness.set(privateKey);
  } else {
    // The private key is the randomness modulo (order - 1), and one more.
    randomness.set(privateKey, randomness.length - privateKey.length);
    let at = randomness.length - 1;
    while (randomness[at] === 0) randomness[at--] = 0xff;
    randomness[at]!--;
  }
  return provider.keyExchange(group, randomness);
}

/** Every copy of `bytes` with one bit of it inverted, a view that the next step changes. */
export function* bitFlips(bytes: Uint8Array): Generator<Uint8Array> {
  const flipped = bytes.slice();
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    flipped[bit >>> 3]! ^= 1 << (bit & 7);
    yield flipped;
    flipped[bit >>> 3]! ^= 1 << (bit & 7);
  }
}
