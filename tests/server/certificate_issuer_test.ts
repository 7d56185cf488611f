// What is issued is accepted by our own path validation, and by nobody for another purpose or at another time.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  CertificateFault,
  certificatePrincipal,
  parsePem,
  privateKeyFromPem,
  TrustStore,
} from "../../src/dtls/x509/mod.ts";
import { DerReader } from "../../src/dtls/x509/der_reader.ts";
import type {
  Authority,
  IssuedCertificate,
  KeyAlgorithm,
} from "../../src/server/certificate_issuer.ts";

// Loaded where it is needed, as the commands do, so that other tests do not wait for it.
const issuer = () => import("../../src/server/certificate_issuer.ts");

const NOW = Date.UTC(2026, 5, 1, 12, 0, 0, 789);
const DAY_MS = 86_400_000;

function authorityOf(issued: IssuedCertificate): Authority {
  return {
    certificate: issued.certificate,
    privateKey: privateKeyFromPem(issued.privateKeyPem),
  };
}

async function makeAuthority(key: KeyAlgorithm = "p256", days = 3650): Promise<Authority> {
  const { issueAuthority } = await issuer();
  return authorityOf(await issueAuthority({ commonName: "Test CA", key, days, now: NOW }));
}

for (const key of ["p256", "p384", "ed25519"] as const) {
  Deno.test(`${key}: authority, server and client certificates validate for their purpose`, async () => {
    const { issueServerCertificate, issueClientCertificate } = await issuer();
    const authority = await makeAuthority(key);
    const store = new TrustStore({ trustAnchors: [authority.certificate.der] });
    const common = { key, days: 10, now: NOW };
    const server = await issueServerCertificate(authority, {
      ...common,
      commonName: "localhost",
      altNames: ["localhost", "127.0.0.1", "::1", "*.example.com"],
    });
    const client = await issueClientCertificate(authority, {
      ...common,
      commonName: "Zoë, client",
    });
    const chain = [server.certificate.der];
    for (const serverName of ["localhost", "127.0.0.1", "::1", "a.example.com"]) {
      store.validate({ chain, now: NOW, purpose: "serverAuth", serverName });
    }
    assertThrows(
      () => store.validate({ chain, now: NOW, purpose: "clientAuth" }),
      CertificateFault,
      "wrong-purpose",
    );
    const query = { chain: [client.certificate.der], purpose: "clientAuth" } as const;
    const { leaf } = store.validate({ ...query, now: NOW });
    assertEquals(certificatePrincipal(leaf), "cert:CN=Zoë\\, client");
    assertThrows(() => store.validate({ ...query, now: NOW + 11 * DAY_MS }), CertificateFault);
    for (const { certificate, privateKeyPem } of [server, client]) {
      assertEquals(privateKeyFromPem(privateKeyPem).publicKey, certificate.publicKey.spki);
      assertEquals(certificate.publicKey.kind, key);
    }
  });
}

Deno.test("extensions are those of RFC 5280, critical where it says so", async () => {
  const { issueServerCertificate } = await issuer();
  const authority = await makeAuthority();
  const ca = authority.certificate.extensions;
  assertEquals(ca.basicConstraints, { isAuthority: true, pathLength: 0 });
  assertEquals(ca.keyUsage, 0b110_0000);
  assertEquals(ca.authorityKeyIdentifier, ca.subjectKeyIdentifier);
  const { certificate } = await issueServerCertificate(authority, {
    commonName: "x",
    altNames: ["x"],
    days: 1,
    now: NOW,
  });
  const leaf = certificate.extensions;
  assertEquals(leaf.basicConstraints, { isAuthority: false, pathLength: undefined });
  assertEquals(leaf.keyUsage, 1);
  assertEquals(leaf.authorityKeyIdentifier, ca.subjectKeyIdentifier);
  assert(leaf.subjectKeyIdentifier !== undefined);
});

Deno.test("serial numbers are 16 random octets, positive", async () => {
  const { issueClientCertificate } = await issuer();
  const authority = await makeAuthority();
  const seen = new Set<string>();
  for (let i = 0; i < 10; i++) {
    const options = { commonName: "x", days: 1, now: NOW };
    const { certificate } = await issueClientCertificate(authority, options);
    assertMatch(certificate.serialNumber, /^[4-7][0-9a-f]{31}$/);
    seen.add(certificate.serialNumber);
  }
  assertEquals(seen.size, 10);
});

Deno.test("a certificate is valid from an hour ago, and never outlives its issuer", async () => {
  const { issueClientCertificate } = await issuer();
  const authority = await makeAuthority("p256", 5);
  const options = { commonName: "x", days: 100, now: NOW };
  const { certificate } = await issueClientCertificate(authority, options);
  assertEquals(certificate.notBefore, Math.floor((NOW - 3_600_000) / 1000) * 1000);
  assertEquals(certificate.notAfter, authority.certificate.notAfter);
  await assertRejects(
    () => issueClientCertificate(authority, { ...options, now: NOW + 6 * DAY_MS }),
    Error,
    "has expired",
  );
});

