// A server's endpoint and any number of clients, over simulated links in virtual time.

import { assertEquals } from "@std/assert";
import { type Milliseconds, NEVER } from "../../src/base/core.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import type { DtlsClientOptions, DtlsServerOptions } from "../../src/dtls/options.ts";
import { clientVerifier, serverVerifier } from "../../src/dtls/peer_verifier.ts";
import type { EndpointLimits } from "../../src/dtls/endpoint.ts";
import { certificatePrincipal, parseCertificate, TrustStore } from "../../src/dtls/x509/mod.ts";
import {
  type EndpointClient,
  type EndpointEvent,
  ServerEndpoint,
} from "../../src/server/endpoint.ts";
import type { ServerLimits } from "../../src/server/limits.ts";
import { SESSION_SETTINGS, type SessionSettings } from "../../src/session/limits.ts";
import type { ClientStack, ServerStack } from "../../src/session/stack.ts";
import type { EventLog } from "../../src/transport/event_log.ts";
import type { Principal } from "../../src/session/permissions.ts";
import type { ErrorName } from "../../src/wire/error_codes.ts";
import { SqpError } from "../../src/wire/errors.ts";
import {
  type Credential,
  DEFAULT_SESSION_LIMITS,
  type SessionLimits,
} from "../../src/wire/handshake_payload.ts";
import { DEFAULT_TRANSPORT_LIMITS } from "../../src/transport/limits.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { EPOCH_MS } from "./clock.ts";
import { CA_CREDENTIAL, CLIENT_CREDENTIAL, credential, SERVER_CREDENTIAL } from "./credentials.ts";
import { closeAfterTest } from "./dtls_pair.ts";
import { delay, Link, type LinkNode } from "./link.ts";
import { Random } from "./random.ts";
import { TestClient } from "./sqp_client.ts";
import { TestEngine } from "./sqp_engine.ts";
import { TransportInvariants } from "./transport_invariants.ts";

/** Moves of one moment, and moments without progress, that count as endless. */
const MOVES_OF_A_MOMENT_MAX = 200_000;
const IDLE_STEPS_MAX = 100;
const STEPS_MAX = 5_000_000;

/** Clients of a server whose every datagram is looked at; of more, every moment is. */
const WATCHED_MAX = 8;

const trust = new TrustStore({ trustAnchors: [CA_CREDENTIAL.certificate] });

/** What a pair has unless a test says otherwise. */
export interface SqpPairOptions {
  readonly seed?: number;
  /** The network towards the server and back, made anew for each client. Default: 10 ms each way. */
  readonly toServer?: () => readonly LinkNode[];
  readonly toClient?: () => readonly LinkNode[];
  readonly dtls?: Partial<DtlsServerOptions>;
  readonly dtlsLimits?: Partial<EndpointLimits>;
  readonly endpointLimits?: Partial<ServerLimits>;
  readonly sessionLimits?: Partial<SessionLimits>;
  readonly settings?: Partial<SessionSettings>;
  /** How long the check of a token takes. Default 20. */
  readonly tokenCheckMs?: number;
  /** Takes the events of the server's side of each session. */
  readonly eventLog?: () => EventLog;
  /** Clients to begin with. Default: one. */
  readonly clients?: readonly SqpClientOptions[];
}

/** What a client has unless a test says otherwise: a certificate of the CA, which is also its credential. */
export interface SqpClientOptions {
  readonly address?: string;
  /** `token`: `good:NAME` is let in as NAME (`good:NAME:MS` for so long), `bad:ERROR` refused with that error. */
  readonly credential?: Credential | null;
  readonly dtls?: Partial<DtlsClientOptions>;
  readonly limits?: Partial<SessionLimits>;
  readonly settings?: Partial<SessionSettings>;
  readonly toServer?: readonly LinkNode[];
  readonly toClient?: readonly LinkNode[];
}

/** A client by a token and without certificate. */
export function tokenClient(token: string, options: SqpClientOptions = {}): SqpClientOptions {
  return {
    ...options,
    credential: { type: "token", token },
    dtls: { credentials: NO_CREDENTIALS, ...options.dtls },
  };
}

/** In the place of a certificate: the client has none. */
export const NO_CREDENTIALS: DtlsClientOptions["credentials"] & object = [];

/** Anything that is at an address: a client, or a peer that a script plays. */
export interface Party {
  readonly address: string;
  /** Whether nothing of it is sent or received any more. */
  readonly isGone: boolean;
  handleDatagram(bytes: Uint8Array, now: Milliseconds): void;
  handleTimeout(now: Milliseconds): void;
  pollTransmit(now: Milliseconds): Uint8Array | undefined;
  pollTimeout(): Milliseconds;
  /** Handles what it tells. Returns how much that was. */
  drainEvents(now: Milliseconds): number;
  /** Ends it without a word, so that its keys are gone. */
  destroy(now: Milliseconds): void;
}

