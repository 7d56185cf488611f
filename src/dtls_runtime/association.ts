// What people see of an association, and the association as sockets carry it: a core, what waits to be read, and what
// waits to be sent.

import { type Milliseconds, NEVER } from "../base/core.ts";
import { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import type { DtlsAssociation } from "../dtls/association.ts";
import { type AssociationError, DtlsError } from "../dtls/errors.ts";
import type { DtlsVersion } from "../dtls/options.ts";
import type { DtlsSession } from "../dtls/session.ts";
import { monotonicNow } from "../net/driver.ts";
import type { UdpAddress } from "../net/socket.ts";
import { AsyncQueue } from "./async_queue.ts";
import type { RuntimeLimits } from "./limits.ts";

/**
 * A connected association: an async iterable of the peer's messages, each the content of one record. Messages may be
 * lost and may come in another order, as datagrams do; none comes twice.
 *
 * A loop over it ends when either side closes, and throws the `AssociationError` that ended it otherwise. Leaving the
 * loop closes nothing.
 */
export interface ConnectedAssociation extends AsyncIterable<Uint8Array>, AsyncDisposable {
  /** The version spoken. */
  readonly version: DtlsVersion;
  /** The protocol that ALPN chose. */
  readonly alpn: string | undefined;
  /** The server name that the client asked for. */
  readonly serverName: string | undefined;
  /** The cipher suite's number; see `CipherSuite`. */
  readonly cipherSuite: number;
  /** The key exchange group's number; see `NamedGroup`. `undefined` where there was no key exchange. */
  readonly group: number | undefined;
  /** Whether a session was resumed. */
  readonly isResumed: boolean;
  /** The identity of the external PSK that vouched for the peer, in this handshake or before a resumption. */
  readonly pskIdentity: Uint8Array | undefined;
  /** The peer's verified certificate in DER; `undefined` where it presented none. `parseCertificate` reads it. */
  readonly peerCertificate: Uint8Array | undefined;
  /** The peer's certificate and those that it sent with it, in DER. */
  readonly peerChain: readonly Uint8Array[];
  /** Where the peer is now: with connection IDs that may change. */
  readonly remoteAddress: UdpAddress;
  /** Bytes of a message that fits one datagram without being split on its way. */
  readonly messageBytesMax: number;
  /** What was dropped of this association, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /**
   * Resolves when it is over and what it held is free: with the error that ended it, with `undefined` where one side
   * closed it.
   */
  readonly closed: Promise<AssociationError | undefined>;
  /**
   * Seals a message at once and sends it soon; the bytes are the caller's again. Resolves when there is room for
   * another one: who awaits each send loses none on this side. Where `sendsMax` wait already the message is dropped,
   * as a network would, and counted. Rejects with `DtlsError`: `not-connected` when the association is over,
   * `record-too-large`, `key-exhausted`.
   */
  send(message: Uint8Array): Promise<void>;
  /**
   * Keying material of this association alone (RFC 5705, RFC 8446 section 7.5). Throws `DtlsError` when the
   * association is over.
   */
  exportKeyingMaterial(label: string, lengthBytes: number, context?: Uint8Array): Uint8Array;
  /**
   * Changes the keys that this side sends with, and asks the peer to change its own where `requestPeer` is true. It
   * happens by itself before a key is worn out. Returns `false` where a change is under way. Throws `DtlsError` when
   * the association is over, or speaks DTLS 1.2 (`wrong-version`).
   */
  updateKeys(options?: { readonly requestPeer?: boolean }): boolean;
  /**
   * Closes in order: what was sent before goes first, then close_notify. Resolves when that is with the system.
   * Harmless when it is closed.
   */
  close(): Promise<void>;
}

/** Why something of an association was dropped beside its core. */
export type RuntimeDropReason = "messages-full" | "sends-full" | "waiting-for-keys" | "after-close";

/** What an association tells its owner, who runs it. */
export interface AssociationOwner {
  /** It wants its turn: output to be polled, a deadline to be looked at. */
  onWork(): void;
  /** Its handshake is complete. */
  onConnected(): void;
  /** A client was given a session to keep. */
  onSession(session: DtlsSession): void;
  /** A server was sent early data. */
  onEarlyData(message: Uint8Array): void;
  /** What of a client's early data was not taken. */
  onEarlyDataLost(messages: readonly Uint8Array[]): void;
  /** Its handshake came to nothing. */
  onHandshakeFailed(error: AssociationError): void;
  /**
   * Everything that it had to say after its end is with the system. Its user hears of the end when this has resolved.
   */
  onSilent(): Promise<void>;
  /** Where its peer is now. */
  address(): UdpAddress;
}

/** An association as its owner runs it. */
export class RunningAssociation implements ConnectedAssociation {
  readonly #core: DtlsAssociation;
  readonly #limits: RuntimeLimits;
  readonly #owner: AssociationOwner;
  readonly #messages: AsyncQueue<Uint8Array>;
  readonly #outgoing = new Queue<Uint8Array>();
  readonly #dropped: Counters<RuntimeDropReason> = new Counters();
  readonly #closed: Promise<AssociationError | undefined>;
  #resolveClosed: (error: AssociationError | undefined) => void = () => {};
  #error: AssociationError | undefined;
  #phase: "handshaking" | "connected" | "ended" = "handshaking";
  #lastMessageAt: Milliseconds;
  /** Since when it is to close, and until when that may wait for what has to go before. */
  #closeAt: Milliseconds = NEVER;
  #isSilent = false;
  /** Those who wait for room in the queue of datagrams. */
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(
    core: DtlsAssociation,
    limits: RuntimeLimits,
    owner: AssociationOwner,
    now: Milliseconds,
  ) {
    this.#core = core;
    this.#limits = limits;
    this.#owner = owner;
    this.#lastMessageAt = now;
    this.#messages = new AsyncQueue({
      itemsMax: limits.messagesMax,
      sizeMax: limits.messagesBytesMax,
      sizeOf: (message) => message.length,
    });
    this.#closed = new Promise((resolve) => this.#resolveClosed = resolve);
  }

  get version(): DtlsVersion {
    return this.#core.version!;
  }

  get alpn(): string | undefined {
    return this.#core.alpn;
  }

  get serverName(): string | undefined {
    return this.#core.serverName;
  }

  get cipherSuite(): number {
    return this.#core.cipherSuite!;
  }

  get group(): number | undefined {
    return this.#core.group;
  }

  get isResumed(): boolean {
    return this.#core.isResumed;
  }

  get pskIdentity(): Uint8Array | undefined {
    return this.#core.pskIdentity;
  }

  get peerCertificate(): Uint8Array | undefined {
    return this.#core.peerChain[0];
  }

  get peerChain(): readonly Uint8Array[] {
    return this.#core.peerChain;
  }

  get remoteAddress(): UdpAddress {
    return this.#owner.address();
  }

  get messageBytesMax(): number {
    return this.#core.applicationBytesMax();
  }

  get drops(): Readonly<Record<string, number>> {
    return { ...this.#core.drops.snapshot(), ...this.#dropped.snapshot() };
  }

  get closed(): Promise<AssociationError | undefined> {
    return this.#closed;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this.#messages[Symbol.asyncIterator]();
  }

  // deno-lint-ignore require-await -- what sealing throws is to reject the promise.
  async send(message: Uint8Array): Promise<void> {
    if (this.#phase !== "connected") {
      throw new DtlsError("not-connected", "the association is closed");
    }
    const { sendsMax } = this.#limits;
    if (this.#outgoing.length >= sendsMax) {
      this.#dropped.add("sends-full");
    } else if (this.#core.isWaitingForKeys) {
      this.#dropped.add("waiting-for-keys");
    } else {
      this.#outgoing.push(this.#core.sealApplicationData(message));
      this.#lastMessageAt = monotonicNow();
      this.#owner.onWork();
    }
    return 2 * this.#outgoing.length > sendsMax ? this.#waitForRoom() : undefined;
  }

  #waitForRoom(): Promise<void> {
    if (this.#room === undefined) {
      let resolve = () => {};
      const promise = new Promise<void>((resolveRoom) => resolve = resolveRoom);
      this.#room = { promise, resolve };
    }
    return this.#room.promise;
  }

  #tellRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  exportKeyingMaterial(label: string, lengthBytes: number, context?: Uint8Array): Uint8Array {
    return this.#core.exportKeyingMaterial(label, context, lengthBytes);
  }

  updateKeys(options: { readonly requestPeer?: boolean } = {}): boolean {
    const isBegun = this.#core.updateKeys(options);
    this.#owner.onWork();
    return isBegun;
  }

  async close(): Promise<void> {
    this.#close(undefined, monotonicNow());
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // What the owner calls

  /** The core has taken a datagram, or was used otherwise: what it tells is carried on. */
  settle(now: Milliseconds): void {
    for (let event; (event = this.#core.pollEvent()) !== undefined;) {
      switch (event.kind) {
        case "connected":
          this.#phase = "connected";
          this.#lastMessageAt = now;
          this.#owner.onConnected();
          break;
        case "application-data":
          this.#lastMessageAt = now;
          if (this.#phase !== "connected") this.#dropped.add("after-close");
          else if (!this.#messages.push(event.bytes)) this.#dropped.add("messages-full");
          break;
        case "session":
          this.#owner.onSession(event.session);
          break;
        case "early-data":
          this.#owner.onEarlyData(event.bytes);
          break;
        case "early-data-rejected":
          if (event.lost.length > 0) this.#owner.onEarlyDataLost(event.lost);
          break;
        case "closed":
          this.#onCoreEnded(undefined);
          break;
        case "failed":
          this.#onCoreEnded(event.error);
          break;
      }
    }
  }

  /** Sends early data right behind the ClientHello, before anything else; what there is no room for is lost. */
  sendEarlyData(messages: readonly Uint8Array[]): void {
    const lost = messages.filter((message) => {
      if (message.length > this.#core.earlyDataBytesLeft) return true;
      this.#outgoing.push(this.#core.sealEarlyData(message));
      return false;
    });
    if (lost.length > 0) this.#owner.onEarlyDataLost(lost);
  }

  /** Runs what is due. */
  handleTimeout(now: Milliseconds): void {
    if (now >= this.#closeAt) this.#core.close(now);
    if (now >= this.#idleAt) {
      this.#close(new DtlsError("idle-timeout", "nothing was said for too long"), now);
    }
    this.#core.handleTimeout(now);
    this.settle(now);
  }

  /** The next datagram to send. */
  pollTransmit(now: Milliseconds): Uint8Array | undefined {
    // What is said last of all comes after the messages that were sent before.
    const isOver = this.#isOver;
    const datagram = (isOver ? undefined : this.#core.pollTransmit(now)) ??
      this.#outgoing.shift() ?? (isOver ? this.#core.pollTransmit(now) : undefined);
    if (2 * this.#outgoing.length <= this.#limits.sendsMax) this.#tellRoom();
    if (datagram !== undefined) return datagram;
    if (this.#closeAt !== NEVER && !this.#isOver && this.#core.isHandshakeConfirmed) {
      this.#core.close(now);
      return this.pollTransmit(now);
    }
    if (this.#isOver && !this.#isSilent) {
      this.#isSilent = true;
      this.#owner.onSilent().then(() => this.#resolveClosed(this.#error));
    }
    return undefined;
  }

  /** When {@linkcode RunningAssociation.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    const closeAt = this.#isOver ? NEVER : this.#closeAt;
    return Math.min(this.#core.pollTimeout(), closeAt, this.#idleAt);
  }

  /** Ends it without a word. */
  abandon(now: Milliseconds): void {
    this.#end(undefined);
    this.#core.abandon();
    this.settle(now);
    this.#tellRoom();
    this.#resolveClosed(this.#error);
  }

  /** Whether nothing of it is left to run. */
  get isGone(): boolean {
    return this.#core.state === "closed";
  }

  /** Whether it has said its last, and that is with the system. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Whether the core has said its last, or is saying it. */
  get #isOver(): boolean {
    return this.#core.state === "closing" || this.#core.state === "closed";
  }

  get #idleAt(): Milliseconds {
    return this.#phase === "connected" ? this.#lastMessageAt + this.#limits.idleMsMax : NEVER;
  }

  /** Begins to close: at once where the handshake is not complete, else when what was sent is with the system. */
  #close(error: AssociationError | undefined, now: Milliseconds): void {
    if (this.#phase === "ended") return;
    if (this.#phase === "handshaking") this.#core.close(now);
    else this.#closeAt = now + this.#limits.closeMsMax;
    this.#end(error);
    this.#owner.onWork();
  }

  #onCoreEnded(error: AssociationError | undefined): void {
    if (this.#phase === "handshaking") {
      const closed = () => new DtlsError("closed", "the peer closed before it was connected");
      this.#owner.onHandshakeFailed(error ?? closed());
    }
    this.#end(error);
  }

  #end(error: AssociationError | undefined): void {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    this.#error = error;
    this.#messages.end(error);
  }
}
