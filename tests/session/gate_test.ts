// The gate: DESIGN.md section 5, sentence by sentence.

import { assert, assertEquals } from "@std/assert";
import { Gate } from "../../src/session/gate.ts";
import { decodePacket, MessageType } from "../../src/wire/frame.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery } from "../../src/wire/query_payload.ts";
import { encodeTermination } from "../../src/wire/termination_payload.ts";
import { Random } from "../harness/random.ts";
import { ack, credit, fragment, message, type ScriptFrame, streamData } from "../harness/script.ts";
import { handshakeRequest, ScriptedPeer } from "../harness/sqp_peer.ts";
import { SqpPair, tokenClient } from "../harness/sqp_pair.ts";

const CHECK_MS = 1_000;

/** A peer whose token is checked for a second: as long it is a stranger. */
function stranger(token = "good:somebody"): { pair: SqpPair; peer: ScriptedPeer } {
  const pair = new SqpPair({ clients: [], tokenCheckMs: CHECK_MS });
  const peer = new ScriptedPeer(pair, "10.1.0.1:1");
  peer.exchange(handshakeRequest({ credential: { type: "token", token } }));
  return { pair, peer };
}

function query(requestId: number, sql: string): ScriptFrame {
  const payload = encodeQuery({ cmd: "execute", sql, params: encodeParams([]) });
  return message(MessageType.QUERY, requestId, payload);
}

function gateOf(pair: SqpPair, peer: ScriptedPeer): Gate {
  return pair.serverSide(peer)!.stack.gate!;
}

/** A frame that a transport would call a fault, for each of many ways. */
function faults(): ScriptFrame[] {
  const empty = new Uint8Array(0);
  return [
    message(MessageType.RESPONSE, 1, empty),
    message(MessageType.QUERY, 0, empty),
    message(MessageType.QUERY, 4_000_000_000, empty),
    fragment(MessageType.QUERY, 1, 0, 4_000_000_000, new Uint8Array(8)),
    { type: 99 as MessageType, flags: 0xff, requestId: 7, payload: empty },
    streamData(1, 2, 0, new Uint8Array(3)),
    credit(0, 5, 1 << 20),
    message(MessageType.TERMINATION, 0, new Uint8Array([0xc1])),
  ];
}

Deno.test("until the principal is known the gate answers nothing but the HandshakeRequest's acknowledgement", () => {
  const { pair, peer } = stranger();
  peer.exchange(query(1, "write w"));
  peer.exchange(message(MessageType.HEARTBEAT, 0, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 9])));
  assertEquals([peer.said, pair.engine.statements], [[], []]);
  pair.advance(CHECK_MS);
  assertEquals(pair.engine.statements, ["write w"]);
  const types = new Set(peer.received.map(({ type }) => type));
  const wanted = [MessageType.HANDSHAKE_RESPONSE, MessageType.HEARTBEAT, MessageType.RESPONSE];
  assertEquals(types, new Set<MessageType>(wanted));
});

Deno.test("no frame of a stranger is parsed: what would be a fault does nothing before the client is let in", () => {
  for (const fault of faults()) {
    const { pair, peer } = stranger();
    peer.exchange(fault);
    const { transport, session } = pair.serverSide(peer)!.stack;
    assertEquals(session!.isEnding, false);
    assertEquals([transport!.stats().openRequests, transport!.stats().receiveStreams], [0, 0]);
    assertEquals([peer.verdicts, peer.isEnded], [[], false]);
    pair.advance(CHECK_MS);
    // Now it is parsed, and the client, whoever it is, at fault.
    assertEquals([peer.verdicts.length, peer.verdicts.at(-1)], [2, "end: fault"]);
    pair.runUntilIdle();
    pair.checkReleased();
  }
});

Deno.test("a stranger who is refused has nothing parsed, whatever was held", () => {
  for (const fault of faults()) {
    const { pair, peer } = stranger("bad:token_expired");
    peer.exchange(fault);
    peer.exchange(query(1, "write w"));
    pair.advance(CHECK_MS);
    assertEquals([peer.verdicts, pair.engine.statements], [["token_expired", "end: refused"], []]);
    peer.exchange(fault);
    assertEquals(peer.verdicts.length, 2);
    pair.runUntilIdle();
    pair.checkReleased();
  }
});

