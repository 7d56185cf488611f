// The field's arithmetic against BigInt, with limbs up to the bounds that it is made for.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { decode, encode, limbsOf } from "../../../../src/dtls/crypto/x25519/encoding.ts";
import {
  carried,
  difference,
  Field,
  LIMB_BITS,
  LIMB_COUNT,
  loadPair,
  LOOSE_MAX,
  P,
  type Slot,
  storePair,
  sum,
  sumAndDifference,
  TIGHT_MAX,
} from "../../../../src/dtls/crypto/x25519/field.ts";
import { type Body, i32, ModuleBuilder } from "../../../../src/dtls/crypto/x25519/wasm.ts";
import { MULTIPLIES_AND_ADDS } from "./machine.ts";

const EXACT_MAX = 2 ** 53;
const A24 = 121_665;

/** A module with the field's functions under names, of the pairs `a` and `b` to `out`, and of 32 bytes. */
function fieldModule() {
  const module = new ModuleBuilder(1_024);
  const field = new Field(module);
  const [addressOfA, addressOfB, addressOfOut] = [0, 1, 2].map(() => module.reserve(80)) as [
    number,
    number,
    number,
  ];
  const bytesAddress = module.reserve(32);
  const slot = (address: number, max: number): Slot => ({ address: i32.constant(address), max });
  const [tightA, looseA] = [slot(addressOfA, TIGHT_MAX), slot(addressOfA, LOOSE_MAX)];
  const [b, out] = [slot(addressOfB, TIGHT_MAX), slot(addressOfOut, TIGHT_MAX)];
  const looseOut = slot(addressOfOut, LOOSE_MAX);
  const define = (name: string, write: (body: Body) => void) => module.define(0, write, name);
  define("multiply", (body) => field.multiply(body, out, looseA, b));
  define("square", (body) => field.square(body, out, tightA));
  define("squareInPlace", (body) => field.square(body, tightA, tightA));
  define("invert", (body) => field.invert(body, out, tightA));
  define("carry", (body) => {
    storePair(body, out, carried(body, loadPair(slot(addressOfA, EXACT_MAX))));
  });
  define("scale", (body) => {
    const multiple = carried(body, loadPair(tightA), [0, A24]);
    storePair(body, looseOut, sum(multiple, loadPair(b)));
  });
  define("sums", (body) => storePair(body, looseOut, sumAndDifference(body, loadPair(tightA))));
  define("encode", (body) => encode(body, i32.constant(bytesAddress), tightA, 0));
  define("encodeLane1", (body) => encode(body, i32.constant(bytesAddress), tightA, 1));
  define("decode", (body) => decode(body, looseOut, 1, i32.constant(bytesAddress)));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()));
  const { memory, ...functions } = instance.exports as unknown as
    & { readonly memory: WebAssembly.Memory }
    & Readonly<Record<string, () => void>>;
  const lanesAt = (at: number, lane: number) => ({
    set: (limbs: readonly number[]) => {
      const numbers = new Float64Array(memory.buffer, at);
      limbs.forEach((limb, i) => numbers[2 * i + lane] = limb);
    },
    get: () => {
      const numbers = new Float64Array(memory.buffer, at);
      return Array.from({ length: LIMB_COUNT }, (_, i) => numbers[2 * i + lane]!);
    },
  });
  return {
    functions,
    a: [lanesAt(addressOfA, 0), lanesAt(addressOfA, 1)] as const,
    b: [lanesAt(addressOfB, 0), lanesAt(addressOfB, 1)] as const,
    out: [lanesAt(addressOfOut, 0), lanesAt(addressOfOut, 1)] as const,
    bytes: new Uint8Array(memory.buffer, bytesAddress, 32),
  };
}

const { functions, a, b, out, bytes } = fieldModule();

/** The number that limbs stand for, modulo p. */
function valueOf(limbs: readonly number[]): bigint {
  const value = limbs.reduceRight((sum, limb) => (sum << LIMB_BITS) + BigInt(limb), 0n);
  return (value % P + P) % P;
}

const power = (base: bigint, exponent: bigint): bigint =>
  exponent === 0n ? 1n : power(base * base % P, exponent >> 1n) * (exponent & 1n ? base : 1n) % P;

