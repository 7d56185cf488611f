// How records lie in a datagram: the plaintext header and the unified header of DTLS 1.3 (RFC 9147 section 4).

import { ContentType, ProtocolVersion } from "./code_points.ts";

/** Bytes of a DTLSPlaintext header. */
export const PLAINTEXT_HEADER_BYTES = 13;

/** RFC 9146 section 4: where the connection ID is in a record of type tls12_cid. */
const LEGACY_ID_OFFSET = 11;

/** RFC 8446 section 5.1: "The length MUST NOT exceed 2^14 bytes." */
export const RECORD_CONTENT_BYTES_MAX: number = 2 ** 14;

/** RFC 5246 section 6.2.3, of DTLS 1.2: "The length MUST NOT exceed 2^14 + 2048." */
const CIPHERTEXT_EXPANSION_BYTES_MAX = 2_048;

/** RFC 9147 section 4.2.3: "This procedure requires the ciphertext length to be at least 16 bytes." */
const CIPHERTEXT_BYTES_MIN = 16;

/** Bytes of the longest ciphertext. */
const CIPHERTEXT_BYTES_MAX = RECORD_CONTENT_BYTES_MAX + 256;

/** Bits of the unified header (RFC 9147 section 4, figure 3). */
export const UnifiedHeader = {
  FIXED_MASK: 0xe0,
  FIXED: 0x20,
  CONNECTION_ID: 0x10,
  SEQUENCE_16: 0x08,
  LENGTH: 0x04,
  EPOCH_MASK: 0x03,
} as const;

/** Bytes of the longest: its first byte, a connection ID, a record number and a length. */
export const UNIFIED_HEADER_BYTES_MAX: number = 1 + 255 + 2 + 2;

/** A record with the header of DTLSPlaintext: unprotected in epoch 0, DTLS 1.2's DTLSCiphertext in those after. */
export interface PlaintextRecord {
  readonly kind: "plaintext";
  readonly type: number;
  readonly version: number;
  /** Only with the type tls12_cid (RFC 9146 section 4). */
  readonly connectionId: Uint8Array | undefined;
  readonly epoch: number;
  readonly recordNumber: number;
  readonly content: Uint8Array;
  /** Where the next record of the datagram begins. */
  readonly end: number;
}

/** A DTLSCiphertext record as it was received: nothing in it is trusted. */
export interface CiphertextRecord {
  readonly kind: "ciphertext";
  readonly epochBits: number;
  readonly connectionId: Uint8Array | undefined;
  /** The header as received, its record number still hidden. */
  readonly header: Uint8Array;
  /** Where in the header the record number is, and its size. */
  readonly numberOffset: number;
  readonly numberBytes: 1 | 2;
  readonly ciphertext: Uint8Array;
  readonly end: number;
}

export type RawRecord = PlaintextRecord | CiphertextRecord;

/** Whether a first byte belongs to a unified header. */
export function isUnifiedHeader(firstByte: number): boolean {
  return (firstByte & UnifiedHeader.FIXED_MASK) === UnifiedHeader.FIXED;
}

/**
 * The connection ID of a datagram's first record, `connectionIdBytes` long, or `undefined` where it has none.
 */
export function datagramConnectionId(
  datagram: Uint8Array,
  connectionIdBytes: number,
): Uint8Array | undefined {
  const first = datagram[0];
  const isLegacy = first === ContentType.TLS12_CID;
  if (first === undefined || !(isLegacy || isUnifiedHeader(first))) return undefined;
  if (!isLegacy && (first & UnifiedHeader.CONNECTION_ID) === 0) return undefined;
  const start = isLegacy ? LEGACY_ID_OFFSET : 1;
  if (datagram.length < start + connectionIdBytes) return undefined;
  return datagram.subarray(start, start + connectionIdBytes);
}

/**
 * Reads the record that begins at `start`. `undefined` where the rest of the datagram is not a record: it is
 * dropped whole, since no next record can be found in it.
 */
