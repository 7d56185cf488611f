// Signatures against RFC 6979, RFC 8032 and hostile input, with each provider, and providers against each other.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { constants, createPrivateKey, sign as nodeSign } from "node:crypto";
import * as fc from "fast-check";
import { concatBytes, EMPTY_BYTES, fromHex, toHex, utf8Bytes } from "../../../src/base/bytes.ts";
import { UnsupportedKeyError } from "../../../src/dtls/crypto/key_errors.ts";
import { nobleProvider } from "../../../src/dtls/crypto/noble.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";
import { PARSED_KEY_COUNT_MAX } from "../../../src/dtls/crypto/key_cache.ts";
import { NodeVerifier } from "../../../src/dtls/crypto/node_keys.ts";
import type { SignatureName } from "../../../src/dtls/crypto/provider.ts";
import { GROUP_SHAPES } from "../../../src/dtls/crypto/scalar.ts";
import { rsaSchemes, SIGNATURE_SHAPES } from "../../../src/dtls/crypto/signature_shape.ts";
import {
  der,
  pkcs8,
  PRIVATE_KEYS,
  type PublishedKey,
  RFC6979_P256,
  RFC6979_P384,
  RFC8032_TEST1,
  rfc8448RsaPkcs8,
  spki,
} from "./keys.ts";
import { bitFlips, PROVIDERS, testEach } from "./providers.ts";

const ALL_SCHEMES = Object.keys(SIGNATURE_SHAPES) as SignatureName[];

/** An INTEGER of DER that is not negative. */
function derInteger(value: bigint): Uint8Array {
  const hex = value.toString(16);
  const bytes = fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
  return der(0x02, bytes[0]! >= 0x80 ? concatBytes(Uint8Array.of(0), bytes) : bytes);
}

function ecdsaSignature(r: bigint, s: bigint): Uint8Array {
  return der(0x30, derInteger(r), derInteger(s));
}

// RFC 6979 appendix A.2.5 with SHA-256 and A.2.6 with SHA-384: key, scheme, message, r, s.
const RFC6979_VECTORS: readonly (readonly [PublishedKey, SignatureName, string, bigint, bigint])[] =
  [
    [
      RFC6979_P256,
      "ecdsa_secp256r1_sha256",
      "sample",
      0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716n,
      0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8n,
    ],
    [
      RFC6979_P256,
      "ecdsa_secp256r1_sha256",
      "test",
      0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367n,
      0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083n,
    ],
    [
      RFC6979_P384,
      "ecdsa_secp384r1_sha384",
      "sample",
      0x94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46n,
      0x99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8n,
    ],
    [
      RFC6979_P384,
      "ecdsa_secp384r1_sha384",
      "test",
      0x8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F1DD3CA3CF023DBn,
      0xDDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A739F040649A667BF3B828246BAA5A5n,
    ],
  ];

testEach(
  "RFC 6979: ECDSA verifies the published signatures, of which s may be the higher",
  (provider) => {
    for (const [key, scheme, text, r, s] of RFC6979_VECTORS) {
      const message = utf8Bytes(text);
      const { order } = GROUP_SHAPES[key.kind as "secp256r1" | "secp384r1"];
      assert(provider.verify(scheme, spki(key), message, ecdsaSignature(r, s)));
      assert(provider.verify(scheme, spki(key), message, ecdsaSignature(r, order! - s)));
      assert(!provider.verify(scheme, spki(key), message, ecdsaSignature(s, r)));
      assert(!provider.verify(scheme, spki(key), utf8Bytes("other"), ecdsaSignature(r, s)));
    }
  },
);

Deno.test("RFC 6979: the portable provider's ECDSA signatures are the published ones", () => {
  for (const [key, scheme, text, r, s] of RFC6979_VECTORS) {
    const signed = nobleProvider.signingKey(pkcs8(key)).sign(scheme, utf8Bytes(text));
    assertEquals(toHex(signed), toHex(ecdsaSignature(r, s)));
  }
});

// RFC 8032 section 7.1, tests 1 to 3: secret key, public key, message, signature.
const RFC8032_VECTORS = [
  [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155" +
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  ],
  [
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  ],
  [
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac" +
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  ],
] as const;

