// What git tracks: the layout of the repository, and what must never enter it.

import { assertEquals } from "@std/assert";
import { readText, testOnTrackedFiles, trackedPaths } from "./repository.ts";

const TOP_LEVEL = [
  ".ci",
  ".gitignore",
  "LICENSE",
  "README.md",
  "certs",
  "deno.json",
  "deno.lock",
  "src",
  "tests",
];

/** A kind of text that no tracked file holds, and samples of it. They are put together here, so as not to hold it. */
const FORBIDDEN_TEXTS: readonly {
  readonly name: string;
  readonly pattern: RegExp;
  readonly bad: readonly string[];
  readonly good: readonly string[];
}[] = [
  {
    name: "the path of a machine",
    pattern: /(?<![\w.}-])\/(?:work|root|home)\/[\w.]/,
    bad: [`"${"/wo"}rk/main"`, `file://${"/ro"}ot/.cache`, `cd ${"/ho"}me/somebody`],
    good: ["src/root/a.ts", "./work/a", "https://example.com/home/a"],
  },
  {
    name: "the host of a package registry",
    pattern:
      /\bregistry\.\w+\.(?:org|com|dev)\b|\bnpmjs\.(?:org|com)\b|\bjsr\.io\b|\b(?:unpkg|jsdelivr)\.\w+\b/,
    bad: [`https://registry${".npmjs"}.org/x`, `https://jsr${".io"}/@std`, `cdn.jsdelivr${".net"}`],
    good: ["npm:/deno-std@1.4.0/assert/mod.js", "registry.add(x)"],
  },
  {
    name: "a private key",
    pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\s|\\n|["'`+,])*[A-Za-z0-9+/]{20}/,
    bad: [`-----BEGIN ${"PRIVATE"} KEY-----\nMC4CAQAwBQYDK2VwBCIEIA`],
    good: ['const LABEL = "-----BEGIN PRIVATE KEY-----";', "-----BEGIN CERTIFICATE-----\nMIIB"],
  },
];

testOnTrackedFiles(
  "the top level holds src, tests, certs and what describes them, nothing else",
  () => {
    const names = new Set(trackedPaths().map((path) => path.split("/")[0]!));
    assertEquals([...names].sort(), TOP_LEVEL);
  },
);

testOnTrackedFiles("of certs only the README is tracked", () => {
  assertEquals(trackedPaths().filter((path) => path.startsWith("certs/")), ["certs/README.md"]);
});

testOnTrackedFiles("no key, certificate, database, key log or dependency is tracked", () => {
  const kinds =
    /\.(?:key|pem|p12|pfx|der|crt|crl|sqlite|db)(?:-\w+)?$|keylog|(?:^|\/)node_modules\//;
  assertEquals(trackedPaths().filter((path) => kinds.test(path)), []);
});

testOnTrackedFiles("deno.lock names packages and their hashes, no address", () => {
  assertEquals(readText("deno.lock").match(/\w+:\/\/[^"]*|"tarball"/g), null);
});

for (const { name, pattern, bad, good } of FORBIDDEN_TEXTS) {
  testOnTrackedFiles(`no tracked file holds ${name}`, () => {
    assertEquals(trackedPaths().filter((path) => pattern.test(readText(path))), []);
  });

  Deno.test(`it is recognised: ${name}`, () => {
    for (const text of bad) assertEquals(pattern.test(text), true, text);
    for (const text of good) assertEquals(pattern.test(text), false, text);
  });
}
