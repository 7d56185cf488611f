import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { TransportFaultCode, TransportLimitError } from "../../src/transport/fault.ts";
import { MessageAssembler } from "../../src/transport/message_assembler.ts";
import { MessageType } from "../../src/wire/frame.ts";
import { ack, credit, fragment, message } from "../harness/script.ts";
import { Random } from "../harness/random.ts";
import { scripted, takeEvents, wantFault } from "./fixture.ts";

const { QUERY, RESPONSE, ERROR, CANCEL, TERMINATION, MOVE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE } =
  MessageType;
const bytes = (length: number, seed = length) => new Random(seed).bytes(length);

/** What the layer above was told, `type:requestId`. */
function told(transport: Parameters<typeof takeEvents>[0]): string[] {
  return takeEvents(transport).map((event) =>
    event.kind === "message" ? `${event.type}:${event.requestId}` : event.kind
  );
}

Deno.test("any order, overlap and duplication of fragments gives the same message", () => {
  const cuts = fc.array(fc.tuple(fc.nat(999), fc.integer({ min: 1, max: 300 })), { maxLength: 40 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), cuts, fc.nat(), (total, parts, seed) => {
      const whole = bytes(total, seed);
      const pieces = parts.map(([start, length]) => [start % total, length] as const);
      for (let start = 0; start < total; start += 100) pieces.push([start, 100]);
      const assembler = new MessageAssembler(total);
      let complete: Uint8Array | undefined;
      for (const [offset, length] of new Random(seed).shuffle(pieces)) {
        const part = whole.slice(offset, offset + length);
        complete = assembler.add({ offset, totalBytes: total, bytes: part }) ?? complete;
      }
      assertEquals(complete, whole);
    }),
  );
});

Deno.test("an overlap with unequal bytes is a fault wherever it is", () => {
  const present = [[10, 50], [70, 100], [130, 190]] as const;
  const inside = fc.oneof(
    ...present.map(([start, end]) => fc.integer({ min: start, max: end - 1 })),
  );
  fc.assert(fc.property(inside, fc.nat(150), fc.nat(150), fc.nat(), (at, before, after, seed) => {
    const whole = bytes(200, seed);
    const assembler = new MessageAssembler(200);
    for (const [offset, end] of present) {
      assembler.add({ offset, totalBytes: 200, bytes: whole.slice(offset, end) });
    }
    const start = Math.max(0, at - before);
    const wrong = whole.slice(start, at + 1 + after);
    wrong[at - start]! ^= 0x10;
    assertThrows(
      () => assembler.add({ offset: start, totalBytes: 200, bytes: wrong }),
      Error,
      "FRAGMENT_CONFLICT",
    );
  }));
});

Deno.test("fragments that differ in total length are a fault", () => {
  const { transport, script } = scripted("server");
  script.write(fragment(QUERY, 1, 0, 2_000, bytes(1_000)));
  script.write(fragment(QUERY, 1, 1_000, 2_001, bytes(1_000)));
  wantFault(transport, TransportFaultCode.FRAGMENT_CONFLICT);
});

Deno.test("a second Query for one request_id is dropped, before and after the request is finished", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(10)));
  script.write(message(QUERY, 1, bytes(10)));
  assertEquals(told(transport), ["1:1"]);
  transport.finishRequest(1);
  script.write(message(QUERY, 1, bytes(11)));
  script.write(fragment(QUERY, 1, 0, 2_000, bytes(1_000)));
  assertEquals(told(transport), []);
  assertEquals(transport.drops.get("message seen"), 1);
  assertEquals(transport.drops.get("request finished"), 2);
  assertEquals(transport.bufferedBytes, 0);
});

Deno.test("a Cancel that overtakes its Query is told right after it", () => {
  const { transport, script } = scripted("server");
  script.write(message(CANCEL, 5, bytes(0)));
  assertEquals(told(transport), []);
  script.write(message(QUERY, 5, bytes(1)));
  assertEquals(told(transport), ["1:5", "10:5"]);
  script.write(message(CANCEL, 5, bytes(0)));
  assertEquals(told(transport), []);
});

