// Lines of an SSLKEYLOGFILE, which analysers of captures read.

import { toHex } from "../base/bytes.ts";

/** The labels of SSLKEYLOGFILE lines. */
export type KeyLogLabel =
  | "CLIENT_EARLY_TRAFFIC_SECRET"
  | "EARLY_EXPORTER_SECRET"
  | "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
  | "SERVER_HANDSHAKE_TRAFFIC_SECRET"
  | "CLIENT_TRAFFIC_SECRET_0"
  | "SERVER_TRAFFIC_SECRET_0"
  | "EXPORTER_SECRET"
  | "CLIENT_RANDOM";

/** The line of one secret, without its end. */
export function keyLogLine(
  label: KeyLogLabel,
  clientRandom: Uint8Array,
  secret: Uint8Array,
): string {
  return `${label} ${toHex(clientRandom)} ${toHex(secret)}`;
}
