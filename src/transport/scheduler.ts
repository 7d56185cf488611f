// Decides what the next packet carries: acknowledgements, probes, and frames as far as the congestion window allows.

import type { Milliseconds } from "../base/core.ts";
import { ACK_BITMAP_BYTES_MAX, ACK_PREFIX_BYTES } from "../wire/ack.ts";
import { HEADER_BYTES, PacketRoom } from "../wire/frame.ts";
import { LIMITS } from "../wire/limits.ts";
import { URGENCY_FIRST, URGENCY_LAST } from "../wire/urgency.ts";
import type { CongestionController } from "./congestion.ts";
import type { AckState } from "./ack_state.ts";
import type { ControlQueue, ReceiveCredit } from "./credit.ts";
import type { Heartbeats } from "./heartbeats.ts";
import type { LossState } from "./loss_state.ts";
import type { MessageSender } from "./message_sender.ts";
import { Pacer } from "./pacer.ts";
import { type FrameSource, PacketBuilder, type RequestFrameSource } from "./packer.ts";
import type { PathMtu } from "./path_mtu.ts";
import type { SendStreams } from "./send_streams.ts";

/** A packet of an Ack alone, with the longest bitmap. */
const ACK_PACKET_BYTES = HEADER_BYTES + ACK_PREFIX_BYTES + ACK_BITMAP_BYTES_MAX;

/** What a packet may be made of. */
export interface SchedulerParts {
  readonly loss: LossState;
  readonly congestion: CongestionController;
  readonly acks: AckState;
  readonly controls: ControlQueue;
  readonly heartbeats: Heartbeats;
  readonly messages: MessageSender;
  readonly pathMtu: PathMtu;
  readonly streams: SendStreams;
  /** Credit of the session granted to the peer, which a probe repeats where there is nothing else. */
  readonly receiveCredit: ReceiveCredit;
}

/**
 * Fills packets. Acks come first, then control and heartbeats, then requests by their urgency, of each urgency messages
 * and then streams; and packets keep their pace.
 */
export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #pacer = new Pacer();
  /** Where the packets that are sent at once are written, one after the other; none is kept between. */
  #room: PacketRoom | undefined;
  readonly #sources: readonly FrameSource[];
  readonly #requestSources: readonly RequestFrameSource[];

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#sources = [parts.controls, parts.heartbeats];
    this.#requestSources = [parts.messages, parts.streams];
  }

  get #wantsToSend(): boolean {
    this.#parts.streams.takeTurns();
    return this.#sources.some((source) => source.wantsToSend) ||
      this.#requestSources.some((source) => source.wantsToSend);
  }

  /**
   * The next packet, `undefined` where there is nothing to send or nothing may be sent. It is written over the one
   * before.
   */
  nextPacket(sessionId: bigint, now: Milliseconds): PacketBuilder | undefined {
    const builder = this.#fillPacket(sessionId, now);
    if (builder === undefined) this.#room = undefined;
    return builder;
  }

  #fillPacket(sessionId: bigint, now: Milliseconds): PacketBuilder | undefined {
    const { loss, acks, messages, pathMtu } = this.#parts;
    const maxPacketBytes = pathMtu.packetBytes;
    this.#pacer.release();
    const hasWindow = loss.maySend(maxPacketBytes);
    if (hasWindow && loss.probesToSend > 0) this.#prepareProbe();
    const wants = this.#wantsToSend;
    // Where the window holds nothing back, it is the application or flow control that does (RFC 9002, section 7.8).
    loss.limited = hasWindow && !wants;
    const open = hasWindow && wants && this.#isPaced(maxPacketBytes, now);
    if (this.#mayProbeMtu(now)) {
      const probe = this.#newPacket(sessionId, pathMtu.probeBytes, now);
      pathMtu.packProbe(probe);
      return probe;
    }
    const sends = wants && (open || messages.hasLast);
    if (!sends && acks.deadline() > now) return undefined;

    const maxBytes = sends ? maxPacketBytes : ACK_PACKET_BYTES;
    const builder = this.#newPacket(sessionId, maxBytes, now);
    // "An endpoint SHOULD send an ACK frame with other frames when there are new ack-eliciting packets to
    // acknowledge" (RFC 9000, section 13.2.1).
    if (acks.isPending) acks.write(builder, now);
    if (sends) this.#packFrames(builder, open);
    return builder.isEmpty ? undefined : builder;
  }

  #newPacket(sessionId: bigint, maxBytes: number, now: Milliseconds): PacketBuilder {
    this.#room ??= new PacketRoom(LIMITS.datagramBytesMax);
    return new PacketBuilder(this.#parts.loss.nextNumber, sessionId, maxBytes, now, this.#room);
  }

  /** Whether a larger packet may be tried now: beside others, within the window, and not as a probe of a timeout. */
  #mayProbeMtu(now: Milliseconds): boolean {
    const { loss, pathMtu } = this.#parts;
    return loss.packetsInFlight > 0 && !loss.isExempt && loss.maySend(pathMtu.probeBytes) &&
      pathMtu.wantsProbe(loss.packetsAckedOnPath, now);
  }

  /** Whether the pace lets a packet go now. */
  #isPaced(maxPacketBytes: number, now: Milliseconds): boolean {
    const { loss, congestion } = this.#parts;
    if (loss.isExempt) return true;
    const { congestionWindow, ssthresh } = congestion;
    const { smoothedRtt } = loss.rtt;
    return this.#pacer.maySend({ congestionWindow, ssthresh, smoothedRtt, maxPacketBytes }, now);
  }

  /** When a packet may go that the pace holds back. */
  deadline(): Milliseconds {
    return this.#pacer.heldUntil;
  }

  /** An ack-eliciting packet was sent. */
  onPacketSent(lengthBytes: number): void {
    this.#pacer.onPacketSent(lengthBytes);
  }

  #packFrames(builder: PacketBuilder, open: boolean): void {
    const { messages } = this.#parts;
    if (!open) messages.packLast(builder);
    else if (messages.hasHandshakeRequest) messages.packHandshakeRequest(builder);
    else this.#packAll(builder);
  }

  #packAll(builder: PacketBuilder): void {
    for (const source of this.#sources) source.pack(builder);
    // "sending higher-urgency responses before lower-urgency responses" (RFC 9218, section 10).
    for (let urgency = URGENCY_FIRST; urgency <= URGENCY_LAST; urgency++) {
      for (const source of this.#requestSources) source.pack(builder, urgency);
    }
  }

  /**
   * Sees to it that a probe has something to carry: the oldest data that was not acknowledged, which the probe timeout
   * has had sent again ("Implementations MAY use alternative strategies for determining the content of probe
   * packets", RFC 9002, section 6.2.4), whatever else waits, or that data once more.
   */
  #prepareProbe(): void {
    // Of what a client has sent, nothing is of use to it before the gate lets it in, which waits for one packet.
    this.#parts.messages.repeatHandshakeRequest();
    if (this.#wantsToSend) return;
    this.#parts.loss.repeatOldest(1);
    if (this.#wantsToSend) return;
    // "When there is no data to send, the sender SHOULD send a PING or other ack-eliciting frame" (RFC 9002,
    // section 6.2.4): credit that the peer knows of already.
    this.#parts.receiveCredit.repeat();
  }
}
