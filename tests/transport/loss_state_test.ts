import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { NEVER } from "../../src/base/core.ts";
import { TransportFault } from "../../src/transport/fault.ts";
import { LossTest, PACKET } from "./loss_script.ts";

Deno.test("9002 6.1.1: a packet sent kPacketThreshold packets before an acknowledged packet is lost", () => {
  const test = new LossTest();
  test.send(5);
  test.advance(100);
  test.ack(4);
  test.wantLost(0, 1);
  test.wantAcked(4);
  test.ack(2, 3, 4);
  test.wantLost();
  test.wantAcked(2, 3);
  assertEquals(test.state.bytesInFlight, 0);
  assertEquals(test.state.deadline(), NEVER);
});

Deno.test("9002 6.1.2: a packet is lost kTimeThreshold round trips after it was sent", () => {
  const test = new LossTest();
  test.send(1);
  test.advance(10);
  test.send(1);
  test.advance(100);
  test.ack(1);
  test.wantLost();
  assertEquals(test.timeout(100 * 9 / 8 - 110), "lost");
  test.wantLost(0);
  assertEquals(test.state.deadline(), NEVER);
});

Deno.test("9002 6.1.2: the time threshold is at least kGranularity", () => {
  const test = new LossTest();
  test.send(2);
  test.advance(0.1);
  test.ack(1);
  assertEquals(test.timeout(0.9), "lost");
  test.wantLost(0);
});

Deno.test("9002 6.2.1: PTO = smoothed_rtt + max(4*rttvar, kGranularity) + max_ack_delay", () => {
  const test = new LossTest();
  test.send(1);
  assertAlmostEquals(test.state.deadline() - test.now, 333 + 2 * 333 + 25, 1e-6);
  test.advance(80);
  test.ack(0);
  test.send(1);
  assertAlmostEquals(test.state.deadline() - test.now, 80 + 4 * 40 + 25, 1e-6);
});

Deno.test("9002 6.2.1: a sender restarts its PTO timer when an ack-eliciting packet is sent", () => {
  const test = new LossTest();
  test.send(1);
  test.advance(500);
  test.send(1, { eliciting: false });
  assertAlmostEquals(test.state.deadline() - test.now, 1024 - 500, 1e-6);
  test.send(1);
  assertAlmostEquals(test.state.deadline() - test.now, 1024, 1e-6);
});

Deno.test("9002 6.2: a PTO marks nothing as lost, doubles, and is reset by an acknowledgement", () => {
  const test = new LossTest();
  test.send(1);
  assertEquals(test.timeout(1024), "probe");
  assertEquals(test.state.probesToSend, 2);
  test.wantLost();
  assertEquals(test.state.packetsLost, 0);
  test.send(2);
  assertEquals(test.state.probesToSend, 0);
  assertEquals(test.timeout(2048), "probe");
  test.send(2);
  test.advance(10);
  test.ack(4);
  test.send(1);
  assertEquals(test.state.ptoCount, 0);
});

Deno.test("9002 7.5: probe packets are not blocked by the congestion controller, and are in flight", () => {
  const test = new LossTest();
  test.send(10);
  assertEquals(test.state.maySend(PACKET), false);
  test.timeout(1024);
  assertEquals(test.state.maySend(PACKET), true);
  test.send(2);
  assertEquals(test.state.bytesInFlight, 12 * PACKET);
  assertEquals(test.state.maySend(PACKET), false);
});

Deno.test("9000 13.1: an acknowledgement of a packet that was not sent is a fault", () => {
  const test = new LossTest();
  assertThrows(() => test.ack(0), TransportFault, "ACK_NEVER_SENT");
  test.send(1);
  test.ack(0);
  assertThrows(() => test.ack(1), TransportFault, "ACK_NEVER_SENT");
});

Deno.test("a packet is acknowledged once, and one declared lost counts as lost also when it was late", () => {
  const test = new LossTest();
  test.send(5);
  test.advance(50);
  test.ack(4);
  test.ack(4);
  test.ack(0, 1, 2, 3, 4);
  test.ack(0, 1, 2, 3, 4);
  test.wantAcked(4, 0, 1, 2, 3);
  test.wantLost(0, 1);
  assertEquals(test.state.packetsLate, 2);
  assertEquals([test.state.packetsSent, test.state.packetsAcked, test.state.packetsLost], [
    5,
    3,
    2,
  ]);
});

Deno.test("9002 5.1: a sample needs the largest number newly acknowledged and an ack-eliciting packet", () => {
  const test = new LossTest();
  test.send(2);
  test.advance(70);
  test.ack(1);
  assertEquals(test.state.rtt.latestRtt, 70);
  test.advance(1);
  test.ack(0, 1);
  assertEquals(test.state.rtt.latestRtt, 70);
  test.send(1, { eliciting: false });
  test.advance(500);
  test.ack(2);
  assertEquals(test.state.rtt.latestRtt, 70);
});