Deno.test("the gate keeps up to 8 packets, and drops beyond", () => {
  const { pair, peer } = stranger();
  for (let requestId = 1; requestId <= 10; requestId++) peer.write(query(requestId, "echo"));
  pair.advance(100);
  assertEquals(gateOf(pair, peer).drops.snapshot(), { "too-many": 2 });
  pair.advance(CHECK_MS);
  assertEquals(pair.engine.statements.length, 8);
});

Deno.test("the gate keeps up to 12,288 bytes, and drops beyond", () => {
  const packets = [2_048, 2_048, 2_048, 2_048, 2_048, 2_048];
  const passed: number[] = [];
  const gate = new Gate({ handleDatagram: (packet) => passed.push(packet.length) });
  const held = packets.map((length) => packetOf(MessageType.QUERY, length));
  for (const packet of held) gate.handlePacket(packet, 0);
  assertEquals(gate.drops.snapshot(), {});
  gate.handlePacket(packetOf(MessageType.QUERY, 24), 0);
  assertEquals(gate.drops.snapshot(), { "too-many": 1 });
  gate.open(1);
  assertEquals(passed, packets);
});

function packetOf(type: MessageType, lengthBytes: number): Uint8Array {
  const packet = new Uint8Array(lengthBytes).fill(7);
  const view = new DataView(packet.buffer);
  packet.fill(0, 0, 24);
  packet[0] = 1;
  view.setUint16(2, type);
  view.setUint32(20, lengthBytes - 24);
  return packet;
}

Deno.test("on refusal what was held is zeroed, unparsed; later packets are dropped", () => {
  const passed: number[] = [];
  const gate = new Gate({ handleDatagram: (packet) => passed.push(packet.length) });
  const held = [packetOf(MessageType.QUERY, 100), packetOf(MessageType.CANCEL, 24)];
  for (const packet of held) gate.handlePacket(packet, 0);
  gate.refuse();
  assert(held.every((packet) => packet.every((byte) => byte === 0)));
  gate.handlePacket(packetOf(MessageType.QUERY, 100), 1);
  gate.open(2);
  assertEquals([passed, gate.drops.snapshot()], [[], { refused: 1 }]);
});

Deno.test("what was held is zeroed whichever way the session ends before the client is let in", () => {
  const ends: Record<string, (pair: SqpPair, peer: ScriptedPeer) => void> = {
    "the client is gone": (_, peer) => peer.association.close(0),
    "silence": (pair) => pair.advance(6_000),
    "a drain": (pair) => pair.endpoint.drain(1_000, pair.now),
    "a fault": (_, peer) => peer.write(ack(4_000)),
    "the server's end": (pair) => pair.endpoint.destroy(pair.now),
  };
  for (const [name, end] of Object.entries(ends)) {
    const pair = new SqpPair({ clients: [], tokenCheckMs: 60_000 });
    const peer = new ScriptedPeer(pair, "10.1.0.1:1");
    peer.exchange(handshakeRequest({ credential: { type: "token", token: "good:x" } }));
    const gate = gateOf(pair, peer);
    const held = packetOf(MessageType.QUERY, 100);
    gate.handlePacket(held, pair.now);
    end(pair, peer);
    pair.advance(100);
    assert(held.every((byte) => byte === 0), name);
  }
});

Deno.test("one HandshakeRequest of at most 8 KiB passes, in fragments; a longer one is a fault", () => {
  const payload =
    handshakeRequest({ credential: { type: "token", token: "good:somebody:" + "x".repeat(900) } })
      .payload;
  const parts = (total: number) => {
    const frames: ScriptFrame[] = [];
    for (let at = 0; at < payload.length; at += 300) {
      const bytes = payload.subarray(at, at + 300);
      frames.push(fragment(MessageType.HANDSHAKE_REQUEST, 0, at, total, bytes));
    }
    return new Random(3).shuffle(frames);
  };
  const pair = new SqpPair({ clients: [] });
  const peer = new ScriptedPeer(pair, "10.1.0.1:1");
  for (const part of parts(payload.length)) peer.write(part);
  pair.advance(200);
  assert(peer.sessionId !== 0n);
  const greedy = new ScriptedPeer(pair, "10.1.0.2:1");
  greedy.exchange(parts(8_193)[0]!);
  assertEquals(greedy.verdicts, ["message_too_large", "end: fault"]);
});

