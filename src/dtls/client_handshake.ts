// The client's side of the handshake: the ClientHello, and the version that the server answers with. What follows is in
// the version's own file.

import { clientHandshake13 } from "./client_handshake_13.ts";
import { ClientOffer } from "./client_hello.ts";
import { HandshakeType } from "./code_points.ts";
import { offerEarlyData } from "./early_handshake.ts";
import { DtlsFault } from "./errors.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import { decodeServerHello } from "./hello_messages.ts";
import type { DtlsClientOptions } from "./options.ts";
import { selectedVersion } from "./versions.ts";

/** Runs the handshake of a client. */
export function* clientHandshake(io: HandshakeIo, options: DtlsClientOptions): Handshake {
  const offer = new ClientOffer(io, options);
  io.beginFlight();
  const first = offer.encode();
  io.send(HandshakeType.CLIENT_HELLO, first);
  if (offer.earlySession !== undefined) {
    offerEarlyData(io, offer.earlySession, offer.random, first);
  }

  const message = yield [HandshakeType.SERVER_HELLO];
  const hello = decodeServerHello(message.body);
  const version = selectedVersion(hello, offer);
  io.setVersion(version);
  // RFC 8446 appendix D.3: "A client that attempts to send 0-RTT data MUST fail a connection if it receives a
  // ServerHello with TLS 1.2 or older."
  if (version !== "1.3" && offer.earlySession !== undefined) {
    throw new DtlsFault("unsupported-version", "the server answers early data in an older version");
  }
  return yield* clientHandshake13(io, options, offer, { message, hello });
}
