// The client's side of the handshake: the ClientHello, and the version that the server answers with. What follows is in
// the version's own file.

import { clientHandshake12 } from "./client_handshake_12.ts";
import { clientHandshake13 } from "./client_handshake_13.ts";
import { ClientOffer } from "./client_hello.ts";
import { HandshakeType } from "./code_points.ts";
import { offerEarlyData } from "./early_handshake.ts";
import { DtlsFault } from "./errors.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { decodeHelloVerifyRequest } from "./handshake_messages_12.ts";
import { decodeServerHello } from "./hello_messages.ts";
import type { DtlsClientOptions } from "./options.ts";
import { selectedVersion } from "./versions.ts";

/** A server whose keys change asks again, hardly ever a third time. */
const VERIFY_REQUESTS_MAX = 3;

/** Runs the handshake of a client. */
export function* clientHandshake(io: HandshakeIo, options: DtlsClientOptions): Handshake {
  const offer = new ClientOffer(io, options);
  io.beginFlight();
  const first = offer.encode();
  io.send(HandshakeType.CLIENT_HELLO, first);
  if (offer.earlySession !== undefined) {
    offerEarlyData(io, offer.earlySession, offer.random, first);
  }

  const { message, isVerified } = yield* receiveServerHello(io, offer);
  const hello = decodeServerHello(message.body);
  const version = selectedVersion(hello, offer);
  // RFC 9147 section 5.1: "DTLS 1.3-compliant implementations MUST NOT use the HelloVerifyRequest to execute a
  // return-routability check."
  if (version === "1.3" && isVerified) {
    throw new DtlsFault("unexpected-message", "a HelloVerifyRequest of a server of DTLS 1.3");
  }
  io.setVersion(version);
  // RFC 8446 appendix D.3: "A client that attempts to send 0-RTT data MUST fail a connection if it receives a
  // ServerHello with TLS 1.2 or older."
  if (version !== "1.3" && offer.earlySession !== undefined) {
    throw new DtlsFault("unsupported-version", "the server answers early data in an older version");
  }
  const answer = { message, hello };
  return yield* version === "1.3"
    ? clientHandshake13(io, options, offer, answer)
    : clientHandshake12(io, options, offer, answer);
}

interface FirstServerHello {
  readonly message: HandshakeMessage;
  /** Whether HelloVerifyRequests came before it. */
  readonly isVerified: boolean;
}

/** Waits for a ServerHello, and gives back the cookies of servers that ask for them with HelloVerifyRequest. */
function* receiveServerHello(
  io: HandshakeIo,
  offer: ClientOffer,
): Generator<readonly HandshakeType[], FirstServerHello, HandshakeMessage> {
  // RFC 9147 section 5.1: "A dual-stack DTLS 1.2/DTLS 1.3 client MUST, however, be prepared to interact with a DTLS 1.2
  // server."
  for (let left = VERIFY_REQUESTS_MAX; left > 0; left--) {
    const message = yield [HandshakeType.SERVER_HELLO, HandshakeType.HELLO_VERIFY_REQUEST];
    if (message.type === HandshakeType.SERVER_HELLO) {
      return { message, isVerified: left < VERIFY_REQUESTS_MAX };
    }
    if (!offer.versions.includes("1.2")) {
      throw new DtlsFault(
        "unsupported-version",
        "the server asks for the cookie of an older version",
      );
    }
    // RFC 6347 section 4.2.1: "the client MUST use the same parameter values (version, random, session_id,
    // cipher_suites, compression_method) as it did in the original ClientHello." And section 4.2.6: "the initial
    // ClientHello and HelloVerifyRequest are not included in the CertificateVerify or Finished MAC computations."
    offer.legacyCookie = decodeHelloVerifyRequest(message.body);
    io.transcript.forget();
    io.beginFlight();
    io.send(HandshakeType.CLIENT_HELLO, offer.encode());
  }
  return { message: yield [HandshakeType.SERVER_HELLO], isVerified: true };
}
