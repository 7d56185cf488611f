// Associations with dimpl, a stack in Rust for WebRTC: `deno task test:foreign`. It has neither connection IDs nor
// tickets, no ALPN, and updates its keys by itself.

import type { DtlsVersion } from "../../src/dtls_runtime/mod.ts";
import { inFolder } from "../harness/folder.ts";
import { type EchoCase, type EchoStack, tryCases } from "./echo_cases.ts";
import { type ForeignCertificates, makeP256Certificates } from "./foreign_certificates.ts";
import { BUILD_MS, canRun, ForeignProcess } from "./foreign_process.ts";

const SOURCE = new URL("dimpl/", import.meta.url).pathname;
/** Kept from run to run: building takes minutes the first time. */
const TARGET = "/tmp/sqp-foreign/dimpl";
const PROGRAM = `${TARGET}/release/dimpl_echo`;

class Dimpl implements EchoStack {
  versionFlags(version: DtlsVersion): string[] {
    return [version];
  }

  serve({ folder }: ForeignCertificates, flags: readonly string[]): ForeignProcess {
    return ForeignProcess.start(PROGRAM, [folder, "server", ...flags]);
  }

  call({ folder }: ForeignCertificates, port: number, flags: readonly string[]): ForeignProcess {
    return ForeignProcess.start(PROGRAM, [folder, "client", `${port}`, ...flags]);
  }
}

const CASES_12: readonly EchoCase[] = [
  { name: "a full handshake after HelloVerifyRequest", flags: [] },
  { name: "a client certificate", flags: ["auth"], isMutual: true },
];
const CASES_13: readonly EchoCase[] = [
  { name: "a full handshake after HelloRetryRequest with a cookie", flags: [] },
  { name: "a client certificate", flags: ["auth"], isMutual: true },
  { name: "a group that the first ClientHello has no share for", flags: ["P-384"] },
  { name: "keys that they change", flags: ["update"] },
  { name: "keys that we change", flags: [], updatesKeys: true },
];

Deno.test({
  name: "dimpl 0.9, DTLS 1.3 and 1.2, where Rust is there to build it",
  ignore: !canRun("cargo", "--version"),
  fn: (context) =>
    inFolder(async (folder) => {
      const args = ["build", "--release", "--locked", "--target-dir", TARGET];
      await using building = ForeignProcess.start("cargo", args, SOURCE);
      if (await building.ended(BUILD_MS) !== 0) throw new Error(building.output);
      const certificates = await makeP256Certificates(folder);
      await tryCases(context, new Dimpl(), certificates, "1.3", CASES_13);
      await tryCases(context, new Dimpl(), certificates, "1.2", CASES_12);
    }),
});
