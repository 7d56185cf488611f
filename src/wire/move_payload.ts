// Move: asks the peer to use the session over another transport (PROTOCOL.md, "Move").

import { type CodePoint, isCodePoint } from "../base/code_points.ts";
import { ByteReader, DecodeError } from "../base/byte_reader.ts";

/** What carries a session's datagrams. */
export const MoveTransport = { UDP: 1, TCP: 2 } as const;
export type MoveTransport = CodePoint<typeof MoveTransport>;

/** Why a move is asked for. Other values survive as numbers. */
export const MoveReason = {
  UNSPECIFIED: 0,
  NO_PROGRESS: 1,
  LOSS: 2,
  OPERATOR: 3,
  RECOVERED: 4,
} as const;

/** A wish for another transport. */
export interface Move {
  readonly transport: MoveTransport;
  /** One of {@linkcode MoveReason}, or a number that this version does not know. */
  readonly reason: number;
}

/** Encodes a move. */
export function encodeMove(move: Move): Uint8Array {
  return new Uint8Array([move.transport, move.reason]);
}

/** Decodes a move. Throws {@linkcode DecodeError}. */
export function decodeMove(payload: Uint8Array): Move {
  const reader = new ByteReader(payload);
  const transport = reader.u8();
  if (!isCodePoint(MoveTransport, transport)) {
    throw new DecodeError(`unknown transport ${transport}`);
  }
  const reason = reader.u8();
  reader.expectEnd();
  return { transport, reason };
}
