// Associations with the system's OpenSSL, which has DTLS 1.2.

import { CipherSuite } from "../../src/dtls_runtime/mod.ts";
import { canUseFiles, inFolder } from "../harness/folder.ts";
import { granted } from "../harness/permissions.ts";
import {
  type ForeignCertificates,
  makeP256Certificates,
  makeRsaCertificates,
} from "./foreign_certificates.ts";
import { canRun, ForeignProcess } from "./foreign_process.ts";
import { type LineOptions, type LineStack, tryLines } from "./line_cases.ts";

const COMMON = [
  "-dtls1_2",
  "-CAfile",
  "ca.pem",
  "-keymatexport",
  "EXPORTER-test",
  "-keymatexportlen",
  "16",
  "-alpn",
  "echo",
];

const credential = (name: string) => ["-cert", `${name}.pem`, "-key", `${name}.key`];
const cipher = ({ suite }: LineOptions) => suite === undefined ? [] : ["-cipher", suite.name];

class Openssl implements LineStack {
  readonly isEcho = false;
  readonly associationsOfClient = 1;
  readonly resumed = /^Reused, TLSv1\.2/m;

  async serve({ folder }: ForeignCertificates, options: LineOptions) {
    const process = ForeignProcess.start("openssl", [
      "s_server",
      ...COMMON,
      ...cipher(options),
      "-accept",
      "127.0.0.1:0",
      ...credential("server"),
      "-Verify",
      "1",
      "-verify_return_error",
      // With a cookie it serves one association; for those that follow each other it asks for none.
      ...(options.isResuming ? [] : ["-listen"]),
    ], folder);
    const port = Number((await process.finds(/^ACCEPT 127\.0\.0\.1:(\d+)$/m))[1]);
    return { process, port };
  }

  call(
    { folder }: ForeignCertificates,
    port: number,
    options: LineOptions & { readonly isFirst: boolean },
  ) {
    return ForeignProcess.start("openssl", [
      "s_client",
      ...COMMON,
      ...cipher(options),
      "-connect",
      `127.0.0.1:${port}`,
      "-servername",
      "localhost",
      "-verify_return_error",
      ...credential("client"),
      "-sess_out",
      "session.pem",
      ...(options.isFirst ? [] : ["-sess_in", "session.pem"]),
    ], folder);
  }
}

const ECDSA_SUITES = [
  {
    number: CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    name: "ECDHE-ECDSA-AES256-GCM-SHA384",
  },
  {
    number: CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    name: "ECDHE-ECDSA-CHACHA20-POLY1305",
  },
];
const RSA_SUITES = [
  {
    number: CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    name: "ECDHE-RSA-AES128-GCM-SHA256",
  },
];

const ignore = !canUseFiles() || !granted({ name: "net", host: "127.0.0.1" }) ||
  !canRun("openssl", "version");

Deno.test({
  name: "OpenSSL, DTLS 1.2, certificates of P-256, where openssl is installed",
  ignore,
  fn: (context) =>
    inFolder(async (folder) =>
      tryLines(context, new Openssl(), await makeP256Certificates(folder), ECDSA_SUITES)
    ),
});

Deno.test({
  name: "OpenSSL, DTLS 1.2, certificates of RSA, where openssl is installed",
  ignore,
  fn: (context) =>
    inFolder(async (folder) =>
      tryLines(context, new Openssl(), await makeRsaCertificates(folder), RSA_SUITES)
    ),
});
