// Tests with a folder of their own for files, and with the system's openssl beside it.

import { granted } from "./permissions.ts";

/** Where folders are made. A test run that may write nowhere else may write there. */
const PARENT = Deno.build.os === "windows" ? undefined : "/tmp";

/** Whether folders can be made. */
export function canUseFiles(): boolean {
  const path = PARENT === undefined ? {} : { path: PARENT };
  return granted({ name: "read", ...path }, { name: "write", ...path });
}

/** Whether `openssl` may be run on files, and is there. */
export function canRunOpenssl(): boolean {
  if (!canUseFiles() || !granted({ name: "run", command: "openssl" })) return false;
  try {
    return new Deno.Command("openssl", { args: ["version"], stdout: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** Runs with a new folder, which is removed afterwards. */
export async function inFolder(run: (folder: string) => void | Promise<void>): Promise<void> {
  const dir = PARENT === undefined ? {} : { dir: PARENT };
  const folder = await Deno.makeTempDir({ prefix: "sqp-test-", ...dir });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Registers a test that runs with a folder of its own; ignored, by name, where files may not be used. */
export function folderTest(
  name: string,
  run: (folder: string) => void | Promise<void>,
  needs: { readonly openssl: boolean } = { openssl: false },
): void {
  const ignore = needs.openssl ? !canRunOpenssl() : !canUseFiles();
  Deno.test({ name, ignore, fn: () => inFolder(run) });
}
