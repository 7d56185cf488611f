// Timers, retransmission and ACKs as RFC 9147 sections 5.8 and 7 have them, and how associations end.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { encodeAck } from "../../src/dtls/ack.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { DtlsError } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_CREDENTIAL, credential, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { handshakeMessage, plaintextRecord, TICKET_BODY } from "../harness/dtls_records.ts";
import { delay, type LinkNode, lossOf, mtu, rate } from "../harness/link.ts";

const SECOND = { initialTimeoutMs: 1_000, timeoutMsMin: 1_000 };
const MORE = Array.from({ length: 4 }, () => new Uint8Array(1_000).fill(0x30));
/** A server whose flight takes five datagrams, and timeouts that stay at one second. */
const LARGE: PairOptions = {
  client: { limits: SECOND, connectionId: null },
  server: { limits: SECOND, credentials: [credential(SERVER_CREDENTIAL, MORE)] },
};

/** A network of 10 ms that loses these datagrams of one direction. */
function losing(...indices: number[]): readonly LinkNode[] {
  return [lossOf((index) => indices.includes(index)), delay(10)];
}

/** What was sent from a time on, with the milliseconds since then. */
function since(pair: DtlsPair, at: number): string[] {
  const lines = pair.transcript();
  return pair.sent.flatMap((one, i) => one.at < at ? [] : [`${one.at - at} ${lines[i]}`]);
}

/** A pair in the middle of a handshake: the client's second flight is lost, the server waits for it. */
function waitingServer(options: PairOptions = {}): DtlsPair {
  const pair = new DtlsPair({
    ...options,
    toServer: [lossOf((index) => index >= 2 && index < 1_000), delay(10)],
  });
  pair.simulation.advance(45);
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "handshaking"]);
  return pair;
}

Deno.test(
  '"an initial timer value of 1000 ms and double the value at each ' +
    'retransmission, up to no less than 60 seconds"',
  () => {
    const limits = { handshakeMsMax: 1e9 };
    const pair = new DtlsPair({ client: { limits }, toServer: [() => []] });
    pair.settle();
    const times = pair.sent.map(({ at }) => (at - EPOCH_MS) / 1_000);
    const expected = [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423];
    // The last one is the alert of an association that gives up after twelve retransmissions.
    assertEquals(times, [...expected, 483]);
    assertEquals(pair.clientEvents.map(({ kind }) => kind), ["failed"]);
  },
);

Deno.test("a handshake ends after its time, whatever the timers say", () => {
  const pair = new DtlsPair({ toServer: [() => []] });
  pair.simulation.advance(120_000);
  const [event] = pair.clientEvents;
  assert(event?.kind === "failed" && event.error instanceof DtlsError);
  assertEquals(event.error.reason, "handshake-timeout");
});

Deno.test('"the value SHOULD be adjusted to 1.5 times the measured round trip time"', () => {
  // A round trip of 400 ms is measured with the HelloRetryRequest; the second ClientHello is lost.
  const pair = new DtlsPair({
    toServer: [lossOf((index) => index === 1), delay(200)],
    toClient: [delay(200)],
  }).handshake();
  const hellos = pair.sent.filter((_, i) => pair.transcript()[i]!.includes("CLIENT_HELLO#1"));
  assertEquals(hellos.map(({ at }) => at - EPOCH_MS), [400, 1_000]);
});

Deno.test("after a retransmission nothing was measured, and the next flight begins with the first value", () => {
  const pair = new DtlsPair({ toServer: losing(0, 1, 3) }).handshake();
  const hellos = pair.sent.filter((_, i) => pair.transcript()[i]!.includes("CLIENT_HELLO"));
  assertEquals(hellos.map(({ at }) => at - EPOCH_MS), [0, 1_000, 3_000, 3_020, 4_020]);
});

Deno.test("the ACK of a whole flight measures the round trip, as an answer does", () => {
  // Each ClientHello is lost once, so that neither measures 400 ms; then the key update is.
  const pair = new DtlsPair({
    toServer: [lossOf((index) => [0, 2, 5].includes(index)), delay(200)],
    toClient: [delay(200)],
  }).handshake();
  pair.simulation.advance(1_000);
  const updatedAt = pair.simulation.now;
  pair.client.updateKeys();
  pair.simulation.advance(1_000);
  assertEquals(since(pair, updatedAt).filter((line) => line.includes("KEY_UPDATE")), [
    "0 C | 3:0 KEY_UPDATE#3",
    "600 C | 3:1 KEY_UPDATE#3",
  ]);
});

