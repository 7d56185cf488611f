// The size of packets that the path carries: probed for, and given up where it swallows them (RFC 8899).

import type { Milliseconds } from "../base/core.ts";
import { encodeHeartbeat, HeartbeatKind } from "../wire/heartbeat_payload.ts";
import { HEADER_BYTES, MessageType } from "../wire/frame.ts";
import {
  BLACK_HOLE_LOSSES,
  BLACK_HOLE_PROBE_TIMEOUTS,
  MTU_PROBE_AFTER_PACKETS,
  MTU_PROBES_MAX,
  MTU_RAISE_MS,
  MTU_RAISE_MS_MIN,
  MTU_STEP_BYTES,
  WHOLE_PAYLOAD_BYTES_MAX,
} from "./limits.ts";
import type { PacketBuilder } from "./packer.ts";
import type { SentOwner } from "./sent_packet.ts";

/** Bytes of the payload of a Heartbeat without padding. */
const HEARTBEAT_BYTES = 9;

/**
 * Searches for the largest packet, one probe at a time, in packets that are sent for nothing else. It begins with the
 * largest that may be, because most paths carry that, and halves what is left where probes of a size are lost.
 */
export class PathMtu implements SentOwner {
  /** Bytes of a packet that the path is taken to carry. */
  packetBytes: number;
  #baseBytes: number;
  #limitBytes: number;
  /** Bytes of the largest packet that may still be found. */
  #upperBytes: number;
  /** Bytes of the probe that is under way, or that the search goes on with. */
  #candidateBytes: number;
  #isProbeUnderWay = false;
  #probesLost = 0;
  /** Losses of nothing but packets above the base since one arrived. */
  #largeLost = 0;
  #raiseAt: Milliseconds = 0;
  #raiseMs = MTU_RAISE_MS_MIN;
  /** Counts the paths, so that a probe of another one proves nothing. */
  #path = 0;

  constructor(baseBytes: number, limitBytes: number) {
    this.packetBytes = baseBytes;
    this.#baseBytes = baseBytes;
    this.#limitBytes = Math.max(baseBytes, limitBytes);
    this.#upperBytes = this.#limitBytes;
    this.#candidateBytes = this.#limitBytes;
  }

  /** Another path: all that was found is forgotten. */
  restart(baseBytes: number, limitBytes: number): void {
    this.packetBytes = baseBytes;
    this.#baseBytes = baseBytes;
    this.#limitBytes = Math.max(baseBytes, limitBytes);
    this.#largeLost = 0;
    this.#raiseAt = 0;
    this.#raiseMs = MTU_RAISE_MS_MIN;
    this.#path++;
    this.#beginSearch();
  }

  #beginSearch(): void {
    this.#upperBytes = this.#limitBytes;
    this.#candidateBytes = this.#limitBytes;
    this.#isProbeUnderWay = false;
    this.#probesLost = 0;
  }

  /** Whether a probe should go out now, on a path over which `packetsAcked` packets have arrived. */
  wantsProbe(packetsAcked: number, now: Milliseconds): boolean {
    if (this.packetBytes >= this.#limitBytes || this.#isProbeUnderWay) return false;
    if (packetsAcked < MTU_PROBE_AFTER_PACKETS || now < this.#raiseAt) return false;
    if (this.#upperBytes - this.packetBytes >= MTU_STEP_BYTES) return true;
    // The search is over. "PMTU_RAISE_TIMER [...] to test whether the PMTU has increased" (RFC 8899, section 5.1.1).
    this.#raiseAt = now + MTU_RAISE_MS;
    this.#beginSearch();
    return false;
  }

  /** Bytes of the packet of the next probe. */
  get probeBytes(): number {
    return this.#candidateBytes;
  }

  /** Fills a packet of {@linkcode PathMtu.probeBytes} with Heartbeats that nobody answers, and their padding. */
  packProbe(builder: PacketBuilder): void {
    for (let room; (room = builder.remaining) >= HEARTBEAT_BYTES;) {
      const isLast = room <= WHOLE_PAYLOAD_BYTES_MAX;
      // What is left must hold another frame.
      const most = Math.min(WHOLE_PAYLOAD_BYTES_MAX, room - HEADER_BYTES - HEARTBEAT_BYTES);
      const paddingBytes = (isLast ? room : most) - HEARTBEAT_BYTES;
      const payload = encodeHeartbeat({ kind: HeartbeatKind.REPLY, token: 0n, paddingBytes });
      builder.frame(MessageType.HEARTBEAT, 0, 0, payload.length).set(payload);
    }
    builder.track(this, this.#candidateBytes, this.#path);
    builder.isMtuProbe = true;
    this.#isProbeUnderWay = true;
  }

  /** A probe has arrived, perhaps after it was given up. */
  onAcked(lengthBytes: number, path: number): void {
    if (path !== this.#path) return;
    if (lengthBytes > this.#limitBytes || lengthBytes <= this.packetBytes) return;
    this.packetBytes = lengthBytes;
    this.#largeLost = 0;
    this.#isProbeUnderWay = false;
    this.#probesLost = 0;
    this.#chooseCandidate();
  }

  /** A probe was lost. */
  onLost(lengthBytes: number, path: number): void {
    if (path !== this.#path) return;
    if (lengthBytes !== this.#candidateBytes || !this.#isProbeUnderWay) return;
    this.#isProbeUnderWay = false;
    // "MAX_PROBES: [...] the maximum value of the PROBE_COUNT counter" (RFC 8899, section 5.1.2).
    if (++this.#probesLost < MTU_PROBES_MAX) return;
    this.#probesLost = 0;
    this.#upperBytes = lengthBytes;
    this.#chooseCandidate();
  }

  #chooseCandidate(): void {
    this.#candidateBytes = Math.ceil((this.packetBytes + this.#upperBytes) / 2);
  }

  /** A packet that is no probe has arrived. */
  onPacketAcked(lengthBytes: number): void {
    if (lengthBytes > this.#baseBytes) this.#largeLost = 0;
  }

  /** Packets that are no probes were lost together, the smallest of `smallestBytes`. */
  onPacketsLost(smallestBytes: number, now: Milliseconds): void {
    if (smallestBytes <= this.#baseBytes) return;
    if (++this.#largeLost >= BLACK_HOLE_LOSSES) this.#fallBack(now);
  }

  /** So many probe timeouts in a row had no answer. */
  onProbeTimeout(ptoCount: number, now: Milliseconds): void {
    if (ptoCount >= BLACK_HOLE_PROBE_TIMEOUTS && this.packetBytes > this.#baseBytes) {
      this.#fallBack(now);
    }
  }

  /** "the DPLPMTUD sender [...] reduces the PLPMTU to BASE_PLPMTU" (RFC 8899, section 5.2), and tries again later. */
  #fallBack(now: Milliseconds): void {
    this.packetBytes = this.#baseBytes;
    this.#largeLost = 0;
    this.#raiseAt = now + this.#raiseMs;
    this.#raiseMs = Math.min(2 * this.#raiseMs, MTU_RAISE_MS);
    this.#beginSearch();
  }
}
