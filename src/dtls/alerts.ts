// Alerts of the peer: what each one means for the association (RFC 8446 section 6, RFC 5246 section 7.2).

import { AlertDescription, AlertLevel } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import type { DtlsVersion } from "./options.ts";

/** What an alert means: the peer closes in order, gives up, or says what changes nothing. */
export type AlertMeaning =
  | { readonly kind: "close" }
  | { readonly kind: "failure"; readonly description: number }
  | { readonly kind: "nothing" };

/** Reads an alert of a peer that speaks `version`. Throws {@linkcode DtlsFault} where it is malformed. */
export function readAlert(content: Uint8Array, version: DtlsVersion | undefined): AlertMeaning {
  // RFC 8446 section 5.4, see there for handshake records.
  if (content.length === 0) throw new DtlsFault("unexpected-message", "an alert without content");
  if (content.length !== 2) throw new DtlsFault("decode-error", "an alert has two bytes");
  const [level, description] = content as unknown as readonly [number, number];
  if (level !== AlertLevel.WARNING && level !== AlertLevel.FATAL) {
    throw new DtlsFault("illegal-parameter", `an alert of the unknown level ${level}`);
  }
  if (description === AlertDescription.CLOSE_NOTIFY) return { kind: "close" };
  if (description === AlertDescription.USER_CANCELED) return { kind: "nothing" };
  // RFC 5246 section 7.2.2: "If an alert with a level of warning is sent and received, generally the connection can
  // continue normally." A server may send one before it has said which version it speaks. RFC 8446 section 6.2:
  // whatever its level says, every other alert is an error alert and fatal.
  if (version !== "1.3" && level === AlertLevel.WARNING) return { kind: "nothing" };
  return { kind: "failure", description };
}
