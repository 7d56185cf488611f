// What an association tells the layer above, and the phases of its life.

import type { Milliseconds } from "../base/core.ts";
import type { EarlyDataEvent } from "./early_data_channel.ts";
import type { AssociationError } from "./errors.ts";
import type { DtlsSession } from "./session.ts";

/** The peer's address has changed, and was shown to be the peer's: datagrams go there from now on. */
export interface MovedEvent {
  /** Which event it is. */
  readonly kind: "moved";
  /** The address before. */
  readonly from: string;
  /** The address now. */
  readonly path: string;
  /** The time that the answer from there took, where it was asked for one. */
  readonly roundTripMs: Milliseconds | undefined;
}

/** What an association tells the layer above. */
export type DtlsEvent =
  /** Both ends have proved what they had to; application data can be sent. */
  | { readonly kind: "connected" }
  /** The content of one record of application data. */
  | { readonly kind: "application-data"; readonly bytes: Uint8Array }
  /** A session that a client may keep and offer later; each is for one use, so that nobody can link several. */
  | { readonly kind: "session"; readonly session: DtlsSession }
  | EarlyDataEvent
  | MovedEvent
  /** The peer closed the association in order. The last event. */
  | { readonly kind: "closed" }
  /** The association ended by a fault, an alert or a time-out. The last event. */
  | { readonly kind: "failed"; readonly error: AssociationError };

/** The phases of an association's life. */
export type AssociationState = "handshaking" | "connected" | "closing" | "closed";
