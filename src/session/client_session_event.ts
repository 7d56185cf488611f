// What a client's session tells the layer above.

import type { SqpError } from "../wire/errors.ts";
import type { HandshakeResponse } from "../wire/handshake_payload.ts";
import type { Termination } from "../wire/termination_payload.ts";

/** What a client's session tells the layer above. */
export type ClientSessionEvent =
  /** The client was let in. */
  | { readonly kind: "ready"; readonly response: HandshakeResponse }
  /** The Response of a request. */
  | { readonly kind: "response"; readonly requestId: number; readonly payload: Uint8Array }
  /** A request ended with an error: the server's, or the session's end. */
  | { readonly kind: "failed"; readonly requestId: number; readonly error: SqpError }
  /** `ClientSession.readStream` has bytes. */
  | { readonly kind: "stream-readable"; readonly requestId: number; readonly streamId: number }
  /** All bytes of a stream were read. */
  | { readonly kind: "stream-finished"; readonly requestId: number; readonly streamId: number }
  /** The server takes no new requests. */
  | { readonly kind: "draining"; readonly termination: Termination }
  /** The session is over; every open request has failed before. The last event. */
  | { readonly kind: "ended"; readonly error: SqpError };
