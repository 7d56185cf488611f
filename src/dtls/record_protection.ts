// What seals and opens the records of one epoch under one traffic secret; the two versions' forms of it are in files of
// their own.

import { NONCE_BYTES } from "./cipher_suites.ts";
import type { RawRecord } from "./record.ts";

/** What opening a record can come to; everything but `opened` is noise, counted under its name. */
export type OpenResult =
  | {
    readonly kind: "opened";
    readonly recordNumber: number;
    readonly type: number;
    readonly content: Uint8Array;
  }
  | { readonly kind: "bad-tag" | "replay" | "too-old" };

/** Seals the records that this side sends in one epoch. */
export interface RecordSealer {
  readonly epoch: number;
  /** The number that the next record will have. */
  readonly nextRecordNumber: number;
  /** How many records the key may seal. */
  readonly sealedRecordsMax: number;
  /** The connection ID in its records, the peer's; empty for none. Another one is used from the next record on. */
  connectionId: Uint8Array;
  /** Bytes that a record is longer than its content. */
  readonly overheadBytes: number;
  /**
   * Writes a record at `start` of `datagram` and returns where it ends. Throws `DtlsError` (`key-exhausted`) where the
   * key has sealed as many records as it may.
   */
  seal(datagram: Uint8Array, start: number, type: number, content: Uint8Array): number;
  /** Zeroes the keys. */
  destroy(): void;
}

/** Opens the records that the peer sends in one epoch. */
export interface RecordOpener {
  readonly epoch: number;
  /** The record number after the largest that was opened. */
  readonly nextRecordNumber: number;
  /** How many records may fail to open under the key (RFC 9147 section 4.5.3). */
  readonly forgedRecordsMax: number;
  /** Whether a record's header says that it is of this epoch and form. */
  accepts(record: RawRecord): boolean;
  /**
   * Opens a record that it accepts. The replay window moves only where it opened. Throws `DtlsFault` for an
   * authenticated record that is malformed.
   */
  open(record: RawRecord): OpenResult;
  /** Zeroes the keys. */
  destroy(): void;
}

/** RFC 8446 section 5.3: the nonce is the record number, padded to the left, XORed with the IV. */
export function fillNonce(nonce: Uint8Array, iv: Uint8Array, recordNumber: number): void {
  nonce.set(iv);
  let rest = recordNumber;
  for (let i = NONCE_BYTES - 1; rest > 0; i--) {
    nonce[i]! ^= rest % 256;
    rest = Math.floor(rest / 256);
  }
}