Deno.test("a second HandshakeRequest changes nothing", () => {
  const { pair, peer } = stranger();
  peer.exchange(handshakeRequest({ credential: { type: "token", token: "bad:token_expired" } }));
  pair.advance(CHECK_MS);
  peer.exchange(handshakeRequest({ credential: null }));
  assertEquals([peer.verdicts, peer.received.length], [[], 1]);
  assertEquals(pair.events.filter(({ event }) => event.kind === "authenticate").length, 1);
});

Deno.test("without a principal after 5 s the session ends with handshake_deadline; a later verdict is harmless", () => {
  const pair = new SqpPair({ clients: [tokenClient("good:slow")], tokenCheckMs: 7_000 });
  const asked = pair.client.ask("write w");
  const startedAt = pair.now;
  pair.runUntil(() => pair.client.ended !== undefined);
  assertEquals([pair.client.ended?.codeName, asked.outcome], [
    "handshake_deadline",
    "handshake_deadline",
  ]);
  assert(pair.now - startedAt >= 5_000 && pair.now - startedAt < 5_200);
  pair.runUntilIdle();
  assertEquals(pair.endpoint.counters.get("admitted"), 0);
  pair.checkReleased();
});

Deno.test("a client that never sends a HandshakeRequest is ended after 5 s, too", () => {
  const pair = new SqpPair({ clients: [] });
  const peer = new ScriptedPeer(pair, "10.1.0.1:1");
  peer.exchange(query(1, "write w"));
  pair.advance(5_000);
  assertEquals(peer.verdicts, ["handshake_deadline", "end: refused"]);
  pair.runUntilIdle();
  pair.checkReleased();
});

Deno.test("queries that go with the handshake lose no round trip, and wait for no second one", () => {
  const pair = new SqpPair();
  const early = pair.client.ask("echo", { params: [1] });
  const more = [2, 3, 4].map((value) => pair.client.ask("echo", { params: [value] }));
  pair.answerAll();
  // The answers come with the HandshakeResponse, or with the next acknowledgement delay.
  for (const { endedAt, outcome } of [early, ...more]) {
    assertEquals(outcome, "done");
    assert(endedAt - pair.client.readyAt! < 20, `${endedAt - pair.client.readyAt!} ms later`);
  }
  pair.finish();
});

Deno.test("early queries keep within what the gate holds, whatever is asked", () => {
  const pair = new SqpPair({ clients: [tokenClient("good:x")], tokenCheckMs: 900 });
  const asked = Array.from(
    { length: 40 },
    (_, i) => pair.client.ask("echo", { params: ["x".repeat(i % 5 === 0 ? 7_000 : 500)] }),
  );
  pair.runUntil(() => pair.serverSide(pair.client)?.stack.gate !== undefined);
  const gate = pair.serverSide(pair.client)!.stack.gate!;
  pair.advance(15);
  assertEquals(gate.drops.snapshot(), {});
  pair.answerAll();
  assertEquals(asked.map(({ outcome }) => outcome), asked.map(() => "done"));
  pair.finish();
});

Deno.test("a Termination behind the HandshakeRequest ends the session when the client is let in", () => {
  const { pair, peer } = stranger();
  const payload = encodeTermination({ reason: "closed", message: "", drainMs: 0 });
  peer.exchange(query(1, "write w"), message(MessageType.TERMINATION, 0, payload));
  pair.advance(CHECK_MS);
  pair.runUntilIdle();
  pair.checkReleased();
  assertEquals(pair.endpoint.counters.get("ended"), 1);
});

Deno.test("packets whose headers do not add up are dropped and counted before the client is let in", () => {
  const { pair, peer } = stranger();
  const packet = peer.packet(query(1, "write w"));
  for (const cut of [0, 1, 23, packet.length - 1]) peer.writePacket(packet.slice(0, cut));
  pair.advance(100);
  assertEquals(gateOf(pair, peer).drops.snapshot(), { malformed: 4 });
  assertEquals(decodePacket(packet).frames.length, 1);
  assertEquals([peer.verdicts, peer.isEnded], [[], false]);
});
