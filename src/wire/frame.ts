// Packets and frames: the 24-byte header, and the frames end to end that a packet is (PROTOCOL.md, "Packets and
// frames").

import { type CodePoint, isCodePoint } from "../base/code_points.ts";
import { DecodeError } from "../base/byte_reader.ts";

/** The only version of the frame header. */
const WIRE_VERSION = 1;

/** Bytes of a frame header. */
export const HEADER_BYTES = 24;

/** Flags of a frame header. */
export const Flag = { FRAGMENT: 0x01, FIN: 0x02, BLOCKED: 0x04 } as const;

/** Message types of a frame header, in the order of PROTOCOL.md. */
export const MessageType = {
  QUERY: 1,
  RESPONSE: 2,
  ERROR: 3,
  HEARTBEAT: 4,
  HANDSHAKE_REQUEST: 5,
  HANDSHAKE_RESPONSE: 6,
  STREAM_DATA: 7,
  ACK: 8,
  TERMINATION: 9,
  CANCEL: 10,
  CREDIT: 11,
  MOVE: 12,
  STREAM_END: 13,
} as const;
export type MessageType = CodePoint<typeof MessageType>;

/** One frame of a packet. Its payload is a view of the packet's bytes. */
export interface Frame {
  readonly type: MessageType;
  /** A combination of {@linkcode Flag}. */
  readonly flags: number;
  /** 0 until the first frame that carries the server's choice. */
  readonly sessionId: bigint;
  /** The request this belongs to, 0 for none. */
  readonly requestId: number;
  readonly payload: Uint8Array;
}

/** A received packet: the low 32 bits of its number, and its frames in order. */
export interface Packet {
  readonly sequenceNumber: number;
  readonly frames: readonly Frame[];
}

/** The flags that each message type may carry; every other flag is an error. */
const FLAGS_ALLOWED: Readonly<Record<MessageType, number>> = {
  [MessageType.QUERY]: Flag.FRAGMENT,
  [MessageType.RESPONSE]: Flag.FRAGMENT,
  [MessageType.ERROR]: Flag.FRAGMENT,
  [MessageType.HEARTBEAT]: 0,
  [MessageType.HANDSHAKE_REQUEST]: Flag.FRAGMENT,
  [MessageType.HANDSHAKE_RESPONSE]: Flag.FRAGMENT,
  [MessageType.STREAM_DATA]: Flag.FIN,
  [MessageType.ACK]: 0,
  [MessageType.TERMINATION]: 0,
  [MessageType.CANCEL]: 0,
  [MessageType.CREDIT]: Flag.BLOCKED,
  [MessageType.MOVE]: 0,
  [MessageType.STREAM_END]: 0,
};

/**
 * Splits a packet into its frames. Throws {@linkcode DecodeError} where the packet is empty, a header is
 * malformed, or the frames of one packet differ in sequence number.
 */
export function decodePacket(packet: Uint8Array): Packet {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const frames: Frame[] = [];
  let sequenceNumber = 0;
  let at = 0;
  do {
    if (packet.length - at < HEADER_BYTES) throw new DecodeError("a frame header is cut short");
    if (packet[at] !== WIRE_VERSION) throw new DecodeError("unknown version of the frame header");
    const flags = packet[at + 1]!;
    const type = view.getUint16(at + 2);
    if (!isCodePoint(MessageType, type)) throw new DecodeError(`unknown message type ${type}`);
    if ((flags & ~FLAGS_ALLOWED[type]) !== 0) throw new DecodeError("a flag is not allowed here");
    const number = view.getUint32(at + 16);
    if (at === 0) sequenceNumber = number;
    else if (number !== sequenceNumber) {
      throw new DecodeError("frames of one packet differ in sequence number");
    }
    const end = at + HEADER_BYTES + view.getUint32(at + 20);
    if (end > packet.length) throw new DecodeError("a payload reaches past the packet");
    frames.push({
      type,
      flags,
      sessionId: view.getBigUint64(at + 4),
      requestId: view.getUint32(at + 12),
      payload: packet.subarray(at + HEADER_BYTES, end),
    });
    at = end;
  } while (at < packet.length);
  return { sequenceNumber, frames };
}

/** A buffer that packets are written into, one after the other. */
export class PacketRoom {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(lengthBytes: number) {
    this.bytes = new Uint8Array(lengthBytes);
    this.view = new DataView(this.bytes.buffer);
  }
}

/** Writes the frames of one packet into one buffer. */
export class PacketWriter {
  readonly #room: PacketRoom;
  readonly #maxBytes: number;
  readonly #sequenceNumber: number;
  readonly #sessionId: bigint;
  #length = 0;

  /**
   * `sequenceNumber` is cut to its low 32 bits; `maxBytes` is the largest packet that may come out. It is written into
   * `room`, where there is one and it is large enough.
   */
  constructor(sequenceNumber: number, sessionId: bigint, maxBytes: number, room?: PacketRoom) {
    this.#room = room !== undefined && room.bytes.length >= maxBytes
      ? room
      : new PacketRoom(maxBytes);
    this.#maxBytes = maxBytes;
    this.#sequenceNumber = sequenceNumber % 0x1_0000_0000;
    this.#sessionId = sessionId;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Payload bytes that one more frame may carry; negative where not even its header fits. */
  get remaining(): number {
    return this.#maxBytes - this.#length - HEADER_BYTES;
  }

  /**
   * Adds a frame and returns its payload for the caller to fill, a view of `payloadBytes` bytes. Throws
   * `RangeError` where it does not fit.
   */
  frame(type: MessageType, flags: number, requestId: number, payloadBytes: number): Uint8Array {
    if (payloadBytes > this.remaining) throw new RangeError("the frame does not fit the packet");
    const at = this.#length;
    const { bytes, view } = this.#room;
    bytes[at] = WIRE_VERSION;
    bytes[at + 1] = flags;
    view.setUint16(at + 2, type);
    view.setBigUint64(at + 4, this.#sessionId);
    view.setUint32(at + 12, requestId);
    view.setUint32(at + 16, this.#sequenceNumber);
    view.setUint32(at + 20, payloadBytes);
    this.#length = at + HEADER_BYTES + payloadBytes;
    return bytes.subarray(at + HEADER_BYTES, this.#length);
  }

  /** The packet so far, as a view of its room. */
  finish(): Uint8Array {
    return this.#room.bytes.subarray(0, this.#length);
  }
}
