// SQP beside PostgreSQL and Redis over TLS: real sockets, and an emulated link between two network namespaces, where
// this machine can make them.

import { ensureDevelopmentCertificates } from "../../src/server/certificate_directory.ts";
import { figure, type Measured, type Table } from "./measure.ts";
import type { Peer } from "./netlab_clients.ts";
import {
  denoProgram,
  EmulatedLink,
  type LabServer,
  runInside,
  SERVER_HOST,
} from "./netlab_link.ts";
import { NotInstalled, startPostgres, startRedis, startSqp } from "./netlab_servers.ts";

const LINK = ["--delay", "20", "--loss", "2", "--seed", "1"];
const TITLE =
  "netlab: 40 ms round trip, 2 % loss each way, 64 point queries in flight on one connection";
const COLUMNS = ["", "a second", "median ms", "99 % ms", "connect + first answer ms"];

interface Contender {
  readonly name: string;
  readonly peer: Peer;
  /** Starts its server, with certificates and whatever else it keeps in a folder. */
  readonly start: (folder: string) => Promise<LabServer>;
}

const CONTENDERS: readonly Contender[] = [
  { name: "SQP, SQLite", peer: "sqp", start: startSqp },
  { name: "PostgreSQL over TLS", peer: "postgres", start: startPostgres },
  { name: "Redis over TLS", peer: "redis", start: startRedis },
];

function leftOut(name: string, error: unknown): string[] {
  const [reason] = String(error).split("\n");
  return [`${name}left out: ${reason}`, "", "", "", ""];
}

/** A row of the table: what a contender does over the link. */
async function measure({ name, peer, start }: Contender, folder: string): Promise<string[]> {
  try {
    await using _server = await start(folder);
    const client = denoProgram("tests/bench/netlab_client.ts", peer, SERVER_HOST, folder);
    const measured: Measured & { connectMs: number } = JSON.parse(
      await runInside("client", ...client),
    );
    const { perSecond, medianMs, p99Ms, connectMs } = measured;
    return [name, ...[perSecond, medianMs, p99Ms, connectMs].map(figure)];
  } catch (error) {
    if (error instanceof NotInstalled) return leftOut(`${name}: `, error);
    throw error;
  }
}

/** Measures over the emulated link; says why, where there is none. */
export async function benchNetlab(): Promise<Table> {
  let link: EmulatedLink;
  try {
    link = await EmulatedLink.start(...LINK);
  } catch (error) {
    return { title: TITLE, columns: COLUMNS, rows: [leftOut("", error)] };
  }
  await using _link = link;
  const folder = await Deno.makeTempDir({ prefix: "sqp_netlab_" });
  try {
    await ensureDevelopmentCertificates(folder);
    const rows: string[][] = [];
    for (const contender of CONTENDERS) rows.push(await measure(contender, folder));
    return { title: TITLE, columns: COLUMNS, rows };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