Deno.test("packets of Acks alone are not in flight, set no timer and are remembered in bounded number", () => {
  const test = new LossTest();
  test.send(3_000, { eliciting: false });
  assertEquals(test.state.bytesInFlight, 0);
  assertEquals(test.state.packetsInFlight, 0);
  assertEquals(test.state.deadline(), NEVER);
  test.ack(1_023, 1_024, 2_999);
  test.wantAcked(1_023);
  test.wantLost();
});

Deno.test("9002 7.2 and 7.3.1: the window begins with ten packets and grows by what is acknowledged", () => {
  const test = new LossTest();
  test.wantWindow(10);
  test.send(10);
  assertEquals(test.state.maySend(PACKET), false);
  test.advance(50);
  test.ack(0, 1, 2);
  test.wantWindow(13);
  assertEquals(test.state.maySend(PACKET), true);
});

Deno.test("9002 7.3.2: the window is halved once for all losses of a round trip", () => {
  const test = new LossTest();
  test.send(10);
  test.advance(50);
  test.ack(3);
  test.wantLost(0);
  test.wantWindow(5);
  test.ack(4, 5);
  test.wantLost(1, 2);
  test.wantWindow(5);
  // A packet sent in the recovery period and acknowledged ends it.
  test.advance(1);
  test.send(1);
  test.advance(50);
  test.ack(10);
  test.wantLost(6, 7, 8, 9);
  test.wantWindow(5.2);
});

Deno.test("9002 7: one packet may be sent when entering recovery", () => {
  const test = new LossTest();
  test.send(10);
  test.advance(50);
  test.ack(3);
  assertEquals(test.state.bytesInFlight > test.congestion.congestionWindow, true);
  assertEquals(test.state.maySend(PACKET), true);
  test.send(1);
  assertEquals(test.state.maySend(PACKET), false);
});

Deno.test("9002 7.3.3: congestion avoidance grows by at most one packet for each window acknowledged", () => {
  const test = new LossTest();
  test.send(10);
  test.advance(50);
  test.ack(3);
  test.advance(50);
  test.ack(...Array.from({ length: 7 }, (_, i) => i + 3));
  test.send(5);
  test.advance(50);
  test.ack(10, 11, 12, 13, 14);
  assertEquals(test.congestion.congestionWindow <= 6 * PACKET, true);
  test.wantWindow(5.93);
});

Deno.test("9002 7.8: an underutilised window does not grow", () => {
  const test = new LossTest();
  test.state.limited = true;
  test.send(4);
  test.advance(50);
  test.ack(0, 1, 2, 3);
  test.wantWindow(10);
});

Deno.test("9000 14.4: the loss of a probe of the path's MTU changes no window, and no PTO repeats it", () => {
  const test = new LossTest();
  test.send(1, { isMtuProbe: true });
  test.state.repeatOldest(2);
  test.wantLost();
  test.send(3);
  test.advance(50);
  test.ack(3);
  test.wantLost(0);
  test.wantWindow(11);
  assertEquals([test.state.packetsLost, test.state.packetsInFlight], [1, 2]);
});

Deno.test("9002 7.2: the window never falls below two packets", () => {
  const test = new LossTest();
  for (let round = 0; round < 6; round++) {
    const first = test.state.nextNumber;
    test.advance(50);
    test.send(4);
    test.advance(50);
    test.ack(first + 3);
  }
  test.wantWindow(2);
});

Deno.test("a window that was reduced for packets that were only late is restored", () => {
  const test = new LossTest();
  test.send(10);
  test.advance(50);
  test.ack(4);
  test.wantLost(0, 1);
  test.wantWindow(5);
  test.ack(0, 2, 3, 4);
  test.wantWindow(5);
  test.ack(0, 1, 2, 3, 4);
  assertEquals(test.congestion.ssthresh, Infinity);
  assertEquals(test.congestion.congestionWindow >= 10 * PACKET, true);
});

Deno.test("a window that was reduced for a packet that stays lost is not restored by others that were late", () => {
  const test = new LossTest();
  test.send(10);
  test.advance(50);
  test.ack(4);
  test.ack(6);
  test.wantLost(0, 1, 2, 3);
  test.ack(0, 1, 2, 4, 6);
  assertEquals(test.state.packetsLate, 3);
  test.wantWindow(5);
});

