// A bulk TCP flow with SACK and no pacing, as Linux sends it, for SQP to share a link with.

import type { Milliseconds } from "../../src/base/core.ts";
import type { LinkContext, LinkNode } from "../harness/link.ts";

/** Bytes of a full segment with its headers, as a link carries it, and of data in it. */
const SEGMENT_BYTES = 1_500;
const SEGMENT_DATA_BYTES = 1_448;
const BETA = { cubic: 0.7, newreno: 0.5 };
const C = 0.4;
const ALPHA = (3 * (1 - BETA.cubic)) / (1 + BETA.cubic);
const RTO_MS_MIN = 200;
/** Segments after which a receiver acknowledges, and how long one may wait (RFC 5681, section 4.2; Linux). */
const ACK_EVERY_SEGMENTS = 2;
const ACK_DELAY_MS = 40;

/** Runs something after a time; the simulation's. */
export interface Clock {
  readonly now: Milliseconds;
  after(ms: number, run: () => void): void;
}

/** How the window grows, and what is left of it after a loss. */
export type TcpCongestion = keyof typeof BETA;

/** Sends for ever. The node is the bottleneck that it shares; acknowledgements come back after a delay alone. */
export class TcpFlow {
  /** Bytes of data that have arrived. */
  arrivedBytes = 0;
  isStopped = false;
  readonly #clock: Clock;
  readonly #bottleneck: LinkNode;
  readonly #context: LinkContext;
  readonly #delayMs: number;
  readonly #congestion: TcpCongestion;
  /** Segments: window and threshold in segments, numbers in order of sending, each once. */
  #window = 10;
  #threshold = Infinity;
  #next = 0;
  readonly #inFlight = new Map<number, Milliseconds>();
  #recoveryEnd = -1;
  #windowMax = 0;
  #epochStart: Milliseconds | undefined;
  #kSeconds = 0;
  #windowOfReno = 0;
  #smoothedRtt = 0;
  #timer = 0;
  /** The receiver's: segments that it has not acknowledged, and the largest that it has received. */
  #unacked: number[] = [];
  #largestArrived = -1;

  constructor(
    clock: Clock,
    bottleneck: LinkNode,
    context: LinkContext,
    { delayMs, congestion }: { readonly delayMs: number; readonly congestion: TcpCongestion },
  ) {
    this.#congestion = congestion;
    this.#clock = clock;
    this.#bottleneck = bottleneck;
    this.#context = context;
    this.#delayMs = delayMs;
  }

  /** Begins. */
  start(): void {
    this.#send();
  }

  #send(): void {
    while (!this.isStopped && this.#inFlight.size < Math.floor(this.#window)) {
      const { now } = this.#clock;
      const number = this.#next++;
      this.#inFlight.set(number, now);
      const segment = { bytes: new Uint8Array(SEGMENT_BYTES), at: now };
      for (const { at } of this.#bottleneck(segment, this.#context)) {
        this.#clock.after(at - now + this.#delayMs, () => this.#onArrival(number));
      }
    }
    this.#armTimer();
  }

  #onArrival(number: number): void {
    this.arrivedBytes += SEGMENT_DATA_BYTES;
    const isInOrder = number === this.#largestArrived + 1;
    this.#largestArrived = Math.max(this.#largestArrived, number);
    this.#unacked.push(number);
    if (!isInOrder || this.#unacked.length >= ACK_EVERY_SEGMENTS) return this.#sendAck();
    this.#clock.after(ACK_DELAY_MS, () => {
      if (this.#unacked[0] === number) this.#sendAck();
    });
  }

  #sendAck(): void {
    const numbers = this.#unacked.splice(0);
    this.#clock.after(this.#delayMs, () => numbers.forEach((number) => this.#onAck(number)));
  }

  #onAck(number: number): void {
    const sentAt = this.#inFlight.get(number);
    if (sentAt === undefined || this.isStopped) return;
    const rtt = this.#clock.now - sentAt;
    this.#smoothedRtt = this.#smoothedRtt === 0 ? rtt : (7 * this.#smoothedRtt + rtt) / 8;
    this.#inFlight.delete(number);
    // Three segments above a hole were acknowledged: it is lost, and its data goes out under a new number here.
    for (const older of this.#inFlight.keys()) {
      if (older + 3 > number) break;
      this.#inFlight.delete(older);
      this.#onLoss(older);
    }
    if (number > this.#recoveryEnd) this.#grow();
    this.#send();
  }

  #grow(): void {
    if (this.#window < this.#threshold) {
      this.#window++;
      return;
    }
    if (this.#congestion === "newreno") {
      this.#window += 1 / this.#window;
      return;
    }
    const { now } = this.#clock;
    if (this.#epochStart === undefined) {
      this.#epochStart = now;
      this.#windowMax = Math.max(this.#windowMax, this.#window);
      this.#kSeconds = Math.cbrt((this.#windowMax - this.#window) / C);
      this.#windowOfReno = this.#window;
    }
    const seconds = (now + this.#smoothedRtt - this.#epochStart) / 1_000;
    const target = C * (seconds - this.#kSeconds) ** 3 + this.#windowMax;
    this.#windowOfReno += (this.#windowOfReno < this.#windowMax ? ALPHA : 1) / this.#window;
    const growth = Math.min(Math.max(target, this.#window), 1.5 * this.#window) - this.#window;
    this.#window = Math.max(this.#window + growth / this.#window, this.#windowOfReno);
  }

  #onLoss(number: number): void {
    if (number <= this.#recoveryEnd) return;
    this.#recoveryEnd = this.#next - 1;
    const beta = BETA[this.#congestion];
    const isLower = this.#window < this.#windowMax;
    this.#windowMax = isLower ? (this.#window * (1 + beta)) / 2 : this.#window;
    this.#window = Math.max(2, this.#window * beta);
    this.#threshold = this.#window;
    this.#epochStart = undefined;
  }

  #armTimer(): void {
    const timer = ++this.#timer;
    const ms = Math.max(RTO_MS_MIN, 2 * this.#smoothedRtt);
    this.#clock.after(ms, () => {
      if (timer !== this.#timer || this.isStopped) return;
      // Nothing has come for long: all is lost, and slow start begins again.
      this.#inFlight.clear();
      this.#onLoss(this.#next);
      this.#window = 2;
      this.#send();
    });
  }
}
