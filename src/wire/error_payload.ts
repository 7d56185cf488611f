// Error: what failed, as it travels in a message of its own and in a StreamEnd (PROTOCOL.md, "Error").

import { DecodeError } from "../base/byte_reader.ts";
import { decodeControl, encodeControl } from "./control.ts";
import type { Fields } from "./control_fields.ts";
import { errorEntry, isWireCode, type RetryAdvice } from "./error_codes.ts";
import type { EngineError, ErrorPayload } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { clipText } from "./text_length.ts";

/**
 * Encodes an error. Texts longer than their limit are cut. A number of the local group never travels: in its place goes `internal`,
 * without the text.
 */
export function encodeError(error: ErrorPayload): Uint8Array {
  if (!isWireCode(error.code)) {
    const { code, text, retry } = errorEntry("internal");
    return encodeControl({ code, name: "internal", message: text, retry });
  }
  const { engine } = error;
  return encodeControl({
    code: error.code,
    name: clipText(error.name, LIMITS.nameBytesMax),
    message: clipText(error.message, LIMITS.errorTextBytesMax),
    retry: error.retry,
    after_ms: error.afterMs === undefined ? undefined : Math.max(0, Math.ceil(error.afterMs)),
    engine: engine === undefined ? undefined : {
      code: typeof engine.code === "number"
        ? engine.code
        : clipText(engine.code, LIMITS.nameBytesMax),
      name: engine.name === undefined ? undefined : clipText(engine.name, LIMITS.nameBytesMax),
    },
  });
}

/** Decodes an error. Throws {@linkcode DecodeError}. */
export function decodeError(payload: Uint8Array): ErrorPayload {
  const fields = decodeControl(payload);
  const code = fields.int("code", 0, 0xffff);
  if (!isWireCode(code)) throw new DecodeError(`the error number ${code} does not travel`);
  const afterMs = fields.optionalInt("after_ms");
  const engine = fields.optionalMap("engine");
  return {
    code,
    name: fields.text("name", { minBytes: 1, maxBytes: LIMITS.nameBytesMax }),
    message: fields.text("message", { maxBytes: LIMITS.errorTextBytesMax }),
    retry: readAdvice(fields.text("retry", { maxBytes: LIMITS.nameBytesMax })),
    ...(afterMs !== undefined && { afterMs }),
    ...(engine !== undefined && { engine: readEngine(engine) }),
  };
}

/** Advice that this version does not know is read as the careful one. */
function readAdvice(advice: string): RetryAdvice {
  return advice === "now" || advice === "later" || advice === "reconnect" ? advice : "no";
}

function readEngine(fields: Fields): EngineError {
  const bounds = { maxBytes: LIMITS.nameBytesMax };
  const code = fields.textOrInt("code", bounds);
  const name = fields.optionalText("name", bounds);
  return { code, ...(name !== undefined && { name }) };
}
