import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { concatBytes } from "../../src/base/bytes.ts";
import { TransportFaultCode, TransportLimitError } from "../../src/transport/fault.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { MessageType } from "../../src/wire/frame.ts";
import { ack, credit, message, streamData, streamEnd } from "../harness/script.ts";
import { Random } from "../harness/random.ts";
import { Pair, scripted, takeEvents, takeKinds, wantFault } from "./fixture.ts";

const bytes = (length: number, seed = length) => new Random(seed).bytes(length);

function readAll(transport: Transport, streamId: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let part; (part = transport.readStream(streamId)) !== undefined;) parts.push(part);
  return concatBytes(...parts);
}

/** A client with a request, and the script of its server. */
function client(
  ...options: Parameters<typeof scripted> extends [unknown, ...infer Rest] ? Rest : never
) {
  const made = scripted("client", ...options);
  made.transport.sendMessage(MessageType.QUERY, 1, bytes(1));
  made.script.drain();
  return made;
}

/** A server with a request, a stream of it, and the script of its client. */
function server(
  ...options: Parameters<typeof scripted> extends [unknown, ...infer Rest] ? Rest : never
) {
  const made = scripted("server", ...options);
  made.script.write(message(MessageType.QUERY, 1, bytes(1)));
  takeEvents(made.transport);
  made.script.advance(30);
  made.script.drain();
  return { ...made, streamId: made.transport.openStream(1) };
}

Deno.test("any order, overlap and duplication of stream bytes reads as what was written", () => {
  const cuts = fc.array(fc.tuple(fc.nat(19_999), fc.integer({ min: 1, max: 5_000 })), {
    maxLength: 30,
  });
  const size = fc.integer({ min: 0, max: 20_000 });
  fc.assert(
    fc.property(size, cuts, fc.nat(), (total, parts, seed) => {
      const whole = bytes(total, seed);
      const { transport, script } = client();
      const pieces = parts.map(([start, length]) => [start % (total + 1), length] as const);
      for (let start = 0; start <= total; start += 1_500) pieces.push([start, 1_500]);
      const read: Uint8Array[] = [];
      for (const [offset, length] of new Random(seed).shuffle(pieces)) {
        const part = whole.slice(offset, offset + length);
        const fin = offset + length >= total;
        if (part.length > 0 || fin) script.write(streamData(1, 2, offset, part, fin));
        if (seed % 2 === 0) read.push(readAll(transport, 2));
      }
      read.push(readAll(transport, 2));
      assertEquals(concatBytes(...read), whole);
      const kinds = takeKinds(transport);
      assertEquals(kinds.filter((kind) => kind === "stream-opened").length, 1);
      assertEquals(kinds.filter((kind) => kind === "stream-finished").length, 1);
      assertEquals([transport.stats().receiveStreams, transport.bufferedBytes], [0, 1]);
    }),
    { numRuns: 60 },
  );
});

Deno.test("readable is told once until all was read, finished when the last byte was read", () => {
  const { transport, script } = client();
  script.write(streamData(1, 2, 0, bytes(10)));
  assertEquals(takeKinds(transport), ["stream-opened", "stream-readable"]);
  script.write(streamData(1, 2, 10, bytes(10)));
  assertEquals(takeKinds(transport), []);
  assertEquals(readAll(transport, 2).length, 20);
  script.write(streamData(1, 2, 20, bytes(10), true));
  assertEquals(takeKinds(transport), ["stream-readable"]);
  assertEquals(transport.readStream(2)?.length, 10);
  assertEquals(takeKinds(transport), ["stream-finished"]);
  assertEquals(transport.readStream(2), undefined);
});

Deno.test("an empty payload with FIN ends a stream", () => {
  const { transport, script } = client();
  script.write(streamData(1, 2, 0, bytes(0), true));
  assertEquals(takeKinds(transport), ["stream-opened", "stream-finished"]);
});

Deno.test("9000 4.5: a final size cannot change, and no bytes lie at or beyond it", () => {
  const faulty = [
    [streamData(1, 2, 0, bytes(10), true), streamData(1, 2, 0, bytes(9), true)],
    [streamData(1, 2, 5, bytes(5), true), streamData(1, 2, 9, bytes(2))],
    [streamData(1, 2, 5, bytes(5)), streamData(1, 2, 0, bytes(9), true)],
    [streamData(1, 2, 5, bytes(5)), streamEnd(1, 2, 9, bytes(3))],
    [streamData(1, 2, 5, bytes(5), true), streamEnd(1, 2, 11, bytes(3))],
  ];
  for (const frames of faulty) {
    const { transport, script } = client();
    for (const frame of frames) script.write(frame);
    wantFault(transport, TransportFaultCode.FINAL_SIZE);
  }
});

