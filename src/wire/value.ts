// SQL values in JavaScript, and the checks that a parameter passes before it is encoded (PROTOCOL.md, "Values").

import { SqpError } from "./errors.ts";

/**
 * A value of a row or a parameter. In a row an integer is a `number` where it is a safe integer and a `bigint`
 * otherwise, a float is a
 * `number`, and a timestamp is a `Date`, or a {@linkcode Timestamp} where it is finer than a millisecond. As a
 * parameter a `number` that is a safe integer and not -0 is an integer, any other `number` a float, and a `bigint`
 * always an integer.
 */
export type SqlValue = null | boolean | number | bigint | string | Uint8Array | Date;

/** The values of one row in the order of the columns. */
export type Row = SqlValue[];

/** Parameters by position, or by name without the prefix (`:`, `@`, `$`) that the SQL text puts before it. */
export type SqlParams = readonly SqlValue[] | Readonly<Record<string, SqlValue>>;

/** The smallest integer of a row or parameter. */
export const INT64_MIN: bigint = -(2n ** 63n);
/** The largest integer of a row or parameter. */
export const INT64_MAX: bigint = 2n ** 63n - 1n;

/** The largest distance of a timestamp from 1970, in seconds: that of a `Date`. */
export const TIMESTAMP_SECONDS_MAX = 8_640_000_000_000;

/** A `Date` that also knows the part of its time that is finer than a millisecond. */
export class Timestamp extends Date {
  /** Nanoseconds after the millisecond that the `Date` says, 0 to 999,999. */
  readonly nanosecondsInMillisecond: number;

  /** Throws `RangeError` where `nanosecondsInMillisecond` is not an integer from 0 to 999,999. */
  constructor(epochMs: number, nanosecondsInMillisecond: number) {
    super(epochMs);
    if (
      !Number.isInteger(nanosecondsInMillisecond) || nanosecondsInMillisecond < 0 ||
      nanosecondsInMillisecond > 999_999
    ) throw new RangeError("nanoseconds of a millisecond are 0 to 999,999");
    this.nanosecondsInMillisecond = nanosecondsInMillisecond;
  }
}

/**
 * Checks one parameter. `label` names it in the error's text. Throws {@linkcode SqpError} `parameter_type` for what
 * is not an {@linkcode SqlValue} (`undefined` among them), `parameter_range` for an integer beyond 64 bits or an
 * invalid `Date`, and
 * `text_not_unicode` for a text with a lone surrogate.
 */
export function checkParameter(value: unknown, label: string): SqlValue {
  switch (typeof value) {
    case "boolean":
    case "number":
      return value;
    case "bigint":
      if (value < INT64_MIN || value > INT64_MAX) {
        throw new SqpError("parameter_range", { message: `${label} exceeds 64 bits.` });
      }
      return value;
    case "string":
      if (!value.isWellFormed()) {
        throw new SqpError("text_not_unicode", { message: `${label} holds a lone surrogate.` });
      }
      return value;
    case "object":
      if (value === null || value instanceof Uint8Array) return value;
      if (value instanceof Date) {
        if (Number.isNaN(value.getTime())) {
          throw new SqpError("parameter_range", { message: `${label} is an invalid Date.` });
        }
        return value;
      }
  }
  throw new SqpError("parameter_type", {
    message: `${label} is of type ${typeOf(value)}, which is not supported.`,
  });
}

function typeOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === "string" && name !== "" ? name : "object";
}
