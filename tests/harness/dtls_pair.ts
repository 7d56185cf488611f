// A DTLS client and a server behind its endpoint, joined by simulated links in virtual time.

import type { Core, Milliseconds } from "../../src/base/core.ts";
import { NEVER } from "../../src/base/core.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import {
  DtlsAssociation,
  type DtlsClientOptions,
  DtlsEndpoint,
  type DtlsEvent,
  type DtlsServerOptions,
  type EndpointAssociation,
  type EndpointLimits,
  keyLogLine,
} from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "./clock.ts";
import { CA_CREDENTIAL, credential, SERVER_CREDENTIAL, trusting } from "./credentials.ts";
import {
  describeRecord,
  type RecordKit,
  recordKit,
  type SeenRecord,
  seeRecords,
} from "./dtls_records.ts";
import { delay, Link, type LinkNode } from "./link.ts";
import { Random } from "./random.ts";
import { Simulation } from "./simulation.ts";

/** What every pair has unless a test says otherwise: an Ed25519 server, a client without certificate. */
export const CLIENT_DEFAULTS: Omit<DtlsClientOptions, "entropy"> = {
  provider: nodeProvider,
  verifyPeer: trusting(CA_CREDENTIAL),
  serverName: "localhost",
};
export const SERVER_DEFAULTS: Omit<DtlsServerOptions, "entropy"> = {
  provider: nodeProvider,
  credentials: [credential(SERVER_CREDENTIAL)],
  verifyPeer: trusting(CA_CREDENTIAL),
};

/** Options that are different; `undefined` takes one away that the defaults have. */
export type Change<Options> = { readonly [Name in keyof Options]?: Options[Name] | undefined };

/** Options of a pair. */
export interface PairOptions {
  readonly seed?: number;
  /** When it begins. Default: when every simulation does. */
  readonly beginMs?: Milliseconds;
  readonly client?: Change<DtlsClientOptions>;
  readonly server?: Change<DtlsServerOptions>;
  readonly endpoint?: Partial<EndpointLimits>;
  /** The network towards the server and back. Default: 10 ms each way. */
  readonly toServer?: readonly LinkNode[];
  readonly toClient?: readonly LinkNode[];
}

/** One datagram that was sent, before the network did anything to it. */
export interface SentDatagram {
  readonly from: "client" | "server";
  readonly at: Milliseconds;
  readonly bytes: Uint8Array;
}

/** What of the test at hand holds keys, and so resources of the runtime that the sanitizers would report. */
const open: { close(now: Milliseconds): void }[] = [];

// What leaks in spite of this is an association that its owner was not told of.
Deno.test.afterEach(() => {
  for (const end of open.splice(0)) end.close(EPOCH_MS);
});

/** Closes an association, or anything alike, when the test at hand is over. */
export function closeAfterTest<End extends { close(now: Milliseconds): void }>(end: End): End {
  open.push(end);
  return end;
}

/** An endpoint and the associations that it makes for one address, as one core. */
export class ServerCore implements Core<DtlsEvent> {
  readonly endpoint: DtlsEndpoint;
  readonly #address: string;
  readonly #entries = new Set<EndpointAssociation>();
  #newest: EndpointAssociation | undefined;
  /** Bytes from and to the address before a cookie validated it. */
  unvalidatedReceivedBytes = 0;
  unvalidatedSentBytes = 0;

  constructor(endpoint: DtlsEndpoint, address = "client") {
    this.endpoint = endpoint;
    this.#address = address;
  }

  /** The newest association that was made. */
  get association(): DtlsAssociation | undefined {
    return this.#newest?.association;
  }

