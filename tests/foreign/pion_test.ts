// Associations with pion/dtls, a stack in Go with all of DTLS 1.3: `deno task test:foreign`.

import { inFolder } from "../harness/folder.ts";
import { type EchoCase, type EchoStack, tryCases } from "./echo_cases.ts";
import { type ForeignCertificates, makeP256Certificates } from "./foreign_certificates.ts";
import { BUILD_MS, canRun, ForeignProcess } from "./foreign_process.ts";

const SOURCE = new URL("pion/", import.meta.url).pathname;
/** Kept from run to run: building takes a minute the first time. */
const PROGRAM = "/tmp/sqp-foreign/pion_echo";

class Pion implements EchoStack {
  serve({ folder }: ForeignCertificates, flags: readonly string[]): ForeignProcess {
    return ForeignProcess.start(PROGRAM, ["-role=server", `-folder=${folder}`, ...flags]);
  }

  call({ folder }: ForeignCertificates, port: number, flags: readonly string[]): ForeignProcess {
    const where = [`-folder=${folder}`, `-port=${port}`];
    return ForeignProcess.start(PROGRAM, ["-role=client", ...where, ...flags]);
  }
}

const CASES: readonly EchoCase[] = [
  { name: "a full handshake after HelloRetryRequest with a cookie", flags: [] },
  { name: "a client certificate", flags: ["-auth"], isMutual: true },
  {
    name: "connection IDs both ways",
    flags: ["-cid"],
    ours: { connectionId: new Uint8Array([1, 2, 3, 4, 5]) },
    hasConnectionIds: true,
  },
  { name: "a group that the first ClientHello has no share for", flags: ["-group=P-384"] },
];

Deno.test({
  name: "pion/dtls v4, DTLS 1.3, where Go is there to build it",
  ignore: !canRun("go", "version"),
  fn: (context) =>
    inFolder(async (folder) => {
      await using building = ForeignProcess.start("go", ["build", "-o", PROGRAM, "."], SOURCE);
      if (await building.ended(BUILD_MS) !== 0) throw new Error(building.output);
      await tryCases(context, new Pion(), await makeP256Certificates(folder), "1.3", CASES);
    }),
});
