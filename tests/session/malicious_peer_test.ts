// Clients with good keys and bad intentions: nothing throws, each session ends with the right error, nothing is left.

import { assert, assertEquals } from "@std/assert";
import { Flag, MessageType } from "../../src/wire/frame.ts";
import { DEFAULT_SESSION_LIMITS } from "../../src/wire/handshake_payload.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery } from "../../src/wire/query_payload.ts";
import { Random } from "../harness/random.ts";
import {
  ack,
  credit,
  fragment,
  message,
  type ScriptFrame,
  streamData,
  streamEnd,
} from "../harness/script.ts";
import { ScriptedPeer } from "../harness/sqp_peer.ts";
import { SqpPair, type SqpPairOptions } from "../harness/sqp_pair.ts";

const NOTHING = new Uint8Array(0);
const NONSENSE = new Uint8Array([0xc1]);

function query(requestId: number, sql: string, text = ""): ScriptFrame {
  const payload = encodeQuery({ cmd: "execute", sql, params: encodeParams([text]) });
  return message(MessageType.QUERY, requestId, payload);
}

function entered(options: SqpPairOptions = {}): { pair: SqpPair; peer: ScriptedPeer } {
  const pair = new SqpPair({ ...options, clients: [] });
  return { pair, peer: new ScriptedPeer(pair, "10.1.0.1:1").enter() };
}

/** Packets of a client that was let in, and the error that each must end its session with. */
const FAULTS: Record<string, { frames: ScriptFrame[]; error: string }> = {
  "an Ack of a packet that was never sent": { frames: [ack(9_999)], error: "ack_of_unsent" },
  "a Response from a client": {
    frames: [message(MessageType.RESPONSE, 1, NOTHING)],
    error: "unexpected_message",
  },
  "a HandshakeResponse from a client": {
    frames: [message(MessageType.HANDSHAKE_RESPONSE, 0, NOTHING)],
    error: "unexpected_message",
  },
  "a Query of no request": {
    frames: [message(MessageType.QUERY, 0, NOTHING)],
    error: "unexpected_message",
  },
  "a Heartbeat of a request": {
    frames: [message(MessageType.HEARTBEAT, 7, new Uint8Array(9))],
    error: "unexpected_message",
  },
  "a message beyond message_bytes": {
    frames: [fragment(MessageType.QUERY, 1, 0, 1_048_577, new Uint8Array(8))],
    error: "message_too_large",
  },
  "fragments that contradict each other": {
    frames: [
      fragment(MessageType.QUERY, 1, 0, 3_000, new Uint8Array(100)),
      fragment(MessageType.QUERY, 1, 50, 3_000, new Uint8Array(100).fill(1)),
    ],
    error: "fragment_mismatch",
  },
  "fragments of two lengths": {
    frames: [
      fragment(MessageType.QUERY, 1, 0, 3_000, new Uint8Array(100)),
      fragment(MessageType.QUERY, 1, 200, 3_001, new Uint8Array(100)),
    ],
    error: "fragment_mismatch",
  },
  "a stream of the server's side": {
    frames: [streamData(1, 2, 0, new Uint8Array(1))],
    error: "bad_stream_id",
  },
  "credit for a stream that was never opened": {
    frames: [credit(1, 88, 1_000_000)],
    error: "bad_stream_id",
  },
  "a stream beyond its credit": {
    frames: [streamData(1, 1, DEFAULT_SESSION_LIMITS.streamCredit, new Uint8Array(1))],
    error: "credit_exceeded",
  },
  "a stream whose end changes": {
    frames: [streamData(1, 1, 9, NOTHING, true), streamData(1, 1, 8, NOTHING, true)],
    error: "stream_mismatch",
  },
  "a StreamEnd below what was sent": {
    frames: [streamData(1, 1, 9, new Uint8Array(9)), streamEnd(1, 1, 3, NOTHING)],
    error: "stream_mismatch",
  },
  "an unknown message type": {
    frames: [message(77 as MessageType, 0, NOTHING)],
    error: "malformed_packet",
  },
  "a flag that the type does not have": {
    frames: [{ type: MessageType.CANCEL, flags: Flag.FIN, requestId: 1, payload: NOTHING }],
    error: "malformed_packet",
  },
  "a Credit of 3 bytes": {
    frames: [message(MessageType.CREDIT, 0, new Uint8Array(3))],
    error: "malformed_packet",
  },
  "a Heartbeat of an unknown kind": {
    frames: [message(MessageType.HEARTBEAT, 0, new Uint8Array(9).fill(9))],
    error: "malformed_payload",
  },
  "a Termination that cannot be read": {
    frames: [message(MessageType.TERMINATION, 0, NONSENSE)],
    error: "malformed_payload",
  },
};

