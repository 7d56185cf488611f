import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { Cubic } from "../../src/transport/cubic.ts";
import { HyStart } from "../../src/transport/hystart.ts";
import { NewReno } from "../../src/transport/new_reno.ts";
import { RttEstimator } from "../../src/transport/rtt.ts";
import { Pacer } from "../../src/transport/pacer.ts";

const PACKET = 1_200;
const RTT_MS = 100;

/** A controller whose window is acknowledged once a round trip. */
class Driven {
  now = 1_000_000;
  number = 0;
  readonly rtt = new RttEstimator();

  constructor(readonly controller: Cubic | NewReno) {
    this.rtt.setInitial(RTT_MS);
  }

  get window(): number {
    return this.controller.congestionWindow / PACKET;
  }

  /** Sends a window, or a share of it, and has it acknowledged a round trip later. */
  round({ share = 1, rttMs = RTT_MS } = {}): void {
    const limited = share < 1;
    const packets = Array.from({ length: Math.floor(share * this.window) }, () => ({
      number: this.number++,
      sentAt: this.now,
      bytes: PACKET,
    }));
    for (const packet of packets) this.controller.onPacketSent(packet);
    this.now += rttMs;
    for (const packet of packets) {
      this.controller.onPacketAcked(packet, this.rtt, limited, this.now);
    }
  }

  lose(): void {
    this.now += 1;
    this.controller.onPacketsLost(this.now - 0.5, this.now);
    this.now += 1;
  }

  growTo(packets: number): this {
    while (this.window < packets) this.round();
    return this;
  }
}

Deno.test("9438 4.6: CUBIC leaves 0.7 of the window", () => {
  const driven = new Driven(new Cubic(PACKET)).growTo(100);
  const before = driven.window;
  driven.lose();
  assertAlmostEquals(driven.window, 0.7 * before, 1e-6);
});

Deno.test("9438 4.2: the window is W_max again after K seconds, and follows the cubic function", () => {
  const driven = new Driven(new Cubic(PACKET)).growTo(600);
  const windowMax = driven.window;
  driven.lose();
  const kSeconds = Math.cbrt((windowMax * 0.3) / 0.4);
  const start = driven.now + RTT_MS;
  while (driven.now < start + 1000 * kSeconds) driven.round();
  assertAlmostEquals(driven.window / windowMax, 1, 0.02);
  while (driven.now < start + 1000 * (kSeconds + 3)) driven.round();
  assertAlmostEquals(driven.window, windowMax + 0.4 * 3 ** 3, 3);
});

Deno.test("9438 4.3: over a short round trip CUBIC grows at least as Reno would", () => {
  const driven = new Driven(new Cubic(PACKET)).growTo(20);
  driven.lose();
  const { window } = driven;
  for (let round = 0; round < 10; round++) driven.round({ rttMs: 10 });
  // alpha_cubic = 3 * (1 - 0.7) / (1 + 0.7) = 0.53 packets a round trip.
  assertAlmostEquals(driven.window, window + 5.3, 1);
});

Deno.test("9438 4.7: a flow whose maximum falls gives up more of it", () => {
  const driven = new Driven(new Cubic(PACKET)).growTo(300);
  driven.lose();
  const second = driven.window;
  driven.lose();
  // W_max is 0.85 of the window now, so the plateau is reached earlier and lower.
  const start = driven.now;
  const kSeconds = Math.cbrt((0.85 * second - 0.7 * second) / 0.4);
  while (driven.now < start + 1000 * kSeconds) driven.round();
  assertAlmostEquals(driven.window / (0.85 * second), 1, 0.04);
});

Deno.test("9438 5.8: time in which the window is not used up does not count", () => {
  const driven = new Driven(new Cubic(PACKET)).growTo(300);
  driven.lose();
  for (let round = 0; round < 5; round++) driven.round();
  const { window } = driven;
  // What was used before counts for three round trips, and a second at least.
  driven.now += 2_000;
  for (let round = 0; round < 100; round++) driven.round({ share: 0.4 });
  assertEquals(driven.window, window);
  driven.round();
  assert(driven.window - window < 25, `${window} to ${driven.window}`);
});

Deno.test("7661 4.3: a window of which at least half is used grows, though it is not used up", () => {
  for (const [share, grows] of [[0.4, false], [0.6, true]] as const) {
    const driven = new Driven(new NewReno(PACKET));
    for (let round = 0; round < 3; round++) driven.round({ share });
    assertEquals(driven.window > 10, grows, `${share}`);
    for (let round = 0; round < 50; round++) driven.round({ share: 0.2 });
    const { window } = driven;
    driven.round({ share: 0.2 });
    assertEquals(driven.window, window);
  }
});

