// Sent packets: what is in flight, what was lost, when to probe (RFC 9002, section 6 and appendix A).

import { type Milliseconds, NEVER } from "../base/core.ts";
import { type Ack, isAcked } from "../wire/ack.ts";
import type { CongestionController } from "./congestion.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import {
  ACK_ONLY_HISTORY_PACKETS,
  GRANULARITY_MS,
  LOST_HISTORY_PROBE_TIMEOUTS,
  PACKETS_IN_FLIGHT_MAX,
  PERSISTENT_CONGESTION_THRESHOLD,
  PROBES_PER_TIMEOUT,
} from "./limits.ts";
import { LostPackets } from "./lost_packets.ts";
import type { PathMtu } from "./path_mtu.ts";
import { ReorderingThresholds } from "./reordering.ts";
import { RttEstimator } from "./rtt.ts";
import type { SentPacket } from "./sent_packet.ts";

/** A run of lost packets in which nothing was acknowledged, for persistent congestion (section 7.6). */
interface LossRun {
  nextNumber: number;
  firstSentAt: Milliseconds;
  lastSentAt: Milliseconds;
}

/** What happened at the loss detection timer. */
export type LossTimeout = "lost" | "probe" | "dead" | "none";

/** When silence counts as death; see `TransportLimits`. */
export interface DeadLimits {
  readonly deadProbeTimeoutsMin: number;
  readonly deadSilenceMs: number;
}

/** The sender's half of loss recovery. Sent = acknowledged + lost + in flight, always. */
export class LossState {
  readonly rtt: RttEstimator = new RttEstimator();
  /** Ack-eliciting packets by their fate. */
  packetsSent = 0;
  packetsAcked = 0;
  /** Those of them that were sent on the present path. */
  packetsAckedOnPath = 0;
  packetsLost = 0;
  /** Those of the lost ones that were acknowledged after all. */
  packetsLate = 0;
  /** Of the present path. */
  bytesInFlight = 0;
  ptoCount = 0;
  /** Probes that a probe timeout still wants sent, whatever the congestion window says. */
  probesToSend = 0;
  /** Told of each packet that is declared lost. */
  onPacketLost: ((packet: SentPacket, now: Milliseconds) => void) | undefined;
  /** Whether the window was not used up when there was last a chance to send. */
  limited = true;
  readonly #congestion: CongestionController;
  readonly #deadLimits: DeadLimits;
  readonly #pathMtu: PathMtu;
  readonly #sent = new Map<number, SentPacket>();
  readonly #lost = new LostPackets();
  #thresholds = new ReorderingThresholds();
  /** The number of the first packet of the present path. */
  #pathStart = 0;
  #ackOnlyTracked = 0;
  #nextNumber = 0;
  #largestAcked = -1;
  #lossTime: Milliseconds = NEVER;
  #lastElicitingSentAt: Milliseconds = 0;
  #recoveryPacketAllowed = false;
  #silentSince: Milliseconds = 0;
  #dead = false;
  readonly #lossRun: LossRun = { nextNumber: -1, firstSentAt: NEVER, lastSentAt: 0 };

  constructor(congestion: CongestionController, deadLimits: DeadLimits, pathMtu: PathMtu) {
    this.#congestion = congestion;
    this.#pathMtu = pathMtu;
    this.#deadLimits = deadLimits;
  }

  /** The number of the next packet; no number is used twice. */
  get nextNumber(): number {
    return this.#nextNumber;
  }

  /** Ack-eliciting packets that are neither acknowledged nor lost. */
  get packetsInFlight(): number {
    return this.#sent.size - this.#ackOnlyTracked;
  }

  /** Whether the next packet goes out whatever the congestion window and the pace say. */
  get isExempt(): boolean {
    // "unless the packet is sent on a PTO timer expiration [...] or when entering recovery" (section 7).
    return this.probesToSend > 0 || this.#recoveryPacketAllowed;
  }