Deno.test("9002 6.1.1: the packet threshold is raised where packets were late, and falls to 3 in the end", () => {
  const test = new LossTest();
  test.send(10);
  test.advance(50);
  test.ack(5);
  test.wantLost(0, 1, 2);
  test.ack(0, 1, 2, 3, 4, 5);
  test.send(6);
  test.ack(6, 7, 8, 9, 15);
  test.wantLost();
  test.ack(6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (let period = 0; period < 17; period++) {
    const first = test.state.nextNumber;
    test.advance(50);
    test.send(10);
    test.advance(50);
    test.ack(...Array.from({ length: 9 }, (_, i) => first + 1 + i));
    test.wantLost(first);
  }
  const first = test.state.nextNumber;
  test.send(4);
  test.ack(first + 3);
  test.wantLost(first);
});

Deno.test("9002 6.1.2: the time threshold is raised where a packet was late", () => {
  const test = new LossTest();
  const ackLate = (lossAfterMs: number) => {
    const first = test.state.nextNumber;
    test.send(2);
    test.advance(100);
    test.ack(first + 1);
    assertEquals(test.timeout(lossAfterMs - 100), "lost");
    test.ack(first, first + 1);
  };
  ackLate(112.5);
  ackLate(137.5);
  assertEquals(test.state.packetsLate, 2);
});

Deno.test("lost packets are remembered in bounded number, and not for ever", () => {
  const test = new LossTest();
  const losePackets = (count: number) => {
    const first = test.state.nextNumber;
    test.send(count + 3);
    test.advance(50);
    test.ack(first + count + 2);
    return Array.from({ length: count }, (_, i) => first + i);
  };
  const many = losePackets(1_500);
  test.ack(...many, 1_502);
  assertEquals(test.state.packetsLate, 1_024);
  const forgotten = losePackets(1);
  test.advance(100_000);
  const remembered = losePackets(1);
  test.ack(...forgotten, ...remembered, test.state.nextNumber - 1);
  assertEquals(test.state.packetsLate, 1_025);
});

Deno.test("9002 5.2: min_rtt is the newest sample after persistent congestion", () => {
  const test = new LossTest();
  test.send(1);
  test.advance(20);
  test.ack(0);
  for (let i = 0; i < 16; i++) {
    test.send(1);
    test.advance(100);
  }
  test.advance(100);
  test.ack(16);
  test.wantLost(...Array.from({ length: 15 }, (_, i) => i + 1));
  // The minimum, and one more for the packet that was acknowledged.
  test.wantWindow(3);
  assertEquals(test.state.rtt.minRtt, 200);
});

Deno.test("9002 7.6.3: the example of persistent congestion", () => {
  const test = new LossTest();
  const at = (seconds: number) => test.now = 1_000_000 + 1000 * seconds;
  test.send(1);
  test.advance(20);
  test.ack(0);
  at(1); // The document's t=0, packet #1 is number 1 here.
  test.send(1);
  at(2);
  test.send(1);
  at(2.2);
  test.ack(1);
  // smoothed_rtt + max(4*rttvar, kGranularity) + max_ack_delay = 2 seconds.
  Object.assign(test.state.rtt, { smoothedRtt: 975, rttvar: 250 });
  for (const seconds of [3, 4, 5, 6, 7, 9, 13]) {
    at(seconds);
    test.send(1);
  }
  at(13.2);
  const { rtt } = test.state;
  rtt.update = () => {};
  test.ack(9);
  test.wantLost(2, 3, 4, 5, 6, 7, 8);
  // The minimum, and one more for the packet that was acknowledged.
  test.wantWindow(3);
});

Deno.test("9002 7.6.2: an acknowledged packet among lost ones prevents persistent congestion", () => {
  const test = new LossTest();
  test.send(1);
  test.advance(20);
  test.ack(0);
  Object.assign(test.state.rtt, { smoothedRtt: 20, rttvar: 10, update: () => {} });
  // Duration: (20 + 40 + 25) * 3 = 255 ms.
  for (let i = 0; i < 6; i++) {
    test.advance(60);
    test.send(1);
  }
  test.ack(3, 6);
  test.wantLost(1, 2, 4, 5);
  test.wantWindow(5.5);
});

Deno.test("9002 7.6.2: packets sent before the first sample do not count for persistent congestion", () => {
  const test = new LossTest();
  for (let i = 0; i < 6; i++) {
    test.advance(1_000);
    test.send(1);
  }
  test.advance(100);
  test.ack(5);
  test.wantLost(0, 1, 2, 3, 4);
  test.wantWindow(5);
});

Deno.test("a peer is dead after enough probe timeouts and enough silence, and alive when it answers", () => {
  const test = new LossTest();
  test.send(1);
  const outcomes: string[] = [];
  while (test.state.deadline() !== NEVER) {
    test.now = test.state.deadline();
    outcomes.push(test.state.onTimeout(test.now));
  }
  assertEquals(outcomes, ["probe", "probe", "probe", "probe", "dead"]);
  assertAlmostEquals(test.now - 1_000_000, 1024 * 31, 1e-3);
  test.state.onPacketReceived(test.now);
  assertEquals(test.state.deadline() !== NEVER, true);
});

Deno.test("silence counts from the first packet without an answer, not from the last one received", () => {
  const test = new LossTest();
  test.send(1);
  test.advance(1);
  test.ack(0);
  test.state.onPacketReceived(test.now);
  test.advance(3_600_000);
  const sentAt = test.now;
  test.send(1);
  let outcome = "";
  while (outcome !== "dead") {
    test.now = test.state.deadline();
    outcome = test.state.onTimeout(test.now);
  }
  assertEquals(test.now - sentAt >= 20_000, true);
});

Deno.test("no more packets are in flight than one Ack can report, however small they are", () => {
  const test = new LossTest();
  test.send(1_919, { bytes: 1 });
  assertEquals(test.state.maySend(PACKET), true);
  test.send(1, { bytes: 1 });
  assertEquals(test.state.maySend(PACKET), false);
});
