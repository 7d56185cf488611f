// The ClientHello that a server goes on with.

import type { VouchingPsk } from "./early_handshake.ts";
import type { ClientHello } from "./hello_messages.ts";
import type { HelloNegotiation } from "./hello_negotiation.ts";

/** The ClientHello that a server accepted, and what the cookie kept of the exchange before it. */
export interface AcceptedHello {
  /** The message, decoded. */
  readonly hello: ClientHello;
  /** Its bytes, without the header. */
  readonly body: Uint8Array;
  /**
   * What it has in common with the server in DTLS 1.3, where that was negotiated to accept it.
   *
   * @internal
   */
  readonly negotiation?: HelloNegotiation;
  /** Its number among the client's handshake messages. */
  readonly messageSeq: number;
  /** The record that it came in, whose number this side's own records begin at. */
  readonly recordNumber: number;
  /** The address that it came from, which its tickets are good for to skip the cookie. */
  readonly address?: string;
  /** The PSK that was good enough to leave out the exchange before it. */
  readonly vouching?: VouchingPsk;
  /** Bytes that came from an address that has not shown that it receives; `undefined` for one that has. */
  readonly unvalidatedBytes?: number;
  /** The exchange before it, where there was one. */
  readonly retry?: {
    readonly clientHelloHash: Uint8Array;
    readonly helloRetryRequest: Uint8Array;
  };
}
