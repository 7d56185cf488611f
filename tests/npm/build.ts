// deno-lint-ignore-file no-console -- a command.

// Makes the folder of an npm package of the DTLS library, for Node.js and Bun: `deno task build:npm FOLDER`.
// One file of JavaScript that needs no other package, and the types beside it.

import ts from "typescript";

const ROOT = new URL("../../", import.meta.url).pathname;
const ENTRY = "src/dtls_runtime/mod.ts";
const TYPES = "types/dtls_runtime/mod.d.ts";

/** Bundles the library into one file. */
async function writeJavaScript(folder: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--platform=deno",
      "--packages=bundle",
      `--output=${folder}/dtls.js`,
      ENTRY,
    ],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

const COMPILER_OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  strict: true,
  exactOptionalPropertyTypes: true,
  types: [],
};

/** Writes the types of the library and of all that it is made of. */
function writeTypes(folder: string): void {
  const program = ts.createProgram([`${ROOT}${ENTRY}`], {
    ...COMPILER_OPTIONS,
    allowImportingTsExtensions: true,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: `${ROOT}src`,
    outDir: `${folder}/types`,
  });
  program.emit(undefined, (path, text) => {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    // Types are found beside JavaScript of the same name, which is all in one file here.
    Deno.writeTextFileSync(path, text.replace(/(from "\.[^"]*)\.ts"/g, '$1.js"'));
  });
}

/** Throws where the types need anything but the language's own: a program could not be compiled with them. */
function checkTypes(folder: string): void {
  const program = ts.createProgram([`${folder}/${TYPES}`], { ...COMPILER_OPTIONS, noEmit: true });
  for (const { file, messageText } of ts.getPreEmitDiagnostics(program)) {
    throw new Error(`${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  }
}

/** Writes what describes the package. */
async function writeDescription(folder: string): Promise<void> {
  const { version, license } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const description = {
    name: "@sqp/dtls",
    version,
    description: "DTLS 1.3 and 1.2 for Node.js, Bun and Deno",
    license,
    type: "module",
    exports: { ".": { types: `./${TYPES}`, default: "./dtls.js" } },
    types: `./${TYPES}`,
    files: ["dtls.js", "types"],
    engines: { node: ">=20" },
  };
  await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify(description, null, 2) + "\n");
  await Deno.copyFile(`${ROOT}LICENSE`, `${folder}/LICENSE`);
}

if (import.meta.main) {
  const [folder, ...others] = Deno.args;
  if (folder === undefined || others.length > 0) {
    console.error("usage: deno task build:npm FOLDER");
    Deno.exit(2);
  }
  await Deno.mkdir(folder, { recursive: true });
  const path = await Deno.realPath(folder);
  await writeJavaScript(path);
  writeTypes(path);
  checkTypes(path);
  await writeDescription(path);
}
