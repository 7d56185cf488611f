// Certification paths, good and bad, with the verdict that is due, and where `openssl verify` sees it differently.

import {
  authority,
  bitString,
  certificate,
  DAY_MS,
  EPOCH,
  extendedKeyUsage,
  extension,
  integer,
  keyUsage,
  NULL,
  octetString,
  oid,
  rootAuthority,
  sequence,
  testKey,
} from "./certificate_builder.ts";
import { CONSTRAINT_CASES, HOST_CASES } from "./name_cases.ts";
import {
  CA,
  ders,
  leaf,
  leafCase,
  leafKey,
  middle,
  middleCase,
  type PathCase,
  type PathInput,
  root,
  rootKey,
  SERVER,
} from "./path_case.ts";
import { REVOCATION_CASES } from "./revocation_cases.ts";

function algorithmCases(): PathCase[] {
  const kinds = ["p256", "p384", "ed25519", "rsa"] as const;
  return kinds.map((kind) => ({
    title: `a chain of three ${kind} keys`,
    expected: "accepted",
    make: () => {
      const top = rootAuthority({ key: testKey(kind, "top") });
      const issuer = middle({ key: testKey(kind, "issuer"), issuer: top });
      const end = leaf({ key: testKey(kind, "end"), issuer });
      return { chain: ders(end, issuer), anchors: ders(top) };
    },
  }));
}

/** Chains whose keys are of different kinds, from the root to the leaf. */
function mixedCases(): PathCase[] {
  const chains = [
    ["rsa", "p384", "ed25519"],
    ["ed25519", "rsa", "p256"],
    ["p384", "ed25519", "rsa"],
    ["p256", "p384", "p384"],
  ] as const;
  return chains.map(([top, issuer, end]) => ({
    title: `a chain of ${top}, ${issuer} and ${end} keys`,
    expected: "accepted",
    make: () => {
      const anchor = rootAuthority({ key: testKey(top, "top") });
      const between = middle({ key: testKey(issuer, "issuer"), issuer: anchor });
      const last = leaf({ key: testKey(end, "end"), issuer: between });
      return { chain: ders(last, between), anchors: ders(anchor) };
    },
  }));
}

const signatures: PathCase[] = [
  ...algorithmCases(),
  ...mixedCases(),
  leafCase("a P-256 key that signs with SHA-384", "accepted", { signature: "sha384" }),
  {
    title: "RSASSA-PSS under an RSA key",
    expected: "accepted",
    make: () => {
      const top = rootAuthority({ key: testKey("rsa", "top"), signature: "pss" });
      return { chain: ders(leaf({ issuer: top, signature: "pss" })), anchors: ders(top) };
    },
  },
  leafCase("a damaged signature", "bad-signature", { damageSignature: true }),
  middleCase("a damaged signature of an intermediate", "bad-signature", { damageSignature: true }),
  leafCase("another key than the issuer's, no key identifiers", "bad-signature", {
    signer: testKey("p256", "stranger"),
    identifiers: false,
  }),
  leafCase("SHA-1", "unsupported-algorithm", { signature: "sha1" }),
  {
    title: "an issuer with a P-521 key",
    expected: "unsupported-algorithm",
    opensslDiffers:
      "DTLS here offers neither P-521 nor its signatures, so no peer can prove such a key",
    make: () => {
      const top = rootAuthority({ key: testKey("p521", "top") });
      return { chain: ders(leaf({ issuer: top })), anchors: ders(top) };
    },
  },
  leafCase("an RSA key of 1,024 bits", "weak-key", { key: testKey("rsa1024", "leaf") }),
  leafCase("an RSA key with an even exponent", "weak-key", { spki: rsaKey(65538n) }, {
    opensslDiffers: "openssl looks at the modulus only",
  }),
  leafCase(
    "an RSA key with an exponent of 72 bits",
    "weak-key",
    { spki: rsaKey((1n << 71n) + 1n) },
    {
      opensslDiffers:
        "openssl looks at the modulus only; its verification time grows with the exponent",
    },
  ),
  leafCase("an RSA key with the exponent 1", "weak-key", { spki: rsaKey(1n) }, {
    opensslDiffers: "openssl looks at the modulus only; under e = 1 anyone can sign",
  }),
];

