// Elements as the 32 bytes that RFC 7748 has them in, and as five limbs.

import {
  checkMax,
  LIMB_BITS,
  LIMB_COUNT,
  LIMB_MASK,
  LOOSE_MAX,
  P,
  type Slot,
  TIGHT_MAX,
  VECTOR_BYTES,
  WRAP,
} from "./field.ts";
import { type Body, type Code, f64, i64 } from "./wasm.ts";

/** Bytes of a lane. */
const LANE_BYTES = 8;

/** The tight limbs of a number modulo p, the lowest first. */
export function limbsOf(element: bigint): number[] {
  let rest = (element % P + P) % P;
  const limbs: number[] = [];
  for (let i = 0; i < LIMB_COUNT; i++) {
    const limb = BigInt.asIntN(Number(LIMB_BITS), rest);
    limbs.push(Number(limb));
    rest = (rest - limb) >> LIMB_BITS;
  }
  limbs[0]! += WRAP * Number(rest);
  return limbs;
}

/**
 * Reads an element from 32 bytes to one lane of a pair: loose, and less than 2^255. RFC 7748 section 5:
 * "implementations of X25519 (but not X448) MUST mask the most significant bit in the final byte."
 */
export function decode(body: Body, out: Slot, lane: 0 | 1, bytesAddress: Code): void {
  checkMax(LOOSE_MAX, out.max);
  for (let i = 0; i < LIMB_COUNT; i++) {
    const bit = Number(LIMB_BITS) * i;
    // The highest limb is read with the last eight bytes: what follows them is not the element's.
    const byte = Math.min(bit >> 3, 24);
    const word = i64.load(bytesAddress, byte);
    const shifted = i64.shrU(word, i64.constant(BigInt(bit - 8 * byte)));
    const limb = f64.ofI64(i64.and(shifted, i64.constant(LIMB_MASK)));
    body.do(f64.store(out.address, limb, VECTOR_BYTES * i + LANE_BYTES * lane));
  }
}

/** Writes the element in a lane of a tight pair as 32 bytes: the least number that it is modulo p. */
export function encode(body: Body, bytesAddress: Code, { address, max }: Slot, lane: 0 | 1): void {
  checkMax(max, TIGHT_MAX);
  const limbs = Array.from({ length: LIMB_COUNT }, (_, i) => {
    const limb = body.i64();
    limb.set(i64.ofF64(f64.load(address, VECTOR_BYTES * i + LANE_BYTES * lane)));
    return limb;
  });
  const carry = body.i64();
  /** Carries from each limb to the next; `carry` is left with what there is beyond 2^255. */
  const carryOn = () => {
    carry.set(i64.constant(0n));
    for (const limb of limbs) {
      limb.set(i64.add(limb.value, carry.value));
      carry.set(i64.shrS(limb.value, i64.constant(LIMB_BITS)));
      limb.set(i64.and(limb.value, i64.constant(LIMB_MASK)));
    }
  };
  // Tight limbs make a number of less than p in magnitude: a negative one carries -1, and becomes that number plus p.
  carryOn();
  const wrapped = i64.mul(carry.value, i64.constant(BigInt(WRAP)));
  limbs[0]!.set(i64.add(limbs[0]!.value, wrapped));
  carryOn();
  for (let word = 0; word < 4; word++) {
    // 64 bits from bit 64 * word on are in two limbs.
    const bit = 64 * word;
    const limb = Math.floor(bit / Number(LIMB_BITS));
    const skipped = bit - Number(LIMB_BITS) * limb;
    const low = i64.shrU(limbs[limb]!.value, i64.constant(BigInt(skipped)));
    const high = i64.shl(limbs[limb + 1]!.value, i64.constant(LIMB_BITS - BigInt(skipped)));
    body.do(i64.store(bytesAddress, i64.or(low, high), 8 * word));
  }
}
