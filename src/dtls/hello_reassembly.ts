// ClientHellos of several datagrams, before their senders' addresses are validated: few slots, for a short time.

import type { Milliseconds } from "../base/core.ts";
import {
  HandshakeAssembler,
  type HandshakeFragment,
  type HandshakeMessage,
} from "./handshake_fragment.ts";
import { DTLS_LIMITS } from "./limits.ts";

/** ClientHellos that may be incomplete at one time; the oldest gives way. */
export const HELLO_SLOTS_MAX = 256;

/** Bytes of one ClientHello. */
export const HELLO_BYTES_MAX = 4_096;

/** How long an incomplete ClientHello is kept. */
export const HELLO_LIFE_MS = 2_000;

const ASSEMBLER_LIMITS = {
  ...DTLS_LIMITS,
  handshakeMessageBytesMax: HELLO_BYTES_MAX,
  handshakeMessagesAheadMax: 0,
  fragmentRangesMax: 8,
};

interface Slot {
  readonly assembler: HandshakeAssembler;
  readonly expiresAt: Milliseconds;
}

/** Puts ClientHellos together by address. */
export class HelloReassembly {
  /** In the order in which they began, and so in which they expire. */
  readonly #slots = new Map<string, Slot>();

  /** Takes a fragment of a ClientHello and returns the message once it is whole. */
  add(
    fragment: HandshakeFragment,
    address: string,
    now: Milliseconds,
  ): HandshakeMessage | undefined {
    const { type, messageSeq, body, messageBytes } = fragment;
    // What is whole in one datagram, as nearly all are, needs no slot.
    if (body.length === messageBytes) return { type, messageSeq, body: body.slice() };
    const key = `${messageSeq} ${address}`;
    const slot = this.#slot(key, messageSeq, now);
    slot.assembler.add(fragment, 0);
    const message = slot.assembler.take();
    if (message !== undefined) this.#slots.delete(key);
    return message;
  }

  #slot(key: string, messageSeq: number, now: Milliseconds): Slot {
    for (const [oldKey, { expiresAt }] of this.#slots) {
      if (expiresAt > now && this.#slots.size < HELLO_SLOTS_MAX) break;
      if (expiresAt > now && this.#slots.has(key)) break;
      this.#slots.delete(oldKey);
    }
    const found = this.#slots.get(key);
    if (found !== undefined) return found;
    const assembler = new HandshakeAssembler(ASSEMBLER_LIMITS, messageSeq);
    const slot = { assembler, expiresAt: now + HELLO_LIFE_MS };
    this.#slots.set(key, slot);
    return slot;
  }
}
