// Whose turn it is in a handshake: each message is given to it only if it waits for one of its type and epoch.

import type { Milliseconds } from "../base/core.ts";
import type { HandshakeType } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import type { Handshake, HandshakeResult } from "./handshake.ts";
import type { HandshakeReliability } from "./handshake_reliability.ts";
import type { OpenedRecord } from "./record_layer.ts";

/** Runs the handshake of an association, then what follows it. */
export class HandshakeTurns {
  readonly #reliability: HandshakeReliability;
  readonly #onResult: (result: HandshakeResult) => void;
  #handshake: Handshake | undefined;
  #expected: readonly HandshakeType[] = [];
  /** The epoch that the next message is to come in. */
  expectedEpoch = 0;

  /** `onResult` is told when a handshake is complete, and begins what follows it. */
  constructor(reliability: HandshakeReliability, onResult: (result: HandshakeResult) => void) {
    this.#reliability = reliability;
    this.#onResult = onResult;
  }

  /** Begins a handshake, or what follows one. Throws what it throws. */
  begin(handshake: Handshake): void {
    this.#handshake = handshake;
    this.#step(handshake.next());
  }

  /** Takes a handshake record. Throws {@linkcode DtlsFault} for what is out of turn, and what the handshake throws. */
  onRecord(record: OpenedRecord, now: Milliseconds): void {
    this.#reliability.onRecord(record, this.expectedEpoch, now);
    for (let message; (message = this.#reliability.takeMessage(now)) !== undefined;) {
      if (message.epoch !== this.expectedEpoch) {
        throw new DtlsFault("unexpected-message", "a handshake message under the wrong keys");
      }
      const handshake = this.#handshake;
      if (handshake === undefined || !this.#expected.includes(message.type as HandshakeType)) {
        throw new DtlsFault("unexpected-message", `handshake message ${message.type} out of turn`);
      }
      this.#step(handshake.next(message));
    }
  }

  /** Takes what the handshake yields: the types it waits for, or its result. */
  #step(step: IteratorResult<readonly HandshakeType[], HandshakeResult>): void {
    if (step.done === true) this.#onResult(step.value);
    else this.#expected = step.value;
  }

  /** The association is over. */
  stop(): void {
    this.#handshake = undefined;
  }
}
