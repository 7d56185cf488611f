// Lines of an SSLKEYLOGFILE, which analysers of captures read.

import { toHex } from "../base/bytes.ts";
import type { KeyLogLabel } from "./handshake.ts";

/** The line of one secret, without its end. */
export function keyLogLine(
  label: KeyLogLabel,
  clientRandom: Uint8Array,
  secret: Uint8Array,
): string {
  return `${label} ${toHex(clientRandom)} ${toHex(secret)}`;
}
