// What a server's session tells the layer above.

import type { SqpError } from "../wire/errors.ts";
import type { Credential } from "../wire/handshake_payload.ts";

/** What a server's session tells the layer above. */
export type ServerSessionEvent =
  /** The client asks to be let in: `admit` or `refuse` has to follow. */
  | { readonly kind: "authenticate"; readonly credential: Credential | null }
  /** A Query; one of the answering methods has to follow, in the end. */
  | { readonly kind: "request"; readonly requestId: number; readonly payload: Uint8Array }
  /** The client no longer wants a request that is open. */
  | { readonly kind: "cancel"; readonly requestId: number }
  /** A stream has room again. */
  | { readonly kind: "stream-writable"; readonly requestId: number; readonly streamId: number }
  /** The session is over, and so are its requests. The last event. `error` says why, unless the client closed it. */
  | { readonly kind: "ended"; readonly error: SqpError | undefined };
