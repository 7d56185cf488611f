// Which statement a command runs and with which parameters, in an execute and in a step of a batch alike.

import { DecodeError } from "../base/byte_reader.ts";
import type { ControlMap } from "./control.ts";
import type { Fields } from "./control_fields.ts";

/** The encoding of no parameters: an empty array. */
export const NO_PARAMS: Uint8Array = new Uint8Array([0x90]);

/** A statement and its parameters. */
export interface StatementSource {
  /** SQL text, or the number of a prepared statement. */
  readonly sql: string | number;
  /**
   * What `encodeParams` gave; whoever binds the values decodes them with `decodeParams`. A view where it was
   * received.
   */
  readonly params: Uint8Array;
}

/** The fields of a statement. */
export function encodeSource({ sql, params }: StatementSource): ControlMap {
  const empty = params.length === 1 && params[0] === NO_PARAMS[0];
  return {
    ...(typeof sql === "string" ? { sql } : { statement: sql }),
    params: empty ? undefined : params,
  };
}

/** Reads the fields of a statement. Throws {@linkcode DecodeError}. */
export function readSource(fields: Fields): StatementSource {
  const statement = fields.optionalInt("statement", 1, 0xffff_ffff);
  if (statement !== undefined && fields.has("sql")) {
    throw new DecodeError("a statement is given by its text or by its number");
  }
  return {
    sql: statement ?? fields.text("sql"),
    params: fields.optionalBytes("params", { minBytes: 1 }) ?? NO_PARAMS,
  };
}
