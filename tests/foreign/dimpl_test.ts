// Associations with dimpl, a stack in Rust for WebRTC: `deno task test:foreign`. It has neither connection IDs nor
// tickets, no ALPN, and updates its keys by itself.

import { inFolder } from "../harness/folder.ts";
import { type EchoCase, type EchoStack, tryCases } from "./echo_cases.ts";
import { type ForeignCertificates, makeP256Certificates } from "./foreign_certificates.ts";
import { BUILD_MS, canRun, ForeignProcess } from "./foreign_process.ts";

const SOURCE = new URL("dimpl/", import.meta.url).pathname;
/** Kept from run to run: building takes minutes the first time. */
const TARGET = "/tmp/sqp-foreign/dimpl";
const PROGRAM = `${TARGET}/release/dimpl_echo`;

class Dimpl implements EchoStack {
  serve({ folder }: ForeignCertificates, flags: readonly string[]): ForeignProcess {
    return ForeignProcess.start(PROGRAM, [folder, "server", ...flags]);
  }

  call({ folder }: ForeignCertificates, port: number, flags: readonly string[]): ForeignProcess {
    return ForeignProcess.start(PROGRAM, [folder, "client", `${port}`, ...flags]);
  }
}

const CASES: readonly EchoCase[] = [
  { name: "a full handshake after HelloRetryRequest with a cookie", flags: [] },
  { name: "a client certificate", flags: ["auth"], isMutual: true },
  { name: "a group that the first ClientHello has no share for", flags: ["P-384"] },
];

Deno.test({
  name: "dimpl 0.9, DTLS 1.3, where Rust is there to build it",
  ignore: !canRun("cargo", "--version"),
  fn: (context) =>
    inFolder(async (folder) => {
      const args = ["build", "--release", "--locked", "--target-dir", TARGET];
      await using building = ForeignProcess.start("cargo", args, SOURCE);
      if (await building.ended(BUILD_MS) !== 0) throw new Error(building.output);
      await tryCases(context, new Dimpl(), await makeP256Certificates(folder), "1.3", CASES);
    }),
});
