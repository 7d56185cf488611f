// Flow control: credit that the peer grants, and credit that is granted to it (RFC 9000, section 4).

import type { Milliseconds } from "../base/core.ts";
import { CREDIT_BYTES, encodeCredit, SESSION_CREDIT } from "../wire/credit.ts";
import { Flag, MessageType } from "../wire/frame.ts";
import { TransportFault, TransportFaultCode } from "./fault.ts";
import {
  INITIAL_SESSION_CREDIT_TO_CLIENT_BYTES,
  INITIAL_SESSION_CREDIT_TO_SERVER_BYTES,
  INITIAL_STREAM_CREDIT_BYTES,
  type Role,
  type TransportLimits,
} from "./limits.ts";
import type { SentOwner } from "./sent_packet.ts";
import type { FrameSource, PacketBuilder } from "./packer.ts";

/** A frame of control information that is written when it is its turn, with what is newest then. */
export interface ControlFrame {
  /** Bytes of its payload. */
  readonly payloadBytes: number;
  /** Writes the frame; it fits. */
  write(builder: PacketBuilder): void;
}

/** Control frames that wait to be sent, each once. Their number is bounded by what they belong to. */
export class ControlQueue implements FrameSource {
  readonly #waiting = new Set<ControlFrame>();

  /** Has a frame sent, if it is not waiting already. */
  add(control: ControlFrame): void {
    this.#waiting.add(control);
  }

  /** Takes a frame back. */
  delete(control: ControlFrame): void {
    this.#waiting.delete(control);
  }

  get wantsToSend(): boolean {
    return this.#waiting.size > 0;
  }

  pack(builder: PacketBuilder): void {
    for (const control of this.#waiting) {
      if (control.payloadBytes > builder.remaining) return;
      this.#waiting.delete(control);
      control.write(builder);
    }
  }

  /** Drops all frames. */
  clear(): void {
    this.#waiting.clear();
  }
}

/** What credit belongs to: a stream and its request, or 0 and 0 for the session. */
export interface CreditOwner {
  readonly streamId: number;
  readonly requestId: number;
}

/** Credit that the peer granted. */
export class SendCredit implements ControlFrame, SentOwner {
  readonly payloadBytes = CREDIT_BYTES;
  used = 0;
  #maximum: number;
  #blockedAt = -1;
  #closed = false;
  readonly #owner: CreditOwner;
  readonly #controls: ControlQueue;

  constructor(owner: CreditOwner, maximum: number, controls: ControlQueue) {
    this.#owner = owner;
    this.#maximum = maximum;
    this.#controls = controls;
  }

  /** Bytes that may still be sent. */
  get available(): number {
    return this.#maximum - this.used;
  }

  /** Bytes that may be sent in total. */
  get maximum(): number {
    return this.#maximum;
  }

