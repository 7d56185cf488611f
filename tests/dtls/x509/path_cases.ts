// Certification paths, good and bad, with the verdict that is due, and where `openssl verify` sees it differently.

import type { CertificateFaultReason } from "../../../src/dtls/x509/mod.ts";
import {
  altNames,
  authority,
  bitString,
  certificate,
  type CertificateOptions,
  crl,
  DAY_MS,
  EPOCH,
  extendedKeyUsage,
  extension,
  integer,
  keyUsage,
  nameConstraints,
  NULL,
  octetString,
  oid,
  rootAuthority,
  sequence,
  type TestCertificate,
  testKey,
} from "./certificate_builder.ts";

export interface PathInput {
  readonly chain: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly purpose?: "serverAuth" | "clientAuth";
  readonly serverName?: string;
  readonly now?: number;
}

export interface PathCase {
  readonly title: string;
  readonly expected: "accepted" | CertificateFaultReason;
  /** Why `openssl verify` decides otherwise, where it does. */
  readonly opensslDiffers?: string;
  /** Further arguments for `openssl verify`. */
  readonly opensslArgs?: readonly string[];
  readonly make: () => PathInput;
}

const rootKey = testKey("p256", "root");
const leafKey = testKey("p256", "leaf");
const middleKey = testKey("p256", "middle");
const root = rootAuthority({ key: rootKey });
const SERVER: readonly Uint8Array[] = [
  keyUsage("digitalSignature"),
  extendedKeyUsage("serverAuth"),
  altNames("dns:server.example", "ip:127.0.0.1"),
];
const CA: readonly Uint8Array[] = [authority(), keyUsage("keyCertSign", "cRLSign")];

function leaf(options: Partial<CertificateOptions> = {}): TestCertificate {
  return certificate({
    subject: "CN=leaf",
    key: leafKey,
    issuer: root,
    extensions: SERVER,
    ...options,
  });
}

function middle(options: Partial<CertificateOptions> = {}): TestCertificate {
  return certificate({
    subject: "CN=Middle",
    key: middleKey,
    issuer: root,
    extensions: CA,
    ...options,
  });
}

function ders(...certificates: TestCertificate[]): Uint8Array[] {
  return certificates.map(({ der }) => der);
}

/** A leaf under the root, with these extensions. */
function leafCase(
  title: string,
  expected: PathCase["expected"],
  options: Partial<CertificateOptions>,
  more: Partial<PathInput> & { opensslDiffers?: string } = {},
): PathCase {
  const { opensslDiffers, ...input } = more;
  return {
    title,
    expected,
    ...(opensslDiffers === undefined ? {} : { opensslDiffers }),
    make: () => ({ chain: ders(leaf(options)), anchors: ders(root), ...input }),
  };
}

/** A leaf under an intermediate under the root. */
function middleCase(
  title: string,
  expected: PathCase["expected"],
  middleOptions: Partial<CertificateOptions>,
  leafOptions: Partial<CertificateOptions> = {},
  opensslDiffers?: string,
): PathCase {
  return {
    title,
    expected,
    ...(opensslDiffers === undefined ? {} : { opensslDiffers }),
    make: () => {
      const issuer = middle(middleOptions);
      return { chain: ders(leaf({ issuer, ...leafOptions }), issuer), anchors: ders(root) };
    },
  };
}

/** Names under the constraints of an intermediate. */
function constraintCase(
  title: string,
  expected: PathCase["expected"],
  constraints: { permitted?: string[]; excluded?: string[] },
  names: string[],
  subject = "CN=leaf",
  opensslDiffers?: string,
): PathCase {
  return middleCase(
    `name constraints: ${title}`,
    expected,
    { extensions: [...CA, nameConstraints(constraints)] },
    {
      subject,
      extensions: [keyUsage("digitalSignature"), altNames("dns:server.example", ...names)],
    },
    opensslDiffers,
  );
}

