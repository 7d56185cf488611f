// The shim and the command around the BoGo runner, without a runner.

import { assertEquals, assertMatch } from "@std/assert";
import { granted } from "../harness/permissions.ts";
import { readFlags } from "./flags.ts";
import { countText, matchesAny, missingResults, readResults } from "./results.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const ignore = !granted({ name: "run", command: Deno.execPath() });

/** Runs a file of this folder with arguments. */
function run(file: string, ...args: readonly string[]) {
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--no-check", "--allow-read", `tests/bogo/${file}`, ...args],
    cwd: ROOT,
  }).outputSync();
  const utf8 = new TextDecoder();
  return { code, stdout: utf8.decode(stdout), stderr: utf8.decode(stderr) };
}

Deno.test({
  name: "the shim says that it has no handshaker",
  ignore,
  fn: () => {
    const { code, stdout, stderr } = run("shim.ts", "-is-handshaker-supported");
    assertEquals([code, stdout, stderr], [0, "No\n", ""]);
  },
});

Deno.test({
  name: "the shim says that it does not implement a flag by exit code 89",
  ignore,
  fn: () => {
    const { code, stderr } = run("shim.ts", "-dtls", "-enable-ech-grease");
    assertEquals(code, 89);
    assertEquals(stderr, "unimplemented: -enable-ech-grease\n");
  },
});

Deno.test({
  name: "without a runner, or without a list, the run is skipped and says so",
  ignore,
  fn: () => {
    const skipped = /^skipped: /;
    for (const args of [[], ["/nowhere/runner", "list.txt"], [Deno.execPath(), "/nowhere/list"]]) {
      const { code, stdout, stderr } = run("run.ts", ...args);
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout, skipped);
    }
  },
});

Deno.test("a flag belongs to the connections that stand before it, and to the credential that it follows", () => {
  const { initial, resume } = readFlags([
    ...["-server", "-on-initial-mtu", "256", "-on-resume-verify-fail", "-cert-file", "default"],
    ...["-new-x509-credential", "-cert-file", "a", "-signing-prefs", "2052", "-signing-prefs", "7"],
  ]);
  assertEquals([initial.has("-server"), resume.has("-server")], [true, true]);
  assertEquals([initial.number("-mtu"), resume.number("-mtu")], [256, undefined]);
  assertEquals([initial.has("-verify-fail"), resume.has("-verify-fail")], [false, true]);
  assertEquals(initial.defaultCredential.text("-cert-file"), "default");
  assertEquals(initial.credentials.map((one) => one.text("-cert-file")), ["a"]);
  assertEquals(resume.credentials[0]?.numbers("-signing-prefs"), [2052, 7]);
});

Deno.test("the runner's output is read and counted", () => {
  const results = readResults(
    "PASSED (A-DTLS)\nFAILED (B)\nunexpected failure\ngot:\n\tstderr\n\nUNIMPLEMENTED (C)\n\nPASS\n",
  );
  assertEquals(results, [
    { name: "A-DTLS", outcome: "passed", text: "" },
    { name: "B", outcome: "failed", text: "unexpected failure\ngot:\n\tstderr" },
    { name: "C", outcome: "unimplemented", text: "" },
  ]);
  assertEquals(countText(results, 0), "1 passed, 1 failed, 1 unimplemented");
  assertMatch(countText(results, 2), /; 2 not run, /);
  assertEquals(missingResults(["B", "D"], results).map(({ name }) => name), ["D"]);
  assertEquals(countText(missingResults(["D"], []), 0), "0 passed, 1 failed, 0 unimplemented");
});

Deno.test("config.json leaves out what its patterns name, and nothing else", () => {
  const patterns = ["Alert-*-DTLS", "A.B"];
  const names = ["Alert-1-DTLS", "Alert-DTLS", "XAlert-1-DTLS", "Alert-1-DTLS-TLS13", "A.B", "AxB"];
  assertEquals(names.filter((name) => matchesAny(name, patterns)), ["Alert-1-DTLS", "A.B"]);
});
