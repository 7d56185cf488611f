// A server's demultiplexer: which association a datagram belongs to, and nothing kept for strangers (RFC 9147
// sections 5.1, 5.11 and 9).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { equalBytes } from "../base/bytes.ts";
import type { AddressedDatagram, Milliseconds } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import { DtlsAssociation } from "./association.ts";
import { AlertLevel, ContentType, HandshakeType } from "./code_points.ts";
import type { ConnectionIdSource } from "./connection_ids.ts";
import { CookieExchange } from "./cookie_exchange.ts";
import { alertFor, DtlsFault } from "./errors.ts";
import {
  encodeHandshakeMessage,
  type HandshakeFragment,
  readHandshakeFragment,
} from "./handshake_fragment.ts";
import { decodeClientHello } from "./hello_messages.ts";
import { HelloReassembly, type ReassembledHello } from "./hello_reassembly.ts";
import { AMPLIFICATION_MAX } from "./limits.ts";
import type { DtlsServerOptions } from "./options.ts";
import type { AcceptedHello } from "./server_hello.ts";
import {
  datagramConnectionId,
  isUnifiedHeader,
  PLAINTEXT_HEADER_BYTES,
  readRecord,
  UnifiedHeader,
  writePlaintextRecord,
} from "./record.ts";

/** Bytes of the connection IDs that an endpoint gives out: a fixed length, so that they are found in any datagram. */
export const ENDPOINT_CONNECTION_ID_BYTES = 8;

/** Limits of an endpoint. */
export interface EndpointLimits {
  /** Associations whose handshake is not complete. */
  readonly halfOpenMax: number;
  /** Associations in total. */
  readonly associationsMax: number;
  /** Stateless answers that wait to be sent. */
  readonly answersMax: number;
}

/** The defaults. */
export const ENDPOINT_LIMITS: EndpointLimits = {
  halfOpenMax: 1_024,
  associationsMax: 65_536,
  answersMax: 1_024,
};

/** Why an endpoint dropped a datagram before any association saw it. */
export type EndpointDropReason =
  | "empty"
  | "unknown-connection-id"
  | "unknown-address"
  | "not-a-client-hello"
  | "malformed-client-hello"
  | "used-cookie"
  | "amplification"
  | "answers-full"
  | "half-open-limit"
  | "association-limit";

/** An association and the address of its peer. */
export interface EndpointAssociation {
  /** The association. */
  readonly association: DtlsAssociation;
  /** Where its datagrams go: where its handshake began, and another place once the peer was shown to be there. */
  readonly address: string;
  /** The random value of a ClientHello that was accepted without a cookie. */
  readonly clientRandom?: Uint8Array;
}

interface Entry extends EndpointAssociation {
  address: string;
}

/** The associations of one address: at most one that works and one that is to take its place. */
interface AddressSlot {
  current: Entry | undefined;
  pending: Entry | undefined;
}

/**
 * Finds or makes the association of each datagram. Addresses are opaque texts. The owner runs the associations
 * that it is given, calls {@linkcode DtlsEndpoint.settle} and {@linkcode DtlsEndpoint.remove} as they change, and
 * drains {@linkcode DtlsEndpoint.pollReplaced}.
 */
export class DtlsEndpoint {
  /** What was dropped before any association saw it, by reason. */
  readonly drops: Counters<EndpointDropReason> = new Counters();
  readonly #options: DtlsServerOptions;
  readonly #limits: EndpointLimits;
  readonly #cookies: CookieExchange;
  readonly #hellos = new HelloReassembly();
  readonly #byAddress = new Map<string, AddressSlot>();
  readonly #byConnectionId = new Map<number, Entry>();
  readonly #entries = new Set<EndpointAssociation>();
  readonly #halfOpen = new Set<EndpointAssociation>();
  readonly #answers = new Queue<AddressedDatagram>();
  /** At most one for each datagram that is handled. */
  readonly #replaced = new Queue<EndpointAssociation>();

  /** An endpoint whose associations have `options`, apart from the connection ID, which is each one's own. */
  constructor(
    options: DtlsServerOptions,
    now: Milliseconds,
    limits: Partial<EndpointLimits> = {},
  ) {
    this.#options = options;
    this.#limits = { ...ENDPOINT_LIMITS, ...limits };
    this.#cookies = new CookieExchange(options, now);
  }

