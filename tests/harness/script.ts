// A scripted peer of a transport: it writes the frames that a test names, and says which frames it wants.

import { assertEquals } from "@std/assert";
import type { Core, Milliseconds } from "../../src/base/core.ts";
import { RangeSet } from "../../src/base/range_set.ts";
import {
  ACK_BITMAP_BYTES_MAX,
  ACK_PREFIX_BYTES,
  decodeAck,
  encodeAck,
  fillAckBitmap,
  isAcked,
} from "../../src/wire/ack.ts";
import { CREDIT_BYTES, decodeCredit, encodeCredit } from "../../src/wire/credit.ts";
import {
  decodeFragment,
  encodeFragmentPrefix,
  FRAGMENT_PREFIX_BYTES,
} from "../../src/wire/fragment.ts";
import { decodePacket, Flag, type Frame, MessageType, PacketWriter } from "../../src/wire/frame.ts";
import {
  decodeStreamData,
  encodeStreamDataPrefix,
  STREAM_DATA_PREFIX_BYTES,
} from "../../src/wire/stream_data.ts";
import {
  decodeStreamEnd,
  encodeStreamEnd,
  STREAM_END_PREFIX_BYTES,
} from "../../src/wire/stream_end.ts";
import { EPOCH_MS } from "./clock.ts";

/** A frame that a script writes. */
export interface ScriptFrame {
  readonly type: MessageType;
  readonly flags: number;
  readonly requestId: number;
  readonly payload: Uint8Array;
}

/** Largest packet of a script. */
const PACKET_BYTES = 65_536;

/** A message in one frame. */
export function message(type: MessageType, requestId: number, payload: Uint8Array): ScriptFrame {
  return { type, flags: 0, requestId, payload };
}

/** A part of a message. */
export function fragment(
  type: MessageType,
  requestId: number,
  offset: number,
  totalBytes: number,
  bytes: Uint8Array,
): ScriptFrame {
  const payload = new Uint8Array(FRAGMENT_PREFIX_BYTES + bytes.length);
  encodeFragmentPrefix(payload, offset, totalBytes).set(bytes);
  return { type, flags: Flag.FRAGMENT, requestId, payload };
}

/** Bytes of a stream. */
export function streamData(
  requestId: number,
  streamId: number,
  offset: number,
  bytes: Uint8Array,
  fin = false,
): ScriptFrame {
  const payload = new Uint8Array(STREAM_DATA_PREFIX_BYTES + bytes.length);
  encodeStreamDataPrefix(payload, streamId, offset).set(bytes);
  return { type: MessageType.STREAM_DATA, flags: fin ? Flag.FIN : 0, requestId, payload };
}

/** The end of a stream without FIN. */
export function streamEnd(
  requestId: number,
  streamId: number,
  finalOffset: number,
  error: Uint8Array,
): ScriptFrame {
  const payload = new Uint8Array(STREAM_END_PREFIX_BYTES + error.length);
  encodeStreamEnd(payload, { streamId, finalOffset, error });
  return { type: MessageType.STREAM_END, flags: 0, requestId, payload };
}

/** Credit, or with `blocked` the lack of it. */
export function credit(
  requestId: number,
  streamId: number,
  maximum: number,
  blocked = false,
): ScriptFrame {
  const payload = new Uint8Array(CREDIT_BYTES);
  encodeCredit(payload, streamId, maximum);
  return { type: MessageType.CREDIT, flags: blocked ? Flag.BLOCKED : 0, requestId, payload };
}

/** An Ack of these packet numbers. */
export function ack(...numbers: number[]): ScriptFrame {
  const received = new RangeSet();
  for (const number of numbers) received.add(number);
  const largest = received.max!;
  const bitmap = new Uint8Array(ACK_BITMAP_BYTES_MAX);
  const used = bitmap.subarray(0, fillAckBitmap(bitmap, received, largest, 0));
  const payload = new Uint8Array(ACK_PREFIX_BYTES + used.length);
  encodeAck(payload, { largest, delayUs: 0, bitmap: used });
  return { type: MessageType.ACK, flags: 0, requestId: 0, payload };
}