function rsaKey(exponent: bigint): Uint8Array {
  const modulus = (1n << 2047n) + 12345n;
  return sequence(
    sequence(oid("1.2.840.113549.1.1.1"), NULL),
    bitString(sequence(integer(modulus), integer(exponent))),
  );
}

const validity: PathCase[] = [
  leafCase("an expired leaf", "expired", { notAfter: EPOCH - DAY_MS }),
  leafCase("a leaf that is not yet valid", "not-yet-valid", { notBefore: EPOCH + DAY_MS }),
  leafCase("the first second of validity", "accepted", { notBefore: EPOCH }),
  leafCase("the last second of validity", "accepted", { notAfter: EPOCH }, {
    opensslDiffers: "RFC 5280 section 4.1.2.5 counts notAfter in; X509_cmp_time does not",
  }),
  leafCase("a validity past 2050, in GeneralizedTime", "accepted", {
    notAfter: Date.UTC(2060, 0, 1),
  }),
  middleCase("an expired intermediate", "expired", { notAfter: EPOCH - DAY_MS }),
  {
    title: "an expired trust anchor",
    expected: "expired",
    make: () => {
      const top = rootAuthority({ key: rootKey, notAfter: EPOCH - DAY_MS });
      return { chain: ders(leaf({ issuer: top })), anchors: ders(top) };
    },
  },
];

const authorities: PathCase[] = [
  {
    title: "a self-signed certificate that nobody trusts",
    expected: "unknown-ca",
    make: () => ({ chain: ders(leaf({ issuer: undefined! })), anchors: ders(root) }),
  },
  {
    title: "a certificate of another authority",
    expected: "unknown-ca",
    make: () => {
      const other = rootAuthority({ key: testKey("p256", "other"), subject: "CN=Other" });
      return { chain: ders(leaf({ issuer: other }), other), anchors: ders(root) };
    },
  },
  {
    title: "a certificate of another authority of the same name",
    expected: "unknown-ca",
    make: () => {
      const other = rootAuthority({ key: testKey("p256", "other") });
      return { chain: ders(leaf({ issuer: other }), other), anchors: ders(root) };
    },
  },
  {
    title: "no trust anchors at all",
    expected: "unknown-ca",
    make: () => ({ chain: ders(leaf()), anchors: [] }),
  },
  {
    title: "an intermediate that was not sent",
    expected: "unknown-ca",
    make: () => ({ chain: ders(leaf({ issuer: middle() })), anchors: ders(root) }),
  },
  {
    title: "a self-signed leaf that is itself the trust anchor",
    expected: "accepted",
    make: () => {
      const pinned = certificate({ subject: "CN=pinned", key: leafKey, extensions: SERVER });
      return { chain: ders(pinned), anchors: ders(pinned) };
    },
  },
  {
    title: "an intermediate as the trust anchor",
    expected: "accepted",
    opensslArgs: ["-partial_chain"],
    make: () => {
      const issuer = middle();
      return { chain: ders(leaf({ issuer })), anchors: ders(issuer) };
    },
  },
  middleCase("an intermediate without basicConstraints", "not-a-ca", {
    extensions: [keyUsage("keyCertSign")],
  }),
  middleCase("a leaf as an issuer", "not-a-ca", { extensions: SERVER }),
  middleCase("an intermediate of version 1", "not-a-ca", { version: 1 }),
  middleCase("an intermediate without keyCertSign", "missing-key-cert-sign", {
    extensions: [authority(), keyUsage("cRLSign")],
  }),
  {
    title: "a trust anchor without keyCertSign",
    expected: "missing-key-cert-sign",
    make: () => {
      const top = rootAuthority({ key: rootKey, extensions: [authority(), keyUsage("cRLSign")] });
      return { chain: ders(leaf({ issuer: top })), anchors: ders(top) };
    },
  },
  {
    title: "a trust anchor of version 1",
    expected: "not-a-ca",
    opensslDiffers: "openssl takes a self-signed certificate of version 1 for an authority",
    make: () => {
      const top = rootAuthority({ key: rootKey, version: 1 });
      return { chain: ders(leaf({ issuer: top, identifiers: false })), anchors: ders(top) };
    },
  },
  middleCase("an intermediate without key usage", "accepted", { extensions: [authority()] }),
];

