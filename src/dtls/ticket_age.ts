// The age of a ticket, hidden so that nobody can follow a client from one association to the next (RFC 8446 section
// 4.2.11.1).

import type { Milliseconds } from "../base/core.ts";

/**
 * RFC 8446 section 4.2.11.1: the age in milliseconds, to which "the "ticket_age_add" value that was included with the
 * ticket" is added, modulo 2^32.
 */
export function obfuscatedAge(ageMs: Milliseconds, ageAdd: number): number {
  return (Math.max(0, Math.floor(ageMs)) + ageAdd) % 2 ** 32;
}

/** The age that {@linkcode obfuscatedAge} hides. */
export function clientTicketAge(obfuscated: number, ageAdd: number): Milliseconds {
  return (obfuscated - ageAdd + 2 ** 32) % 2 ** 32;
}
