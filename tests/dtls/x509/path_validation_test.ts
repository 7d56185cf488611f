// Path validation, case by case, and the same cases before `openssl verify`.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { equalBytes } from "../../../src/base/bytes.ts";
import {
  CERTIFICATE_FAULT_REASONS,
  CertificateFault,
  parseIpAddress,
  pemText,
  validateCertificatePath,
  type ValidatedCertificate,
} from "../../../src/dtls/x509/mod.ts";
import { folderTest } from "../../harness/folder.ts";
import { EPOCH } from "./certificate_builder.ts";
import type { PathCase, PathInput } from "./path_case.ts";
import { PATH_CASES } from "./path_cases.ts";

const DEFAULT_SERVER_NAME = "server.example";

function validate(input: PathInput): ValidatedCertificate {
  const { chain, anchors, crls = [], now = EPOCH } = input;
  const common = { chain, trustAnchors: anchors, crls, now };
  return input.purpose === "clientAuth"
    ? validateCertificatePath({ ...common, purpose: "clientAuth" })
    : validateCertificatePath({
      ...common,
      purpose: "serverAuth",
      serverName: input.serverName ?? DEFAULT_SERVER_NAME,
    });
}

for (const { title, expected, make } of PATH_CASES) {
  Deno.test(`path validation: ${title}: ${expected}`, () => {
    const input = make();
    if (expected === "accepted") {
      const { leaf, publicKey, path } = validate(input);
      assertEquals(leaf.der, input.chain[0]!);
      assertEquals(publicKey, leaf.publicKey.spki);
      assertEquals(path[0], leaf);
      assert(input.anchors.some((anchor) => equalBytes(anchor, path.at(-1)!.der)));
    } else {
      const fault = assertThrows(() => validate(input), CertificateFault);
      assertEquals(fault.reason, expected, fault.message);
    }
  });
}

Deno.test("path validation: every reason has a case, here or among the limits", () => {
  const shown = new Set<string>(PATH_CASES.map(({ expected }) => expected));
  const elsewhere = ["too-large", "too-many-paths", "crl-missing"];
  assertEquals(
    CERTIFICATE_FAULT_REASONS.filter((reason) => !shown.has(reason)).toSorted(),
    elsewhere.toSorted(),
  );
});

/** What `openssl verify` says of a case's files in `directory`. */
function askOpenssl(directory: string, { make, opensslArgs = [] }: PathCase): string {
  const { chain, anchors, crls = [], now = EPOCH, purpose, serverName } = make();
  const write = (file: string, label: string, ders: readonly Uint8Array[]) => {
    const path = `${directory}/${file}`;
    Deno.writeTextFileSync(path, ders.map((der) => pemText(label, der)).join(""));
    return path;
  };
  const [leaf, ...others] = chain;
  const name = serverName ?? DEFAULT_SERVER_NAME;
  const isAddress = parseIpAddress(name) !== undefined;
  const args = [
    "verify",
    "-no-CApath",
    "-no-CAstore",
    // Level 2 asks for 112 bits of security: RSA of 2,048 bits, no SHA-1.
    ...["-auth_level", "2"],
    ...["-attime", String(Math.floor(now / 1000))],
    ...["-CAfile", write("anchors.pem", "CERTIFICATE", anchors)],
    ...(others.length > 0 ? ["-untrusted", write("others.pem", "CERTIFICATE", others)] : []),
    ...(crls.length > 0 ? ["-crl_check", "-CRLfile", write("crls.pem", "X509 CRL", crls)] : []),
    ...(purpose === "clientAuth"
      ? ["-purpose", "sslclient"]
      : ["-purpose", "sslserver", isAddress ? "-verify_ip" : "-verify_hostname", name]),
    ...opensslArgs,
    write("leaf.pem", "CERTIFICATE", [leaf!]),
  ];
  const { success, stdout, stderr } = new Deno.Command("openssl", { args }).outputSync();
  const text = new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
  return success ? "accepted" : `refused: ${text}`;
}

folderTest(
  "path validation: openssl verify agrees on every case that does not say why it differs",
  (directory) => {
    const disagreements: string[] = [];
    for (const each of PATH_CASES) {
      if (each.opensslVaries !== undefined) continue;
      const verdict = askOpenssl(directory, each);
      const isSame = (verdict === "accepted") === (each.expected === "accepted");
      if (isSame === (each.opensslDiffers === undefined)) continue;
      disagreements.push(`${each.title}: ${each.expected} here, ${verdict}`);
    }
    assertEquals(disagreements, []);
  },
  { openssl: true },
);