interface Place {
  readonly party: Party;
  readonly toServer: Link;
  readonly toClient: Link;
}

/** A core whose transport is looked at. */
type Stack = Pick<ClientStack | ServerStack, "transport" | "session">;

interface Action {
  readonly at: Milliseconds;
  readonly run: () => void;
}

/** Bytes that were exchanged with an address while no cookie had validated it. */
export interface Unvalidated {
  receivedBytes: number;
  sentBytes: number;
}

/** A server and its clients, the network between them, and what was seen of them. */
export class SqpPair {
  now: Milliseconds = EPOCH_MS;
  readonly random: Random;
  readonly endpoint: ServerEndpoint;
  readonly engine: TestEngine;
  readonly clients: TestClient[] = [];
  /** Every event of the endpoint, in order. */
  readonly events: EndpointEvent[] = [];
  /** Addresses without an association, by address. */
  readonly unvalidated = new Map<string, Unvalidated>();
  /** Every datagram between the server and its peers as it was sent, where a test looks. */
  onDatagram: (from: "client" | "server", bytes: Uint8Array, address: string) => void = () => {};
  readonly #options: SqpPairOptions;
  readonly #places = new Map<string, Place>();
  readonly #parties: Party[] = [];
  readonly #invariants = new WeakMap<Transport, TransportInvariants>();
  #actions: Action[] = [];
  #nextHost = 1;

  constructor(options: SqpPairOptions = {}) {
    this.#options = options;
    this.random = new Random(options.seed ?? 1);
    const entropy = this.random.fork().entropy();
    const dtls: DtlsServerOptions = {
      provider: nodeProvider,
      entropy,
      credentials: [credential(SERVER_CREDENTIAL)],
      clientCertificate: "optional",
      verifyPeer: clientVerifier(() => trust),
      alpn: ["sqp/1"],
      ...options.dtls,
    };
    this.endpoint = new ServerEndpoint({
      dtls,
      session: {
        entropy,
        limits: { ...DEFAULT_SESSION_LIMITS, ...options.sessionLimits },
        settings: { ...SESSION_SETTINGS, ...options.settings },
        agent: "test server",
        ...options.eventLog !== undefined && { eventLog: options.eventLog },
      },
      ...options.endpointLimits !== undefined && { limits: options.endpointLimits },
      ...options.dtlsLimits !== undefined && { dtlsLimits: options.dtlsLimits },
    }, this.now);
    this.engine = new TestEngine(this);
    closeAfterTest(this);
    for (const client of options.clients ?? [{}]) this.addClient(client);
  }

  /** The first client. */
  get client(): TestClient {
    return this.clients[0]!;
  }

  /** Adds a client, which begins its handshake now. */
  addClient(options: SqpClientOptions = {}): TestClient {
    const address = options.address ?? `10.0.0.${this.#nextHost++}:5000`;
    const entropy = this.random.fork().entropy();
    const client = new TestClient(
      address,
      {
        provider: nodeProvider,
        entropy,
        verifyPeer: serverVerifier(() => trust, "localhost"),
        serverName: "localhost",
        credentials: [credential(CLIENT_CREDENTIAL)],
        alpn: ["sqp/1"],
        versions: ["1.3"],
        ...options.dtls,
      },
      {
        entropy,
        limits: { ...DEFAULT_SESSION_LIMITS, ...options.limits },
        settings: { ...SESSION_SETTINGS, ...options.settings },
        credential: options.credential === undefined ? { type: "certificate" } : options.credential,
        agent: "test client",
      },
      this.now,
    );
    this.clients.push(client);
    this.addParty(client, options);
    return client;
  }

