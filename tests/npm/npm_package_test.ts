// The npm package: Node.js and Bun talk with Deno, each way round.

import { assert, assertEquals } from "@std/assert";
import { connectDtls, listenDtls } from "../../src/dtls_runtime/mod.ts";
import { CA, CLIENT, connectTo, SERVER, text } from "../dtls_runtime/loopback.ts";
import { canUseFiles, inFolder } from "../harness/folder.ts";
import { granted } from "../harness/permissions.ts";
import { runTyped } from "../harness/server_process.ts";

const PROGRAM = new URL("echo.js", import.meta.url).pathname;

/** Whether a runtime is there and may be run. */
function canRun(command: string): boolean {
  if (!granted({ name: "run", command })) return false;
  try {
    return new Deno.Command(command, { args: ["--version"], stdout: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The first line that a process writes. */
async function firstLine(process: Deno.ChildProcess): Promise<string> {
  let written = "";
  for await (const part of process.stdout.pipeThrough(new TextDecoderStream())) {
    written += part;
    if (written.includes("\n")) break;
  }
  return written.trim();
}

async function testRuntime(runtime: string, folder: string, context: Deno.TestContext) {
  const start = (...args: string[]) =>
    new Deno.Command(runtime, {
      args: [PROGRAM, `${folder}/package/dtls.js`, folder, ...args],
      stdout: "piped",
    }).spawn();

  await context.step(`a client in ${runtime} of a server in Deno`, async () => {
    await using endpoint = await listenDtls({
      credentials: [SERVER],
      ca: CA,
      clientCertificate: "required",
      alpn: ["echo"],
    });
    const client = start("client", `${endpoint.addr.port}`);
    for await (const association of endpoint) {
      for await (const message of association) await association.send(message);
      break;
    }
    assertEquals(await firstLine(client), "1.3 echo hello");
    assert((await client.status).success);
  });

  await context.step(`a client in Deno of a server in ${runtime}`, async () => {
    const server = start("server");
    const port = Number(await firstLine(server));
    const client = await connectDtls({
      ...connectTo({ port }),
      credentials: [CLIENT],
      alpn: ["echo"],
    });
    await client.send(new TextEncoder().encode("hello"));
    for await (const message of client) {
      assertEquals(text(message), "hello");
      break;
    }
    await client.close();
    assert((await server.status).success);
  });
}

const canBuild = canUseFiles() && granted(
  { name: "net", host: "127.0.0.1" },
  { name: "run", command: Deno.execPath() },
);
const runtimes = ["node", "bun"].filter((runtime) => canBuild && canRun(runtime));

Deno.test({
  name: "the npm package runs in Node.js and Bun, where they are installed",
  ignore: runtimes.length === 0,
  fn: (context) =>
    inFolder(async (folder) => {
      const { code, stderr } = await runTyped(`deno task build:npm ${folder}/package`);
      assertEquals(code, 0, stderr);
      const pems = { ca: CA, server: SERVER.cert, client: CLIENT.cert };
      for (const [name, pem] of Object.entries(pems)) {
        await Deno.writeTextFile(`${folder}/${name}.pem`, pem as string);
      }
      await Deno.writeTextFile(`${folder}/server.key`, SERVER.key as string);
      await Deno.writeTextFile(`${folder}/client.key`, CLIENT.key as string);
      for (const runtime of runtimes) await testRuntime(runtime, folder, context);
    }),
});
