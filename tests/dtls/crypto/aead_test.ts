// AEADs against published vectors, with each provider, and providers against each other.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes, EMPTY_BYTES, fromHex, toHex, utf8Bytes } from "../../../src/base/bytes.ts";
import { AEAD_KEY_BYTES, TAG_BYTES } from "../../../src/dtls/crypto/aead_shape.ts";
import { DestroyedKeyError } from "../../../src/dtls/crypto/key_errors.ts";
import type { AeadName, CryptoProvider } from "../../../src/dtls/crypto/provider.ts";
import { bitFlips, PROVIDERS, testEach } from "./providers.ts";

const AEAD_NAMES = Object.keys(AEAD_KEY_BYTES) as AeadName[];

interface Vector {
  readonly source: string;
  readonly name: AeadName;
  readonly key: string;
  readonly nonce: string;
  readonly additionalData: string;
  readonly plaintext: string;
  readonly sealed: string;
}

const GCM_KEY = "feffe9928665731c6d6a8f9467308308";
const GCM_NONCE = "cafebabefacedbaddecaf888";
const GCM_PLAINTEXT = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const GCM_AAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
const ZERO_16 = "00".repeat(16);
const ZERO_12 = "00".repeat(12);

const GCM_128_SEALED = "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091";
const GCM_256_SEALED = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662";

const SUNSCREEN = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip " +
  "for the future, sunscreen would be it.";
const INTERNET_DRAFTS = "Internet-Drafts are draft documents valid for a maximum of six months " +
  "and may be updated, replaced, or obsoleted by other documents at any time. It is " +
  "inappropriate to use Internet-Drafts as reference material or to cite them other than as " +
  "/\u201cwork in progress./\u201d";

// GCM: the cases of the specification that NIST SP 800-38D refers to. ChaCha20-Poly1305: RFC 8439.
const VECTORS: readonly Vector[] = [
  {
    source: "GCM test case 1",
    name: "aes-128-gcm",
    key: ZERO_16,
    nonce: ZERO_12,
    additionalData: "",
    plaintext: "",
    sealed: "58e2fccefa7e3061367f1d57a4e7455a",
  },
  {
    source: "GCM test case 2",
    name: "aes-128-gcm",
    key: ZERO_16,
    nonce: ZERO_12,
    additionalData: "",
    plaintext: ZERO_16,
    sealed: "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
  },
  {
    source: "GCM test case 3",
    name: "aes-128-gcm",
    key: GCM_KEY,
    nonce: GCM_NONCE,
    additionalData: "",
    plaintext: GCM_PLAINTEXT + "1aafd255",
    sealed: GCM_128_SEALED + "473f5985" + "4d5c2af327cd64a62cf35abd2ba6fab4",
  },
  {
    source: "GCM test case 4",
    name: "aes-128-gcm",
    key: GCM_KEY,
    nonce: GCM_NONCE,
    additionalData: GCM_AAD,
    plaintext: GCM_PLAINTEXT,
    sealed: GCM_128_SEALED + "5bc94fbc3221a5db94fae95ae7121a47",
  },
  {
    source: "GCM test case 13",
    name: "aes-256-gcm",
    key: ZERO_16 + ZERO_16,
    nonce: ZERO_12,
    additionalData: "",
    plaintext: "",
    sealed: "530f8afbc74536b9a963b4f1c4cb738b",
  },
  {
    source: "GCM test case 14",
    name: "aes-256-gcm",
    key: ZERO_16 + ZERO_16,
    nonce: ZERO_12,
    additionalData: "",
    plaintext: ZERO_16,
    sealed: "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
  },
  {
    source: "GCM test case 15",
    name: "aes-256-gcm",
    key: GCM_KEY + GCM_KEY,
    nonce: GCM_NONCE,
    additionalData: "",
    plaintext: GCM_PLAINTEXT + "1aafd255",
    sealed: GCM_256_SEALED + "898015ad" + "b094dac5d93471bdec1a502270e3cc6c",
  },
  {
    source: "GCM test case 16",
    name: "aes-256-gcm",
    key: GCM_KEY + GCM_KEY,
    nonce: GCM_NONCE,
    additionalData: GCM_AAD,
    plaintext: GCM_PLAINTEXT,
    sealed: GCM_256_SEALED + "76fc6ece0f4e1768cddf8853bb2d551b",
  },
  {
    source: "RFC 8439 section 2.8.2",
    name: "chacha20-poly1305",
    key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    nonce: "070000004041424344454647",
    additionalData: "50515253c0c1c2c3c4c5c6c7",
    plaintext: toHex(utf8Bytes(SUNSCREEN)),
    sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
      "3ff4def08e4b7a9de576d26586cec64b6116" + "1ae10b594f09e26a7e902ecbd0600691",
  },
  {
    source: "RFC 8439 appendix A.5",
    name: "chacha20-poly1305",
    key: "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
    nonce: "000000000102030405060708",
    additionalData: "f33388860000000000004e91",
    plaintext: toHex(utf8Bytes(INTERNET_DRAFTS)),
    sealed: "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2" +
      "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf" +
      "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855" +
      "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4" +
      "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e" +
      "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a" +
      "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10" +
      "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29" +
      "a6ad5cb4022b02709b" + "eead9d67890cbb22392336fea1851f38",
  },
];