/** Root (with a path length), two intermediates, leaf. */
function depthInput(rootLength?: number, firstLength?: number, options = {}): PathInput {
  const top = rootAuthority({ key: rootKey, extensions: [authority(rootLength), CA[1]!] });
  const first = middle({ issuer: top, extensions: [authority(firstLength), CA[1]!] });
  const second = certificate({
    subject: "CN=Second",
    key: testKey("p256", "second"),
    issuer: first,
    extensions: CA,
    ...options,
  });
  return { chain: ders(leaf({ issuer: second }), second, first), anchors: ders(top) };
}

const depth: PathCase[] = [
  { title: "a path length of 0, kept", expected: "accepted", make: () => lengthZero() },
  {
    title: "two intermediates below a length of 2",
    expected: "accepted",
    make: () => depthInput(2),
  },
  {
    title: "two intermediates below a trust anchor's length of 1",
    expected: "path-too-long",
    make: () => depthInput(1),
  },
  {
    title: "an intermediate below an intermediate's length of 0",
    expected: "path-too-long",
    make: () => depthInput(undefined, 0),
  },
  {
    title: "a self-issued intermediate does not count",
    expected: "accepted",
    make: () => depthInput(1, 0, { subject: "CN=Middle" }),
  },
  {
    title: "a chain in the wrong order, with certificates that do not belong to it",
    expected: "accepted",
    make: () => {
      const input = depthInput();
      const [end, ...rest] = input.chain;
      const stranger = rootAuthority({ key: testKey("p384", "stranger"), subject: "CN=Stranger" });
      return { ...input, chain: [end!, ...rest.toReversed(), stranger.der, input.anchors[0]!] };
    },
  },
  {
    title: "an intermediate of the same name and another key beside the right one",
    expected: "accepted",
    make: () => {
      const wrong = middle({ key: testKey("p256", "wrong"), identifiers: false });
      const right = middle({ identifiers: false });
      const end = leaf({ issuer: right, identifiers: false });
      return { chain: ders(end, wrong, right), anchors: ders(root) };
    },
    opensslDiffers: "openssl tries the first candidate only, RFC 4158 tells builders to go back",
  },
  {
    title: "authorities that certify each other in a ring",
    expected: "unknown-ca",
    make: () => {
      const a = middle({ subject: "CN=A", key: testKey("p256", "a") });
      const b = middle({ subject: "CN=B", key: testKey("p256", "b"), issuer: a });
      const ring = middle({ subject: "CN=A", key: testKey("p256", "a"), issuer: b });
      return { chain: ders(leaf({ issuer: b }), b, ring), anchors: ders(leaf()) };
    },
  },
  {
    title: "more certificates than the limit",
    expected: "chain-too-long",
    opensslDiffers: "openssl is given the extra certificates as a file and has no limit for that",
    make: () => ({
      chain: ders(leaf(), ...Array.from({ length: 8 }, () => middle())),
      anchors: ders(root),
    }),
  },
];

function lengthZero(): PathInput {
  const issuer = middle({ extensions: [authority(0), CA[1]!] });
  return { chain: ders(leaf({ issuer }), issuer), anchors: ders(root) };
}

