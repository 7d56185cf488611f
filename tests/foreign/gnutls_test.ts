// Associations with the system's GnuTLS, which has DTLS 1.2.

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

const files = (name: string) => [
  "--x509cafile=ca.pem",
  `--x509certfile=${name}.pem`,
  `--x509keyfile=${name}.key`,
  "--alpn=echo",
];

const priority = ({ suite }: LineOptions) =>
  suite === undefined ? [] : [`--priority=NORMAL:-CIPHER-ALL:+${suite.name}`];

/** A port that nobody has at the moment: the server takes no port of the system's choice. */
function freePort(): number {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const { port } = socket.addr as Deno.NetAddr;
  socket.close();
  return port;
}

class Gnutls implements LineStack {
  readonly isEcho = true;
  readonly associationsOfClient = 2;
  readonly resumed = /This is a resumed session/;

  async serve({ folder }: ForeignCertificates, options: LineOptions) {
    const port = freePort();
    const process = ForeignProcess.start("gnutls-serv", [
      "--udp",
      "--echo",
      `--port=${port}`,
      "--require-client-cert",
      "--verify-client-cert",
      ...files("server"),
      ...priority(options),
    ], folder);
    await process.finds(/IPv4 .*\.\.\.done/);
    return { process, port };
  }

  call({ folder }: ForeignCertificates, port: number, options: LineOptions) {
    return ForeignProcess.start("gnutls-cli", [
      "--udp",
      `--port=${port}`,
      "--keymatexport=EXPORTER-test",
      "--keymatexportsize=16",
      ...files("client"),
      ...priority(options),
      ...(options.isResuming ? ["--resume"] : []),
      "localhost",
    ], folder);
  }
}

const ECDSA_SUITES = [
  { number: CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, name: "AES-256-GCM" },
  { number: CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, name: "CHACHA20-POLY1305" },
];
const RSA_SUITES = [
  { number: CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, name: "AES-128-GCM" },
];

const ignore = !canUseFiles() || !granted({ name: "net", host: "127.0.0.1" }) ||
  !canRun("gnutls-serv", "--version") || !canRun("gnutls-cli", "--version");

Deno.test({
  name: "GnuTLS, DTLS 1.2, certificates of P-256, where gnutls-bin is installed",
  ignore,
  fn: (context) =>
    inFolder(async (folder) =>
      tryLines(context, new Gnutls(), await makeP256Certificates(folder), ECDSA_SUITES)
    ),
});

Deno.test({
  name: "GnuTLS, DTLS 1.2, certificates of RSA, where gnutls-bin and openssl are installed",
  ignore: ignore || !canRun("openssl", "version"),
  fn: (context) =>
    inFolder(async (folder) =>
      tryLines(context, new Gnutls(), await makeRsaCertificates(folder), RSA_SUITES)
    ),
});
