// Events that wait for the layer above, and the session credit that messages among them hold.

import { Queue } from "../base/queue.ts";
import type { ReceiveCredit } from "./credit.ts";
import type { TransportEvent } from "./events.ts";

interface WaitingEvent {
  readonly event: TransportEvent;
  readonly chargedBytes: number;
}

/** Events in order. What one packet may bring bounds them, because the caller drains after each. */
export class EventQueue {
  readonly #waiting = new Queue<WaitingEvent>();
  readonly #sessionCredit: ReceiveCredit;
  #chargedBytes = 0;

  constructor(sessionCredit: ReceiveCredit) {
    this.#sessionCredit = sessionCredit;
  }

  /** Bytes of fragmented messages that wait. */
  get chargedBytes(): number {
    return this.#chargedBytes;
  }

  /** Adds an event; `chargedBytes` of session credit are granted anew when it is taken. */
  push(event: TransportEvent, chargedBytes = 0): void {
    this.#chargedBytes += chargedBytes;
    this.#waiting.push({ event, chargedBytes });
  }

  /** Takes the next event. */
  take(): TransportEvent | undefined {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return undefined;
    if (waiting.chargedBytes > 0) {
      this.#chargedBytes -= waiting.chargedBytes;
      this.#sessionCredit.consume(waiting.chargedBytes);
    }
    return waiting.event;
  }

  /** Drops all events. */
  clear(): void {
    this.#waiting.clear();
    this.#chargedBytes = 0;
  }
}
