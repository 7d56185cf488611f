// Key exchanges against RFC 7748 and RFC 5903, with each provider, and providers against each other.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes, EMPTY_BYTES, fromHex, toHex } from "../../../src/base/bytes.ts";
import { KeyConsumedError } from "../../../src/dtls/crypto/key_errors.ts";
import {
  type GroupName,
  KEY_EXCHANGE_RANDOMNESS_BYTES,
} from "../../../src/dtls/crypto/provider.ts";
import { GROUP_SHAPES, privateScalar } from "../../../src/dtls/crypto/scalar.ts";
import { EXCHANGING_PROVIDERS, keyExchangeOf, testExchanges } from "./providers.ts";

const GROUPS: readonly GroupName[] = ["x25519", "secp256r1", "secp384r1"];
const NIST_GROUPS = ["secp256r1", "secp384r1"] as const;

// RFC 7748 section 5.2: scalar, u-coordinate, result.
const X25519_VECTORS = [
  [
    "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
    "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
    "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
  ],
  [
    "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
    "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
    "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
  ],
] as const;

testExchanges("RFC 7748 section 5.2: x25519, non-canonical and high-bit values too", (provider) => {
  for (const [scalar, u, result] of X25519_VECTORS) {
    const exchange = keyExchangeOf(provider, "x25519", fromHex(scalar));
    assertEquals(toHex(exchange.sharedSecret(fromHex(u))!), result);
  }
});