testEach(
  "RFC 8032 section 7.1: Ed25519 signs and verifies the published signatures",
  (provider) => {
    for (const [seed, point, message, signature] of RFC8032_VECTORS) {
      const published = {
        kind: "ed25519",
        privateKey: fromHex(seed),
        publicKey: fromHex(point),
      } as const;
      const key = provider.signingKey(pkcs8(published));
      assertEquals(key.publicKey, spki(published));
      assertEquals(toHex(key.sign("ed25519", fromHex(message))), signature);
      assert(provider.verify("ed25519", key.publicKey, fromHex(message), fromHex(signature)));
    }
  },
);

testEach("RFC 8032 section 5.1.7: s of Ed25519 is below the order of the group", (provider) => {
  const [, point, message, signature] = RFC8032_VECTORS[1];
  const key = { kind: "ed25519", privateKey: EMPTY_BYTES, publicKey: fromHex(point) } as const;
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const bytes = fromHex(signature);
  const s = BigInt(`0x${toHex(bytes.slice(32).reverse())}`) + order;
  const higher = fromHex(s.toString(16).padStart(64, "0")).reverse();
  const forged = concatBytes(bytes.subarray(0, 32), higher);
  assert(provider.verify("ed25519", spki(key), fromHex(message), bytes));
  assert(!provider.verify("ed25519", spki(key), fromHex(message), forged));
});

// RFC 6979 appendices A.2.5 and A.2.6, "sample" with the hashes that are not the curve's own.
const RFC6979_FREE_VECTORS: readonly (readonly [PublishedKey, SignatureName, bigint, bigint])[] = [
  [
    RFC6979_P256,
    "ecdsa_sha384",
    0x0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719n,
    0x4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954n,
  ],
  [
    RFC6979_P256,
    "ecdsa_sha512",
    0x8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00n,
    0x2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FEn,
  ],
  [
    RFC6979_P384,
    "ecdsa_sha256",
    0x21B13D1E013C7FA1392D03C5F99AF8B30C570C6F98D4EA8E354B63A21D3DAA33BDE1E888E63355D92FA2B3C36D8FB2CDn,
    0xF3AA443FB107745BF4BD77CB3891674632068A10CA67E3D45DB2266FA7D1FEEBEFDC63ECCD1AC42EC0CB8668A4FA0AB0n,
  ],
  [
    RFC6979_P384,
    "ecdsa_sha512",
    0xED0959D5880AB2D869AE7F6C2915C6D60F96507F9CB3E047C0046861DA4A799CFE30F35CC900056D7C99CD7882433709n,
    0x512C8CCEEE3890A84058CE1E22DBC2198F42323CE8ACA9135329F03C068E5112DC7CC3EF3446DEFCEB01A45C2667FDD5n,
  ],
];

testEach(
  "RFC 6979: ECDSA with any hash verifies the published signatures, and no other hash's",
  (provider) => {
    const free: readonly SignatureName[] = ["ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512"];
    for (const [key, scheme, r, s] of RFC6979_FREE_VECTORS) {
      const signature = ecdsaSignature(r, s);
      for (const other of free) {
        const verified = provider.verify(other, spki(key), utf8Bytes("sample"), signature);
        assertEquals(verified, other === scheme);
      }
    }
    for (const [key, scheme, text, r, s] of RFC6979_VECTORS) {
      const free = scheme === "ecdsa_secp256r1_sha256" ? "ecdsa_sha256" : "ecdsa_sha384";
      assert(provider.verify(free, spki(key), utf8Bytes(text), ecdsaSignature(r, s)));
    }
  },
);

testEach("ECDSA: r and s of zero, and from the order upwards, are refused", (provider) => {
  for (const [key, scheme, text, r, s] of RFC6979_VECTORS) {
    const { order } = GROUP_SHAPES[key.kind as "secp256r1" | "secp384r1"];
    const n = order!;
    const bad = [[0n, 0n], [0n, s], [r, 0n], [n, s], [r, n], [r + n, s], [r, s + n], [n, n], [
      0n,
      n,
    ], [1n, 0n]];
    for (const [badR, badS] of bad) {
      const signature = ecdsaSignature(badR!, badS!);
      assert(!provider.verify(scheme, spki(key), utf8Bytes(text), signature));
    }
  }
});

