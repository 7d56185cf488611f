// The payload of Ack: the packets that arrived, as a bitmap below the largest (PROTOCOL.md, "Ack").

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import type { RangeSet } from "../base/range_set.ts";

/** Bytes before the bitmap: u64 largest packet number, u32 delay. */
export const ACK_PREFIX_BYTES = 12;

/** Bytes of the longest bitmap, which reports 2,048 packet numbers. */
export const ACK_BITMAP_BYTES_MAX = 256;

/** The longest delay that the field holds, in microseconds. */
const ACK_DELAY_US_MAX = 0xffff_ffff;

/** A decoded Ack. `bitmap` is a view of the frame's payload. */
export interface Ack {
  readonly largest: number;
  /** How long the receiver of the largest packet held back this report, in microseconds. */
  readonly delayUs: number;
  /** Bit `i`, most significant bit first, is packet number `largest - 1 - i`. */
  readonly bitmap: Uint8Array;
}

/** Reads the payload of an Ack frame. Throws {@linkcode DecodeError}. */
export function decodeAck(payload: Uint8Array): Ack {
  const reader = new ByteReader(payload);
  const largest = reader.u64Number();
  const delayUs = reader.u32();
  const bitmap = reader.rest();
  if (bitmap.length > ACK_BITMAP_BYTES_MAX) throw new DecodeError("an Ack reports too much");
  const last = bitmap.at(-1);
  if (last === 0) throw new DecodeError("the bitmap of an Ack ends in zeros");
  if (last !== undefined) {
    const lowestBit = 8 * bitmap.length - 1 - trailingZeroBits(last);
    if (lowestBit >= largest) throw new DecodeError("an Ack reports a number below 0");
  }
  return { largest, delayUs, bitmap };
}

/** Zero bits below the lowest set bit of a byte that is not 0. */
function trailingZeroBits(byte: number): number {
  return 31 - Math.clz32(byte & -byte);
}

/** Whether an Ack reports a packet number. */
export function isAcked(ack: Ack, packetNumber: number): boolean {
  if (packetNumber >= ack.largest) return packetNumber === ack.largest;
  const bit = ack.largest - 1 - packetNumber;
  const byte = ack.bitmap[Math.floor(bit / 8)];
  return byte !== undefined && (byte & (0x80 >> (bit % 8))) !== 0;
}

/**
 * Fills `bitmap` with the members of `received` in `[from, largest)` as far as it reaches, and returns
 * how many of its bytes are needed: the zeros at the end are left out.
 */
export function fillAckBitmap(
  bitmap: Uint8Array,
  received: RangeSet,
  largest: number,
  from: number,
): number {
  bitmap.fill(0);
  const lowest = Math.max(from, largest - 8 * bitmap.length);
  let lengthBytes = 0;
  for (const range of received.ranges()) {
    const start = Math.max(range.start, lowest);
    const end = Math.min(range.end, largest);
    if (start >= end) continue;
    // Higher numbers come first: the bits from that of `end - 1` to that of `start`.
    const lastBit = largest - 1 - start;
    setBits(bitmap, largest - end, lastBit);
    if (lengthBytes === 0) lengthBytes = Math.floor(lastBit / 8) + 1;
  }
  return lengthBytes;
}

/** Sets the bits `first` to `last`, both included, most significant bit of byte 0 first. */
function setBits(bitmap: Uint8Array, first: number, last: number): void {
  const firstByte = first >>> 3;
  const lastByte = last >>> 3;
  const head = 0xff >>> (first & 7);
  const tail = 0xff << (7 - (last & 7));
  if (firstByte === lastByte) {
    bitmap[firstByte]! |= head & tail;
    return;
  }
  bitmap[firstByte]! |= head;
  bitmap.fill(0xff, firstByte + 1, lastByte);
  bitmap[lastByte]! |= tail;
}

/** Writes the payload, whose length is {@linkcode ACK_PREFIX_BYTES} and the bitmap's. */
export function encodeAck(payload: Uint8Array, ack: Ack): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  view.setUint32(0, Math.floor(ack.largest / 0x1_0000_0000));
  view.setUint32(4, ack.largest % 0x1_0000_0000);
  view.setUint32(8, Math.min(ack.delayUs, ACK_DELAY_US_MAX));
  payload.set(ack.bitmap, ACK_PREFIX_BYTES);
}