Deno.test("9000 4.1: bytes past the credit of a stream or of the session are a fault", () => {
  const limits = { streamCreditBytes: 70_000, sessionCreditBytes: 100_000 };
  const stream = client(limits);
  stream.script.write(streamData(1, 2, 0, bytes(40_000)), streamData(1, 2, 69_999, bytes(1)));
  assertEquals(takeKinds(stream.transport).includes("fault"), false);
  stream.script.write(streamData(1, 2, 70_000, bytes(1)));
  wantFault(stream.transport, TransportFaultCode.CREDIT_EXCEEDED);
  const session = client(limits);
  session.script.write(streamData(1, 2, 69_999, bytes(1)), streamData(1, 4, 29_999, bytes(1)));
  session.script.write(streamData(1, 6, 0, bytes(1)));
  wantFault(session.transport, TransportFaultCode.CREDIT_EXCEEDED);
});

Deno.test("9000 4.1: credit is granted as the application consumes, when half of the window is used", () => {
  const { transport, script } = client({
    streamCreditBytes: 70_000,
    sessionCreditBytes: 1_000_000,
  });
  script.write(streamData(1, 2, 0, bytes(34_000)));
  readAll(transport, 2);
  script.advance(30);
  assertEquals(script.read(), ["ack 0"]);
  script.write(streamData(1, 2, 34_000, bytes(1_000)));
  readAll(transport, 2);
  script.want("ack 0 1", "credit 2: 105000");
  // What was read is let go, in whole blocks.
  assertEquals(transport.bufferedBytes, 1 + 4_096);
});

Deno.test("a lost Credit is sent again with the newest maximum", () => {
  const { transport, script } = client({ streamCreditBytes: 70_000 });
  script.write(streamData(1, 2, 0, bytes(35_000)));
  readAll(transport, 2);
  script.want("ack 0", "credit 2: 105000");
  script.write(streamData(1, 2, 35_000, bytes(35_000)));
  readAll(transport, 2);
  script.want("ack 0 1", "credit 2: 140000");
  for (let i = 0; i < 3; i++) transport.sendHeartbeat(bytes(9)), script.drain();
  // Number 1, with the old maximum, is lost first; then 2, with the newest.
  script.write(ack(0, 4));
  script.wantIdle();
  script.write(ack(0, 4, 5));
  script.want("credit 2: 140000");
});

Deno.test("a sender stops at the credit, says so once, and goes on when it gets more", () => {
  const { transport, script, streamId } = server({}, { streamCreditBytes: 66_000 });
  transport.writeStream(streamId, bytes(70_000));
  const frames: string[] = [];
  for (let i = 0; i < 100; i++) {
    const read = script.read();
    if (read !== undefined) frames.push(...read);
    else {
      script.advance(20);
      script.write(ack(...Array.from({ length: transport.stats().packetsSent }, (_, n) => n + 1)));
    }
  }
  assertEquals(frames.filter((frame) => frame.startsWith("blocked")), ["blocked 2: 66000"]);
  script.write(credit(1, 2, 65_000), credit(1, 2, 66_000));
  script.advance(30);
  assertEquals(script.read()?.some((frame) => frame.startsWith("stream")) ?? false, false);
  script.write(credit(1, 2, 67_000), credit(1, 2, 66_500));
  assertEquals(script.read()!.at(-1), "stream 2 of 1: 66000+1000");
  script.want("blocked 2: 67000");
  script.wantIdle();
});

Deno.test("credit for a stream that was never opened, or is the peer's, is a fault", () => {
  for (const streamId of [4, 1]) {
    const { transport, script } = server();
    script.write(credit(1, streamId, 100));
    wantFault(transport, TransportFaultCode.STREAM_STATE);
  }
});

Deno.test("a stream of the wrong parity, of request 0, of no request or of two is a fault", () => {
  const faulty = [
    [streamData(1, 3, 0, bytes(1))],
    [streamData(0, 2, 0, bytes(1))],
    [streamData(2, 2, 0, bytes(1))],
    [streamData(1, 2, 0, bytes(1)), streamEnd(0, 2, 1, bytes(1))],
  ];
  for (const frames of faulty) {
    const { transport, script } = client();
    for (const frame of frames) script.write(frame);
    wantFault(transport, TransportFaultCode.STREAM_STATE);
  }
});

