import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { NEVER } from "../../src/base/core.ts";
import { AckState } from "../../src/transport/ack_state.ts";
import { MessageType } from "../../src/wire/frame.ts";
import { ack, message, streamData } from "../harness/script.ts";
import { scripted, takeKinds } from "./fixture.ts";

const heartbeat = () => message(MessageType.HEARTBEAT, 0, new Uint8Array(9));

Deno.test("9000 13.2.1: a lone packet is acknowledged within max_ack_delay", () => {
  const { script } = scripted("server");
  script.write(heartbeat());
  script.wantIdle();
  script.advance(24.9);
  script.wantIdle();
  script.advance(0.1);
  script.want("ack 0");
  script.wantIdle();
});

Deno.test("9000 13.2.2: an Ack is sent after at least two ack-eliciting packets", () => {
  const { script } = scripted("server");
  script.write(heartbeat());
  script.wantIdle();
  script.write(heartbeat());
  script.want("ack 0 1");
  script.write(heartbeat());
  script.wantIdle();
});

Deno.test("9000 13.2.1: without delay when the number is less than another ack-eliciting packet's", () => {
  const { script } = scripted("server");
  script.nextNumber = 1;
  script.write(heartbeat());
  script.want("ack 1");
  script.nextNumber = 0;
  script.write(heartbeat());
  script.want("ack 0 1");
});

Deno.test("9000 13.2.1: without delay when packets are missing before it", () => {
  const { script } = scripted("server");
  script.write(heartbeat(), heartbeat());
  script.write(heartbeat());
  script.want("ack 0 1");
  script.nextNumber = 3;
  script.write(heartbeat());
  script.want("ack 0 1 3");
});

Deno.test("the end of a stream and the handshake are acknowledged at once", () => {
  const { script } = scripted("server");
  script.write(streamData(1, 1, 0, new Uint8Array(5)));
  script.wantIdle();
  script.write(streamData(1, 1, 5, new Uint8Array(5), true));
  script.want("ack 0 1");
  const early = scripted("server");
  early.script.sessionId = 0n;
  early.script.write(message(MessageType.HANDSHAKE_REQUEST, 0, new Uint8Array(5)));
  early.script.want("ack 0");
});

Deno.test("9000 13.2.1: no packet is sent in response to a non-ack-eliciting packet", () => {
  const { transport, script } = scripted("server");
  transport.sendHeartbeat(new Uint8Array(9));
  script.want("HEARTBEAT 0: 9");
  script.nextNumber = 7;
  script.write(ack(0));
  script.wantIdle();
  script.write(ack(0));
  script.wantIdle();
  assertEquals(transport.pollTimeout(), NEVER);
});

Deno.test("9000 13.2.1: an Ack rides with other frames when there is something new to acknowledge", () => {
  const { transport, script } = scripted("server");
  script.write(heartbeat());
  transport.sendHeartbeat(new Uint8Array(9));
  script.want("ack 0", "HEARTBEAT 0: 9");
  transport.sendHeartbeat(new Uint8Array(10));
  script.want("HEARTBEAT 0: 10");
  script.advance(30);
  script.wantIdle();
});

Deno.test("packets of Acks alone show in later bitmaps", () => {
  const { transport, script } = scripted("server");
  transport.sendHeartbeat(new Uint8Array(9));
  script.drain();
  script.write(ack(0));
  script.write(heartbeat());
  script.advance(25);
  script.want("ack 0 1");
});

Deno.test("9000 13.2.4: what an acknowledged Ack reported is not reported again", () => {
  const { transport, script } = scripted("server");
  script.write(heartbeat());
  script.write(heartbeat());
  script.want("ack 0 1");
  transport.sendHeartbeat(new Uint8Array(9));
  script.drain();
  script.write(ack(0, 1));
  script.write(heartbeat());
  script.write(heartbeat());
  script.want("ack 2 3 4");
  // One that was missing then is reported although it is older.
  script.nextNumber = 20;
  script.write(heartbeat());
  script.want("ack 2 3 4 20");
  script.write(ack(3));
  script.write(ack(0));
  script.nextNumber = 10;
  script.write(heartbeat());
  script.want("ack 10 20 21 22");
});

Deno.test("a packet number received twice is dropped and counted", () => {
  const { transport, script } = scripted("server");
  script.write(heartbeat());
  script.nextNumber = 0;
  script.write(heartbeat());
  assertEquals(takeKinds(transport), ["message"]);
  assertEquals(transport.drops.get("duplicate packet"), 1);
});

Deno.test("9000 13.2.3: numbers below the bounded history count as duplicates", () => {
  const { transport, script } = scripted("server");
  script.write(heartbeat());
  script.nextNumber = 10_000;
  script.write(heartbeat());
  script.nextNumber = 10_000 - 4_096;
  script.write(heartbeat());
  assertEquals(transport.drops.get("old packet"), 1);
  script.write(heartbeat());
  assertEquals(takeKinds(transport).length, 3);
});

Deno.test("13.2.5: the delay of an Ack counts from when the largest packet was received", () => {
  const { transport, script } = scripted("server");
  const bytes = script.packet(heartbeat());
  transport.handleDatagram(bytes, script.now + 100, script.now);
  const packet = transport.pollTransmit(script.now + 100)!;
  const delayUs = new DataView(packet.buffer).getUint32(24 + 8);
  assertEquals(delayUs, 100_000);
});

Deno.test("9000 A.3: the packet number closest to the expected one is rebuilt from its low 32 bits", () => {
  const numbers = fc.record({
    largest: fc.integer({ min: 0, max: 2 ** 52 }),
    step: fc.integer({ min: -(2 ** 31) + 2, max: 2 ** 31 }),
  });
  fc.assert(fc.property(numbers, ({ largest, step }) => {
    const state = new AckState();
    state.onPacket(largest, false, false, 0);
    const number = Math.max(0, largest + step);
    assertEquals(state.decodeNumber(number % 2 ** 32), number);
  }));
});
