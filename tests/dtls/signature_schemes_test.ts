// Which signature schemes belong to which version (RFC 8446 section 4.2.3).

import { assert, assertEquals } from "@std/assert";
import {
  SIGNATURE_SCHEMES,
  SIGNATURE_SCHEMES_12,
  signatureName,
  signatureScheme,
} from "../../src/dtls/cipher_suites.ts";
import { SignatureScheme } from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { chooseCredential } from "../../src/dtls/credentials.ts";
import type { Credential, DtlsVersion } from "../../src/dtls/options.ts";
import { pkcs8, RFC6979_P256, RFC6979_P384, rfc8448RsaPkcs8 } from "./crypto/keys.ts";

const PKCS1 = [
  SignatureScheme.RSA_PKCS1_SHA256,
  SignatureScheme.RSA_PKCS1_SHA384,
  SignatureScheme.RSA_PKCS1_SHA512,
];

const credential = (privateKey: Uint8Array) => [{
  chain: [],
  key: nodeProvider.signingKey(privateKey),
}];

const choose = (
  credentials: readonly Credential[],
  schemes: readonly number[],
  version: DtlsVersion = "1.3",
) => chooseCredential(credentials, { version, schemes, authorities: [] });

Deno.test('RSASSA-PKCS1-v1_5 is "not defined for use in signed TLS handshake messages" of 1.3', () => {
  const rsa = credential(rfc8448RsaPkcs8());
  for (const scheme of PKCS1) {
    assertEquals(signatureName(scheme), undefined);
    assert(!SIGNATURE_SCHEMES.includes(scheme));
    assert(SIGNATURE_SCHEMES_12.includes(scheme));
    assertEquals(choose(rsa, [scheme]), undefined);
    assertEquals(choose(rsa, [scheme], "1.2")?.scheme, scheme);
  }
  assertEquals(
    choose(rsa, [...PKCS1, SignatureScheme.RSA_PSS_RSAE_SHA384])?.scheme,
    SignatureScheme.RSA_PSS_RSAE_SHA384,
  );
});

Deno.test("ECDSA's hash names a curve in 1.3, and does not in 1.2", () => {
  const { ECDSA_SECP256R1_SHA256: sha256, ECDSA_SECP384R1_SHA384: sha384 } = SignatureScheme;
  const [p256, p384] = [credential(pkcs8(RFC6979_P256)), credential(pkcs8(RFC6979_P384))];
  assertEquals(choose(p384, [sha256]), undefined);
  assertEquals(choose(p256, [sha384]), undefined);
  assertEquals(choose(p384, [sha256], "1.2")?.scheme, sha256);
  assertEquals(choose(p256, [sha384], "1.2")?.scheme, sha384);
  // Each key prefers the hash of its own strength, whatever the order of the peer.
  assertEquals(choose(p384, [sha256, sha384], "1.2")?.scheme, sha384);
  assertEquals(choose(p256, [sha384, sha256], "1.2")?.scheme, sha256);
  assertEquals(signatureName(sha256), "ecdsa_secp256r1_sha256");
  assertEquals(signatureName(sha256, "1.2"), "ecdsa_sha256");
});

Deno.test("code points and names of each version belong to each other, and 1.2 verifies all of 1.3's", () => {
  for (
    const [version, schemes] of [["1.3", SIGNATURE_SCHEMES], ["1.2", SIGNATURE_SCHEMES_12]] as const
  ) {
    for (const scheme of schemes) {
      assertEquals(signatureScheme(signatureName(scheme, version)!, version), scheme);
    }
  }
  assertEquals(SIGNATURE_SCHEMES.filter((scheme) => !SIGNATURE_SCHEMES_12.includes(scheme)), []);
  // P-521 is not implemented, so that its code point is in neither.
  assertEquals(signatureName(0x0603, "1.2"), undefined);
  assertEquals(signatureScheme("ecdsa_sha512", "1.2"), undefined);
});
