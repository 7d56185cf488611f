// Limits of validation, faults of our own configuration, and input that was tampered with.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { DecodeError } from "../../../src/base/byte_reader.ts";
import { toHex } from "../../../src/base/bytes.ts";
import {
  CertificateFault,
  parseCertificate,
  parseCrl,
  TrustStore,
  TrustStoreError,
  type TrustStoreOptions,
  validateCertificatePath,
} from "../../../src/dtls/x509/mod.ts";
import {
  authority,
  certificate,
  crl,
  EPOCH,
  keyUsage,
  nameConstraints,
  rootAuthority,
  testKey,
} from "./certificate_builder.ts";
import { testEach } from "../crypto/providers.ts";

const root = rootAuthority({ key: testKey("ed25519", "root") });
const leaf = certificate({ subject: "CN=leaf", key: testKey("ed25519", "leaf"), issuer: root });
const CLIENT = { purpose: "clientAuth", now: EPOCH } as const;

function reasonOf(options: Partial<TrustStoreOptions>, chain: readonly Uint8Array[]): string {
  const store = new TrustStore({ trustAnchors: [root.der], ...options });
  return assertThrows(() => store.validate({ chain, ...CLIENT }), CertificateFault).reason;
}

Deno.test("a certificate above certificateBytesMax is refused before it is read", () => {
  const chain = [new Uint8Array(16_385)];
  assertEquals(reasonOf({}, chain), "too-large");
});

Deno.test("an empty chain is malformed", () => {
  assertEquals(reasonOf({}, []), "malformed");
});

Deno.test("policy 'leaf' demands the list of the leaf's issuer, 'all' of every issuer", () => {
  const middle = certificate({
    subject: "CN=Middle",
    key: testKey("ed25519", "middle"),
    issuer: root,
    extensions: [authority(), keyUsage("keyCertSign", "cRLSign")],
  });
  const end = certificate({ subject: "CN=end", key: leaf.key, issuer: middle });
  const chain = [end.der, middle.der];
  const rootList = crl({ issuer: root });
  const middleList = crl({ issuer: middle });
  assertEquals(reasonOf({ revocation: "leaf", crls: [rootList] }, chain), "crl-missing");
  assertEquals(reasonOf({ revocation: "all", crls: [middleList] }, chain), "crl-missing");
  for (const crls of [[middleList], [middleList, rootList]]) {
    const revocation = crls.length === 1 ? "leaf" : "all";
    const store = new TrustStore({ trustAnchors: [root.der], crls, revocation });
    assertEquals(store.validate({ chain, ...CLIENT }).path.length, 3);
  }
});

/** Authorities of one name and one key, each of which may have issued any other: (n - 1)! paths. */
function tangle(): Uint8Array[] {
  const key = testKey("ed25519", "tangle");
  const same = (serial: number) =>
    certificate({ subject: "CN=Tangle", key, serial, extensions: [authority()] });
  const end = certificate({ subject: "CN=end", key: leaf.key, issuer: same(1) });
  return [end.der, ...Array.from({ length: 7 }, (_, i) => same(i + 2).der)];
}

Deno.test("the search for a path ends at pathStepsMax", () => {
  assertEquals(reasonOf({}, tangle()), "too-many-paths");
  assertEquals(reasonOf({ limits: { pathStepsMax: 100_000 } }, tangle()), "unknown-ca");
});

Deno.test("a validation verifies at most signatureChecksMax signatures", () => {
  const limits = { signatureChecksMax: 0, signatureCacheMax: 0 };
  assertEquals(reasonOf({ limits }, [leaf.der]), "too-many-paths");
});

Deno.test("a good signature is verified once where it may be remembered", () => {
  const limits = { signatureChecksMax: 1 };
  const store = new TrustStore({ trustAnchors: [root.der], limits });
  const other = certificate({ subject: "CN=b", key: leaf.key, issuer: root });
  for (const { der } of [leaf, leaf, other, leaf, other]) {
    assertEquals(store.validate({ chain: [der], ...CLIENT }).leaf.der, der);
  }
  // Remembered is the signature, not the verdict: time goes on.
  const late = { chain: [leaf.der], ...CLIENT, now: EPOCH + 1e12 };
  assertEquals(assertThrows(() => store.validate(late), CertificateFault).reason, "expired");
});

Deno.test("a forged certificate gains nothing from a remembered signature", () => {
  const store = new TrustStore({ trustAnchors: [root.der] });
  store.validate({ chain: [leaf.der], ...CLIENT });
  const forged = leaf.der.slice();
  forged[forged.length - 1]! ^= 1;
  const fault = assertThrows(
    () => store.validate({ chain: [forged], ...CLIENT }),
    CertificateFault,
  );
  assertEquals(fault.reason, "bad-signature");
});

