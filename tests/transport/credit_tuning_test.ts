import { assert, assertEquals } from "@std/assert";
import { ControlQueue, ReceiveCredit } from "../../src/transport/credit.ts";
import { CreditTuning, StreamWindow } from "../../src/transport/credit_tuning.ts";
import { DEFAULT_TRANSPORT_LIMITS } from "../../src/transport/limits.ts";
import { RttEstimator } from "../../src/transport/rtt.ts";

const KIB = 1_024;

function tuning(roomBytes: number): CreditTuning {
  const credit = new ReceiveCredit(
    { streamId: 0, requestId: 0 },
    1_000 * KIB,
    new ControlQueue(),
  );
  const rtt = new RttEstimator();
  rtt.setInitial(100);
  return new CreditTuning(credit, rtt, {
    ...DEFAULT_TRANSPORT_LIMITS,
    streamCreditBytesMax: 800 * KIB,
    sessionCreditBytes: 1_000 * KIB,
    sessionCreditBytesMax: 1_000 * KIB + roomBytes,
  });
}

Deno.test("a window grows to four times what is consumed in a round trip, and no further", () => {
  const window = new StreamWindow(tuning(10_000 * KIB));
  assertEquals(window.growth(64 * KIB, 32 * KIB, 1_000), 0);
  // 50 KiB in 100 ms, as long as a round trip.
  assertEquals(window.growth(64 * KIB, 82 * KIB, 1_100), 200 * KIB - 64 * KIB);
  assertEquals(window.growth(200 * KIB, 182 * KIB, 1_300), 0);
  // The limit of a stream.
  assertEquals(window.growth(200 * KIB, 1_182 * KIB, 1_400), 600 * KIB);
});

Deno.test("a slow reader's window does not grow", () => {
  const window = new StreamWindow(tuning(10_000 * KIB));
  for (let i = 0; i < 20; i++) {
    assertEquals(window.growth(64 * KIB, 32 * KIB * i, 1_000 + 1_000 * i), 0);
  }
});

Deno.test("what is consumed within a quarter of a round trip is measured with what follows", () => {
  const window = new StreamWindow(tuning(10_000 * KIB));
  window.growth(64 * KIB, 0, 1_000);
  assertEquals(window.growth(64 * KIB, 500 * KIB, 1_000), 0);
  assertEquals(window.growth(64 * KIB, 500 * KIB, 1_024), 0);
  assert(window.growth(64 * KIB, 500 * KIB, 1_030) > 0);
});

Deno.test("streams together are lent no more than the session may grow, and give it back at their end", () => {
  const pool = tuning(300 * KIB);
  const grow = (window: StreamWindow) => {
    window.growth(64 * KIB, 0, 1_000);
    return window.growth(64 * KIB, 80 * KIB, 1_100);
  };
  const first = new StreamWindow(pool);
  assertEquals(grow(first), 256 * KIB);
  assertEquals(grow(new StreamWindow(pool)), 44 * KIB);
  assertEquals(grow(new StreamWindow(pool)), 0);
  first.close();
  first.close();
  assertEquals(grow(new StreamWindow(pool)), 256 * KIB);
  assertEquals(grow(new StreamWindow(pool)), 0);
});
