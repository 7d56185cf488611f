// The design's import table, held against the real import graph.

import { assertEquals } from "@std/assert";
import type { Import } from "./modules.ts";
import { type SourceFile, sourceFile, sourceFiles, testOnFiles } from "./repository.ts";

/** What one folder of src may import beside itself. */
interface Layer {
  /** Other folders of src. */
  readonly folders: readonly string[];
  /** Names of the import map and of the runtime; one that ends in a slash stands for all that begin so. */
  readonly packages: readonly string[];
}

const LAYERS: Readonly<Record<string, Layer>> = {
  base: { folders: [], packages: [] },
  dtls: { folders: ["base"], packages: ["@noble/", "node:crypto", "node:buffer"] },
  wire: { folders: ["base"], packages: [] },
  transport: { folders: ["base", "wire"], packages: [] },
  session: {
    folders: ["base", "wire", "transport", "dtls"],
    packages: ["node:crypto", "node:buffer"],
  },
  query: {
    folders: ["base", "wire"],
    packages: [
      "node:sqlite",
      "node:path",
      "node:os",
      "node:crypto",
      "postgres",
      "node:net",
      "node:tls",
    ],
  },
  net: { folders: ["base"], packages: ["node:dgram", "node:dns/promises"] },
  dtls_runtime: { folders: ["base", "dtls", "net"], packages: ["node:tls"] },
  server: {
    folders: ["base", "dtls", "wire", "transport", "session", "query", "net", "dtls_runtime"],
    packages: ["@peculiar/x509", "reflect-metadata", "jose", "node:crypto", "node:buffer"],
  },
  client: {
    folders: ["base", "dtls", "wire", "transport", "session", "query", "net", "dtls_runtime"],
    packages: ["node:crypto", "node:buffer"],
  },
  cli: { folders: ["server", "client"], packages: ["@std/cli/", "jose"] },
};

/** Packages that one file alone may import, for what they cost at start. */
const ONE_FILE_PACKAGES: Readonly<Record<string, string>> = {
  "@peculiar/x509": "src/server/certificate_issuer.ts",
  "reflect-metadata": "src/server/certificate_issuer.ts",
  "postgres": "src/query/postgres/driver.ts",
};

/** The layer of a path of src; `undefined` for a path outside of it. */
const layerOf = (path: string) => /^src\/([^/]+)\/./.exec(path)?.[1];

/** The path that a relative specifier names, from the root; `undefined` for a package. */
function targetPath(from: string, specifier: string): string | undefined {
  if (!/^(?:\.|\/|file:)/.test(specifier)) return undefined;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

function packageMistake(file: SourceFile, name: string): string | undefined {
  const allowed = LAYERS[layerOf(file.path) ?? ""]?.packages ?? [];
  if (!allowed.some((one) => one.endsWith("/") ? name.startsWith(one) : name === one)) {
    return `may not import ${name}`;
  }
  const only = ONE_FILE_PACKAGES[name];
  return only === undefined || only === file.path ? undefined : `leaves ${name} to ${only}`;
}

function importMistake(file: SourceFile, one: Import, paths: ReadonlySet<string>) {
  if (one.specifier === undefined) return "computes the name of what it imports";
  // The URL of a folder, for the permissions of a process, is no import.
  if (one.kind === "url" && one.specifier.endsWith("/")) return undefined;
  const target = targetPath(file.path, one.specifier);
  if (target === undefined) return packageMistake(file, one.specifier);
  if (!paths.has(target)) return `imports ${target}, which is no file of src`;
  const layer = layerOf(file.path);
  const other = layerOf(target) ?? "";
  if (other === layer || LAYERS[layer ?? ""]?.folders.includes(other)) return undefined;
  return `may not import from ${other}: ${target}`;
}

/** Everything in these files of src that the table forbids. */
function importMistakes(files: readonly SourceFile[]): string[] {
  const paths = new Set(files.map((file) => file.path));
  const mistakes: string[] = [];
  for (const file of files) {
    if (!Object.hasOwn(LAYERS, layerOf(file.path) ?? "")) {
      mistakes.push(`${file.path} lies in no folder of the table`);
    }
    for (const one of file.module.imports) {
      const mistake = importMistake(file, one, paths);
      if (mistake !== undefined) mistakes.push(`${file.path}:${one.line} ${mistake}`);
    }
  }
  return mistakes;
}

/** Every cycle of imports that a walk through the files meets, as the paths along it. */
function importCycles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const trail: string[] = [];
  const cycles: string[] = [];
  const visit = (path: string) => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(" > "));
    if (at >= 0 || done.has(path)) return;
    trail.push(path);
    for (const one of byPath.get(path)?.module.imports ?? []) {
      // What runs in a Worker or process of its own loads modules of its own.
      if (one.kind === "url" || one.specifier === undefined) continue;
      const target = targetPath(path, one.specifier);
      if (target !== undefined) visit(target);
    }
    trail.pop();
    done.add(path);
  };
  for (const file of files) visit(file.path);
  return cycles;
}

