// Names as text, principals, fingerprints, addresses, PEM.

import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import {
  certificateFingerprint,
  certificatePrincipal,
  certificatesFromPem,
  certificateSubjectText,
  crlsFromPem,
  ipAddressText,
  nameText,
  parseCertificate,
  parseIpAddress,
  parsePem,
  PemError,
  pemText,
  privateKeyFromPem,
} from "../../../src/dtls/x509/mod.ts";
import { DerReader } from "../../../src/dtls/x509/der_reader.ts";
import { readDistinguishedName } from "../../../src/dtls/x509/distinguished_name.ts";
import {
  altNames,
  certificate,
  name,
  octetString,
  oid,
  sequence,
  testKey,
  tlv,
} from "./certificate_builder.ts";
import { toHex, utf8Bytes } from "../../../src/base/bytes.ts";

const key = testKey("p256", "identity");

function principalOf(subject: string, ...names: string[]): string {
  const extensions = names.length > 0 ? [altNames(...names)] : [];
  return certificatePrincipal(parseCertificate(certificate({ subject, key, extensions }).der));
}

function textOf(...rdns: Uint8Array[]): string {
  return nameText(readDistinguishedName(new DerReader(sequence(...rdns))));
}

const attribute = (type: string, value: string) => sequence(oid(type), tlv(0x0c, utf8Bytes(value)));

Deno.test("RFC 4514 section 4: its examples", () => {
  const dc = (value: string) => tlv(0x31, attribute("0.9.2342.19200300.100.1.25", value));
  const uid = tlv(0x31, attribute("0.9.2342.19200300.100.1.1", "jsmith"));
  const cn = (value: string) => tlv(0x31, attribute("2.5.4.3", value));
  assertEquals(textOf(dc("net"), dc("example"), uid), "UID=jsmith,DC=example,DC=net");
  const sales = tlv(0x31, attribute("2.5.4.11", "Sales"), attribute("2.5.4.3", "J.  Smith"));
  assertEquals(textOf(dc("net"), dc("example"), sales), "OU=Sales+CN=J.  Smith,DC=example,DC=net");
  assertEquals(
    textOf(dc("net"), cn('James "Jim" Smith, III')),
    'CN=James \\"Jim\\" Smith\\, III,DC=net',
  );
  assertEquals(textOf(cn("Before\rAfter")), "CN=Before\\0dAfter");
  const unknown = sequence(oid("1.3.6.1.4.1.1466.0"), octetString(Uint8Array.of(0x48, 0x69)));
  assertEquals(textOf(tlv(0x31, unknown)), "1.3.6.1.4.1.1466.0=#04024869");
  assertEquals(textOf(cn("Lučić")), "CN=Lučić");
  assertEquals(textOf(cn(" # ")), "CN=\\ #\\ ");
  assertEquals(textOf(), "");
});

Deno.test("a principal is the first URI, DNS name or address, else the common name", () => {
  assertEquals(principalOf("CN=alice"), "cert:CN=alice");
  assertEquals(principalOf("CN=alice", "ip:127.0.0.1"), "cert:CN=alice");
  const all = ["email:Alice@EXAMPLE.com", "dns:Device.Example", "uri:spiffe://a/B"];
  assertEquals(principalOf("CN=alice", ...all), "cert:URI=spiffe://a/B");
  assertEquals(principalOf("CN=alice", ...all.slice(0, 2)), "cert:DNS=device.example");
  assertEquals(principalOf("CN=alice", ...all.slice(0, 1)), "cert:email=Alice@example.com");
  assertEquals(principalOf("O=Tests"), "cert:subject=O=Tests");
  assertEquals(principalOf("CN=a/CN=b"), "cert:subject=CN=b,CN=a");
});

Deno.test("a principal cannot be dressed up as another, and has a bounded length", () => {
  assertEquals(principalOf("CN=a,O=b"), "cert:CN=a\\,O=b");
  assertEquals(principalOf("CN=a\nadmin"), "cert:CN=a\\0aadmin");
  assertEquals(principalOf("CN=\u202eadmin"), "cert:CN=\\e2\\80\\aeadmin");
  assertEquals(principalOf(`CN=${"x".repeat(300)}`).length, "cert:sha256=".length + 64);
  const bare = certificate({ subject: "", key, issuerName: name("CN=x") }).der;
  const digest = toHex(certificateFingerprint(bare));
  assertEquals(certificatePrincipal(parseCertificate(bare)), `cert:sha256=${digest}`);
  assertEquals(certificateSubjectText(parseCertificate(bare)), "");
});

