// The payload of Credit: how much a peer may send, or that it ran out (PROTOCOL.md, "Credit").

import { ByteReader } from "../base/byte_reader.ts";

/** Bytes of a Credit payload: u32 stream_id, u64 maximum. */
export const CREDIT_BYTES = 12;

/** The stream_id that stands for the whole session. */
export const SESSION_CREDIT = 0;

/** An absolute maximum of bytes in total; with the BLOCKED flag, the one that the sender has reached. */
export interface Credit {
  /** A stream, or {@linkcode SESSION_CREDIT}. */
  readonly streamId: number;
  readonly maximum: number;
}

/** Reads the payload of a Credit frame. Throws `DecodeError`. */
export function decodeCredit(payload: Uint8Array): Credit {
  const reader = new ByteReader(payload);
  const streamId = reader.u32();
  const maximum = reader.u64Number();
  reader.expectEnd();
  return { streamId, maximum };
}

/** Writes the payload of a Credit frame into {@linkcode CREDIT_BYTES} bytes. */
export function encodeCredit(payload: Uint8Array, streamId: number, maximum: number): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  view.setUint32(0, streamId);
  view.setUint32(4, Math.floor(maximum / 0x1_0000_0000));
  view.setUint32(8, maximum % 0x1_0000_0000);
}
