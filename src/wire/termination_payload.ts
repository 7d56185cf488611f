// Termination: one side ends the session, at once or when its requests are done (PROTOCOL.md, "Termination").

import { decodeControl, encodeControl, wholeMs } from "./control.ts";
import { LIMITS } from "./limits.ts";
import { clipText, utf8LengthBytes } from "./text_length.ts";

/** Why a session ends. A text that this version does not know survives. */
export type TerminationReason =
  | "closed"
  | "draining"
  | "shutdown"
  | "idle"
  | "refused"
  | "fault"
  | "overloaded";

/** The end of a session. */
export interface Termination {
  /** A {@linkcode TerminationReason}, or one that this version does not know. */
  readonly reason: TerminationReason | string;
  /** The text for a person. */
  readonly message: string;
  /** Where the client may go instead. */
  readonly url?: string;
  /** How long requests that are open may still be answered, in milliseconds; 0: not at all. */
  readonly drainMs: number;
}

/**
 * Encodes a termination. Texts longer than their limit are cut, so that it fits one frame; a longer URL would name
 * another place, so that it is left out.
 */
export function encodeTermination(termination: Termination): Uint8Array {
  const { url } = termination;
  const fits = url !== undefined && url.isWellFormed() &&
    utf8LengthBytes(url) <= LIMITS.urlBytesMax;
  return encodeControl({
    reason: clipText(termination.reason, LIMITS.errorNameBytesMax),
    message: clipText(termination.message, LIMITS.errorTextBytesMax),
    url: fits ? url : undefined,
    drain_ms: wholeMs(termination.drainMs),
  });
}

/** Decodes a termination. Throws `DecodeError`. */
export function decodeTermination(payload: Uint8Array): Termination {
  const fields = decodeControl(payload);
  const url = fields.optionalText("url", { minBytes: 1 });
  return {
    reason: fields.text("reason", { minBytes: 1 }),
    message: fields.text("message"),
    ...(url !== undefined && { url }),
    drainMs: fields.int("drain_ms"),
  };
}