export function readRecord(
  datagram: Uint8Array,
  start: number,
  connectionIdBytes: number,
): RawRecord | undefined {
  const first = datagram[start];
  if (first === undefined) return undefined;
  return isUnifiedHeader(first)
    ? readCiphertext(datagram, start, first, connectionIdBytes)
    : readPlaintext(datagram, start, connectionIdBytes);
}

function readPlaintext(
  datagram: Uint8Array,
  start: number,
  connectionIdBytes: number,
): PlaintextRecord | undefined {
  const hasId = datagram[start] === ContentType.TLS12_CID;
  const idBytes = hasId ? connectionIdBytes : 0;
  const headerBytes = PLAINTEXT_HEADER_BYTES + idBytes;
  if (datagram.length - start < headerBytes) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset + start, headerBytes);
  const lengthBytes = view.getUint16(LEGACY_ID_OFFSET + idBytes);
  const contentStart = start + headerBytes;
  const end = contentStart + lengthBytes;
  const epoch = view.getUint16(3);
  const lengthMax = RECORD_CONTENT_BYTES_MAX + (epoch === 0 ? 0 : CIPHERTEXT_EXPANSION_BYTES_MAX);
  if (lengthBytes > lengthMax || end > datagram.length) return undefined;
  return {
    kind: "plaintext",
    type: view.getUint8(0),
    version: view.getUint16(1),
    connectionId: hasId ? datagram.subarray(start + LEGACY_ID_OFFSET, contentStart - 2) : undefined,
    epoch,
    recordNumber: view.getUint16(5) * 0x1_0000_0000 + view.getUint32(7),
    content: datagram.subarray(contentStart, end),
    end,
  };
}

function readCiphertext(
  datagram: Uint8Array,
  start: number,
  first: number,
  connectionIdBytes: number,
): CiphertextRecord | undefined {
  const hasId = (first & UnifiedHeader.CONNECTION_ID) !== 0;
  const hasLength = (first & UnifiedHeader.LENGTH) !== 0;
  const numberBytes = (first & UnifiedHeader.SEQUENCE_16) !== 0 ? 2 : 1;
  const numberOffset = 1 + (hasId ? connectionIdBytes : 0);
  const headerBytes = numberOffset + numberBytes + (hasLength ? 2 : 0);
  const ciphertextStart = start + headerBytes;
  if (ciphertextStart > datagram.length) return undefined;
  const end = hasLength
    ? ciphertextStart + (datagram[ciphertextStart - 2]! << 8 | datagram[ciphertextStart - 1]!)
    : datagram.length;
  const lengthBytes = end - ciphertextStart;
  if (end > datagram.length || lengthBytes < CIPHERTEXT_BYTES_MIN) return undefined;
  // RFC 8446 section 5.2: "The length MUST NOT exceed 2^14 + 256 bytes." Nobody has authenticated this one yet.
  if (lengthBytes > CIPHERTEXT_BYTES_MAX) return undefined;
  return {
    kind: "ciphertext",
    epochBits: first & UnifiedHeader.EPOCH_MASK,
    connectionId: hasId ? datagram.subarray(start + 1, start + numberOffset) : undefined,
    header: datagram.subarray(start, ciphertextStart),
    numberOffset,
    numberBytes,
    ciphertext: datagram.subarray(ciphertextStart, end),
    end,
  };
}

/** Writes a DTLSPlaintext record of epoch 0 at `start` of `datagram` and returns where it ends. */
export function writePlaintextRecord(
  datagram: Uint8Array,
  start: number,
  type: number,
  recordNumber: number,
  content: Uint8Array,
  version: ProtocolVersion = ProtocolVersion.DTLS_1_2,
): number {
  const view = new DataView(datagram.buffer, datagram.byteOffset + start, PLAINTEXT_HEADER_BYTES);
  view.setUint8(0, type);
  view.setUint16(1, version);
  view.setUint16(3, 0);
  view.setUint16(5, Math.floor(recordNumber / 0x1_0000_0000));
  view.setUint32(7, recordNumber % 0x1_0000_0000);
  view.setUint16(11, content.length);
  datagram.set(content, start + PLAINTEXT_HEADER_BYTES);
  return start + PLAINTEXT_HEADER_BYTES + content.length;
}
