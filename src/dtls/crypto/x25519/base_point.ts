// Multiples of the base point, on the birationally equivalent twisted Edwards curve (RFC 7748 section 4.1), whose
// points are added from a table: less than half the work of the ladder.

import { ed25519 } from "@noble/curves/ed25519.js";
import { normalizeZ } from "@noble/curves/abstract/curve.js";
import { limbsOf } from "./encoding.ts";
import {
  carried,
  difference,
  exchangedPairs,
  type Field,
  held,
  hold,
  lanesOf,
  LIMB_COUNT,
  loadPair,
  LOOSE_MAX,
  negated,
  type Pair,
  PAIR_BYTES,
  pairOf,
  SIGN,
  type Slot,
  smallPair,
  storePair,
  sum,
  sumAndDifference,
  TIGHT_MAX,
  VECTOR_BYTES,
} from "./field.ts";
import { type Body, type Code, i32, i64, pair } from "./wasm.ts";

/** A scalar is 32 bytes, each of which is two digits to the base 16. */
const SCALAR_BYTES = 32;

/** Digits are -7 to 8, so that the table has multiples of up to 8. */
const MULTIPLES = 8;
const DIGIT_BIAS = 7;

/** An affine point (x, y) in the table: y + x, y - x, and 2 d x y, as its addition takes them. */
const COORDINATES = 3;
const ENTRY_BYTES = COORDINATES * PAIR_BYTES;
const DIGIT_PAIR_BYTES = MULTIPLES * ENTRY_BYTES;

/** Bytes of the table. */
export const TABLE_BYTES: number = SCALAR_BYTES * DIGIT_PAIR_BYTES;

/** d of RFC 8032 section 5.1. */
const D = ed25519.Point.CURVE().d;

/**
 * The table: for each byte of a scalar the multiples of the base point by 1 to 8, those of the lower digit in lane 0
 * and of the higher one in lane 1.
 */
export function basePointTable(): Float64Array {
  const points: (typeof ed25519.Point.BASE)[] = [];
  let unit = ed25519.Point.BASE;
  for (let digit = 0; digit < 2 * SCALAR_BYTES; digit++) {
    let multiple = unit;
    for (let i = 0; i < MULTIPLES; i++) {
      points.push(multiple);
      if (i < MULTIPLES - 1) multiple = multiple.add(unit);
    }
    unit = multiple.double();
  }
  const table = new Float64Array(TABLE_BYTES / 8);
  normalizeZ(ed25519.Point, points).forEach((point, index) => {
    const { x, y } = point.toAffine();
    const digit = Math.floor(index / MULTIPLES);
    const entry = (digit >> 1) * MULTIPLES + index % MULTIPLES;
    [y + x, y - x, 2n * D * x * y].forEach((coordinate, i) => {
      limbsOf(coordinate).forEach((limb, j) => {
        table[((entry * COORDINATES + i) * LIMB_COUNT + j) * 2 + (digit & 1)] = limb;
      });
    });
  });
  return table;
}

/** An extended point (X, Y, Z, T) in each lane: x = X/Z, y = Y/Z, x y = T/Z. */
interface Point {
  readonly x: Slot;
  readonly y: Slot;
  readonly z: Slot;
  readonly t: Slot;
}

/** What is added to a point: y + x, y - x and 2 d x y. */
type Addend = readonly [Pair, Pair, Pair];

/**
 * Sets the two lanes of `out` to the X and Z, on the Montgomery curve, of the product of a scalar, whose bytes are at
 * that address, and the base point. Each lane adds the points of its own digits. The scalar's highest bit is 0.
 */
export function multiplyBasePoint(
  body: Body,
  field: Field,
  out: Slot,
  scalar: Code,
  table: Code,
): void {
  const point = { x: field.slot(), y: field.slot(), z: field.slot(), t: field.slot() };
  // The neutral point (0, 1).
  for (const slot of [point.x, point.t]) storePair(body, slot, smallPair(body, 0, 0));
  for (const slot of [point.y, point.z]) storePair(body, slot, smallPair(body, 1, 1));
  const [byte, carry, low, high] = [body.i32(), body.i32(), body.i32(), body.i32()];
  carry.set(i32.constant(0));
  body.repeat(i32.constant(SCALAR_BYTES), (index) => {
    byte.set(i32.loadByte(i32.add(scalar, index)));
    low.set(i32.and(byte.value, i32.constant(15)));
    high.set(i32.shrU(byte.value, i32.constant(4)));
    for (const digit of [low, high]) {
      // A digit above 8 becomes negative, and 1 is carried to the next. The last is 8 at most: the highest bit is 0.
      digit.set(i32.add(digit.value, carry.value));
      carry.set(i32.shrS(i32.add(digit.value, i32.constant(DIGIT_BIAS)), i32.constant(4)));
      digit.set(i32.sub(digit.value, i32.shl(carry.value, i32.constant(4))));
    }
    const entries = body.i32();
    entries.set(i32.add(table, i32.mul(index, i32.constant(DIGIT_PAIR_BYTES))));
    add(body, field, point, chosen(body, entries.value, low.value, high.value));
  });
  addLanes(body, field, out, point);
}