  /** How many associations there are. */
  get associationCount(): number {
    return this.#entries.size;
  }

  /** How many of them have not completed their handshake. */
  get halfOpenCount(): number {
    return this.#halfOpen.size;
  }

  /**
   * Takes a datagram for good and returns the association to poll for it: one that was there, or a new one.
   * `undefined` where the datagram was answered without state or dropped. Never throws.
   */
  handleDatagram(
    bytes: Uint8Array,
    address: string,
    now: Milliseconds,
  ): EndpointAssociation | undefined {
    const first = bytes[0];
    if (first === undefined) {
      this.drops.add("empty");
      return undefined;
    }
    const isProtected = isUnifiedHeader(first) || first === ContentType.TLS12_CID;
    if (!isProtected) return this.#onPlaintext(bytes, address, now);
    if (first === ContentType.TLS12_CID || (first & UnifiedHeader.CONNECTION_ID) !== 0) {
      return this.#onConnectionId(bytes, address, now);
    }
    const slot = this.#byAddress.get(address);
    if (slot === undefined) {
      this.drops.add("unknown-address");
      return undefined;
    }
    // Epoch 2 is of a handshake, and so of the association that is in one; after key updates others have its two bits.
    const epochBits = first & UnifiedHeader.EPOCH_MASK;
    if (epochBits === 2) return deliver(slot, bytes, now);
    const { current, pending } = slot;
    // Early data, of epoch 1, is of the newest handshake as well; after it these bits stand for later epochs.
    const isEarly = epochBits === 1 && pending?.association.isTakingEarlyData === true;
    const found = isEarly ? pending : current ?? pending;
    found?.association.handleDatagram(bytes, now);
    return found;
  }