Deno.test("a validity past 2049 is written as GeneralizedTime and read back", async () => {
  const { certificate } = await makeAuthority("ed25519", 36_500);
  assertEquals(new Date(certificate.notAfter).getUTCFullYear(), 2126);
});

Deno.test("a revocation list refuses whom it names, and rises in number", async () => {
  const { issueClientCertificate, issueCrl } = await issuer();
  for (const key of ["p256", "p384", "ed25519"] as const) {
    const authority = await makeAuthority(key);
    const options = { commonName: "x", days: 5, now: NOW };
    const { certificate } = await issueClientCertificate(authority, options);
    const { serialNumber } = certificate;
    const crls = [];
    for (const crlNumber of [127n, 128n, 2n ** 100n]) {
      for (const reason of [0, 1]) {
        const revocations = [
          { serialNumber: "00", revokedAt: NOW, reason },
          { serialNumber, revokedAt: NOW, reason },
        ];
        const made = await issueCrl(authority, { crlNumber, revocations, days: 7, now: NOW });
        assertEquals(made.crl.crlNumber, crlNumber);
        assertEquals(made.crl.revoked.get(serialNumber)?.reason, reason);
        assertEquals(made.crl.nextUpdate, Math.floor(NOW / 1000) * 1000 + 7 * DAY_MS);
        crls.push(made.crl.der);
      }
    }
    const query = { chain: [certificate.der], now: NOW, purpose: "clientAuth" } as const;
    const empty = await issueCrl(authority, { crlNumber: 1n, revocations: [], days: 7, now: NOW });
    const trustAnchors = [authority.certificate.der];
    new TrustStore({ trustAnchors, crls: [empty.crl.der], revocation: "all" }).validate(query);
    for (const crl of crls) {
      const store = new TrustStore({ trustAnchors, crls: [crl] });
      assertThrows(() => store.validate(query), CertificateFault, "revoked");
    }
  }
});

Deno.test("no entry of a revocation list has an empty list of extensions", async () => {
  const { issueCrl } = await issuer();
  const revocations = [0, 4].map((reason) => ({
    serialNumber: `0${reason}`,
    revokedAt: NOW,
    reason,
  }));
  const list = { crlNumber: 1n, revocations, days: 7, now: NOW };
  const { crl } = await issueCrl(await makeAuthority(), list);
  const signed = new DerReader(crl.der).sequence().sequence();
  // Version, algorithm, issuer, this and next update stand before the entries.
  for (let i = 0; i < 5; i++) signed.element();
  const entries = signed.sequence();
  for (let i = 0; i < 2; i++) {
    const entry = entries.sequence();
    entry.unsigned();
    entry.time();
    assertEquals(entry.sequence().isEmpty, false);
  }
  entries.expectEnd();
});

Deno.test("PEM: labels of RFC 7468, a newline at the end", async () => {
  const { issueAuthority, issueCrl } = await issuer();
  const issued = await issueAuthority({ commonName: "x", days: 1, now: NOW });
  const list = { crlNumber: 1n, revocations: [], days: 1, now: NOW };
  const { crlPem } = await issueCrl(authorityOf(issued), list);
  const texts = [issued.certificatePem, issued.privateKeyPem, crlPem];
  assertEquals(texts.map((text) => parsePem(text)[0]!.label), [
    "CERTIFICATE",
    "PRIVATE KEY",
    "X509 CRL",
  ]);
  for (const text of texts) assert(text.endsWith("-----\n"));
});

Deno.test("what cannot be issued is said in one line", async () => {
  const issue = await issuer();
  const authority = await makeAuthority();
  const other = await makeAuthority();
  const options = { commonName: "x", days: 1, now: NOW };
  const mixed = { ...authority, privateKey: other.privateKey };
  const failures: [() => Promise<unknown>, string][] = [
    [() => issue.issueClientCertificate(mixed, options), "does not match"],
    [() => issue.issueClientCertificate(authority, { ...options, commonName: "" }), "1 to 64"],
    [() => issue.issueClientCertificate(authority, { ...options, days: 0 }), "from 1 to"],
    [() => issue.issueClientCertificate(authority, { ...options, days: 0.5 }), "from 1 to"],
    [
      async () => await issue.issueServerCertificate(authority, { ...options, altNames: [] }),
      "name",
    ],
  ];
  for (const text of ["a b", "", "ip:x", "dns:1.2.3.4", "uri:nothing", "email:x", "a..b", "x\n"]) {
    const altNames = [text];
    failures.push([
      () => issue.issueClientCertificate(authority, { ...options, altNames }),
      "no name",
    ]);
  }
  for (const [fail, message] of failures) {
    await assertRejects(fail, issue.CertificateIssueError, message);
  }
});
