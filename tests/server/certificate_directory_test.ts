// The folder of certificates: what is missing is made, what is there is kept, keys are never readable by others.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { TrustStore } from "../../src/dtls/x509/mod.ts";
import {
  CertificateFileError,
  readCertificates,
  readCredential,
  readCrl,
  readCrls,
  writeFile,
} from "../../src/server/certificate_files.ts";
import { ensureDevelopmentCertificates } from "../../src/server/certificate_directory.ts";
import { folderTest } from "../harness/folder.ts";

const NOW = Date.UTC(2026, 5, 1);
const DAY_MS = 86_400_000;

async function reasonOf(run: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(run, CertificateFileError)).reason;
}

async function fileNames(directory: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(directory), ({ name }) => name);
  return names.toSorted();
}

const ALL = ["ca.crl", "ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"];

folderTest("in an empty folder, all is made and validates", async (parent) => {
  const directory = `${parent}/a/certs`;
  const { ca, crl, server, client, made } = await ensureDevelopmentCertificates(directory, NOW);
  assertEquals(await fileNames(directory), ALL);
  assertEquals(made.map((path) => path.slice(directory.length + 1)).toSorted(), ALL);
  const store = new TrustStore({
    trustAnchors: await readCertificates(ca),
    crls: await readCrls(crl!),
    revocation: "all",
  });
  const serverChain = (await readCredential(server.certificate, server.key)).chain;
  for (const serverName of ["localhost", "127.0.0.1", "::1"]) {
    store.validate({ chain: serverChain, now: NOW, purpose: "serverAuth", serverName });
  }
  const { chain } = await readCredential(client!.certificate, client!.key);
  store.validate({ chain, now: NOW, purpose: "clientAuth" });
});

folderTest("keys have mode 0600, certificates may be read by all", async (directory) => {
  if (Deno.build.os === "windows") return;
  await ensureDevelopmentCertificates(directory, NOW);
  for (const name of ALL) {
    const mode = (await Deno.stat(`${directory}/${name}`)).mode! & 0o777;
    assertEquals(mode & 0o077, name.endsWith(".key") ? 0 : mode & 0o044, name);
    assertEquals(mode & 0o700, 0o600, name);
  }
});

folderTest("what is there is kept, and what is missing is added", async (directory) => {
  await ensureDevelopmentCertificates(directory, NOW);
  const before = await Deno.readTextFile(`${directory}/server.pem`);
  assertEquals((await ensureDevelopmentCertificates(directory, NOW)).made, []);
  await Deno.remove(`${directory}/client.key`);
  await Deno.remove(`${directory}/client.pem`);
  const { made } = await ensureDevelopmentCertificates(directory, NOW);
  assertEquals(made, [`${directory}/client.pem`, `${directory}/client.key`]);
  assertEquals(await Deno.readTextFile(`${directory}/server.pem`), before);
});

folderTest("a revocation list is renewed a month before its end", async (directory) => {
  await ensureDevelopmentCertificates(directory, NOW);
  const path = `${directory}/ca.crl`;
  await ensureDevelopmentCertificates(directory, NOW + 330 * DAY_MS);
  assertEquals((await readCrl(path)).crlNumber, 1n);
  const { made } = await ensureDevelopmentCertificates(directory, NOW + 340 * DAY_MS);
  assertEquals(made, [path]);
  assertEquals((await readCrl(path)).crlNumber, 2n);
});

folderTest("without the authority's key nothing is issued", async (directory) => {
  await ensureDevelopmentCertificates(directory, NOW);
  for (const name of ["ca.key", "client.key", "client.pem"]) {
    await Deno.remove(`${directory}/${name}`);
  }
  const found = await ensureDevelopmentCertificates(directory, NOW + 340 * DAY_MS);
  assertEquals([found.made, found.client], [[], undefined]);
  await Deno.remove(`${directory}/server.key`);
  await Deno.remove(`${directory}/server.pem`);
  assertEquals(await reasonOf(() => ensureDevelopmentCertificates(directory, NOW)), "missing");
});

