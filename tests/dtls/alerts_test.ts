// What an alert of the peer means, in each version, and the alerts of this side's own.

import { assertEquals, assertThrows } from "@std/assert";
import { readAlert } from "../../src/dtls/alerts.ts";
import { AlertDescription, AlertLevel } from "../../src/dtls/code_points.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import { DtlsPair } from "../harness/dtls_pair.ts";

const { CLOSE_NOTIFY, USER_CANCELED, DECODE_ERROR, INTERNAL_ERROR } = AlertDescription;
const { WARNING, FATAL } = AlertLevel;

Deno.test("close_notify closes, user_canceled changes nothing, all others are fatal in DTLS 1.3", () => {
  assertEquals(readAlert(Uint8Array.of(WARNING, CLOSE_NOTIFY), "1.3"), { kind: "close" });
  assertEquals(readAlert(Uint8Array.of(WARNING, USER_CANCELED), "1.3"), { kind: "nothing" });
  for (const level of [WARNING, FATAL]) {
    const failure = { kind: "failure", description: DECODE_ERROR } as const;
    assertEquals(readAlert(Uint8Array.of(level, DECODE_ERROR), "1.3"), failure);
  }
});

Deno.test("in DTLS 1.2 a warning changes nothing", () => {
  for (const version of ["1.2", undefined] as const) {
    assertEquals(readAlert(Uint8Array.of(WARNING, DECODE_ERROR), version), { kind: "nothing" });
    assertEquals(readAlert(Uint8Array.of(FATAL, DECODE_ERROR), version).kind, "failure");
  }
});

Deno.test("an alert of no, another length or an unknown level is a fault", () => {
  const reasons = [[], [WARNING], [FATAL, DECODE_ERROR, 0], [0x42, DECODE_ERROR]]
    .map((content) =>
      assertThrows(() => readAlert(Uint8Array.from(content), "1.3"), DtlsFault).reason
    );
  assertEquals(reasons, [
    "unexpected-message",
    "decode-error",
    "decode-error",
    "illegal-parameter",
  ]);
});

Deno.test("an association that its user aborts tells the peer the alert, and ends", () => {
  const pair = new DtlsPair().handshake();
  pair.simulation.advance(100);
  pair.client.abort(INTERNAL_ERROR, pair.simulation.now);
  pair.simulation.advance(100);
  const last = pair.serverEvents.at(-1);
  assertEquals(
    last?.kind === "failed" && last.error.message,
    "the peer sent the alert internal_error",
  );
  const own = pair.clientEvents.at(-1);
  assertEquals(own?.kind === "failed" && own.error.message, "the caller gave up");
});
