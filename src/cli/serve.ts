// `deno task serve`: a server on this machine, with everything that it needs made where it is missing.

import {
  createLogger,
  DEFAULT_DATABASE,
  DEFAULT_PORT,
  type LogFormat,
  parseListenAddress,
  PROVIDER_NAMES,
  type ProviderName,
  type Server,
  startServer,
  withoutPassword,
} from "../server/mod.ts";
import type { AuthenticationPolicy } from "../server/mod.ts";
import { defineCommand, parseTimeSpan, runCommand, UsageError, using } from "./usage.ts";

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
      help:
        'the SQLite database, made if missing; ":memory:": one that is gone at the end; or postgres://USER@HOST/NAME',
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
    crypto: {
      value: "PROVIDER",
      choices: PROVIDER_NAMES,
      default: "fastest",
      help: "where cryptography comes from",
    },
    drain: { value: "TIME", default: "5s", help: "how long running requests may take at the end" },
    "transaction-idle": {
      value: "TIME",
      default: "5s",
      help: "how long a transaction may be idle before it is rolled back",
    },
    keylog: {
      value: "FILE",
      help: "append the secrets of every handshake: whoever has the file can read all traffic",
    },
    qlog: {
      value: "DIR",
      help: "write what happens to each session's packets to a file in this folder, as qlog",
    },
  },
}, async ({ options }, output) => {
  const { hostname, port } = listenAddress(options.listen);
  const log = createLogger(options.log as LogFormat, (line) => output.err(`${line}\n`));
  if (options.keylog !== undefined) {
    await checkWritable(options.keylog);
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
    transactionIdleMs: parseTimeSpan("transaction-idle", options["transaction-idle"]),
    cryptography: options.crypto as ProviderName,
    ...(options.issuer !== undefined && { tokenIssuer: options.issuer }),
    ...(options.audience !== undefined && { tokenAudience: options.audience }),
    ...(options.keylog !== undefined && { keyLogFile: options.keylog }),
    ...(options.qlog !== undefined && { eventLogs: options.qlog }),
  });
  for (const file of certificates.made) log.info("made", { file });
  for (const line of server.cryptography.split("\n")) {
    const [provider, primitives] = line.split(": ");
    log.info("cryptography", { provider: provider!, for: primitives! });
  }
  log.info("listening", {
    address: server.address,
    database: withoutPassword(options.database),
    auth: options.auth,
  });
  output.out(firstQuestion(server.address, options.certs, options.auth));
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

/** Throws `CommandError`, which names the file, where it cannot be appended to. */
async function checkWritable(path: string): Promise<void> {
  using _file = await using(
    path,
    () => Deno.open(path, { append: true, create: true, mode: 0o600 }),
  );
}

/** The command that asks the first question, as it can be pasted. */
function firstQuestion(address: Server["address"], certificates: string, auth: string): string {
  // Who listens on all addresses is asked on the one that its development certificate names.
  const reachable = address.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "[::1]:");
  const isDefault = certificates === DEFAULT_CERTIFICATES;
  const file = (name: string) => shellWord(`${certificates}/${name}`);
  const issue = "deno task -q token issue --subject me" +
    (isDefault ? "" : ` --certs ${shellWord(certificates)}`);
  const options = [
    ...(reachable === `127.0.0.1:${DEFAULT_PORT}` ? [] : [`--url sqp://${reachable}`]),
    ...(isDefault ? [] : [`--ca ${file("ca.pem")}`]),
    ...(auth === "token"
      ? [`--token "$(${issue})"`]
      : isDefault
      ? []
      : [`--cert ${file("client.pem")} --key ${file("client.key")}`]),
  ];
  const question = ["deno task query \"select 'hello' as greeting\"", ...options].join(" ");
  return `\nAsk it something, in another terminal:\n\n  ${question}\n\n` +
    `(without Deno installed: npx -y deno@2.9.6 task query ...)\n\n`;
}

/** A word as a shell takes it whole. */
function shellWord(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
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