testEach("AEADs give the published vectors", (provider) => {
  for (const { source, name, key, nonce, additionalData, plaintext, sealed } of VECTORS) {
    const aead = provider.aead(name, fromHex(key));
    assertEquals(aead.tagBytes, TAG_BYTES);
    const out = new Uint8Array(sealed.length / 2);
    aead.seal(fromHex(nonce), fromHex(additionalData), fromHex(plaintext), out);
    assertEquals(toHex(out), sealed, source);
    const opened = aead.open(fromHex(nonce), fromHex(additionalData), out);
    assertEquals(toHex(opened!), plaintext, source);
    aead.destroy();
  }
});

/** A sealed text of 21 bytes with its parts, under a key that is not of zeros. */
function sealedText(provider: CryptoProvider, name: AeadName) {
  const aead = provider.aead(name, new Uint8Array(AEAD_KEY_BYTES[name]).fill(0x42));
  const nonce = fromHex("000102030405060708090a0b");
  const additionalData = fromHex("2c010203");
  const plaintext = utf8Bytes("select 1 from dual;;;");
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
  aead.seal(nonce, additionalData, plaintext, sealed);
  return { aead, nonce, additionalData, plaintext, sealed };
}

testEach("a bit flipped in ciphertext, tag, additional data or nonce is refused", (provider) => {
  for (const name of AEAD_NAMES) {
    const { aead, nonce, additionalData, plaintext, sealed } = sealedText(provider, name);
    for (const bad of bitFlips(sealed)) {
      assertEquals(aead.open(nonce, additionalData, bad), undefined);
    }
    for (const bad of bitFlips(nonce)) {
      assertEquals(aead.open(bad, additionalData, sealed), undefined);
    }
    for (const bad of bitFlips(additionalData)) {
      assertEquals(aead.open(nonce, bad, sealed), undefined);
    }
    assertEquals(aead.open(nonce, additionalData, sealed), plaintext);
    aead.destroy();
  }
});

testEach("every truncation of sealed bytes is refused, below the tag's length too", (provider) => {
  for (const name of AEAD_NAMES) {
    const { aead, nonce, additionalData, sealed } = sealedText(provider, name);
    for (let length = 0; length < sealed.length; length++) {
      assertEquals(aead.open(nonce, additionalData, sealed.subarray(0, length)), undefined);
    }
    assertEquals(aead.open(nonce, EMPTY_BYTES, sealed), undefined);
    aead.destroy();
  }
});

testEach("what may be replaced is so where the tag is right, and nowhere else", (provider) => {
  for (const name of AEAD_NAMES) {
    for (const lengthBytes of [0, 1, 64, 1_200, 2_047, 2_048, 2_049, 16_384]) {
      const plaintext = Uint8Array.from({ length: lengthBytes }, (_, i) => i);
      const { aead, nonce, additionalData } = sealedText(provider, name);
      const sealed = new Uint8Array(lengthBytes + TAG_BYTES);
      aead.seal(nonce, additionalData, plaintext, sealed);
      for (const at of [0, lengthBytes, lengthBytes + TAG_BYTES - 1]) {
        const damaged = sealed.slice();
        damaged[at]! ^= 1;
        const before = damaged.slice();
        assertEquals(aead.open(nonce, additionalData, damaged, true), undefined);
        assertEquals(damaged, before);
      }
      const tag = sealed.slice(lengthBytes);
      assertEquals(aead.open(nonce, additionalData, sealed, true), plaintext);
      assertEquals(sealed.subarray(lengthBytes), tag);
      aead.destroy();
    }
  }
});

