// One handshake of each shape, recorded, so that either end can be brought to any point of it without the other.

import { ByteReader } from "../../src/base/byte_reader.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
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
import { Random } from "../harness/random.ts";
import { type AssociationKeys, type EndName, Keys12, Keys13 } from "./record_keys.ts";
import { type Shape, SHAPES } from "./shapes.ts";

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
  /** What happened to associations that a server made after the first one. */
  otherEvents(): DtlsEvent[];
  destroy(now: number): void;
}

/** The client of a shape, at its beginning. */
export function startClient(shape: Shape, keyLog: string[] = []): End {
  const random = new Random(1);
  const association = DtlsAssociation.client({
    ...shape.client(),
    entropy: random.entropy(),
    keyLog: (...line) => keyLog.push(keyLogLine(...line)),
  }, EPOCH_MS);
  return {
    association,
    handle: (bytes, now) => association.handleDatagram(bytes, now),
    handleTimeout: (now) => association.handleTimeout(now),
    drain: (now) => drained(() => association.pollTransmit(now)),
    events: () => drained(() => association.pollEvent()),
    otherEvents: () => [],
    destroy: (now) => association.close(now),
  };
}

/** An endpoint of a shape, at its beginning. */
export function startServer(shape: Shape): End {
  const random = new Random(2);
  const endpoint = new DtlsEndpoint({ ...shape.server(), entropy: random.entropy() }, EPOCH_MS);
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
    events: () => drained(() => first?.association.pollEvent()),
    otherEvents: () =>
      [...entries].flatMap((entry) =>
        entry === first ? [] : drained(() => entry.association.pollEvent())
      ),
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
  readonly keys: AssociationKeys;
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
  const ids = { client: a.receiveConnectionId, server: b.receiveConnectionId };
  const keys = a.version === "1.3"
    ? new Keys13(keyLog, a.cipherSuite!)
    : new Keys12(keyLog, a.cipherSuite!, {
      client: helloRandom(toServer, HandshakeType.CLIENT_HELLO),
      server: helloRandom(toClient, HandshakeType.SERVER_HELLO),
    });
  const recording = (end: EndName, whole: readonly Uint8Array[]): Recording => {
    const peer = end === "client" ? "server" : "client";
    const split = (bytes: Uint8Array) => recordsOf(bytes, ids[end].length);
    const datagrams = whole.flatMap(split);
    return {
      shape,
      end,
      datagrams,
      whole,
      messages: datagrams.map((bytes) => messagesOf(bytes, keys, peer, ids[end].length)),
      handshakeCount: whole.slice(0, counts[end]).flatMap(split).length,
      keys,
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

/** The pieces of messages in one record; none where it is of another type, or nobody has a key for it. */
function messagesOf(
  record: Uint8Array,
  keys: AssociationKeys,
  from: EndName,
  idBytes: number,
): RecordedMessage[] {
  const raw = readRecord(record, 0, idBytes);
  const seen = raw?.kind === "plaintext" && raw.epoch === 0
    ? raw
    : keys.open(from, record, idBytes);
  const messages: RecordedMessage[] = [];
  if (seen?.type !== ContentType.HANDSHAKE) return messages;
  const reader = new ByteReader(seen.content);
  while (reader.remaining > 0) {
    messages.push({ ...readHandshakeFragment(reader), epoch: seen.epoch });
  }
  return messages;
}

/** The random value of the last hello of a type. */
function helloRandom(datagrams: readonly Uint8Array[], type: HandshakeType): Uint8Array {
  const hello = datagrams.findLast((bytes) =>
    bytes[0] === ContentType.HANDSHAKE && bytes[4] === 0 && bytes[13] === type
  );
  return hello!.slice(27, 59);
}

let recordings: readonly (readonly [Recording, Recording])[] | undefined;

/** The recordings of all shapes for one end. */
export function recordingsFor(end: EndName): readonly Recording[] {
  recordings ??= SHAPES.map(record);
  return recordings.map((pair) => pair[end === "client" ? 0 : 1]);
}
