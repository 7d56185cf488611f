// One outgoing packet: its bytes, and what it carries for whom.

import type { Milliseconds } from "../base/core.ts";
import { type MessageType, type PacketRoom, PacketWriter } from "../wire/frame.ts";
import type { SentFrame, SentOwner, SentPacket } from "./sent_packet.ts";

/** Collects the frames of one packet. Nothing is allocated before the first frame. */
export class PacketBuilder {
  readonly number: number;
  /** When the packet is sent. */
  readonly now: Milliseconds;
  ackEliciting = false;
  isMtuProbe = false;
  readonly #sessionId: bigint;
  readonly #maxBytes: number;
  readonly #room: PacketRoom | undefined;
  readonly #frames: SentFrame[] = [];
  #writer: PacketWriter | undefined;

  constructor(
    number: number,
    sessionId: bigint,
    maxBytes: number,
    now: Milliseconds,
    room?: PacketRoom,
  ) {
    this.number = number;
    this.now = now;
    this.#sessionId = sessionId;
    this.#maxBytes = maxBytes;
    this.#room = room;
  }

  get #open(): PacketWriter {
    return this.#writer ??= new PacketWriter(
      this.number,
      this.#sessionId,
      this.#maxBytes,
      this.#room,
    );
  }

  /** Payload bytes that one more frame may carry; negative where not even its header fits. */
  get remaining(): number {
    return this.#open.remaining;
  }

  /** Whether there is no frame in it. */
  get isEmpty(): boolean {
    return this.#writer === undefined || this.#writer.length === 0;
  }

  /** Adds a frame that wants to be acknowledged, and returns its payload to be filled. */
  frame(type: MessageType, flags: number, requestId: number, payloadBytes: number): Uint8Array {
    this.ackEliciting = true;
    return this.#open.frame(type, flags, requestId, payloadBytes);
  }

  /** Adds a frame that elicits no acknowledgement: an Ack. */
  quietFrame(type: MessageType, flags: number, payloadBytes: number): Uint8Array {
    return this.#open.frame(type, flags, 0, payloadBytes);
  }

  /** Lets `owner` know what becomes of the frame that was just added. */
  track(owner: SentOwner, start: number, end: number): void {
    this.#frames.push({ owner, start, end });
  }

  /** The packet's bytes, and the record of it for loss recovery. */
  finish(): { bytes: Uint8Array; sent: SentPacket } {
    const bytes = this.#open.finish();
    const sent: SentPacket = {
      number: this.number,
      sentAt: this.now,
      bytes: bytes.length,
      ackEliciting: this.ackEliciting,
      isMtuProbe: this.isMtuProbe,
      frames: this.#frames,
    };
    return { bytes, sent };
  }
}

/** A place that frames come from. */
interface Source {
  /** Whether `pack` would put something into an empty packet. */
  readonly wantsToSend: boolean;
}

/** A source of frames that go before those of any request. */
export interface FrameSource extends Source {
  /** Puts as many frames into the packet as fit and there are. */
  pack(builder: PacketBuilder): void;
}

/** A source of what belongs to requests, which is more and less urgent. */
export interface RequestFrameSource extends Source {
  /** Puts as many frames of one urgency into the packet as fit and there are. */
  pack(builder: PacketBuilder, urgency: number): void;
}
