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
  receivedBytes: number;
}

/** A whole ClientHello. */
export interface ReassembledHello {
  readonly message: HandshakeMessage;
  /** Bytes of the datagrams that brought it: what an answer may be measured by. */
  readonly receivedBytes: number;
}

/** Puts ClientHellos together by address. */
export class HelloReassembly {
  /** In the order in which they began, and so in which they expire. */
  readonly #slots = new Map<string, Slot>();

  /**
   * Takes a fragment of a ClientHello, that came in a datagram of `datagramBytes` bytes, and returns the message once
   * it is whole.
   */
  add(
    fragment: HandshakeFragment,
    datagramBytes: number,
    address: string,
    now: Milliseconds,
  ): ReassembledHello | undefined {
    const { type, messageSeq, body, messageBytes } = fragment;
    // What is whole in one datagram, as nearly all are, needs no slot.
    if (body.length === messageBytes) {
      return { message: { type, messageSeq, body }, receivedBytes: datagramBytes };
    }
    const key = `${messageSeq} ${address}`;
    const slot = this.#slot(key, messageSeq, now);
    slot.receivedBytes += datagramBytes;
    slot.assembler.add(fragment, 0);
    const message = slot.assembler.take();
    if (message === undefined) return undefined;
    this.#slots.delete(key);
    return { message, receivedBytes: slot.receivedBytes };
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
    const slot = { assembler, expiresAt: now + HELLO_LIFE_MS, receivedBytes: 0 };
    this.#slots.set(key, slot);
    return slot;
  }
}
