// What one idle association takes: a process of its own keeps many of them and prints their size as JSON. Its
// arguments: which end is kept, a kind of key, and the name of a crypto provider, by default the fastest ones.

// deno-lint-ignore-file no-console -- printing is what it is for

import {
  fastestProvider,
  providerByName,
  type ProviderName,
} from "../../src/dtls/crypto/composed.ts";
import { DtlsAssociation, DtlsEndpoint, type EndpointAssociation } from "../../src/dtls/mod.ts";
import { monotonicNow } from "../../src/net/driver.ts";
import { benchCredentials } from "./credentials.ts";
import { figure, type Table } from "./measure.ts";

/** Associations that are kept. */
export const ASSOCIATION_COUNT = 5_000;

/** Handshakes before the first look, so that code and caches are there. */
const WARM_UP_COUNT = 300;

/** Longer than any key of a handshake is kept. */
const IDLE_MS = 600_000;

const HELLO = new Uint8Array(100);

/** Bytes of one association. */
export interface AssociationMemory {
  readonly heapBytes: number;
  /** Buffers outside of V8's heap. */
  readonly externalBytes: number;
  /** All that the process has, natively allocated objects included; coarse. */
  readonly residentBytes: number;
}

/** Which end is kept. */
export type Kept = "client" | "server";
type KeyName = "p256" | "ed25519";

/** The memory of one association of an end. `gc` collects garbage. */
async function measure(
  { kept, key, name }: { kept: Kept; key: KeyName; name?: ProviderName },
  gc: () => void,
): Promise<AssociationMemory> {
  const provider = name === undefined ? fastestProvider() : providerByName(name);
  const credentials = await benchCredentials(key, provider, true);
  const endpoint = new DtlsEndpoint(credentials.server, monotonicNow(), { associationsMax: 1e6 });
  const associations: unknown[] = [];
  const connect = (address: string) => {
    const now = monotonicNow();
    const client = DtlsAssociation.client(
      { ...credentials.client, connectionId: new Uint8Array(8) },
      now,
    );
    const entry = handshake(client, endpoint, address, now);
    const other = kept === "client" ? entry.association : client;
    const own = kept === "client" ? client : entry.association;
    other.close(now);
    other.handleTimeout(now + IDLE_MS);
    if (kept === "client") endpoint.remove(entry);
    // What a handshake leaves behind for late records has had its time.
    own.handleTimeout(now + IDLE_MS);
    associations.push(kept === "client" ? client : entry);
  };
  for (let i = 0; i < WARM_UP_COUNT; i++) connect(`warm-up ${i}`);
  const before = memory(gc);
  for (let i = 0; i < ASSOCIATION_COUNT; i++) connect(`192.0.2.1:${i}`);
  const after = memory(gc);
  if (associations.length !== WARM_UP_COUNT + ASSOCIATION_COUNT) {
    throw new Error("some are missing");
  }
  const each = (field: keyof AssociationMemory) =>
    (after[field] - before[field]) / ASSOCIATION_COUNT;
  return {
    heapBytes: each("heapBytes"),
    externalBytes: each("externalBytes"),
    residentBytes: each("residentBytes"),
  };
}

function handshake(
  client: DtlsAssociation,
  endpoint: DtlsEndpoint,
  address: string,
  now: number,
): EndpointAssociation {
  let entry: EndpointAssociation | undefined;
  for (let isMoving = true; isMoving;) {
    isMoving = false;
    for (let bytes; (bytes = client.pollTransmit(now)) !== undefined; isMoving = true) {
      entry = endpoint.handleDatagram(bytes, address, now) ?? entry;
    }
    for (let answer; (answer = endpoint.pollTransmit()) !== undefined; isMoving = true) {
      client.handleDatagram(answer.bytes, now);
    }
    for (let bytes; (bytes = entry?.association.pollTransmit(now)) !== undefined; isMoving = true) {
      client.handleDatagram(bytes, now);
    }
  }
  if (client.state !== "connected" || entry?.association.state !== "connected") {
    throw new Error("a handshake has failed");
  }
  endpoint.settle(entry);
  // The first record under the newest keys lets those of the handshake go.
  endpoint.handleDatagram(client.sealApplicationData(HELLO), address, now);
  client.handleDatagram(entry.association.sealApplicationData(HELLO), now);
  for (const end of [client, entry.association]) while (end.pollEvent() !== undefined);
  return entry;
}

function memory(gc: () => void): AssociationMemory {
  for (let i = 0; i < 3; i++) gc();
  const { heapUsed, external, rss } = Deno.memoryUsage();
  return { heapBytes: heapUsed, externalBytes: external, residentBytes: rss };
}

/** Measures each end. */
export async function benchAssociationMemory(): Promise<Table> {
  const rows: string[][] = [];
  for (const kept of ["server", "client"] as const) {
    const memory = await measureApart(kept, "ed25519");
    rows.push([`a ${kept}'s`, ...Object.values(memory).map(figure)]);
  }
  return {
    title: `Bytes of an idle DTLS association of ${ASSOCIATION_COUNT}, certificates both ways`,
    columns: ["", "heap", "buffers beside it", "resident"],
    rows,
  };
}

/** Measures one end in a process of its own. */
export async function measureApart(kept: Kept, key: KeyName): Promise<AssociationMemory> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--cached-only", "--v8-flags=--expose-gc"],
      ...[import.meta.url, kept, key],
    ],
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

if (import.meta.main) {
  const [kept, key, name] = Deno.args as [Kept, KeyName, ProviderName?];
  // There with --expose-gc.
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("run with --v8-flags=--expose-gc");
  console.log(
    JSON.stringify(await measure({ kept, key, ...(name !== undefined && { name }) }, gc)),
  );
}