for (const [name, { frames, error }] of Object.entries(FAULTS)) {
  Deno.test(`${name} ends the session with ${error}, said in an Error and a Termination`, () => {
    const { pair, peer } = entered();
    peer.exchange(query(50, "hang"));
    peer.exchange(...frames);
    assertEquals(peer.verdicts, [error, "end: fault"]);
    const last = pair.events.at(-1)!.event;
    assert(last.kind === "ended" && last.error?.codeName === error);
    assertEquals(pair.engine.runningCount, 0);
    const told = peer.received.length;
    peer.exchange(query(51, "echo"));
    assertEquals([peer.received.length, peer.isEnded], [told, true]);
    pair.runUntilIdle();
    pair.checkReleased();
  });
}

Deno.test("a frame of another session, and one without session, end the session with bad_session_id", () => {
  for (const sessionId of [1n, 0n]) {
    const { pair, peer } = entered();
    peer.exchange(query(1, "echo"));
    peer.sessionId = sessionId;
    peer.exchange(query(2, "write w"));
    assertEquals([peer.verdicts, pair.engine.writes.size], [["bad_session_id", "end: fault"], 0]);
  }
});

Deno.test("a HandshakeRequest that cannot be read ends the session with malformed_payload", () => {
  for (
    const payload of [NOTHING, NONSENSE, new Uint8Array([0x80]), new Uint8Array(900).fill(0x91)]
  ) {
    const pair = new SqpPair({ clients: [] });
    const peer = new ScriptedPeer(pair, "10.1.0.1:1");
    peer.exchange(query(1, "write w"));
    peer.exchange(message(MessageType.HANDSHAKE_REQUEST, 0, payload));
    assertEquals([peer.verdicts, pair.engine.statements], [
      ["malformed_payload", "end: fault"],
      [],
    ]);
    pair.runUntilIdle();
    pair.checkReleased();
  }
});

Deno.test("request ids far ahead, and streams and gaps without end, end the session", () => {
  const { peer } = entered();
  peer.exchange(query(4_000_000, "echo"));
  assertEquals(peer.verdicts.at(-1), "end: fault");

  const { pair, peer: opener } = entered();
  for (let i = 0; i < 1_100; i++) opener.write(streamData(1, 2 * i + 1, 5, new Uint8Array(1)));
  pair.advance(100);
  assertEquals(opener.verdicts, ["limit_exceeded", "end: fault"]);
});

Deno.test("a client that takes no answers is given up with overloaded, before they fill the memory", () => {
  const { pair, peer } = entered({ settings: { unackedAnswersMax: 60 } });
  peer.acks = false;
  for (let requestId = 1; requestId <= 200; requestId++) peer.write(query(requestId, "echo"));
  const { stack } = pair.serverSide(peer)!;
  assert(stack.transport!.bufferedBytes < 10_000);
  pair.advance(500);
  const verdicts = new Set(peer.verdicts);
  assertEquals(verdicts, new Set(["too_many_requests", "overloaded", "end: overloaded"]));
  pair.runUntilIdle();
  pair.checkReleased();
});