Deno.test("too many streams are a fault, and a call that would open them is refused", () => {
  const { transport, script } = client({ streamsMax: 2 });
  for (const id of [2, 4]) script.write(streamData(1, id, 0, bytes(1)));
  transport.openStream(1);
  transport.openStream(1);
  assertThrows(() => transport.openStream(1), TransportLimitError);
  script.write(streamData(1, 6, 0, bytes(1)));
  wantFault(transport, TransportFaultCode.LIMIT_EXCEEDED);
});

Deno.test("streams with much to send take turns", () => {
  const { transport, script, streamId } = server();
  const other = transport.openStream(1);
  transport.writeStream(streamId, bytes(2_500));
  transport.writeStream(other, bytes(1_300));
  transport.finishStream(other);
  script.want("stream 2 of 1: 0+1124");
  script.want("stream 4 of 1: 0+1124");
  script.want("stream 2 of 1: 1124+1124");
  script.want("stream 4 of 1: 1124+176 FIN", "stream 2 of 1: 2248+252");
  script.wantIdle();
});

Deno.test("small writes go out together, from several chunks at once", () => {
  const { transport, script, streamId } = server();
  for (let i = 0; i < 50; i++) transport.writeStream(streamId, bytes(10, i));
  script.want("stream 2 of 1: 0+500");
  transport.finishStream(streamId);
  script.want("stream 2 of 1: 500+0 FIN");
  script.write(ack(0, 1, 2));
  assertEquals(transport.isDrained, true);
});

Deno.test("stream-writable comes when what waits falls below the low-water mark", () => {
  const { transport, script, streamId } = server({ streamLowWaterBytes: 3_000 });
  transport.writeStream(streamId, bytes(5_000));
  assertEquals(transport.streamBufferedBytes(streamId), 5_000);
  script.read();
  assertEquals(takeKinds(transport), []);
  script.read();
  assertEquals(transport.streamBufferedBytes(streamId), 5_000 - 2 * 1124);
  assertEquals(takeKinds(transport), ["stream-writable"]);
  script.drain();
  assertEquals(takeKinds(transport), []);
});

Deno.test("what was sent and not acknowledged keeps a writer waiting only where it is very much", () => {
  const { transport, script, streamId } = server({
    streamLowWaterBytes: 100,
    sentStreamBytesMax: 2_000,
  });
  transport.writeStream(streamId, bytes(5_000));
  script.drain();
  assertEquals(transport.streamBufferedBytes(streamId), 3_000);
  script.write(ack(0, 1, 2));
  assertEquals(takeKinds(transport), []);
  script.write(ack(0, 1, 2, 3, 4));
  assertEquals(transport.streamBufferedBytes(streamId), 0);
  assertEquals(takeKinds(transport), ["stream-writable"]);
});

Deno.test("writing past the limit of a stream is refused; late calls are counted", () => {
  const { transport, streamId } = server({ sendStreamBytesMax: 100 });
  transport.writeStream(streamId, bytes(100));
  assertThrows(() => transport.writeStream(streamId, bytes(1)), TransportLimitError);
  transport.finishStream(streamId);
  transport.writeStream(streamId, bytes(1));
  transport.writeStream(99, bytes(1));
  transport.finishStream(99);
  transport.abortStream(99, bytes(1));
  transport.stopStream(99);
  assertEquals(transport.drops.get("call for a finished stream"), 5);
});

Deno.test("an aborted stream sends StreamEnd with what was sent in total, and nothing else again", () => {
  const { transport, script, streamId } = server({}, { streamCreditBytes: 65_536 });
  transport.writeStream(streamId, bytes(3_000));
  script.want("stream 2 of 1: 0+1124");
  transport.abortStream(streamId, bytes(40));
  assertEquals(transport.bufferedBytes, 0);
  script.want("end 2 of 1: 1124, error of 40");
  script.wantIdle();
  script.advance(2_000);
  script.want("end 2 of 1: 1124, error of 40");
  script.write(ack(0, 3));
  assertEquals(transport.isDrained, true);
  assertThrows(() => transport.abortStream(streamId, bytes(989)), TransportLimitError);
});

Deno.test("a stream that the peer ends is told with its error; bytes not read are gone, but accounted for", () => {
  const { transport, script } = client();
  script.write(streamData(1, 2, 0, bytes(100)), streamData(1, 2, 300, bytes(100)));
  transport.readStream(2);
  takeEvents(transport);
  script.write(streamEnd(1, 2, 5_000, bytes(7)));
  const [event] = takeEvents(transport);
  assertEquals(event, {
    kind: "stream-ended",
    requestId: 1,
    streamId: 2,
    error: bytes(7),
  });
  assertEquals(transport.readStream(2), undefined);
  const stats = transport.stats();
  assertEquals([stats.sessionBytesReceived, stats.sessionBytesConsumed], [5_000, 5_000]);
  script.write(streamData(1, 2, 100, bytes(100)));
  assertEquals(takeKinds(transport), []);
  assertEquals(transport.drops.get("stream finished"), 1);
});

