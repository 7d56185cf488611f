// A server's endpoint: one socket's datagrams, and the sessions of all its clients between them. Pure, like the cores.

import { hostOfAddress } from "../base/address.ts";
import type { AddressedCore, AddressedDatagram, Milliseconds } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { DeadlineHeap } from "../base/deadline_heap.ts";
import { Queue } from "../base/queue.ts";
import { DtlsEndpoint, type EndpointAssociation, type EndpointLimits } from "../dtls/endpoint.ts";
import type { DtlsServerOptions } from "../dtls/options.ts";
import type { Principal } from "../session/permissions.ts";
import { type AssociationError, errorReason } from "../dtls/errors.ts";
import type { ServerSession } from "../session/server_session.ts";
import type { ServerSessionEvent } from "../session/server_session_event.ts";
import type { ServerSessionOptions } from "../session/session_options.ts";
import { ServerStack } from "../session/stack.ts";
import { SqpError } from "../wire/errors.ts";
import { SERVER_LIMITS, type ServerLimits } from "./limits.ts";

/** What an endpoint is made of. */
export interface ServerEndpointOptions {
  readonly dtls: DtlsServerOptions;
  readonly session: ServerSessionOptions;
  readonly limits?: Partial<ServerLimits>;
  readonly dtlsLimits?: Partial<EndpointLimits>;
  /** Told of each handshake of the security layer that comes to nothing, with the reason under which it is counted. */
  readonly onHandshakeFailed?: (address: string, reason: string, error: AssociationError) => void;
}

/** One client: its association, and its session once there is one. */
export interface EndpointClient {
  /** Where it is: it may change its address. */
  readonly address: string;
  readonly stack: ServerStack;
}

/** Something that a client's session tells. */
export interface EndpointEvent {
  readonly client: EndpointClient;
  readonly event: ServerSessionEvent;
}

interface Client extends EndpointClient {
  readonly entry: EndpointAssociation;
  /** Whether it stands in the queue of those with something to send. */
  isReady: boolean;
  /** Whether its association was seen connected. */
  isConnected: boolean;
  /** Whether it was told that its handshake came to nothing. */
  isFailureTold: boolean;
  /** The host that its session counts against the limit of, whatever becomes of its address. */
  countedHost: string | undefined;
}

/** Runs the associations and sessions of all clients of one socket. */
export class ServerEndpoint implements AddressedCore {
  /** Counts of what happened to clients. */
  readonly counters: Counters<"connected" | "admitted" | "refused" | "ended" | "replaced"> =
    new Counters();
  /** Handshakes of the security layer that came to nothing: by a fault's reason, or by `alert-` and the alert. */
  readonly handshakeFailures: Counters<string> = new Counters();
  /** What was dropped in layers of clients that are gone. */
  readonly #pastDrops = noDrops();
  readonly #options: ServerEndpointOptions;
  readonly #limits: ServerLimits;
  readonly #dtls: DtlsEndpoint;
  readonly #clients = new Map<EndpointAssociation, Client>();
  readonly #deadlines = new DeadlineHeap<Client>();
  /** Clients that may have something to send. */
  readonly #ready = new Queue<Client>();
  readonly #events = new Queue<EndpointEvent>();
  #sessionCount = 0;
  readonly #perHost = new Map<string, number>();
  readonly #perPrincipal = new Map<string, number>();
  #drain: { readonly untilMs: number; readonly url: string | undefined } | undefined;

  constructor(options: ServerEndpointOptions, now: Milliseconds) {
    this.#options = options;
    this.#limits = { ...SERVER_LIMITS, ...options.limits };
    this.#dtls = new DtlsEndpoint(options.dtls, now, options.dtlsLimits);
  }

  /** What was dropped before any association saw it, by reason. */
  get dtlsDrops(): Readonly<Record<string, number>> {
    return this.#dtls.drops.snapshot();
  }

