// The record_size_limit extension: how large the records may be that each side is sent (RFC 8449).

import type { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { ExtensionType } from "./code_points.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import { decodeExtension, type Extensions } from "./extensions.ts";
import type { HandshakeIo } from "./handshake.ts";
import type { DtlsOptions, DtlsVersion } from "./options.ts";
import { RECORD_CONTENT_BYTES_MAX } from "./record.ts";

/** RFC 8449 section 4: "Endpoints MUST NOT send a "record_size_limit" extension with a value smaller than 64." */
const LIMIT_MIN = 64;

/** RFC 8449 section 4: "TLS 1.3 uses a limit of 2^14+1 octets", the content type included; 1.2 has 2^14. */
export const RECORD_SIZE_LIMIT_MAX: number = RECORD_CONTENT_BYTES_MAX + 1;

/** Reads the peer's limit. Throws `DecodeError`, or {@linkcode DtlsFault} for one that is too small. */
export function readRecordSizeLimit(reader: ByteReader): number {
  const limit = reader.u16();
  // RFC 8449 section 4: "An endpoint MUST treat receipt of a smaller value as a fatal error and generate an
  // "illegal_parameter" alert." A larger one than the version allows is no error: the version's own limit holds.
  if (limit < LIMIT_MIN) {
    throw new DtlsFault("illegal-parameter", `a record size limit of ${limit} bytes`);
  }
  return limit;
}

/** The form that {@linkcode readRecordSizeLimit} reads. Throws {@linkcode DtlsError} for a limit out of bounds. */
export function encodeRecordSizeLimit(limit: number): Uint8Array {
  if (!Number.isInteger(limit) || limit < LIMIT_MIN || limit > RECORD_SIZE_LIMIT_MAX) {
    throw new DtlsError(
      "bad-option",
      `a record size limit is ${LIMIT_MIN} to ${RECORD_SIZE_LIMIT_MAX}, not ${limit}`,
    );
  }
  return new ByteWriter(2).u16(limit).finishShort();
}

/**
 * Bytes of content in a protected record under a limit. RFC 8449 section 4: "The value includes the content type and
 * padding added in TLS 1.3"; records with a connection ID have a content type within in 1.2 too.
 */
export function recordContentBytesMax(limit: number, hasInnerType: boolean): number {
  return Math.min(limit - (hasInnerType ? 1 : 0), RECORD_CONTENT_BYTES_MAX);
}

/** The limit of this side, for the versions that may be spoken. */
export function ownRecordSizeLimit(
  { recordSizeLimit = RECORD_SIZE_LIMIT_MAX }: DtlsOptions,
  versions: readonly DtlsVersion[],
): number {
  return versions.includes("1.3")
    ? recordSizeLimit
    : Math.min(recordSizeLimit, RECORD_CONTENT_BYTES_MAX);
}

/** What both ends settle the sizes of records with. */
interface RecordSizes {
  readonly version: DtlsVersion;
  readonly options: DtlsOptions;
  /** Where the peer's limit stands, if it has one. */
  readonly extensions: Extensions;
}

/**
 * Settles how large protected records may be, where the peer has a limit and so was told this side's. Returns this
 * side's, to be told by a server. Connection IDs are settled before. Throws `DecodeError` or {@linkcode DtlsFault}.
 */
export function negotiateRecordSizes(
  io: HandshakeIo,
  { version, options, extensions }: RecordSizes,
): number | undefined {
  const limit = decodeExtension(extensions, ExtensionType.RECORD_SIZE_LIMIT, readRecordSizeLimit);
  if (limit === undefined) return undefined;
  const own = ownRecordSizeLimit(options, [version]);
  const hasType = (connectionId: Uint8Array) => version === "1.3" || connectionId.length > 0;
  io.limitContent(
    recordContentBytesMax(limit, hasType(io.sendConnectionId)),
    recordContentBytesMax(own, hasType(io.receiveConnectionId)),
  );
  return own;
}
