// Messages after the handshake (RFC 8446 section 4.6, RFC 9147 sections 8 and 9). Each is acknowledged, and handed to what
// it is about.

import { HandshakeType } from "./code_points.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";

/** Takes the body of a message. Throws `DtlsFault` or `DecodeError` where it must not be. */
export type MessageHandler = (body: Uint8Array) => void;

/** What takes each type of message that may come; a type that is not in it is a fault. */
export type MessageHandlers = ReadonlyMap<HandshakeType, MessageHandler>;

/** Takes messages after the handshake, without end. */
export function* postHandshake(
  handlers: MessageHandlers,
): Generator<readonly HandshakeType[], never, HandshakeMessage> {
  const expected = [...handlers.keys()];
  for (;;) {
    const { type, body } = yield expected;
    handlers.get(type as HandshakeType)?.(body);
  }
}
