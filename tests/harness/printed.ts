// Programs that tests run in a process of their own.

import { utf8Bytes } from "../../src/base/bytes.ts";

const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** What a test of {@linkcode printed} needs. */
export const SPAWNS = { permissions: [{ name: "run", command: Deno.execPath() }] } as const;

/** What a program prints that is run with these flags. A question that nobody answers would be an error. */
export async function printed(program: string, ...flags: readonly string[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", `--config=${CONFIG}`, ...flags, "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(utf8Bytes(program));
  await writer.close();
  const { stdout, stderr } = await child.output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}
