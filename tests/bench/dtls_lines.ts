// What DTLS does in a second with a crypto provider: handshakes in memory and records, one thread at both ends.

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
import { measureRate } from "./measure.ts";
import { RecordedProvider } from "./primitives.ts";
import { recordKeys } from "./records.ts";

const ROUND_MS = 800;
/**
 * Handshakes of each kind before the first is measured, and how long they may take. V8 gives what runs once in each to
 * its best compiler after 3,000 calls, and what that calls later: a server has them behind it in its first busy minute.
 */
const WARM_UP_HANDSHAKES = 20_000;
const WARM_UP_MS = 12_000;
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
  const repeat = (run: () => void) => {
    const end = performance.now() + WARM_UP_MS;
    for (let i = 0; i < WARM_UP_HANDSHAKES && performance.now() < end; i++) run();
  };
  let session = handshake(endpoint, client);
  repeat(() => session = handshake(endpoint, { ...client, session: session! }));
  repeat(() => handshake(endpoint, client));
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

/** What is measured: how often a second. */
export interface Line {
  readonly what: string;
  readonly measure: () => number;
}

const KEYS = [["P-256", "p256"], ["Ed25519", "ed25519"]] as const;

/** Handshakes with one kind of key, at the server or at both ends. */
async function handshakeLines(
  provider: CryptoProvider,
  [name, key]: typeof KEYS[number],
  withClient: boolean,
): Promise<Line[]> {
  const credentials = await benchCredentials(key, provider, withClient);
  const who = `full handshake, ${name}${withClient ? " at both ends" : ""}`;
  const lines = [
    { what: who, measure: () => fullRate(credentials, false) },
    { what: `${who}, chain seen first`, measure: () => fullRate(credentials, true) },
  ];
  if (withClient || key !== "p256") return lines;
  const old = inVersion(credentials, "1.2");
  return [
    ...lines,
    { what: "resumed handshake", measure: () => resumedRate(credentials) },
    { what: "full handshake of DTLS 1.2, P-256", measure: () => fullRate(old, false) },
    { what: "resumed handshake of DTLS 1.2", measure: () => resumedRate(old) },
  ];
}

/** Handshakes and records with a provider, whose code is compiled when this resolves. */
export async function dtlsLines(provider: CryptoProvider): Promise<Line[]> {
  warmUp(await benchCredentials("ed25519", provider, false));
  const lines: Line[] = [];
  for (const key of KEYS) {
    for (const withClient of [false, true]) {
      lines.push(...await handshakeLines(provider, key, withClient));
    }
  }
  for (const contentBytes of [1_200, 64]) {
    lines.push({
      what: `record of ${contentBytes} bytes, sealed and opened`,
      measure: () => recordRate(provider, contentBytes),
    });
  }
  return lines;
}

/** The primitives alone of handshakes. */
export async function primitivesLines(provider: CryptoProvider): Promise<Line[]> {
  const kinds = [
    ["full handshake, P-256", "p256", false],
    ["resumed handshake", "p256", true],
    ["full handshake, Ed25519", "ed25519", false],
  ] as const;
  const lines: Line[] = [];
  for (const [who, key, isResumed] of kinds) {
    const run = await primitives(provider, key, isResumed);
    const measure = () => measureRate(run, ROUND_MS);
    lines.push({ what: `primitives alone of a ${who}`, measure });
  }
  return lines;
}
