// Runs a core on a UDP socket with one timer: datagrams and time in, datagrams out, in bounded turns.

import { type AddressedCore, type Milliseconds, NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { type DatagramSocket, LastAddress, type UdpAddress } from "./socket.ts";

/** Datagrams that are sent before other work of the thread gets its turn. */
const SENDS_PER_TURN_MAX = 32;

/** Sends that the system has not taken yet. */
const SENDS_OPEN_MAX = 1_024;

/** The longest time that one timer is set for; a later deadline takes several. */
const TIMER_MS_MAX = 2_147_483_647;

/** The time on a monotonic clock, in milliseconds since the Unix epoch. */
export function monotonicNow(): Milliseconds {
  return performance.timeOrigin + performance.now();
}

/**
 * A core on a socket. What the socket holds is received before a turn, so that what comes of it is packed together.
 * In each turn it calls `onTurn`, which drains the core's events and may use the core.
 */
export class UdpDriver {
  /** Failures of the socket, which are as good as lost datagrams, by kind. */
  readonly counters: Counters<"received" | "sent" | "receive-failed" | "send-failed"> =
    new Counters();
  readonly #socket: DatagramSocket;
  readonly #core: AddressedCore;
  readonly #onTurn: (now: Milliseconds) => void;
  readonly #address = new LastAddress();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt: Milliseconds = NEVER;
  #openSends = 0;
  /** Whether the system has taken a datagram. Until then it may have the next one overtake the first. */
  #isFirstSent = false;
  #nextTurn: ReturnType<typeof setImmediate> | undefined;
  #isClosed = false;
  readonly #done: Promise<void>;

  constructor(
    socket: DatagramSocket,
    core: AddressedCore,
    onTurn: (now: Milliseconds) => void,
  ) {
    this.#socket = socket;
    this.#core = core;
    this.#onTurn = onTurn;
    this.#done = socket.receive({
      onDatagram: (bytes, from) => this.#onDatagram(bytes, from),
      onReceiveFailed: () => this.counters.add("receive-failed"),
    });
    this.wake();
  }

  /** Has a turn run soon: call after using the core from outside. Calls of one moment share a turn. */
  wake(): void {
    if (this.#nextTurn !== undefined || this.#isClosed) return;
    // What the socket holds is received in microtasks or in one go, so an immediate comes after all of it.
    this.#nextTurn = setImmediate(() => this.#turn());
  }

  /** Closes the socket and the timer. What the core still has to send is sent before. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#flush(monotonicNow());
      this.#isClosed = true;
      clearTimeout(this.#timer);
      clearImmediate(this.#nextTurn);
      await this.#sendsDone();
      // What waited for the first one.
      this.#flush(monotonicNow());
      await this.#sendsDone();
      this.#socket.close();
    }
    await this.#done;
  }

  #onDatagram(bytes: Uint8Array, from: UdpAddress): void {
    if (this.#isClosed) return;
    this.counters.add("received");
    // A core never throws. If it does all the same that is a defect, and not to be hidden.
    this.#core.handleDatagram(bytes, this.#address.textOf(from), monotonicNow());
    this.wake();
  }

  #turn(): void {
    if (this.#isClosed) return;
    const now = monotonicNow();
    if (now >= this.#core.pollTimeout()) this.#core.handleTimeout(now);
    this.#onTurn(now);
    // What woke the driver until here is sent in this turn.
    this.#nextTurn = undefined;
    this.#flush(now);
    // Sending may have brought events about, and events datagrams.
    this.#arm(now);
  }

  #flush(now: Milliseconds): void {
    for (let sent = 0; sent < SENDS_PER_TURN_MAX; sent++) {
      if (this.#openSends >= (this.#isFirstSent ? SENDS_OPEN_MAX : 1)) return;
      const datagram = this.#core.pollTransmit(now);
      if (datagram === undefined) return;
      this.#send(datagram.bytes, this.#address.parse(datagram.address));
    }
    // More is left: others of this thread go first.
    this.wake();
  }

  #send(bytes: Uint8Array, to: UdpAddress): void {
    this.#openSends++;
    this.counters.add("sent");
    // One promise for each datagram, and no closure: there are very many.
    this.#socket.send(bytes, to).then(this.#onSent, this.#onSendFailed);
  }

  readonly #onSent = () => {
    const wasFull = this.#openSends-- >= SENDS_OPEN_MAX || !this.#isFirstSent;
    this.#isFirstSent = true;
    if (wasFull) this.wake();
  };

  readonly #onSendFailed = () => {
    this.counters.add("send-failed");
    this.#onSent();
  };

  async #sendsDone(): Promise<void> {
    while (this.#openSends > 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Sees to it that a turn comes in time. A timer that is early enough stays: what it finds, it is set again for. */
  #arm(now: Milliseconds): void {
    const at = this.#core.pollTimeout();
    // Sending may have ended all there was, and so closed the driver.
    if (at >= this.#timerAt || this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const delayMs = Math.min(Math.max(0, Math.ceil(at - now)), TIMER_MS_MAX);
    this.#timer = setTimeout(() => {
      this.#timerAt = NEVER;
      this.wake();
    }, delayMs);
  }
}
