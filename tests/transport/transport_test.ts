import { assertEquals, assertThrows } from "@std/assert";
import { NEVER } from "../../src/base/core.ts";
import { TransportFaultCode } from "../../src/transport/fault.ts";
import { DEFAULT_TRANSPORT_LIMITS } from "../../src/transport/limits.ts";
import { HEADER_BYTES, MessageType } from "../../src/wire/frame.ts";
import { ack, message, streamData } from "../harness/script.ts";
import { Script } from "../harness/script.ts";
import { Random } from "../harness/random.ts";
import { End, PACKET_BYTES, scripted, SESSION_ID, takeKinds, wantFault } from "./fixture.ts";

const { QUERY, RESPONSE, TERMINATION, HEARTBEAT } = MessageType;
const bytes = (length: number, seed = length) => new Random(seed).bytes(length);

Deno.test("a Termination and Acks go out also when the congestion window is full", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(1)));
  transport.sendMessage(RESPONSE, 1, bytes(100_000));
  assertEquals(script.drain(), 10);
  transport.sendHeartbeat(bytes(9));
  script.wantIdle();
  script.write(message(HEARTBEAT, 0, bytes(9)));
  script.write(message(HEARTBEAT, 0, bytes(9)));
  script.want("ack 0 1 2");
  transport.sendMessage(TERMINATION, 0, bytes(50));
  script.want("TERMINATION 0: 50");
  script.wantIdle();
});

Deno.test("9002 6.2.4: two probes carry the oldest data again in packets with new numbers", () => {
  const { transport, script } = scripted("client");
  transport.sendMessage(QUERY, 1, bytes(10));
  script.want("QUERY 1: 10");
  script.advance(1_023);
  script.wantIdle();
  script.advance(1);
  script.want("QUERY 1: 10");
  script.want("QUERY 1: 10");
  script.wantIdle();
  assertEquals(transport.stats().packetsInFlight, 3);
  script.write(ack(0));
  assertEquals([transport.isDrained, transport.stats().packetsLost], [true, 0]);
});

Deno.test("9002 6.2.4: a probe sends something that elicits an answer when there is no data to send", () => {
  const { transport, script } = scripted("client");
  transport.sendHeartbeat(bytes(9));
  script.want("HEARTBEAT 0: 9");
  script.advance(1_024);
  const { sessionCreditBytes } = DEFAULT_TRANSPORT_LIMITS;
  script.want(`credit 0: ${sessionCreditBytes}`);
});

Deno.test("9002 7.5: probes repeat old data past a full congestion window and count as in flight", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(1)));
  const stream = transport.openStream(1);
  transport.writeStream(stream, bytes(1_124 * 10));
  script.drain();
  script.advance(1_024);
  script.want("stream 2 of 1: 0+1124");
  script.want("stream 2 of 1: 1124+1088");
  script.wantIdle();
  assertEquals(transport.stats().packetsInFlight, 12);
});

Deno.test("9002 7.8: a window that the application does not use up does not grow, one that it does grows", () => {
  const { transport, script } = scripted("client");
  const { congestionWindow } = transport.stats();
  for (let id = 1; id <= 20; id++) {
    transport.sendMessage(QUERY, id, bytes(900));
    script.drain();
    script.advance(20);
    script.write(ack(id - 1));
  }
  assertEquals(transport.stats().congestionWindow, congestionWindow);
  transport.sendMessage(QUERY, 21, bytes(50_000));
  assertEquals(script.drain(), 10);
  script.write(ack(20, 21, 22));
  assertEquals(transport.stats().congestionWindow, congestionWindow + 3 * PACKET_BYTES);
});

Deno.test("a Heartbeat is not sent again, and the oldest gives way when too many wait", () => {
  const { transport, script } = scripted("client");
  for (let i = 0; i < 6; i++) transport.sendHeartbeat(bytes(9 + i));
  assertEquals(transport.drops.get("heartbeat replaced"), 2);
  script.want("HEARTBEAT 0: 11", "HEARTBEAT 0: 12", "HEARTBEAT 0: 13", "HEARTBEAT 0: 14");
  transport.sendMessage(QUERY, 1, bytes(1));
  script.drain();
  for (let id = 2; id < 5; id++) {
    transport.sendMessage(QUERY, id, bytes(1));
    script.drain();
  }
  script.write(ack(4, 3, 2, 1));
  assertEquals(transport.stats().packetsLost, 1);
  script.wantIdle();
});