testEach("ECDSA: a signature has one encoding, DER", (provider) => {
  const [key, scheme, text, r, s] = RFC6979_VECTORS[0]!;
  const message = utf8Bytes(text);
  const good = ecdsaSignature(r, s);
  const raw = (value: bigint) => fromHex(value.toString(16).padStart(64, "0"));
  const [derR, derS] = [derInteger(r), derInteger(s)];
  const bad: Uint8Array[] = [
    EMPTY_BYTES,
    concatBytes(raw(r), raw(s)),
    concatBytes(good, Uint8Array.of(0)),
    der(0x30, derR, derS, Uint8Array.of(0)),
    der(0x30, derR),
    der(0x30, derR, derS, derS),
    der(0x31, derR, derS),
    concatBytes(Uint8Array.of(0x30, 0x81, good[1]!), good.subarray(2)),
    concatBytes(Uint8Array.of(0x30, 0x80), good.subarray(2), Uint8Array.of(0, 0)),
    der(0x30, der(0x02, concatBytes(Uint8Array.of(0), derR.subarray(2))), derS),
    der(0x30, der(0x02, raw(r)), derS), // its first bit is set: negative
    der(0x30, der(0x02), derS),
  ];
  assert(provider.verify(scheme, spki(key), message, good));
  for (const signature of bad) {
    assert(!provider.verify(scheme, spki(key), message, signature), toHex(signature));
  }
  for (let length = 0; length < good.length; length++) {
    assert(!provider.verify(scheme, spki(key), message, good.subarray(0, length)));
  }
});

testEach("every key signs with each of its schemes, and with no other", (provider) => {
  for (const [kind, bytes] of PRIVATE_KEYS) {
    if (kind === "rsa" && provider.name === "noble") continue;
    const key = provider.signingKey(bytes);
    assert(key.schemes.length > 0);
    const message = utf8Bytes("message");
    for (const scheme of ALL_SCHEMES) {
      if (!key.schemes.includes(scheme)) {
        assertThrows(() => key.sign(scheme, message), UnsupportedKeyError);
        continue;
      }
      const signature = key.sign(scheme, message);
      for (const other of ALL_SCHEMES) {
        const verified = provider.verify(other, key.publicKey, message, signature);
        // The same algorithm and hash, with and without a tie to the curve, are two names of one thing.
        const isSame = key.schemes.includes(other) &&
          SIGNATURE_SHAPES[other].algorithm === SIGNATURE_SHAPES[scheme].algorithm &&
          SIGNATURE_SHAPES[other].hash === SIGNATURE_SHAPES[scheme].hash;
        assertEquals(verified, isSame, `${scheme} as ${other}`);
      }
      assert(!provider.verify(scheme, key.publicKey, utf8Bytes("massage"), signature));
    }
  }
});

testEach(
  "a bit flipped in a signature or a public key is refused, and nothing throws",
  (provider) => {
    const keys = [[RFC6979_P256, "ecdsa_secp256r1_sha256"], [RFC8032_TEST1, "ed25519"]] as const;
    for (const [published, scheme] of keys) {
      const message = utf8Bytes("message");
      const signature = provider.signingKey(pkcs8(published)).sign(scheme, message);
      const publicKey = spki(published);
      // Every bit of P-256 is slow in the portable provider: every fifth.
      let bit = 0;
      for (const bad of bitFlips(signature)) {
        if (bit++ % 5 === 0) assert(!provider.verify(scheme, publicKey, message, bad));
      }
      for (const bad of bitFlips(publicKey)) {
        if (bit++ % 5 === 0) assert(!provider.verify(scheme, bad, message, signature));
      }
      for (let length = 0; length < publicKey.length; length++) {
        assert(!provider.verify(scheme, publicKey.subarray(0, length), message, signature));
      }
      const longer = concatBytes(publicKey, Uint8Array.of(0));
      assert(!provider.verify(scheme, longer, message, signature));
      assert(!provider.verify(scheme, new Uint8Array(100_000), message, signature));
      assert(provider.verify(scheme, publicKey, message, signature));
    }
  },
);

