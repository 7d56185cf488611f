// The server's side of the handshake: the ClientHello that it goes on with, and the version that is spoken. What
// follows is in the version's own file.

import { EMPTY_BYTES } from "../base/bytes.ts";
import { HandshakeType } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import { decodeClientHello } from "./hello_messages.ts";
import { negotiateHello, negotiateVersion } from "./hello_negotiation.ts";
import { helloDigest, helloRetryRequest } from "./hello_retry.ts";
import { equalSecrets } from "./key_schedule.ts";
import type { DtlsServerOptions } from "./options.ts";
import { checkSelectedPsk, requireStillOffered, selectPsk } from "./psk_selection.ts";
import { serverHandshake12 } from "./server_handshake_12.ts";
import { serverHandshake13 } from "./server_handshake_13.ts";
import type { AcceptedHello } from "./server_hello.ts";

/** Runs the handshake of a server: with a ClientHello that an endpoint accepted, or waiting for one. */
export function* serverHandshake(
  io: HandshakeIo,
  options: DtlsServerOptions,
  accepted: AcceptedHello | undefined,
): Handshake {
  let received = accepted;
  if (received === undefined) received = acceptHello(yield [HandshakeType.CLIENT_HELLO]);
  const is13 = received.negotiation !== undefined;
  const version = is13 ? "1.3" : negotiateVersion(received.hello, options);
  io.setVersion(version);
  if (version === "1.2") return yield* serverHandshake12(io, options, received);
  if (accepted === undefined) received = yield* retryHello(io, options, received);
  return yield* serverHandshake13(io, options, received);
}

function acceptHello({ body, messageSeq }: HandshakeMessage): AcceptedHello {
  return { hello: decodeClientHello(body), body, messageSeq, recordNumber: 0 };
}

/** Asks for a key share that is missing, with a HelloRetryRequest that needs no cookie: the first hello is kept. */
function* retryHello(
  io: HandshakeIo,
  options: DtlsServerOptions,
  first: AcceptedHello,
): Generator<readonly HandshakeType[], AcceptedHello, HandshakeMessage> {
  const negotiation = negotiateHello(first.hello, options);
  const { suite, group, share } = negotiation;
  if (share !== undefined) return first;
  const psk = selectPsk(first.hello, negotiation, options, io.now());
  if (psk !== undefined) {
    io.eraseAfterHandshake(psk.key);
    checkSelectedPsk(io.provider, psk, io.transcript.before(suite.hash), first.body);
  }
  io.transcript.start(suite.hash);
  io.transcript.add({
    type: HandshakeType.CLIENT_HELLO,
    messageSeq: first.messageSeq,
    body: first.body,
  });
  const clientHelloHash = io.transcript.digest();
  const body = helloRetryRequest(suite.suite, group, EMPTY_BYTES);
  io.beginFlight();
  io.send(HandshakeType.SERVER_HELLO, body);
  const second = acceptHello(yield [HandshakeType.CLIENT_HELLO]);
  const isSame = equalSecrets(
    helloDigest(io.provider, first.hello),
    helloDigest(io.provider, second.hello),
  );
  if (!isSame || negotiateHello(second.hello, options).share?.group !== group) {
    throw new DtlsFault("illegal-parameter", "the ClientHello changed after the HelloRetryRequest");
  }
  if (psk !== undefined) requireStillOffered(psk, second.hello);
  return { ...second, retry: { clientHelloHash, helloRetryRequest: body } };
}
