// The session_id of frames: 0 until a peer knows the server's choice, then that and nothing else.

import type { Frame } from "../wire/frame.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";

/**
 * Checks the session_id of received packets.
 *
 * A peer writes 0 until it knows the id, then the id for ever. Packets may overtake each other, so 0 stays
 * allowed in packets that were numbered before the first one with the id, and in no other. A client may see
 * the id before it has read HandshakeResponse, in whose packets it stands first: it takes the first id that
 * comes as the one, and {@linkcode SessionIds.set} must agree with it.
 */
export class SessionIds {
  /** The id for frames that are sent. */
  own = 0n;
  readonly #learns: boolean;
  #expected: bigint | undefined;
  #largestWithout = -1;
  #smallestWith = Infinity;

  /** `learns` is true at a client: only the server chooses. */
  constructor(learns: boolean) {
    this.#learns = learns;
  }

  /** Sets the session's id. Throws {@linkcode TransportFault} where the peer has used another one. */
  set(sessionId: bigint): void {
    if (this.#expected !== undefined && this.#expected !== sessionId) throw wrongSession();
    this.#expected = sessionId;
    this.own = sessionId;
  }

  /** Checks all frames of a packet. Throws {@linkcode TransportFault}. */
  check(frames: readonly Frame[], packetNumber: number): void {
    const { sessionId } = frames[0]!;
    for (const frame of frames) if (frame.sessionId !== sessionId) throw wrongSession();
    if (sessionId === 0n) {
      if (packetNumber > this.#smallestWith) throw wrongSession();
      this.#largestWithout = Math.max(this.#largestWithout, packetNumber);
      return;
    }
    if (this.#expected === undefined && this.#learns) this.#expected = sessionId;
    if (sessionId !== this.#expected || packetNumber < this.#largestWithout) throw wrongSession();
    this.#smallestWith = Math.min(this.#smallestWith, packetNumber);
  }
}

function wrongSession(): TransportFault {
  return new TransportFault(TransportFaultCode.WRONG_SESSION, "session_id");
}