  /** Whether a packet of full size may be sent now. */
  maySend(maxPacketBytes: number): boolean {
    // "An endpoint MUST NOT send a packet if it would cause bytes_in_flight [...] to be larger than the congestion
    // window" (section 7).
    if (this.isExempt) return true;
    return this.bytesInFlight + maxPacketBytes <= this.#congestion.congestionWindow &&
      // So many that one Ack can report all of them, however small they are.
      this.packetsInFlight < PACKETS_IN_FLIGHT_MAX;
  }

  /** Records a packet with the number {@linkcode nextNumber}. */
  onPacketSent(packet: SentPacket): void {
    this.#nextNumber = packet.number + 1;
    if (!packet.ackEliciting) {
      if (this.#ackOnlyTracked >= ACK_ONLY_HISTORY_PACKETS) return;
      this.#ackOnlyTracked++;
      this.#sent.set(packet.number, packet);
      return;
    }
    if (this.packetsInFlight === 0) this.#silentSince = Math.max(this.#silentSince, packet.sentAt);
    this.#sent.set(packet.number, packet);
    this.packetsSent++;
    this.bytesInFlight += packet.bytes;
    this.#lastElicitingSentAt = packet.sentAt;
    if (this.probesToSend > 0) this.probesToSend--;
    else this.#recoveryPacketAllowed = false;
    this.#congestion.onPacketSent(packet);
  }

  /** Any packet of the peer arrived, so it lives. */
  onPacketReceived(now: Milliseconds): void {
    this.#silentSince = now;
    this.#dead = false;
  }

  /**
   * The path is another one, of which a round-trip time may be known. What is in flight stays so, and what is oldest of
   * it is sent again at once: whoever leaves a path hears nothing there any more.
   */
  changePath(initialRttMs?: number): void {
    // "an endpoint MUST immediately reset the congestion controller and round-trip time estimator for the new path to
    // initial values" (RFC 9000, section 9.4).
    this.rtt.restart(initialRttMs);
    this.#congestion.restart();
    this.#pathStart = this.#nextNumber;
    this.bytesInFlight = 0;
    this.packetsAckedOnPath = 0;
    this.ptoCount = 0;
    this.probesToSend = 0;
    this.#recoveryPacketAllowed = false;
    this.#thresholds = new ReorderingThresholds();
    this.#lost.clear();
    this.#lost.forgetPeriod();
    this.repeatOldest(PROBES_PER_TIMEOUT);
  }

  /** "Packets sent on the old path MUST NOT contribute to congestion control or RTT estimation" (RFC 9000, 9.4). */
  #isOfPath({ number }: SentPacket): boolean {
    return number >= this.#pathStart;
  }

  /** Handles an Ack (appendix A.7). Throws {@linkcode TransportFault} where it reports what was never sent. */
  onAckReceived(ack: Ack, now: Milliseconds): void {
    // "An endpoint SHOULD treat receipt of an acknowledgment for a packet it did not send as a connection error"
    // (RFC 9000, section 13.1).
    if (ack.largest >= this.#nextNumber) {
      throw new TransportFault(TransportFaultCode.ACK_NEVER_SENT, `packet ${ack.largest}`);
    }
    this.#largestAcked = Math.max(this.#largestAcked, ack.largest);
    const acked = this.#takeAcked(ack);
    this.#noticeLate(ack);
    if (acked.length === 0) return;
    const largest = acked.at(-1)!;
    // "the largest acknowledged packet number is newly acknowledged, and [...] at least one of the newly
    // acknowledged packets was ack-eliciting" (section 5.1).
    const isSample = largest.number === ack.largest && this.#isOfPath(largest) &&
      acked.some((packet) => packet.ackEliciting);
    if (isSample) {
      this.rtt.update(now - largest.sentAt, ack.delayUs / 1000, now);
    }
    this.#detectLost(now);
    for (const packet of acked) this.#onAcked(packet, now);
    // "The PTO backoff factor is reset when an acknowledgment is received" (section 6.2.1).
    this.ptoCount = 0;
    this.probesToSend = 0;
  }

