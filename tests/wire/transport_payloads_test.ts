import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { RangeSet } from "../../src/base/range_set.ts";
import {
  ACK_BITMAP_BYTES_MAX,
  ACK_PREFIX_BYTES,
  decodeAck,
  encodeAck,
  fillAckBitmap,
  isAcked,
} from "../../src/wire/ack.ts";
import { CREDIT_BYTES, decodeCredit, encodeCredit } from "../../src/wire/credit.ts";
import {
  decodeFragment,
  encodeFragmentPrefix,
  FRAGMENT_PREFIX_BYTES,
} from "../../src/wire/fragment.ts";
import {
  decodeStreamData,
  encodeStreamDataPrefix,
  STREAM_DATA_PREFIX_BYTES,
} from "../../src/wire/stream_data.ts";
import {
  decodeStreamEnd,
  encodeStreamEnd,
  STREAM_END_PREFIX_BYTES,
} from "../../src/wire/stream_end.ts";

const safeInteger = fc.maxSafeNat();
const u32 = fc.nat(0xffff_ffff);
const body = fc.uint8Array({ minLength: 1, maxLength: 64 });

function encodedAck(received: RangeSet, delayUs: number, from = 0): Uint8Array {
  const largest = received.max!;
  const scratch = new Uint8Array(ACK_BITMAP_BYTES_MAX);
  const bitmap = scratch.subarray(0, fillAckBitmap(scratch, received, largest, from));
  const payload = new Uint8Array(ACK_PREFIX_BYTES + bitmap.length);
  encodeAck(payload, { largest, delayUs, bitmap });
  return payload;
}

Deno.test("an Ack reports exactly the received numbers among the 2,048 below the largest", () => {
  const packetNumbers = fc.array(fc.nat(5_000), { minLength: 1, maxLength: 60 });
  fc.assert(fc.property(packetNumbers, u32, fc.nat(3_000), (numbers, delayUs, from) => {
    const received = new RangeSet();
    for (const number of numbers) received.addRange(number, number + 1 + (number % 40));
    const ack = decodeAck(encodedAck(received, delayUs, from));
    assertEquals(ack.delayUs, delayUs);
    assertEquals(ack.largest, received.max);
    for (let number = 0; number < 5_100; number++) {
      const reported = number === ack.largest ||
        (received.has(number) && number >= from && number >= ack.largest - 2_048);
      assertEquals(isAcked(ack, number), reported, `number ${number}`);
    }
  }));
});

Deno.test("bit 0 of an Ack's bitmap is the most significant bit and the number below the largest", () => {
  const received = new RangeSet();
  for (const number of [0x1_0000_0009, 0x1_0000_0008, 0x1_0000_0006, 0x1_0000_0000]) {
    received.add(number);
  }
  assertEquals(toHex(encodedAck(received, 0x102)), "0000000100000009" + "00000102" + "a080");
});

Deno.test("trailing zero bytes of an Ack's bitmap are left out, and an error where they are there", () => {
  assertThrows(() => decodeAck(fromHex("0000000000000fff 00000000 8000")), DecodeError);
  assertThrows(() => decodeAck(fromHex("0000000000000fff 00000000 00")), DecodeError);
  assertEquals(decodeAck(fromHex("0000000000000fff 00000000")).bitmap.length, 0);
});

Deno.test("an Ack with more than 256 bytes of bitmap or a number below 0 is an error", () => {
  const long = new Uint8Array(ACK_PREFIX_BYTES + 257).fill(1);
  long.fill(0, 0, 2);
  assertThrows(() => decodeAck(long), DecodeError);
  assertEquals(decodeAck(long.subarray(0, -1)).bitmap.length, 256);
  assertThrows(() => decodeAck(fromHex("0000000000000003 00000000 10")), DecodeError);
  assertEquals(isAcked(decodeAck(fromHex("0000000000000003 00000000 20")), 0), true);
  assertThrows(() => decodeAck(fromHex("0000000000000000 00000000 80")), DecodeError);
});

Deno.test("encode then decode is the identity for stream data, fragments, credit and stream ends", () => {
  const id = fc.integer({ min: 1, max: 0xffff_ffff });
  fc.assert(fc.property(id, safeInteger, body, (streamId, number, bytes) => {
    const offset = Math.min(number, Number.MAX_SAFE_INTEGER - bytes.length);
    const data = new Uint8Array(STREAM_DATA_PREFIX_BYTES + bytes.length);
    encodeStreamDataPrefix(data, streamId, offset).set(bytes);
    assertEquals(decodeStreamData(data, false), { streamId, offset, bytes });

    const end = new Uint8Array(STREAM_END_PREFIX_BYTES + bytes.length);
    encodeStreamEnd(end, { streamId, finalOffset: number, error: bytes });
    assertEquals(decodeStreamEnd(end), { streamId, finalOffset: number, error: bytes });

    const credit = new Uint8Array(CREDIT_BYTES);
    encodeCredit(credit, streamId, number);
    assertEquals(decodeCredit(credit), { streamId, maximum: number });

    const totalBytes = streamId;
    const fragmentOffset = Math.max(0, totalBytes - bytes.length);
    const part = bytes.subarray(0, totalBytes - fragmentOffset);
    const fragment = new Uint8Array(FRAGMENT_PREFIX_BYTES + part.length);
    encodeFragmentPrefix(fragment, fragmentOffset, totalBytes).set(part);
    assertEquals(decodeFragment(fragment), { offset: fragmentOffset, totalBytes, bytes: part });
  }));
});

Deno.test("stream data without bytes needs FIN, a stream is never 0 and ends at 2^53 - 1", () => {
  const empty = fromHex("00000002 0000000000000005");
  assertThrows(() => decodeStreamData(empty, false), DecodeError);
  assertEquals(decodeStreamData(empty, true).bytes.length, 0);
  assertThrows(() => decodeStreamData(fromHex("00000000 0000000000000005 00"), false), DecodeError);
  assertThrows(() => decodeStreamData(fromHex("00000002 001fffffffffffff 00"), true), DecodeError);
  assertEquals(
    decodeStreamData(fromHex("00000002 001ffffffffffffe 00"), true).offset,
    2 ** 53 - 2,
  );
  assertThrows(() => decodeStreamData(fromHex("00000002 0020000000000000"), true), DecodeError);
  assertThrows(() => decodeStreamEnd(fromHex("00000000 0000000000000005")), DecodeError);
});

Deno.test("offset and length of a fragment stay within its total, and it has at least one byte", () => {
  assertThrows(() => decodeFragment(fromHex("00000000 00000004")), DecodeError);
  assertThrows(() => decodeFragment(fromHex("00000000 00000000")), DecodeError);
  assertThrows(() => decodeFragment(fromHex("00000003 00000004 aabb")), DecodeError);
  assertThrows(() => decodeFragment(fromHex("ffffffff 00000004 aa")), DecodeError);
  assertEquals(decodeFragment(fromHex("00000003 00000004 aa")).offset, 3);
});

Deno.test("a Credit is exactly 12 bytes", () => {
  assertThrows(() => decodeCredit(new Uint8Array(11)), DecodeError);
  assertThrows(() => decodeCredit(new Uint8Array(13)), DecodeError);
  assertThrows(() => decodeCredit(new Uint8Array(12).fill(0xff)), DecodeError);
});
