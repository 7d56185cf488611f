// What an association begins with, for each of the two ends.

import { clientHandshake } from "./client_handshake.ts";
import { HandshakeType } from "./code_points.ts";
import type { Handshake, HandshakeIo } from "./handshake.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import type { DtlsClientOptions, DtlsServerOptions } from "./options.ts";
import { serverHandshake } from "./server_handshake.ts";
import type { AcceptedHello } from "./server_hello.ts";

/** What an association is made of, besides what both ends have options for. */
export interface AssociationStart {
  readonly handshake: (io: HandshakeIo) => Handshake;
  readonly isClient: boolean;
  /** What a server has received; a client nothing. */
  readonly received?: HandshakeMessage;
  readonly nextSendSeq: number;
  readonly nextPlaintextNumber: number;
  /** Where the peer is; empty where there is but one place. */
  readonly path: string;
}

/** How a client begins. */
export function clientStart(options: DtlsClientOptions): AssociationStart {
  const handshake = (io: HandshakeIo) => clientHandshake(io, options);
  return { handshake, isClient: true, nextSendSeq: 0, nextPlaintextNumber: 0, path: "" };
}

/** How a server begins, with a ClientHello or waiting for one. */
export function serverStart(
  options: DtlsServerOptions,
  accepted: AcceptedHello | undefined,
): AssociationStart {
  const handshake = (io: HandshakeIo) => serverHandshake(io, options, accepted);
  if (accepted === undefined) {
    return { handshake, isClient: false, nextSendSeq: 0, nextPlaintextNumber: 0, path: "" };
  }
  const { messageSeq, body, recordNumber, address = "" } = accepted;
  return {
    handshake,
    isClient: false,
    received: { type: HandshakeType.CLIENT_HELLO, messageSeq, body },
    // What was sent without state had the numbers before the client's.
    nextSendSeq: messageSeq,
    nextPlaintextNumber: recordNumber,
    path: address,
  };
}