Deno.test("a message that the peer's role may not send is a fault", () => {
  for (const type of [RESPONSE, HANDSHAKE_RESPONSE]) {
    const { transport, script } = scripted("server");
    script.write(message(type, type === RESPONSE ? 1 : 0, bytes(1)));
    wantFault(transport, TransportFaultCode.UNEXPECTED_MESSAGE);
  }
  for (const type of [QUERY, CANCEL, HANDSHAKE_REQUEST]) {
    const { transport, script } = scripted("client");
    transport.sendMessage(QUERY, 1, bytes(1));
    script.write(message(type, type === HANDSHAKE_REQUEST ? 0 : 1, bytes(1)));
    wantFault(transport, TransportFaultCode.UNEXPECTED_MESSAGE);
  }
});

Deno.test("a request_id where there is none to be, or none where there must be one, is a fault", () => {
  const frames = [
    message(QUERY, 0, bytes(1)),
    message(TERMINATION, 1, bytes(1)),
    message(HANDSHAKE_REQUEST, 1, bytes(1)),
    message(MessageType.HEARTBEAT, 1, bytes(9)),
    message(MessageType.ACK, 1, bytes(12)),
    credit(1, 0, 100),
  ];
  for (const frame of frames) {
    const { transport, script } = scripted("server");
    script.write(frame);
    wantFault(transport, TransportFaultCode.UNEXPECTED_MESSAGE);
  }
});

Deno.test("a Response to a request that was never sent is a fault, one to a finished request is dropped", () => {
  const { transport, script } = scripted("client");
  transport.sendMessage(QUERY, 3, bytes(1));
  script.write(message(RESPONSE, 3, bytes(1)));
  assertEquals(told(transport), ["2:3"]);
  transport.finishRequest(3);
  script.write(message(RESPONSE, 3, bytes(1)));
  assertEquals(told(transport), []);
  script.write(message(RESPONSE, 2, bytes(1)));
  wantFault(transport, TransportFaultCode.UNEXPECTED_MESSAGE);
});

Deno.test("what answers a request that was given up is dropped, and its session credit granted again", () => {
  const { transport, script } = scripted("client");
  transport.sendMessage(QUERY, 1, bytes(1));
  transport.sendMessage(QUERY, 2, bytes(1));
  script.write(fragment(RESPONSE, 1, 0, 5_000, bytes(100)));
  transport.finishRequest(1);
  transport.finishRequest(2);
  assertEquals(transport.stats().openRequests, 1);
  script.write(fragment(RESPONSE, 1, 100, 5_000, bytes(100)));
  script.write(fragment(RESPONSE, 2, 100, 7_000, bytes(100)));
  script.write(fragment(RESPONSE, 2, 0, 7_000, bytes(100)));
  const stats = transport.stats();
  assertEquals([stats.sessionBytesReceived, stats.sessionBytesConsumed], [12_000, 12_000]);
  // The two queries of one byte each.
  assertEquals([stats.openRequests, transport.bufferedBytes], [0, 2]);
  assertEquals(told(transport), []);
});

Deno.test("ids that leave too large a gap, and too many requests, are a fault", () => {
  const gap = scripted("server", { idGapMax: 100 });
  gap.script.write(message(QUERY, 100, bytes(1)));
  gap.script.write(message(QUERY, 200, bytes(1)));
  assertEquals(told(gap.transport), ["1:100", "1:200"]);
  gap.script.write(message(QUERY, 301, bytes(1)));
  wantFault(gap.transport, TransportFaultCode.LIMIT_EXCEEDED);
  const many = scripted("server", { requestsMax: 3 });
  for (const id of [1, 2, 3]) many.script.write(message(QUERY, id, bytes(1)));
  many.transport.finishRequest(2);
  many.script.write(message(QUERY, 4, bytes(1)));
  assertEquals(told(many.transport).length, 4);
  many.script.write(message(QUERY, 5, bytes(1)));
  wantFault(many.transport, TransportFaultCode.LIMIT_EXCEEDED);
});

