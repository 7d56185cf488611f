// Messages after the handshake (RFC 8446 section 4.6). Each is acknowledged; what this side has no use for ends there.

import { HandshakeType } from "./code_points.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";

/** Waits for post-handshake messages, without end. */
export function* postHandshake(
  isClient: boolean,
): Generator<readonly HandshakeType[], never, HandshakeMessage> {
  // A server's tickets may be ignored: RFC 8446 section 4.6.1 leaves their use to the client.
  const expected: readonly HandshakeType[] = isClient ? [HandshakeType.NEW_SESSION_TICKET] : [];
  for (;;) yield expected;
}
