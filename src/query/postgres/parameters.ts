// From the parameters of a command to what PostgreSQL binds: a text and the number of a type for each.

import { DecodeError } from "../../base/byte_reader.ts";
import { SqpError } from "../../wire/errors.ts";
import { decodeParams } from "../../wire/params.ts";
import { type SqlValue, Timestamp } from "../../wire/value.ts";
import { Oid } from "./types.ts";

/** A parameter as it is bound. */
export interface PostgresParameter {
  readonly text: string | null;
  /** The type that it is declared with; {@linkcode Oid.UNSPECIFIED} leaves it to the server. */
  readonly oid: number;
}

const INT4_MIN = -(2n ** 31n);
const INT4_MAX = 2n ** 31n - 1n;

/**
 * Decodes parameters. Each is typed as a literal of its kind would be: an integer is an `integer`, or a `bigint` where
 * it is larger, a float is a `double precision`; a text takes the type that its place in the statement asks for, and so
 * becomes a numeric, a uuid, a date or JSON. Throws {@linkcode SqpError} `malformed_payload`, `parameter_name`,
 * `parameter_range`.
 */
export function postgresParameters(params: Uint8Array): PostgresParameter[] {
  const decoded = decode(params);
  if (decoded.kind === "named") {
    if (decoded.values.size === 0) return [];
    const message = "PostgreSQL's parameters are $1, $2 and so on; they are given by position.";
    throw new SqpError("parameter_name", { message });
  }
  return decoded.values.map((value, at) => toParameter(value, `Parameter ${at + 1}`));
}

function decode(params: Uint8Array): ReturnType<typeof decodeParams> {
  try {
    return decodeParams(params);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new SqpError("malformed_payload", { message: error.message, cause: error });
  }
}

function toParameter(value: SqlValue, label: string): PostgresParameter {
  switch (typeof value) {
    case "boolean":
      return { text: value ? "t" : "f", oid: Oid.BOOL };
    case "number":
      return { text: Object.is(value, -0) ? "-0" : String(value), oid: Oid.FLOAT8 };
    case "bigint": {
      const isSmall = value >= INT4_MIN && value <= INT4_MAX;
      return { text: String(value), oid: isSmall ? Oid.INT4 : Oid.INT8 };
    }
    case "string":
      if (value.includes("\0")) {
        const message = `${label} holds U+0000, which PostgreSQL's text cannot; use bytes.`;
        throw new SqpError("parameter_range", { message });
      }
      return { text: value, oid: Oid.UNSPECIFIED };
  }
  if (value === null) return { text: null, oid: Oid.UNSPECIFIED };
  if (value instanceof Uint8Array) return { text: `\\x${value.toHex()}`, oid: Oid.BYTEA };
  return { text: timestampText(value), oid: Oid.TIMESTAMPTZ };
}

/** ISO 8601 as PostgreSQL reads it, whose years have no sign but are `BC` before the first. */
function timestampText(date: Date): string {
  const year = date.getUTCFullYear();
  const micros = date instanceof Timestamp ? Math.floor(date.nanosecondsInMillisecond / 1000) : 0;
  const rest = date.toISOString().replace(/^[+-]?\d+/, "").slice(0, -1);
  const digits = String(year > 0 ? year : 1 - year).padStart(4, "0");
  return `${digits}${rest}${String(micros).padStart(3, "0")}Z${year > 0 ? "" : " BC"}`;
}
