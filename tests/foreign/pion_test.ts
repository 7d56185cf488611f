// Associations with pion/dtls, a stack in Go with all of DTLS 1.3: `deno task test:foreign`.

import type { DtlsVersion } from "../../src/dtls_runtime/mod.ts";
import { inFolder } from "../harness/folder.ts";
import { type EchoCase, type EchoStack, tryCases } from "./echo_cases.ts";
import { type ForeignCertificates, makeP256Certificates } from "./foreign_certificates.ts";
import { BUILD_MS, canRun, ForeignProcess } from "./foreign_process.ts";

const SOURCE = new URL("pion/", import.meta.url).pathname;
/** Kept from run to run: building takes a minute the first time. */
const PROGRAM = "/tmp/sqp-foreign/pion_echo";

class Pion implements EchoStack {
  versionFlags(version: DtlsVersion): string[] {
    return [`-version=${version}`];
  }

  serve({ folder }: ForeignCertificates, flags: readonly string[]): ForeignProcess {
    return ForeignProcess.start(PROGRAM, ["-role=server", `-folder=${folder}`, ...flags]);
  }

  call({ folder }: ForeignCertificates, port: number, flags: readonly string[]): ForeignProcess {
    const where = [`-folder=${folder}`, `-port=${port}`];
    return ForeignProcess.start(PROGRAM, ["-role=client", ...where, ...flags]);
  }
}

const CONNECTION_IDS: EchoCase = {
  name: "connection IDs both ways",
  flags: ["-cid"],
  ours: { connectionId: new Uint8Array([1, 2, 3, 4, 5]) },
  hasConnectionIds: true,
};
/** Without client certificates: pion keeps no ticket where they are asked for. */
const RESUMPTION: EchoCase = {
  name: "resumption",
  flags: ["-tickets", "-connections=3"],
  associations: 3,
  isResuming: true,
};

const MOVING: EchoCase = {
  ...CONNECTION_IDS,
  name: "a client that goes on at another port, which is shown to be its own",
  flags: ["-cid", "-move"],
  isMoving: true,
};

const CASES_13: readonly EchoCase[] = [
  { name: "a full handshake after HelloRetryRequest with a cookie", flags: [] },
  { name: "a client certificate", flags: ["-auth"], isMutual: true },
  CONNECTION_IDS,
  MOVING,
  { name: "a group that the first ClientHello has no share for", flags: ["-group=P-384"] },
  { name: "keys that they change", flags: ["-update"] },
  { name: "keys that we change", flags: [], updatesKeys: true },
  RESUMPTION,
];
const CASES_12: readonly EchoCase[] = [
  { name: "a full handshake after HelloVerifyRequest", flags: [] },
  { name: "a client certificate", flags: ["-auth"], isMutual: true },
  CONNECTION_IDS,
  { name: "another group", flags: ["-group=P-256"] },
  RESUMPTION,
];

Deno.test({
  name: "pion/dtls v4, DTLS 1.3 and 1.2, where Go is there to build it",
  ignore: !canRun("go", "version"),
  fn: (context) =>
    inFolder(async (folder) => {
      await using building = ForeignProcess.start("go", ["build", "-o", PROGRAM, "."], SOURCE);
      if (await building.ended(BUILD_MS) !== 0) throw new Error(building.output);
      const certificates = await makeP256Certificates(folder);
      await tryCases(context, new Pion(), certificates, "1.3", CASES_13);
      await tryCases(context, new Pion(), certificates, "1.2", CASES_12);
    }),
});
