// `certgen` from its command line: files, refusals, and the verdict of `openssl verify` on what it makes.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runCertgen } from "../../src/cli/certgen.ts";
import { readCrl } from "../../src/server/certificate_files.ts";
import { folderTest } from "../harness/folder.ts";

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

type Certgen = (...args: string[]) => Promise<Run>;

async function run(...args: string[]): Promise<Run> {
  let out = "";
  let err = "";
  const code = await runCertgen(args, { out: (text) => out += text, err: (text) => err += text });
  return { code, out, err };
}

/** A test with a folder of its own, which `certgen` uses. */
function certgenTest(
  name: string,
  test: (certgen: Certgen, directory: string) => Promise<void>,
  needs = { openssl: false },
): void {
  folderTest(
    name,
    (directory) => test((...args) => run(...args, "--certs", directory), directory),
    needs,
  );
}

async function succeed(certgen: Certgen, ...args: string[]): Promise<string> {
  const { code, out, err } = await certgen(...args);
  assertEquals([code, err], [0, ""], args.join(" "));
  return out;
}

for (const key of ["p256", "p384", "ed25519"]) {
  certgenTest(
    `${key}: what is made passes openssl verify -x509_strict`,
    async (certgen, directory) => {
      await succeed(certgen, "ca", "--key", key);
      await succeed(certgen, "server", "--key", key);
      await succeed(
        certgen,
        "client",
        "--key",
        key,
        "--name",
        "alice",
        "--san",
        "uri:spiffe://x/y",
      );
      const openssl = (...args: string[]) => {
        const { success, stdout, stderr } = new Deno.Command("openssl", { args, cwd: directory })
          .outputSync();
        return {
          success,
          text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr),
        };
      };
      const verify = (file: string, purpose: string, ...args: string[]) =>
        openssl(
          "verify",
          ...["-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", "ca.pem"],
          ...["-crl_check", "-CRLfile", "ca.crl", "-purpose", purpose, ...args, file],
        );
      for (const name of ["localhost"]) {
        const { success, text } = verify("server.pem", "sslserver", "-verify_hostname", name);
        assert(success, text);
      }
      for (const address of ["127.0.0.1", "::1"]) {
        const { success, text } = verify("server.pem", "sslserver", "-verify_ip", address);
        assert(success, text);
      }
      const client = verify("alice.pem", "sslclient");
      assert(client.success, client.text);
      assertEquals(verify("alice.pem", "sslserver").success, false);
      for (const name of ["ca", "server", "alice"]) {
        const pair = openssl("pkey", "-in", `${name}.key`, "-pubout");
        const certified = openssl("x509", "-in", `${name}.pem`, "-noout", "-pubkey");
        assertEquals(pair, certified);
      }
      await succeed(certgen, "revoke", "alice");
      const revoked = verify("alice.pem", "sslclient");
      assertEquals(revoked.success, false);
      assertStringIncludes(revoked.text, "certificate revoked");
      assert(verify("server.pem", "sslserver").success);
    },
    { openssl: true },
  );
}

certgenTest("nothing is replaced without --force", async (certgen, directory) => {
  await succeed(certgen, "ca");
  await succeed(certgen, "server");
  const before = await Deno.readTextFile(`${directory}/server.pem`);
  for (const command of ["ca", "server"]) {
    const { code, out, err } = await certgen(command);
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /^certgen \w+: .*\.pem: exists already\n$/);
  }
  assertEquals(await Deno.readTextFile(`${directory}/server.pem`), before);
  await succeed(certgen, "server", "--force");
  assert(await Deno.readTextFile(`${directory}/server.pem`) !== before);
});

certgenTest("a new authority begins a new list, and disowns what was before", async (certgen) => {
  await succeed(certgen, "ca");
  await succeed(certgen, "client");
  await succeed(certgen, "revoke", "client");
  const { code, err } = await certgen("ca", "--force");
  assertEquals(code, 0);
  assertStringIncludes(err, "not valid any more");
  const table = await succeed(certgen, "list");
  assertMatch(table, /client .* of another authority\n/);
  assertStringIncludes(table, "ca.crl: number 1, 0 revoked");
  const { err: refusal } = await certgen("revoke", "client");
  assertStringIncludes(refusal, "another authority issued this certificate");
});

