// Connection IDs: their messages, and the sets of both directions.

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { EMPTY_BYTES } from "../../src/base/bytes.ts";
import {
  decodeNewConnectionId,
  decodeRequestConnectionId,
  encodeNewConnectionId,
  encodeRequestConnectionId,
  ReceiveConnectionIds,
  SendConnectionIds,
} from "../../src/dtls/connection_ids.ts";
import { DtlsError, DtlsFault } from "../../src/dtls/errors.ts";

/** An ID of 8 bytes that tells its number. */
function id(number: number): Uint8Array {
  return new Uint8Array([0, 0, 0, 0, 0, 0, 0, number]);
}

/** The numbers of IDs. */
function numbers(ids: readonly Uint8Array[]): number[] {
  return ids.map((one) => one.at(-1)!);
}

/** IDs for records to this side, which begin with number 0, and those that were retired. */
function receiving(countMax: number) {
  const retired: Uint8Array[] = [];
  let next = 1;
  const source = { issue: () => id(next++), retire: (old: Uint8Array) => void retired.push(old) };
  return { ids: new ReceiveConnectionIds(id(0), source, countMax), retired };
}

/** No IDs for records to this side. */
function receivingNone(): ReceiveConnectionIds {
  const source = { issue: () => id(1), retire: () => {} };
  return new ReceiveConnectionIds(EMPTY_BYTES, source, 4);
}

/** IDs for records to the peer, which begin with number 0. */
function sending(spareMax: number): SendConnectionIds {
  const ids = new SendConnectionIds(spareMax);
  ids.begin(id(0));
  return ids;
}

function faultOf(action: () => unknown): string {
  return assertThrows(action, DtlsFault).reason;
}

const spare = (...which: number[]) =>
  encodeNewConnectionId({ connectionIds: which.map(id), isImmediate: false });
const immediate = (...which: number[]) =>
  encodeNewConnectionId({ connectionIds: which.map(id), isImmediate: true });

