// The ACK message, and what this side has to acknowledge (RFC 9147 section 7).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { DtlsFault } from "./errors.ts";

/** A record's epoch and its number in that epoch. */
export interface RecordNumber {
  readonly epoch: number;
  readonly recordNumber: number;
}

const RECORD_NUMBER_BYTES = 16;

/** A number of 8 bytes; one that no record of this side can have is kept as one that matches nothing. */
function readNumber(list: ByteReader): number {
  return list.u32() * 0x1_0000_0000 + list.u32();
}

/** Decodes an ACK. Throws {@linkcode DecodeError} where it is malformed. */
export function decodeAck(content: Uint8Array): RecordNumber[] {
  const reader = new ByteReader(content);
  const list = reader.vector(2);
  reader.expectEnd();
  if (list.remaining % RECORD_NUMBER_BYTES !== 0) {
    throw new DecodeError("a record number is cut short");
  }
  const records: RecordNumber[] = [];
  while (list.remaining > 0) {
    const epoch = readNumber(list);
    records.push({ epoch, recordNumber: readNumber(list) });
  }
  return records;
}

/**
 * The record numbers of an ACK that came in `epoch`, none of an epoch past `epochMax`. Nobody vouches for one of epoch
 * 0: there it is the reason to drop it, any other bad one throws {@linkcode DtlsFault}.
 */
export function readAck(
  content: Uint8Array,
  epoch: number,
  epochMax: number,
): readonly RecordNumber[] | "malformed-fragment" | "unexpected-plaintext" {
  try {
    const records = decodeAck(content);
    if (records.every((record) => record.epoch <= epochMax)) return records;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    if (epoch > 0) throw new DtlsFault("decode-error", error.message, { cause: error });
    return "malformed-fragment";
  }
  // RFC 9147 section 7.2, as revised: "If any element of record_numbers in the ACK references an epoch that is higher
  // than the epoch in which the ACK was received, the implementation MUST terminate the connection with an
  // "illegal_parameter" alert." In epoch 0 it would be anybody's to terminate.
  if (epoch === 0) return "unexpected-plaintext";
  throw new DtlsFault("illegal-parameter", "an ACK for records of a later epoch than its own");
}

/** Encodes an ACK; RFC 9147 section 7 wants the records "in numerically increasing order". */
export function encodeAck(records: readonly RecordNumber[]): Uint8Array {
  const sorted = [...records].sort((a, b) => a.epoch - b.epoch || a.recordNumber - b.recordNumber);
  return new ByteWriter(2 + sorted.length * RECORD_NUMBER_BYTES).vector(2, (writer) => {
    for (const { epoch, recordNumber } of sorted) writer.u64Number(epoch).u64Number(recordNumber);
  }).finishShort();
}

/** How many record numbers an ACK of `contentBytes` bytes lists. */
export function ackedRecordsIn(contentBytes: number): number {
  return Math.max(0, Math.floor((contentBytes - 2) / RECORD_NUMBER_BYTES));
}

/** The records of the flight that is being received which were processed or buffered. */
export class AckList {
  readonly #records: RecordNumber[] = [];
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /**
   * The newest of the records, at most `countMax`. RFC 9147 section 7.1: "if space is limited, implementations SHOULD
   * favor including records which have not yet been acknowledged."
   */
  newest(countMax: number): readonly RecordNumber[] {
    return this.#records.slice(Math.max(0, this.#records.length - countMax));
  }

  /** Whether there is nothing to acknowledge. */
  get isEmpty(): boolean {
    return this.#records.length === 0;
  }

  /** Notes a record; past the limit the oldest is given up, which the peer survives by sending again. */
  add(epoch: number, recordNumber: number): void {
    if (this.#records.some((r) => r.epoch === epoch && r.recordNumber === recordNumber)) return;
    if (this.#records.length >= this.#countMax) this.#records.shift();
    this.#records.push({ epoch, recordNumber });
  }

  /** RFC 9147 section 7: "clearing their ACK list upon receiving the start of the next flight". */
  clear(): void {
    this.#records.length = 0;
  }
}
