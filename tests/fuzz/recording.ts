// One handshake of each shape, recorded, so that either end can be brought to any point of it without the other.

import { ByteReader } from "../../src/base/byte_reader.ts";
import { ContentType } from "../../src/dtls/code_points.ts";
import {
  type HandshakeFragment,
  readHandshakeFragment,
} from "../../src/dtls/handshake_fragment.ts";
import {
  DtlsAssociation,
  DtlsEndpoint,
  type DtlsEvent,
  type EndpointAssociation,
  keyLogLine,
} from "../../src/dtls/mod.ts";
import { readRecord } from "../../src/dtls/record.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { type RecordKit, recordKit, seeRecords } from "../harness/dtls_records.ts";
import { Random } from "../harness/random.ts";
import { type Shape, SHAPES } from "./shapes.ts";

/** The two ends. */
export type EndName = "client" | "server";

/** The address that the recorded client has. */
export const CLIENT_ADDRESS = "192.0.2.1:1";

/** One end of an association, seen from outside. */
export interface End {
  /** The association; a server has none at first. */
  readonly association: DtlsAssociation | undefined;
  readonly endpoint?: DtlsEndpoint;
  handle(bytes: Uint8Array, now: number, address?: string): void;
  handleTimeout(now: number): void;
  /** All that there is to send. */
  drain(now: number): Uint8Array[];
  events(): DtlsEvent[];
  destroy(now: number): void;
}

/** The client of a shape, at its beginning. */
export function startClient(shape: Shape, keyLog: string[] = []): End {
  const random = new Random(1);
  const association = DtlsAssociation.client({
    ...shape.client,
    entropy: random.entropy(),
    keyLog: (...line) => keyLog.push(keyLogLine(...line)),
  }, EPOCH_MS);
  return {
    association,
    handle: (bytes, now) => association.handleDatagram(bytes, now),
    handleTimeout: (now) => association.handleTimeout(now),
    drain: (now) => drained(() => association.pollTransmit(now)),
    events: () => drained(() => association.pollEvent()),
    destroy: (now) => association.close(now),
  };
}

/** An endpoint of a shape, at its beginning. */
export function startServer(shape: Shape): End {
  const random = new Random(2);
  const endpoint = new DtlsEndpoint({ ...shape.server, entropy: random.entropy() }, EPOCH_MS);
  const entries = new Set<EndpointAssociation>();
  let first: EndpointAssociation | undefined;
  return {
    get association() {
      return first?.association;
    },
    endpoint,
    handle: (bytes, now, address = CLIENT_ADDRESS) => {
      const entry = endpoint.handleDatagram(bytes, address, now);
      if (entry === undefined) return;
      entries.add(entry);
      first ??= entry;
    },
    handleTimeout: (now) => {
      for (const { association } of entries) association.handleTimeout(now);
    },
    drain: (now) => [
      ...drained(() => endpoint.pollTransmit()?.bytes),
      ...[...entries].flatMap(({ association }) => drained(() => association.pollTransmit(now))),
    ],
    events: () => [...entries].flatMap((entry) => drained(() => entry.association.pollEvent())),
    destroy: (now) => {
      for (const { association } of entries) association.close(now);
      endpoint.destroy();
    },
  };
}

/** Things that one call may give before it counts as endless. */
const DRAINED_MAX = 5_000;

function drained<Item>(poll: () => Item | undefined): Item[] {
  const items: Item[] = [];
  for (let item; (item = poll()) !== undefined;) {
    items.push(item);
    if (items.length > DRAINED_MAX) throw new Error("polling does not end");
  }
  return items;
}

/** A piece of a handshake message that an end is sent. */
export interface RecordedMessage extends HandshakeFragment {
  readonly epoch: number;
}

