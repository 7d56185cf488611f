// Error: what failed, as it travels in a message of its own and in a StreamEnd (PROTOCOL.md, "Error").

import { DecodeError } from "../base/byte_reader.ts";
import { type ControlMap, decodeControl, encodeControl, wholeMs } from "./control.ts";
import type { Fields } from "./control_fields.ts";
import { errorEntry, isWireCode, type RetryAdvice } from "./error_codes.ts";
import type { EngineError, ErrorPayload } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { clipText } from "./text_length.ts";

/**
 * Encodes an error. Texts longer than their limit are cut. A number of the local group never travels: in its place
 * goes `internal`, without the text. So every error fits one frame, also inside a StreamEnd.
 */
export function encodeError(error: ErrorPayload): Uint8Array {
  return encodeControl(errorFields(error));
}

/** The fields of an error, as {@linkcode encodeError} encodes them. */
export function errorFields(error: ErrorPayload): ControlMap {
  if (!isWireCode(error.code)) {
    const { code, text, retry } = errorEntry("internal");
    return { code, name: "internal", message: text, retry };
  }
  const { engine } = error;
  return {
    code: error.code,
    name: clipText(error.name, LIMITS.errorNameBytesMax),
    message: clipText(error.message, LIMITS.errorTextBytesMax),
    retry: error.retry,
    after_ms: error.afterMs === undefined ? undefined : wholeMs(error.afterMs),
    engine: engine === undefined ? undefined : {
      code: Number.isSafeInteger(engine.code)
        ? engine.code
        : clipText(String(engine.code), LIMITS.errorNameBytesMax),
      name: engine.name === undefined ? undefined : clipText(engine.name, LIMITS.errorNameBytesMax),
    },
    step: error.step,
  };
}

/** Decodes an error. Throws {@linkcode DecodeError}. */
export function decodeError(payload: Uint8Array): ErrorPayload {
  return readError(decodeControl(payload));
}

/** Reads the fields of an error. Throws {@linkcode DecodeError}. */
export function readError(fields: Fields): ErrorPayload {
  const code = fields.int("code", 0, 0xffff);
  if (!isWireCode(code)) throw new DecodeError(`the error number ${code} does not travel`);
  const afterMs = fields.optionalInt("after_ms");
  const engine = fields.optionalMap("engine");
  const step = fields.optionalInt("step");
  return {
    code,
    name: fields.text("name", { minBytes: 1 }),
    message: fields.text("message"),
    retry: readAdvice(fields.text("retry")),
    ...(afterMs !== undefined && { afterMs }),
    ...(engine !== undefined && { engine: readEngine(engine) }),
    ...(step !== undefined && { step }),
  };
}

/** Advice that this version does not know is read as the careful one. */
function readAdvice(advice: string): RetryAdvice {
  return advice === "now" || advice === "later" || advice === "reconnect" ? advice : "no";
}

function readEngine(fields: Fields): EngineError {
  const code = fields.textOrInt("code");
  const name = fields.optionalText("name");
  return { code, ...(name !== undefined && { name }) };
}
