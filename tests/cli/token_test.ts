// `token` from its command line.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runCertgen } from "../../src/cli/certgen.ts";
import { runToken } from "../../src/cli/token.ts";
import { certificateFingerprint, readCertificates } from "../../src/server/certificate_files.ts";
import { folderTest } from "../harness/folder.ts";

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(command: typeof runToken, ...args: string[]): Promise<Run> {
  let out = "";
  let err = "";
  const code = await command(args, { out: (text) => out += text, err: (text) => err += text });
  return { code, out, err };
}

type Token = (...args: string[]) => Promise<Run>;

/** A test with a folder of its own, which `token` uses. */
function tokenTest(name: string, test: (token: Token, directory: string) => Promise<void>): void {
  folderTest(
    name,
    (directory) => test((...args) => run(runToken, ...args, "--certs", directory), directory),
  );
}

for (const algorithm of ["eddsa", "es256"]) {
  tokenTest(
    `${algorithm}: issue makes keys once and prints the token alone`,
    async (token, directory) => {
      const first = await token("issue", "--subject", "alice", "--algorithm", algorithm);
      assertEquals(first.code, 0);
      assertMatch(first.out, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
      assertStringIncludes(first.err, "token.key");
      const second = await token("issue", "--subject", "bob", "--permissions", "admin, read");
      assertEquals([second.code, second.err], [0, ""]);
      if (Deno.build.os !== "windows") {
        assertEquals((await Deno.stat(`${directory}/token.key`)).mode! & 0o777, 0o600);
      }
      for (
        const [{ out }, sub, permissions] of [
          [first, "alice", ["read", "write"]],
          [second, "bob", ["read", "admin"]],
        ] as const
      ) {
        const verified = await token("verify", out.trim());
        assertEquals([verified.code, verified.err], [0, ""]);
        const claims = JSON.parse(verified.out);
        assertEquals([claims.sub, claims.permissions], [sub, permissions]);
        assertEquals(claims.exp - claims.iat, 3600);
      }
    },
  );
}

tokenTest("a token can be bound to a certificate", async (token, directory) => {
  for (const command of ["ca", "client"]) {
    assertEquals((await run(runCertgen, command, "--certs", directory)).code, 0);
  }
  const path = `${directory}/client.pem`;
  const { out } = await token("issue", "--subject", "x", "--cnf-cert", path);
  const verified = await token("verify", out.trim());
  const digest = certificateFingerprint((await readCertificates(path))[0]!);
  const expected = digest.toBase64({ alphabet: "base64url", omitPadding: true });
  assertEquals(JSON.parse(verified.out).cnf, { "x5t#S256": expected });
});

tokenTest("verify refuses with exit code 1, one line and no claims", async (token, directory) => {
  const { out } = await token("issue", "--subject", "x", "--ttl", "1s");
  const good = out.trim();
  const cases: [string[], RegExp][] = [
    [[`${good.slice(0, -4)}AAAA`], /^token verify: bad-signature: /],
    [["nonsense"], /^token verify: malformed: /],
    [[good, "--issuer", "other"], /^token verify: wrong-issuer: /],
    [[good, "--audience", "other"], /^token verify: wrong-audience: /],
    [[good, "--key", `${directory}/x.pem`], /^token verify: .*\/x\.pem: no such file\n$/],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await token("verify", ...args);
    assertEquals([code, out], [1, ""], err);
    assertMatch(err, message);
    assertEquals(err.split("\n").length, 2);
  }
});

tokenTest(
  "bad usage is one line and exit code 2; files that fail are 1",
  async (token, directory) => {
    await Deno.writeTextFile(`${directory}/bad.key`, "nothing");
    const cases: [number, string, string[]][] = [
      [2, "--subject NAME is missing", ["issue"]],
      [2, "--subject NAME is missing", ["issue", "--subject="]],
      [2, "--subject has more than", ["issue", "--subject", "x".repeat(129)]],
      [2, '--permissions are of read, write, schema, subscribe, admin, not "all"', [
        "issue",
        "--subject=x",
        "--permissions=all",
      ]],
      [2, "--permissions names none", ["issue", "--subject=x", "--permissions=,"]],
      [2, "--ttl is a time", ["issue", "--subject=x", "--ttl=1"]],
      [2, "--algorithm is one of", ["issue", "--subject=x", "--algorithm=rs256"]],
      [2, "unknown option --x", ["issue", "--subject=x", "--x"]],
      [2, "unexpected argument", ["issue", "x", "--subject=x"]],
      [2, "is missing", ["verify"]],
      [1, "no such file", ["issue", "--subject=x", "--key", `${directory}/none.key`]],
      [1, "no PRIVATE KEY", ["issue", "--subject=x", "--key", `${directory}/bad.key`]],
      [1, "no such file", ["issue", "--subject=x", "--cnf-cert", `${directory}/none.pem`]],
      [1, "token.pem: no such file", ["verify", "x"]],
    ];
    for (const [expected, message, args] of cases) {
      const { code, out, err } = await token(...args);
      assertEquals([code, out], [expected, ""], `${args} ${err}`);
      assertStringIncludes(err, message);
      assertMatch(err, /^token \w+: [^\n]*\n$/);
    }
  },
);

tokenTest("half of a key pair is never completed", async (token, directory) => {
  await token("issue", "--subject", "x");
  await Deno.remove(`${directory}/token.key`);
  const { code, err } = await token("issue", "--subject", "x");
  assertEquals(code, 1);
  assertMatch(err, /token\.pem: exists already\n$/);
});

tokenTest("a lifetime that servers refuse is said", async (token) => {
  const { code, out, err } = await token("issue", "--subject", "x", "--ttl", "2d");
  assertEquals(code, 0);
  assert(out.length > 0);
  assertStringIncludes(err, "more than 24h");
});
