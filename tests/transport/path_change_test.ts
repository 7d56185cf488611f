// A path that is left for another one (RFC 9000, section 9.4).

import { assertAlmostEquals, assertEquals } from "@std/assert";
import { LossTest, PACKET } from "./loss_script.ts";

/** A path that was lived on: a sample of 100 ms, a window that was reduced, and five packets in flight. */
function leftPath(): LossTest {
  const test = new LossTest();
  test.send(9);
  test.advance(100);
  test.ack(8);
  test.wantLost(0, 1, 2, 3, 4, 5);
  test.ack(6, 7);
  test.wantAcked(8, 6, 7);
  test.send(5);
  test.state.changePath();
  return test;
}

Deno.test("9000 9.4: on a new path round-trip time and congestion begin anew, and what is oldest goes again", () => {
  const test = leftPath();
  test.wantLost(9, 10);
  test.wantWindow(10);
  assertEquals(test.congestion.ssthresh, Infinity);
  assertEquals([test.state.rtt.smoothedRtt, test.state.rtt.minRtt], [333, 0]);
  assertEquals([test.state.bytesInFlight, test.state.packetsInFlight], [0, 5]);
  test.state.changePath(50);
  assertEquals(test.state.rtt.smoothedRtt, 50);
});

Deno.test("9000 9.4: packets of the old path are no sample, and neither widen nor reduce the window", () => {
  const test = leftPath();
  test.wantLost(9, 10);
  test.advance(400);
  test.ack(9);
  test.wantAcked(9);
  test.wantWindow(10);
  assertEquals(test.state.rtt.firstSampleAt, undefined);
  assertEquals([test.state.packetsAckedOnPath, test.state.bytesInFlight], [0, 0]);

  // 10 to 13 are lost when 17 arrives, which is of the new path.
  test.send(4);
  test.advance(70);
  test.ack(17);
  test.wantLost(10, 11, 12, 13, 14);
  test.wantAcked(17);
  assertEquals(test.state.rtt.minRtt, 70);
  // 14 is the one loss that counts, and it halves the window.
  assertAlmostEquals(test.congestion.congestionWindow / PACKET, 5, 0.01);
  const { packetsSent, packetsAcked, packetsLost, packetsInFlight } = test.state;
  assertEquals(packetsSent, packetsAcked + packetsLost + packetsInFlight);
});

Deno.test("9000 9.4: what was lost on the old path and is late undoes nothing on the new one", () => {
  const test = leftPath();
  test.wantLost(9, 10);
  test.send(1);
  test.advance(70);
  // All that the recovery period of the old path was entered for, and the first of the new one.
  test.ack(0, 1, 2, 3, 4, 5, 14);
  test.wantLost(9, 10, 11);
  assertEquals([test.congestion.ssthresh, test.state.packetsLate], [Infinity, 0]);
  assertAlmostEquals(test.congestion.congestionWindow / PACKET, 11, 0.01);
});