Deno.test("a stopped stream drops its bytes and grants credit for them, until its final size is known", () => {
  const { transport, script } = client({ streamCreditBytes: 70_000, sessionCreditBytes: 70_000 });
  script.write(streamData(1, 2, 0, bytes(10_000)), streamData(1, 2, 20_000, bytes(10)));
  transport.stopStream(2);
  assertEquals(transport.bufferedBytes, 1);
  takeEvents(transport);
  script.write(streamData(1, 2, 20_010, bytes(49_990)));
  assertEquals(script.read(), ["ack 0 1", "credit 2: 140000", "credit 0: 140000"]);
  script.write(streamData(1, 2, 100_000, bytes(10), true));
  assertEquals(transport.stats().sessionBytesConsumed, 100_010);
  assertEquals([takeKinds(transport), transport.stats().receiveStreams], [[], 0]);
});

Deno.test("a stream of a request that is finished is accounted for and not told", () => {
  const { transport, script } = client();
  script.write(message(MessageType.RESPONSE, 1, bytes(1)));
  transport.finishRequest(1);
  takeEvents(transport);
  script.write(streamData(1, 2, 0, bytes(500)));
  script.write(streamData(1, 2, 500, bytes(500), true));
  const stats = transport.stats();
  assertEquals([stats.sessionBytesConsumed, stats.receiveStreams], [1_000, 0]);
  assertEquals(takeKinds(transport), []);
});

Deno.test("many small pieces hold little more memory than their bytes, too many gaps are a fault", () => {
  const { transport, script } = client();
  let offset = 0;
  for (; offset < 4_000; offset += 2) script.write(streamData(1, 2, offset, bytes(1)));
  assertEquals(transport.bufferedBytes, 1 + 4_096);
  for (; offset < 4_200; offset += 2) script.write(streamData(1, 2, offset, bytes(1)));
  wantFault(transport, TransportFaultCode.LIMIT_EXCEEDED);
});

Deno.test("a slow reader stops only its own stream", () => {
  const pair = new Pair({
    clientLimits: { streamCreditBytes: 70_000, sessionCreditBytes: 400_000 },
  });
  const { client, server, simulation } = pair;
  client.transport.sendMessage(MessageType.QUERY, 1, bytes(1));
  simulation.advance(100);
  const slow = server.transport.openStream(1);
  const fast = server.transport.openStream(1);
  const whole = bytes(1_000_000);
  server.transport.writeStream(slow, whole.slice());
  server.transport.writeStream(fast, whole.slice());
  server.transport.finishStream(fast);
  const read: Uint8Array[] = [];
  client.onEvent = (event) => {
    if (event.kind !== "stream-readable" || event.streamId !== fast) return;
    for (let part; (part = client.transport.readStream(fast)) !== undefined;) read.push(part);
  };
  simulation.runUntil(() => client.events.some((event) => event.kind === "stream-finished"), {
    durationMs: 60_000,
  });
  assertEquals(concatBytes(...read), whole);
  assertEquals(client.transport.bufferedBytes, Math.ceil(70_000 / 4_096) * 4_096);
  assertEquals(server.transport.streamBufferedBytes(slow), 1_000_000 - 70_000);
  // It goes on where it stopped as soon as somebody reads.
  assertEquals(readAll(client.transport, slow), whole.subarray(0, 70_000));
  simulation.advance(2_000);
  const more = readAll(client.transport, slow);
  assertGreater(more.length, 35_000);
  assertEquals(more, whole.subarray(70_000, 70_000 + more.length));
});

Deno.test("streams go by their urgency: the more urgent first, those of one urgency in turn", () => {
  const { transport, script } = scripted("server");
  for (let id = 1; id <= 4; id++) script.write(message(MessageType.QUERY, id, bytes(1)));
  takeEvents(transport);
  script.advance(30);
  script.drain();
  for (const [requestId, urgency] of [[1, 5], [2, undefined], [3, 5], [4, 0]] as const) {
    const streamId = transport.openStream(requestId, urgency);
    transport.writeStream(streamId, bytes(2_200));
    transport.finishStream(streamId);
  }
  const order: string[] = [];
  for (let frames; (frames = script.read()) !== undefined;) {
    order.push(...frames.map((frame) => /of (\d)/.exec(frame)![1]!));
  }
  // Two packets a stream; urgency 3 is that of the one that has none.
  assertEquals(order.join(" "), "4 4 2 2 1 3 1 3");
});
