// The payload of StreamData: ordered bytes of one stream (PROTOCOL.md, "StreamData").

import { ByteReader, DecodeError } from "../base/byte_reader.ts";

/** Bytes before the stream's bytes: u32 stream_id, u64 offset. */
export const STREAM_DATA_PREFIX_BYTES = 12;

/** Bytes of a stream. `bytes` is a view of the frame's payload. */
export interface StreamData {
  /** Never 0. */
  readonly streamId: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Reads the payload of a StreamData frame; `fin` says whether it has the FIN flag, without which it
 * must carry bytes. Throws {@linkcode DecodeError}.
 */
export function decodeStreamData(payload: Uint8Array, fin: boolean): StreamData {
  const reader = new ByteReader(payload);
  const streamId = reader.u32();
  const offset = reader.u64Number();
  const bytes = reader.rest();
  if (streamId === 0) throw new DecodeError("stream 0 carries no data");
  if (bytes.length === 0 && !fin) {
    throw new DecodeError("stream data without bytes and without FIN");
  }
  if (offset > Number.MAX_SAFE_INTEGER - bytes.length) {
    throw new DecodeError("a stream ends above 2^53 - 1");
  }
  return { streamId, offset, bytes };
}

/** Writes the fields into `payload` and returns the rest of it, where the stream's bytes go. */
export function encodeStreamDataPrefix(
  payload: Uint8Array,
  streamId: number,
  offset: number,
): Uint8Array {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  view.setUint32(0, streamId);
  view.setUint32(4, Math.floor(offset / 0x1_0000_0000));
  view.setUint32(8, offset % 0x1_0000_0000);
  return payload.subarray(STREAM_DATA_PREFIX_BYTES);
}
