// Heartbeat: asks the peer for a sign of life, or gives it (PROTOCOL.md, "Heartbeat").

import { type CodePoint, isCodePoint } from "../base/code_points.ts";
import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";

/** What a Heartbeat is. */
export const HeartbeatKind = { REQUEST: 1, REPLY: 2 } as const;
export type HeartbeatKind = CodePoint<typeof HeartbeatKind>;

/** Bytes of a Heartbeat without padding. */
const HEARTBEAT_BYTES = 9;

/** A sign of life, asked for or given. */
export interface Heartbeat {
  readonly kind: HeartbeatKind;
  /** 64 bits that the peer cannot predict; a reply carries those of its request. */
  readonly token: bigint;
  /** Zero bytes after the token. */
  readonly paddingBytes: number;
}

/** Encodes a heartbeat. */
export function encodeHeartbeat(heartbeat: Heartbeat): Uint8Array {
  return new ByteWriter(HEARTBEAT_BYTES + heartbeat.paddingBytes)
    .u8(heartbeat.kind)
    .u64(heartbeat.token)
    .bytes(new Uint8Array(heartbeat.paddingBytes))
    .finish();
}

/** Decodes a heartbeat. Throws {@linkcode DecodeError}, also where padding is not zero. */
export function decodeHeartbeat(payload: Uint8Array): Heartbeat {
  const reader = new ByteReader(payload);
  const kind = reader.u8();
  if (!isCodePoint(HeartbeatKind, kind)) throw new DecodeError(`unknown heartbeat kind ${kind}`);
  const token = reader.u64();
  const padding = reader.rest();
  if (padding.some((byte) => byte !== 0)) throw new DecodeError("padding is not zero");
  return { kind, token, paddingBytes: padding.length };
}
