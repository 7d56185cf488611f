// Imported PSKs, against the formulas of RFC 9258 spelled out with one HMAC each.

import { assertEquals, assertNotEquals } from "@std/assert";
import { concatBytes, fromHex, toHex, utf8Bytes } from "../../src/base/bytes.ts";
import type { HashName } from "../../src/dtls/crypto/provider.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { type ExternalPsk, offerablePsk, offeredIdentity } from "../../src/dtls/psk_importer.ts";
import { hmacOf, testEach } from "./crypto/providers.ts";

const PSK: ExternalPsk = {
  identity: utf8Bytes("psk1"),
  key: utf8Bytes("ABCD".repeat(8)),
  context: utf8Bytes("context1"),
};

// external_identity, context, target_protocol 0xfefc, target_kdf.
const IDENTITY = "0004" + toHex(utf8Bytes("psk1")) + "0008" + toHex(utf8Bytes("context1")) + "fefc";

function expected(ownHash: HashName, identity: Uint8Array, lengthBytes: number): Uint8Array {
  const hash = nodeProvider.hash(ownHash);
  hash.update(identity);
  const context = hash.digest();
  const label = utf8Bytes("dtls13derived psk");
  const info = concatBytes(
    Uint8Array.of(0, lengthBytes, label.length),
    label,
    Uint8Array.of(context.length),
    context,
    Uint8Array.of(1),
  );
  const extracted = hmacOf(nodeProvider, ownHash, new Uint8Array(0), PSK.key);
  return hmacOf(nodeProvider, ownHash, extracted, info).subarray(0, lengthBytes);
}

testEach("RFC 9258 section 5.1: the identity and the key of an imported PSK", (provider) => {
  const imported = offerablePsk(provider, PSK, "sha256")!;
  assertEquals(imported.identity, fromHex(IDENTITY + "0001"));
  assertEquals(imported.key, expected("sha256", imported.identity, 32));
  assertEquals([imported.hash, imported.kind], ["sha256", "imported"]);
  const own384 = offerablePsk(provider, { ...PSK, hash: "sha384" }, "sha384")!;
  assertEquals(own384.identity, fromHex(IDENTITY + "0002"));
  assertEquals(own384.key, expected("sha384", own384.identity, 48));
  const mixed = offerablePsk(provider, { ...PSK, hash: "sha384" }, "sha256")!;
  assertEquals(mixed.identity, fromHex(IDENTITY + "0001"));
  assertEquals(mixed.key, expected("sha384", mixed.identity, 32));
});

Deno.test("identity, context, protocol and hash each give another key", () => {
  const key = (psk: ExternalPsk, hash: HashName = "sha256") =>
    toHex(offerablePsk(nodeProvider, psk, hash)!.key.subarray(0, 32));
  const others = [
    key({ ...PSK, identity: utf8Bytes("psk2") }),
    key({ ...PSK, context: utf8Bytes("context2") }),
    key({ ...PSK, key: utf8Bytes("ABCE".repeat(8)) }),
    key(PSK, "sha384"),
  ];
  assertEquals(new Set([key(PSK), ...others]).size, 5);
  // What stands in one field cannot be moved to the next.
  const moved = { ...PSK, identity: utf8Bytes("psk1c"), context: utf8Bytes("ontext1") };
  assertNotEquals(key(moved), key(PSK));
});

Deno.test("a PSK that is not imported is for its own hash alone, as it is", () => {
  const plain = { ...PSK, isImported: false };
  assertEquals(offerablePsk(nodeProvider, plain, "sha256"), {
    identity: PSK.identity,
    key: PSK.key,
    hash: "sha256",
    kind: "external",
  });
  assertEquals(offerablePsk(nodeProvider, plain, "sha384"), undefined);
  assertEquals(offeredIdentity({ ...plain, hash: "sha384" }, "sha384"), PSK.identity);
  assertEquals(offeredIdentity(PSK, "sha512"), undefined);
});