  /** What each layer of all clients has dropped, by reason, those that are gone included. */
  drops(): Readonly<Record<Layer, Readonly<Record<string, number>>>> {
    const sum = noDrops();
    for (const layer of LAYERS) addCounts(sum[layer], this.#pastDrops[layer]);
    for (const client of this.#clients.values()) addDrops(sum, client);
    return {
      association: sum.association.snapshot(),
      gate: sum.gate.snapshot(),
      transport: sum.transport.snapshot(),
    };
  }

  /** How many associations there are, those in a handshake and those that linger included. */
  get clientCount(): number {
    return this.#clients.size;
  }

  /** All clients, to look at. */
  clients(): Iterable<EndpointClient> {
    return this.#clients.values();
  }

  handleDatagram(bytes: Uint8Array, address: string, now: Milliseconds): void {
    const entry = this.#dtls.handleDatagram(bytes, address, now);
    if (entry === undefined) return;
    let client = this.#clients.get(entry);
    if (client === undefined) {
      const stack = new ServerStack(entry.association, this.#options.session, now);
      client = {
        get address() {
          return entry.address;
        },
        stack,
        entry,
        isReady: false,
        isConnected: false,
        isFailureTold: false,
        countedHost: undefined,
      };
      this.#clients.set(entry, client);
      this.#removeReplaced(now);
    }
    client.stack.onAssociation(now);
    this.#touch(client, now);
  }

  handleTimeout(now: Milliseconds): void {
    for (let client; (client = this.#deadlines.takeDue(now)) !== undefined;) {
      client.stack.handleTimeout(now);
      this.#touch(client, now);
    }
  }

  pollTransmit(now: Milliseconds): AddressedDatagram | undefined {
    const answer = this.#dtls.pollTransmit();
    if (answer !== undefined) return answer;
    for (let client; (client = this.#ready.peek()) !== undefined;) {
      const isThere = this.#clients.has(client.entry);
      const { association } = client.stack;
      const elsewhere = isThere ? association.pollTransmitElsewhere(now) : undefined;
      if (elsewhere !== undefined) return elsewhere;
      const bytes = isThere ? client.stack.pollTransmit(now) : undefined;
      this.#ready.shift();
      if (bytes !== undefined) {
        // In turn: nobody waits for all that another one has to say.
        this.#ready.push(client);
        return { bytes, address: client.address };
      }
      client.isReady = false;
      if (isThere) this.#settle(client);
    }
    return undefined;
  }

  pollTimeout(): Milliseconds {
    return this.#deadlines.next();
  }

  /** The next event of any client. */
  pollEvent(): EndpointEvent | undefined {
    return this.#events.shift();
  }

  /**
   * Uses a client's session: answers, admits, refuses. Harmless where the client is gone. What the session says to
   * that is there to be polled afterwards.
   */
  use(client: EndpointClient, now: Milliseconds, action: (session: ServerSession) => void): void {
    const { session } = client.stack;
    const own = this.#clients.get((client as Client).entry);
    if (session === undefined || own !== client) return;
    action(session);
    client.stack.settle(now);
    this.#touch(own, now);
  }

  /** Lets a client in, unless that would break a limit: then it is refused with the error that says which. */
  admit(client: EndpointClient, principal: Principal, now: Milliseconds): void {
    this.use(client, now, (session) => {
      const refusal = this.#refusalOf(client, principal);
      if (refusal !== undefined) return session.refuse(refusal, now);
      session.admit(principal, now);
      const own = client as Client;
      if (session.principal === principal && own.countedHost === undefined) {
        own.countedHost = hostOfAddress(client.address);
        this.counters.add("admitted");
        this.#sessionCount++;
        count(this.#perHost, own.countedHost, 1);
        count(this.#perPrincipal, principal.name, 1);
      }
    });
  }

  #refusalOf(client: EndpointClient, principal: Principal): SqpError | undefined {
    if (this.#drain !== undefined) return new SqpError("draining");
    const { sessionsMax, sessionsPerHostMax, sessionsPerPrincipalMax } = this.#limits;
    const full = this.#sessionCount >= sessionsMax
      ? "the server"
      : (this.#perHost.get(hostOfAddress(client.address)) ?? 0) >= sessionsPerHostMax
      ? "this address"
      : (this.#perPrincipal.get(principal.name) ?? 0) >= sessionsPerPrincipalMax
      ? "this principal"
      : undefined;
    return full === undefined ? undefined : new SqpError("too_many_sessions", {
      message: `Too many sessions are open for ${full}.`,
    });
  }

  /** Refuses a client. */
  refuse(client: EndpointClient, error: SqpError, now: Milliseconds): void {
    this.counters.add("refused");
    this.use(client, now, (session) => session.refuse(error, now));
  }

  /** Takes no new requests or clients; open requests may take `drainMs`. */
  drain(drainMs: number, now: Milliseconds, url?: string): void {
    this.#drain = { untilMs: now + drainMs, url };
    for (const client of [...this.#clients.values()]) {
      this.use(client, now, (session) => session.drain(drainMs, now, url));
    }
  }

  /** Whether a drain has come to its end: every session was told and is over. */
  get isDrained(): boolean {
    if (this.#drain === undefined) return false;
    for (const { stack } of this.#clients.values()) {
      if (stack.association.state === "connected") return false;
    }
    return true;
  }

  /** Carries a client's events up and its deadline into the table. */
  #touch(client: Client, now: Milliseconds): void {
    if (client.stack.isConnected && !client.isConnected) {
      client.isConnected = true;
      this.counters.add("connected");
      this.#dtls.settle(client.entry);
      this.#removeReplaced(now);
    }
    this.#takeEvents(client);
    if (!client.isReady) {
      client.isReady = true;
      this.#ready.push(client);
    }
  }

  #takeEvents(client: Client): void {
    const { handshakeError } = client.stack;
    if (handshakeError !== undefined && !client.isFailureTold) {
      client.isFailureTold = true;
      const reason = errorReason(handshakeError);
      this.handshakeFailures.add(reason);
      this.#options.onHandshakeFailed?.(client.address, reason, handshakeError);
    }
    for (let event; (event = client.stack.pollEvent()) !== undefined;) {
      if (event.kind === "ended") this.#uncount(client);
      this.#events.push({ client, event });
    }
  }

  /** Lets go of the associations that others took the place of, without a word to their peers. */
  #removeReplaced(now: Milliseconds): void {
    for (let entry; (entry = this.#dtls.pollReplaced()) !== undefined;) {
      const client = this.#clients.get(entry);
      if (client === undefined) continue;
      this.counters.add("replaced");
      this.#abandon(client, new SqpError("connection_lost"), now);
    }
  }

  #abandon(client: Client, error: SqpError, now: Milliseconds): void {
    client.stack.abandon(error, now);
    this.#takeEvents(client);
    this.#remove(client);
  }

  /** All that a client had to send was sent: its deadline stands, or it is over. */
  #settle(client: Client): void {
    // Sending may have worn out the key, and so ended the session.
    this.#takeEvents(client);
    if (client.stack.isClosed) this.#remove(client);
    else this.#deadlines.set(client, client.stack.pollTimeout());
  }

  #uncount(client: Client): void {
    this.counters.add("ended");
    if (client.countedHost === undefined) return;
    count(this.#perHost, client.countedHost, -1);
    client.countedHost = undefined;
    this.#sessionCount--;
    const name = client.stack.session?.principal?.name;
    if (name !== undefined) count(this.#perPrincipal, name, -1);
  }

  #remove(client: Client): void {
    this.#dtls.remove(client.entry);
    if (this.#clients.delete(client.entry)) addDrops(this.#pastDrops, client);
    this.#deadlines.clear(client);
  }

  /** Forgets everything. Keys are zeroed; nobody is told. */
  destroy(now: Milliseconds): void {
    for (const client of [...this.#clients.values()]) {
      this.#abandon(client, new SqpError("shutting_down"), now);
    }
    this.#dtls.destroy();
  }
}

/** Layers of one client, each with its own count of drops. */
const LAYERS = ["association", "gate", "transport"] as const;
type Layer = typeof LAYERS[number];

/** Counts of what was dropped, by layer. */
type ClientDrops = Readonly<Record<Layer, Counters<string>>>;

function noDrops(): ClientDrops {
  return { association: new Counters(), gate: new Counters(), transport: new Counters() };
}

function addDrops(sum: ClientDrops, { stack }: EndpointClient): void {
  addCounts(sum.association, stack.association.drops);
  if (stack.gate !== undefined) addCounts(sum.gate, stack.gate.drops);
  if (stack.transport !== undefined) addCounts(sum.transport, stack.transport.drops);
}

function addCounts(sum: Counters<string>, part: { snapshot(): Record<string, number> }): void {
  for (const [name, added] of Object.entries(part.snapshot())) sum.add(name, added);
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const next = (counts.get(key) ?? 0) + change;
  if (next > 0) counts.set(key, next);
  else counts.delete(key);
}
