// Arithmetic modulo p = 2^255 - 19 in floating point, of two elements at a time, one in each lane of a vector.
//
// An element is five limbs, whole numbers of the weights 2^(51 i), which may be negative. How large they can be is
// known and checked when the module is put together: "tight" as products leave them, "loose" as sums of two of them.
//
// No instruction and no address depends on a value, and floating point takes the same time for all whole numbers of
// this size, as none is subnormal.

import {
  bitsOf,
  type Body,
  type Callable,
  type Code,
  i32,
  type Local,
  type ModuleBuilder,
  pair,
} from "./wasm.ts";

/** The modulus. */
export const P: bigint = (1n << 255n) - 19n;

/** Limbs of an element. */
export const LIMB_COUNT = 5;

/** Bits of a limb. */
export const LIMB_BITS = 51n;

/** Bytes of a vector, and of a pair of elements. */
export const VECTOR_BYTES = 16;
export const PAIR_BYTES: number = LIMB_COUNT * VECTOR_BYTES;

/** 2^255 is this modulo p, so that what is carried out of the highest limb is added to the lowest so many times. */
export const WRAP = 19;

const LIMB = 2 ** Number(LIMB_BITS);
export const LIMB_MASK: bigint = (1n << LIMB_BITS) - 1n;

/**
 * A number between 2^103 and 2^104, where floating point has steps of 2^51. What is up to 2^102 away from it, and added
 * to it, is rounded to whole limbs; the bits of the sum, as a whole number, count them.
 */
const HIGH_ORIGIN = 3 * 2 ** 102;

/** A number between 2^52 and 2^53, where the steps are 1: the bits of a sum with it count ones. */
const LOW_ORIGIN = 3 * 2 ** 51;

/** What makes a column positive before its carry is taken: a multiple of a limb, and half a limb, to round. */
const BIAS = (1n << 61n) + (1n << 50n);
const BIAS_LIMBS = 2 ** 10;

/** Where floating point has steps of 1, for a limb that is not negative. */
const ONES_ORIGIN = 2 ** 52;

/** The largest magnitude of tight limbs, and of loose ones. */
export const TIGHT_MAX: number = 2 ** 50 + 2 ** 12;
export const LOOSE_MAX: number = 2 ** 51 + 2 ** 22;

/** The largest product of two limbs: what `HIGH_ORIGIN` says. */
const PRODUCT_MAX = 2 ** 102;

/** The largest whole number up to which floating point has all of them. */
const EXACT_MAX = 2 ** 53;

/** A pair of elements: its limbs, and the largest magnitude that one of them can have. */
export interface Pair {
  readonly limbs: readonly Code[];
  readonly max: number;
}

/** Memory for a pair, and the largest magnitude of its limbs. */
export interface Slot {
  readonly address: Code;
  readonly max: number;
}

/** Throws `RangeError` where a magnitude may be larger than what is made for it. */
export function checkMax(max: number, bound: number): void {
  if (max > bound) throw new RangeError(`limbs up to ${max}, where there may be ${bound}`);
}

/** A pair, limb by limb. */
export function pairOf(max: number, limb: (index: number) => Code): Pair {
  return { max, limbs: Array.from({ length: LIMB_COUNT }, (_, i) => limb(i)) };
}

/** A pair of small whole numbers. */
export function smallPair(body: Body, lane0: number, lane1: number): Pair {
  const max = Math.max(Math.abs(lane0), Math.abs(lane1));
  return pairOf(max, (i) => i === 0 ? body.constant(lane0, lane1) : body.constant(0));
}

/** A pair in memory. */
export function loadPair({ address, max }: Slot): Pair {
  return pairOf(max, (i) => pair.load(address, VECTOR_BYTES * i));
}

/** Writes a pair to memory. */
export function storePair(body: Body, { address, max }: Slot, value: Pair): void {
  checkMax(value.max, max);
  value.limbs.forEach((limb, i) => body.do(pair.store(address, limb, VECTOR_BYTES * i)));
}

/** A local variable with a vector, for what is used more than once. */
export function held(body: Body, value: Code): Code {
  const local = body.pair();
  local.set(value);
  return local.value;
}

/** Local variables with the limbs of a pair. */
export function hold(body: Body, { limbs, max }: Pair): Pair {
  return { max, limbs: limbs.map((limb) => held(body, limb)) };
}

/** The sum of two elements in each lane. */
export function sum(a: Pair, b: Pair): Pair {
  checkMax(a.max + b.max, EXACT_MAX);
  return pairOf(a.max + b.max, (i) => pair.add(a.limbs[i]!, b.limbs[i]!));
}

/** The difference of two elements in each lane. */
export function difference(a: Pair, b: Pair): Pair {
  checkMax(a.max + b.max, EXACT_MAX);
  return pairOf(a.max + b.max, (i) => pair.sub(a.limbs[i]!, b.limbs[i]!));
}

/** Two of the lanes of `a` (0 and 1) and `b` (2 and 3). */
export function lanesOf(a: Pair, b: Pair, lane0: number, lane1: number): Pair {
  const max = Math.max(a.max, b.max);
  return pairOf(max, (i) => pair.lanes(a.limbs[i]!, b.limbs[i]!, lane0, lane1));
}

