// A server with an engine that answers at once, as a process of its own: `deno run ... instant_server.ts DIR`.

// deno-lint-ignore-file no-console -- its parent reads where it listens

import { ensureDevelopmentCertificates } from "../../src/server/certificate_directory.ts";
import { Server } from "../../src/server/mod.ts";
import { InstantEngine } from "./instant_engine.ts";

const trust = await ensureDevelopmentCertificates(Deno.args[0]!);
const engine: InstantEngine = new InstantEngine(() => queueMicrotask(() => engine.runPending()));
const server = await Server.start({
  hostname: "127.0.0.1",
  port: 0,
  engine,
  trust,
  policy: "certificate",
  tokens: { issuer: "nobody", audience: "nobody" },
  certificatePermissions: ["read", "write"],
  log: { info() {}, warn() {}, error() {} },
});
console.error(JSON.stringify({ message: "listening", address: server.address }));
