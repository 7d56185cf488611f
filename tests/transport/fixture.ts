// Two transports over a simulated link, and what a session would do with their events.

import { DEFAULT_TRANSPORT_LIMITS, type TransportLimits } from "../../src/transport/limits.ts";
import type { TransportEvent } from "../../src/transport/events.ts";
import { Transport } from "../../src/transport/transport.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { delay, Link, type LinkNode } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { Simulation } from "../harness/simulation.ts";

/** Size of packets in tests, as a path of 1,200 bytes leaves it. */
export const PACKET_BYTES = 1_160;

/** The session_id of tests. */
export const SESSION_ID = 0x0102_0304_0506_0708n;

/** One end: a transport and what it told. */
export class End {
  readonly transport: Transport;
  readonly events: TransportEvent[] = [];
  /** Called for each event besides recording it. */
  onEvent: (event: TransportEvent) => void = () => {};

  constructor(role: "client" | "server", limits: Partial<TransportLimits> = {}) {
    this.transport = new Transport(
      { role, limits: { ...DEFAULT_TRANSPORT_LIMITS, ...limits }, maxPacketBytes: PACKET_BYTES },
      EPOCH_MS,
    );
  }

  /** Takes the events of a kind that were told so far. */
  take<Kind extends TransportEvent["kind"]>(
    kind: Kind,
  ): Extract<TransportEvent, { kind: Kind }>[] {
    const taken = this.events.filter((event) => event.kind === kind);
    for (const event of taken) this.events.splice(this.events.indexOf(event), 1);
    return taken as Extract<TransportEvent, { kind: Kind }>[];
  }
}

/** What a pair is made with. */
export interface PairOptions {
  readonly seed?: number;
  readonly nodes?: () => LinkNode[];
  readonly clientLimits?: Partial<TransportLimits>;
  readonly serverLimits?: Partial<TransportLimits>;
  /** Leaves out `setSession`. */
  readonly beforeHandshake?: boolean;
}

/** A client and a server, joined by two links; after the SQP handshake unless told otherwise. */
export class Pair {
  readonly client: End;
  readonly server: End;
  readonly toServer: Link;
  readonly toClient: Link;
  readonly simulation: Simulation<TransportEvent>;
  readonly random: Random;

  constructor(options: PairOptions = {}) {
    this.random = new Random(options.seed ?? 1);
    const nodes = options.nodes ?? (() => [delay(10)]);
    this.toServer = new Link(this.random.fork(), nodes());
    this.toClient = new Link(this.random.fork(), nodes());
    const clientLimits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.clientLimits };
    const serverLimits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.serverLimits };
    this.client = new End("client", clientLimits);
    this.server = new End("server", serverLimits);
    if (!options.beforeHandshake) {
      this.server.transport.setSession(SESSION_ID, clientLimits);
      this.client.transport.setSession(SESSION_ID, serverLimits);
    }
    const party = (end: End) => ({
      core: end.transport,
      onEvent: (event: TransportEvent) => {
        end.events.push(event);
        end.onEvent(event);
      },
    });
    this.simulation = new Simulation<TransportEvent>(party(this.client), party(this.server), {
      aToB: this.toServer,
      bToA: this.toClient,
    });
  }
}
