// The payload of StreamEnd: a stream that ends without FIN, and why (PROTOCOL.md, "StreamEnd").

import { ByteReader, DecodeError } from "../base/byte_reader.ts";

/** Bytes before the error: u32 stream_id, u64 final offset. */
export const STREAM_END_PREFIX_BYTES = 12;

/** The end of a stream. `error` is a view of an Error payload, not decoded here. */
export interface StreamEnd {
  /** Never 0. */
  readonly streamId: number;
  /** Bytes of the stream that were sent in total. */
  readonly finalOffset: number;
  readonly error: Uint8Array;
}

/** Reads the payload of a StreamEnd frame. Throws {@linkcode DecodeError}. */
export function decodeStreamEnd(payload: Uint8Array): StreamEnd {
  const reader = new ByteReader(payload);
  const streamId = reader.u32();
  const finalOffset = reader.u64Number();
  if (streamId === 0) throw new DecodeError("stream 0 cannot end");
  return { streamId, finalOffset, error: reader.rest() };
}

/** Writes the payload, whose length is {@linkcode STREAM_END_PREFIX_BYTES} and the error's. */
export function encodeStreamEnd(payload: Uint8Array, end: StreamEnd): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  view.setUint32(0, end.streamId);
  view.setUint32(4, Math.floor(end.finalOffset / 0x1_0000_0000));
  view.setUint32(8, end.finalOffset % 0x1_0000_0000);
  payload.set(end.error, STREAM_END_PREFIX_BYTES);
}
