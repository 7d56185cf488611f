// The prefix of a FRAGMENT: where its bytes stand in the message (PROTOCOL.md, "Fragments").

import { ByteReader, DecodeError } from "../base/byte_reader.ts";

/** Bytes of the prefix: u32 offset, u32 total length. */
export const FRAGMENT_PREFIX_BYTES = 8;

/** A part of a message. `bytes` is a view of the frame's payload and is never empty. */
export interface Fragment {
  readonly offset: number;
  /** Length of the whole message, the same in each of its fragments. */
  readonly totalBytes: number;
  readonly bytes: Uint8Array;
}

/** Reads the payload of a frame with the FRAGMENT flag. Throws {@linkcode DecodeError}. */
export function decodeFragment(payload: Uint8Array): Fragment {
  const reader = new ByteReader(payload);
  const offset = reader.u32();
  const totalBytes = reader.u32();
  const bytes = reader.rest();
  if (bytes.length === 0) throw new DecodeError("a fragment without bytes");
  if (offset + bytes.length > totalBytes) {
    throw new DecodeError("a fragment reaches past its message");
  }
  return { offset, totalBytes, bytes };
}

/** Writes the prefix into `payload` and returns the rest of it, where the fragment's bytes go. */
export function encodeFragmentPrefix(
  payload: Uint8Array,
  offset: number,
  totalBytes: number,
): Uint8Array {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  view.setUint32(0, offset);
  view.setUint32(4, totalBytes);
  return payload.subarray(FRAGMENT_PREFIX_BYTES);
}
