// What DTLS does in a second with each crypto provider: handshakes in memory and records, one thread at both ends.

import { CipherSuite } from "../../src/dtls/code_points.ts";
import { suiteParameters } from "../../src/dtls/cipher_suites.ts";
import type { CryptoProvider } from "../../src/dtls/crypto/provider.ts";
import { DTLS_LIMITS } from "../../src/dtls/limits.ts";
import {
  DtlsAssociation,
  type DtlsClientOptions,
  DtlsEndpoint,
  type DtlsServerOptions,
  type DtlsSession,
  type DtlsVersion,
  type EndpointAssociation,
  SingleUseTickets,
  TicketKeys,
} from "../../src/dtls/mod.ts";
import { readRecord } from "../../src/dtls/record.ts";
import { CiphertextOpener, CiphertextSealer } from "../../src/dtls/record_protection_13.ts";
import { monotonicNow } from "../../src/net/driver.ts";
import { systemEntropy } from "../../src/net/entropy.ts";
import { type BenchCredentials, benchCredentials } from "./credentials.ts";
import { figure, measureRate, PRESENT_PROVIDERS, type Table } from "./measure.ts";
import { RecordedProvider } from "./primitives.ts";
import { recordKeys } from "./records.ts";

/** How often all is measured, one after the other: others use the machine for seconds, and the best counts. */
const PASSES = 3;
const ROUND_MS = 1_200;
/**
 * Handshakes of each kind before the first is measured. V8 gives what runs once in each to its best compiler after
 * 3,000 calls and what that calls later; a server has them behind it in its first busy minute.
 */
const WARM_UP_HANDSHAKES = 20_000;
const ADDRESS = "192.0.2.1:50000";