  /** Takes the newly acknowledged packets out of the table, in rising order of their numbers. */
  #takeAcked(ack: Ack): SentPacket[] {
    const acked: SentPacket[] = [];
    for (const packet of this.#sent.values()) {
      if (packet.number > ack.largest) break;
      if (!isAcked(ack, packet.number)) continue;
      this.#remove(packet);
      acked.push(packet);
    }
    return acked;
  }

  /**
   * Notices packets that were declared lost and arrived. Where all packets that a recovery period was entered for did,
   * its reduction of the window is undone.
   */
  #noticeLate(ack: Ack): void {
    const { late, isPeriodSpurious } = this.#lost.takeAcked(ack);
    for (const { packet, distance } of late) {
      this.packetsLate++;
      this.#thresholds.onLate(distance);
      for (const { owner, start, end } of packet.frames) owner.onAcked(start, end);
    }
    if (isPeriodSpurious) this.#congestion.onSpuriousLoss();
  }

  #remove(packet: SentPacket): void {
    this.#sent.delete(packet.number);
    if (!packet.ackEliciting) this.#ackOnlyTracked--;
    else if (this.#isOfPath(packet)) this.bytesInFlight -= packet.bytes;
  }

  #onAcked(packet: SentPacket, now: Milliseconds): void {
    for (const { owner, start, end } of packet.frames) owner.onAcked(start, end);
    if (!packet.ackEliciting) return;
    this.packetsAcked++;
    if (!this.#isOfPath(packet)) return;
    this.packetsAckedOnPath++;
    this.#pathMtu.onPacketAcked(packet.bytes);
    this.#congestion.onPacketAcked(packet, this.rtt, this.limited, now);
  }

  /** Takes lost packets out of the table (appendix A.10), and sets the time at which the next one counts as lost. */
  #detectLost(now: Milliseconds): void {
    // "max(kTimeThreshold * max(smoothed_rtt, latest_rtt), kGranularity)" (section 6.1.2).
    const lossDelay = Math.max(
      this.#thresholds.time * Math.max(this.rtt.smoothedRtt, this.rtt.latestRtt),
      GRANULARITY_MS,
    );
    this.#lossTime = NEVER;
    const lost: SentPacket[] = [];
    for (const packet of this.#sent.values()) {
      // "The packet is unacknowledged, in flight, and was sent prior to an acknowledged packet" (section 6.1).
      if (packet.number > this.#largestAcked) break;
      if (
        packet.number + this.#thresholds.packets <= this.#largestAcked ||
        packet.sentAt + lossDelay <= now
      ) {
        this.#remove(packet);
        this.#extendLossRun(packet);
        if (packet.ackEliciting) this.onPacketLost?.(packet, now);
        if (packet.isMtuProbe || !this.#isOfPath(packet)) this.#onLostApart(packet);
        else if (packet.ackEliciting) lost.push(packet);
      } else if (packet.ackEliciting) {
        this.#lossTime = Math.min(this.#lossTime, packet.sentAt + lossDelay);
      }
    }
    if (lost.length > 0) this.#onLost(lost, now);
  }

  /**
   * A loss that says nothing of congestion on this path: of a packet of another path, or of a probe. "Loss of a QUIC
   * packet that is carried in a PMTU probe is therefore not a reliable indication of congestion and SHOULD NOT trigger
   * a congestion control reaction" (RFC 9000, section 14.4).
   */
  #onLostApart({ ackEliciting, frames }: SentPacket): void {
    if (ackEliciting) this.packetsLost++;
    for (const { owner, start, end } of frames) owner.onLost(start, end);
  }

  #onLost(lost: readonly SentPacket[], now: Milliseconds): void {
    // "If the congestion window is reduced immediately, a single packet can be sent prior to reduction"
    // (section 7.3.2).
    if (this.#congestion.onPacketsLost(lost.at(-1)!.sentAt, now)) {
      this.#recoveryPacketAllowed = true;
      this.#lost.beginPeriod();
      this.#thresholds.onRecoveryPeriod();
    }
    this.#lost.expire(now - this.rtt.probeTimeoutMs * LOST_HISTORY_PROBE_TIMEOUTS);
    for (const packet of lost) {
      this.packetsLost++;
      this.#lost.add(packet, this.#largestAcked);
      for (const { owner, start, end } of packet.frames) owner.onLost(start, end);
    }
    this.#pathMtu.onPacketsLost(Math.min(...lost.map(({ bytes }) => bytes)), now);
    const duration = this.rtt.probeTimeoutMs * PERSISTENT_CONGESTION_THRESHOLD;
    if (this.#lossRun.lastSentAt - this.#lossRun.firstSentAt > duration) {
      this.#congestion.onPersistentCongestion();
      this.#lost.forgetPeriod();
      // "Endpoints SHOULD set the min_rtt to the newest RTT sample after persistent congestion is established"
      // (section 5.2).
      this.rtt.restartMin();
      this.#lossRun.firstSentAt = NEVER;
    }
  }

  /** Packets are lost in the order of their numbers, so a number left out was acknowledged and ends the run. */
  #extendLossRun(packet: SentPacket): void {
    const run = this.#lossRun;
    if (packet.number !== run.nextNumber) run.firstSentAt = NEVER;
    run.nextNumber = packet.number + 1;
    // "These two packets MUST be ack-eliciting"; "a prior RTT sample existed when these two packets were sent"
    // (section 7.6.2).
    const sampleAt = this.rtt.firstSampleAt;
    const counts = packet.ackEliciting && !packet.isMtuProbe;
    if (!counts || sampleAt === undefined || packet.sentAt <= sampleAt) return;
    if (run.firstSentAt === NEVER) run.firstSentAt = packet.sentAt;
    run.lastSentAt = packet.sentAt;
  }

  /** When {@linkcode onTimeout} is due (appendix A.8). */
  deadline(): Milliseconds {
    // "The PTO timer MUST NOT be set if a timer is set for time threshold loss detection" (section 6.2.1).
    if (this.#lossTime !== NEVER) return this.#lossTime;
    if (this.packetsInFlight === 0 || this.#dead) return NEVER;
    // "the PTO period being set to twice its current value" (section 6.2.1).
    return this.#lastElicitingSentAt + this.rtt.probeTimeoutMs * 2 ** this.ptoCount;
  }

  /** Runs the loss detection timer (appendix A.9). After "probe", {@linkcode probesToSend} packets may go out. */
  onTimeout(now: Milliseconds): LossTimeout {
    if (this.deadline() > now) return "none";
    if (this.#lossTime !== NEVER) {
      this.#detectLost(now);
      return "lost";
    }
    // "A PTO timer expiration event does not indicate packet loss and MUST NOT cause prior unacknowledged
    // packets to be marked as lost" (section 6.2).
    this.ptoCount++;
    this.#pathMtu.onProbeTimeout(this.ptoCount, now);
    this.probesToSend = PROBES_PER_TIMEOUT;
    // The deadline is counted from here also where no probe can go out.
    this.#lastElicitingSentAt = now;
    if (
      this.ptoCount >= this.#deadLimits.deadProbeTimeoutsMin &&
      now - this.#silentSince >= this.#deadLimits.deadSilenceMs
    ) {
      this.#dead = true;
      this.probesToSend = 0;
      return "dead";
    }
    return "probe";
  }

  /** Has the content of the `count` oldest packets in flight sent again, without giving the packets up. */
  repeatOldest(count: number): void {
    for (const packet of this.#sent.values()) {
      if (!packet.ackEliciting || packet.isMtuProbe) continue;
      for (const { owner, start, end } of packet.frames) owner.onLost(start, end);
      if (--count <= 0) return;
    }
  }

  /** Forgets all packets. */
  close(): void {
    this.#sent.clear();
    this.#lost.clear();
    this.#ackOnlyTracked = 0;
    this.bytesInFlight = 0;
    this.probesToSend = 0;
    this.#lossTime = NEVER;
  }
}
