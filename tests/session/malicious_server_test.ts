// Servers with good keys and bad intentions: no client throws, and each failure has a name.

import { assert, assertEquals } from "@std/assert";
import { decodePacket, Flag, type Frame, MessageType, PacketWriter } from "../../src/wire/frame.ts";
import { encodeError } from "../../src/wire/error_payload.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { encodeResponse } from "../../src/wire/response_payload.ts";
import { decodeTermination, encodeTermination } from "../../src/wire/termination_payload.ts";
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
import type { TestClient } from "../harness/sqp_client.ts";
import { SqpPair } from "../harness/sqp_pair.ts";

const NOTHING = new Uint8Array(0);

/** A client in a session with open requests 1 and 2, and a server that says what a test wants. */
class Betrayed {
  readonly pair = new SqpPair().connect();
  readonly client: TestClient = this.pair.client;
  readonly asked = [this.client.ask("hang"), this.client.ask("hang")];
  /** Far above what the server's transport has used. */
  nextNumber = 50_000;
  sessionId: bigint;
  /** What the client says to this server. */
  readonly heard: Frame[] = [];

  constructor() {
    this.pair.advance(100);
    const { session, gate } = this.pair.serverSide(this.client)!.stack;
    this.sessionId = session!.sessionId;
    // From now on a test is the server: the true one hears nothing any more.
    gate!.handlePacket = (packet) => this.heard.push(...decodePacket(packet).frames);
  }

  /** The reasons of the Terminations that the client sent. */
  get farewells(): string[] {
    const ends = this.heard.filter(({ type }) => type === MessageType.TERMINATION);
    return ends.map(({ payload }) => {
      const { reason, message } = decodeTermination(payload);
      return `${reason}: ${message}`;
    });
  }

  packet(...frames: ScriptFrame[]): Uint8Array {
    const writer = new PacketWriter(this.nextNumber++, this.sessionId, 2_000);
    for (const { type, flags, requestId, payload } of frames) {
      writer.frame(type, flags, requestId, payload.length).set(payload);
    }
    return writer.finish().slice();
  }

  say(...frames: ScriptFrame[]): void {
    this.sayPacket(this.packet(...frames));
  }

  sayPacket(packet: Uint8Array): void {
    const { association } = this.pair.serverSide(this.client)?.stack ?? {};
    if (association?.state !== "connected") return;
    this.client.handleDatagram(association.sealApplicationData(packet), this.pair.now);
    this.pair.settle();
  }

  /** Lets everything come to its end and checks that nothing is left. */
  finish(): void {
    this.pair.finish();
  }
}

const FAULTS: Record<string, { frames: ScriptFrame[]; error: string }> = {
  "an Ack of a packet that was never sent": { frames: [ack(40_000)], error: "ack_of_unsent" },
  "a Query from a server": {
    frames: [message(MessageType.QUERY, 1, NOTHING)],
    error: "unexpected_message",
  },
  "an answer to a request that was never sent": {
    frames: [message(MessageType.RESPONSE, 77, NOTHING)],
    error: "unexpected_message",
  },
  "a stream of a request that was never sent": {
    frames: [streamData(77, 2, 0, new Uint8Array(1))],
    error: "bad_stream_id",
  },
  "a stream of the client's side": {
    frames: [streamData(1, 1, 0, new Uint8Array(1))],
    error: "bad_stream_id",
  },
  "a stream beyond its credit": {
    frames: [streamData(1, 2, 300_000, new Uint8Array(1))],
    error: "credit_exceeded",
  },
  "an Error that cannot be read": {
    frames: [message(MessageType.ERROR, 1, new Uint8Array([0xc1]))],
    error: "malformed_payload",
  },
  "a StreamEnd that cannot be read": {
    frames: [streamEnd(1, 2, 0, new Uint8Array([0xc1]))],
    error: "malformed_payload",
  },
  "a Termination that cannot be read": {
    frames: [message(MessageType.TERMINATION, 0, new Uint8Array([0x80]))],
    error: "malformed_payload",
  },
  "a Response beyond message_bytes": {
    frames: [fragment(MessageType.RESPONSE, 1, 0, 4_000_000, new Uint8Array(1))],
    error: "message_too_large",
  },
  "a flag that the type does not have": {
    frames: [{ type: MessageType.RESPONSE, flags: Flag.FIN, requestId: 1, payload: NOTHING }],
    error: "malformed_packet",
  },
};

for (const [name, { frames, error }] of Object.entries(FAULTS)) {
  Deno.test(`${name} ends the client's session with ${error}, and the server is told`, () => {
    const betrayed = new Betrayed();
    betrayed.say(...frames);
    const { client, asked, pair } = betrayed;
    assertEquals([client.ended?.codeName, asked.map(({ outcome }) => outcome)], [error, [
      error,
      error,
    ]]);
    pair.runUntilIdle();
    assertEquals(betrayed.farewells.length, 1);
    assert(betrayed.farewells[0]!.startsWith(`fault: ${error}`), betrayed.farewells[0]);
    pair.checkReleased();
  });
}

