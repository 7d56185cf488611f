// How commands reach a server: their options, and what `connect` is given for them.

import type { ConnectOptions } from "../client/mod.ts";
import { parseServerUrl } from "../client/options.ts";
import { UsageError, using } from "./usage.ts";

/** A server that does not answer for so long is not there, or does not want to. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** The options of every command that connects. */
export const CONNECTION_OPTIONS = {
  url: { value: "URL", default: "sqp://127.0.0.1:4433", help: "the server: sqp://host:port" },
  cert: { value: "FILE", help: "the client's certificate (default: certs/client.pem)" },
  key: { value: "FILE", help: "the private key of the certificate (default: certs/client.key)" },
  ca: { value: "FILE", default: "certs/ca.pem", help: "the authority of the server" },
  token: {
    value: "TOKEN",
    help: 'a token instead of a certificate; "-" reads it from standard input',
  },
  "server-name": {
    value: "NAME",
    help: "the name in the server's certificate, if not the URL's",
  },
} as const;

type Given = Readonly<
  & Record<"url" | "ca", string>
  & Record<"cert" | "key" | "token" | "server-name", string | undefined>
>;

/** Checks what needs no file. Throws {@linkcode UsageError}. */
export function checkConnection({ url, cert, key }: Given): void {
  try {
    parseServerUrl(url);
  } catch {
    throw new UsageError(`--url is sqp://host:port, not "${url}"`);
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key belong together");
  }
}

/** Reads the files that the options name. Throws `CommandError`. */
export async function connectionOptions(given: Given): Promise<ConnectOptions> {
  const { ca, "server-name": serverName } = given;
  return {
    ca: await readText(ca),
    ...await readCredential(given),
    ...(serverName !== undefined && { serverName }),
  };
}

/** The files of a credential: those that were named, else what `serve` made, unless a token stands for them. */
async function readCredential(
  { cert, key, token }: Given,
): Promise<Pick<ConnectOptions, "cert" | "key" | "token">> {
  const hasCertificate = cert !== undefined || token === undefined;
  return {
    ...(token !== undefined && { token: token === "-" ? await readStandardInput() : token }),
    ...(hasCertificate && {
      cert: await readText(cert ?? "certs/client.pem"),
      key: await readText(key ?? "certs/client.key"),
    }),
  };
}

function readText(path: string): Promise<string> {
  return using(path, () => Deno.readTextFile(path));
}

async function readStandardInput(): Promise<string> {
  return (await new Response(Deno.stdin.readable).text()).trim();
}