  /** Adds anything else at an address. What was at that address before is gone. */
  addParty(party: Party, links: Pick<SqpClientOptions, "toServer" | "toClient"> = {}): void {
    const { toServer, toClient } = this.#options;
    this.#parties.push(party);
    this.#places.set(party.address, {
      party,
      toServer: new Link(this.random.fork(), links.toServer ?? toServer?.() ?? [delay(10)]),
      toClient: new Link(this.random.fork(), links.toClient ?? toClient?.() ?? [delay(10)]),
    });
  }

  /**
   * The NAT in front of a client gives it another address, or it comes by another network: what is sent to the old
   * address from now on is lost.
   */
  rebind(
    client: TestClient,
    address: string,
    links: Pick<SqpClientOptions, "toServer" | "toClient"> = {},
  ): void {
    const { party, ...before } = this.#places.get(client.address)!;
    this.#places.delete(client.address);
    client.address = address;
    const link = (nodes: readonly LinkNode[] | undefined, old: Link) =>
      nodes === undefined ? old : new Link(this.random.fork(), nodes);
    this.#places.set(address, {
      party,
      toServer: link(links.toServer, before.toServer),
      toClient: link(links.toClient, before.toClient),
    });
  }

  /** The links of an address. */
  linksOf({ address }: { readonly address: string }): { toServer: Link; toClient: Link } {
    return this.#places.get(address)!;
  }

  /** The server's side of a client. */
  serverSide({ address }: { readonly address: string }): EndpointClient | undefined {
    return [...this.endpoint.clients()].findLast((client) => client.address === address);
  }

  /** Runs something so many milliseconds from now. */
  after(ms: number, run: () => void): void {
    this.#actions.push({ at: this.now + ms, run });
    this.#actions.sort((x, y) => x.at - y.at);
  }

  /** Has a datagram arrive at the server now, from any address. */
  inject(bytes: Uint8Array, address: string): void {
    this.#deliver(bytes, address);
    this.settle();
  }

  // Time

  /** Drains everybody until nobody has anything more to send or to tell at this moment. */
  settle(): void {
    let moves = 0;
    let before: number;
    do {
      before = moves;
      moves += this.#drainServer();
      for (const { party, toServer } of this.#places.values()) {
        if (party.isGone) continue;
        moves += party.drainEvents(this.now);
        for (let bytes; (bytes = party.pollTransmit(this.now)) !== undefined; moves++) {
          this.onDatagram("client", bytes, party.address);
          if (party instanceof TestClient) this.#checkSent(party.stack);
          toServer.send(bytes, this.now);
        }
      }
      if (moves > MOVES_OF_A_MOMENT_MAX) throw new Error("a moment of the simulation does not end");
    } while (moves !== before);
    this.#checkTransports();
  }

  /** What must hold of every open transport holds. */
  #checkTransports(): void {
    const stacks = [
      ...this.clients.map(({ stack }) => stack),
      ...[...this.endpoint.clients()].map(({ stack }) => stack),
    ];
    for (const stack of stacks) this.#invariantsOf(stack)?.check();
  }

  #invariantsOf({ transport, session }: Stack): TransportInvariants | undefined {
    // One that was closed has forgotten what was in flight.
    if (transport === undefined || session?.isClosed !== false) return undefined;
    let invariants = this.#invariants.get(transport);
    if (invariants === undefined) {
      invariants = new TransportInvariants(transport, DEFAULT_TRANSPORT_LIMITS);
      this.#invariants.set(transport, invariants);
    }
    return invariants;
  }

  /** A datagram has left: was it allowed to? */
  #checkSent(stack: Stack | undefined): void {
    if (stack !== undefined) this.#invariantsOf(stack)?.checkEach();
  }

  #drainServer(): number {
    let moves = 0;
    for (let event; (event = this.endpoint.pollEvent()) !== undefined; moves++) {
      this.events.push(event);
      if (event.event.kind !== "authenticate") this.engine.handle(event);
      else this.#authenticate(event.client, event.event.credential);
    }
    for (let out; (out = this.endpoint.pollTransmit(this.now)) !== undefined; moves++) {
      const { bytes, address } = out;
      const stranger = this.unvalidated.get(address);
      if (stranger !== undefined) stranger.sentBytes += bytes.length;
      this.onDatagram("server", bytes, address);
      if (this.endpoint.clientCount <= WATCHED_MAX) {
        this.#checkSent(this.serverSide({ address })?.stack);
      }
      this.#places.get(address)?.toClient.send(bytes, this.now);
    }
    return moves;
  }

  #deliver(bytes: Uint8Array, address: string): void {
    const isKnown = this.serverSide({ address }) !== undefined;
    if (isKnown) this.unvalidated.delete(address);
    else {
      const stranger = this.unvalidated.get(address) ?? { receivedBytes: 0, sentBytes: 0 };
      stranger.receivedBytes += bytes.length;
      this.unvalidated.set(address, stranger);
    }
    this.endpoint.handleDatagram(bytes, address, this.now);
    const stranger = this.unvalidated.get(address);
    if (stranger === undefined) return;
    // What this datagram draws is for its sender still, unless it proved the address.
    if (this.serverSide({ address }) !== undefined) this.unvalidated.delete(address);
    else this.settle();
    if (stranger.sentBytes > 3 * stranger.receivedBytes) {
      throw new Error(`${stranger.sentBytes} bytes for ${stranger.receivedBytes} of a stranger`);
    }
  }

  #authenticate(client: EndpointClient, asked: Credential | null): void {
    const { endpoint } = this;
    const leaf = client.stack.association.peerChain[0];
    if (asked?.type === "certificate" && leaf !== undefined) {
      const name = certificatePrincipal(parseCertificate(leaf));
      return endpoint.admit(client, principal(name), this.now);
    }
    if (asked?.type !== "token") {
      const kind = asked?.type === "unknown" ? "credential_kind_refused" : "no_credential";
      return endpoint.refuse(client, new SqpError(kind), this.now);
    }
    const [verdict, name, lifeMs] = asked.token.split(":");
    const expiry = lifeMs === undefined ? {} : { expiresAt: this.now + Number(lifeMs) };
    this.after(this.#options.tokenCheckMs ?? 20, () => {
      if (verdict === "good") endpoint.admit(client, { ...principal(name!), ...expiry }, this.now);
      else endpoint.refuse(client, new SqpError(name as ErrorName), this.now);
    });
  }

  /** When something happens next; `NEVER` for not at all. */
  nextAt(): Milliseconds {
    let next = Math.min(this.endpoint.pollTimeout(), this.#actions[0]?.at ?? NEVER);
    for (const { party, toServer, toClient } of this.#places.values()) {
      next = Math.min(next, toServer.nextAt(), toClient.nextAt());
      if (!party.isGone) next = Math.min(next, party.pollTimeout());
    }
    return next;
  }

  #step(): void {
    this.now = Math.max(this.now, this.nextAt());
    for (const [address, { party, toServer, toClient }] of this.#places) {
      for (let bytes; (bytes = toServer.receive(this.now)) !== undefined;) {
        this.#deliver(bytes, address);
      }
      for (let bytes; (bytes = toClient.receive(this.now)) !== undefined;) {
        if (!party.isGone) party.handleDatagram(bytes, this.now);
      }
      if (!party.isGone && party.pollTimeout() <= this.now) party.handleTimeout(this.now);
    }
    if (this.endpoint.pollTimeout() <= this.now) this.endpoint.handleTimeout(this.now);
    while ((this.#actions[0]?.at ?? NEVER) <= this.now) this.#actions.shift()!.run();
    this.settle();
  }

  /** Steps until `done` holds or nothing is left to happen. Returns whether it holds. */
  runUntil(done: () => boolean, durationMs = 3_600_000): boolean {
    const end = this.now + durationMs;
    this.settle();
    let idleSteps = 0;
    for (let steps = 0; !done(); steps++) {
      const next = this.nextAt();
      if (next === NEVER) return false;
      if (next > end || steps > STEPS_MAX) {
        throw new Error(`no end after ${this.now - EPOCH_MS} ms`);
      }
      idleSteps = next > this.now ? 0 : idleSteps + 1;
      if (idleSteps > IDLE_STEPS_MAX) throw new Error(`a busy loop at ${this.now - EPOCH_MS} ms`);
      this.#step();
    }
    return true;
  }

  /** Steps until nothing is left to happen: no datagram under way, no timer, no action. */
  runUntilIdle(durationMs?: number): void {
    this.runUntil(() => false, durationMs);
  }

  /** Lets time pass. */
  advance(ms: number): void {
    const end = this.now + ms;
    this.runUntil(() => this.nextAt() > end, ms + 1);
    this.now = end;
  }

  /** Runs until every client was let in or refused. */
  connect(): this {
    this.runUntil(() => this.clients.every((one) => one.isReady || one.ended !== undefined));
    return this;
  }

  /** Runs until every request has ended. */
  answerAll(durationMs?: number): void {
    this.runUntil(
      () => this.clients.every((one) => one.asked.every((asked) => asked.isOver)),
      durationMs,
    );
  }

  /** Closes all clients in order, waits until everything has gone quiet, and checks that nothing is left. */
  finish(durationMs?: number): void {
    for (const client of this.clients) if (!client.isGone) client.close(this.now);
    this.runUntilIdle(durationMs);
    this.checkReleased();
  }

  /** Nobody holds anything, and no timer is left. */
  checkReleased(): void {
    const left = {
      endpointClients: this.endpoint.clientCount,
      endpointTimer: this.endpoint.pollTimeout(),
      running: this.engine.runningCount,
      clientBuffers: this.clients.map(({ isGone, stack }) =>
        isGone ? 0 : stack.transport?.bufferedBytes ?? 0
      ),
      clientTimers: this.clients.map((one) => one.isGone ? NEVER : one.pollTimeout()),
      open: this.clients.map((one) => one.isGone || one.stack.isClosed),
    };
    assertEquals(left, {
      endpointClients: 0,
      endpointTimer: NEVER,
      running: 0,
      clientBuffers: left.clientBuffers.map(() => 0),
      clientTimers: left.clientTimers.map(() => NEVER),
      open: left.open.map(() => true),
    });
  }

  /** Ends everything at once, so that no key is left when a test is over. */
  close(now: Milliseconds): void {
    this.endpoint.destroy(now);
    for (const party of this.#parties) party.destroy(now);
  }
}

/** Somebody who may read and write. */
export function principal(name: string): Principal {
  return { name, permissions: ["read", "write"] };
}