/** The entries of the table for the digits of both lanes; all of them are read. */
function chosen(body: Body, entries: Code, low: Code, high: Code): Addend {
  const both = (lane0: Code, lane1: Code) =>
    held(body, pair.iWithLane1(pair.iBoth(i64.ofI32(lane0)), i64.ofI32(lane1)));
  const sign = (digit: Code) => i32.shrS(digit, i32.constant(31));
  const magnitude = (digit: Code) => i32.sub(i32.xor(digit, sign(digit)), sign(digit));
  const signs = both(sign(low), sign(high));
  const magnitudes = both(magnitude(low), magnitude(high));
  // The neutral point has y + x = y - x = 1 and 2 d x y = 0.
  const isZero = held(body, pair.iEqual(magnitudes, body.bits(0n)));
  const limbs = Array.from({ length: COORDINATES * LIMB_COUNT }, (_, i) => {
    const limb = body.pair();
    const isOne = i === 0 || i === LIMB_COUNT;
    limb.set(isOne ? pair.and(isZero, body.constant(1)) : body.bits(0n));
    return limb;
  });
  for (let multiple = 1; multiple <= MULTIPLES; multiple++) {
    const isChosen = held(body, pair.iEqual(magnitudes, body.bits(BigInt(multiple))));
    limbs.forEach((limb, i) => {
      const entry = pair.load(entries, (multiple - 1) * ENTRY_BYTES + i * VECTOR_BYTES);
      limb.set(pair.or(limb.value, pair.and(entry, isChosen)));
    });
  }
  const coordinate = (index: number) =>
    pairOf(TIGHT_MAX, (i) => limbs[index * LIMB_COUNT + i]!.value);
  // A negative digit stands for (-x, y): the first two are exchanged, the third changes its sign.
  const signBits = held(body, pair.and(signs, body.bits(SIGN)));
  return [
    ...exchangedPairs(body, coordinate(0), coordinate(1), signs),
    negated(coordinate(2), signBits),
  ];
}

/** Adds to the point in each lane. The quotations are RFC 8032 section 5.1.4's, with Z2 = 1. */
function add(
  body: Body,
  field: Field,
  { x, y, z, t }: Point,
  [sums, differences, products]: Addend,
): void {
  const [a, b, c, factor] = [field.slot(), field.slot(), field.slot(), field.slot(LOOSE_MAX)];
  const [e, f, g, h] = [field.slot(), field.slot(), field.slot(), field.slot(LOOSE_MAX)];
  const multiply = (out: Slot, one: Pair, other: Pair) => {
    storePair(body, factor, one);
    storePair(body, out, other);
    field.multiply(body, out, factor, out);
  };
  // "A = (Y1-X1)*(Y2-X2)", "B = (Y1+X1)*(Y2+X2)", "C = T1*2*d*T2", "D = Z1*2*Z2"
  const [x1, y1, z1] = [hold(body, loadPair(x)), hold(body, loadPair(y)), hold(body, loadPair(z))];
  multiply(a, difference(y1, x1), differences);
  multiply(b, sum(y1, x1), sums);
  multiply(c, loadPair(t), products);
  const [ofA, ofB, ofC] = [a, b, c].map((slot) => hold(body, loadPair(slot))) as [Pair, Pair, Pair];
  const ofD = hold(body, sum(z1, z1));
  // "E = B-A", "F = D-C", "G = D+C", "H = B+A"
  storePair(body, e, carried(body, difference(ofB, ofA)));
  storePair(body, f, carried(body, difference(ofD, ofC)));
  storePair(body, g, carried(body, sum(ofD, ofC)));
  storePair(body, h, sum(ofB, ofA));
  // "X3 = E*F", "Y3 = G*H", "T3 = E*H", "Z3 = F*G"
  field.multiply(body, x, e, f);
  field.multiply(body, y, h, g);
  field.multiply(body, t, h, e);
  field.multiply(body, z, f, g);
}

/** The sum of the points in both lanes, as X and Z of a point on the Montgomery curve. */
function addLanes(body: Body, field: Field, out: Slot, { x, y, z, t }: Point): void {
  const [ab, cd, factor] = [field.slot(LOOSE_MAX), field.slot(), field.slot()];
  // The formulas are those of `add`: A and B are side by side, and C and D.
  const [x1, y1] = [hold(body, loadPair(x)), hold(body, loadPair(y))];
  const [differences, sums] = [hold(body, difference(y1, x1)), hold(body, sum(y1, x1))];
  storePair(body, ab, lanesOf(differences, sums, 0, 2));
  storePair(body, factor, carried(body, lanesOf(differences, sums, 1, 3)));
  field.multiply(body, factor, ab, factor);
  const ofAb = hold(body, loadPair(factor));
  const [t1, z1] = [hold(body, loadPair(t)), hold(body, loadPair(z))];
  storePair(body, cd, lanesOf(t1, z1, 0, 2));
  storePair(body, factor, lanesOf(t1, z1, 1, 3));
  field.multiply(body, cd, cd, factor);
  const twiceD = limbsOf(2n * D);
  const multiples = pairOf(TIGHT_MAX, (i) => body.constant(twiceD[i]!, i === 0 ? 2 : 0));
  storePair(body, factor, multiples);
  field.multiply(body, cd, cd, factor);
  const ofCd = hold(body, loadPair(cd));
  // RFC 7748 section 4.1: "(u, v) = ((1+y)/(1-y), sqrt(-486664)*u/x)". With y = Y/Z, Y = G*H and Z = F*G that u is
  // (F+H)/(F-H), where F = D-C and H = B+A.
  const minusC = negated(lanesOf(ofCd, ofAb, 0, 2), body.bits(SIGN, 0n));
  const fh = sum(lanesOf(ofCd, ofAb, 1, 3), minusC);
  storePair(body, out, carried(body, sumAndDifference(body, fh)));
}