const CLIENT = { purpose: "clientAuth" } as const;
const usage: PathCase[] = [
  leafCase("a client", "accepted", { extensions: [extendedKeyUsage("clientAuth")] }, CLIENT),
  leafCase("a server's certificate at a client", "wrong-purpose", {}, CLIENT),
  leafCase("a client's certificate at a server", "wrong-purpose", {
    extensions: [extendedKeyUsage("clientAuth"), SERVER[2]!],
  }),
  leafCase("both purposes", "accepted", {
    extensions: [extendedKeyUsage("codeSigning", "clientAuth", "serverAuth"), SERVER[2]!],
  }),
  leafCase("no extended key usage", "accepted", { extensions: [] }, CLIENT),
  leafCase("any purpose but not this one", "wrong-purpose", {
    extensions: [extendedKeyUsage("any"), SERVER[2]!],
  }),
  leafCase("a client of version 1", "accepted", { version: 1 }, CLIENT),
  middleCase("an intermediate for another purpose", "wrong-purpose", {
    extensions: [...CA, extendedKeyUsage("clientAuth")],
  }),
  middleCase(
    "an intermediate for any purpose",
    "accepted",
    { extensions: [...CA, extendedKeyUsage("any")] },
    {},
    "RFC 5280 section 4.2.1.12: with anyExtendedKeyUsage a CA 'does not wish to restrict usages'",
  ),
  leafCase("key usage without digitalSignature", "missing-digital-signature", {
    extensions: [keyUsage("keyEncipherment"), SERVER[2]!],
  }, {
    opensslDiffers:
      "openssl allows key encipherment, which is for RSA key exchange; DTLS 1.3 has none",
  }),
  leafCase("a client's key usage without digitalSignature", "missing-digital-signature", {
    extensions: [keyUsage("keyEncipherment")],
  }, CLIENT),
  leafCase("an unknown critical extension", "unknown-critical-extension", {
    extensions: [...SERVER, extension("1.2.3.4.5", octetString(new Uint8Array(1)), true)],
  }),
  leafCase("an unknown extension that is not critical", "accepted", {
    extensions: [...SERVER, extension("1.2.3.4.5", octetString(new Uint8Array(1)))],
  }),
  middleCase("an unknown critical extension of an intermediate", "unknown-critical-extension", {
    extensions: [...CA, extension("1.2.3.4.5", octetString(new Uint8Array(1)), true)],
  }),
  leafCase("critical certificate policies", "accepted", {
    extensions: [
      ...SERVER,
      extension("2.5.29.32", sequence(sequence(oid("2.5.29.32.0"))), true),
    ],
  }),
];

const forms: PathCase[] = [
  {
    title: "names that differ in case, spaces and string type",
    expected: "accepted",
    make: () => {
      const top = rootAuthority({ key: rootKey, subject: "O=My  Tests/CN=Root", stringTag: 0x13 });
      const written = rootAuthority({ key: rootKey, subject: "O=my tests/CN=ROOT " });
      return { chain: ders(leaf({ issuer: written })), anchors: ders(top) };
    },
  },
  {
    title: "octets after the certificate",
    expected: "malformed",
    opensslDiffers: "openssl reads PEM files to the end of the first element",
    make: () => ({ chain: [Uint8Array.of(...leaf().der, 0)], anchors: ders(root) }),
  },
  {
    title: "an extension that comes twice",
    expected: "malformed",
    make: () => ({
      chain: ders(leaf({ extensions: [...SERVER, keyUsage("digitalSignature")] })),
      anchors: ders(root),
    }),
  },
  leafCase("extensions in version 1", "malformed", { version: 1, misplacedExtensions: true }, {
    opensslDiffers: "RFC 5280 section 4.1.2.9: only in version 3; openssl looks with -x509_strict",
  }),
  leafCase("another signature algorithm inside than outside", "malformed", {
    innerAlgorithm: sequence(oid("1.2.840.10045.4.3.3")),
  }),
  leafCase("a serial number of 21 octets", "malformed", { serial: 1n << 161n }, {
    opensslDiffers: "RFC 5280 section 4.1.2.2: no more than 20 octets",
  }),
];

/** All cases; titles are unique. */
export const PATH_CASES: readonly PathCase[] = [
  ...signatures,
  ...validity,
  ...authorities,
  ...depth,
  ...usage,
  ...HOST_CASES,
  ...CONSTRAINT_CASES,
  ...REVOCATION_CASES,
  ...forms,
];
