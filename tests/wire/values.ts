// Arbitrary SQL values, and what a decoder must give for each.

import * as fc from "fast-check";
import { INT64_MAX, INT64_MIN, type SqlValue, Timestamp } from "../../src/wire/value.ts";

const SEED = 20_260_801;

/** Seeded parameters of a property, so that a failing run can be repeated. */
export const SEEDED: { readonly seed: number } = { seed: SEED };

/** Texts: all of Unicode, around the lengths where the head grows, and with a byte order mark. */
export const texts: fc.Arbitrary<string> = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary", maxLength: 80 }),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => "\ufeff" + text),
  fc.constantFrom(23, 24, 25, 31, 32, 48, 49, 255, 256, 65_535, 65_536).map((n) => "a".repeat(n)),
  fc.constantFrom(10, 11, 16, 17, 85, 86, 128, 21_845, 21_846).map((n) => "€".repeat(n)),
  fc.constantFrom("", "\0", "\ufffd", "a\ufffdb", "😀", "é".repeat(127), "é".repeat(128)),
);

/** Byte strings around the lengths where the head grows. */
export const bins: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.constantFrom(0, 63, 64, 65, 255, 256, 65_535, 65_536).map((n) => new Uint8Array(n).fill(n)),
);

/** Integers of all 64 bits, with those where the form changes. */
export const integers: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt(INT64_MIN, INT64_MAX),
  fc.integer().map(BigInt),
  fc.constantFrom(7n, 8n, 15n, 16n, 31n, 32n, 53n, 63n).chain((bits) =>
    fc.constantFrom(-1n, 0n, 1n).chain((more) =>
      fc.constantFrom(1n, -1n).map((sign) => {
        const value = sign * 2n ** bits + more;
        return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : value;
      })
    )
  ),
);

/** Floats with all their oddities. */
export const floats: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.constantFrom(-0, 0, 1, NaN, Infinity, -Infinity, 2 ** 53, Number.MIN_VALUE),
);

/** Times around the borders of the three forms of a timestamp, some finer than a millisecond. */
export const times: fc.Arbitrary<Date> = fc.oneof(
  fc.date({ noInvalidDate: true }),
  fc.constantFrom(
    0,
    -1,
    1,
    1000,
    2 ** 32 * 1000,
    (2 ** 32 - 1) * 1000,
    2 ** 34 * 1000,
    -8.64e15,
    8.64e15,
  )
    .map((ms) => new Date(ms)),
  fc.tuple(fc.integer({ min: -1e12, max: 2e13 }), fc.integer({ min: 1, max: 999_999 }))
    .map(([ms, ns]) => new Timestamp(ms, ns)),
);

/** Values as an engine gives them: integers as `bigint`, floats as `number`. */
export const engineValues: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  integers,
  floats,
  texts,
  bins,
  times,
);

/** What a row holds of an integer: a `number` where it is safe. */
export function asInRow(value: SqlValue): SqlValue {
  if (typeof value !== "bigint") return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