  /** Closes all its associations. */
  close(now: Milliseconds): void {
    for (const { association } of this.#entries) association.close(now);
  }

  handleDatagram(bytes: Uint8Array, now: Milliseconds): void {
    if (this.#entries.size === 0) this.unvalidatedReceivedBytes += bytes.length;
    const entry = this.endpoint.handleDatagram(bytes, this.#address, now);
    if (entry === undefined || this.#entries.has(entry)) return;
    this.#entries.add(entry);
    this.#newest = entry;
  }

  handleTimeout(now: Milliseconds): void {
    for (const { association } of this.#entries) association.handleTimeout(now);
    this.#sweep();
  }

  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    const answer = this.endpoint.pollTransmit();
    if (answer !== undefined) {
      if (this.#entries.size === 0) this.unvalidatedSentBytes += answer.bytes.length;
      return answer.bytes;
    }
    for (const { association } of this.#entries) {
      const bytes = association.pollTransmit(now);
      if (bytes !== undefined) return bytes;
    }
    this.#sweep();
    return undefined;
  }

  pollTimeout(): Milliseconds {
    let next = NEVER;
    for (const { association } of this.#entries) next = Math.min(next, association.pollTimeout());
    return next;
  }

  pollEvent(): DtlsEvent | undefined {
    for (const entry of this.#entries) {
      const event = entry.association.pollEvent();
      if (event === undefined) continue;
      if (event.kind === "connected") this.endpoint.settle(entry);
      return event;
    }
    return undefined;
  }

  #sweep(): void {
    for (const entry of this.#entries) {
      if (entry.association.state !== "closed") continue;
      this.endpoint.remove(entry);
      this.#entries.delete(entry);
    }
  }
}

/** Both ends, the network between them, and what was seen of them. */
export class DtlsPair {
  readonly client: DtlsAssociation;
  readonly server: ServerCore;
  readonly simulation: Simulation<DtlsEvent>;
  readonly clientEvents: DtlsEvent[] = [];
  readonly serverEvents: DtlsEvent[] = [];
  /** Every datagram that either end sent, in order. */
  readonly sent: SentDatagram[] = [];
  readonly clientKeyLog: string[] = [];
  readonly serverKeyLog: string[] = [];

  readonly #beginMs: Milliseconds;

  constructor(options: PairOptions = {}) {
    this.#beginMs = options.beginMs ?? EPOCH_MS;
    const random = new Random(options.seed ?? 1);
    const clientOptions = {
      ...CLIENT_DEFAULTS,
      entropy: random.fork().entropy(),
      keyLog: (...line) => this.clientKeyLog.push(keyLogLine(...line)),
      ...options.client,
    } as DtlsClientOptions;
    const serverOptions = {
      ...SERVER_DEFAULTS,
      entropy: random.fork().entropy(),
      keyLog: (...line) => this.serverKeyLog.push(keyLogLine(...line)),
      ...options.server,
    } as DtlsServerOptions;
    this.client = closeAfterTest(DtlsAssociation.client(clientOptions, this.#beginMs));
    this.server = closeAfterTest(
      new ServerCore(new DtlsEndpoint(serverOptions, this.#beginMs, options.endpoint)),
    );
    this.simulation = new Simulation<DtlsEvent>(
      { core: this.client, onEvent: (event) => this.clientEvents.push(event) },
      { core: this.server, onEvent: (event) => this.serverEvents.push(event) },
      {
        aToB: new Link(random.fork(), [
          this.#seenFrom("client"),
          ...options.toServer ?? [delay(10)],
        ]),
        bToA: new Link(random.fork(), [
          this.#seenFrom("server"),
          ...options.toClient ?? [delay(10)],
        ]),
      },
    );
    this.simulation.now = this.#beginMs;
  }

  #seenFrom(from: "client" | "server"): LinkNode {
    return (passage) => {
      this.sent.push({ from, ...passage });
      return [passage];
    };
  }

  /** Milliseconds of virtual time since the beginning. */
  get elapsedMs(): Milliseconds {
    return this.simulation.now - this.#beginMs;
  }

  /** The datagrams that one end sent. */
  sentBy(from: "client" | "server"): Uint8Array[] {
    return this.sent.filter((one) => one.from === from).map(({ bytes }) => bytes);
  }

  /** The bytes of the application data that one end received. */
  received(by: "client" | "server"): Uint8Array[] {
    const events = by === "client" ? this.clientEvents : this.serverEvents;
    return events.flatMap((event) => event.kind === "application-data" ? [event.bytes] : []);
  }

  /** The records of every datagram that was sent: `C 0:0 CLIENT_HELLO#0`, `S 2:0 ENCRYPTED_EXTENSIONS#2`, ... */
  transcript(): string[] {
    return this.sent.map(({ from, bytes }) =>
      [from === "client" ? "C" : "S", ...this.see(from, bytes).map(describeRecord)].join(" | ")
    );
  }

  /** The records of one datagram. */
  see(from: "client" | "server", datagram: Uint8Array): SeenRecord[] {
    const receiver = from === "client" ? this.server.association : this.client;
    const idBytes = receiver?.receiveConnectionId.length ?? 0;
    const suite = this.client.cipherSuite;
    return seeRecords(datagram, from, this.clientKeyLog, {
      idBytes,
      ...suite === undefined ? {} : { suite },
    });
  }

  /** The secrets of an end's records in an epoch. */
  kit(from: "client" | "server", epoch: number): RecordKit {
    const keyLog = this.serverKeyLog.length > 0 ? this.serverKeyLog : this.clientKeyLog;
    return recordKit(keyLog, from, epoch, this.client.cipherSuite);
  }

  /** Runs until both ends are connected or have ended. */
  handshake(durationMs = 600_000): this {
    // A client that failed before the server kept anything has nobody to wait for.
    const isSettled = (association: DtlsAssociation | undefined) =>
      association === undefined
        ? this.client.state !== "handshaking" && this.client.state !== "connected"
        : association.state !== "handshaking";
    this.simulation.runUntil(
      () => isSettled(this.client) && isSettled(this.server.association),
      { durationMs },
    );
    return this;
  }

  /** Runs until neither end waits for anything. */
  settle(durationMs = 3_600_000): this {
    this.simulation.runUntilIdle({ durationMs });
    return this;
  }

  /** Sends application data from one end through the network. */
  send(from: "client" | "server", bytes: Uint8Array): void {
    const association = from === "client" ? this.client : this.server.association!;
    this.simulation.inject(from === "client" ? "a" : "b", association.sealApplicationData(bytes));
  }
}