Deno.test("anchors and lists that cannot be read are our own fault, not the peer's", () => {
  const bad = Uint8Array.of(0x30, 0);
  assertThrows(() => new TrustStore({ trustAnchors: [bad] }), TrustStoreError, "trust anchor 1");
  assertThrows(
    () => new TrustStore({ trustAnchors: [root.der], crls: [crl({ issuer: root }), bad] }),
    TrustStoreError,
    "revocation list 2",
  );
  const limits = { crlBytesMax: 10 };
  assertThrows(
    () => new TrustStore({ trustAnchors: [], crls: [crl({ issuer: root })], limits }),
    TrustStoreError,
  );
});

/** A leaf below an intermediate with constraints, so that most of the reader takes part. */
function richChain(): Uint8Array[] {
  const middle = certificate({
    subject: "O=Tests/CN=Middle",
    key: testKey("ed25519", "middle"),
    issuer: root,
    extensions: [authority(0), nameConstraints({ permitted: ["dns:example", "dir:O=Tests"] })],
  });
  const end = certificate({
    subject: "O=Tests/CN=leaf",
    key: leaf.key,
    issuer: middle,
    extensions: [keyUsage("digitalSignature")],
  });
  return [end.der, middle.der];
}

Deno.test("every single-bit flip of a chain is refused with a typed fault", () => {
  const chain = richChain();
  const store = new TrustStore({ trustAnchors: [root.der] });
  assertEquals(store.validate({ chain, ...CLIENT }).path.length, 3);
  for (const [at, der] of chain.entries()) {
    for (let bit = 0; bit < 8 * der.length; bit++) {
      const flipped = der.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const damaged = chain.with(at, flipped);
      assertThrows(() => store.validate({ chain: damaged, ...CLIENT }), CertificateFault);
    }
  }
});

Deno.test("every strict prefix of a certificate or revocation list is malformed", () => {
  const [der] = richChain();
  for (let length = 0; length < der!.length; length++) {
    const fault = assertThrows(() => parseCertificate(der!.subarray(0, length)), CertificateFault);
    assertEquals(fault.reason, "malformed");
  }
  const list = crl({ issuer: root, revoked: [1, 2] });
  for (let length = 0; length < list.length; length++) {
    assertThrows(() => parseCrl(list.subarray(0, length)), DecodeError);
  }
});

Deno.test("arbitrary changes of certificates and lists throw nothing but their own types", () => {
  const originals = [...richChain(), crl({ issuer: root, revoked: [1, 2, 300] })];
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom(...originals), edits, (original, changes) => {
      const bytes = original.slice();
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      for (const parse of [parseCertificate, parseCrl]) {
        try {
          parse(bytes);
        } catch (error) {
          assert(error instanceof CertificateFault || error instanceof DecodeError, String(error));
        }
      }
    }),
    { seed: 5280, numRuns: 3_000 },
  );
});

Deno.test("validation leaves its input as it was", () => {
  const chain = richChain();
  const copies = chain.map((der) => der.slice());
  validateCertificatePath({ chain, trustAnchors: [root.der], ...CLIENT });
  assertEquals(chain, copies);
});

testEach(
  "a provider verifies chains of every kind of key and hash, and refuses damaged signatures",
  (provider) => {
    for (const kind of ["p256", "p384", "ed25519", "rsa"] as const) {
      for (const signature of ["default", "sha384", "pss"] as const) {
        // Padding is RSA's, and Ed25519 has no choice of a hash.
        if (signature === "pss" && kind !== "rsa") continue;
        if (signature === "sha384" && kind === "ed25519") continue;
        const issuer = rootAuthority({ key: testKey(kind, "root") });
        const store = new TrustStore({ trustAnchors: [issuer.der], provider });
        const made = { subject: "CN=leaf", key: leaf.key, issuer, signature };
        const { der } = certificate(made);
        for (let round = 0; round < 2; round++) {
          assertEquals(store.validate({ chain: [der], ...CLIENT }).leaf.der, der);
        }
        const damaged = certificate({ ...made, damageSignature: true });
        for (let round = 0; round < 2; round++) {
          const fault = assertThrows(() => store.validate({ chain: [damaged.der], ...CLIENT }));
          assert(fault instanceof CertificateFault);
          assertEquals(fault.reason, "bad-signature", `${kind} ${signature}`);
        }
      }
    }
  },
);

Deno.test("what a store has parsed is its own: a chain that changes afterwards is read anew", () => {
  const store = new TrustStore({ trustAnchors: [root.der] });
  const der = leaf.der.slice();
  const { publicKey } = store.validate({ chain: [der], ...CLIENT });
  const before = publicKey.slice();
  const keyAt = toHex(der).indexOf(toHex(publicKey)) / 2 + publicKey.length - 1;
  der[keyAt]! ^= 1;
  assertEquals(publicKey, before);
  assertEquals(reasonOf({}, [der]), "bad-signature");
  assertThrows(() => store.validate({ chain: [der], ...CLIENT }), CertificateFault);
  der[keyAt]! ^= 1;
  assertEquals(store.validate({ chain: [der], ...CLIENT }).publicKey, before);
});