Deno.test("a peer that skips too many ids is at fault, so that the memory of ids is bounded", () => {
  const { transport, script } = scripted("server");
  for (let id = 2; !told(transport).includes("fault"); id += 2) {
    if (id > 10_000) throw new Error("no fault");
    script.write(message(QUERY, id, bytes(1)));
    transport.finishRequest(id);
  }
});

Deno.test("a message longer than the limit is a fault, a handshake's limit is its own", () => {
  const query = scripted("server", { messageBytesMax: 9_000 });
  query.script.write(fragment(QUERY, 1, 0, 9_000, bytes(10)));
  assertEquals(told(query.transport), []);
  query.script.write(fragment(QUERY, 2, 0, 9_001, bytes(10)));
  wantFault(query.transport, TransportFaultCode.MESSAGE_TOO_LARGE);
  const handshake = scripted("server");
  handshake.script.write(fragment(HANDSHAKE_REQUEST, 0, 0, 8_193, bytes(10)));
  wantFault(handshake.transport, TransportFaultCode.MESSAGE_TOO_LARGE);
});

Deno.test("a fragmented message charges its total length once; past the credit it is a fault", () => {
  const { transport, script } = scripted("server", { sessionCreditBytes: 20_000 });
  script.write(fragment(QUERY, 1, 0, 15_000, bytes(10)));
  script.write(fragment(QUERY, 1, 10, 15_000, bytes(10)));
  assertEquals(transport.stats().sessionBytesReceived, 15_000);
  assertEquals(transport.bufferedBytes, 15_000);
  script.write(fragment(QUERY, 2, 0, 5_001, bytes(10)));
  wantFault(transport, TransportFaultCode.CREDIT_EXCEEDED);
  assertEquals(transport.bufferedBytes, 0);
});

Deno.test("a message waits for session credit, says so once, and streams leave the credit to it", () => {
  const { transport, script } = scripted("client", {}, { sessionCreditBytes: 12_288 });
  transport.sendMessage(QUERY, 1, bytes(5_000));
  transport.sendMessage(QUERY, 2, bytes(8_000));
  transport.writeStream(transport.openStream(1), bytes(2_000));
  assertEquals(script.read()![0], "blocked 0: 12288");
  assertEquals(script.drain(), 4);
  assertEquals(transport.stats().sessionBytesSent, 5_000);
  script.advance(20);
  script.write(ack(0, 1, 2, 3, 4), credit(0, 0, 30_000));
  script.drain();
  assertEquals(transport.stats().sessionBytesSent, 15_000);
});

Deno.test("a blocked peer is granted what there is, though it is less than half of the window", () => {
  const { transport, script } = scripted("server", { sessionCreditBytes: 20_000 });
  script.write(
    fragment(QUERY, 1, 0, 2_000, bytes(1_000)),
    fragment(QUERY, 1, 1_000, 2_000, bytes(1_000)),
  );
  assertEquals(told(transport), ["1:1"]);
  script.drain();
  script.write(credit(0, 0, 20_000, true));
  script.want("ack 0 1", "credit 0: 22000");
});

Deno.test("fragments of different messages take turns, and short messages go first", () => {
  const { transport, script } = scripted("server");
  for (const id of [1, 2]) script.write(message(QUERY, id, bytes(1)));
  script.drain();
  transport.sendMessage(RESPONSE, 1, bytes(3_000));
  transport.sendMessage(RESPONSE, 2, bytes(1_500));
  transport.sendMessage(ERROR, 0, bytes(100));
  script.want("ERROR 0: 100", "RESPONSE 1: 0+1004 of 3000");
  script.want("RESPONSE 2: 0+1128 of 1500");
  script.want("RESPONSE 1: 1004+1128 of 3000");
  script.want("RESPONSE 2: 1128+372 of 1500", "RESPONSE 1: 2132+724 of 3000");
  script.want("RESPONSE 1: 2856+144 of 3000");
  script.wantIdle();
});

