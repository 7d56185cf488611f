// Which provider is used for what.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { EMPTY_BYTES } from "../../../src/base/bytes.ts";
import {
  composeProviders,
  describeProvider,
  fastestProvider,
  MEASURED_PREFERENCES,
  PROVIDER_NAMES,
  ProviderAbsentError,
  providerByName,
} from "../../../src/dtls/crypto/composed.ts";
import { nobleProvider } from "../../../src/dtls/crypto/noble.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";
import type { CryptoProvider } from "../../../src/dtls/crypto/provider.ts";
import { PRIVATE_KEYS, RFC6979_P256, RFC6979_P384, spki } from "./keys.ts";

/** A provider that does nothing but note what it is asked for. */
function recording(name: string, calls: string[]): CryptoProvider {
  const asked = (what: string) => {
    calls.push(`${name} ${what}`);
    return undefined as never;
  };
  return {
    name,
    hash: () => asked("hash"),
    hmac: () => asked("hmac"),
    aead: (aead) => asked(aead),
    recordNumberCipher: (aead) => asked(`${aead} mask`),
    keyExchange: (group) => asked(group),
    signingKey: () => asked("sign"),
    verify: (scheme) => asked(scheme),
  };
}

Deno.test("each primitive goes to the provider that the preferences name first", () => {
  const calls: string[] = [];
  const composed = composeProviders("test", [recording("a", calls), recording("b", calls)], {
    ...MEASURED_PREFERENCES,
    "hash": ["b", "a"],
    "hmac": ["a"],
    "aes-128-gcm": ["absent", "b"],
    "aes-128-gcm mask": ["a", "b"],
    "x25519": ["b"],
    "secp256r1 sign": ["b"],
    "rsa sign": ["absent"],
    "rsa verify": ["b"],
    "ed25519 verify": ["a"],
    "secp256r1 verify": ["b"],
    "secp384r1 verify": ["a"],
  });
  composed.hash("sha256");
  composed.hmac("sha256", EMPTY_BYTES, EMPTY_BYTES);
  composed.aead("aes-128-gcm", EMPTY_BYTES);
  composed.recordNumberCipher("aes-128-gcm", EMPTY_BYTES);
  composed.keyExchange("x25519", EMPTY_BYTES);
  composed.signingKey(PRIVATE_KEYS.get("secp256r1")!);
  composed.signingKey(PRIVATE_KEYS.get("rsa")!);
  composed.verify("rsa_pss_rsae_sha384", EMPTY_BYTES, EMPTY_BYTES, EMPTY_BYTES);
  composed.verify("rsa_pkcs1_sha256", EMPTY_BYTES, EMPTY_BYTES, EMPTY_BYTES);
  composed.verify("ed25519", EMPTY_BYTES, EMPTY_BYTES, EMPTY_BYTES);
  composed.verify("ecdsa_sha256", spki(RFC6979_P256), EMPTY_BYTES, EMPTY_BYTES);
  composed.verify("ecdsa_sha256", spki(RFC6979_P384), EMPTY_BYTES, EMPTY_BYTES);
  composed.verify("ecdsa_sha256", EMPTY_BYTES, EMPTY_BYTES, EMPTY_BYTES);
  assertEquals(calls, [
    "b hash",
    "a hmac",
    "b aes-128-gcm",
    "a aes-128-gcm mask",
    "b x25519",
    "b sign",
    "a sign",
    "b rsa_pss_rsae_sha384",
    "b rsa_pkcs1_sha256",
    "a ed25519",
    "b ecdsa_sha256",
    "a ecdsa_sha256",
    "b ecdsa_sha256",
  ]);
});

Deno.test("an unknown provider that preferences do not name is used for nothing", () => {
  const calls: string[] = [];
  const composed = fastestProvider(recording("stranger", calls));
  assertEquals([...composed.uses.values()].includes("stranger"), false);
  composed.hash("sha256").digest();
  assertEquals(calls, []);
});

Deno.test("the fastest provider has every primitive from one that has it, and libcrypto's where it is", () => {
  for (const [others, rsa] of [[[], "node"], [[recording("openssl", [])], "openssl"]] as const) {
    const composed = fastestProvider(...others);
    assertEquals(composed.uses.get("rsa sign"), rsa);
    assertEquals(composed.uses.get("rsa verify"), rsa);
    assertEquals(composed.uses.get("ed25519 sign"), "node");
    assertEquals(composed.uses.size, Object.keys(MEASURED_PREFERENCES).length);
  }
  for (const bytes of PRIVATE_KEYS.values()) {
    assert(fastestProvider().signingKey(bytes).schemes.length > 0);
  }
});

Deno.test("without any provider there is nothing to compose", () => {
  assertThrows(() => composeProviders("none", []), RangeError);
});

Deno.test("a name forces one provider for everything, or says that it is absent", () => {
  assertEquals(providerByName("node"), nodeProvider);
  assertEquals(providerByName("noble"), nobleProvider);
  assertEquals(providerByName("fastest").name, "fastest");
  assertThrows(() => providerByName("openssl"), ProviderAbsentError, "openssl");
  const openssl = recording("openssl", []);
  assertEquals(providerByName("openssl", openssl), openssl);
  for (const name of PROVIDER_NAMES) assertEquals(providerByName(name, openssl).name, name);
});

Deno.test("the description says what each provider is used for", () => {
  assertEquals(describeProvider(nobleProvider), "noble: everything");
  const text = describeProvider(fastestProvider());
  assertEquals(text.split("\n").length, 2);
  for (const primitive of Object.keys(MEASURED_PREFERENCES)) assertStringIncludes(text, primitive);
});