/** One handshake from the first ClientHello to the end of both ends; the session that the server gave, if any. */
function handshake(endpoint: DtlsEndpoint, options: DtlsClientOptions): DtlsSession | undefined {
  const client = DtlsAssociation.client(options, monotonicNow());
  let entry: EndpointAssociation | undefined;
  for (let isMoving = true; isMoving;) {
    isMoving = false;
    const now = monotonicNow();
    for (let bytes; (bytes = client.pollTransmit(now)) !== undefined; isMoving = true) {
      entry = endpoint.handleDatagram(bytes, ADDRESS, now) ?? entry;
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
  if (client.isResumed !== (options.session !== undefined)) throw new Error("wrongly resumed");
  let session: DtlsSession | undefined;
  for (let event; (event = client.pollEvent()) !== undefined;) {
    if (event.kind === "session") session = event.session;
  }
  client.close(monotonicNow());
  entry.association.close(monotonicNow());
  endpoint.remove(entry);
  return session;
}

/** Full handshakes a second. */
function fullRate(
  { client, server, forgetVerified }: BenchCredentials,
  isFresh: boolean,
): number {
  const endpoint = new DtlsEndpoint(server, monotonicNow());
  const rate = measureRate(() => {
    if (isFresh) forgetVerified();
    handshake(endpoint, client);
  }, ROUND_MS);
  endpoint.destroy();
  return rate;
}

/** The same credentials with one version alone. */
function inVersion(credentials: BenchCredentials, version: DtlsVersion): BenchCredentials {
  const versions = [version];
  return {
    ...credentials,
    client: { ...credentials.client, versions },
    server: { ...credentials.server, versions },
  };
}

/** A server that gives one ticket after each handshake. */
function resumingServer(server: DtlsServerOptions): DtlsServerOptions {
  const { provider } = server;
  return {
    ...server,
    tickets: new TicketKeys({ provider, entropy: systemEntropy }, monotonicNow()),
    cookieExemption: { tickets: new SingleUseTickets(systemEntropy) },
    ticketsPerHandshake: 1,
  };
}

/**
 * Handshakes a second that each resume the session of the one before, with a fresh key exchange; in 1.3 the ticket
 * takes the place of the cookie.
 */
function resumedRate({ client, server }: BenchCredentials): number {
  const endpoint = new DtlsEndpoint(resumingServer(server), monotonicNow());
  let session = handshake(endpoint, client);
  const rate = measureRate(() => {
    session = handshake(endpoint, { ...client, session: session! });
  }, ROUND_MS);
  endpoint.destroy();
  return rate;
}

/** Has the code compiled that all handshakes share, and that of those which resume. */
function warmUp({ client, server }: BenchCredentials): void {
  const endpoint = new DtlsEndpoint(resumingServer(server), monotonicNow());
  for (let i = 0, session: DtlsSession | undefined; i < WARM_UP_HANDSHAKES; i++) {
    session = handshake(endpoint, session === undefined ? client : { ...client, session });
  }
  for (let i = 0; i < WARM_UP_HANDSHAKES; i++) handshake(endpoint, client);
  endpoint.destroy();
}

/** Computes the primitives alone of one such handshake, those of both ends. */
async function primitives(
  provider: CryptoProvider,
  key: "p256" | "ed25519",
  isResumed: boolean,
): Promise<() => void> {
  const recorded = new RecordedProvider(provider);
  const { client, server } = await benchCredentials(key, recorded, false);
  const options = isResumed ? resumingServer(server) : server;
  const endpoint = new DtlsEndpoint(options, monotonicNow());
  const session = handshake(endpoint, client);
  recorded.forget();
  handshake(endpoint, isResumed ? { ...client, session: session! } : client);
  endpoint.destroy();
  return () => recorded.replay();
}

/** Records of AES-128-GCM, with so much content, that are sealed and opened in a second. */
function recordRate(provider: CryptoProvider, contentBytes: number): number {
  const suite = suiteParameters(CipherSuite.TLS_AES_128_GCM_SHA256)!;
  const keys = recordKeys(provider, suite);
  const sealer = new CiphertextSealer(3, suite, keys, new Uint8Array(0));
  const opener = new CiphertextOpener(3, keys, DTLS_LIMITS.replayWindowRecords);
  const content = new Uint8Array(contentBytes).fill(7);
  const rate = measureRate(() => {
    const datagram = new Uint8Array(contentBytes + sealer.overheadBytes);
    sealer.seal(datagram, 0, 23, content);
    const record = readRecord(datagram, 0, 0);
    if (record === undefined || opener.open(record).kind !== "opened") {
      throw new Error("a record that was sealed does not open");
    }
  }, ROUND_MS);
  sealer.destroy();
  return rate;
}

/** A line of the table: how often a second, measured with each provider. */
interface Line {
  readonly what: string;
  readonly measure: readonly (() => number)[];
}

/** The lines of handshakes with one kind of key, at the server or at both ends. */
async function handshakeLines(
  name: string,
  key: "p256" | "ed25519",
  withClient: boolean,
): Promise<Line[]> {
  const lines: Line[] = [];
  const credentials = await Promise.all(
    PRESENT_PROVIDERS.map((provider) => benchCredentials(key, provider, withClient)),
  );
  const add = (what: string, rate: (each: BenchCredentials) => number, of = credentials) =>
    lines.push({ what, measure: of.map((each) => () => rate(each)) });
  const addPrimitives = async (what: string, isResumed: boolean) => {
    const runs = await Promise.all(
      PRESENT_PROVIDERS.map((provider) => primitives(provider, key, isResumed)),
    );
    const measure = runs.map((run) => () => measureRate(run, ROUND_MS));
    lines.push({ what: `${what}: its primitives alone`, measure });
  };
  const who = `full handshake, ${name}${withClient ? " at both ends" : ""}`;
  add(who, (each) => fullRate(each, false));
  add(`${who}, chain seen first`, (each) => fullRate(each, true));
  if (withClient) return lines;
  await addPrimitives(who, false);
  if (key !== "p256") return lines;
  const old = credentials.map((each) => inVersion(each, "1.2"));
  add("resumed handshake", resumedRate);
  await addPrimitives("resumed handshake", true);
  add("full handshake of DTLS 1.2, P-256", (each) => fullRate(each, false), old);
  add("resumed handshake of DTLS 1.2", resumedRate, old);
  return lines;
}

/** Measures full and resumed handshakes, and records, with each provider that is present. */
export async function benchDtls(): Promise<Table> {
  warmUp(await benchCredentials("ed25519", PRESENT_PROVIDERS[0]!, false));
  const lines: Line[] = [];
  for (const [name, key] of [["P-256", "p256"], ["Ed25519", "ed25519"]] as const) {
    lines.push(...await handshakeLines(name, key, false), ...await handshakeLines(name, key, true));
  }
  for (const contentBytes of [1_200, 64]) {
    lines.push({
      what: `record of ${contentBytes} bytes, sealed and opened`,
      measure: PRESENT_PROVIDERS.map((provider) => () => recordRate(provider, contentBytes)),
    });
  }
  const best = lines.map(({ measure }) => measure.map(() => 0));
  for (let pass = 0; pass < PASSES; pass++) {
    for (const [row, { measure }] of lines.entries()) {
      for (const [i, run] of measure.entries()) best[row]![i] = Math.max(best[row]![i]!, run());
    }
  }
  return {
    title:
      "DTLS, 1.3 where nothing is said: how often a second, both ends on one thread (X25519, fresh shares, cookie)",
    columns: ["", ...PRESENT_PROVIDERS.map(({ name }) => name)],
    rows: lines.map(({ what }, row) => [what, ...best[row]!.map(figure)]),
  };
}