  /** Takes a new maximum. Returns whether it is higher. */
  raise(maximum: number): boolean {
    // "A sender MUST ignore any MAX_STREAM_DATA or MAX_DATA frames that do not increase flow control limits"
    // (section 4.1).
    if (maximum <= this.#maximum) return false;
    this.#maximum = maximum;
    this.#controls.delete(this);
    return true;
  }

  /** Tells the peer, once for a maximum, that more could be sent than it granted. */
  sayBlocked(): void {
    // "A sender SHOULD send a STREAM_DATA_BLOCKED or DATA_BLOCKED frame to indicate to the receiver that it
    // has data to write but is blocked by flow control limits" (section 4.1).
    if (this.#blockedAt === this.#maximum || this.#closed) return;
    this.#blockedAt = this.#maximum;
    this.#controls.add(this);
  }

  write(builder: PacketBuilder): void {
    const { streamId, requestId } = this.#owner;
    const payload = builder.frame(MessageType.CREDIT, Flag.BLOCKED, requestId, CREDIT_BYTES);
    encodeCredit(payload, streamId, this.#maximum);
    builder.track(this, this.#maximum, this.#maximum);
  }

  onAcked(): void {}

  onLost(maximum: number): void {
    if (maximum === this.#maximum && !this.#closed) this.#controls.add(this);
  }

  /** Says nothing more. */
  close(): void {
    this.#closed = true;
    this.#controls.delete(this);
  }
}

/** Decides how far a window of credit grows. */
export interface TunedWindow {
  /** Bytes to add to a window, of which `consumedBytes` in total were consumed by now, when a grant is sent. */
  growth(windowBytes: number, consumedBytes: number, now: Milliseconds): number;
}

/** Credit granted to the peer: a window of bytes above what was consumed. */
export class ReceiveCredit implements ControlFrame, SentOwner {
  readonly payloadBytes = CREDIT_BYTES;
  #received = 0;
  #consumed = 0;
  #maximum: number;
  #windowBytes: number;
  #peerBlocked = false;
  #closed = false;
  /** A grant that was not sent yet. */
  #isFresh = false;
  readonly #owner: CreditOwner;
  readonly #controls: ControlQueue;
  readonly #tuned: TunedWindow | undefined;

  constructor(
    owner: CreditOwner,
    windowBytes: number,
    controls: ControlQueue,
    tuned?: TunedWindow,
  ) {
    this.#owner = owner;
    this.#windowBytes = windowBytes;
    this.#maximum = windowBytes;
    this.#controls = controls;
    this.#tuned = tuned;
  }

  /** Bytes received in total. */
  get received(): number {
    return this.#received;
  }

  /** Bytes consumed in total. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Counts bytes that the peer sent. Throws {@linkcode TransportFault} past the credit. */
  receive(lengthBytes: number): void {
    // "A receiver MUST close the connection with an error of type FLOW_CONTROL_ERROR if the sender violates
    // the advertised connection or stream data limits" (section 4.1).
    if (this.#received + lengthBytes > this.#maximum) {
      const { streamId } = this.#owner;
      throw new TransportFault(
        TransportFaultCode.CREDIT_EXCEEDED,
        streamId === 0 ? "session" : `stream ${streamId}`,
      );
    }
    this.#received += lengthBytes;
  }

  /** Counts bytes as used up, and grants new ones when half of the window is. */
  consume(lengthBytes: number): void {
    this.#consumed += lengthBytes;
    const grantable = this.#consumed + this.#windowBytes - this.#maximum;
    const worthwhile = this.#peerBlocked ? 0 : this.#windowBytes / 2;
    if (grantable > 0 && grantable >= worthwhile) this.#grant();
  }

  /** The peer says that it is out of credit at `maximum`. */
  onBlocked(maximum: number): void {
    if (this.#closed) return;
    // What it did not know of is on its way: loss recovery brings it.
    if (maximum < this.#maximum) return;
    // A message is charged as a whole, so the peer may wait for more than half of the session's window. A
    // stream never does.
    if (this.#owner.streamId !== SESSION_CREDIT) return;
    this.#peerBlocked = true;
    this.consume(0);
  }

  /** Enlarges the window without waiting for consumption; the peer learns of it elsewhere. */
  enlarge(windowBytes: number): void {
    this.#windowBytes = Math.max(this.#windowBytes, windowBytes);
    this.#maximum = Math.max(this.#maximum, this.#windowBytes);
  }

  /** Makes the window larger by so many bytes, which the peer learns with the next grant. */
  grow(lengthBytes: number): void {
    this.#windowBytes += lengthBytes;
  }

  #grant(): void {
    this.#maximum = this.#consumed + this.#windowBytes;
    this.#peerBlocked = false;
    this.#isFresh = true;
    this.repeat();
  }

  /** Has the newest maximum sent (again). */
  repeat(): void {
    if (!this.#closed) this.#controls.add(this);
  }

  write(builder: PacketBuilder): void {
    if (this.#isFresh && this.#tuned !== undefined) {
      this.#windowBytes += this.#tuned.growth(this.#windowBytes, this.#consumed, builder.now);
      this.#maximum = Math.max(this.#maximum, this.#consumed + this.#windowBytes);
    }
    this.#isFresh = false;
    const { streamId, requestId } = this.#owner;
    const payload = builder.frame(MessageType.CREDIT, 0, requestId, CREDIT_BYTES);
    encodeCredit(payload, streamId, this.#maximum);
    builder.track(this, this.#maximum, this.#maximum);
  }

  onAcked(): void {}

  onLost(maximum: number): void {
    // An updated value is sent "when the packet containing the most recent MAX_STREAM_DATA frame for a stream is
    // lost" (section 13.3).
    if (maximum === this.#maximum) this.repeat();
  }

  /** Grants nothing more. */
  close(): void {
    this.#closed = true;
    this.#controls.delete(this);
  }
}

/** The credit that both sides assume before the SQP handshake is done, in bytes. */
export interface InitialCredit {
  readonly sendSession: number;
  readonly sendStream: number;
  readonly receiveSession: number;
  readonly receiveStream: number;
}

/**
 * The initial credit of one side. A client states its own limits before the server may send anything that is
 * charged, so they hold from the start; a server states its own in HandshakeResponse.
 */
export function initialCredit(role: Role, limits: TransportLimits): InitialCredit {
  if (role === "server") {
    return {
      sendSession: INITIAL_SESSION_CREDIT_TO_CLIENT_BYTES,
      sendStream: INITIAL_STREAM_CREDIT_BYTES,
      receiveSession: INITIAL_SESSION_CREDIT_TO_SERVER_BYTES,
      receiveStream: INITIAL_STREAM_CREDIT_BYTES,
    };
  }
  return {
    sendSession: INITIAL_SESSION_CREDIT_TO_SERVER_BYTES,
    sendStream: INITIAL_STREAM_CREDIT_BYTES,
    receiveSession: Math.max(INITIAL_SESSION_CREDIT_TO_CLIENT_BYTES, limits.sessionCreditBytes),
    receiveStream: Math.max(INITIAL_STREAM_CREDIT_BYTES, limits.streamCreditBytes),
  };
}
