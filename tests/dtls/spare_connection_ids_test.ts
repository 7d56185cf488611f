// Connection IDs after the handshake, between a client and a server behind its endpoint.

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { AlertDescription, ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { encodeNewConnectionId, encodeRequestConnectionId } from "../../src/dtls/connection_ids.ts";
import { DTLS_LIMITS } from "../../src/dtls/limits.ts";
import { DtlsError, ENDPOINT_CONNECTION_ID_BYTES } from "../../src/dtls/mod.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { describeRecord, handshakeMessage } from "../harness/dtls_records.ts";

const { REQUEST_CONNECTION_ID, NEW_CONNECTION_ID } = HandshakeType;
const ID_BYTES = ENDPOINT_CONNECTION_ID_BYTES;

function connected(options: PairOptions = {}): DtlsPair {
  const pair = new DtlsPair(options).handshake();
  pair.simulation.advance(1_000);
  return pair;
}

/** What was sent while `action` ran and `ms` passed, as texts. */
function during(pair: DtlsPair, ms: number, action: () => void): string[] {
  const before = pair.sent.length;
  action();
  pair.simulation.advance(ms);
  return pair.sent.slice(before).map(({ from, bytes }) =>
    [from === "client" ? "C" : "S", ...pair.see(from, bytes).map(describeRecord)].join(" | ")
  );
}

/** Sends a byte from the client and returns the ID that it carries; it has to arrive. */
function idOfData(pair: DtlsPair): string {
  const before = pair.received("server").length;
  const datagram = pair.client.sealApplicationData(new Uint8Array([before]));
  pair.simulation.inject("a", datagram);
  pair.simulation.advance(50);
  assertEquals(pair.received("server").slice(before), [new Uint8Array([before])]);
  return datagram.subarray(1, 1 + ID_BYTES).toString();
}

function idsOf(pair: DtlsPair): string[] {
  return pair.server.association!.receiveConnectionIds.map(String);
}

/** Handshake messages that the client never sent; they begin at number 3 and record 100. */
function clientSays(pair: DtlsPair, type: number, ...bodies: Uint8Array[]): void {
  const server = pair.server.association!;
  bodies.forEach((body, at) => {
    const content = handshakeMessage(type, 3 + at, body);
    const connectionId = server.receiveConnectionId;
    const form = { epoch: 3, number: 100 + at, type: ContentType.HANDSHAKE, content, connectionId };
    server.handleDatagram(pair.kit("client", 3).seal(form), pair.simulation.now);
    pair.simulation.settle();
  });
}

function alertOf(pair: DtlsPair): number | undefined {
  return pair.sentBy("server").flatMap((bytes) => pair.see("server", bytes))
    .findLast(({ type }) => type === ContentType.ALERT)?.content[1];
}

Deno.test("a client asks for spare IDs, and gets them, reliably", () => {
  const pair = connected();
  const sent = during(pair, 100, () => assert(pair.client.requestConnectionIds(3)));
  assertEquals(sent, [
    "C | 3:0 REQUEST_CONNECTION_ID#3",
    "S | 3:1 ACK 3:0 | 3:2 NEW_CONNECTION_ID#6",
    "C | 3:1 ACK 3:2",
  ]);
  const ids = idsOf(pair);
  assertEquals([ids.length, new Set(ids).size], [4, 4]);
  assertEquals(idOfData(pair), ids[0], "a spare one is not used for nothing");
  assertFalse(pair.client.requestConnectionIds(3), "there are as many");
});

Deno.test("with an option they are asked for as soon as the handshake is over", () => {
  const pair = connected({ client: { spareConnectionIds: 2 } });
  assertEquals(idsOf(pair).length, 3);
});

Deno.test("an ID that is to be used at once is in the next record, and found by the endpoint", () => {
  const pair = connected();
  const server = pair.server.association!;
  const sent = during(pair, 100, () => {
    assertEquals(server.provideConnectionIds(2, { isImmediate: true }), 2);
  });
  assertEquals(sent, ["S | 3:1 NEW_CONNECTION_ID#6", "C | 3:0 ACK 3:1"]);
  assertEquals(idOfData(pair), idsOf(pair)[1]);
  server.provideConnectionIds(9, { isImmediate: true });
  pair.simulation.advance(50);
  assertEquals(idOfData(pair), idsOf(pair)[2]);
});

Deno.test("IDs one after another for ever: their number is bounded, and the oldest ones go", () => {
  const pair = connected();
  const first = idsOf(pair)[0]!;
  const old = pair.client.sealApplicationData(new Uint8Array(1));
  for (let n = 0; n < 40; n++) {
    pair.server.association!.provideConnectionIds(1, { isImmediate: true });
    pair.simulation.advance(50);
    idOfData(pair);
  }
  const ids = idsOf(pair);
  assertEquals(ids.length, DTLS_LIMITS.connectionIdsMax);
  assertFalse(ids.includes(first));
  const unknown = () => pair.server.endpoint.drops.get("unknown-connection-id");
  assertEquals(unknown(), 0);
  pair.simulation.inject("a", old);
  pair.simulation.advance(50);
  assertEquals(unknown(), 1);
});

Deno.test("a server's IDs go with it: none leads anywhere once it is closed and forgotten", () => {
  const pair = connected({ client: { spareConnectionIds: 4 } });
  const ids = pair.server.association!.receiveConnectionIds;
  pair.server.association!.close(pair.simulation.now);
  pair.simulation.advance(DTLS_LIMITS.closingMs + 1_000);
  const { endpoint } = pair.server;
  assertEquals(endpoint.associationCount, 0);
  for (const id of ids) {
    const record = new Uint8Array([0x3f, ...id, ...new Uint8Array(40)]);
    assertEquals(endpoint.handleDatagram(record, "anywhere", pair.simulation.now), undefined);
  }
  assertEquals(endpoint.drops.get("unknown-connection-id"), ids.length);
});

Deno.test("a client gives IDs as well", () => {
  const pair = connected({ client: { connectionId: new Uint8Array([1, 2, 3, 4]) } });
  pair.client.provideConnectionIds(1, { isImmediate: true });
  pair.simulation.advance(50);
  const datagram = pair.server.association!.sealApplicationData(new Uint8Array([7]));
  assertEquals(datagram.subarray(1, 5), pair.client.receiveConnectionIds[1]);
  pair.simulation.inject("b", datagram);
  pair.simulation.advance(50);
  assertEquals(pair.received("client"), [new Uint8Array([7])]);
});

Deno.test("messages wait for the KeyUpdate before them, and go under the new keys", () => {
  const pair = connected();
  const sent = during(pair, 200, () => {
    pair.client.updateKeys();
    pair.client.requestConnectionIds(1);
  });
  assertEquals(sent.slice(0, 3), [
    "C | 3:0 KEY_UPDATE#3",
    "S | 3:1 ACK 3:0",
    "C | 4:0 REQUEST_CONNECTION_ID#4",
  ]);
});

Deno.test("two messages of a kind are never under way at once", () => {
  const pair = connected();
  const server = pair.server.association!;
  const sent = during(pair, 200, () => {
    server.provideConnectionIds(1);
    server.provideConnectionIds(1);
  });
  assertEquals(sent, [
    "S | 3:1 NEW_CONNECTION_ID#6",
    "C | 3:0 ACK 3:1",
    "S | 3:2 NEW_CONNECTION_ID#7",
    "C | 3:1 ACK 3:2",
  ]);
});

Deno.test("requests that come to nothing end in too_many_cids_requested", () => {
  const pair = connected();
  const request = encodeRequestConnectionId(255);
  const { connectionIdRequestsMax } = DTLS_LIMITS;
  clientSays(pair, REQUEST_CONNECTION_ID, ...Array(connectionIdRequestsMax).fill(request));
  assertEquals([alertOf(pair), idsOf(pair).length], [undefined, DTLS_LIMITS.connectionIdsMax]);
  const more = connected();
  clientSays(more, REQUEST_CONNECTION_ID, ...Array(connectionIdRequestsMax + 1).fill(request));
  assertEquals(alertOf(more), AlertDescription.TOO_MANY_CIDS_REQUESTED);
});

Deno.test("without connection IDs each of the messages is an unexpected_message, and each call an error", () => {
  const none = { client: { connectionId: null } };
  const newId = encodeNewConnectionId({ connectionIds: [new Uint8Array(8)], isImmediate: false });
  for (
    const [type, body] of [
      [REQUEST_CONNECTION_ID, encodeRequestConnectionId(1)],
      [NEW_CONNECTION_ID, newId],
    ] as const
  ) {
    const pair = connected(none);
    clientSays(pair, type, body);
    assertEquals(alertOf(pair), AlertDescription.UNEXPECTED_MESSAGE);
  }
  // A client that wants none in records to it must not send any (its IDs are empty by default).
  const empty = connected();
  clientSays(empty, NEW_CONNECTION_ID, newId);
  assertEquals(alertOf(empty), AlertDescription.UNEXPECTED_MESSAGE);
  const { client } = connected(none);
  for (const call of [() => client.requestConnectionIds(1), () => client.provideConnectionIds(1)]) {
    assertEquals(assertThrows(call, DtlsError).reason, "no-connection-ids");
  }
});
