// `deno task query`: asks a server one question and prints the answer.

import {
  connect,
  type ConnectOptions,
  type EventLog,
  type Row,
  type SqlValue,
} from "../client/mod.ts";
import { parseServerUrl } from "../client/options.ts";
import { eventLogFiles } from "../server/event_log_files.ts";
import { formatRows, type OutputFormat } from "./row_format.ts";
import {
  defineCommand,
  type Output,
  parseTimeSpan,
  runCommand,
  UsageError,
  using,
} from "./usage.ts";

/** A server that does not answer for so long is not there, or does not want to. */
const CONNECT_TIMEOUT_MS = 10_000;

const query = defineCommand({
  name: "query",
  summary: "Runs one SQL statement on a server and prints its rows",
  operands: ["SQL"],
  options: {
    param: {
      value: "VALUE",
      multiple: true,
      help: "a parameter: a number, true, false, null, 'text' or text; name=VALUE binds :name",
    },
    format: {
      value: "FORMAT",
      choices: ["table", "json", "csv"],
      default: "table",
      help: "table, json (one object a row) or csv",
    },
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
    timeout: { value: "TIME", default: "30s", help: "how long to wait for the answer" },
    qlog: {
      value: "DIR",
      help: "write what happens to the session's packets to a file in this folder, as qlog",
    },
  },
}, async ({ options, operands }, output) => {
  const [sql] = operands;
  checkUrl(options.url);
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new UsageError("--cert and --key belong together");
  }
  const params = parseParams(options.param);
  const timeoutMs = parseTimeSpan("timeout", options.timeout);
  const connectOptions: ConnectOptions = {
    ca: await readText(options.ca),
    ...await readCredential(options),
    ...(options["server-name"] !== undefined && { serverName: options["server-name"] }),
    connectTimeoutMs: Math.min(timeoutMs, CONNECT_TIMEOUT_MS),
    ...(options.qlog !== undefined && { eventLog: await eventLogIn(options.qlog, output) }),
  };
  await using client = await connect(options.url, connectOptions);
  const rows = client.stream(sql!, params, { timeoutMs });
  const columns = await rows.columns;
  const format = options.format as OutputFormat;
  for await (const text of formatRows(format, columns, rows)) output.out(text);
  const { changes } = await rows.end;
  if (columns.length === 0) output.err(`${changes} row${changes === 1 ? "" : "s"} changed\n`);
});

function checkUrl(url: string): void {
  try {
    parseServerUrl(url);
  } catch {
    throw new UsageError(`--url is sqp://host:port, not "${url}"`);
  }
}

type CredentialOptions = Readonly<Record<"cert" | "key" | "token", string | undefined>>;

/** The files of a credential: those that were named, else what `serve` made, unless a token stands for them. */
async function readCredential(
  { cert, key, token }: CredentialOptions,
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

function eventLogIn(folder: string, output: Output): Promise<EventLog> {
  const error = (message: string) => output.err(`query: ${message}\n`);
  return using(folder, () => eventLogFiles(folder, "client", { error })());
}

function readText(path: string): Promise<string> {
  return using(path, () => Deno.readTextFile(path));
}

async function readStandardInput(): Promise<string> {
  return (await new Response(Deno.stdin.readable).text()).trim();
}

/** Parameters by position, or by name where they have one. Throws {@linkcode UsageError} for a mixture. */
function parseParams(texts: readonly string[]): Row | Record<string, SqlValue> {
  const named = texts.map((text) => /^([A-Za-z_]\w*)=(.*)$/s.exec(text));
  if (named.every((match) => match === null)) return texts.map(parseValue);
  return Object.fromEntries(named.map((match, i) => {
    if (match === null) throw new UsageError(`--param ${texts[i]} has no name, and others have`);
    return [match[1]!, parseValue(match[2]!)];
  }));
}

/** A value as it is typed: what is not a number, a truth value or null is text; quotes make anything text. */
function parseValue(text: string): SqlValue {
  if (text === "null") return null;
  if (text === "true" || text === "false") return text === "true";
  if (/^'.*'$/s.test(text)) return text.slice(1, -1).replaceAll("''", "'");
  if (/^x'(?:[0-9a-f]{2})*'$/i.test(text)) return Uint8Array.fromHex(text.slice(2, -1));
  if (/^[+-]?\d+$/.test(text)) return BigInt(text);
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) return Number(text);
  return text;
}

if (import.meta.main) Deno.exit(await runCommand(query));