Deno.test("a silent peer is told dead, timers stop, and its next packet revives them", () => {
  const { transport, script } = scripted("client");
  transport.sendMessage(QUERY, 1, bytes(1));
  script.drain();
  for (let i = 0; i < 100 && transport.pollTimeout() !== NEVER; i++) {
    script.advance(transport.pollTimeout() - script.now);
    script.drain();
  }
  assertEquals(takeKinds(transport), ["dead"]);
  assertEquals(transport.pollTimeout(), NEVER);
  script.write(message(HEARTBEAT, 0, bytes(9)));
  script.advance(25);
  assertEquals(script.read()?.[0], "ack 0");
  assertEquals(transport.pollTimeout() !== NEVER, true);
  assertEquals(takeKinds(transport), ["message"]);
});

Deno.test("a frame carries session_id 0 until the session is set, then the id", () => {
  const end = new End("client");
  const script = new Script(end.transport, 0n);
  const sessionIdOf = (packet: Uint8Array) => new DataView(packet.buffer).getBigUint64(4);
  end.transport.sendMessage(MessageType.HANDSHAKE_REQUEST, 0, bytes(10));
  assertEquals(sessionIdOf(end.transport.pollTransmit(script.now)!), 0n);
  end.transport.setSession(SESSION_ID, DEFAULT_TRANSPORT_LIMITS);
  end.transport.sendMessage(QUERY, 1, bytes(10));
  assertEquals(sessionIdOf(end.transport.pollTransmit(script.now)!), SESSION_ID);
});

Deno.test("a client takes the id of HandshakeResponse's packet, and no other after it", () => {
  const end = new End("client");
  const script = new Script(end.transport, SESSION_ID);
  script.write(message(MessageType.HANDSHAKE_RESPONSE, 0, bytes(10)));
  end.transport.setSession(SESSION_ID, DEFAULT_TRANSPORT_LIMITS);
  script.write(message(HEARTBEAT, 0, bytes(9)));
  assertEquals(takeKinds(end.transport), ["message", "message"]);
  script.sessionId = SESSION_ID + 1n;
  script.write(message(HEARTBEAT, 0, bytes(9)));
  wantFault(end.transport, TransportFaultCode.WRONG_SESSION);

  const disagreeing = new End("client");
  new Script(disagreeing.transport, 5n).write(message(HEARTBEAT, 0, bytes(9)));
  disagreeing.transport.setSession(6n, DEFAULT_TRANSPORT_LIMITS);
  assertEquals(takeKinds(disagreeing.transport), ["message", "fault"]);
});

Deno.test("a server knows no session_id before it has chosen one", () => {
  const end = new End("server");
  new Script(end.transport, SESSION_ID).write(message(HEARTBEAT, 0, bytes(9)));
  wantFault(end.transport, TransportFaultCode.WRONG_SESSION);
});

Deno.test("session_id 0 stays allowed in packets numbered before the first one with the id, and in no other", () => {
  const make = () => {
    const made = scripted("server");
    made.script.nextNumber = 5;
    made.script.write(message(HEARTBEAT, 0, bytes(9)));
    made.script.sessionId = 0n;
    return made;
  };
  const before = make();
  before.script.nextNumber = 4;
  before.script.write(message(HEARTBEAT, 0, bytes(9)));
  assertEquals(takeKinds(before.transport), ["message", "message"]);
  // An id below a number that came without one is as wrong.
  before.script.sessionId = SESSION_ID;
  before.script.nextNumber = 3;
  before.script.write(message(HEARTBEAT, 0, bytes(9)));
  wantFault(before.transport, TransportFaultCode.WRONG_SESSION);
  const after = make();
  after.script.write(message(HEARTBEAT, 0, bytes(9)));
  assertEquals(takeKinds(after.transport), ["message", "fault"]);
});

Deno.test("frames of one packet that differ in session_id are a fault", () => {
  const { transport, script } = scripted("server");
  const packet = script.packet(message(HEARTBEAT, 0, bytes(9)), message(HEARTBEAT, 0, bytes(9)));
  packet[HEADER_BYTES + 9 + 4]! ^= 1;
  transport.handleDatagram(packet, script.now);
  wantFault(transport, TransportFaultCode.WRONG_SESSION);
});

