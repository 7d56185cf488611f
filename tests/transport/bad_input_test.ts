import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import type { Transport } from "../../src/transport/transport.ts";
import { MessageType } from "../../src/wire/frame.ts";
import {
  ack,
  credit,
  fragment,
  message,
  Script,
  type ScriptFrame,
  streamData,
  streamEnd,
} from "../harness/script.ts";
import { Random } from "../harness/random.ts";
import { PACKET_BYTES, scripted, SESSION_ID, takeEvents } from "./fixture.ts";

const bytes = (length: number) => new Random(length).bytes(length);

/** A transport in mid-session: something sent, something received, a stream each way. */
function inSession(role: "client" | "server"): { transport: Transport; script: Script } {
  const { transport, script } = scripted(role);
  const isClient = role === "client";
  if (isClient) transport.sendMessage(MessageType.QUERY, 1, bytes(3_000));
  else script.write(message(MessageType.QUERY, 1, bytes(10)));
  transport.writeStream(transport.openStream(1), bytes(500));
  script.drain();
  script.write(streamData(1, isClient ? 2 : 1, 0, bytes(50)));
  takeEvents(transport);
  return { transport, script };
}

/** One valid packet of each kind. */
function validFrames(role: "client" | "server"): ScriptFrame[][] {
  const isClient = role === "client";
  const peerStream = isClient ? 2 : 1;
  const reply = isClient ? MessageType.RESPONSE : MessageType.QUERY;
  return [
    [ack(0)],
    [message(reply, isClient ? 1 : 2, bytes(20))],
    [fragment(reply, isClient ? 1 : 2, 0, 3_000, bytes(30))],
    [streamData(1, peerStream, 50, bytes(20), true)],
    [streamEnd(1, peerStream, 60, bytes(9))],
    [credit(1, isClient ? 1 : 2, 600_000), credit(0, 0, 1, true)],
    [message(MessageType.TERMINATION, 0, bytes(12))],
    [message(MessageType.HEARTBEAT, 0, bytes(9))],
    [ack(0), message(MessageType.MOVE, 0, bytes(2)), streamData(1, peerStream + 2, 0, bytes(5))],
  ];
}

/** Handles a packet and what follows from it. */
function survive(transport: Transport, script: Script, packet: Uint8Array): void {
  transport.handleDatagram(packet, script.now);
  for (let i = 0; i < 3; i++) {
    takeEvents(transport);
    for (let sent; (sent = transport.pollTransmit(script.now)) !== undefined;) {
      assert(sent.length <= PACKET_BYTES);
    }
    script.now += 30;
    transport.handleTimeout(script.now);
  }
}

for (const role of ["client", "server"] as const) {
  Deno.test(`every truncation of a valid packet of each kind is survived by a ${role}`, () => {
    for (const frames of validFrames(role)) {
      const { length } = new Script(inSession(role).transport, SESSION_ID).packet(...frames);
      for (let cut = 0; cut < length; cut++) {
        const { transport, script } = inSession(role);
        survive(transport, script, script.packet(...frames).subarray(0, cut));
      }
    }
  });

  Deno.test(`every flip of one bit of a valid packet of each kind is survived by a ${role}`, () => {
    for (const frames of validFrames(role)) {
      const { length } = new Script(inSession(role).transport, SESSION_ID).packet(...frames);
      for (let bit = 0; bit < 8 * length; bit++) {
        const { transport, script } = inSession(role);
        const packet = script.packet(...frames);
        packet[bit >> 3]! ^= 0x80 >> (bit & 7);
        survive(transport, script, packet);
      }
    }
  });

  Deno.test(`random bytes and random frames are survived by a ${role}, in bounded memory`, () => {
    const random = fc.uint8Array({ maxLength: 300 });
    const frame = fc.record({
      type: fc.integer({ min: 1, max: 13 }) as fc.Arbitrary<MessageType>,
      flags: fc.constantFrom(0, 0, 1, 2, 4),
      requestId: fc.integer({ min: 0, max: 4 }),
      payload: fc.oneof(fc.uint8Array({ maxLength: 40 }), smallFields()),
    });
    const packets = fc.array(fc.array(frame, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
    fc.assert(
      fc.property(packets, random, (list, noise) => {
        const { transport, script } = inSession(role);
        for (const frames of list) survive(transport, script, script.packet(...frames));
        survive(transport, script, noise);
        assert(transport.bufferedBytes < 20_000_000);
        transport.close();
        assertEquals(transport.bufferedBytes, 0);
      }),
      { numRuns: 300 },
    );
  });
}

/** Payloads whose first fields are small numbers, so that they mean something. */
function smallFields(): fc.Arbitrary<Uint8Array> {
  const fields = fc.array(fc.nat(6), { minLength: 1, maxLength: 4 });
  return fc.tuple(fields, fc.uint8Array({ maxLength: 30 })).map(([numbers, rest]) => {
    const payload = new Uint8Array(4 * numbers.length + rest.length);
    numbers.forEach((number, i) => payload[4 * i + 3] = number);
    payload.set(rest, 4 * numbers.length);
    return payload;
  });
}
