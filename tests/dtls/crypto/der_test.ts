// Reading keys in DER: strict, and a typed error for everything else.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes, EMPTY_BYTES, fromHex } from "../../../src/base/bytes.ts";
import { DecodeError } from "../../../src/base/byte_reader.ts";
import { readPrivateKey, readPublicKey, writePublicKey } from "../../../src/dtls/crypto/der.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";
import {
  der,
  pkcs8,
  RFC6979_P256,
  RFC6979_P384,
  RFC8032_TEST1,
  rfc8448RsaPkcs8,
  spki,
} from "./keys.ts";
import { bitFlips } from "./providers.ts";

const PUBLISHED = [RFC6979_P256, RFC6979_P384, RFC8032_TEST1];
const P256_ALGORITHM = fromHex("301306072a8648ce3d020106082a8648ce3d030107");
const ED25519_ALGORITHM = fromHex("300506032b6570");
const V1 = Uint8Array.of(2, 1, 0);
const V2 = Uint8Array.of(2, 1, 1);

Deno.test("keys are read as they were written", () => {
  for (const key of PUBLISHED) {
    const { kind, publicKey } = key;
    assertEquals(readPublicKey(writePublicKey(kind, publicKey)), { kind, key: publicKey });
    const read = readPrivateKey(pkcs8(key));
    assertEquals(read.kind, kind);
    assertEquals(read.key, key.privateKey);
    assertEquals(read.publicKey, kind === "ed25519" ? undefined : publicKey);
  }
});

Deno.test("RSA keys are recognised, and their contents left as they are", () => {
  assertEquals(readPrivateKey(rfc8448RsaPkcs8()).kind, "rsa");
  const { publicKey } = nodeProvider.signingKey(rfc8448RsaPkcs8());
  assertEquals(readPublicKey(publicKey).kind, "rsa");
});

Deno.test("RFC 8410 section 7: Ed25519 with attributes and with its public key", () => {
  const seed = der(0x04, der(0x04, RFC8032_TEST1.privateKey));
  const attributes = fromHex("a01f301d060a2a864886f70d01090914310f0c0d437572646c6520436861697273");
  const publicKey = der(0x81, Uint8Array.of(0), RFC8032_TEST1.publicKey);
  const read = readPrivateKey(der(0x30, V2, ED25519_ALGORITHM, seed, attributes, publicKey));
  assertEquals(read.key, RFC8032_TEST1.privateKey);
  assertEquals(read.publicKey, RFC8032_TEST1.publicKey);
  // RFC 5958 section 2: a public key makes it version 2.
  const v1 = der(0x30, V1, ED25519_ALGORITHM, seed, publicKey);
  assertThrows(() => readPrivateKey(v1), DecodeError);
});

/** PKCS#8 of a P-256 key whose ECPrivateKey has these parts after its version. */
function p256(...parts: readonly Uint8Array[]): Uint8Array {
  const inner = der(0x30, Uint8Array.of(2, 1, 1), ...parts);
  return der(0x30, V1, P256_ALGORITHM, der(0x04, inner));
}

Deno.test("RFC 5915 section 3: parameters and public key of an ECPrivateKey are optional", () => {
  const scalar = der(0x04, RFC6979_P256.privateKey);
  const curve = der(0xa0, fromHex("06082a8648ce3d030107"));
  const publicKey = der(0xa1, der(0x03, Uint8Array.of(0), RFC6979_P256.publicKey));
  assertEquals(readPrivateKey(p256(scalar)).publicKey, undefined);
  assertEquals(readPrivateKey(p256(scalar, curve)).key, RFC6979_P256.privateKey);
  const whole = readPrivateKey(p256(scalar, curve, publicKey));
  assertEquals(whole.publicKey, RFC6979_P256.publicKey);
  assertThrows(() => readPrivateKey(p256(scalar, publicKey, curve)), DecodeError);
  assertThrows(() => readPrivateKey(p256(scalar, publicKey, EMPTY_BYTES, curve)), DecodeError);
});

Deno.test("an ECPrivateKey of another curve, length or version is refused", () => {
  const scalar = der(0x04, RFC6979_P256.privateKey);
  const bad = [
    p256(scalar, der(0xa0, fromHex("06052b81040022"))),
    p256(scalar, der(0xa0)),
    p256(scalar, der(0xa0, fromHex("07"))),
    p256(der(0x04, RFC6979_P256.privateKey.subarray(1))),
    p256(der(0x04, RFC6979_P384.privateKey)),
    p256(),
    p256(scalar, der(0xa1, der(0x03, Uint8Array.of(1), RFC6979_P256.publicKey))),
    p256(scalar, der(0xa1, der(0x03))),
    p256(scalar, der(0xa2)),
    der(0x30, V1, P256_ALGORITHM, der(0x04, der(0x30, Uint8Array.of(2, 1, 2), scalar))),
    der(0x30, Uint8Array.of(2, 1, 2), P256_ALGORITHM, der(0x04, der(0x30, V2, scalar))),
    der(0x30, Uint8Array.of(2, 2, 0, 0), P256_ALGORITHM, der(0x04, der(0x30, V2, scalar))),
  ];
  for (const bytes of bad) assertThrows(() => readPrivateKey(bytes), DecodeError);
});

Deno.test("X.690 section 10.1: a length in more octets than it needs is refused", () => {
  const good = spki(RFC8032_TEST1);
  const contents = good.subarray(2);
  const lengths = [[0x81, 42], [0x82, 0, 42], [0x83, 0, 0, 42], [0x80], [0xff]];
  for (const length of lengths) {
    const bytes = concatBytes(Uint8Array.of(0x30, ...length), contents, Uint8Array.of(0, 0));
    assertThrows(() => readPublicKey(bytes), DecodeError);
    assertThrows(() => readPublicKey(bytes.subarray(0, -2)), DecodeError);
  }
  assertEquals(readPublicKey(good).kind, "ed25519");
});

Deno.test("RFC 8422 section 5.4.1: a hybrid point is refused, as is one of another length", () => {
  for (const point of [RFC6979_P256.publicKey, RFC6979_P384.publicKey]) {
    const hybrid = concatBytes(Uint8Array.of(6 + (point.at(-1)! & 1)), point.subarray(1));
    for (const bytes of [hybrid, point.subarray(0, -1), EMPTY_BYTES]) {
      const publicKey = der(0x30, P256_ALGORITHM, der(0x03, Uint8Array.of(0), bytes));
      assertThrows(() => readPublicKey(publicKey), DecodeError);
    }
  }
});

Deno.test("every truncation and every appended byte is refused with a typed error", () => {
  for (const key of PUBLISHED) {
    for (
      const [bytes, read] of [[spki(key), readPublicKey], [pkcs8(key), readPrivateKey]] as const
    ) {
      for (let length = 0; length < bytes.length; length++) {
        assertThrows(() => read(bytes.subarray(0, length)), DecodeError);
      }
      assertThrows(() => read(concatBytes(bytes, Uint8Array.of(0))), DecodeError);
    }
  }
});

Deno.test("whatever bytes are read, the outcome is a key or a typed error", () => {
  const attempt = (read: (bytes: Uint8Array) => unknown, bytes: Uint8Array) => {
    try {
      read(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  };
  for (const key of PUBLISHED) {
    for (const bad of bitFlips(spki(key))) attempt(readPublicKey, bad);
    for (const bad of bitFlips(pkcs8(key))) attempt(readPrivateKey, bad);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      attempt(readPublicKey, bytes);
      attempt(readPrivateKey, bytes);
    }),
    { seed: 690, numRuns: 500 },
  );
});
