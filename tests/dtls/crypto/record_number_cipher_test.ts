// Record number masks against published vectors, with each provider, and providers against each other.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes, fromHex, toHex } from "../../../src/base/bytes.ts";
import { AEAD_KEY_BYTES } from "../../../src/dtls/crypto/aead_shape.ts";
import { ChaChaBlock } from "../../../src/dtls/crypto/chacha_block.ts";
import { DestroyedKeyError } from "../../../src/dtls/crypto/key_errors.ts";
import type { AeadName } from "../../../src/dtls/crypto/provider.ts";
import { PROVIDERS, testEach } from "./providers.ts";

const AEAD_NAMES = Object.keys(AEAD_KEY_BYTES) as AeadName[];
const ASCENDING_KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

// QUIC's header protection (RFC 9001 section 5.4) is the same function of key and sample.
const VECTORS: readonly (readonly [string, AeadName, string, string, string])[] = [
  [
    "FIPS 197 appendix C.1",
    "aes-128-gcm",
    ASCENDING_KEY.slice(0, 32),
    "00112233445566778899aabbccddeeff",
    "69c4e0d86a7b0430d8cdb78070b4c55a",
  ],
  [
    "FIPS 197 appendix C.3",
    "aes-256-gcm",
    ASCENDING_KEY,
    "00112233445566778899aabbccddeeff",
    "8ea2b7ca516745bfeafc49904b496089",
  ],
  [
    "RFC 9001 appendix A.2",
    "aes-128-gcm",
    "9f50449e04a0e810283a1e9933adedd2",
    "d1b1c98dd7689fb8ec11d242b123dc9b",
    "437b9aec36",
  ],
  [
    "RFC 9001 appendix A.5",
    "chacha20-poly1305",
    "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
    "5e5cd55c41f69080575d7999c25a5bfb",
    "aefefe7d03",
  ],
  [
    "RFC 8439 section 2.3.2",
    "chacha20-poly1305",
    ASCENDING_KEY,
    "01000000000000090000004a00000000",
    "10f1e7e4d13b5915500fdd1fa32071c4",
  ],
];

testEach("masks are the published ones", (provider) => {
  for (const [source, name, key, sample, mask] of VECTORS) {
    const cipher = provider.recordNumberCipher(name, fromHex(key));
    const found = toHex(cipher.mask(fromHex(sample)));
    assertEquals(found.slice(0, mask.length), mask, source);
    cipher.destroy();
  }
});

testEach("masks do not depend on the masks before", (provider) => {
  for (const [source, name, key, sample, mask] of VECTORS) {
    const cipher = provider.recordNumberCipher(name, fromHex(key));
    for (let i = 0; i < 5; i++) {
      cipher.mask(new Uint8Array(16).fill(i));
      const unaligned = concatBytes(Uint8Array.of(1), fromHex(sample)).subarray(1);
      assertEquals(toHex(cipher.mask(unaligned)).slice(0, mask.length), mask, source);
    }
    cipher.destroy();
  }
});

testEach("a peer may put the highest block counter into a sample", (provider) => {
  const key = fromHex(ASCENDING_KEY);
  const sample = new Uint8Array(16).fill(0xff);
  const cipher = provider.recordNumberCipher("chacha20-poly1305", key);
  const mask = toHex(cipher.mask(sample)).slice(0, 32);
  assertEquals(mask, toHex(new ChaChaBlock(key).block(sample)).slice(0, 32));
  cipher.destroy();
});

testEach("samples and keys of wrong lengths are the caller's fault", (provider) => {
  for (const name of AEAD_NAMES) {
    assertThrows(() => provider.recordNumberCipher(name, new Uint8Array(24)), RangeError);
    const cipher = provider.recordNumberCipher(name, new Uint8Array(AEAD_KEY_BYTES[name]));
    const mask = toHex(cipher.mask(new Uint8Array(16)));
    for (const length of [0, 1, 15]) {
      assertThrows(() => cipher.mask(new Uint8Array(length)), RangeError);
    }
    // What follows the sample neither counts nor stays.
    for (const length of [17, 31, 32, 1_200]) {
      const ciphertext = new Uint8Array(length).fill(9, 16);
      assertEquals(toHex(cipher.mask(ciphertext)).slice(0, 32), mask.slice(0, 32));
    }
    assertEquals(toHex(cipher.mask(new Uint8Array(16))), mask);
    cipher.destroy();
  }
});

testEach("a destroyed record number cipher masks nothing", (provider) => {
  for (const name of AEAD_NAMES) {
    const key = new Uint8Array(AEAD_KEY_BYTES[name]).fill(7);
    const cipher = provider.recordNumberCipher(name, key);
    cipher.destroy();
    cipher.destroy();
    assertThrows(() => cipher.mask(new Uint8Array(16)), DestroyedKeyError);
    assertEquals(key, new Uint8Array(key.length).fill(7), "the caller's key is the caller's");
  }
});

Deno.test("RFC 8439 section 2.3.2: the whole ChaCha20 block", () => {
  const block = new ChaChaBlock(fromHex(ASCENDING_KEY));
  assertEquals(
    toHex(block.block(fromHex("01000000000000090000004a00000000"))),
    "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e" +
      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
  );
});

Deno.test("providers agree on masks of any key and sample", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...AEAD_NAMES),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      (name, keyMaterial, sample) => {
        const key = keyMaterial.subarray(0, AEAD_KEY_BYTES[name]);
        const masks = PROVIDERS.map((provider) => {
          const cipher = provider.recordNumberCipher(name, key);
          const mask = toHex(cipher.mask(sample).subarray(0, 16));
          cipher.destroy();
          return mask;
        });
        assertEquals(new Set(masks).size, 1);
      },
    ),
    { seed: 9147, numRuns: 300 },
  );
});