testEach("RFC 8422: a public key is an uncompressed point, in a certificate too", (provider) => {
  const [key, scheme, text, r, s] = RFC6979_VECTORS[0]!;
  const point = key.publicKey;
  const compressed = concatBytes(Uint8Array.of(2 + (point.at(-1)! & 1)), point.subarray(1, 33));
  const algorithm = fromHex("301306072a8648ce3d020106082a8648ce3d030107");
  const hybrid = concatBytes(Uint8Array.of(6 + (point.at(-1)! & 1)), point.subarray(1));
  const signature = ecdsaSignature(r, s);
  for (const [form, good] of [[compressed, false], [hybrid, false], [point, true]] as const) {
    const publicKey = der(0x30, algorithm, der(0x03, Uint8Array.of(0), form));
    assertEquals(provider.verify(scheme, publicKey, utf8Bytes(text), signature), good);
  }
});

testEach("a private key that is none is refused", (provider) => {
  const good = pkcs8(RFC6979_P256);
  const zero = { ...RFC6979_P256, privateKey: new Uint8Array(32) };
  const order = fromHex(GROUP_SHAPES.secp256r1.order!.toString(16));
  const atOrder = { ...RFC6979_P256, privateKey: order };
  const strange = { ...RFC6979_P256, privateKey: new Uint8Array(32).fill(7) };
  const bad = [
    EMPTY_BYTES,
    good.subarray(0, -1),
    concatBytes(good, Uint8Array.of(0)),
    pkcs8(zero),
    pkcs8(atOrder),
    pkcs8(strange), // it stands beside the public key of another
    spki(RFC6979_P256),
    // An X25519 key is no signing key (RFC 8410 section 3).
    concatBytes(fromHex("302e020100300506032b656e04220420"), new Uint8Array(32).fill(3)),
  ];
  for (const bytes of bad) assertThrows(() => provider.signingKey(bytes), UnsupportedKeyError);
  assertThrows(() => provider.signingKey(bad[0]!), TypeError);
});

testEach("the bytes of a private key may be zeroed after it was loaded", (provider) => {
  for (const published of [RFC6979_P256, RFC6979_P384, RFC8032_TEST1]) {
    const bytes = pkcs8(published);
    const key = provider.signingKey(bytes);
    bytes.fill(0);
    const scheme = key.schemes[0]!;
    const signature = key.sign(scheme, utf8Bytes("x"));
    assertEquals(key.publicKey, spki(published));
    assert(provider.verify(scheme, spki(published), utf8Bytes("x"), signature));
  }
});

/** Distinct Ed25519 public keys, each with a signature of the message. */
function manyKeys(count: number, message: Uint8Array) {
  return Array.from({ length: count }, (_, i) => {
    const seed = new Uint8Array(32).fill(i);
    const key = nodeProvider.signingKey(pkcs8({ ...RFC8032_TEST1, privateKey: seed }));
    return { publicKey: key.publicKey, signature: key.sign("ed25519", message) };
  });
}

Deno.test("parsed public keys are kept up to a bound, and all others verify as well", () => {
  const message = utf8Bytes("x");
  const keys = manyKeys(PARSED_KEY_COUNT_MAX + 6, message);
  const verifier = new NodeVerifier();
  for (let round = 0; round < 2; round++) {
    for (const [i, { publicKey, signature }] of keys.entries()) {
      assert(verifier.verify("ed25519", publicKey, message, signature));
      const other = keys[(i + 1) % keys.length]!.signature;
      assert(!verifier.verify("ed25519", publicKey, message, other));
      assert(verifier.keptCount <= PARSED_KEY_COUNT_MAX);
    }
  }
  assertEquals(verifier.keptCount, PARSED_KEY_COUNT_MAX);
});

testEach('RFC 8032 section 5.1.3: "If x = 0, and x_0 = 1, decoding fails"', (provider) => {
  // With the identity for key and R, s = 0 fits every message.
  const identity = Uint8Array.of(1, ...new Uint8Array(31));
  const negative = Uint8Array.of(1, ...new Uint8Array(30), 0x80);
  const signature = concatBytes(negative, new Uint8Array(32));
  for (const publicKey of [identity, negative]) {
    const bytes = spki({ ...RFC8032_TEST1, publicKey });
    assert(!provider.verify("ed25519", bytes, utf8Bytes("x"), signature));
  }
});

