// How parameters are bound: which value of SQP is stored as what, and which value belongs to which parameter of a
// statement.

import { SqpError } from "../../wire/errors.ts";
import type { DecodedParams } from "../../wire/params.ts";
import type { ParameterDescription } from "../../wire/response_payload.ts";
import { type SqlValue, Timestamp } from "../../wire/value.ts";
import type { SqliteValue } from "./node_sqlite.ts";
import { type ParameterToken, scanParameters } from "./sql_scanner.ts";

/** The years that a timestamp in ISO 8601 can be stored with, so that text order is the order of time. */
const YEAR_MIN = 0;
const YEAR_MAX = 9999;

/**
 * What SQLite stores for a value. A boolean is 0 or 1; a timestamp is text, ISO 8601 in UTC with six digits of a
 * second, such as
 * `2026-01-31T09:05:00.000250Z`, which SQLite's date functions read. Throws {@linkcode SqpError} `parameter_range`
 * for what SQLite would store
 * as something else: NaN (it becomes NULL), text with U+0000 (its functions end there), years outside 0 to 9999.
 */
export function toSqliteValue(value: SqlValue, label: string): SqliteValue {
  switch (typeof value) {
    case "boolean":
      return value ? 1n : 0n;
    case "number":
      if (Number.isNaN(value)) throw outOfRange(`${label} is NaN, which SQLite does not store.`);
      return value;
    case "string":
      if (value.includes("\0")) {
        throw outOfRange(`${label} holds U+0000, where SQLite's text ends; use bytes.`);
      }
      return value;
    case "bigint":
      return value;
  }
  return value instanceof Date ? timestampText(value, label) : value;
}

function timestampText(date: Date, label: string): string {
  const year = date.getUTCFullYear();
  if (year < YEAR_MIN || year > YEAR_MAX) {
    throw outOfRange(`${label} is a timestamp outside the years 0 to 9999.`);
  }
  const micros = date instanceof Timestamp ? Math.floor(date.nanosecondsInMillisecond / 1000) : 0;
  return `${date.toISOString().slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}

function outOfRange(message: string): SqpError {
  return new SqpError("parameter_range", { message });
}

/** The arguments of node:sqlite's methods: values by position, or one object with the values by name. */
export type Bindings = readonly SqliteValue[] | readonly [Readonly<Record<string, SqliteValue>>];

/** Which parameters a statement has. Made once for each prepared statement. */
export class BindingPlan {
  readonly #positionCount: number;
  /** Names as node:sqlite wants them, with their prefix, by the name without it. */
  readonly #names: ReadonlyMap<string, string>;

  /**
   * Throws {@linkcode SqpError} `parameter_name` for a statement that mixes both kinds or has one name with two
   * prefixes.
   */
  constructor(sql: string) {
    const tokens = scanParameters(sql);
    this.#positionCount = positionCount(tokens);
    this.#names = parameterNames(tokens);
    if (this.#positionCount > 0 && this.#names.size > 0) {
      throw new SqpError("parameter_name", {
        message: "A statement has parameters either by position or by name, not both.",
      });
    }
  }

  /** The parameters in the order of their first mention; those by position that are skipped included. */
  get parameters(): ParameterDescription[] {
    const names: (string | null)[] = this.#names.size > 0
      ? [...this.#names.keys()]
      : new Array(this.#positionCount).fill(null);
    return names.map((name) => ({ name, type: null }));
  }

  /** Throws {@linkcode SqpError} `parameter_count`, `parameter_name` or `parameter_range`. */
  bind(params: DecodedParams): Bindings {
    return params.kind === "positional"
      ? this.#bindPositions(params.values)
      : this.#bindNames(params.values);
  }

  #bindPositions(values: readonly SqlValue[]): SqliteValue[] {
    const count = this.#names.size > 0 ? this.#names.size : this.#positionCount;
    if (values.length !== count) {
      throw new SqpError("parameter_count", {
        message: `The statement has ${count} parameters, ${values.length} were given.`,
      });
    }
    if (this.#names.size > 0) {
      throw new SqpError("parameter_name", {
        message: "The statement has parameters by name, they were given by position.",
      });
    }
    return values.map((value, index) => toSqliteValue(value, `Parameter ${index + 1}`));
  }

  #bindNames(values: ReadonlyMap<string, SqlValue>): [] | [Record<string, SqliteValue>] {
    if (this.#positionCount > 0) {
      throw new SqpError("parameter_name", {
        message: "The statement has parameters by position, they were given by name.",
      });
    }
    for (const name of values.keys()) {
      if (!this.#names.has(name)) throw badName(`The statement has no parameter "${name}".`);
    }
    if (this.#names.size === 0) return [];
    const bound: Record<string, SqliteValue> = Object.create(null);
    for (const [name, prefixed] of this.#names) {
      const value = values.get(name);
      if (value === undefined) throw badName(`The parameter "${name}" was not given.`);
      bound[prefixed] = toSqliteValue(value, `Parameter ${name}`);
    }
    return [bound];
  }
}

function badName(message: string): SqpError {
  return new SqpError("parameter_name", { message });
}

/** A `?` takes the number after the largest before it; `?5` takes 5. */
function positionCount(tokens: readonly ParameterToken[]): number {
  let largest = 0;
  for (const token of tokens) {
    if (token.kind === "anonymous") largest++;
    else if (token.kind === "numbered") largest = Math.max(largest, token.number);
  }
  return largest;
}

function parameterNames(tokens: readonly ParameterToken[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind !== "named") continue;
    const bare = token.name.slice(1);
    const known = names.get(bare);
    if (known !== undefined && known !== token.name) {
      throw badName(`The parameters ${known} and ${token.name} differ only in their prefix.`);
    }
    names.set(bare, token.name);
  }
  return names;
}