for (const name of ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"]) {
  folderTest(`half of a pair is never completed: ${name} missing`, async (directory) => {
    await ensureDevelopmentCertificates(directory, NOW);
    await Deno.remove(`${directory}/${name}`);
    assertEquals(await reasonOf(() => ensureDevelopmentCertificates(directory, NOW)), "missing");
    assertEquals(await fileNames(directory), ALL.filter((each) => each !== name));
  });
}

for (const name of ["ca.key", "ca.crl"]) {
  folderTest(
    `an authority is not made over what is left of another: ${name}`,
    async (directory) => {
      await Deno.writeTextFile(`${directory}/${name}`, "mine");
      assertEquals(await reasonOf(() => ensureDevelopmentCertificates(directory, NOW)), "exists");
      assertEquals(await fileNames(directory), [name]);
    },
  );
}

folderTest("a key that does not match its certificate is a typed error", async (directory) => {
  await ensureDevelopmentCertificates(directory, NOW);
  await Deno.copyFile(`${directory}/client.key`, `${directory}/server.key`);
  assertEquals(await reasonOf(() => ensureDevelopmentCertificates(directory, NOW)), "key-mismatch");
  const read = () => readCredential(`${directory}/server.pem`, `${directory}/server.key`);
  const error = await assertRejects(read, CertificateFileError);
  assert(error.message.includes("server.key: the private key does not match the certificate in"));
});

folderTest("files that cannot be used are typed errors that name the file", async (directory) => {
  const path = `${directory}/x.pem`;
  assertEquals(await reasonOf(() => readCertificates(path)), "missing");
  assertEquals(await reasonOf(() => readCertificates(directory)), "unreadable");
  for (
    const text of ["", "hello", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]
  ) {
    await Deno.writeTextFile(path, text);
    assertEquals(await reasonOf(() => readCertificates(path)), "malformed");
    assertEquals(await reasonOf(() => readCrls(path)), "malformed");
  }
});

folderTest("a list that the authority did not sign is refused", async (directory) => {
  await ensureDevelopmentCertificates(`${directory}/a`, NOW);
  await ensureDevelopmentCertificates(`${directory}/b`, NOW);
  await Deno.copyFile(`${directory}/b/ca.crl`, `${directory}/a/ca.crl`);
  const again = () => ensureDevelopmentCertificates(`${directory}/a`, NOW);
  assertEquals(await reasonOf(again), "malformed");
});

folderTest(
  "a file is written whole or not at all, and replaced only on request",
  async (directory) => {
    const path = `${directory}/x.key`;
    const write = (text: string, overwrite: boolean) =>
      writeFile(path, text, { access: "private", overwrite });
    await write("1", false);
    assertEquals(await reasonOf(() => write("2", false)), "exists");
    assertEquals(await Deno.readTextFile(path), "1");
    await write("3", true);
    assertEquals(await Deno.readTextFile(path), "3");
    for (const parent of [`${directory}/none`, path]) {
      const nowhere = () => writeFile(`${parent}/x`, "", { access: "public", overwrite: true });
      assertEquals(await reasonOf(nowhere), "unwritable");
    }
    const below = () => ensureDevelopmentCertificates(`${path}/certs`, NOW);
    assertEquals(await reasonOf(below), "unwritable");
    assertEquals(await fileNames(directory), ["x.key"]);
  },
);

folderTest("of many who write one new file, one succeeds", async (directory) => {
  const path = `${directory}/x.key`;
  const writers = Array.from(
    { length: 8 },
    (_, i) => writeFile(path, String(i), { access: "private", overwrite: false }),
  );
  const results = await Promise.allSettled(writers);
  const winner = results.findIndex(({ status }) => status === "fulfilled");
  assertEquals(results.filter(({ status }) => status === "fulfilled").length, 1);
  assertEquals(await Deno.readTextFile(path), String(winner));
  assertEquals(await fileNames(directory), ["x.key"]);
});
