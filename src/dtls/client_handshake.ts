// The client's side of the handshake: the ClientHello, and the version that the server answers with. What follows is in
// the version's own file.

import { clientHandshake13 } from "./client_handshake_13.ts";
import { ClientOffer } from "./client_hello.ts";
import { HandshakeType } from "./code_points.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import { decodeServerHello } from "./hello_messages.ts";
import type { DtlsClientOptions } from "./options.ts";
import { selectedVersion } from "./versions.ts";

/** Runs the handshake of a client. */
export function* clientHandshake(io: HandshakeIo, options: DtlsClientOptions): Handshake {
  const offer = new ClientOffer(io, options);
  io.beginFlight();
  io.send(HandshakeType.CLIENT_HELLO, offer.encode());

  const message = yield [HandshakeType.SERVER_HELLO];
  const hello = decodeServerHello(message.body);
  const version = selectedVersion(hello, offer);
  io.setVersion(version);
  return yield* clientHandshake13(io, options, offer, { message, hello });
}