Deno.test("a fault stops a transport: it receives and sends nothing but one farewell", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(1)));
  transport.sendMessage(RESPONSE, 1, bytes(5_000));
  transport.writeStream(transport.openStream(1), bytes(100));
  script.drain();
  transport.handleDatagram(new Uint8Array(3), script.now);
  assertEquals(takeKinds(transport), ["message", "fault"]);
  assertEquals([transport.bufferedBytes, transport.pollTimeout()], [0, NEVER]);
  script.write(message(QUERY, 2, bytes(1)));
  transport.sendMessage(RESPONSE, 1, bytes(1));
  transport.sendHeartbeat(bytes(9));
  script.advance(60_000);
  script.wantIdle();
  assertEquals(takeKinds(transport), []);
  assertEquals([transport.drops.get("stopped"), transport.drops.get("call after the end")], [1, 2]);
  transport.sendFarewell(bytes(20), bytes(30));
  script.want("ERROR 0: 30", "TERMINATION 0: 20");
  script.wantIdle();
  transport.sendFarewell(bytes(20), bytes(1_200));
  script.want("TERMINATION 0: 20");
  transport.close();
  transport.sendFarewell(bytes(20));
  script.wantIdle();
});

Deno.test("close releases everything: no bytes, no timer, no event", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(1)), streamData(1, 1, 0, bytes(1_000)));
  transport.sendMessage(RESPONSE, 1, bytes(500_000));
  transport.writeStream(transport.openStream(1), bytes(100_000));
  script.drain();
  transport.close();
  const { packetsInFlight, bytesInFlight, openRequests, sendStreams, receiveStreams } = transport
    .stats();
  assertEquals(
    [packetsInFlight, bytesInFlight, openRequests, sendStreams, receiveStreams],
    [0, 0, 0, 0, 0],
  );
  assertEquals([transport.bufferedBytes, transport.pollTimeout()], [0, NEVER]);
  assertEquals(takeKinds(transport), []);
  script.wantIdle();
});

Deno.test("before the server's limits are known a client sends 12 KiB that are charged, and no more", () => {
  const end = new End("client");
  const script = new Script(end.transport, SESSION_ID);
  end.transport.sendMessage(QUERY, 1, bytes(5_000));
  end.transport.writeStream(end.transport.openStream(1), bytes(20_000));
  script.drain();
  const sent = end.transport.stats().packetsSent;
  script.advance(20);
  script.write(ack(...Array.from({ length: sent }, (_, n) => n)));
  script.drain();
  assertEquals(end.transport.stats().sessionBytesSent, 12_288);
  end.transport.setSession(SESSION_ID, DEFAULT_TRANSPORT_LIMITS);
  script.advance(20);
  script.drain();
  assertEquals(end.transport.stats().sessionBytesSent > 20_000, true);
});

Deno.test("packets of another size fit the new size; too small a size is refused", () => {
  const { transport, script } = scripted("server");
  script.write(message(QUERY, 1, bytes(1)));
  transport.sendMessage(RESPONSE, 1, bytes(5_000));
  transport.changePath({ maxPacketBytes: 1_432 }, script.now);
  assertEquals(transport.pollTransmit(script.now)!.length, 1_432);
  transport.changePath({ maxPacketBytes: 1_024 }, script.now);
  assertEquals(transport.pollTransmit(script.now)!.length, 1_024);
  assertThrows(() => transport.changePath({ maxPacketBytes: 1_023 }, script.now), RangeError);
});

Deno.test("what a server announces holds for streams that were open before", () => {
  const end = new End("server");
  const script = new Script(end.transport, 0n);
  script.write(streamData(1, 1, 0, bytes(5_000)));
  end.transport.setSession(SESSION_ID, DEFAULT_TRANSPORT_LIMITS);
  script.sessionId = SESSION_ID;
  const { streamCreditBytes } = DEFAULT_TRANSPORT_LIMITS;
  script.write(streamData(1, 1, streamCreditBytes - 1, bytes(1)));
  assertEquals(takeKinds(end.transport), ["stream-opened", "stream-readable"]);
  script.write(streamData(1, 1, streamCreditBytes, bytes(1)));
  wantFault(end.transport, TransportFaultCode.CREDIT_EXCEEDED);
});

Deno.test("9002 6.2.4: both probes of a client that is not let in yet carry its HandshakeRequest, alone", () => {
  const end = new End("client");
  const script = new Script(end.transport, 0n);
  end.transport.sendMessage(MessageType.HANDSHAKE_REQUEST, 0, bytes(10));
  end.transport.sendMessage(QUERY, 1, bytes(20));
  script.want("HANDSHAKE_REQUEST 0: 10");
  script.want("QUERY 1: 20");
  script.advance(1_024);
  script.want("HANDSHAKE_REQUEST 0: 10");
  script.want("HANDSHAKE_REQUEST 0: 10");
  script.want("QUERY 1: 20");
  script.wantIdle();
  script.write(ack(0));
  script.advance(3_100);
  script.want("QUERY 1: 20");
  script.want("QUERY 1: 20");
  script.wantIdle();
});
