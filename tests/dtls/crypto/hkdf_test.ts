// HKDF against RFC 5869 appendix A, HMAC against RFC 4231, hashes against FIPS 180-4's examples.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes, EMPTY_BYTES, toHex, utf8Bytes } from "../../../src/base/bytes.ts";
import { ByteWriter } from "../../../src/base/byte_writer.ts";
import {
  EMPTY_HASH,
  hkdfExpand,
  hkdfExpandLabel,
  hkdfExtract,
} from "../../../src/dtls/crypto/hkdf.ts";
import type { HashName } from "../../../src/dtls/crypto/provider.ts";
import { hmacOf, PROVIDERS, testEach } from "./providers.ts";

function ascending(first: number, last: number): Uint8Array {
  return Uint8Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

// RFC 5869 appendix A.1 to A.3; the others are of SHA-1.
const HKDF_VECTORS = [
  {
    ikm: new Uint8Array(22).fill(0x0b),
    salt: ascending(0x00, 0x0c),
    info: ascending(0xf0, 0xf9),
    prk: "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
    okm: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  },
  {
    ikm: ascending(0x00, 0x4f),
    salt: ascending(0x60, 0xaf),
    info: ascending(0xb0, 0xff),
    prk: "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
    okm:
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e" +
      "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
  },
  {
    ikm: new Uint8Array(22).fill(0x0b),
    salt: EMPTY_BYTES,
    info: EMPTY_BYTES,
    prk: "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
    okm: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
  },
];

testEach("RFC 5869 appendix A: HKDF-Extract and HKDF-Expand", (provider) => {
  for (const { ikm, salt, info, prk, okm } of HKDF_VECTORS) {
    const extracted = hkdfExtract(provider, "sha256", salt, ikm);
    assertEquals(toHex(extracted), prk);
    assertEquals(toHex(hkdfExpand(provider, "sha256", extracted, info, okm.length / 2)), okm);
  }
});

testEach("HKDF-Expand gives at most 255 blocks, labels at most 255 bytes", (provider) => {
  const secret = new Uint8Array(32);
  assertEquals(hkdfExpand(provider, "sha256", secret, EMPTY_BYTES, 255 * 32).length, 255 * 32);
  assertThrows(() => hkdfExpand(provider, "sha256", secret, EMPTY_BYTES, 255 * 32 + 1), RangeError);
  assertThrows(
    () => hkdfExpandLabel(provider, "sha256", "dtls13", secret, "x".repeat(250), EMPTY_BYTES, 32),
    RangeError,
  );
  assertThrows(
    () => hkdfExpandLabel(provider, "sha256", "dtls13", secret, "é", EMPTY_BYTES, 32),
    RangeError,
  );
  assertThrows(
    () => hkdfExpandLabel(provider, "sha256", "dtls13", secret, "x", EMPTY_BYTES, 255 * 32 + 1),
    RangeError,
  );
  assertThrows(
    () => hkdfExpandLabel(provider, "sha256", "dtls13", secret, "x", new Uint8Array(256), 32),
    RangeError,
  );
});

testEach(
  "a label expands to any length as HKDF-Expand does with HkdfLabel, and EMPTY_HASH is it",
  (provider) => {
    const secret = new Uint8Array(48).fill(4);
    const context = new Uint8Array(255).fill(9);
    for (const hash of ["sha256", "sha384", "sha512"] as const) {
      assertEquals(EMPTY_HASH[hash], provider.hash(hash).digest());
      for (const lengthBytes of [1, 12, 16, 31, 32, 33, 48, 64, 65, 300]) {
        const info = new ByteWriter().u16(lengthBytes).opaque(1, utf8Bytes("tls13 label"))
          .opaque(1, context).finish();
        assertEquals(
          hkdfExpandLabel(provider, hash, "tls13 ", secret, "label", context, lengthBytes),
          hkdfExpand(provider, hash, secret, info, lengthBytes),
        );
      }
    }
  },
);

// RFC 4231 sections 4.2, 4.3, 4.7: key, message, HMACs.
const HMAC_VECTORS: readonly (readonly [Uint8Array, string, Readonly<Record<HashName, string>>])[] =
  [
    [new Uint8Array(20).fill(0x0b), "Hi There", {
      sha256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      sha384: "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c" +
        "faea9ea9076ede7f4af152e8b2fa9cb6",
      sha512: "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde" +
        "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    }],
    [utf8Bytes("Jefe"), "what do ya want for nothing?", {
      sha256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      sha384: "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e" +
        "8e2240ca5e69e2c78b3239ecfab21649",
      sha512: "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" +
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    }],
    [new Uint8Array(131).fill(0xaa), "Test Using Larger Than Block-Size Key - Hash Key First", {
      sha256: "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
      sha384: "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6" +
        "0c2ef6ab4030fe8296248df163f44952",
      sha512: "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352" +
        "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
    }],
  ];

testEach("RFC 4231: HMAC, in one part and in many", (provider) => {
  for (const [key, text, macs] of HMAC_VECTORS) {
    const message = utf8Bytes(text);
    for (const [name, mac] of Object.entries(macs) as [HashName, string][]) {
      assertEquals(toHex(hmacOf(provider, name, key, message)), mac);
      const bytes = [...message].map((byte) => Uint8Array.of(byte));
      assertEquals(toHex(hmacOf(provider, name, key, EMPTY_BYTES, ...bytes)), mac);
    }
  }
});

// FIPS 180-4's examples of "abc".
const ABC_HASHES: Readonly<Record<HashName, string>> = {
  sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  sha384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed" +
    "8086072ba1e7cc2358baeca134c825a7",
  sha512: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
};

testEach("a hash goes on after its digest, and copies are independent", (provider) => {
  for (const [name, abc] of Object.entries(ABC_HASHES) as [HashName, string][]) {
    const empty = toHex(provider.hash(name).digest());
    const hash = provider.hash(name);
    assertEquals(toHex(hash.digest()), empty);
    hash.update(utf8Bytes("a"));
    const fork = hash.copy();
    fork.update(utf8Bytes("other"));
    hash.update(EMPTY_BYTES);
    hash.update(utf8Bytes("bc"));
    assertEquals(toHex(hash.digest()), abc);
    assertEquals(toHex(hash.digest()), abc);
    assertEquals(toHex(hash.copy().digest()), abc);
    const other = provider.hash(name);
    other.update(utf8Bytes("aother"));
    assertEquals(fork.digest(), other.digest());
  }
});

Deno.test("providers agree on hashes and HMACs of any bytes", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<HashName>("sha256", "sha384", "sha512"),
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
      (name, key, parts) => {
        const macs = PROVIDERS.map((provider) => toHex(hmacOf(provider, name, key, ...parts)));
        const hashes = PROVIDERS.map((provider) => {
          const hash = provider.hash(name);
          for (const part of parts) hash.update(part);
          return toHex(hash.digest());
        });
        assertEquals(new Set(macs).size, 1);
        assertEquals(new Set(hashes).size, 1);
        const joined = hmacOf(PROVIDERS[0]!, name, key, concatBytes(...parts));
        assertEquals(toHex(joined), macs[0]!);
      },
    ),
    { seed: 5869, numRuns: 200 },
  );
});