/** The elements with other signs, in the lanes where the bits are set. */
export function negated({ limbs, max }: Pair, bits: Code): Pair {
  return pairOf(max, (i) => pair.xor(limbs[i]!, bits));
}

/** Both pairs, exchanged for each other in the lanes where the mask has all bits set. */
export function exchangedPairs(body: Body, a: Pair, b: Pair, mask: Code): readonly [Pair, Pair] {
  const max = Math.max(a.max, b.max);
  const [one, other] = [hold(body, a).limbs, hold(body, b).limbs];
  const changes = hold(
    body,
    pairOf(max, (i) => pair.and(pair.xor(one[i]!, other[i]!), mask)),
  ).limbs;
  return [
    pairOf(max, (i) => pair.xor(one[i]!, changes[i]!)),
    pairOf(max, (i) => pair.xor(other[i]!, changes[i]!)),
  ];
}

/** The bit that changes the sign of a number. */
export const SIGN: bigint = 1n << 63n;

/** The sum of both lanes in lane 0, and in lane 1 what lane 0 has more than lane 1. */
export function sumAndDifference(body: Body, value: Pair): Pair {
  const both = hold(body, value);
  const second = negated(lanesOf(both, both, 1, 1), body.bits(0n, SIGN));
  return sum(lanesOf(both, both, 0, 0), second);
}

/** The elements of a pair times a factor for each lane, with all whole limbs of each limb carried on to the next. */
export function carried(
  body: Body,
  value: Pair,
  factors: readonly [number, number] = [1, 1],
): Pair {
  const max = value.max * Math.max(...factors.map(Math.abs));
  checkMax(max, PRODUCT_MAX);
  const factor = body.constant(...factors);
  const origin = body.constant(HIGH_ORIGIN);
  const own = hold(body, value).limbs;
  const borrows = hold(
    body,
    pairOf(max, (i) => pair.sub(origin, pair.multiplyAdd(own[i]!, factor, origin))),
  ).limbs;
  const resultMax = LIMB / 2 + WRAP * Math.ceil(max / LIMB);
  checkMax(resultMax, EXACT_MAX);
  return hold(
    body,
    pairOf(resultMax, (i) => {
      const weight = body.constant((i === 0 ? -WRAP : -1) / LIMB);
      const rest = pair.multiplyAdd(own[i]!, factor, borrows[i]!);
      return pair.multiplyAdd(borrows[(i + LIMB_COUNT - 1) % LIMB_COUNT]!, weight, rest);
    }),
  );
}

/** The columns of a product: sums of whole numbers, of which the bits of origins are still to be taken away. */
class Columns {
  readonly #body: Body;
  readonly #sums: (Local | undefined)[] = [];
  readonly #origins: bigint[] = [];

  constructor(body: Body) {
    this.#body = body;
  }

  add(index: number, value: Code, origin: number): void {
    const before = this.#sums[index];
    const column = before ?? this.#body.pair();
    column.set(before === undefined ? value : pair.iAdd(before.value, value));
    this.#sums[index] = column;
    this.#origins[index] = (this.#origins[index] ?? 0n) + bitsOf(origin);
  }

  /** Each column of the lower half with that of the upper half whose weight is the same modulo p, and the bias. */
  folded(): readonly Code[] {
    return this.#sums.slice(0, LIMB_COUNT).map((column, index) => {
      const upper = index + LIMB_COUNT;
      const origins = this.#origins[index]! + BigInt(WRAP) * this.#origins[upper]!;
      const low = pair.iAdd(column!.value, this.#body.bits(BIAS - origins));
      return held(this.#body, pair.iAdd(low, wrapped(this.#sums[upper]!.value)));
    });
  }
}

/** A whole number times 19. */
function wrapped(value: Code): Code {
  return pair.iAdd(value, pair.iAdd(pair.iShl(value, 4), pair.iShl(value, 1)));
}

