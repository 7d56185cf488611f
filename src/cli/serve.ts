// `deno task serve`: a server on this machine, with everything that it needs made where it is missing.

import {
  createLogger,
  DEFAULT_DATABASE,
  type LogFormat,
  parseListenAddress,
  type Server,
  startServer,
} from "../server/mod.ts";
import type { AuthenticationPolicy } from "../server/mod.ts";
import { defineCommand, parseTimeSpan, runCommand, UsageError } from "./usage.ts";

const DEFAULT_PORT = 4433;
const DEFAULT_CERTIFICATES = "certs";

const serve = defineCommand({
  name: "serve",
  summary: "Serves a database over UDP, to authenticated clients only",
  options: {
    listen: {
      value: "HOST:PORT",
      default: `127.0.0.1:${DEFAULT_PORT}`,
      help: "where to listen",
    },
    database: {
      value: "FILE",
      default: DEFAULT_DATABASE,
      help: 'the SQLite database, made if missing; ":memory:" for one that is gone at the end',
    },
    certs: {
      value: "DIR",
      default: DEFAULT_CERTIFICATES,
      help: "the folder of certificates; what is missing is made",
    },
    auth: {
      value: "KIND",
      choices: ["certificate", "token", "any"],
      default: "certificate",
      help: "what clients prove themselves with: certificate, token or any",
    },
    issuer: { value: "NAME", help: "the issuer whose tokens are accepted" },
    audience: { value: "NAME", help: "the audience that tokens must be for" },
    log: {
      value: "FORMAT",
      choices: ["json", "text"],
      default: "text",
      help: "the form of log lines: json or text",
    },
    drain: { value: "TIME", default: "5s", help: "how long running requests may take at the end" },
    keylog: {
      value: "FILE",
      help: "append the secrets of every handshake: whoever has the file can read all traffic",
    },
  },
}, async ({ options }, output) => {
  const { hostname, port } = listenAddress(options.listen);
  const log = createLogger(options.log as LogFormat, (line) => output.err(`${line}\n`));
  if (options.keylog !== undefined) {
    log.warn("secrets of all sessions are written to a file", { file: options.keylog });
  }
  const { server, certificates } = await startServer({
    hostname,
    port,
    database: options.database,
    certificates: options.certs,
    policy: options.auth as AuthenticationPolicy,
    log,
    drainMs: parseTimeSpan("drain", options.drain),
    ...(options.issuer !== undefined && { tokenIssuer: options.issuer }),
    ...(options.audience !== undefined && { tokenAudience: options.audience }),
    ...(options.keylog !== undefined && { keyLogFile: options.keylog }),
  });
  for (const file of certificates.made) log.info("made", { file });
  log.info("listening", {
    address: server.address,
    database: options.database,
    auth: options.auth,
  });
  output.out(firstQuestion(server.address, options.certs));
  await stopSignal();
  log.info("draining");
  await server.close();
  log.info("stopped");
});

function listenAddress(text: string): { hostname: string; port: number } {
  try {
    return parseListenAddress(text, DEFAULT_PORT);
  } catch {
    throw new UsageError(`--listen is HOST:PORT, not "${text}"`);
  }
}

/** The command that asks the first question, as it can be pasted. */
function firstQuestion(address: Server["address"], certificates: string): string {
  const url = address === `127.0.0.1:${DEFAULT_PORT}` ? "" : ` --url sqp://${address}`;
  const certs = certificates === DEFAULT_CERTIFICATES
    ? ""
    : ` --ca ${certificates}/ca.pem --cert ${certificates}/client.pem --key ${certificates}/client.key`;
  return `\nAsk it something, in another terminal:\n\n  deno task query "select 'hello' as greeting"${url}${certs}\n\n` +
    `(without Deno installed: npx -y deno@2.9.6 task query ...)\n\n`;
}

/** Resolves when the process is told to stop. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    const signals: readonly Deno.Signal[] = ["SIGTERM", "SIGINT"];
    const stop = () => {
      for (const signal of signals) Deno.removeSignalListener(signal, stop);
      resolve();
    };
    for (const signal of signals) Deno.addSignalListener(signal, stop);
  });
}

if (import.meta.main) Deno.exit(await runCommand(serve));