/** What one end of a shape is sent, from its first datagram to its last. */
export interface Recording {
  readonly shape: Shape;
  readonly end: EndName;
  /** Each record in a datagram of its own, so that the end can be stopped between any two. */
  readonly datagrams: readonly Uint8Array[];
  /** The datagrams as they were sent. */
  readonly whole: readonly Uint8Array[];
  /** The pieces of handshake messages in each datagram. */
  readonly messages: readonly (readonly RecordedMessage[])[];
  /** How many of the datagrams complete the handshake; those that follow bring application data. */
  readonly handshakeCount: number;
  readonly suite: number;
  /** The keys that the end opens, and those that it seals with. */
  peerKit(epoch: 2 | 3): RecordKit;
  ownKit(epoch: 2 | 3): RecordKit;
  /** The connection IDs in records to the end, and from it. */
  readonly ownId: Uint8Array;
  readonly peerId: Uint8Array;
}

/** Records of application data that are sent each way after the handshake. */
const DATA_COUNT = 3;

function record(shape: Shape): readonly [client: Recording, server: Recording] {
  const keyLog: string[] = [];
  const client = startClient(shape, keyLog);
  const server = startServer(shape);
  const toClient: Uint8Array[] = [];
  const toServer = client.drain(EPOCH_MS);
  for (let atClient = 0, atServer = 0;;) {
    if (atServer < toServer.length) {
      server.handle(toServer[atServer++]!, EPOCH_MS);
      toClient.push(...server.drain(EPOCH_MS));
    } else if (atClient < toClient.length) {
      client.handle(toClient[atClient++]!, EPOCH_MS);
      toServer.push(...client.drain(EPOCH_MS));
    } else break;
  }
  const counts = { client: toClient.length, server: toServer.length };
  const [a, b] = [client.association!, server.association];
  if (a.state !== "connected" || b?.state !== "connected") {
    throw new Error(`the handshake of "${shape.name}" is not complete`);
  }
  for (let i = 0; i < DATA_COUNT; i++) {
    toClient.push(b.sealApplicationData(new Uint8Array(20 + i)));
    toServer.push(a.sealApplicationData(new Uint8Array(30 + i)));
  }
  const suite = a.cipherSuite!;
  const ids = { client: a.receiveConnectionId, server: b.receiveConnectionId };
  const kits = new Map<string, RecordKit>();
  const kit = (from: EndName, epoch: 2 | 3) => {
    const key = `${from} ${epoch}`;
    const found = kits.get(key) ?? recordKit(keyLog, from, epoch, suite);
    kits.set(key, found);
    return found;
  };
  const recording = (end: EndName, whole: readonly Uint8Array[]): Recording => {
    const peer = end === "client" ? "server" : "client";
    const split = (bytes: Uint8Array) => recordsOf(bytes, ids[end].length);
    const datagrams = whole.flatMap(split);
    return {
      shape,
      end,
      datagrams,
      whole,
      messages: datagrams.map((bytes) =>
        messagesOf(seeRecords(bytes, peer, keyLog, { suite, idBytes: ids[end].length }))
      ),
      handshakeCount: whole.slice(0, counts[end]).flatMap(split).length,
      suite,
      peerKit: (epoch) => kit(peer, epoch),
      ownKit: (epoch) => kit(end, epoch),
      ownId: ids[end],
      peerId: ids[peer],
    };
  };
  client.destroy(EPOCH_MS);
  server.destroy(EPOCH_MS);
  return [recording("client", toClient), recording("server", toServer)];
}

/** The records of a datagram, as far as there are any; what follows is taken for one. */
export function recordsOf(datagram: Uint8Array, idBytes: number): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at < datagram.length;) {
    const end = readRecord(datagram, at, idBytes)?.end ?? datagram.length;
    records.push(datagram.subarray(at, end));
    at = end;
  }
  return records.length === 0 ? [datagram] : records;
}

function messagesOf(
  records: readonly { epoch: number; type: number; content: Uint8Array }[],
): RecordedMessage[] {
  const messages: RecordedMessage[] = [];
  for (const { epoch, type, content } of records) {
    if (type !== ContentType.HANDSHAKE) continue;
    const reader = new ByteReader(content);
    while (reader.remaining > 0) messages.push({ ...readHandshakeFragment(reader), epoch });
  }
  return messages;
}

let recordings: readonly (readonly [Recording, Recording])[] | undefined;

/** The recordings of all shapes for one end. */
export function recordingsFor(end: EndName): readonly Recording[] {
  recordings ??= SHAPES.map(record);
  return recordings.map((pair) => pair[end === "client" ? 0 : 1]);
}