/** The product of two pairs, or, without `b`, a square. */
function product(body: Body, a: Pair, b?: Pair): Pair {
  const columns = new Columns(body);
  const highOrigin = held(body, body.constant(HIGH_ORIGIN));
  const bothOrigins = held(body, body.constant(HIGH_ORIGIN + LOW_ORIGIN));
  const one = hold(body, a);
  const other = b === undefined ? one : hold(body, b);
  const twice = b === undefined ? hold(body, sum(one, one)) : one;
  checkMax(twice.max * other.max, PRODUCT_MAX);
  // Of each product a column has the whole limbs or what is left, half a limb at most, and 19 more of both.
  const columnMax = (1 + WRAP) * LIMB_COUNT * (twice.max * other.max / LIMB + LIMB / 2);
  const resultMax = LIMB / 2 + WRAP * Math.ceil(columnMax / LIMB);
  const high = body.pair();
  for (let i = 0; i < LIMB_COUNT; i++) {
    for (let j = b === undefined ? i : 0; j < LIMB_COUNT; j++) {
      const factor = (i === j ? one : twice).limbs[i]!;
      // A product of up to 102 bits in two exact parts: its whole limbs, and what is left, which may be negative.
      high.set(pair.multiplyAdd(factor, other.limbs[j]!, highOrigin));
      const left = pair.sub(bothOrigins, high.value);
      columns.add(i + j, pair.multiplyAdd(factor, other.limbs[j]!, left), LOW_ORIGIN);
      columns.add(i + j + 1, high.value, HIGH_ORIGIN);
    }
  }
  const folded = columns.folded();
  const carries = folded.map((column) => held(body, pair.iShrU(column, Number(LIMB_BITS))));
  return pairOf(resultMax, (i) => {
    const carry = carries[(i + LIMB_COUNT - 1) % LIMB_COUNT]!;
    const rest = pair.and(folded[i]!, body.bits(LIMB_MASK));
    const positive = pair.or(rest, body.bits(bitsOf(ONES_ORIGIN)));
    const biasLimbs = i === 0 ? WRAP * BIAS_LIMBS : BIAS_LIMBS;
    return pair.sub(
      pair.iAdd(positive, i === 0 ? wrapped(carry) : carry),
      body.constant(ONES_ORIGIN + LIMB / 2 + biasLimbs),
    );
  });
}

/** Arithmetic of pairs in memory, and memory for them; a result may take the place of an operand. */
export class Field {
  readonly #module: ModuleBuilder;
  readonly #multiply: Callable;
  readonly #squareTimes: Callable;

  /** Defines functions in a module: a product in each place would make the first key exchange wait 25 ms longer. */
  constructor(module: ModuleBuilder) {
    this.#module = module;
    this.#multiply = module.define(3, (body) => {
      const [out, a, b] = body.parameters as [Code, Code, Code];
      const [one, other] = [{ address: a, max: LOOSE_MAX }, { address: b, max: TIGHT_MAX }];
      const result = product(body, loadPair(one), loadPair(other));
      storePair(body, { address: out, max: TIGHT_MAX }, result);
    });
    this.#squareTimes = module.define(3, (body) => {
      const [out, a, count] = body.parameters as [Code, Code, Code];
      const power = Array.from({ length: LIMB_COUNT }, () => body.pair());
      const value = pairOf(TIGHT_MAX, (i) => power[i]!.value);
      const set = ({ limbs, max }: Pair) => {
        checkMax(max, TIGHT_MAX);
        power.forEach((local, i) => local.set(limbs[i]!));
      };
      set(loadPair({ address: a, max: TIGHT_MAX }));
      body.repeat(count, () => set(product(body, value)));
      storePair(body, { address: out, max: TIGHT_MAX }, value);
    });
  }

  /** Memory for a pair that is tight, or as large as it may be. */
  slot(max: number = TIGHT_MAX): Slot {
    return { address: i32.constant(this.#module.reserve(PAIR_BYTES)), max };
  }

  /** Sets `out` to the product of a loose `a` and a tight `b`. */
  multiply(body: Body, out: Slot, a: Slot, b: Slot): void {
    checkMax(a.max, LOOSE_MAX);
    checkMax(b.max, TIGHT_MAX);
    checkMax(TIGHT_MAX, out.max);
    body.do(this.#multiply(out.address, a.address, b.address));
  }

  /** Sets `out` to the square of a tight `a`. */
  square(body: Body, out: Slot, a: Slot): void {
    storePair(body, out, product(body, loadPair(a)));
  }

  /** Sets `out` to what comes of squaring a tight `a` so many times. */
  squareTimes(body: Body, out: Slot, a: Slot, count: number): void {
    checkMax(a.max, TIGHT_MAX);
    checkMax(TIGHT_MAX, out.max);
    body.do(this.#squareTimes(out.address, a.address, i32.constant(count)));
  }

  /**
   * Sets `out` to the inverses of the tight elements at `a`, by a power: Fermat's little theorem gives a^(p - 2). The
   * inverse of zero is zero.
   */
  invert(body: Body, out: Slot, a: Slot): void {
    const [two, nine, eleven] = [this.slot(), this.slot(), this.slot()];
    const [ones5, ones10, ones] = [this.slot(), this.slot(), this.slot()];
    /** Appends `count` bits, those of the exponent of `by`, to the exponent of `of`; `to` is not `by`. */
    const append = (to: Slot, of: Slot, count: number, by: Slot) => {
      this.squareTimes(body, to, of, count);
      this.multiply(body, to, to, by);
    };
    this.square(body, two, a);
    append(nine, two, 2, a);
    this.multiply(body, eleven, nine, two);
    append(ones5, eleven, 1, nine);
    append(ones10, ones5, 5, ones5);
    append(ones, ones10, 10, ones10);
    append(out, ones, 20, ones); // 40 ones
    append(ones, out, 10, ones10); // 50
    append(out, ones, 50, ones); // 100
    append(ones10, out, 100, out); // 200
    append(out, ones10, 50, ones); // 250
    // p - 2 is 250 ones, then 01011 in binary, which is eleven.
    append(out, out, 5, eleven);
  }
}