function hostCase(
  names: string[],
  serverName: string,
  expected: "accepted" | "name-mismatch",
  opensslDiffers?: string,
): PathCase {
  return leafCase(
    `a certificate of ${names.join(", ")} asked for ${serverName}`,
    expected,
    { extensions: [altNames(...names)] },
    { serverName, ...(opensslDiffers === undefined ? {} : { opensslDiffers }) },
  );
}

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

const signatures: PathCase[] = [
  ...algorithmCases(),
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

const hosts: PathCase[] = [
  hostCase(["dns:server.example"], "server.example", "accepted"),
  hostCase(["dns:server.example"], "SERVER.Example", "accepted"),
  hostCase(
    ["dns:server.example"],
    "server.example.",
    "accepted",
    "a final dot says that the name is absolute; openssl compares it",
  ),
  hostCase(["dns:server.example"], "other.example", "name-mismatch"),
  hostCase(["dns:server.example"], "a.server.example", "name-mismatch"),
  hostCase(["dns:*.example.com"], "a.example.com", "accepted"),
  hostCase(["dns:*.example.com"], "a.b.example.com", "name-mismatch"),
  hostCase(["dns:*.example.com"], "example.com", "name-mismatch"),
  hostCase(
    ["dns:a*.example.com"],
    "ab.example.com",
    "name-mismatch",
    "RFC 9525 section 6.3: the wildcard is 'the complete left-most label' or nothing",
  ),
  hostCase(["dns:a.*.example.com"], "a.b.example.com", "name-mismatch"),
  hostCase(["dns:*.*.example.com"], "a.b.example.com", "name-mismatch"),
  hostCase(["dns:*.com"], "example.com", "name-mismatch"),
  hostCase(["dns:*"], "localhost", "name-mismatch"),
  hostCase(["dns:*.example.com"], "*.example.com", "name-mismatch", "a reference is no pattern"),
  hostCase(["ip:127.0.0.1"], "127.0.0.1", "accepted"),
  hostCase(["ip:127.0.0.1"], "127.0.0.2", "name-mismatch"),
  hostCase(["dns:127.0.0.1"], "127.0.0.1", "name-mismatch"),
  hostCase(["ip6:00000000000000000000000000000001"], "::1", "accepted"),
  hostCase(["ip6:00000000000000000000ffff7f000001"], "127.0.0.1", "name-mismatch"),
  hostCase(
    ["email:root@server.example"],
    "server.example",
    "name-mismatch",
  ),
  leafCase(
    "a common name is no server name",
    "name-mismatch",
    { subject: "CN=server.example", extensions: [] },
    {
      opensslDiffers:
        "RFC 9525 section 2 forbids the common name; the command line of openssl falls back to it",
    },
  ),
];

/** Root, an intermediate that permits O=Tests, an intermediate of this subject, a leaf of O=Tests. */
function constrainedMiddle(subject: string): PathInput {
  const first = middle({ extensions: [...CA, nameConstraints({ permitted: ["dir:O=Tests"] })] });
  const key = testKey("p256", "second");
  const second = certificate({ subject, key, issuer: first, extensions: CA });
  const end = leaf({ subject: "O=Tests/CN=leaf", issuer: second });
  return { chain: ders(end, second, first), anchors: ders(root) };
}

const constraints: PathCase[] = [
  constraintCase("a permitted name", "accepted", { permitted: ["dns:example"] }, []),
  constraintCase("a name that is not permitted", "name-constraint", {
    permitted: ["dns:other.example"],
  }, []),
  constraintCase("an excluded name", "name-constraint", { excluded: ["dns:Server.Example"] }, []),
  constraintCase(
    "a name that ends alike",
    "name-constraint",
    { permitted: ["dns:erver.example"] },
    [],
  ),
  constraintCase("exclusion wins", "name-constraint", {
    permitted: ["dns:example"],
    excluded: ["dns:bad.example"],
  }, ["dns:very.bad.example"]),
  constraintCase(
    "a wildcard that covers an excluded name",
    "name-constraint",
    { excluded: ["dns:secret.example.com"] },
    ["dns:*.example.com"],
    "CN=leaf",
    "openssl compares the star as a letter, so the wildcard gets around the exclusion",
  ),
  constraintCase(
    "a form that is not constrained",
    "accepted",
    { permitted: ["email:a.example"] },
    [],
  ),
  constraintCase("a permitted address range", "accepted", {
    permitted: ["ip:10.0.0.0/255.0.0.0"],
  }, ["ip:10.1.2.3"]),
  constraintCase("an address outside of its range", "name-constraint", {
    permitted: ["ip:10.0.0.0/255.0.0.0"],
  }, ["ip:11.1.2.3"]),
  constraintCase("an IPv6 address under a range of IPv4", "name-constraint", {
    permitted: ["ip:10.0.0.0/255.0.0.0"],
  }, ["ip6:00000000000000000000000000000001"]),
  constraintCase("all addresses excluded", "name-constraint", {
    excluded: ["ip:0.0.0.0/0.0.0.0"],
  }, ["ip:127.0.0.1"]),
  constraintCase("a mailbox", "accepted", { permitted: ["email:root@a.example"] }, [
    "email:root@A.example",
  ]),
  constraintCase("another mailbox", "name-constraint", { permitted: ["email:root@a.example"] }, [
    "email:toor@a.example",
  ]),
  constraintCase("a mail host", "accepted", { permitted: ["email:a.example"] }, [
    "email:x@a.example",
  ]),
  constraintCase("a host below a mail host", "name-constraint", {
    permitted: ["email:a.example"],
  }, ["email:x@b.a.example"]),
  constraintCase("a host below a mail domain", "accepted", { permitted: ["email:.a.example"] }, [
    "email:x@b.a.example",
  ]),
  constraintCase(
    "a mail host that begins with a period",
    "name-constraint",
    { permitted: ["email:.a.example"] },
    ["email:x@.a.example"],
    "CN=leaf",
    "the constraint 'MAY be expanded with one or more labels', of which openssl takes none for one",
  ),
  constraintCase("a constraint with a minimum", "name-constraint", {
    permitted: ["dns:example min=1"],
  }, []),
  {
    title: "name constraints: an intermediate outside, its leaf inside",
    expected: "name-constraint",
    make: () => constrainedMiddle("O=Others/CN=Second"),
  },
  {
    title: "name constraints: they do not apply to a self-issued intermediate",
    expected: "accepted",
    make: () => constrainedMiddle("CN=Middle"),
  },
  constraintCase(
    "an address in the subject",
    "name-constraint",
    { permitted: ["email:a.example"] },
    [],
    "CN=leaf/E=x@b.example",
  ),
  constraintCase("a URI's host", "accepted", { permitted: ["uri:.a.example"] }, [
    "uri:https://b.a.example:443/x",
  ]),
  constraintCase("a URI of another host", "name-constraint", { permitted: ["uri:a.example"] }, [
    "uri:https://b.a.example/",
  ]),
  constraintCase("a URI without a host", "name-constraint", { excluded: ["uri:a.example"] }, [
    "uri:urn:x:y",
  ]),
  constraintCase(
    "a subject below a permitted directory name",
    "accepted",
    { permitted: ["dir:O=Tests"] },
    [],
    "O=tests/CN=leaf",
  ),
  constraintCase(
    "a subject beside a permitted directory name",
    "name-constraint",
    { permitted: ["dir:O=Tests"] },
    [],
    "O=Others/CN=leaf",
  ),
  constraintCase("a form that cannot be checked", "name-constraint", { excluded: ["other:x"] }, [
    "other:y",
  ]),
  constraintCase("a form that cannot be checked and does not appear", "accepted", {
    excluded: ["other:x"],
  }, []),
  {
    title: "name constraints of the trust anchor",
    expected: "name-constraint",
    make: () => {
      const top = rootAuthority({
        key: rootKey,
        extensions: [...CA, nameConstraints({ permitted: ["dns:other.example"] })],
      });
      return { chain: ders(leaf({ issuer: top })), anchors: ders(top) };
    },
  },
];

/** A leaf with this serial number and the root's list. */
function crlCase(
  title: string,
  expected: PathCase["expected"],
  options: Partial<Parameters<typeof crl>[0]>,
  opensslDiffers?: string,
): PathCase {
  return {
    title: `revocation: ${title}`,
    expected,
    ...(opensslDiffers === undefined ? {} : { opensslDiffers }),
    make: () => ({
      chain: ders(leaf({ serial: 77 })),
      anchors: ders(root),
      crls: [crl({ issuer: root, ...options })],
    }),
  };
}

const revocation: PathCase[] = [
  crlCase("an empty list", "accepted", {}),
  crlCase("other serial numbers", "accepted", { revoked: [78, 7777] }),
  crlCase("this serial number", "revoked", { revoked: [76, 77, 78] }),
  crlCase("a list past its next update", "crl-expired", { nextUpdate: EPOCH - 1000 }),
  crlCase("a list of the future", "crl-not-yet-valid", { thisUpdate: EPOCH + DAY_MS }),
  crlCase(
    "a list without a next update",
    "crl-expired",
    { nextUpdate: "none" },
    "RFC 5280 section 5.1.2.5 leaves it open; a list without end could be replayed for ever",
  ),
  crlCase("a damaged signature", "crl-bad-signature", { damageSignature: true }),
  crlCase("an unknown critical extension", "crl-unknown-critical-extension", {
    extensions: [extension("1.2.3.4.5", octetString(new Uint8Array(1)), true)],
  }),
  crlCase(
    "a delta list",
    "crl-unknown-critical-extension",
    { extensions: [extension("2.5.29.27", integer(0), true)] },
    "without -extended_crl, openssl takes a delta list for a complete one",
  ),
  crlCase(
    "an unknown critical extension of an entry",
    "crl-unknown-critical-extension",
    {
      revoked: [78],
      entryExtensions: [extension("1.2.3.4.5", octetString(new Uint8Array(1)), true)],
    },
  ),
  crlCase("an entry with a reason", "revoked", {
    revoked: [77],
    entryExtensions: [extension("2.5.29.21", integer(1, 0x0a))],
  }),
  ...(["ed25519", "p384", "rsa"] as const).map((kind): PathCase => ({
    title: `revocation: a list signed by a ${kind} key`,
    expected: "revoked",
    make: () => {
      const top = rootAuthority({ key: testKey(kind, "top") });
      const end = leaf({ issuer: top });
      const list = crl({ issuer: top, revoked: [end.serial] });
      return { chain: ders(end), anchors: ders(top), crls: [list] };
    },
  })),
  {
    title: "revocation: an issuer without cRLSign",
    expected: "crl-missing-crl-sign",
    make: () => {
      const top = rootAuthority({
        key: rootKey,
        extensions: [authority(), keyUsage("keyCertSign")],
      });
      return {
        chain: ders(leaf({ issuer: top })),
        anchors: ders(top),
        crls: [crl({ issuer: top })],
      };
    },
  },
  {
    title: "revocation: an intermediate",
    expected: "revoked",
    opensslArgs: ["-crl_check_all"],
    make: () => {
      const issuer = middle();
      return {
        chain: ders(leaf({ issuer }), issuer),
        anchors: ders(root),
        crls: [crl({ issuer }), crl({ issuer: root, revoked: [issuer.serial] })],
      };
    },
  },
  {
    title: "revocation: an expired list beside a current one",
    expected: "accepted",
    make: () => ({
      chain: ders(leaf()),
      anchors: ders(root),
      crls: [crl({ issuer: root, nextUpdate: EPOCH - 1000 }), crl({ issuer: root, number: 2 })],
    }),
  },
  {
    title: "revocation: a list of another authority of the same name",
    expected: "accepted",
    opensslDiffers: "openssl -crl_check demands a list; here a store may have none of an issuer's",
    make: () => ({
      chain: ders(leaf({ serial: 77 })),
      anchors: ders(root),
      crls: [crl({
        issuer: rootAuthority({ key: testKey("p256", "other") }),
        revoked: [77],
      })],
    }),
  },
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
  ...hosts,
  ...constraints,
  ...revocation,
  ...forms,
];