testExchanges("RFC 7748 section 5.2: x25519, a thousand times over", (provider) => {
  const base = Uint8Array.of(9, ...new Uint8Array(31));
  let [k, u]: [Uint8Array, Uint8Array] = [base, base];
  for (let i = 0; i < 1_000; i++) {
    const next = keyExchangeOf(provider, "x25519", k).sharedSecret(u)!;
    if (i === 0) {
      const once = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
      assertEquals(toHex(next), once);
    }
    [k, u] = [next, k];
  }
  assertEquals(toHex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
});

// Source; the two private keys, the two public values, the secret.
const VECTORS: readonly (readonly [string, GroupName, string, string, string, string, string])[] = [
  [
    "RFC 7748 section 6.1",
    "x25519",
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
  ],
  [
    "RFC 5903 section 8.1",
    "secp256r1",
    "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
    "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
    "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180" +
    "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
    "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63" +
    "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
    "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
  ],
  [
    "RFC 5903 section 8.2",
    "secp384r1",
    "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655" +
    "e35b538041e649ee3faef896783ab194",
    "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942" +
    "e0308312916b8ed2960e4bd55a7448fc",
    "04667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6" +
    "de3ac808acb4bdb4c88732aee95f41aa" +
    "9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38e" +
    "eb9fcff3c2c947dae69b4c634573a81c",
    "04e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d" +
    "0d1ac43a0336def96fda41d0774a3571" +
    "dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1ff" +
    "f83fa40142209dff5eaad96db9e6386c",
    "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4" +
    "d603135569b9e9d09cf5d4a270f59746",
  ],
];

testExchanges("RFC 7748 and RFC 5903: public values and shared secrets", (provider) => {
  for (const [source, group, a, b, publicA, publicB, secret] of VECTORS) {
    const [one, other] = [a, b].map((key) => keyExchangeOf(provider, group, fromHex(key)));
    assertEquals(one!.group, group);
    assertEquals(toHex(one!.publicKey), publicA, source);
    assertEquals(toHex(other!.publicKey), publicB, source);
    assertEquals(toHex(one!.sharedSecret(fromHex(publicB))!), secret, source);
    assertEquals(toHex(other!.sharedSecret(fromHex(publicA))!), secret, source);
  }
});

testExchanges('RFC 8446 section 7.4.2: "leading zeros [...] MUST NOT be truncated"', (provider) => {
  // Multiples of the base point whose x begins with a zero byte; x is the secret with a peer whose private key is 1.
  const multiples = [
    ["secp256r1", 379, "005543894af3d00ed7d740abdbd75c96b06877b787db5f70eea78b90a8d7c00a"],
    [
      "secp384r1",
      197,
      "004d104b26ee5671f72c10c986841d3e65d285e2516161b7" +
      "baa341b12631b9e32b6f0d5896d8431c51d5d93a37cbc90e",
    ],
  ] as const;
  for (const [group, multiple, x] of multiples) {
    const scalar = (value: number) => {
      const bytes = new Uint8Array(GROUP_SHAPES[group].scalarBytes);
      new DataView(bytes.buffer).setUint32(bytes.length - 4, value);
      return bytes;
    };
    const long = keyExchangeOf(provider, group, scalar(multiple));
    assertEquals(toHex(long.publicKey).slice(2, 2 + x.length), x);
    const one = keyExchangeOf(provider, group, scalar(1));
    assertEquals(toHex(long.sharedSecret(one.publicKey)!), x);
  }
});

testExchanges(
  'RFC 8446 section 7.4.2: "whether the [...] shared secret is the all-zero value"',
  (provider) => {
    const smallOrder = [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "0000000000000000000000000000000000000000000000000000000000000080",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    for (const u of smallOrder) {
      const exchange = keyExchangeOf(provider, "x25519", new Uint8Array(32).fill(0x51));
      assertEquals(exchange.sharedSecret(fromHex(u)), undefined, u);
    }
  },
);

testExchanges(
  'RFC 8446 section 4.2.8.2: "a valid point on the elliptic curve", uncompressed',
  (provider) => {
    for (const group of NIST_GROUPS) {
      const exchange = () =>
        provider.keyExchange(group, new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(0x51));
      const peer = keyExchangeOf(
        provider,
        group,
        new Uint8Array(GROUP_SHAPES[group].scalarBytes).fill(0x33),
      );
      const point = peer.publicKey;
      const size = (point.length - 1) / 2;
      const offCurve = point.slice();
      offCurve[point.length - 1]! ^= 1;
      const swapped = point.slice();
      swapped[1]! ^= 0x80;
      const bad: Uint8Array[] = [
        EMPTY_BYTES,
        Uint8Array.of(0),
        offCurve,
        swapped,
        point.subarray(1),
        point.subarray(0, -1),
        concatBytes(point, Uint8Array.of(0)),
        concatBytes(Uint8Array.of(2 + (point.at(-1)! & 1)), point.subarray(1, 1 + size)),
        concatBytes(Uint8Array.of(6 + (point.at(-1)! & 1)), point.subarray(1)),
        concatBytes(Uint8Array.of(4), new Uint8Array(2 * size)),
        concatBytes(Uint8Array.of(4), new Uint8Array(2 * size).fill(0xff)),
        new Uint8Array(point.length),
      ];
      for (const value of bad) {
        assertEquals(
          exchange().sharedSecret(value),
          undefined,
          toHex(value),
        );
      }
      assert(exchange().sharedSecret(point) !== undefined);
    }
  },
);

testExchanges("x25519 refuses public values of other lengths", (provider) => {
  for (const length of [0, 31, 33, 65]) {
    const exchange = keyExchangeOf(provider, "x25519", new Uint8Array(32).fill(0x51));
    assertEquals(exchange.sharedSecret(new Uint8Array(length).fill(9)), undefined);
  }
});

testExchanges("a private key serves once, whatever came of it", (provider) => {
  for (const group of GROUPS) {
    const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(5);
    const peer = provider.keyExchange(group, randomness.map((byte) => byte + 1)).publicKey;
    const used = provider.keyExchange(group, randomness);
    assert(used.sharedSecret(peer) !== undefined);
    assertThrows(() => used.sharedSecret(peer), KeyConsumedError);
    const refused = provider.keyExchange(group, randomness);
    assertEquals(refused.sharedSecret(EMPTY_BYTES), undefined);
    assertThrows(() => refused.sharedSecret(peer), KeyConsumedError);
  }
});

testExchanges("an exchange that is given up serves no more", (provider) => {
  for (const group of GROUPS) {
    const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(5);
    const exchange = provider.keyExchange(group, randomness);
    const { publicKey } = exchange;
    exchange.destroy();
    exchange.destroy();
    assertThrows(() => exchange.sharedSecret(publicKey), KeyConsumedError);
    const used = provider.keyExchange(group, randomness);
    assert(used.sharedSecret(publicKey) !== undefined);
    used.destroy();
  }
});

testExchanges("the randomness is not changed, and has one length", (provider) => {
  for (const group of GROUPS) {
    const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(5);
    const peer = provider.keyExchange(group, randomness).publicKey;
    provider.keyExchange(group, randomness).sharedSecret(peer);
    assertEquals(randomness, new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES).fill(5));
    assertThrows(() => provider.keyExchange(group, randomness.subarray(1)), RangeError);
  }
});

Deno.test("scalars are from 1 to order - 1 for every randomness", () => {
  for (const group of NIST_GROUPS) {
    const { order, scalarBytes } = GROUP_SHAPES[group];
    const randomness = new Uint8Array(KEY_EXCHANGE_RANDOMNESS_BYTES);
    assertEquals(BigInt(`0x${toHex(privateScalar(group, randomness))}`), 1n);
    // order - 1 is zero after the reduction, and order - 2 the highest.
    const hex = (order! - 2n).toString(16).padStart(2 * randomness.length, "0");
    assertEquals(BigInt(`0x${toHex(privateScalar(group, fromHex(hex)))}`), order! - 1n);
    const next = (order! - 1n).toString(16).padStart(2 * randomness.length, "0");
    assertEquals(BigInt(`0x${toHex(privateScalar(group, fromHex(next)))}`), 1n);
    assertEquals(privateScalar(group, randomness).length, scalarBytes);
  }
});

Deno.test("the same randomness is the same key in every provider, and they agree on secrets", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...GROUPS),
      fc.uint8Array({
        minLength: KEY_EXCHANGE_RANDOMNESS_BYTES,
        maxLength: KEY_EXCHANGE_RANDOMNESS_BYTES,
      }),
      fc.uint8Array({
        minLength: KEY_EXCHANGE_RANDOMNESS_BYTES,
        maxLength: KEY_EXCHANGE_RANDOMNESS_BYTES,
      }),
      (group, ours, theirs) => {
        const peers = EXCHANGING_PROVIDERS.map((provider) =>
          provider.keyExchange(group, theirs).publicKey
        );
        for (const peer of peers) assertEquals(peer, peers[0]!);
        const secrets = EXCHANGING_PROVIDERS.map((provider) => {
          const secret = provider.keyExchange(group, ours).sharedSecret(peers[0]!)!;
          assertEquals(secret.constructor, Uint8Array);
          return toHex(secret);
        });
        assertEquals(new Set(secrets).size, 1);
      },
    ),
    { seed: 7748, numRuns: 60 },
  );
});
