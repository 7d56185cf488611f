// The parameters of a command: values of their own codec inside a byte string, so that their kinds survive
// (PROTOCOL.md, "Parameters").

import { DecodeError } from "../base/byte_reader.ts";
import { SqpError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { utf8LengthBytes } from "./text_length.ts";
import { checkParameter, type SqlParams, type SqlValue } from "./value.ts";
import { ValueReader } from "./value_reader.ts";
import { NumberKind, ValueWriter } from "./value_writer.ts";

/** Decoded parameters. Integers are `bigint`s and floats `number`s, so that an engine binds each as what it is. */
export type DecodedParams =
  | { readonly kind: "positional"; readonly values: readonly SqlValue[] }
  | { readonly kind: "named"; readonly values: ReadonlyMap<string, SqlValue> };

/**
 * Encodes parameters as an array or a map. Throws {@linkcode SqpError} `too_many_parameters`, `parameter_name`,
 * `parameter_type`, `parameter_range` or `text_not_unicode`, whose text says which parameter it is.
 */
export function encodeParams(params: SqlParams): Uint8Array {
  const writer = new ValueWriter(256);
  if (isPositional(params)) {
    checkCount(params.length);
    writer.arrayHead(params.length);
    // Not `forEach`, which passes over the holes of a sparse array.
    for (let i = 0; i < params.length; i++) {
      writer.value(checkParameter(params[i], `Parameter ${i + 1}`), NumberKind.AUTO);
    }
  } else {
    const entries = Object.entries(params);
    checkCount(entries.length);
    writer.mapHead(entries.length);
    for (const [name, value] of entries) {
      checkName(name);
      writer.text(name);
      writer.value(checkParameter(value, `Parameter ${name}`), NumberKind.AUTO);
    }
  }
  return writer.view().slice();
}

function isPositional(params: SqlParams): params is readonly SqlValue[] {
  return Array.isArray(params);
}

function checkCount(count: number): void {
  if (count > LIMITS.parametersMax) throw new SqpError("too_many_parameters");
}

function checkName(name: string): void {
  if (!name.isWellFormed() || name === "" || utf8LengthBytes(name) > LIMITS.parameterNameBytesMax) {
    throw new SqpError("parameter_name", {
      message: `A parameter name is not of 1 to ${LIMITS.parameterNameBytesMax} bytes.`,
    });
  }
}

/** Decodes parameters. Throws {@linkcode DecodeError}. */
export function decodeParams(bytes: Uint8Array): DecodedParams {
  const reader = new ValueReader(bytes, { integersAsBigInt: true });
  const params = reader.atMap ? decodeNamed(reader) : decodePositional(reader);
  reader.expectEnd();
  return params;
}

function decodePositional(reader: ValueReader): DecodedParams {
  const count = reader.arrayHead(LIMITS.parametersMax);
  const values: SqlValue[] = [];
  for (let i = 0; i < count; i++) values.push(reader.value());
  return { kind: "positional", values };
}

function decodeNamed(reader: ValueReader): DecodedParams {
  const count = reader.mapHead(LIMITS.parametersMax);
  const values = new Map<string, SqlValue>();
  for (let i = 0; i < count; i++) {
    const name = reader.text(LIMITS.parameterNameBytesMax);
    if (name === "") throw new DecodeError("a parameter has no name");
    if (values.has(name)) throw new DecodeError("a parameter occurs twice");
    values.set(name, reader.value());
  }
  return { kind: "named", values };
}
