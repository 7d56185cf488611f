// Messages after the handshake (RFC 8446 section 4.6). Each is acknowledged; what this side has no use for ends there.

import { HandshakeType } from "./code_points.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";

/** Waits for post-handshake messages, without end. */
export function* postHandshake(
  isClient: boolean,
  onTicket: (body: Uint8Array) => void,
): Generator<readonly HandshakeType[], never, HandshakeMessage> {
  const expected: readonly HandshakeType[] = isClient ? [HandshakeType.NEW_SESSION_TICKET] : [];
  for (;;) {
    const { type, body } = yield expected;
    if (type === HandshakeType.NEW_SESSION_TICKET) onTicket(body);
  }
}
