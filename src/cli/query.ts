// `deno task query`: asks a server one question and prints the answer.

import {
  connect,
  type ConnectOptions,
  type EventLog,
  type Row,
  type SqlValue,
} from "../client/mod.ts";
import { eventLogFiles } from "../server/event_log_files.ts";
import {
  checkConnection,
  CONNECT_TIMEOUT_MS,
  CONNECTION_OPTIONS,
  connectionOptions,
} from "./connection.ts";
import { formatRows, type OutputFormat } from "./row_format.ts";
import { parseValue } from "./typed_value.ts";
import {
  defineCommand,
  type Output,
  parseTimeSpan,
  runCommand,
  UsageError,
  using,
} from "./usage.ts";

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
    ...CONNECTION_OPTIONS,
    "idempotency-key": {
      value: "KEY",
      help: "a write with the same key takes effect once, however often it is sent",
    },
    timeout: { value: "TIME", default: "30s", help: "how long to wait for the answer" },
    qlog: {
      value: "DIR",
      help: "write what happens to the session's packets to a file in this folder, as qlog",
    },
  },
}, async ({ options, operands }, output) => {
  const [sql] = operands;
  checkConnection(options);
  const params = parseParams(options.param);
  const timeoutMs = parseTimeSpan("timeout", options.timeout);
  const connectOptions: ConnectOptions = {
    ...await connectionOptions(options),
    connectTimeoutMs: Math.min(timeoutMs, CONNECT_TIMEOUT_MS),
    ...(options.qlog !== undefined && { eventLog: await eventLogIn(options.qlog, output) }),
  };
  await using client = await connect(options.url, connectOptions);
  const idempotencyKey = options["idempotency-key"];
  const rows = client.stream(sql!, params, {
    timeoutMs,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  });
  const columns = await rows.columns;
  const format = options.format as OutputFormat;
  for await (const text of formatRows(format, columns, rows)) output.out(text);
  const { changes } = await rows.end;
  if (columns.length === 0) output.err(`${changes} row${changes === 1 ? "" : "s"} changed\n`);
});

function eventLogIn(folder: string, output: Output): Promise<EventLog> {
  const error = (message: string) => output.err(`query: ${message}\n`);
  return using(folder, () => eventLogFiles(folder, "client", { error })());
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

if (import.meta.main) Deno.exit(await runCommand(query));
