// The Montgomery ladder of RFC 7748 section 5.

import { decode } from "./encoding.ts";
import {
  carried,
  difference,
  exchangedPairs,
  type Field,
  hold,
  lanesOf,
  loadPair,
  LOOSE_MAX,
  pairOf,
  type Slot,
  smallPair,
  storePair,
  sum,
  sumAndDifference,
} from "./field.ts";
import { type Body, type Code, i32, i64, pair } from "./wasm.ts";

/** RFC 7748 section 5: "The constant a24 is (486662 - 2) / 4 = 121665 for curve25519/X25519". */
const A24 = 121_665;

/** RFC 7748 section 5: bits of a scalar, "bits = 255". */
const SCALAR_BITS = 255;

/**
 * Sets the two lanes of `out` to the X and Z of the product of a scalar and a point, whose bytes are at these
 * addresses. The scalar's lowest bit is 0, as RFC 7748 section 5 has it.
 */
export function multiplyPoint(
  body: Body,
  field: Field,
  out: Slot,
  scalar: Code,
  point: Code,
): void {
  // (x_2, z_2) is `out`, and (x_3, z_3) is `third`; `x1` is (1, x_1).
  const [x1, third, decoded] = [field.slot(), field.slot(), field.slot(LOOSE_MAX)];
  const [ab, ba, cd] = [field.slot(), field.slot(), field.slot(LOOSE_MAX)];
  const [dacb, left, right] = [field.slot(), field.slot(), field.slot(LOOSE_MAX)];
  // "x_1 = u; x_2 = 1; z_2 = 0; x_3 = u; z_3 = 1"
  storePair(body, out, smallPair(body, 1, 0));
  storePair(body, decoded, smallPair(body, 1, 1));
  decode(body, decoded, 1, point);
  const u = carried(body, loadPair(decoded));
  storePair(body, x1, u);
  storePair(body, third, lanesOf(u, u, 1, 0));
  const [bit, swap, mask] = [body.i32(), body.i32(), body.pair()];
  swap.set(i32.constant(0));
  body.repeat(i32.constant(SCALAR_BITS), (index) => {
    bit.set(i32.sub(i32.constant(SCALAR_BITS - 1), index));
    const byte = i32.loadByte(i32.add(scalar, i32.shrU(bit.value, i32.constant(3))));
    bit.set(i32.and(i32.shrU(byte, i32.and(bit.value, i32.constant(7))), i32.constant(1)));
    // "swap ^= k_t", "(x_2, x_3) = cswap(swap, x_2, x_3)", the same of z, "swap = k_t"
    const isSwapped = i32.xor(swap.value, bit.value);
    mask.set(pair.iBoth(i64.ofI32(i32.sub(i32.constant(0), isSwapped))));
    swap.set(bit.value);
    const [xz2, xz3] = exchangedPairs(body, loadPair(out), loadPair(third), mask.value);
    // "A = x_2 + z_2", "B = x_2 - z_2", "C = x_3 + z_3", "D = x_3 - z_3"
    const sums = carried(body, sumAndDifference(body, xz2));
    storePair(body, ab, sums);
    storePair(body, ba, lanesOf(sums, sums, 1, 0));
    storePair(body, cd, sumAndDifference(body, xz3));
    // "CB = C * B", "DA = D * A", "AA = A^2", "BB = B^2"
    field.multiply(body, dacb, cd, ba);
    field.square(body, ab, ab);
    // "x_3 = (DA + CB)^2", "z_3 = x_1 * (DA - CB)^2": the sign of the difference is lost.
    storePair(body, dacb, carried(body, sumAndDifference(body, loadPair(dacb))));
    field.square(body, dacb, dacb);
    field.multiply(body, third, x1, dacb);
    // "E = AA - BB", "x_2 = AA * BB", "z_2 = E * (AA + a24 * E)"
    const squares = hold(body, loadPair(ab));
    const aa = lanesOf(squares, squares, 0, 0);
    const bb = pairOf(squares.max, (i) => pair.and(squares.limbs[i]!, body.bits(0n, -1n)));
    const aaAndE = carried(body, difference(aa, bb));
    storePair(body, left, aaAndE);
    const multipleOfE = carried(body, aaAndE, [0, A24]);
    storePair(body, right, sum(multipleOfE, lanesOf(squares, squares, 1, 0)));
    field.multiply(body, out, right, left);
  });
  // "(x_2, x_3) = cswap(swap, x_2, x_3)" once more changes nothing, as the last bit is 0.
}
