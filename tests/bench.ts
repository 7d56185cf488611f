// `deno task bench [SECTION ...]` or `[--SECTION ...]`: what the protocol and its parts cost on this machine. All
// sections by default.

// deno-lint-ignore-file no-console -- printing is what it is for

import { benchCaptures } from "./bench/captures.ts";
import { benchConnects } from "./bench/connects.ts";
import { benchDtls } from "./bench/dtls.ts";
import { benchEngines } from "./bench/engines.ts";
import type { Table } from "./bench/measure.ts";
import { benchAssociationMemory } from "./bench/memory_associations.ts";
import { benchMemoryQueries } from "./bench/memory_queries.ts";
import { benchNetlab } from "./bench/netlab.ts";
import { benchHeadOfLine, benchNetwork } from "./bench/network.ts";
import { benchQueries, benchSockets, benchStream, benchWrites } from "./bench/queries.ts";
import { benchRecords } from "./bench/records.ts";
import { benchRunaway } from "./bench/runaway.ts";

type Measurement = () => Table | Promise<Table>;

/** Sections in the order in which they run; `dtls` takes some minutes, each other 60 s at most. */
const SECTIONS: Readonly<Record<string, readonly Measurement[]>> = {
  dtls: [benchDtls, benchAssociationMemory],
  records: [benchRecords],
  connects: [benchConnects],
  memory: [benchMemoryQueries],
  sockets: [benchSockets],
  queries: [benchQueries],
  stream: [benchStream],
  writes: [benchWrites],
  runaway: [benchRunaway],
  engines: [benchEngines],
  captures: [benchCaptures],
  network: [benchHeadOfLine, benchNetwork],
  netlab: [benchNetlab],
};

function printTable({ title, columns, rows }: Table): void {
  const lines = [columns, ...rows];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  console.log(`\n${title}`);
  for (const line of lines) {
    const cells = line.map((cell, at) =>
      at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)
    );
    console.log(`  ${cells.join("  ")}`);
  }
}

const asked = Deno.args.map((arg) => arg.replace(/^--/, ""));
const names = asked.length > 0 ? asked : Object.keys(SECTIONS);
const unknown = names.find((name) => !Object.hasOwn(SECTIONS, name));
if (unknown !== undefined) {
  console.error(`bench: no section "${unknown}"; there are ${Object.keys(SECTIONS).join(", ")}`);
  Deno.exit(2);
}
const { arch, os } = Deno.build;
console.log(
  `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}, ${os} ${arch}, ${navigator.hardwareConcurrency} cores`,
);
for (const name of names) {
  for (const measurement of SECTIONS[name]!) printTable(await measurement());
}
