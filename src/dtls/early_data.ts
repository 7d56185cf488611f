// What a ticket is good for once: to skip the cookie, and to bring 0-RTT data soon after its ClientHello was sent (RFC
// 8446 section 8).

import { hostOfAddress } from "../base/address.ts";
import { equalBytes } from "../base/bytes.ts";
import type { Entropy, Milliseconds } from "../base/core.ts";
import { ReplayWindow } from "./replay_window.ts";
import { clientTicketAge } from "./ticket_age.ts";
import type { SingleUseTicket, TicketState } from "./ticket_keys.ts";

/** RFC 8446 section 8.3: "For clients on the Internet, this implies windows on the order of ten seconds". */
export const EARLY_DATA_WINDOW_MS: Milliseconds = 10_000;

/** Tickets whose use is remembered; an older one is good for neither. */
const TICKETS_MAX = 131_072;

const ZONE_BYTES = 8;

/**
 * Which tickets were used: numbers in a window, 16 KiB of bits. Whatever is not known to be unused is taken for used:
 * tickets before the window, of another zone, of before a restart. So endpoints that share ticket keys, but not this,
 * refuse early data to each other's tickets. RFC 8446 section 8.2: "the best anti-replay protection is
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
  issue(): SingleUseTicket {
    return { zone: this.#zone, number: this.#nextNumber++ };
  }

  /** Uses a ticket. Returns whether it is this zone's and was not used before. */
  use({ zone, number }: SingleUseTicket): boolean {
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

/**
 * Lets a client that resumes skip the cookie, and so saves it a round trip, where it comes from the host that its
 * ticket was made for. RFC 9147 section 5.1: "the server MAY choose not to do a cookie exchange when a session is
 * resumed or [...] the DTLS handshake uses a PSK-based key exchange and the IP address matches one associated with the
 * PSK." Each ticket does so once: who records a ClientHello can have the server answer it no second time.
 */
export interface CookieExemption {
  /** What was used before; endpoints of one process that share ticket keys may share it. */
  readonly tickets: SingleUseTickets;
  /**
   * What of an address a ticket is bound to. Default: the part before the last colon, since a client's port changes.
   */
  readonly hostOf?: (address: string) => string;
}

/** How a server takes early data. Whoever records it can send it again to other servers: it is for what may be. */
export interface EarlyDataPolicy extends CookieExemption {
  /** Bytes of early data that one ticket allows. */
  readonly bytesMax: number;
  /** How far a ticket's age may be from what the client tells. Default: `EARLY_DATA_WINDOW_MS`. */
  readonly windowMs?: Milliseconds;
}

/** Whether a ticket was made for the host of an address. */
export function isTicketOfHost(
  { hostOf = hostOfAddress }: CookieExemption,
  ticket: TicketState,
  address: string,
): boolean {
  return ticket.address !== undefined && hostOf(ticket.address) === hostOf(address);
}
