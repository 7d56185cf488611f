// The names of authorities that are told to a peer, and the choice of a chain by those that a peer tells.

import { assertEquals, assertThrows } from "@std/assert";
import { CertificateFault, isChainOfAuthorities, TrustStore } from "../../../src/dtls/x509/mod.ts";
import { certificate, name, rootAuthority, testKey } from "./certificate_builder.ts";
import { ders, leaf, middle, root, rootKey } from "./path_case.ts";

const other = rootAuthority({ key: testKey("ed25519", "other"), subject: "CN=Other" });
const issuer = middle();
const chain = ders(leaf({ issuer }), issuer);

Deno.test("a store tells the name of each trust anchor once, as it is encoded", () => {
  const renewed = rootAuthority({ key: testKey("p384", "renewed") });
  const { authorityNames } = new TrustStore({ trustAnchors: ders(root, other, renewed) });
  assertEquals(authorityNames, [name("O=Tests/CN=Root"), name("CN=Other")]);
});

Deno.test("a store without trust anchors tells no name", () => {
  assertEquals(new TrustStore({ trustAnchors: [] }).authorityNames, []);
});

const CASES: readonly [title: string, authorities: readonly Uint8Array[], expected: boolean][] = [
  ["no authority is named: any chain", [], true],
  ["the root, which is not in the chain", [name("O=Tests/CN=Root")], true],
  ["the intermediate", [name("CN=Middle")], true],
  ["the second of two", [name("CN=Other"), name("O=Tests/CN=Root")], true],
  ["another authority", [name("CN=Other")], false],
  ["the leaf itself, which has issued nothing", [name("CN=leaf")], false],
  ["a name below the root's", [name("O=Tests/CN=Root/CN=more")], false],
  ["the empty name", [name("")], false],
  ["another string type and case", [name("O=TESTS/CN=ROOT", 0x13)], true],
  ["octets that are no name", [Uint8Array.of(0x30, 5, 0)], false],
  [
    "octets that are no name beside one that is",
    [new Uint8Array(0), name("O=Tests/CN=Root")],
    true,
  ],
  ["a name and an octet more", [Uint8Array.of(...name("O=Tests/CN=Root"), 0)], false],
];
for (const [title, authorities, expected] of CASES) {
  Deno.test(`a chain by the authorities that a peer names: ${title}`, () => {
    assertEquals(isChainOfAuthorities(chain, authorities), expected);
  });
}

Deno.test("a self-signed certificate is its own authority", () => {
  const pinned = certificate({ subject: "CN=pinned", key: rootKey });
  assertEquals(isChainOfAuthorities([pinned.der], [name("CN=pinned")]), true);
});

Deno.test("a chain that cannot be read is malformed", () => {
  const fault = assertThrows(
    () => isChainOfAuthorities([Uint8Array.of(1)], [name("O=Tests/CN=Root")]),
    CertificateFault,
  );
  assertEquals(fault.reason, "malformed");
});