Deno.test("another session id ends the client's session with bad_session_id", () => {
  const betrayed = new Betrayed();
  betrayed.sessionId++;
  betrayed.say(message(MessageType.RESPONSE, 1, NOTHING));
  assertEquals(betrayed.client.ended?.codeName, "bad_session_id");
  betrayed.finish();
});

Deno.test("a Response that cannot be read fails its request alone, and gives its place back", () => {
  const betrayed = new Betrayed();
  const { client, asked, pair } = betrayed;
  betrayed.say(message(MessageType.RESPONSE, 1, new Uint8Array([0xc1])));
  assertEquals(asked.map(({ outcome }) => outcome), ["incomplete_result", "open"]);
  const echo = client.ask("echo");
  pair.advance(50);
  const page = new Uint8Array([0x90]);
  const whole = { kind: "page", columns: [], page, changes: 0, rowid: null } as const;
  betrayed.say(message(MessageType.RESPONSE, echo.requestId, encodeResponse(whole)));
  assertEquals(echo.outcome, "done");
  betrayed.finish();
});

Deno.test("a stream without trailer, or that ends early, is no result", () => {
  const betrayed = new Betrayed();
  const { asked, pair } = betrayed;
  const columns = [{ name: "a", declaredType: null }];
  const head = encodeResponse({ kind: "stream", columns, streamId: 40 });
  betrayed.say(message(MessageType.RESPONSE, 1, head), streamData(1, 40, 0, NOTHING, true));
  pair.advance(10);
  assertEquals(asked[0]!.outcome, "incomplete_result");
  betrayed.finish();
});

Deno.test("several streams of one request are no more than one", () => {
  const betrayed = new Betrayed();
  const { asked, client } = betrayed;
  for (let streamId = 40; streamId < 80; streamId += 2) {
    betrayed.say(streamData(1, streamId, 0, new Uint8Array(1_000)));
  }
  assert(client.stack.transport!.bufferedBytes <= 4_096);
  assertEquals([asked[0]!.outcome, client.isReady], ["open", true]);
  betrayed.finish();
});

Deno.test("an Error and a Termination in any order tell the client why its session ends", () => {
  const error = message(MessageType.ERROR, 0, encodeError(new SqpError("overloaded").toPayload()));
  const end = (reason: string) =>
    message(
      MessageType.TERMINATION,
      0,
      encodeTermination({ reason, message: "the reason", drainMs: 0 }),
    );
  const orders: [ScriptFrame[][], string][] = [
    [[[error, end("refused")]], "overloaded"],
    [[[end("refused"), error]], "overloaded"],
    [[[end("refused")], [error]], "overloaded"],
    [[[end("refused")]], "session_closed"],
    [[[end("shutdown")]], "shutting_down"],
    [[[end("idle")]], "idle_timeout"],
    [[[end("fault")]], "protocol_violation"],
    [[[end("something new")]], "session_closed"],
  ];
  for (const [packets, codeName] of orders) {
    const betrayed = new Betrayed();
    for (const frames of packets) betrayed.say(...frames);
    betrayed.pair.advance(4_000);
    assertEquals(betrayed.client.ended?.codeName, codeName);
    betrayed.finish();
  }
});

Deno.test("Terminations that announce an end may be repeated, and change nothing", () => {
  const betrayed = new Betrayed();
  const { client, pair, asked } = betrayed;
  const payload = encodeTermination({ reason: "draining", message: "", drainMs: 9_000 });
  for (let i = 0; i < 5; i++) betrayed.say(message(MessageType.TERMINATION, 0, payload));
  pair.advance(100);
  assertEquals([client.ended, asked[0]!.outcome], [undefined, "open"]);
  assertEquals(client.events.filter(({ kind }) => kind === "draining").length, 1);
  for (const { requestId } of asked) {
    const error = encodeError(new SqpError("shutting_down").toPayload());
    betrayed.say(message(MessageType.ERROR, requestId, error));
  }
  pair.runUntilIdle();
  assertEquals(client.ended?.codeName, "shutting_down");
  assertEquals(new Set(betrayed.farewells), new Set(["closed: The client is done."]));
  pair.checkReleased();
});

Deno.test("random packets of a server never make a client throw, and leave nothing", () => {
  const random = new Random(12);
  for (let round = 0; round < 60; round++) {
    const betrayed = new Betrayed();
    for (let i = 0; i < 30; i++) {
      const frames = Array.from({ length: random.integer(1, 4) }, (): ScriptFrame => ({
        type: random.integer(1, random.chance(0.1) ? 20 : 13) as MessageType,
        flags: random.chance(0.8) ? 0 : 1 << random.integer(0, 3),
        requestId: random.pick([0, 0, 1, 2, 3]),
        payload: random.bytes(random.pick([0, 1, 8, 9, 12, 13, 40, 300])),
      }));
      const packet = betrayed.packet(...frames, credit(0, 0, random.u32()));
      if (random.chance(0.1)) packet[random.integer(0, packet.length - 1)]! ^= 1;
      betrayed.sayPacket(packet);
      betrayed.pair.advance(random.integer(0, 20));
    }
    betrayed.finish();
  }
});
