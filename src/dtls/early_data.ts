// What keeps 0-RTT data from being taken twice: tickets that bring it once, soon after their ClientHello was sent (RFC
// 8446 section 8).

import { equalBytes } from "../base/bytes.ts";
import type { Entropy, Milliseconds } from "../base/core.ts";
import { ReplayWindow } from "./replay_window.ts";
import { clientTicketAge } from "./ticket_age.ts";
import type { EarlyDataTicket, TicketState } from "./ticket_keys.ts";

/** RFC 8446 section 8.3: "For clients on the Internet, this implies windows on the order of ten seconds". */
export const EARLY_DATA_WINDOW_MS: Milliseconds = 10_000;

/** Tickets whose use is remembered; an older one brings no early data. */
const TICKETS_MAX = 131_072;

const ZONE_BYTES = 8;

/**
 * Which tickets have brought early data: numbers in a window, 16 KiB of bits. Whatever is not known to be unused is
 * refused: tickets before the window, of another zone, of before a restart. So endpoints that share ticket keys, but
 * not this, refuse early data to each other's tickets. RFC 8446 section 8.2: "the best anti-replay protection is
 * provided by having a single storage zone be authoritative for a given ticket and refusing 0-RTT for that ticket in
 * any other zone."
 */
export class SingleUseTickets {
  readonly #zone: Uint8Array;
  readonly #used = new ReplayWindow(TICKETS_MAX);
  #nextNumber = 0;

  /** A zone of its own, with a random name. */
  constructor(entropy: Entropy) {
    this.#zone = entropy(ZONE_BYTES);
  }

  /** Another ticket of this zone. */
  issue(): EarlyDataTicket {
    return { zone: this.#zone, number: this.#nextNumber++ };
  }

  /** Uses a ticket. Returns whether it is this zone's and was not used before. */
  use({ zone, number }: EarlyDataTicket): boolean {
    if (!equalBytes(zone, this.#zone) || number >= this.#nextNumber) return false;
    if (this.#used.check(number) !== "new") return false;
    this.#used.accept(number);
    return true;
  }
}

/**
 * RFC 8446 section 8.3: whether the time at which a ClientHello was sent, as its client tells it, is the time at which
 * it arrived, give or take `windowMs`.
 */
export function isFresh(
  { issuedAt, ageAdd }: TicketState,
  obfuscatedAge: number,
  now: Milliseconds,
  windowMs: Milliseconds,
): boolean {
  const expectedArrival = issuedAt + clientTicketAge(obfuscatedAge, ageAdd);
  return Math.abs(now - expectedArrival) <= windowMs;
}

/** How a server takes early data. Whoever records it can send it again to other servers: it is for what may be. */
export interface EarlyDataPolicy {
  /** Bytes of early data that one ticket allows. */
  readonly bytesMax: number;
  /** What was used before; endpoints of one process that share ticket keys may share it. */
  readonly tickets: SingleUseTickets;
  /**
   * What of an address a ticket is bound to: only from there its early data is taken without a cookie. Default: the
   * part before the last colon, since a client's port changes.
   */
  readonly hostOf?: (address: string) => string;
  /** How far a ticket's age may be from what the client tells. Default: `EARLY_DATA_WINDOW_MS`. */
  readonly windowMs?: Milliseconds;
}