Deno.test("NewConnectionId: decoding what was encoded, and no prefix of it", () => {
  const anId = fc.uint8Array({ minLength: 1, maxLength: 255 });
  fc.assert(
    fc.property(fc.array(anId, { maxLength: 20 }), fc.boolean(), (list, isImmediate) => {
      const message = { connectionIds: list, isImmediate };
      const body = encodeNewConnectionId(message);
      assertEquals(decodeNewConnectionId(body), message);
      for (let end = 0; end < body.length; end++) {
        assertThrows(() => decodeNewConnectionId(body.subarray(0, end)), DecodeError);
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("NewConnectionId: an unknown usage, an empty ID and trailing bytes are errors", () => {
  assertEquals(
    faultOf(() => decodeNewConnectionId(new Uint8Array([0, 0, 2]))),
    "illegal-parameter",
  );
  const empty = new Uint8Array([0, 1, 0, 1]);
  assertEquals(faultOf(() => decodeNewConnectionId(empty)), "illegal-parameter");
  assertThrows(() => decodeNewConnectionId(new Uint8Array([0, 0, 1, 0])), DecodeError);
});

Deno.test("RequestConnectionId: one byte", () => {
  assertEquals(decodeRequestConnectionId(encodeRequestConnectionId(7)), 7);
  for (const body of [new Uint8Array(0), new Uint8Array(2)]) {
    assertThrows(() => decodeRequestConnectionId(body), DecodeError);
  }
});

Deno.test("IDs of this side: what was given is accepted, nothing else, and none is no ID", () => {
  const { ids } = receiving(4);
  assertEquals(numbers(ids.provide(2).connectionIds), [1, 2]);
  assertEquals([0, 1, 2, 3].map((n) => ids.accepts(id(n))), [true, true, true, false]);
  assertFalse(ids.accepts(undefined));
  assertFalse(ids.accepts(id(1).subarray(0, 7)));
  const none = receivingNone();
  assertEquals([none.accepts(undefined), none.accepts(id(0))], [true, false]);
});

Deno.test("IDs of this side: bounded, whatever is asked for; only IDs that the peer left make room", () => {
  const { ids, retired } = receiving(4);
  assertEquals(numbers(ids.onRequest(encodeRequestConnectionId(255), 9).connectionIds), [1, 2, 3]);
  assertEquals(ids.onRequest(encodeRequestConnectionId(255), 9).connectionIds, []);
  ids.onUsed(id(2));
  assertEquals(numbers(ids.onRequest(encodeRequestConnectionId(255), 9).connectionIds), [4, 5]);
  assertEquals(numbers(ids.all), [2, 3, 4, 5]);
  assertEquals(numbers(retired), [0, 1]);
  ids.onUsed(id(3));
  assertEquals(numbers(ids.onRequest(encodeRequestConnectionId(255), 9).connectionIds), [6]);
  assertEquals(numbers(retired), [0, 1, 2]);
});

Deno.test("IDs of this side: an ID of before that comes late changes nothing", () => {
  const { ids } = receiving(4);
  ids.provide(3);
  ids.onUsed(id(3));
  ids.onUsed(id(1));
  assertEquals(numbers(ids.provide(9).connectionIds), [4, 5, 6]);
  assertEquals(numbers(ids.all), [3, 4, 5, 6]);
});

Deno.test("IDs of this side: requests without use end in too_many_cids_requested", () => {
  const { ids } = receiving(8);
  const ask = () => ids.onRequest(encodeRequestConnectionId(1), 3);
  for (let n = 0; n < 3; n++) ask();
  ids.onUsed(id(1));
  for (let n = 0; n < 3; n++) ask();
  assertEquals(faultOf(ask), "too-many-cids-requested");
});

Deno.test("IDs of this side: without any, a request is a fault of the peer and an offer one of the caller", () => {
  const ids = receivingNone();
  const ask = () => ids.onRequest(encodeRequestConnectionId(1), 3);
  assertEquals(faultOf(ask), "unexpected-message");
  assertEquals(assertThrows(() => ids.provide(1), DtlsError).reason, "no-connection-ids");
});

Deno.test("IDs of the peer: spare ones in the order in which they came, immediate ones at once", () => {
  const ids = sending(8);
  ids.onNewConnectionId(spare(1, 2));
  ids.onNewConnectionId(spare(3));
  assertEquals(numbers([ids.current, ids.next]), [0, 1]);
  ids.useNext();
  assertEquals(numbers([ids.current, ids.next]), [1, 2]);
  ids.onNewConnectionId(immediate(7, 8));
  assertEquals(numbers([ids.current, ids.next]), [7, 8]);
  ids.useNext();
  ids.useNext();
  assertEquals(numbers([ids.current, ids.next]), [8, 8]);
});

Deno.test("IDs of the peer: more spare ones than are kept are left aside", () => {
  const ids = sending(3);
  ids.onNewConnectionId(spare(1, 2, 3, 4, 5));
  assertEquals(ids.spareCount, 3);
  ids.onNewConnectionId(immediate(10, 11, 12, 13, 14));
  assertEquals([ids.spareCount, ...numbers([ids.current, ids.next])], [3, 10, 11]);
});

Deno.test("IDs of the peer: no ID to be used at once, or IDs where there are none, are faults", () => {
  assertEquals(faultOf(() => sending(3).onNewConnectionId(immediate())), "illegal-parameter");
  const none = new SendConnectionIds(3);
  assertEquals(faultOf(() => none.onNewConnectionId(spare(1))), "unexpected-message");
  assertEquals(assertThrows(() => none.request(1), DtlsError).reason, "no-connection-ids");
});

Deno.test("IDs of the peer: one request at a time, for what is missing", () => {
  const ids = sending(4);
  assertEquals(ids.request(9), encodeRequestConnectionId(4));
  assertEquals(ids.request(9), undefined);
  ids.onNewConnectionId(spare(1));
  assertEquals(ids.request(2), encodeRequestConnectionId(1));
  ids.onNewConnectionId(spare(2));
  assertEquals(ids.request(2), undefined);
  assert(ids.request(3) !== undefined);
});