Deno.test(
  'the ACK of the final flight is lost: "the server MUST respond to ' +
    "retransmission of the client's final flight with a retransmit of its ACK\"",
  () => {
    const pair = new DtlsPair({ toClient: losing(2, 3), client: { limits: SECOND } }).handshake();
    pair.simulation.advance(10_000);
    assertEquals(since(pair, EPOCH_MS + 40), [
      "0 C | 2:0 FINISHED#2",
      "10 S | 3:0 ACK 2:0",
      "1000 C | 2:1 FINISHED#2",
      "1010 S | 3:1 ACK 2:1",
      "3000 C | 2:2 FINISHED#2",
      "3010 S | 3:2 ACK 2:2",
    ]);
  },
);

Deno.test("the ACK of the final flight is given for twice the maximum segment lifetime of 120 s, no longer", () => {
  const pair = new DtlsPair().handshake();
  // From here on the client is known to have new keys.
  pair.send("client", new Uint8Array(1));
  pair.simulation.advance(1_000);
  const kit = pair.kit("client", 2);
  const finished = pair.see("client", pair.sentBy("client")[2]!)[0]!.content;
  const id = pair.server.association!.receiveConnectionId;
  const again = (number: number) => {
    const before = pair.sent.length;
    const form = { epoch: 2, type: ContentType.HANDSHAKE, content: finished, connectionId: id };
    pair.simulation.inject("a", kit.seal({ ...form, number }));
    pair.simulation.advance(100);
    return pair.transcript().slice(before + 1);
  };
  pair.simulation.advance(238_000);
  assertEquals(again(7), ["S | 3:1 ACK 2:7"]);
  assertEquals(again(7), [], "a replay");
  pair.simulation.advance(2_000);
  assertEquals(again(8), []);
});

