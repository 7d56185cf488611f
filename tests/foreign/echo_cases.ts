// What is tried against every stack that can be made an echo server and its client: handshakes, data both ways, close.

import { assertEquals } from "@std/assert";
import {
  connectDtls,
  type ConnectDtlsOptions,
  type ConnectedAssociation,
  type DtlsVersion,
  listenDtls,
  type ListenDtlsOptions,
} from "../../src/dtls_runtime/mod.ts";
import { bytes, text } from "../dtls_runtime/loopback.ts";
import type { ForeignCertificates } from "./foreign_certificates.ts";
import type { ForeignProcess } from "./foreign_process.ts";
import { hasConnectionId, WatchedUdp } from "./watched_udp.ts";

/** Messages that are echoed in one association. */
const MESSAGES = 12;

/** One thing that is tried. */
export interface EchoCase {
  readonly name: string;
  /** What the other stack's program is told. */
  readonly flags: readonly string[];
  /** Options of our side, whichever it is. */
  readonly ours?: Partial<ConnectDtlsOptions> & Partial<ListenDtlsOptions>;
  /** Associations that follow each other. Default 1. */
  readonly associations?: number;
  /** Whether clients show certificates. Default: no. */
  readonly isMutual?: boolean;
  /** Whether records carry connection IDs, both ways. Default: no. */
  readonly hasConnectionIds?: boolean;
  /** ClientHellos of each association. Default 2: each server asks for a cookie. */
  readonly clientHellos?: number;
}

/** Another stack's echo programs. */
export interface EchoStack {
  /** Starts its server, which prints `port: N`. */
  serve(certificates: ForeignCertificates, flags: readonly string[]): ForeignProcess;
  /** Starts its client of a port on the loopback address. */
  call(
    certificates: ForeignCertificates,
    port: number,
    flags: readonly string[],
  ): ForeignProcess;
}

/** The exporter's value, as the programs print it. */
function exported(association: ConnectedAssociation): string {
  return association.exportKeyingMaterial("EXPORTER-test", 16).toHex();
}

function checkWire(watched: WatchedUdp, { associations = 1, ...wanted }: EchoCase): void {
  const { hasConnectionIds = false, clientHellos = 2 } = wanted;
  // The last datagram each way is protected for sure.
  assertEquals(watched.sent.some(hasConnectionId), hasConnectionIds, "connection IDs to them");
  assertEquals(watched.received.some(hasConnectionId), hasConnectionIds, "connection IDs to us");
  assertEquals(watched.clientHellos, associations * clientHellos, "ClientHellos");
}

/** Our client talks with their server. */
export async function callTheirServer(
  stack: EchoStack,
  certificates: ForeignCertificates,
  wanted: EchoCase,
): Promise<void> {
  await using server = stack.serve(certificates, wanted.flags);
  const port = Number((await server.finds(/^port: (\d+)$/m))[1]);
  const watched = new WatchedUdp();
  for (let number = 0; number < (wanted.associations ?? 1); number++) {
    const client = await connectDtls({
      hostname: "localhost",
      port,
      ca: certificates.ca,
      udp: watched.udp,
      ...(wanted.isMutual && { credentials: [certificates.client] }),
      ...wanted.ours,
    });
    for (let message = 0; message < MESSAGES; message++) {
      await client.send(bytes(`message ${message}`));
      for await (const echo of client) {
        assertEquals(text(echo), `message ${message}`);
        break;
      }
    }
    if (server.output.includes("exporter")) await server.finds(new RegExp(exported(client)));
    await client.close();
    assertEquals(await client.closed, undefined);
  }
  assertEquals(await server.ended(), 0, server.output);
  assertEquals(server.output.match(/^closed:/gm)?.length, wanted.associations ?? 1);
  checkWire(watched, wanted);
}

/** Their client talks with our server. */
export async function serveTheirClient(
  stack: EchoStack,
  certificates: ForeignCertificates,
  wanted: EchoCase,
): Promise<void> {
  const watched = new WatchedUdp();
  await using endpoint = await listenDtls({
    credentials: [certificates.server],
    ca: certificates.ca,
    clientCertificate: wanted.isMutual ? "required" : "none",
    udp: watched.udp,
    ...wanted.ours,
  });
  await using client = stack.call(certificates, endpoint.addr.port, wanted.flags);
  let left = wanted.associations ?? 1;
  for await (const association of endpoint) {
    assertEquals(association.peerCertificate !== undefined, wanted.isMutual ?? false);
    const isExporterShown = (await client.finds(/^connected:(.*)$/m))[1]!.includes("exporter");
    if (isExporterShown) await client.finds(new RegExp(exported(association)));
    for await (const message of association) await association.send(message);
    assertEquals(await association.closed, undefined);
    if (--left === 0) break;
  }
  assertEquals(await client.ended(), 0, client.output);
  checkWire(watched, wanted);
}

/** Tries every case both ways, as steps of a test. */
export async function tryCases(
  context: Deno.TestContext,
  stack: EchoStack,
  certificates: ForeignCertificates,
  version: DtlsVersion,
  cases: readonly EchoCase[],
): Promise<void> {
  for (const one of cases) {
    const wanted = { ...one, ours: { versions: [version], alpn: ["echo"], ...one.ours } };
    await context.step(
      `our client, their server: ${one.name}`,
      () => callTheirServer(stack, certificates, wanted),
    );
    await context.step(
      `their client, our server: ${one.name}`,
      () => serveTheirClient(stack, certificates, wanted),
    );
  }
}
