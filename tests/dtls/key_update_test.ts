// KeyUpdate: its message, and when one is sent.

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import {
  decodeKeyUpdate,
  encodeKeyUpdate,
  EPOCH_MAX,
  isForgedUpdateDue,
  isUpdateDue,
  KeyUpdates,
  mayCarryData,
} from "../../src/dtls/key_update.ts";

const REQUESTED = encodeKeyUpdate(true);
const NOT_REQUESTED = encodeKeyUpdate(false);

Deno.test("KeyUpdate: encoding and decoding, and everything else is an error", () => {
  assertEquals(REQUESTED, new Uint8Array([1]));
  assertEquals([decodeKeyUpdate(REQUESTED), decodeKeyUpdate(NOT_REQUESTED)], [true, false]);
  for (const body of [new Uint8Array(0), new Uint8Array(2)]) {
    assertThrows(() => decodeKeyUpdate(body), DecodeError);
  }
  const fault = assertThrows(() => decodeKeyUpdate(new Uint8Array([2])), DtlsFault);
  assertEquals(fault.reason, "illegal-parameter");
});

Deno.test("KeyUpdate: one at a time, and the next only after its acknowledgement", () => {
  const updates = new KeyUpdates();
  assertEquals(updates.take(), undefined);
  assert(updates.want(false, 3));
  assertFalse(updates.want(false, 3));
  assertEquals(updates.take(), NOT_REQUESTED);
  assertEquals(updates.take(), undefined);
  assertFalse(updates.want(true, 3));
  assertEquals(updates.take(), undefined);
  assert(updates.isUnderWay);
  updates.onAcknowledged();
  assertFalse(updates.isUnderWay);
  assert(updates.want(false, 4));
  assertEquals(updates.take(), NOT_REQUESTED);
});

Deno.test("KeyUpdate: a wish that the peer updates too is kept until it is sent, and no longer", () => {
  const updates = new KeyUpdates();
  updates.want(false, 3);
  updates.want(true, 3);
  assertEquals(updates.take(), REQUESTED);
  updates.onAcknowledged();
  updates.want(false, 4);
  assertEquals(updates.take(), NOT_REQUESTED);
});

Deno.test("KeyUpdate: a request is answered without one; several, or one that crosses, have one answer", () => {
  const updates = new KeyUpdates();
  updates.onKeyUpdate(NOT_REQUESTED, 3, 3);
  assertEquals(updates.take(), undefined);
  updates.onKeyUpdate(REQUESTED, 4, 3);
  updates.onKeyUpdate(REQUESTED, 5, 3);
  assertEquals(updates.take(), NOT_REQUESTED);
  updates.onKeyUpdate(REQUESTED, 6, 3);
  updates.onAcknowledged();
  assertEquals(updates.take(), undefined);
});

Deno.test("KeyUpdate: epochs end at 2^16-1: not sent, a request ignored, the peer's a fault", () => {
  const updates = new KeyUpdates();
  assertFalse(updates.want(true, EPOCH_MAX));
  updates.onKeyUpdate(REQUESTED, EPOCH_MAX - 1, EPOCH_MAX);
  assertEquals(updates.take(), undefined);
  const fault = assertThrows(() => updates.onKeyUpdate(NOT_REQUESTED, EPOCH_MAX, 3), DtlsFault);
  assertEquals(fault.reason, "unexpected-message");
  assert(updates.want(true, EPOCH_MAX - 1));
});

Deno.test("KeyUpdate: due before the limits, and the last records are not for data", () => {
  const at = (records: number) => ({ records, recordsMax: 64 });
  assertEquals([isUpdateDue(at(47)), isUpdateDue(at(48))], [false, true]);
  assertEquals([mayCarryData(at(59)), mayCarryData(at(60))], [true, false]);
  assertEquals([isForgedUpdateDue(at(31)), isForgedUpdateDue(at(32))], [false, true]);
});