Deno.test("providers agree on HMACs of long parts, wherever one ends", () => {
  const key = new Uint8Array(32).fill(1);
  const bytes = Uint8Array.from({ length: 3_000 }, (_, i) => i);
  for (const name of ["sha256", "sha384"] as const) {
    for (
      const first of [0, 1, 63, 64, 900, 1_023, 1_024, 1_025, 1_087, 1_088, 1_089, 1_152, 1_153]
    ) {
      for (const second of [0, 1, 100, 1_024, 1_089, 1_800]) {
        const parts = [bytes.subarray(0, first), bytes.subarray(first, first + second), key];
        const macs = PROVIDERS.map((provider) => toHex(hmacOf(provider, name, key, ...parts)));
        assertEquals(new Set(macs).size, 1, `${first} ${second}`);
      }
    }
  }
});

testEach("of an HMAC as much is written as there is room for", (provider) => {
  const key = utf8Bytes("key");
  const text = utf8Bytes("text");
  const edge = Uint8Array.of(7);
  for (const name of ["sha256", "sha384", "sha512"] as const) {
    const mac = hmacOf(provider, name, key, text);
    for (const lengthBytes of [0, 1, 12, 16, 31, mac.length]) {
      const room = new Uint8Array(lengthBytes + 2).fill(7);
      provider.hmac(name, room.subarray(1, 1 + lengthBytes), key, text);
      assertEquals(room, concatBytes(edge, mac.subarray(0, lengthBytes), edge));
    }
    const long = new Uint8Array(mac.length + 1);
    assertThrows(() => provider.hmac(name, long, key, text), RangeError);
    assertEquals(hmacOf(provider, name, key, text), mac);
  }
});

testEach("what an HMAC is of may lie where it is written", (provider) => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i);
  const mac = hmacOf(provider, "sha256", bytes, bytes);
  provider.hmac("sha256", bytes, bytes, bytes);
  assertEquals(bytes, mac);
});

Deno.test("digests are plain byte strings, not views of a class of the runtime", () => {
  for (const provider of PROVIDERS) {
    assertEquals(provider.hash("sha256").digest().constructor, Uint8Array);
  }
});