Deno.test("a client that takes no answers never makes the server hold more than 64 MiB, and nothing throws", () => {
  const { pair, peer } = entered();
  peer.acks = false;
  for (let requestId = 1; requestId <= 70; requestId++) {
    peer.write(query(requestId, "blob 1000000"));
    pair.advance(11);
  }
  assertEquals(pair.engine.statements.length, 70);
  const { bufferedBytes } = pair.serverSide(peer)!.stack.transport!;
  assert(bufferedBytes > 60_000_000 && bufferedBytes <= 67_108_864, `${bufferedBytes} bytes`);
  peer.isGone = true;
  pair.runUntilIdle();
  pair.checkReleased();
});

Deno.test("Heartbeat requests without end draw no more replies than datagrams", () => {
  const { pair, peer } = entered();
  peer.acks = false;
  let sent = 0;
  pair.onDatagram = (from) => sent += from === "server" ? 1 : 0;
  const frames = Array.from(
    { length: 30 },
    (_, i) => message(MessageType.HEARTBEAT, 0, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, i])),
  );
  for (let i = 0; i < 50; i++) peer.write(...frames);
  pair.advance(100);
  assert(sent <= 100, `${sent} datagrams for 50`);
});

Deno.test("random packets of an authenticated client never throw and leave nothing", () => {
  const random = new Random(11);
  for (let round = 0; round < 60; round++) {
    const { pair, peer } = entered();
    peer.exchange(query(1, "hang"), query(2, "rows 100 1000"));
    for (let i = 0; i < 30 && !peer.isEnded; i++) {
      peer.writePacket(randomPacket(random, peer));
      pair.advance(random.integer(0, 30));
    }
    peer.isGone = true;
    pair.runUntilIdle();
    pair.checkReleased();
  }
});

/** A packet whose header is mostly right, and whose frames are not. */
function randomPacket(random: Random, peer: ScriptedPeer): Uint8Array {
  if (random.chance(0.05)) return random.bytes(random.integer(0, 200));
  const frames = Array.from({ length: random.integer(1, 4) }, (): ScriptFrame => ({
    type: random.integer(1, random.chance(0.1) ? 20 : 13) as MessageType,
    flags: random.chance(0.8) ? 0 : 1 << random.integer(0, 3),
    requestId: random.pick([0, 0, 1, 2, 3, 4, 1_000, 0xffff_ffff]),
    payload: random.bytes(random.pick([0, 1, 8, 9, 12, 13, 40, 300])),
  }));
  const packet = peer.packet(...frames);
  if (random.chance(0.2)) {
    packet[random.integer(0, packet.length - 1)]! ^= 1 << random.integer(0, 7);
  }
  return packet;
}

Deno.test("every single-bit flip and truncation of a client's packets, sealed again, is survived", () => {
  const shapes: ScriptFrame[][] = [
    [query(3, "echo", "abc")],
    [ack(0, 1)],
    [message(MessageType.HEARTBEAT, 0, new Uint8Array([1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]))],
    [message(MessageType.CANCEL, 1, NOTHING)],
    [credit(0, 0, 20_000_000)],
    [streamData(1, 1, 0, new Uint8Array(5), true)],
    [fragment(MessageType.QUERY, 3, 0, 2_000, new Uint8Array(20))],
  ];
  let { pair, peer } = entered();
  const again = () => {
    peer.isGone = true;
    peer.destroy();
    pair.runUntilIdle();
    pair.checkReleased();
    ({ pair, peer } = entered());
    peer.exchange(query(1, "hang"));
  };
  again();
  for (const frames of shapes) {
    const length = peer.packet(...frames).length;
    for (let bit = 0; bit < 8 * length; bit++) {
      const packet = peer.packet(...frames);
      packet[bit >>> 3]! ^= 1 << (bit & 7);
      peer.writePacket(packet);
      pair.advance(25);
      if (peer.isEnded) again();
    }
    for (let cut = 0; cut < length; cut++) {
      peer.writePacket(peer.packet(...frames).slice(0, cut));
      pair.advance(25);
      if (peer.isEnded) again();
    }
  }
  again();
});
