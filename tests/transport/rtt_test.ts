import { assertAlmostEquals, assertEquals } from "@std/assert";
import { RttEstimator } from "../../src/transport/rtt.ts";

Deno.test("9002 5.3: the first sample sets smoothed_rtt and half of it rttvar, whatever the delay", () => {
  const rtt = new RttEstimator();
  assertEquals([rtt.smoothedRtt, rtt.rttvar], [333, 166.5]);
  rtt.update(80, 50, 1);
  assertEquals([rtt.smoothedRtt, rtt.rttvar, rtt.minRtt], [80, 40, 80]);
});

Deno.test("9002 5.3: later samples are smoothed, less the acknowledgement delay", () => {
  const rtt = new RttEstimator();
  rtt.update(80, 0, 1);
  rtt.update(120, 20, 2);
  assertAlmostEquals(rtt.rttvar, 40 * 3 / 4 + Math.abs(80 - 100) / 4);
  assertAlmostEquals(rtt.smoothedRtt, 80 * 7 / 8 + 100 / 8);
  assertEquals(rtt.minRtt, 80);
});

Deno.test("9002 5.3: a delay is not subtracted where the sample would fall below min_rtt", () => {
  const rtt = new RttEstimator();
  rtt.update(80, 0, 1);
  rtt.update(90, 20, 2);
  assertAlmostEquals(rtt.smoothedRtt, 80 * 7 / 8 + 90 / 8);
});

Deno.test("9002 5.3: after the handshake a reported delay counts up to max_ack_delay only", () => {
  const rtt = new RttEstimator();
  rtt.handshakeConfirmed = true;
  rtt.update(80, 0, 1);
  rtt.update(200, 100, 2);
  assertAlmostEquals(rtt.smoothedRtt, 80 * 7 / 8 + 175 / 8);
  const before = new RttEstimator();
  before.update(80, 0, 1);
  before.update(200, 100, 2);
  assertAlmostEquals(before.smoothedRtt, 80 * 7 / 8 + 100 / 8);
});

Deno.test("9002 5.2: min_rtt ignores the acknowledgement delay", () => {
  const rtt = new RttEstimator();
  rtt.update(80, 0, 1);
  rtt.update(70, 25, 2);
  assertEquals(rtt.minRtt, 70);
});

Deno.test("9000 9.4: a new path begins as the first one did, or with what is known of it", () => {
  const rtt = new RttEstimator();
  rtt.handshakeConfirmed = true;
  rtt.update(80, 0, 1);
  rtt.restart();
  assertEquals({ ...rtt }, { ...new RttEstimator(), handshakeConfirmed: true });
  rtt.restart(40);
  assertEquals([rtt.smoothedRtt, rtt.rttvar], [40, 20]);
});