Deno.test("the portable provider has no RSA, and says so", () => {
  const error = assertThrows(
    () => nobleProvider.signingKey(rfc8448RsaPkcs8()),
    UnsupportedKeyError,
    "RSA",
  );
  assert(error instanceof TypeError);
  const key = nodeProvider.signingKey(rfc8448RsaPkcs8());
  const signature = key.sign("rsa_pss_rsae_sha256", utf8Bytes("x"));
  const { publicKey } = key;
  assert(nodeProvider.verify("rsa_pss_rsae_sha256", publicKey, utf8Bytes("x"), signature));
  assert(!nobleProvider.verify("rsa_pss_rsae_sha256", publicKey, utf8Bytes("x"), signature));
});

Deno.test('RFC 8446 section 4.2.3: "The length of the Salt MUST be equal to the [...] digest"', () => {
  const key = createPrivateKey({
    key: Buffer.from(rfc8448RsaPkcs8()),
    format: "der",
    type: "pkcs8",
  });
  const { publicKey } = nodeProvider.signingKey(rfc8448RsaPkcs8());
  const message = utf8Bytes("x");
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  for (const saltLength of [0, 20, 31, 32, 33]) {
    const signature = nodeSign("sha256", message, { key, padding, saltLength });
    const verified = nodeProvider.verify("rsa_pss_rsae_sha256", publicKey, message, signature);
    assertEquals(verified, saltLength === 32, `${saltLength}`);
  }
  const pkcs1 = nodeSign("sha256", message, key);
  assert(!nodeProvider.verify("rsa_pss_rsae_sha256", publicKey, message, pkcs1));
});

Deno.test("RSA keys are used with the hashes that they have room for, and not beyond 8,192 bits", () => {
  const pss = ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"] as const;
  const pkcs1 = ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512"] as const;
  assertEquals(rsaSchemes(2_048, 65_537n), [...pss, ...pkcs1]);
  assertEquals(rsaSchemes(8_192, 65_537n), [...pss, ...pkcs1]);
  assertEquals(rsaSchemes(1_034, 65_537n), [...pss, ...pkcs1]);
  assertEquals(rsaSchemes(1_033, 65_537n), [...pss.slice(0, 2), ...pkcs1]);
  assertEquals(rsaSchemes(745, 65_537n), [pss[0], ...pkcs1]);
  assertEquals(rsaSchemes(744, 65_537n), [pss[0], ...pkcs1.slice(0, 2)]);
  assertEquals(rsaSchemes(489, 65_537n), [pkcs1[0]]);
  assertEquals(rsaSchemes(488, 65_537n), []);
  assertEquals(rsaSchemes(8_193, 65_537n), []);
  assertEquals(rsaSchemes(2_048, 2n ** 32n + 1n), []);
  for (const exponent of [0n, 1n, 2n, 4n, 65_536n]) assertEquals(rsaSchemes(2_048, exponent), []);
  assertEquals(rsaSchemes(2_048, 3n), [...pss, ...pkcs1]);
  const key = nodeProvider.signingKey(rfc8448RsaPkcs8());
  assertEquals(key.schemes, rsaSchemes(1_024, 65_537n));
});

Deno.test("what one provider signed every other verifies", () => {
  const curves = [RFC6979_P256, RFC6979_P384, RFC8032_TEST1];
  fc.assert(
    fc.property(
      fc.constantFrom(...curves),
      fc.uint8Array({ maxLength: 300 }),
      (published, message) => {
        for (const signer of PROVIDERS) {
          const key = signer.signingKey(pkcs8(published));
          assertEquals(key.publicKey, spki(published));
          const scheme = key.schemes[0]!;
          const signature = key.sign(scheme, message);
          for (const verifier of PROVIDERS) {
            assert(verifier.verify(scheme, key.publicKey, message, signature));
          }
        }
      },
    ),
    { seed: 6979, numRuns: 25 },
  );
});