Deno.test("a fingerprint is SHA-256 of the certificate's octets", async () => {
  const { der } = certificate({ subject: "CN=x", key });
  const digest = await crypto.subtle.digest("SHA-256", der.slice());
  assertEquals(certificateFingerprint(der), new Uint8Array(digest));
});

Deno.test("IP addresses: text to octets and back, in one form only", () => {
  const pairs = [
    ["127.0.0.1", "7f000001"],
    ["::", "00".repeat(16)],
    ["::1", "00".repeat(15) + "01"],
    ["2001:db8::1:0:0:1", "20010db8000000000001000000000001"],
    ["fe80::", "fe80" + "00".repeat(14)],
  ] as const;
  for (const [text, hex] of pairs) {
    assertEquals(toHex(parseIpAddress(text)!), hex);
    assertEquals(ipAddressText(Uint8Array.fromHex(hex)), text);
  }
  assertEquals(toHex(parseIpAddress("::ffff:10.1.2.3")!), "00000000000000000000ffff0a010203");
  const wrong = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "1:2:3:4:5:6:7",
    ":::",
    "1::2::3",
  ];
  wrong.push(
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "fe80::1%eth0",
    "[::1]",
    "1.2.3.4::",
    "localhost",
    ":",
  );
  for (const text of wrong) assertEquals(parseIpAddress(text), undefined, text);
  const octets = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const sparse = octets.map((bytes) => bytes.map((octet) => octet < 128 ? 0 : octet));
  fc.assert(
    fc.property(
      fc.oneof(octets, sparse, fc.uint8Array({ minLength: 4, maxLength: 4 })),
      (bytes) => {
        assertEquals(parseIpAddress(ipAddressText(bytes)), bytes);
      },
    ),
    { seed: 5952 },
  );
});

Deno.test("PEM: any octets are read back, text around blocks is ignored", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (der) => {
      const text = `subject=x\r\n${pemText("CERTIFICATE", der)}notes\n${pemText("X509 CRL", der)}`;
      assertEquals(certificatesFromPem(text), [der]);
      assertEquals(crlsFromPem(text.replaceAll("\n", "\r\n")), [der]);
    }),
    { seed: 7468 },
  );
});

function pemReason(read: () => unknown): string {
  return assertThrows(read, PemError).reason;
}

Deno.test("PEM: what is wrong is said by type", () => {
  const block = pemText("CERTIFICATE", Uint8Array.of(1, 2, 3));
  assertEquals(pemReason(() => certificatesFromPem("")), "missing");
  assertEquals(pemReason(() => crlsFromPem(block)), "missing");
  assertEquals(pemReason(() => parsePem(block.replace("END", "BEGIN"))), "malformed");
  assertEquals(pemReason(() => parsePem(block.slice(0, 30))), "malformed");
  assertEquals(pemReason(() => parsePem(block.replace("AQID", "A!ID"))), "malformed");
  assertEquals(pemReason(() => parsePem(block.replace("AQID", "AQI"))), "malformed");
  assertEquals(pemReason(() => parsePem("-----END CERTIFICATE-----\n")), "malformed");
  assertEquals(pemReason(() => parsePem(" ".repeat(16_777_217))), "too-large");
});

Deno.test("private keys: PKCS#8 and EC PRIVATE KEY give the same key", () => {
  const pkcs8 = String(key.privateKey.export({ format: "pem", type: "pkcs8" }));
  const sec1 = String(key.privateKey.export({ format: "pem", type: "sec1" }));
  assertEquals(sec1.includes("EC PRIVATE KEY"), true);
  for (const pem of [pkcs8, sec1]) assertEquals(privateKeyFromPem(pem).publicKey, key.spki);
  assertEquals(privateKeyFromPem(pkcs8).pkcs8, parsePem(pkcs8)[0]!.der);
});

Deno.test("private keys: what is wrong is said by type", () => {
  const good = String(key.privateKey.export({ format: "pem", type: "pkcs8" }));
  assertEquals(pemReason(() => privateKeyFromPem("")), "missing");
  assertEquals(pemReason(() => privateKeyFromPem(good + good)), "malformed");
  const bad = pemText("PRIVATE KEY", Uint8Array.of(0x30, 0));
  assertEquals(pemReason(() => privateKeyFromPem(bad)), "bad-key");
  const locked = pemText("ENCRYPTED PRIVATE KEY", Uint8Array.of(0x30, 0));
  assertEquals(pemReason(() => privateKeyFromPem(locked)), "encrypted");
  const old =
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
  assertEquals(pemReason(() => privateKeyFromPem(old)), "encrypted");
});