/** Five limbs, of which each is likely to be at a bound. */
const limbsUpTo = (max: number) =>
  fc.array(
    fc.oneof(
      fc.constantFrom(-max, max, 0, 1, -1, 2 ** 50, -(2 ** 50)),
      fc.maxSafeInteger().map((value) => value % (max + 1)),
    ),
    { minLength: LIMB_COUNT, maxLength: LIMB_COUNT },
  );
const tight = limbsUpTo(TIGHT_MAX);
const loose = limbsUpTo(LOOSE_MAX);

function assertTight(limbs: readonly number[]): void {
  for (const limb of limbs) {
    assert(Number.isInteger(limb) && Math.abs(limb) <= TIGHT_MAX, `${limb}`);
  }
}

/** Registers a test of what only such machines compute. */
function testField(name: string, body: () => void): void {
  Deno.test({ name, ignore: !MULTIPLIES_AND_ADDS, fn: body });
}

const runs = { seed: 25519, numRuns: 3_000 };

testField("a product of loose and tight elements is tight, and exact in each lane", () => {
  fc.assert(
    fc.property(loose, loose, tight, tight, (a0, a1, b0, b1) => {
      a[0].set(a0);
      a[1].set(a1);
      b[0].set(b0);
      b[1].set(b1);
      functions.multiply!();
      [[a0, b0], [a1, b1]].forEach(([one, other], lane) => {
        assertTight(out[lane]!.get());
        assertEquals(valueOf(out[lane]!.get()), valueOf(one!) * valueOf(other!) % P);
      });
    }),
    runs,
  );
});

testField("the largest products of all are exact", () => {
  for (const sign of [1, -1]) {
    const [one, other] = [Array(5).fill(LOOSE_MAX), Array(5).fill(sign * TIGHT_MAX)];
    for (const lane of [0, 1]) {
      a[lane]!.set(one);
      b[lane]!.set(other);
    }
    functions.multiply!();
    assertEquals(valueOf(out[1].get()), valueOf(one) * valueOf(other) % P);
    assertTight(out[1].get());
  }
});

testField("a square of tight elements is tight, and exact in each lane, in place as well", () => {
  fc.assert(
    fc.property(tight, tight, (a0, a1) => {
      a[0].set(a0);
      a[1].set(a1);
      functions.square!();
      functions.squareInPlace!();
      [a0, a1].forEach((one, lane) => {
        assertTight(out[lane]!.get());
        assertEquals(valueOf(out[lane]!.get()), valueOf(one) ** 2n % P);
        assertEquals(a[lane]!.get(), out[lane]!.get());
      });
    }),
    runs,
  );
});

testField("carrying makes limbs tight", () => {
  fc.assert(
    fc.property(limbsUpTo(EXACT_MAX - 1), limbsUpTo(EXACT_MAX - 1), (a0, a1) => {
      a[0].set(a0);
      a[1].set(a1);
      functions.carry!();
      [a0, a1].forEach((one, lane) => {
        assertTight(out[lane]!.get());
        assertEquals(valueOf(out[lane]!.get()), valueOf(one));
      });
    }),
    runs,
  );
});

testField("a multiple of a tight element and another tight one are loose", () => {
  fc.assert(
    fc.property(tight, tight, tight, (a1, b0, b1) => {
      a[0].set(b0);
      a[1].set(a1);
      b[0].set(b0);
      b[1].set(b1);
      functions.scale!();
      assertEquals(out[0].get(), b0);
      assertEquals(valueOf(out[1].get()), (valueOf(a1) * BigInt(A24) + valueOf(b1)) % P);
      for (const limb of out[1].get()) assert(Math.abs(limb) <= LOOSE_MAX);
    }),
    runs,
  );
});

