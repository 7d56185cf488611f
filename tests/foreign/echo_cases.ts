// What is tried against every stack that can be made an echo server and its client: handshakes, data both ways,
// close.

import { assertEquals } from "@std/assert";
import {
  connectDtls,
  type ConnectDtlsOptions,
  type ConnectedAssociation,
  type DtlsSession,
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

/** How long a handshake or an answer may take. */
const PATIENCE_MS = 10_000;

/** How often something is said to a peer that may not have followed. */
const REPEAT_MS = 50;

/** Limits of our side, so that nobody waits for ever. */
export const IN_TIME = { handshakeMsMax: PATIENCE_MS, idleMsMax: PATIENCE_MS } as const;

/** Our endpoint's next association with a client, which may not end before. */
export async function nextAssociation(
  accepted: AsyncIterator<ConnectedAssociation, undefined>,
  client: ForeignProcess,
): Promise<ConnectedAssociation> {
  const first = await Promise.race([accepted.next(), client.ended()]);
  if (typeof first === "number" || first.done === true) {
    throw new Error(`the client has ended:\n${client.output}`);
  }
  return first.value;
}

/** One thing that is tried. */
export interface EchoCase {
  readonly name: string;
  /** What the other stack's program is told. */
  readonly flags: readonly string[];
  /** Options of our side, whichever it is. */
  readonly ours?: Partial<ConnectDtlsOptions> & Partial<ListenDtlsOptions>;
  /** Associations that follow each other. Default 1. */
  readonly associations?: number;
  /** Whether all but the first of them are resumptions. Default: no. */
  readonly isResuming?: boolean;
  /** Whether our side changes its keys on the way, and asks for theirs. Default: no. */
  readonly updatesKeys?: boolean;
  /** Whether the client goes on at another port. Default: no. */
  readonly isMoving?: boolean;
  /** Whether clients show certificates. Default: no. */
  readonly isMutual?: boolean;
  /** Whether records carry connection IDs, both ways. Default: no. */
  readonly hasConnectionIds?: boolean;
  /** ClientHellos of each association. Default 2: each server asks for a cookie. */
  readonly clientHellos?: number;
}

/** Another stack's echo programs. */
export interface EchoStack {
  /** What tells them the version. */
  versionFlags(version: DtlsVersion): readonly string[];
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

/** `cookiesSaved`: associations whose ticket took the place of a cookie. */
function checkWire(
  watched: WatchedUdp,
  { associations = 1, ...wanted }: EchoCase,
  cookiesSaved = 0,
): void {
  const { hasConnectionIds = false, clientHellos = 2 } = wanted;
  // The last datagram each way is protected for sure.
  assertEquals(watched.sent.some(hasConnectionId), hasConnectionIds, "connection IDs to them");
  assertEquals(watched.received.some(hasConnectionId), hasConnectionIds, "connection IDs to us");
  const expected = associations * clientHellos - cookiesSaved;
  assertEquals(watched.clientHellos, expected, "ClientHellos");
}

/** Says something until an answer comes: until the peer has followed, answers go where nobody is. */
async function persuade(client: ConnectedAssociation): Promise<void> {
  const timer = setInterval(() => client.send(bytes("from elsewhere")), REPEAT_MS);
  try {
    for await (const echo of client) {
      assertEquals(text(echo), "from elsewhere");
      break;
    }
  } finally {
    clearInterval(timer);
  }
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
  const sessions: DtlsSession[] = [];
  for (let number = 0; number < (wanted.associations ?? 1); number++) {
    const session = wanted.isResuming === true ? sessions.pop() : undefined;
    const client = await connectDtls({
      hostname: "localhost",
      port,
      ca: certificates.ca,
      udp: watched.udp,
      limits: IN_TIME,
      onSession: (given) => sessions.push(given),
      ...(session !== undefined && { session }),
      ...(wanted.isMutual && { credentials: [certificates.client] }),
      ...wanted.ours,
    });
    assertEquals(client.isResumed, wanted.isResuming === true && number > 0);
    for (let message = 0; message < MESSAGES; message++) {
      if (message === MESSAGES / 2 && wanted.updatesKeys) client.updateKeys({ requestPeer: true });
      await client.send(bytes(`message ${message}`));
      for await (const echo of client) {
        assertEquals(text(echo), `message ${message}`);
        break;
      }
    }
    if (wanted.isMoving) {
      await watched.move();
      await persuade(client);
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
    limits: IN_TIME,
    ...wanted.ours,
  });
  await using client = stack.call(certificates, endpoint.addr.port, wanted.flags);
  const accepted = endpoint[Symbol.asyncIterator]();
  for (let number = 0; number < (wanted.associations ?? 1); number++) {
    const association = await nextAssociation(accepted, client);
    assertEquals(association.isResumed, wanted.isResuming === true && number > 0);
    assertEquals(association.peerCertificate !== undefined, wanted.isMutual ?? false);
    const isExporterShown = (await client.finds(/^connected:(.*)$/m))[1]!.includes("exporter");
    if (isExporterShown) await client.finds(new RegExp(exported(association)));
    const { port } = association.remoteAddress;
    for await (const message of association) {
      if (wanted.updatesKeys) association.updateKeys({ requestPeer: true });
      await association.send(message);
    }
    assertEquals(await association.closed, undefined);
    assertEquals(association.remoteAddress.port !== port, wanted.isMoving ?? false, "moved");
  }
  assertEquals(await client.ended(), 0, client.output);
  const isExempting = wanted.isResuming === true && wanted.ours?.versions?.[0] === "1.3";
  checkWire(watched, wanted, isExempting ? (wanted.associations ?? 1) - 1 : 0);
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
    const flags = [...one.flags, ...stack.versionFlags(version)];
    const wanted = { ...one, flags, ours: { versions: [version], alpn: ["echo"], ...one.ours } };
    await context.step(
      `DTLS ${version}, our client, their server: ${one.name}`,
      () => callTheirServer(stack, certificates, wanted),
    );
    await context.step(
      `DTLS ${version}, their client, our server: ${one.name}`,
      () => serveTheirClient(stack, certificates, wanted),
    );
  }
}
