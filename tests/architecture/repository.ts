// The files that the architecture tests read: the repository this file lies in, and what git tracks of it.

import { type Module, readModule } from "./modules.ts";
import { codeTokens, type Token } from "./tokenizer.ts";
import { testWith } from "../harness/permissions.ts";

/** The repository's root folder, with a slash at its end. */
export const ROOT = new URL("../../", import.meta.url);

/** One source file. */
export interface SourceFile {
  /** From the repository's root, with slashes: `src/base/core.ts`. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly tokens: readonly Token[];
  readonly module: Module;
}

/** A source file of a path and a text. */
export function sourceFile(path: string, text: string): SourceFile {
  const tokens = codeTokens(text);
  return { path, text, tokens, module: readModule(tokens) };
}

/** The text of a file of the repository. */
export function readText(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

/** Whether the repository has this file or folder. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(new URL(path, ROOT));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function* pathsBelow(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(`${folder}/`, ROOT))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* pathsBelow(path);
    else if (entry.isFile) yield path;
  }
}

const read = new Map<string, SourceFile[]>();

/** Every TypeScript file below a folder of the repository, in the order of their paths. Read once. */
export function sourceFiles(folder: "src" | "tests"): readonly SourceFile[] {
  let files = read.get(folder);
  if (files === undefined) {
    const paths = [...pathsBelow(folder)].filter((path) => path.endsWith(".ts")).sort();
    files = paths.map((path) => sourceFile(path, readText(path)));
    read.set(folder, files);
  }
  return files;
}

function git(...args: string[]): string {
  // The folder may belong to somebody else, as it does in many a build machine's container.
  const options = { args: ["-c", "safe.directory=*", ...args], cwd: ROOT };
  const { code, stdout, stderr } = new Deno.Command("git", options).outputSync();
  if (code !== 0) throw new Error(`git ${args[0]}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** The paths that git tracks, except those that are deleted but not yet committed as such. */
export function trackedPaths(): string[] {
  return git("ls-files", "-z").split("\0").filter((path) => path !== "" && exists(path));
}

/** Registers a test that reads the repository. */
export function testOnFiles(name: string, fn: () => void): void {
  testWith({ permissions: [{ name: "read", path: ROOT }] }, name, fn);
}

/** Registers a test that asks git; ignored as well where the files are no checkout. */
export function testOnTrackedFiles(name: string, fn: () => void): void {
  const permissions = [
    { name: "read", path: ROOT },
    { name: "run", command: "git" },
  ] as const;
  testWith({ permissions, unless: () => !exists(".git") }, name, fn);
}
