// Heartbeats on their way out: sent once, never again.

import { Queue } from "../base/queue.ts";
import { MessageType } from "../wire/frame.ts";
import type { FrameSource, PacketBuilder } from "./packer.ts";

/** Heartbeats that wait to be sent. */
export class Heartbeats implements FrameSource {
  readonly #waiting = new Queue<Uint8Array>();
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get wantsToSend(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes a payload. Returns whether the oldest that waited had to go for it. */
  add(payload: Uint8Array): boolean {
    const full = this.#waiting.length >= this.#countMax;
    if (full) this.#waiting.shift();
    this.#waiting.push(payload);
    return full;
  }

  pack(builder: PacketBuilder): void {
    for (let payload; (payload = this.#waiting.peek()) !== undefined;) {
      if (payload.length > builder.remaining) return;
      this.#waiting.shift();
      builder.frame(MessageType.HEARTBEAT, 0, 0, payload.length).set(payload);
    }
  }

  /** Drops all of them. */
  clear(): void {
    this.#waiting.clear();
  }
}
