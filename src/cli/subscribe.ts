// `deno task subscribe`: prints what changes in tables, one event a line.

import { connect, type FeedEvent, type FeedTable, type SqlValue } from "../client/mod.ts";
import {
  checkConnection,
  CONNECT_TIMEOUT_MS,
  CONNECTION_OPTIONS,
  connectionOptions,
} from "./connection.ts";
import { jsonObject } from "./row_format.ts";
import { parseValue } from "./typed_value.ts";
import { CommandError, defineCommand, parseCount, runCommand, UsageError, using } from "./usage.ts";

const subscribe = defineCommand({
  name: "subscribe",
  summary: "Prints what changes in tables, one event a line as JSON, until it is interrupted",
  options: {
    table: { value: "NAME", multiple: true, help: "a table with a primary key" },
    where: {
      value: "TABLE.COLUMN=VALUE",
      multiple: true,
      help: "only rows with this value, written as --param of query",
    },
    snapshot: { help: "print the rows as they are first" },
    cursor: { value: "CURSOR", help: "go on after an event that was printed before" },
    "cursor-file": {
      value: "FILE",
      help: "go on after the last event, whose cursor is kept in this file",
    },
    count: { value: "N", help: "end after so many transactions" },
    marks: { help: "print that nothing has happened as well" },
    ...CONNECTION_OPTIONS,
  },
}, async ({ options }, output) => {
  checkConnection(options);
  if (options.table.length === 0) throw new UsageError("--table is missing");
  const { cursor: given, "cursor-file": file } = options;
  if (given !== undefined && file !== undefined) {
    throw new UsageError("--cursor and --cursor-file exclude each other");
  }
  let left = options.count === undefined
    ? Infinity
    : parseCount("count", options.count, Number.MAX_SAFE_INTEGER);
  const tables = tableFilters(options.table, options.where);
  const cursor = file === undefined ? given : await readCursor(file);
  await using client = await connect(options.url, {
    ...await connectionOptions(options),
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  const feed = client.subscribe({
    tables,
    ...(cursor === undefined ? { snapshot: options.snapshot } : { cursor }),
  });
  const stop = () => void feed.return();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  const shapes = await feed.tables;
  for await (const event of feed) {
    if (event.kind === "reset") throw new CommandError(`${event.reason}: ${event.message}`);
    if (event.kind !== "resolved" || options.marks) output.out(eventLine(event, shapes));
    const { cursor } = feed;
    if (file !== undefined && cursor !== undefined) {
      await using(file, () => keepCursor(file, cursor));
    }
    if (event.kind === "transaction" && --left === 0) break;
  }
});

async function readCursor(file: string): Promise<string | undefined> {
  try {
    return (await Deno.readTextFile(file)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    return await using(file, () => {
      throw error;
    });
  }
}

/** Whoever is killed meanwhile leaves the cursor before, and no half of one. */
async function keepCursor(file: string, cursor: string): Promise<void> {
  const temporary = `${file}.tmp`;
  await Deno.writeTextFile(temporary, cursor);
  await Deno.rename(temporary, file);
}

type Where = Record<string, SqlValue>;

function tableFilters(names: readonly string[], wheres: readonly string[]) {
  const filters = new Map<string, Where>(names.map((name) => [name, {}]));
  for (const text of wheres) {
    const [, table, column, value] = /^([^=]+)\.([^.=]+)=(.*)$/s.exec(text) ?? [];
    if (table === undefined) {
      throw new UsageError(`--where is TABLE.COLUMN=VALUE, not "${text}"`);
    }
    const where = filters.get(table);
    if (where === undefined) throw new UsageError(`--where names ${table}, --table does not`);
    where[column!] = parseValue(value!);
  }
  return Array.from(filters, ([table, where]) => ({ table, where }));
}

/** An event as one object; rows are objects with the names of their columns. */
function eventLine(event: Exclude<FeedEvent, { kind: "reset" }>, tables: readonly FeedTable[]) {
  const row = (table: string, values: readonly SqlValue[] | null) =>
    values === null ? "null" : jsonObject(
      tables.find(({ name }) => name === table)!.columns.map(({ name }) => name),
      values,
    );
  const text = JSON.stringify;
  switch (event.kind) {
    case "snapshot": {
      const rows = event.rows.map((values) => row(event.table, values));
      return `{"kind":"snapshot","table":${text(event.table)},"rows":[${rows}]}\n`;
    }
    case "snapshot-end":
    case "resolved":
      return `${text(event)}\n`;
    case "transaction": {
      const { kind, cursor, committedAt } = event;
      const changes = event.changes.map(({ table, before, after }) =>
        `{"table":${text(table)},"before":${row(table, before)},"after":${row(table, after)}}`
      );
      return `${text({ kind, cursor, committedAt }).slice(0, -1)},"changes":[${changes}]}\n`;
    }
  }
}

if (import.meta.main) Deno.exit(await runCommand(subscribe));