Deno.test("what may be too large is noticed when the module is put together", () => {
  const module = new ModuleBuilder(1_024);
  const field = new Field(module);
  const [tightSlot, looseSlot] = [field.slot(), field.slot(LOOSE_MAX)];
  const faults: readonly ((body: Body) => void)[] = [
    (body) => field.multiply(body, tightSlot, looseSlot, looseSlot),
    (body) => field.multiply(body, tightSlot, field.slot(EXACT_MAX), tightSlot),
    (body) => field.multiply(body, field.slot(1), looseSlot, tightSlot),
    (body) => field.square(body, tightSlot, looseSlot),
    (body) => field.square(body, field.slot(1), tightSlot),
    (body) => field.squareTimes(body, tightSlot, looseSlot, 2),
    (body) => field.squareTimes(body, field.slot(1), tightSlot, 2),
    (body) => storePair(body, tightSlot, sum(loadPair(tightSlot), loadPair(tightSlot))),
    (body) => storePair(body, looseSlot, sumAndDifference(body, loadPair(looseSlot))),
    () => sum(loadPair(field.slot(EXACT_MAX)), loadPair(tightSlot)),
    () => difference(loadPair(field.slot(EXACT_MAX)), loadPair(tightSlot)),
    (body) => carried(body, loadPair(tightSlot), [2 ** 53, 1]),
    (body) => carried(body, carried(body, loadPair(tightSlot), [2 ** 51 + 2 ** 40 + 1, 1])),
    (body) => storePair(body, tightSlot, carried(body, loadPair(tightSlot), [-(2 ** 51), 1])),
    (body) => decode(body, tightSlot, 0, i32.constant(0)),
    (body) => encode(body, i32.constant(0), looseSlot, 0),
    (body) => [...Array(65).keys()].forEach((i) => body.constant(i)),
  ];
  for (const fault of faults) {
    assertThrows(() => module.define(0, fault), RangeError, undefined, fault.toString());
  }
});

testField("a sum of tight lanes is in lane 0, and their difference in lane 1", () => {
  fc.assert(
    fc.property(tight, tight, (a0, a1) => {
      a[0].set(a0);
      a[1].set(a1);
      functions.sums!();
      assertEquals(valueOf(out[0].get()), (valueOf(a0) + valueOf(a1)) % P);
      assertEquals(valueOf(out[1].get()), (valueOf(a0) - valueOf(a1) + P) % P);
    }),
    runs,
  );
});

testField("an inverse times its element is 1; that of zero is zero", () => {
  const elements = [1n, 2n, P - 1n, P - 2n, 1n << 254n, 3n ** 160n % P, 5n ** 109n % P];
  for (const element of elements) {
    a[0].set(limbsOf(element));
    a[1].set(limbsOf(0n));
    functions.invert!();
    assertEquals(valueOf(out[0].get()) * element % P, 1n);
    assertEquals(valueOf(out[0].get()), power(element, P - 2n));
    assertEquals(valueOf(out[1].get()), 0n);
  }
});

/** 32 bytes, little-endian. */
const bytesOf = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, i) => Number(value >> BigInt(8 * i) & 0xffn));

testField("limbs of any number are tight, and encode as the least number that it is", () => {
  const near = (value: bigint) => fc.bigInt({ min: value - 40n, max: value + 40n });
  const number = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 256n }),
    near(P),
    near(0n),
    near(1n << 255n),
    near(1n << 254n),
  );
  fc.assert(
    fc.property(number, (value) => {
      const limbs = limbsOf(value);
      assertTight(limbs);
      const least = (value % P + P) % P;
      assertEquals(valueOf(limbs), least);
      a[0].set(limbs);
      functions.encode!();
      assertEquals(bytes, bytesOf(least));
    }),
    runs,
  );
});

testField("any tight limbs encode as the least number that they are", () => {
  const patterns = [-TIGHT_MAX, -(2 ** 50), -19, -1, 0, 1, 18, 19, 2 ** 50, TIGHT_MAX];
  fc.assert(
    fc.property(
      fc.oneof(tight, fc.array(fc.constantFrom(...patterns), { minLength: 5, maxLength: 5 })),
      (limbs) => {
        a[0].set(limbs);
        functions.encode!();
        assertEquals(bytes, bytesOf(valueOf(limbs)));
        a[1].set(limbs);
        a[0].set([0, 0, 0, 0, 0]);
        bytes.fill(0);
        functions.encodeLane1!();
        assertEquals(bytes, bytesOf(valueOf(limbs)));
      },
    ),
    runs,
  );
});

testField('RFC 7748 section 5: "MUST mask the most significant bit in the final byte"', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (encoded) => {
      bytes.set(encoded);
      functions.decode!();
      const value = encoded.reduceRight((sum, byte) => (sum << 8n) + BigInt(byte), 0n);
      assertEquals(valueOf(out[1].get()), BigInt.asUintN(255, value) % P);
    }),
    runs,
  );
});