Deno.test(
  '"When they receive a message or fragment which is out of order": an ' +
    "ACK at once, and only what is missing comes again",
  () => {
    // One datagram each millisecond, so that each one past the gap brings an ACK of its own.
    const toClient = [lossOf((index) => index === 2), rate(1_200_000, 100_000), delay(10)];
    const pair = new DtlsPair({ ...LARGE, toClient }).handshake();
    const lines = pair.transcript();
    const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
    assertEquals(count(/^C .* ACK/), 2);
    assertEquals(count(/^S .*(SERVER_HELLO#1|CERTIFICATE|FINISHED)/), 4 + 1);
    assert(pair.elapsedMs < 80, `${pair.elapsedMs} ms`);
  },
);

Deno.test('"set a timer for 1/4 the current retransmit timer value": the end of a flight is lost', () => {
  const pair = new DtlsPair({ ...LARGE, toClient: losing(3, 4) }).handshake();
  const lines = since(pair, EPOCH_MS + 41);
  // The ACK of what came is sent a quarter of 1,000 ms after the first record of the flight.
  assert(lines[0]!.startsWith("249 C | 2:0 ACK 0:"), lines[0]!);
  assert(lines[1]!.startsWith("259 S | 2:"), lines[1]!);
  assert(!lines.slice(1).join().includes("SERVER_HELLO"));
  assert(pair.elapsedMs < 400);
});

Deno.test("the ServerHello is lost: an empty ACK in epoch 0 brings the flight again, without a timeout", () => {
  const pair = new DtlsPair({ ...LARGE, toClient: losing(1) }).handshake();
  const lines = since(pair, EPOCH_MS + 40);
  assertEquals(lines[0], "250 C | 0:2 ACK");
  assert(lines[1]!.startsWith("260 S | 0:2 SERVER_HELLO#1 | 2:"));
  assert(pair.elapsedMs < 400, `${pair.elapsedMs} ms`);
});

Deno.test(
  '"DTLS 1.3 endpoints MUST NOT send ACK records until the sender ' +
    'knows that the peer is negotiating DTLS 1.3"',
  () => {
    const pair = new DtlsPair({ toServer: [() => []] });
    const noise = new Uint8Array(100).fill(0x2e);
    for (let i = 0; i < 20; i++) {
      pair.simulation.advance(20);
      pair.simulation.inject("b", noise);
      const piece = handshakeMessage(HandshakeType.SERVER_HELLO, 0, new Uint8Array(100), 0, 50);
      pair.simulation.inject("b", plaintextRecord(ContentType.HANDSHAKE, piece, 2 * i));
      const late = handshakeMessage(HandshakeType.SERVER_HELLO, 0, new Uint8Array(100), 70, 30);
      pair.simulation.inject("b", plaintextRecord(ContentType.HANDSHAKE, late, 2 * i + 1));
    }
    pair.simulation.advance(900);
    assertEquals(pair.sentBy("client").length, 2);
  },
);

Deno.test('"Until that point, ACK records received in epoch 0 MUST be ignored"', () => {
  const pair = new DtlsPair({ toServer: losing(0) });
  pair.simulation.settle();
  const ack = encodeAck([{ epoch: 0, recordNumber: 0 }]);
  pair.simulation.inject("b", plaintextRecord(ContentType.ACK, ack));
  pair.simulation.inject("b", plaintextRecord(ContentType.ACK, encodeAck([])));
  pair.simulation.advance(500);
  assertEquals(pair.sentBy("client").length, 1);
  pair.handshake();
  assertEquals(pair.client.state, "connected");
});

Deno.test("a forged plaintext ACK stops no retransmission of protected messages", () => {
  const pair = new DtlsPair({ ...LARGE, toClient: losing(2, 3, 4, 5) });
  pair.simulation.advance(35);
  const forged = Array.from({ length: 20 }, (_, recordNumber) => ({ epoch: 2, recordNumber }));
  pair.simulation.inject("a", plaintextRecord(ContentType.ACK, encodeAck(forged)));
  pair.handshake();
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
});

Deno.test("forged empty ACKs bring a flight once for each timeout, not once each", () => {
  const pair = waitingServer(LARGE);
  const before = pair.sentBy("server").length;
  for (let i = 0; i < 100; i++) {
    const ack = plaintextRecord(ContentType.ACK, encodeAck([]), 10 + i);
    pair.server.handleDatagram(ack, pair.simulation.now);
    pair.simulation.advance(1);
  }
  assertEquals(pair.sentBy("server").length - before, 4, "the four datagrams of the flight");
});

Deno.test("the second ClientHello again brings the flight again, once in a quarter of the timeout", () => {
  const pair = waitingServer(LARGE);
  const before = pair.sentBy("server").length;
  const hello = pair.sentBy("client")[1]!;
  for (let i = 0; i < 60; i++) {
    pair.server.handleDatagram(hello, pair.simulation.now);
    pair.simulation.advance(10);
  }
  assertEquals(pair.sentBy("server").length - before, 2 * 4);
});

Deno.test("what only looks like the second ClientHello again brings nothing", () => {
  const pair = waitingServer(LARGE);
  pair.simulation.advance(300);
  const before = pair.sentBy("server").length;
  const { CLIENT_HELLO, SERVER_HELLO } = HandshakeType;
  const server = pair.server.association!;
  for (
    const [type, length] of [[SERVER_HELLO, 0], [CLIENT_HELLO, 0], [CLIENT_HELLO, 150]] as const
  ) {
    const forged = handshakeMessage(type, 1, new Uint8Array(length));
    server.handleDatagram(plaintextRecord(ContentType.HANDSHAKE, forged, 30), pair.simulation.now);
    pair.simulation.advance(1);
  }
  assertEquals(pair.sentBy("server").length, before);
});

Deno.test("an ACK without news sends nothing", () => {
  const pair = waitingServer(LARGE);
  const kit = pair.kit("client", 2);
  const content = encodeAck([{ epoch: 0, recordNumber: 1 }, { epoch: 2, recordNumber: 0 }]);
  const counts = [10, 11, 12].map((number) => {
    pair.simulation.advance(260);
    const before = pair.sentBy("server").length;
    const form = { epoch: 2, number, type: ContentType.ACK, content };
    pair.server.handleDatagram(kit.seal(form), pair.simulation.now);
    pair.simulation.settle();
    return pair.sentBy("server").length - before;
  });
  assertEquals(counts, [3, 0, 0]);
});

Deno.test("an ACK lists no more records than its datagram holds", () => {
  const limits = { ...SECOND, datagramBytesMax: 300 };
  const server = { limits, credentials: [credential(SERVER_CREDENTIAL, MORE)] };
  const toClient = losing(2, 6, 14);
  const pair = new DtlsPair({ client: { limits }, server, toClient }).handshake();
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  const acks = pair.sentBy("client").filter((_, i) => i > 1).map((bytes) => bytes.length);
  assert(Math.max(...acks) > 250 && Math.max(...acks) <= 300);
});

Deno.test(
  '"the receipt of any record responding to a given flight MUST be taken as an implicit acknowledgement"',
  () => {
    const pair = waitingServer({ client: { connectionId: null, limits: SECOND } });
    const piece = handshakeMessage(HandshakeType.FINISHED, 2, new Uint8Array(32), 0, 10);
    const form = { epoch: 2, number: 9, type: ContentType.HANDSHAKE, content: piece };
    const at = pair.simulation.now;
    pair.server.handleDatagram(pair.kit("client", 2).seal(form), at);
    pair.simulation.advance(30_000);
    const lines = since(pair, at + 1).filter((line) => line.includes(" S | "));
    assertEquals(lines, ["49 S | 3:0 ACK 2:9"]);
  },
);

Deno.test(
  '"If any element of record_numbers in the ACK references an epoch that is higher [...] the ' +
    'implementation MUST terminate the connection with an "illegal_parameter" alert"',
  () => {
    const pair = new DtlsPair().handshake();
    pair.simulation.advance(100);
    const content = encodeAck([{ epoch: 4, recordNumber: 0 }]);
    const form = { epoch: 3, number: 50, type: ContentType.ACK, content };
    pair.simulation.inject("b", pair.kit("server", 3).seal(form));
    pair.settle();
    assertEquals(pair.transcript().at(-1), "C | 3:0 ALERT 47");
  },
);

Deno.test(
  '"Implementations MUST NOT acknowledge records containing handshake ' +
    'messages or fragments which have not been processed or buffered"',
  () => {
    const pair = waitingServer({ client: { connectionId: null } });
    const kit = pair.kit("client", 2);
    const body = new Uint8Array(32);
    const kept = handshakeMessage(HandshakeType.FINISHED, 2, body, 0, 16);
    const tooFar = handshakeMessage(HandshakeType.FINISHED, 100, body);
    const send = (number: number, ...messages: Uint8Array[]) => {
      const content = new Uint8Array(messages.flatMap((message) => [...message]));
      const form = { epoch: 2, number, type: ContentType.HANDSHAKE, content };
      pair.server.handleDatagram(kit.seal(form), pair.simulation.now);
      pair.simulation.advance(600);
      return pair.transcript().filter((line) => line.startsWith("S | 3:"));
    };
    assertEquals(send(9, kept, tooFar), []);
    assertEquals(send(10, kept), ["S | 3:0 ACK 2:10"]);
  },
);

Deno.test("a NewSessionTicket is acknowledged, each time that it comes", () => {
  const pair = new DtlsPair().handshake();
  pair.simulation.advance(100);
  const before = pair.sent.length;
  const ticket = handshakeMessage(HandshakeType.NEW_SESSION_TICKET, 6, TICKET_BODY);
  const kit = pair.kit("server", 3);
  for (const number of [20, 21, 22]) {
    const form = { epoch: 3, number, type: ContentType.HANDSHAKE, content: ticket };
    pair.simulation.inject("b", kit.seal(form));
    pair.simulation.advance(100);
  }
  const answers = pair.transcript().slice(before).filter((line) => line.startsWith("C"));
  assertEquals(answers, ["C | 3:0 ACK 3:20", "C | 3:1 ACK 3:21", "C | 3:2 ACK 3:22"]);
  assertEquals(pair.client.state, "connected");
});

Deno.test("noise starts no ACK", () => {
  const pair = new DtlsPair({ ...LARGE, toClient: losing(4, 5, 6, 7, 8, 9, 10, 11, 12) });
  pair.simulation.advance(350);
  const before = pair.sentBy("client").length;
  for (let i = 0; i < 40; i++) {
    pair.simulation.inject("b", new Uint8Array(60).fill(0x2e));
    pair.simulation.advance(10);
  }
  assertEquals(pair.sentBy("client").length, before);
});

for (const from of ["client", "server"] as const) {
  Deno.test(`close_notify of the ${from} ends both, in three small datagrams`, () => {
    const pair = new DtlsPair().handshake();
    pair.simulation.advance(100);
    const before = pair.sent.length;
    const closing = from === "client" ? pair.client : pair.server.association!;
    closing.close(pair.simulation.now);
    assertThrows(() => closing.sealApplicationData(new Uint8Array(1)), DtlsError);
    assertThrows(() => closing.exportKeyingMaterial("x", new Uint8Array(0), 32), DtlsError);
    pair.settle();
    const alerts = pair.transcript().slice(before).map((line) => line.replace(/\d:\d /, ""));
    const [own, other] = from === "client" ? ["C", "S"] : ["S", "C"];
    assertEquals(alerts, [`${own} | ALERT 0`, `${other} | ALERT 0`, `${own} | ALERT 0`]);
    const peerEvents = from === "client" ? pair.serverEvents : pair.clientEvents;
    assertEquals(peerEvents.at(-1), { kind: "closed" });
    assertEquals([pair.client.state, pair.server.endpoint.associationCount], ["closed", 0]);
  });
}

Deno.test("a close_notify that was lost is said again for what the peer still sends, five times at most", () => {
  const pair = new DtlsPair({ toServer: [lossOf((index) => index === 3), delay(10)] }).handshake();
  pair.simulation.advance(100);
  pair.client.close(pair.simulation.now);
  pair.simulation.advance(100);
  assertEquals(pair.server.association!.state, "connected");
  const datagrams = Array.from(
    { length: 8 },
    () => pair.server.association!.sealApplicationData(new Uint8Array(30)),
  );
  let answers = 0;
  for (const datagram of datagrams) {
    // One byte is answered with nothing: the alert is longer than three.
    pair.client.handleDatagram(new Uint8Array(1), pair.simulation.now);
    assertEquals(pair.client.pollTransmit(pair.simulation.now), undefined);
    pair.client.handleDatagram(datagram, pair.simulation.now);
    const answer = pair.client.pollTransmit(pair.simulation.now);
    if (answer === undefined) continue;
    answers++;
    if (answers === 5) pair.simulation.inject("a", answer);
  }
  assertEquals(answers, 5);
  pair.settle();
  assertEquals(pair.serverEvents.at(-1), { kind: "closed" });
});

Deno.test("a fatal alert that was lost is sent again for a retransmitted flight", () => {
  const pair = new DtlsPair({
    client: { credentials: [credential(CLIENT_CREDENTIAL)], limits: SECOND },
    server: {
      clientCertificate: "required",
      verifyPeer: () => {
        throw new DtlsError("internal", "the verifier is broken");
      },
    },
    toClient: losing(2),
  });
  pair.settle();
  const last = pair.clientEvents.at(-1);
  assert(last?.kind === "failed");
  assertEquals(last.error.message, "the peer sent the alert internal_error");
  assertEquals(pair.serverEvents.map(({ kind }) => kind), ["failed"]);
});

Deno.test("a flight of many records gets to a peer that acknowledges no part of it", () => {
  const more = Array.from({ length: 20 }, () => new Uint8Array(1_000).fill(0x30));
  const limits = { certificateChainMax: 30 };
  const pair = new DtlsPair({
    client: { limits },
    server: { credentials: [credential(SERVER_CREDENTIAL, more)] },
    toServer: [lossOf((index) => index >= 2), delay(10)],
  });
  pair.simulation.advance(4_000);
  assertEquals(pair.client.state, "connected");
});

Deno.test('"subsequent retransmissions SHOULD back off to a smaller record size": a path of 600 bytes', () => {
  const path = () => [mtu(600), delay(10)];
  const pair = new DtlsPair({
    client: { credentials: [credential(CLIENT_CREDENTIAL, MORE)] },
    server: { clientCertificate: "required", credentials: LARGE.server!.credentials! },
    toServer: path(),
    toClient: path(),
  }).handshake();
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  assert(pair.elapsedMs < 15_000, `${pair.elapsedMs} ms`);
});