/** What a frame says, in one line: short enough to be compared in a test. */
export function describe({ type, flags, requestId, payload }: Frame): string {
  const fin = (flags & Flag.FIN) !== 0 ? " FIN" : "";
  if (type === MessageType.ACK) return describeAck(payload);
  if (type === MessageType.STREAM_DATA) {
    const { streamId, offset, bytes } = decodeStreamData(payload, fin !== "");
    return `stream ${streamId} of ${requestId}: ${offset}+${bytes.length}${fin}`;
  }
  if (type === MessageType.STREAM_END) {
    const { streamId, finalOffset, error } = decodeStreamEnd(payload);
    return `end ${streamId} of ${requestId}: ${finalOffset}, error of ${error.length}`;
  }
  if (type === MessageType.CREDIT) {
    const { streamId, maximum } = decodeCredit(payload);
    return `${(flags & Flag.BLOCKED) !== 0 ? "blocked" : "credit"} ${streamId}: ${maximum}`;
  }
  const name = Object.entries(MessageType).find(([, value]) => value === type)![0];
  if ((flags & Flag.FRAGMENT) === 0) return `${name} ${requestId}: ${payload.length}`;
  const { offset, totalBytes, bytes } = decodeFragment(payload);
  return `${name} ${requestId}: ${offset}+${bytes.length} of ${totalBytes}`;
}

function describeAck(payload: Uint8Array): string {
  const decoded = decodeAck(payload);
  const numbers: number[] = [];
  for (let number = Math.max(0, decoded.largest - 2_048); number <= decoded.largest; number++) {
    if (isAcked(decoded, number)) numbers.push(number);
  }
  return `ack ${numbers.join(" ")}`;
}

/** Plays the peer of one core, packet by packet, in virtual time. */
export class Script {
  now: Milliseconds = EPOCH_MS;
  /** The session_id of what it writes. */
  sessionId: bigint;
  /** The number of the packet that it writes next; a test may skip some or go back. */
  nextNumber = 0;
  readonly #core: Core<unknown>;

  constructor(core: Core<unknown>, sessionId: bigint) {
    this.#core = core;
    this.sessionId = sessionId;
  }

  /** Encodes a packet with the next number. */
  packet(...frames: ScriptFrame[]): Uint8Array {
    const writer = new PacketWriter(this.nextNumber++, this.sessionId, PACKET_BYTES);
    for (const { type, flags, requestId, payload } of frames) {
      writer.frame(type, flags, requestId, payload.length).set(payload);
    }
    return writer.finish().slice();
  }

  /** Sends a packet of these frames to the core. */
  write(...frames: ScriptFrame[]): void {
    this.#core.handleDatagram(this.packet(...frames), this.now);
  }

  /** The core's next packet, its frames described; `undefined` where it has nothing to send. */
  read(): string[] | undefined {
    const bytes = this.#core.pollTransmit(this.now);
    return bytes === undefined ? undefined : decodePacket(bytes).frames.map(describe);
  }

  /** The core's next packet has exactly these frames. */
  want(...frames: string[]): void {
    assertEquals(this.read(), frames);
  }

  /** The core has nothing to send now. */
  wantIdle(): void {
    assertEquals(this.read(), undefined);
  }

  /** Reads packets until there are none. Returns how many there were. */
  drain(): number {
    let count = 0;
    while (this.read() !== undefined) count++;
    return count;
  }

  /** Lets time pass; timers that are due on the way run at their time. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let next; (next = this.#core.pollTimeout()) <= end && next > this.now;) {
      this.now = next;
      this.#core.handleTimeout(this.now);
      if (this.#core.pollTimeout() <= this.now) break;
    }
    this.now = end;
    this.#core.handleTimeout(this.now);
  }
}