  /** A protected record with a connection ID: whose it is does not depend on the address. */
  #onConnectionId(bytes: Uint8Array, address: string, now: Milliseconds): Entry | undefined {
    const id = datagramConnectionId(bytes, ENDPOINT_CONNECTION_ID_BYTES);
    const found = id === undefined ? undefined : this.#byConnectionId.get(connectionIdKey(id));
    if (found === undefined) {
      this.drops.add("unknown-connection-id");
      return undefined;
    }
    found.association.handleDatagram(bytes, now, address);
    if (found.association.path !== found.address) this.#move(found);
    return found;
  }

  /**
   * An association goes on at another address: the old one is free for others. Where the new one is another
   * association's it stays so, and this one is found by its connection IDs alone.
   */
  #move(entry: Entry): void {
    this.#vacate(entry);
    entry.address = entry.association.path;
    const slot = this.#byAddress.get(entry.address) ?? { current: undefined, pending: undefined };
    this.#byAddress.set(entry.address, slot);
    slot.current ??= entry;
  }

  /** A record of epoch 0: a ClientHello, or something for a handshake in progress; in DTLS 1.2 of any epoch. */
  #onPlaintext(
    bytes: Uint8Array,
    address: string,
    now: Milliseconds,
  ): EndpointAssociation | undefined {
    const slot = this.#byAddress.get(address);
    const piece = this.#helloFragment(bytes);
    if (piece === undefined) {
      if (slot !== undefined) return deliver(slot, bytes, now);
      this.drops.add("not-a-client-hello");
      return undefined;
    }
    const { recordNumber } = piece;
    const hello = this.#hellos.add(piece.fragment, bytes.length, address, now);
    if (hello === undefined) return undefined;
    const reply = (type: ContentType, content: Uint8Array) =>
      this.#answer(hello.receivedBytes, type, recordNumber, content, address);
    try {
      return this.#onClientHello(bytes, hello, recordNumber, address, now, reply);
    } catch (error) {
      if (!(error instanceof DtlsFault || error instanceof DecodeError)) throw error;
      this.drops.add("malformed-client-hello");
      reply(ContentType.ALERT, new Uint8Array([AlertLevel.FATAL, alertFor(error)]));
      return undefined;
    }
  }

  /** The piece of a ClientHello that a datagram begins with, if it does. */
  #helloFragment(
    bytes: Uint8Array,
  ): { fragment: HandshakeFragment; recordNumber: number } | undefined {
    const record = readRecord(bytes, 0, 0);
    if (record?.kind !== "plaintext" || record.epoch !== 0) return undefined;
    if (
      record.type !== ContentType.HANDSHAKE || record.content[0] !== HandshakeType.CLIENT_HELLO
    ) return undefined;
    try {
      const fragment = readHandshakeFragment(new ByteReader(record.content));
      return { fragment, recordNumber: record.recordNumber };
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return undefined;
    }
  }

  #onClientHello(
    bytes: Uint8Array,
    { message, receivedBytes }: ReassembledHello,
    recordNumber: number,
    address: string,
    now: Milliseconds,
    reply: (type: ContentType, content: Uint8Array) => void,
  ): EndpointAssociation | undefined {
    const { body, messageSeq } = message;
    const hello = decodeClientHello(body);
    const slot = this.#byAddress.get(address);
    const newest = slot?.pending ?? slot?.current;
    if (newest?.clientRandom !== undefined && equalBytes(newest.clientRandom, hello.random)) {
      // The client sends its first ClientHello again: its association answers.
      newest.association.handleDatagram(bytes, now);
      return newest;
    }
    const outcome = this.#cookies.handle(hello, { body, messageSeq, recordNumber }, address, now);
    if (outcome.kind === "retry") {
      const { answer } = outcome;
      reply(ContentType.HANDSHAKE, encodeHandshakeMessage(answer));
      return undefined;
    }
    if (outcome.kind === "used") {
      // The client sends its second ClientHello again: its association answers.
      this.drops.add("used-cookie");
      newest?.association.handleDatagram(bytes, now);
      return newest;
    }
    if (this.#halfOpen.size >= this.#limits.halfOpenMax) {
      this.drops.add("half-open-limit");
      return undefined;
    }
    if (this.#entries.size >= this.#limits.associationsMax) {
      this.drops.add("association-limit");
      return undefined;
    }
    return this.#admit(this.#accept(outcome.accepted, receivedBytes, address, now));
  }

  #accept(
    accepted: AcceptedHello,
    receivedBytes: number,
    address: string,
    now: Milliseconds,
  ): Entry {
    const connectionId = this.#makeConnectionId();
    // It is asked for other IDs only once the association is there.
    const connectionIds: ConnectionIdSource = {
      issue: () => {
        const id = this.#makeConnectionId();
        this.#byConnectionId.set(connectionIdKey(id), entry);
        return id;
      },
      retire: (id) => this.#byConnectionId.delete(connectionIdKey(id)),
    };
    const options = { ...this.#options, connectionId, connectionIds };
    const isUnvalidated = accepted.vouching !== undefined;
    const begin = isUnvalidated ? { ...accepted, unvalidatedBytes: receivedBytes } : accepted;
    const association = DtlsAssociation.server(options, begin, now);
    const entry: Entry = {
      association,
      address,
      ...isUnvalidated ? { clientRandom: accepted.hello.random } : {},
    };
    return entry;
  }

  #makeConnectionId(): Uint8Array {
    for (;;) {
      const id = this.#options.entropy(ENDPOINT_CONNECTION_ID_BYTES);
      if (!this.#byConnectionId.has(connectionIdKey(id))) return id;
    }
  }

  /**
   * RFC 9147 section 5.11: the server "MUST NOT destroy the existing association until the client has demonstrated
   * reachability": a new one waits beside it.
   */
  #admit(entry: Entry): Entry {
    const slot = this.#byAddress.get(entry.address) ?? { current: undefined, pending: undefined };
    this.#byAddress.set(entry.address, slot);
    const replaced = slot.pending;
    if (slot.current === undefined) slot.current = entry;
    else slot.pending = entry;
    if (replaced !== undefined) this.#abandon(replaced);
    for (const id of entry.association.receiveConnectionIds) {
      if (id.length > 0) this.#byConnectionId.set(connectionIdKey(id), entry);
    }
    this.#halfOpen.add(entry);
    this.#entries.add(entry);
    return entry;
  }

  /**
   * The handshake of an association is complete. Another one of the same address is abandoned: RFC 9147 section 5.11:
   * "the server MUST abandon the previous association".
   */
  settle(entry: EndpointAssociation): void {
    this.#halfOpen.delete(entry);
    const slot = this.#byAddress.get(entry.address);
    if (slot?.pending === undefined || slot.pending !== entry) return;
    const replaced = slot.current;
    slot.current = slot.pending;
    slot.pending = undefined;
    if (replaced !== undefined) this.#abandon(replaced);
  }

  /** Ends an association whose place another one takes. */
  #abandon(entry: EndpointAssociation): void {
    this.#forget(entry);
    entry.association.abandon();
    this.#replaced.push(entry);
  }

  /**
   * The next association that another one of its address took the place of: it is closed, and its last event is
   * there to be polled. To be drained after {@linkcode DtlsEndpoint.handleDatagram} and
   * {@linkcode DtlsEndpoint.settle}.
   */
  pollReplaced(): EndpointAssociation | undefined {
    return this.#replaced.shift();
  }

  /** Forgets an association that has ended. Harmless when it was forgotten before. */
  remove(entry: EndpointAssociation): void {
    this.#vacate(entry);
    this.#forget(entry);
  }

  #vacate(entry: EndpointAssociation): void {
    const slot = this.#byAddress.get(entry.address);
    if (slot?.current === entry) slot.current = undefined;
    else if (slot?.pending === entry) slot.pending = undefined;
    if (slot !== undefined && slot.current === undefined && slot.pending === undefined) {
      this.#byAddress.delete(entry.address);
    }
  }

  #forget(entry: EndpointAssociation): void {
    for (const id of entry.association.receiveConnectionIds) {
      const key = id.length > 0 ? connectionIdKey(id) : -1;
      if (this.#byConnectionId.get(key) === entry) this.#byConnectionId.delete(key);
    }
    this.#halfOpen.delete(entry);
    this.#entries.delete(entry);
  }

  #answer(
    receivedBytes: number,
    type: ContentType,
    recordNumber: number,
    content: Uint8Array,
    address: string,
  ): void {
    const bytes = new Uint8Array(PLAINTEXT_HEADER_BYTES + content.length);
    if (bytes.length > AMPLIFICATION_MAX * receivedBytes) return this.drops.add("amplification");
    if (this.#answers.length >= this.#limits.answersMax) return this.drops.add("answers-full");
    writePlaintextRecord(bytes, 0, type, recordNumber, content);
    this.#answers.push({ bytes, address });
  }

  /** The next stateless answer to send. */
  pollTransmit(): AddressedDatagram | undefined {
    return this.#answers.shift();
  }

  /** Zeroes the keys of cookies and forgets all associations. */
  destroy(): void {
    this.#cookies.destroy();
    this.#byAddress.clear();
    this.#byConnectionId.clear();
    this.#halfOpen.clear();
    this.#answers.clear();
    this.#replaced.clear();
    this.#entries.clear();
  }
}

/**
 * Delivers a datagram whose first record says only its epoch: to the association that is in a handshake, and where that
 * one has no key for it to the other.
 */
function deliver(
  { current, pending }: AddressSlot,
  bytes: Uint8Array,
  now: Milliseconds,
): EndpointAssociation | undefined {
  const first = pending ?? current;
  first?.association.handleDatagram(bytes, now);
  const isOpened = pending?.association.hasOpenedRecord ?? true;
  const isForBoth = isUnifiedHeader(bytes[0] ?? 0) || isLaterEpoch(bytes);
  if (current === undefined || isOpened || !isForBoth) return first;
  current.association.handleDatagram(bytes, now);
  return current;
}

/** Whether a datagram begins with a protected record of DTLS 1.2. */
function isLaterEpoch(bytes: Uint8Array): boolean {
  const record = readRecord(bytes, 0, 0);
  return record?.kind === "plaintext" && record.epoch > 0;
}

/** A connection ID's first six bytes as a number; the association itself compares all of them. */
function connectionIdKey(id: Uint8Array): number {
  return new ByteReader(id).u48();
}
