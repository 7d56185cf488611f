// The example in the documentation of the module, run as it stands.

import { assertEquals } from "@std/assert";
import { inFolder } from "../harness/folder.ts";
import { granted, testWith } from "../harness/permissions.ts";
import { CA, SERVER } from "./loopback.ts";

const MODULE = new URL("../../src/dtls_runtime/mod.ts", import.meta.url);

/** The first example of a module's documentation, with the module's path for its name. */
function exampleOf(module: URL): string {
  const [, example] = /^ \* ```ts\n([^]*?)^ \* ```$/m.exec(Deno.readTextFileSync(module)) ?? [];
  if (example === undefined) throw new Error(`${module} has no example`);
  return example.replace(/^ \* ?/gm, "").replace('"@sqp/sqp/dtls"', JSON.stringify(module.href));
}

const needs = {
  permissions: [
    { name: "net", host: "127.0.0.1" },
    { name: "run", command: Deno.execPath() },
    { name: "write", path: "/tmp" },
  ],
  unless: () => !granted({ name: "read", path: "/tmp" }),
} as const;

testWith(needs, "the example of the module does what it shows", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/ca.pem`, CA);
    await Deno.writeTextFile(`${folder}/server.pem`, SERVER.cert as string);
    await Deno.writeTextFile(`${folder}/server.key`, SERVER.key as string);
    await Deno.writeTextFile(`${folder}/example.ts`, exampleOf(MODULE));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--check",
        `--config=${new URL("../../deno.json", import.meta.url).pathname}`,
        "--allow-net=127.0.0.1",
        `--allow-read=${folder}`,
        "example.ts",
      ],
      cwd: folder,
    }).output();
    const text = new TextDecoder();
    assertEquals([code, text.decode(stderr)], [0, ""]);
    assertEquals(text.decode(stdout), "1.3 echo hello\n");
  }));
