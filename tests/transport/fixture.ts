// Two transports over a simulated link, and what a session would do with their events.

import { assertEquals } from "@std/assert";
import type { Core } from "../../src/base/core.ts";
import type { TransportFaultCode } from "../../src/transport/fault.ts";
import {
  DEFAULT_TRANSPORT_LIMITS,
  type PeerLimits,
  type TransportLimits,
} from "../../src/transport/limits.ts";
import type { TransportEvent } from "../../src/transport/events.ts";
import { Transport } from "../../src/transport/transport.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { delay, Link, type LinkNode } from "../harness/link.ts";
import { Script } from "../harness/script.ts";
import { Random } from "../harness/random.ts";
import { Simulation } from "../harness/simulation.ts";
import { TransportInvariants } from "../harness/transport_invariants.ts";

/** Size of packets in tests, as a path of 1,200 bytes leaves it. */
export const PACKET_BYTES = 1_160;

/** The session_id of tests. */
export const SESSION_ID = 0x0102_0304_0506_0708n;

/** One end: a transport and what it told. */
export class End {
  readonly transport: Transport;
  readonly limits: TransportLimits;
  readonly events: TransportEvent[] = [];
  /** Called for each event besides recording it. */
  onEvent: (event: TransportEvent) => void = () => {};

  constructor(
    role: "client" | "server",
    limits: Partial<TransportLimits> = {},
    maxPacketBytesProbed: number = PACKET_BYTES,
  ) {
    this.limits = { ...DEFAULT_TRANSPORT_LIMITS, ...limits };
    const sizes = { maxPacketBytes: PACKET_BYTES, maxPacketBytesProbed };
    this.transport = new Transport({ role, limits: this.limits, ...sizes }, EPOCH_MS);
  }
}

/** What a pair is made with. */
export interface PairOptions {
  readonly seed?: number;
  readonly nodes?: () => LinkNode[];
  readonly clientLimits?: Partial<TransportLimits>;
  readonly serverLimits?: Partial<TransportLimits>;
  /** What the path is probed for; nothing, unless it is told. */
  readonly maxPacketBytesProbed?: number;
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
    this.client = new End("client", clientLimits, options.maxPacketBytesProbed);
    this.server = new End("server", serverLimits, options.maxPacketBytesProbed);
    if (!options.beforeHandshake) {
      this.server.transport.setSession(SESSION_ID, clientLimits);
      this.client.transport.setSession(SESSION_ID, serverLimits);
    }
    const party = (end: End) => ({
      core: watched(end),
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

/** One transport after the handshake, and a scripted peer. */
export function scripted(
  role: "client" | "server",
  limits: Partial<TransportLimits> = {},
  peerLimits: Partial<PeerLimits> = {},
): { end: End; transport: Transport; script: Script } {
  const end = new End(role, limits);
  end.transport.setSession(SESSION_ID, { ...DEFAULT_TRANSPORT_LIMITS, ...peerLimits });
  return { end, transport: end.transport, script: new Script(end.transport, SESSION_ID) };
}

/** Takes all events of a transport. */
export function takeEvents(transport: Transport): TransportEvent[] {
  const events: TransportEvent[] = [];
  for (let event; (event = transport.pollEvent()) !== undefined;) events.push(event);
  return events;
}

/** The kinds of the events that a transport has. */
export function takeKinds(transport: Transport): string[] {
  return takeEvents(transport).map((event) => event.kind);
}

/** Requires that the transport's only event is this fault. */
export function wantFault(transport: Transport, code: TransportFaultCode): void {
  const faults = takeEvents(transport).filter((event) => event.kind === "fault");
  assertEquals(faults.map((event) => event.error.code), [code]);
}

/** A transport as a core whose invariants are checked at each datagram that it takes or gives, and each timeout. */
function watched({ transport, limits }: End): Core<TransportEvent> {
  const invariants = new TransportInvariants(transport, limits);
  return {
    handleDatagram(bytes, now) {
      transport.handleDatagram(bytes, now);
      invariants.checkEach();
    },
    handleTimeout(now) {
      transport.handleTimeout(now);
      invariants.checkEach();
    },
    pollTransmit(now) {
      const packet = transport.pollTransmit(now);
      if (packet !== undefined) invariants.checkEach();
      // It is under way while the next one is written.
      return packet?.slice();
    },
    pollTimeout: () => transport.pollTimeout(),
    pollEvent: () => transport.pollEvent(),
  };
}
