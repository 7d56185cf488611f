// All associations of one server's socket: a core that the driver of the socket runs.

import type { AddressedCore, AddressedDatagram, Milliseconds } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { DeadlineHeap } from "../base/deadline_heap.ts";
import { Queue } from "../base/queue.ts";
import { DtlsEndpoint, type EndpointAssociation, type EndpointLimits } from "../dtls/endpoint.ts";
import { type AssociationError, errorReason } from "../dtls/errors.ts";
import type { DtlsServerOptions } from "../dtls/options.ts";
import { parseAddress, type UdpAddress } from "../net/socket.ts";
import { type ConnectedAssociation, RunningAssociation } from "./association.ts";
import { AsyncQueue } from "./async_queue.ts";
import type { RuntimeLimits } from "./limits.ts";

/** What an endpoint's core is made of. */
export interface EndpointCoreOptions {
  readonly dtls: DtlsServerOptions;
  readonly endpointLimits: Partial<EndpointLimits>;
  readonly limits: RuntimeLimits;
  readonly onEarlyData?: ((message: Uint8Array, from: UdpAddress) => void) | undefined;
  readonly onHandshakeFailed?:
    | ((error: AssociationError, from: UdpAddress) => void)
    | undefined;
  /** Has the driver's turn come soon. */
  readonly wake: () => void;
}

/** Runs the associations of one socket. */
export class EndpointCore implements AddressedCore {
  /** Connected associations that wait to be taken. */
  readonly waiting: AsyncQueue<ConnectedAssociation>;
  /** Handshakes that came to nothing, by reason. */
  readonly handshakeFailures: Counters<string> = new Counters();
  readonly #options: EndpointCoreOptions;
  readonly #dtls: DtlsEndpoint;
  readonly #running = new Map<EndpointAssociation, RunningAssociation>();
  readonly #deadlines = new DeadlineHeap<EndpointAssociation>();
  /** Those that may have something to send, each once. */
  readonly #ready = new Queue<EndpointAssociation>();
  readonly #isReady = new Set<EndpointAssociation>();
  /** What was dropped of associations that are gone, and by the endpoint for want of room. */
  readonly #pastDrops: Counters<string> = new Counters();

  constructor(options: EndpointCoreOptions, now: Milliseconds) {
    this.#options = options;
    this.#dtls = new DtlsEndpoint(options.dtls, now, options.endpointLimits);
    this.waiting = new AsyncQueue({ itemsMax: options.limits.waitingAssociationsMax });
  }

  /** How many associations there are, those in a handshake and those that have just ended included. */
  get associationCount(): number {
    return this.#running.size;
  }

  /** Whether every association has said its last. */
  get isSilent(): boolean {
    for (const association of this.#running.values()) if (!association.isSilent) return false;
    return this.#ready.length === 0;
  }

  /** What was dropped before any association saw it, by reason. */
  endpointDrops(): Record<string, number> {
    return this.#dtls.drops.snapshot();
  }

  /** What was dropped of all associations, by reason, those that are gone included. */
  associationDrops(): Record<string, number> {
    const sum: Counters<string> = new Counters();
    addCounts(sum, this.#pastDrops.snapshot());
    for (const association of this.#running.values()) addCounts(sum, association.drops);
    return sum.snapshot();
  }

  handleDatagram(bytes: Uint8Array, address: string, now: Milliseconds): void {
    const entry = this.#dtls.handleDatagram(bytes, address, now);
    if (entry === undefined) return;
    const association = this.#running.get(entry) ?? this.#add(entry, now);
    association.settle(now);
    this.#removeReplaced(now);
    this.#touch(entry);
  }

  #add(entry: EndpointAssociation, now: Milliseconds): RunningAssociation {
    const association = new RunningAssociation(entry.association, this.#options.limits, {
      onWork: () => {
        this.#touch(entry);
        this.#options.wake();
      },
      onConnected: () => {
        this.#dtls.settle(entry);
        if (this.waiting.push(association)) return;
        this.#pastDrops.add("waiting-associations-full");
        association.close();
      },
      // Sessions are the clients' to keep.
      onSession: () => {},
      onEarlyData: (message) => this.#options.onEarlyData?.(message, parseAddress(entry.address)),
      onEarlyDataLost: () => {},
      onHandshakeFailed: (error) => {
        this.handshakeFailures.add(errorReason(error));
        this.#options.onHandshakeFailed?.(error, parseAddress(entry.address));
      },
      onSilent: () => Promise.resolve(),
      address: () => parseAddress(entry.address),
    }, now);
    this.#running.set(entry, association);
    return association;
  }

  /** Lets go of the associations that others took the place of, without a word to their peers. */
  #removeReplaced(now: Milliseconds): void {
    for (let entry; (entry = this.#dtls.pollReplaced()) !== undefined;) {
      this.#running.get(entry)?.settle(now);
      this.#remove(entry);
    }
  }

  #touch(entry: EndpointAssociation): void {
    if (!this.#running.has(entry) || this.#isReady.has(entry)) return;
    this.#isReady.add(entry);
    this.#ready.push(entry);
  }

  handleTimeout(now: Milliseconds): void {
    for (let entry; (entry = this.#deadlines.takeDue(now)) !== undefined;) {
      this.#running.get(entry)?.handleTimeout(now);
      this.#touch(entry);
    }
  }

  pollTransmit(now: Milliseconds): AddressedDatagram | undefined {
    const answer = this.#dtls.pollTransmit();
    if (answer !== undefined) return answer;
    for (let entry; (entry = this.#ready.peek()) !== undefined;) {
      const association = this.#running.get(entry);
      const elsewhere = association && entry.association.pollTransmitElsewhere(now);
      if (elsewhere !== undefined) return elsewhere;
      const bytes = association?.pollTransmit(now);
      if (bytes !== undefined) return { bytes, address: entry.address };
      this.#ready.shift();
      this.#isReady.delete(entry);
      if (association !== undefined) this.#onSent(entry, association, now);
    }
    return undefined;
  }

  /** All that an association had to send was sent: its deadline stands, or it is over. */
  #onSent(entry: EndpointAssociation, association: RunningAssociation, now: Milliseconds): void {
    // Sending may have worn out the key, and so ended the association.
    association.settle(now);
    if (association.isGone) this.#remove(entry);
    else this.#deadlines.set(entry, association.pollTimeout());
  }

  pollTimeout(): Milliseconds {
    return this.#deadlines.next();
  }

  #remove(entry: EndpointAssociation): void {
    this.#dtls.remove(entry);
    const association = this.#running.get(entry);
    if (association === undefined) return;
    addCounts(this.#pastDrops, association.drops);
    this.#running.delete(entry);
    this.#deadlines.clear(entry);
  }

  /** Closes every association, in order. */
  close(): void {
    this.waiting.end();
    this.waiting.takeAll();
    for (const association of this.#running.values()) association.close();
  }

  /** Forgets everything. Keys are zeroed; nobody is told. */
  destroy(now: Milliseconds): void {
    for (const [entry, association] of [...this.#running]) {
      association.abandon(now);
      this.#remove(entry);
    }
    this.#dtls.destroy();
  }
}

function addCounts(sum: Counters<string>, part: Readonly<Record<string, number>>): void {
  for (const [name, added] of Object.entries(part)) sum.add(name, added);
}