Deno.test("what is lost is sent again in a new packet, only what is lost, until it has arrived", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(1)));
  transport.sendMessage(RESPONSE, 1, bytes(4_000));
  script.want("ack 0", "RESPONSE 1: 0+1092 of 4000");
  assertEquals(script.drain(), 3);
  script.advance(40);
  script.write(ack(0, 2, 3));
  script.wantIdle();
  script.advance(10);
  script.want("RESPONSE 1: 1092+1128 of 4000");
  script.write(ack(4));
  assertEquals(transport.isDrained, true);
  assertEquals(transport.bufferedBytes, 0);
});

Deno.test("a HandshakeRequest shares its packets with nothing but an Ack", () => {
  const { transport, script } = scripted("client");
  transport.sendMessage(HANDSHAKE_REQUEST, 0, bytes(1_500));
  transport.sendMessage(QUERY, 1, bytes(10));
  transport.sendHeartbeat(bytes(9));
  script.want("HANDSHAKE_REQUEST 0: 0+1128 of 1500");
  script.want("HANDSHAKE_REQUEST 0: 1128+372 of 1500");
  script.want("HEARTBEAT 0: 9", "QUERY 1: 10");
});

Deno.test("of several Moves the newest counts, for the sender and for the receiver", () => {
  const { transport, script } = scripted("server");
  transport.sendMessage(MOVE, 0, bytes(2));
  script.want("MOVE 0: 2");
  transport.sendMessage(MOVE, 0, bytes(3));
  script.want("MOVE 0: 3");
  script.advance(2_000);
  assertEquals(script.read(), ["MOVE 0: 3"]);
  script.nextNumber = 1;
  script.write(message(MOVE, 0, bytes(1)));
  script.nextNumber = 0;
  script.write(message(MOVE, 0, bytes(1)));
  assertEquals(told(transport), ["12:0"]);
});

Deno.test("calls past a limit of either side are refused and change nothing", () => {
  const { transport, script } = scripted("client", { requestsMax: 2 }, { messageBytesMax: 5_000 });
  const refused = (id: number, length: number, type: MessageType = QUERY) =>
    assertThrows(() => transport.sendMessage(type, id, bytes(length)), TransportLimitError);
  refused(1, 5_001);
  transport.sendMessage(QUERY, 1, bytes(5_000));
  refused(1, 1);
  refused(1 + 4_097, 1);
  transport.sendMessage(QUERY, 2, bytes(1));
  refused(3, 1);
  refused(0, 1_001, TERMINATION);
  refused(1, 1_001, CANCEL);
  refused(0, 8_193, HANDSHAKE_REQUEST);
  const narrow = scripted("client", {}, { sessionCreditBytes: 13_000 });
  assertThrows(() => narrow.transport.sendMessage(QUERY, 1, bytes(13_001)), TransportLimitError);
  narrow.transport.sendMessage(QUERY, 1, bytes(13_000));
  assertThrows(() => transport.sendMessage(MessageType.ACK, 0, bytes(1)), TypeError);
  assertEquals(transport.stats().openRequests, 2);
  assertEquals(transport.bufferedBytes, 5_001);
  script.drain();
});

Deno.test("answers go by their urgency, messages before streams of the same, and what is no answer first", () => {
  const { transport, script } = scripted("server");
  const ids = [1, 2, 3, 4];
  for (const id of ids) script.write(message(QUERY, id, bytes(1)));
  told(transport);
  script.advance(30);
  script.drain();
  const streamId = transport.openStream(1, 2);
  transport.writeStream(streamId, bytes(900));
  transport.sendMessage(RESPONSE, 2, bytes(100), 7);
  transport.sendMessage(RESPONSE, 3, bytes(100), 2);
  transport.sendMessage(RESPONSE, 4, bytes(800), 0);
  transport.sendMessage(MOVE, 0, bytes(2), 7);
  script.want("RESPONSE 4: 800", "MOVE 0: 2", "RESPONSE 3: 100", "stream 2 of 1: 0+150");
  script.want("stream 2 of 1: 150+750", "RESPONSE 2: 100");
  script.wantIdle();
});
