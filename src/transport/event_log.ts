// What a transport does, event by event, in the words of qlog (draft-ietf-quic-qlog-quic-events), for a person to read.

import type { Milliseconds } from "../base/core.ts";
import { codePointName } from "../base/code_points.ts";
import { decodeAck } from "../wire/ack.ts";
import { decodeCredit } from "../wire/credit.ts";
import { decodeFragment } from "../wire/fragment.ts";
import { decodePacket, Flag, type Frame, MessageType } from "../wire/frame.ts";
import { decodeStreamData } from "../wire/stream_data.ts";
import { decodeStreamEnd } from "../wire/stream_end.ts";
import type { CongestionController } from "./congestion.ts";
import type { LossState } from "./loss_state.ts";
import type { PathMtu } from "./path_mtu.ts";
import type { SentPacket } from "./sent_packet.ts";

/** An event; `data` has nothing in it that JSON has not. */
export interface LogEvent {
  /** When it happened. */
  readonly time: Milliseconds;
  /** Category and type: `transport:packet_sent`, `recovery:metrics_updated`. */
  readonly name: string;
  /** What there is to say of it. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Takes the events of one session. */
export interface EventLog {
  /** Something happened. */
  add(event: LogEvent): void;
  /** The session is over. */
  close(): void;
}

/** What numbers are taken from. */
export interface RecordedParts {
  readonly loss: LossState;
  readonly congestion: CongestionController;
  readonly pathMtu: PathMtu;
}

/** Turns what happens to a transport into events. */
export class EventRecorder {
  readonly #log: EventLog;
  readonly #parts: RecordedParts;
  #metrics = "";
  #packetBytes = 0;
  #state = "";
  #paths = 0;

  constructor(log: EventLog, parts: RecordedParts) {
    this.#log = log;
    this.#parts = parts;
    parts.loss.onPacketLost = (packet, now) => this.#onLost(packet, now);
  }

  /** A packet was sent; `number` in full. */
  onSent(bytes: Uint8Array, { number, sentAt, isMtuProbe }: SentPacket): void {
    this.#add(sentAt, "transport:packet_sent", {
      header: { packet_number: number },
      raw: { length: bytes.length },
      frames: framesOf(bytes),
      ...(isMtuProbe && { is_mtu_probe_packet: true }),
    });
  }

  /** A packet was received that is well formed and new. */
  onReceived(bytes: Uint8Array, number: number, now: Milliseconds): void {
    this.#add(now, "transport:packet_received", {
      header: { packet_number: number },
      raw: { length: bytes.length },
      frames: framesOf(bytes),
    });
  }

  #onLost({ number, bytes, isMtuProbe }: SentPacket, now: Milliseconds): void {
    this.#add(now, "recovery:packet_lost", {
      header: { packet_number: number },
      raw: { length: bytes },
      ...(isMtuProbe && { is_mtu_probe_packet: true }),
    });
  }

  /** The path is another one. */
  onPathChanged(now: Milliseconds): void {
    this.#add(now, "connectivity:path_assigned", { path_id: `${++this.#paths}` });
    this.onChange(now);
  }

  /** The timer of loss detection ran out. */
  onTimer(outcome: string, now: Milliseconds): void {
    const timer = outcome === "lost" ? "ack" : "pto";
    this.#add(now, "recovery:loss_timer_updated", { event_type: "expired", timer_type: timer });
    this.onChange(now);
  }

  /** Records the numbers that have changed since the last time. */
  onChange(now: Milliseconds): void {
    const { loss, congestion, pathMtu } = this.#parts;
    const { congestionWindow, ssthresh } = congestion;
    const metrics = {
      min_rtt: rounded(loss.rtt.minRtt),
      smoothed_rtt: rounded(loss.rtt.smoothedRtt),
      latest_rtt: rounded(loss.rtt.latestRtt),
      rtt_variance: rounded(loss.rtt.rttvar),
      pto_count: loss.ptoCount,
      congestion_window: Math.floor(congestionWindow),
      bytes_in_flight: loss.bytesInFlight,
      packets_in_flight: loss.packetsInFlight,
      ...(ssthresh < Infinity && { ssthresh: Math.floor(ssthresh) }),
    };
    const text = JSON.stringify(metrics);
    if (text !== this.#metrics) this.#add(now, "recovery:metrics_updated", metrics);
    this.#metrics = text;
    const state = congestionWindow < ssthresh ? "slow_start" : "congestion_avoidance";
    if (state !== this.#state) {
      this.#add(now, "recovery:congestion_state_updated", { old: this.#state, new: state });
    }
    this.#state = state;
    if (pathMtu.packetBytes !== this.#packetBytes) {
      const mtu = { old: this.#packetBytes, new: pathMtu.packetBytes };
      this.#add(now, "connectivity:mtu_updated", mtu);
    }
    this.#packetBytes = pathMtu.packetBytes;
  }

  #add(time: Milliseconds, name: string, data: Readonly<Record<string, unknown>>): void {
    this.#log.add({ time, name, data });
  }

  /** The transport is closed. */
  close(): void {
    this.#log.close();
  }
}

function rounded(milliseconds: number): number {
  return Math.round(1_000 * milliseconds) / 1_000;
}

function framesOf(packet: Uint8Array): readonly Record<string, unknown>[] {
  return decodePacket(packet).frames.map((frame) => ({
    frame_type: codePointName(MessageType, frame.type).toLowerCase(),
    ...(frame.requestId !== 0 && { request_id: frame.requestId }),
    ...contentOf(frame),
  }));
}

/** What matters of a frame: never what it says to an application. */
function contentOf({ type, flags, payload }: Frame): Record<string, unknown> {
  const fin = (flags & Flag.FIN) !== 0;
  if (type === MessageType.ACK) {
    const { largest, delayUs, bitmap } = decodeAck(payload);
    return { largest, ack_delay: delayUs / 1_000, bitmap_length: bitmap.length };
  }
  if (type === MessageType.STREAM_DATA) {
    const { streamId, offset, bytes } = decodeStreamData(payload, fin);
    return { stream_id: streamId, offset, length: bytes.length, ...(fin && { fin }) };
  }
  if (type === MessageType.CREDIT) {
    const { streamId, maximum } = decodeCredit(payload);
    const blocked = (flags & Flag.BLOCKED) !== 0;
    return { stream_id: streamId, maximum, ...(blocked && { blocked }) };
  }
  if (type === MessageType.STREAM_END) {
    const { streamId, finalOffset } = decodeStreamEnd(payload);
    return { stream_id: streamId, final_size: finalOffset };
  }
  if ((flags & Flag.FRAGMENT) !== 0) {
    const { offset, totalBytes, bytes } = decodeFragment(payload);
    return { offset, length: bytes.length, total_length: totalBytes };
  }
  return { length: payload.length };
}