/** Whether a file imports from a layer. */
const importsFrom = (file: SourceFile, layer: string) =>
  file.module.imports.some((one) =>
    one.specifier !== undefined && layerOf(targetPath(file.path, one.specifier) ?? "") === layer
  );

/** The files of session in which dtls and transport meet, where both are used at all. */
function joiningFiles(files: readonly SourceFile[]): { used: boolean; paths: string[] } {
  const session = files.filter((file) => layerOf(file.path) === "session");
  const dtls = session.filter((file) => importsFrom(file, "dtls"));
  const transport = session.filter((file) => importsFrom(file, "transport"));
  return {
    used: dtls.length > 0 && transport.length > 0,
    paths: dtls.filter((file) => transport.includes(file)).map((file) => file.path),
  };
}

testOnFiles("each layer imports only what the design's table allows", () => {
  assertEquals(importMistakes(sourceFiles("src")), []);
});

testOnFiles("no cycle runs through the imports of src", () => {
  assertEquals(importCycles(sourceFiles("src")), []);
});

testOnFiles("one file joins dtls, transport and session", () => {
  const { used, paths } = joiningFiles(sourceFiles("src"));
  if (used) assertEquals(paths.length, 1, `dtls and transport meet in: ${paths.join(", ")}`);
});

/** Files of src from their texts. */
const made = (texts: Record<string, string>) =>
  Object.entries(texts).map(([path, text]) => sourceFile(path, text));

Deno.test("the import table's test sees what breaks it", () => {
  const mistakes = (path: string, text: string) =>
    importMistakes(made({
      "src/base/a.ts": "",
      "src/dtls/a.ts": "",
      "src/transport/a.ts": "",
      "src/server/a.ts": "",
      [path]: text,
    })).length;
  assertEquals(mistakes("src/transport/b.ts", 'import { x } from "../base/a.ts";'), 0);
  assertEquals(mistakes("src/transport/b.ts", 'import { x } from "./a.ts";'), 0);
  assertEquals(mistakes("src/dtls/b.ts", 'import { gcm } from "@noble/ciphers/aes.js";'), 0);
  assertEquals(mistakes("src/transport/b.ts", 'import type { x } from "../dtls/a.ts";'), 1);
  assertEquals(mistakes("src/base/b.ts", 'export * from "../dtls/a.ts";'), 1);
  assertEquals(mistakes("src/dtls_runtime/b.ts", 'export * from "../dtls/a.ts";'), 0);
  assertEquals(mistakes("src/dtls_runtime/b.ts", 'import { x } from "../transport/a.ts";'), 1);
  assertEquals(mistakes("src/client/b.ts", 'const x = await import("../server/a.ts");'), 1);
  assertEquals(mistakes("src/net/b.ts", 'new URL("../dtls/a.ts", import.meta.url)'), 1);
  assertEquals(mistakes("src/client/b.ts", "await import(name)"), 1);
  assertEquals(mistakes("src/base/b.ts", 'import "./gone.ts";'), 1);
  assertEquals(mistakes("src/base/b.ts", 'import "../../tests/harness/permissions.ts";'), 1);
  assertEquals(mistakes("src/wire/b.ts", 'import { gcm } from "@noble/ciphers/aes.js";'), 1);
  assertEquals(mistakes("src/dtls/b.ts", 'import { gcm } from "npm:@noble/ciphers/aes.js";'), 1);
  assertEquals(mistakes("src/dtls/b.ts", 'import { createSocket } from "node:dgram";'), 1);
  assertEquals(mistakes("src/server/b.ts", 'import * as x509 from "@peculiar/x509";'), 1);
  assertEquals(mistakes("src/server/certificate_issuer.ts", 'import "@peculiar/x509";'), 0);
  assertEquals(mistakes("src/toString/b.ts", ""), 1);
  assertEquals(mistakes("src/main.ts", ""), 1);
});

Deno.test("the search for cycles finds them, and only them", () => {
  const line = { "src/base/a.ts": 'import "./b.ts"; import "./c.ts";', "src/base/c.ts": "" };
  assertEquals(importCycles(made({ ...line, "src/base/b.ts": 'import "./c.ts";' })), []);
  assertEquals(
    importCycles(made({ ...line, "src/base/b.ts": 'import type { x } from "./a.ts";' })),
    [
      "src/base/a.ts > src/base/b.ts > src/base/a.ts",
    ],
  );
});

Deno.test("two files that join dtls and transport are found, and so is their absence", () => {
  const both = 'import "../dtls/a.ts"; import "../transport/a.ts";';
  const one = made({ "src/session/a.ts": both, "src/session/b.ts": 'import "../dtls/a.ts";' });
  assertEquals(joiningFiles(one), { used: true, paths: ["src/session/a.ts"] });
  const two = made({ "src/session/a.ts": both, "src/session/b.ts": both });
  assertEquals(joiningFiles(two).paths.length, 2);
  const none = made({
    "src/session/a.ts": 'import "../dtls/a.ts";',
    "src/session/b.ts": 'import "../transport/a.ts";',
  });
  assertEquals(joiningFiles(none), { used: true, paths: [] });
});
