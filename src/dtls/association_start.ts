// What an association begins with: a client's first flight, or the ClientHello that a server has or waits for.

import { AmplificationLimit } from "./amplification_limit.ts";
import { clientHandshake } from "./client_handshake.ts";
import { HandshakeType, ProtocolVersion } from "./code_points.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import type { DtlsClientOptions, DtlsServerOptions } from "./options.ts";
import type { PlaintextState } from "./record_layer.ts";
import { serverHandshake } from "./server_handshake.ts";
import type { AcceptedHello } from "./server_hello.ts";

/** What an association is made of, besides its options. */
export interface AssociationStart {
  readonly handshake: (io: HandshakeIo) => Handshake;
  readonly isClient: boolean;
  /** What a server has received; a client nothing. */
  readonly received?: HandshakeMessage;
  readonly nextSendSeq: number;
  /** What may be sent to an address, where it has not shown that it receives. */
  readonly amplification: AmplificationLimit;
  readonly plaintext: PlaintextState;
  /** Where the peer is; empty where there is but one place. */
  readonly path: string;
}

/** How a client begins. */
export function clientStart(options: DtlsClientOptions): AssociationStart {
  return {
    handshake: (io) => clientHandshake(io, options),
    isClient: true,
    nextSendSeq: 0,
    amplification: new AmplificationLimit(),
    plaintext: { version: ProtocolVersion.DTLS_1_0, nextRecordNumber: 0 },
    path: "",
  };
}

/** How a server begins, with a ClientHello that was accepted or without one. */
export function serverStart(
  options: DtlsServerOptions,
  accepted: AcceptedHello | undefined,
): AssociationStart {
  const start = {
    handshake: (io: HandshakeIo) => serverHandshake(io, options, accepted),
    isClient: false,
    amplification: new AmplificationLimit(accepted?.unvalidatedBytes),
  };
  if (accepted === undefined) {
    return { ...start, nextSendSeq: 0, plaintext: serverPlaintext(0), path: "" };
  }
  const { messageSeq, body } = accepted;
  return {
    ...start,
    received: { type: HandshakeType.CLIENT_HELLO, messageSeq, body },
    // What was sent without state had the numbers before the client's.
    nextSendSeq: messageSeq,
    plaintext: serverPlaintext(accepted.recordNumber),
    path: accepted.address ?? "",
  };
}

function serverPlaintext(nextRecordNumber: number): PlaintextState {
  return { version: ProtocolVersion.DTLS_1_2, nextRecordNumber };
}