testEach("plaintext may stand at the start of the room for the sealed bytes", (provider) => {
  for (const name of AEAD_NAMES) {
    for (const lengthBytes of [0, 1, 15, 16, 17, 63, 64, 65, 1_200]) {
      // An odd offset: nothing may depend on alignment.
      const plaintext = Uint8Array.from({ length: lengthBytes }, (_, i) => i);
      const buffer = new Uint8Array(lengthBytes + TAG_BYTES + 8).fill(0xee);
      const out = buffer.subarray(3, 3 + lengthBytes + TAG_BYTES);
      out.set(plaintext);
      const { aead, nonce, additionalData } = sealedText(provider, name);
      aead.seal(nonce, additionalData, out.subarray(0, lengthBytes), out);
      assertEquals(aead.open(nonce, additionalData, out), plaintext);
      assertEquals(toHex(buffer.subarray(0, 3)), "eeeeee");
      assertEquals(toHex(buffer.subarray(3 + out.length)), "eeeeeeeeee");
      aead.destroy();
    }
  }
});

testEach("opening neither changes what it opens nor gives a view of it", (provider) => {
  for (const name of AEAD_NAMES) {
    const { aead, nonce, additionalData, plaintext, sealed } = sealedText(provider, name);
    const before = sealed.slice();
    const opened = aead.open(nonce, additionalData, sealed)!;
    assertEquals(sealed, before);
    opened.fill(0);
    assertEquals(aead.open(nonce, additionalData, sealed), plaintext);
    aead.destroy();
  }
});

testEach("the key's bytes may be zeroed after the AEAD was made", (provider) => {
  for (const name of AEAD_NAMES) {
    const key = new Uint8Array(AEAD_KEY_BYTES[name]).fill(0x42);
    const aead = provider.aead(name, key);
    key.fill(0);
    const { nonce, additionalData, plaintext, sealed } = sealedText(provider, name);
    assertEquals(aead.open(nonce, additionalData, sealed), plaintext);
    aead.destroy();
  }
});

testEach("arguments of wrong lengths are the caller's fault", (provider) => {
  for (const name of AEAD_NAMES) {
    const { aead, nonce, additionalData, plaintext, sealed } = sealedText(provider, name);
    assertThrows(() => provider.aead(name, new Uint8Array(24)), RangeError);
    assertThrows(() => provider.aead(name, EMPTY_BYTES), RangeError);
    for (const bad of [nonce.subarray(1), concatBytes(nonce, nonce)]) {
      assertThrows(() => aead.seal(bad, additionalData, plaintext, sealed), RangeError);
      assertThrows(() => aead.open(bad, additionalData, sealed), RangeError);
    }
    for (const room of [sealed.subarray(1), new Uint8Array(sealed.length + 1)]) {
      assertThrows(() => aead.seal(nonce, additionalData, plaintext, room), RangeError);
    }
    aead.destroy();
  }
});

testEach("a destroyed AEAD seals and opens nothing", (provider) => {
  for (const name of AEAD_NAMES) {
    const { aead, nonce, additionalData, plaintext, sealed } = sealedText(provider, name);
    aead.destroy();
    aead.destroy();
    assertThrows(() => aead.seal(nonce, additionalData, plaintext, sealed), DestroyedKeyError);
    assertThrows(() => aead.open(nonce, additionalData, sealed), DestroyedKeyError);
  }
});

Deno.test("what one provider sealed another opens, byte for byte the same", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...AEAD_NAMES),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ maxLength: 1_500 }),
      (name, keyMaterial, nonce, additionalData, plaintext) => {
        const key = keyMaterial.subarray(0, AEAD_KEY_BYTES[name]);
        const aeads = PROVIDERS.map((provider) => provider.aead(name, key));
        const sealed = aeads.map((aead) => {
          const out = new Uint8Array(plaintext.length + TAG_BYTES);
          aead.seal(nonce, additionalData, plaintext, out);
          return out;
        });
        for (const bytes of sealed) {
          assertEquals(bytes, sealed[0]!);
          for (const aead of aeads) {
            assertEquals(aead.open(nonce, additionalData, bytes), plaintext);
          }
        }
        assert(sealed.length >= 2);
        for (const aead of aeads) aead.destroy();
      },
    ),
    { seed: 5116, numRuns: 300 },
  );
});