Deno.test("9438 4.9.2: a reduction for packets that were only late is undone", () => {
  const driven = new Driven(new Cubic(PACKET)).growTo(200);
  const { window } = driven;
  driven.lose();
  driven.controller.onSpuriousLoss();
  assertEquals(driven.window, window);
  assertEquals(driven.controller.ssthresh, Infinity);
  driven.controller.onSpuriousLoss();
  assertEquals(driven.window, window);
});

Deno.test("9002 7.6.2: persistent congestion leaves the minimum window", () => {
  for (const controller of [new Cubic(PACKET), new NewReno(PACKET)]) {
    const driven = new Driven(controller).growTo(100);
    driven.lose();
    controller.onPersistentCongestion();
    assertEquals(driven.window, 2);
    driven.growTo(50);
  }
});

Deno.test("9406 4.2: slow start ends after five conservative rounds where the round-trip time has risen", () => {
  const driven = new Driven(new Cubic(PACKET));
  driven.round();
  driven.round();
  const windows: number[] = [driven.window];
  while (driven.controller.ssthresh === Infinity) {
    driven.round({ rttMs: RTT_MS + 13 });
    windows.push(driven.window);
  }
  // In conservative slow start a round grows the window by a quarter, not by all of it.
  assert(windows.length >= 6 && windows.length <= 8, `${windows}`);
  assert(driven.window < 40 * 2 * 1.25 ** 6, `${windows}`);
});

/** HyStart++ alone: rounds of ten packets, each with its round-trip time; returns the divisor after each. */
function divisors(...rttsMs: number[]): number[] {
  const hyStart = new HyStart();
  let number = 0;
  return rttsMs.map((rttMs) => {
    const first = number;
    for (let i = 0; i < 10; i++) hyStart.onPacketSent(number++);
    for (let i = first; i < number; i++) hyStart.onPacketAcked(i, rttMs);
    return hyStart.growthDivisor;
  });
}

Deno.test("9406 4.2: slow start resumes where the round-trip time falls below the baseline", () => {
  assertEquals(divisors(100, 100, 115, 115, 101, 101), [1, 1, 4, 4, 1, 1]);
});

Deno.test("9406 4.2: a rise below an eighth of the round trip, 4 ms at least and 16 ms at most, is none", () => {
  assertEquals(divisors(8, 11.9), [1, 1]);
  assertEquals(divisors(8, 12), [1, 4]);
  assertEquals(divisors(80, 89.9), [1, 1]);
  assertEquals(divisors(80, 90), [1, 4]);
  assertEquals(divisors(1_000, 1_015), [1, 1]);
  assertEquals(divisors(1_000, 1_016), [1, 4]);
});

Deno.test("9002 7.7: after a burst of ten packets, a window is spread over the round trip", () => {
  const pacer = new Pacer();
  const path = {
    congestionWindow: 100 * PACKET,
    ssthresh: 0,
    smoothedRtt: RTT_MS,
    maxPacketBytes: PACKET,
  };
  const sentAt: number[] = [];
  let now = 1_000_000;
  while (sentAt.length < 110) {
    if (pacer.maySend(path, now)) {
      pacer.onPacketSent(PACKET);
      sentAt.push(now);
    } else {
      assert(pacer.heldUntil > now);
      now = pacer.heldUntil;
    }
  }
  assertEquals(sentAt.filter((at) => at === 1_000_000).length, 10);
  // 1.25 windows in a round trip.
  assertAlmostEquals(sentAt.at(-1)! - 1_000_000, RTT_MS / 1.25, 1);
});

Deno.test("9000 9.4: on a new path a window grows as if there had been no other", () => {
  for (const create of [() => new Cubic(PACKET), () => new NewReno(PACKET)]) {
    const rounds = (driven: Driven) =>
      Array.from({ length: 12 }, (_, round) => {
        if (round === 5) driven.lose();
        driven.round();
        return driven.window;
      });
    const fresh = new Driven(create());
    const moved = new Driven(create()).growTo(300);
    moved.lose();
    moved.round();
    moved.controller.restart();
    assertEquals([moved.window, moved.controller.ssthresh], [10, Infinity]);
    assertEquals(rounds(moved), rounds(fresh));
    moved.controller.restart();
    moved.controller.onSpuriousLoss();
    assertEquals(moved.window, 10);
  }
});
