// Received packet numbers: which are new, and when and how to acknowledge them (RFC 9000, section 13.2).

import { type Milliseconds, NEVER } from "../base/core.ts";
import { RangeSet } from "../base/range_set.ts";
import { ACK_BITMAP_BYTES_MAX, ACK_PREFIX_BYTES, encodeAck, fillAckBitmap } from "../wire/ack.ts";
import { MessageType } from "../wire/frame.ts";
import { ACK_EVERY_PACKETS, MAX_ACK_DELAY_MS, RECEIVED_HISTORY_PACKETS } from "./limits.ts";
import type { SentOwner } from "./sent_packet.ts";
import type { PacketBuilder } from "./packer.ts";

const NUMBER_WINDOW = 0x1_0000_0000;

/** The receiver's half of acknowledgement. */
export class AckState implements SentOwner {
  readonly #received = new RangeSet();
  readonly #bitmap = new Uint8Array(ACK_BITMAP_BYTES_MAX);
  #largest = -1;
  #largestReceivedAt: Milliseconds = 0;
  #largestEliciting = -1;
  /** Numbers below are no longer told apart. */
  #historyStart = 0;
  /** Numbers below were reported, and the report arrived. */
  #reportFrom = 0;
  /** Ack-eliciting packets since the last Ack. */
  #elicitingUnacked = 0;
  #deadline: Milliseconds = NEVER;

  /** The number whose low 32 bits a packet carries: the one closest to the largest received plus one. */
  decodeNumber(sequenceNumber: number): number {
    // "closest to the next expected packet. The next expected packet is the highest received packet number plus
    // one" (RFC 9000, section 17.1; appendix A.3).
    const expected = this.#largest + 1;
    const candidate = expected - (expected % NUMBER_WINDOW) + sequenceNumber;
    if (candidate <= expected - NUMBER_WINDOW / 2) return candidate + NUMBER_WINDOW;
    if (candidate > expected + NUMBER_WINDOW / 2 && candidate >= NUMBER_WINDOW) {
      return candidate - NUMBER_WINDOW;
    }
    return candidate;
  }

  /** Whether a packet was received before, or is too old to know. */
  judge(number: number): "new" | "duplicate" | "old" {
    if (number < this.#historyStart) return "old";
    return this.#received.has(number) ? "duplicate" : "new";
  }

  /** Records a new packet. `atOnce` asks for an Ack without delay. */
  onPacket(number: number, eliciting: boolean, atOnce: boolean, receivedAt: Milliseconds): void {
    const ackNow = eliciting && (atOnce || this.#mustAckImmediately(number));
    this.#received.add(number);
    if (number > this.#largest) {
      this.#largest = number;
      this.#largestReceivedAt = receivedAt;
      this.#forgetOld();
    }
    if (number < this.#reportFrom) this.#reportFrom = number;
    if (!eliciting) return;
    if (number > this.#largestEliciting) this.#largestEliciting = number;
    this.#elicitingUnacked++;
    // "A receiver SHOULD send an ACK frame after receiving at least two ack-eliciting packets" (section 13.2.2).
    const due = ackNow || this.#elicitingUnacked >= ACK_EVERY_PACKETS;
    this.#deadline = Math.min(this.#deadline, due ? receivedAt : receivedAt + MAX_ACK_DELAY_MS);
  }

  #mustAckImmediately(number: number): boolean {
    // "when the received packet has a packet number less than another ack-eliciting packet that has been received"
    // (section 13.2.1).
    if (number < this.#largestEliciting) return true;
    // "when the packet has a packet number larger than the highest-numbered ack-eliciting packet that has been
    // received and there are missing packets between that packet and this packet" (section 13.2.1).
    return !this.#received.hasRange(this.#largestEliciting + 1, number);
  }

  /** "both to limit the size of ACK frames and to avoid resource exhaustion" (section 13.2.3); in steps. */
  #forgetOld(): void {
    const start = this.#largest + 1 - RECEIVED_HISTORY_PACKETS;
    if (start - this.#historyStart < RECEIVED_HISTORY_PACKETS / 8) return;
    this.#historyStart = start;
    this.#received.removeRange(0, start);
  }

  /** When an Ack has to go out even if nothing else does. */
  deadline(): Milliseconds {
    return this.#deadline;
  }

  /** Whether there is something to acknowledge, so that an Ack should ride with other frames. */
  get isPending(): boolean {
    return this.#elicitingUnacked > 0;
  }

  /** Puts an Ack into a packet, as much of it as fits; nothing where not even its prefix does. */
  write(builder: PacketBuilder, now: Milliseconds): void {
    const room = builder.remaining - ACK_PREFIX_BYTES;
    if (room < 0) return;
    const scratch = this.#bitmap.subarray(0, Math.min(room, ACK_BITMAP_BYTES_MAX));
    const lengthBytes = fillAckBitmap(scratch, this.#received, this.#largest, this.#reportFrom);
    const bitmap = scratch.subarray(0, lengthBytes);
    const payload = builder.quietFrame(MessageType.ACK, 0, ACK_PREFIX_BYTES + lengthBytes);
    const delayUs = Math.round(1000 * Math.max(0, now - this.#largestReceivedAt));
    encodeAck(payload, { largest: this.#largest, delayUs, bitmap });
    builder.track(this, this.#largest, this.#largest);
    this.#elicitingUnacked = 0;
    this.#deadline = NEVER;
  }

  /**
   * "When a packet containing an ACK frame is acknowledged, the receiver can stop acknowledging packets less
   * than or equal to the Largest Acknowledged field in the sent ACK frame" (section 13.2.4).
   */
  onAcked(largest: number): void {
    this.#reportFrom = Math.max(this.#reportFrom, largest + 1);
  }

  /** A lost Ack is not sent again: later ones say the same and more. */
  onLost(): void {}

  /** Stops acknowledging. */
  close(): void {
    this.#received.clear();
    this.#elicitingUnacked = 0;
    this.#deadline = NEVER;
  }
}