certgenTest(
  "revoke by name, file and serial number; the list's number rises",
  async (certgen, directory) => {
    await succeed(certgen, "ca");
    for (const name of ["a", "b", "c"]) await succeed(certgen, "client", "--name", name);
    const path = `${directory}/ca.crl`;
    assertEquals((await readCrl(path)).crlNumber, 1n);
    await succeed(certgen, "revoke", "a");
    await succeed(certgen, "revoke", `${directory}/b.pem`, "--reason", "keyCompromise");
    const table = await succeed(certgen, "list");
    const serial = table.split("\n").find((row) => row.startsWith("c "))!.match(/[0-9a-f]{32}/)![0];
    await succeed(certgen, "revoke", serial.toUpperCase().replace(/..(?=.)/g, "$&:"));
    const crl = await readCrl(path);
    assertEquals([crl.crlNumber, crl.revoked.size], [4n, 3]);
    assertEquals([...crl.revoked.values()].map(({ reason }) => reason).toSorted(), [0, 0, 1]);
    assertStringIncludes(await succeed(certgen, "revoke", "a"), "revoked already");
    assertEquals((await readCrl(path)).crlNumber, 4n);
    const after = await succeed(certgen, "list");
    assertEquals(after.match(/ revoked\n/g)?.length, 3);
    assertStringIncludes(after, "ca.crl: number 4, 3 revoked");
  },
);

certgenTest(
  "list shows what is in the folder, whatever else is there",
  async (certgen, directory) => {
    assertEquals((await succeed(certgen, "list")).split("\n").length, 2);
    await succeed(certgen, "ca", "--subject", "My CA");
    await succeed(certgen, "server", "--name", "web", "--san", "example.com", "--san", "10.0.0.1");
    await Deno.writeTextFile(`${directory}/bad.pem`, "-----BEGIN CERTIFICATE-----\n");
    await Deno.writeTextFile(`${directory}/token.pem`, "-----BEGIN PUBLIC KEY-----\n");
    const table = await succeed(certgen, "list");
    assertMatch(table, /^name +subject +alternative names +not after +serial number +status\n/);
    assertMatch(table, /\nbad +malformed\nca +CN=My CA .* valid\n/);
    assertMatch(
      table,
      /\nweb +CN=example\.com +example\.com 10\.0\.0\.1 +\d{4}-.*Z +[0-9a-f]{32} +valid\n/,
    );
  },
);

const REFUSED: readonly (readonly [number, string, readonly string[]])[] = [
  [2, "unknown option --nope", ["ca", "--nope"]],
  [2, "--key is one of", ["ca", "--key", "rsa"]],
  [2, "--days is a whole number", ["ca", "--days", "0"]],
  [2, "unexpected argument", ["server", "extra"]],
  [2, "--name is made of", ["server", "--name", "../x"]],
  [2, "--name is made of", ["server", "--name", ""]],
  [2, "--name ca is taken", ["client", "--name", "ca"]],
  [2, "is no name for a certificate", ["server", "--san", "a b"]],
  [2, "1 to 64 characters", ["client", "--subject", "x".repeat(65)]],
  [2, "--name is given twice", ["client", "--name", "a", "--name", "b"]],
  [2, "CERTIFICATE is missing", ["revoke"]],
  [2, "--reason is one of", ["revoke", "x", "--reason", "bored"]],
  [1, "no such certificate", ["revoke", "nobody"]],
  [1, "an authority cannot revoke itself", ["revoke", "ca"]],
];

certgenTest(
  "bad usage is one line and exit code 2, failures are one line and 1",
  async (certgen) => {
    await succeed(certgen, "ca");
    for (const [expected, message, args] of REFUSED) {
      const { code, out, err } = await certgen(...args);
      assertEquals([code, out], [expected, ""], args.join(" "));
      assertStringIncludes(err, message);
      assertMatch(err, /^certgen \w+: [^\n]*\n$/);
    }
  },
);

certgenTest(
  "without an authority, or with half of one, it says what to do",
  async (certgen, directory) => {
    for (const command of [["server"], ["client"], ["revoke", "x"]]) {
      const { code, err } = await certgen(...command);
      assertEquals(code, 1);
      assertMatch(err, /ca\.pem: no such file; deno task certgen ca makes it\n$/);
    }
    await succeed(certgen, "ca");
    await Deno.writeTextFile(`${directory}/ca.key`, "nothing");
    const { code, err } = await certgen("client");
    assertEquals(code, 1);
    assertMatch(err, /ca\.key: no PRIVATE KEY in the PEM text\n$/);
  },
);

Deno.test("certgen alone, or with an unknown command, is bad usage", async () => {
  assertEquals((await run()).code, 2);
  assertEquals((await run("make")).code, 2);
  const { code, out } = await run("--help");
  assertEquals(code, 0);
  for (const command of ["ca", "server", "client", "list", "revoke"]) {
    assertStringIncludes(out, `  ${command} `);
  }
});
