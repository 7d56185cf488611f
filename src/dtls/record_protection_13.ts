// Sealing and opening records of DTLS 1.3 (RFC 9147 sections 4 and 4.2).

import { FORGED_RECORDS_MAX, NONCE_BYTES, type SuiteParameters } from "./cipher_suites.ts";
import type { Aead, RecordNumberCipher } from "./crypto/provider.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import {
  type RawRecord,
  RECORD_CONTENT_BYTES_MAX,
  UNIFIED_HEADER_BYTES_MAX,
  UnifiedHeader,
} from "./record.ts";
import {
  fillNonce,
  type OpenResult,
  type RecordOpener,
  type RecordSealer,
} from "./record_protection.ts";
import { ReplayWindow } from "./replay_window.ts";

/** A record's nonce, and its header with the number in clear: a record is sealed or opened in one go. */
const nonce = new Uint8Array(NONCE_BYTES);
const clearHeader = new Uint8Array(UNIFIED_HEADER_BYTES_MAX);

/** The ciphers of one direction of one epoch, and the secret bytes that belong to them. */
export interface CiphertextKeys {
  readonly aead: Aead;
  readonly numberCipher: RecordNumberCipher;
  /** 12 bytes. */
  readonly iv: Uint8Array;
}

function destroyKeys(keys: CiphertextKeys): void {
  keys.aead.destroy();
  keys.numberCipher.destroy();
  keys.iv.fill(0);
}

/** Seals DTLSCiphertext records of one epoch. */
export class CiphertextSealer implements RecordSealer {
  readonly epoch: number;
  readonly sealedRecordsMax: number;
  connectionId: Uint8Array;
  readonly #keys: CiphertextKeys;
  #nextRecordNumber = 0;

  /** `connectionId` is the peer's, empty where it wants none. */
  constructor(
    epoch: number,
    { sealedRecordsMax }: Pick<SuiteParameters, "sealedRecordsMax">,
    keys: CiphertextKeys,
    connectionId: Uint8Array,
  ) {
    this.epoch = epoch;
    this.#keys = keys;
    this.sealedRecordsMax = sealedRecordsMax;
    this.connectionId = connectionId;
  }

  get nextRecordNumber(): number {
    return this.#nextRecordNumber;
  }

  get overheadBytes(): number {
    return 1 + this.connectionId.length + 2 + 2 + 1 + this.#keys.aead.tagBytes;
  }

  seal(datagram: Uint8Array, start: number, type: number, content: Uint8Array): number {
    const recordNumber = this.#nextRecordNumber;
    if (recordNumber >= this.sealedRecordsMax) {
      throw new DtlsError("key-exhausted", "the sending key has reached its limit");
    }
    this.#nextRecordNumber = recordNumber + 1;
    const id = this.connectionId;
    const hasId = id.length > 0;
    let at = start;
    datagram[at++] = UnifiedHeader.FIXED | (hasId ? UnifiedHeader.CONNECTION_ID : 0) |
      UnifiedHeader.SEQUENCE_16 | UnifiedHeader.LENGTH | (this.epoch & UnifiedHeader.EPOCH_MASK);
    if (hasId) {
      datagram.set(id, at);
      at += id.length;
    }
    const numberAt = at;
    const sealedBytes = content.length + 1 + this.#keys.aead.tagBytes;
    datagram[at++] = recordNumber >>> 8;
    datagram[at++] = recordNumber;
    datagram[at++] = sealedBytes >>> 8;
    datagram[at++] = sealedBytes;
    const end = at + sealedBytes;
    const sealed = datagram.subarray(at, end);
    sealed.set(content);
    sealed[content.length] = type;
    fillNonce(nonce, this.#keys.iv, recordNumber);
    // RFC 9147 section 4: "The entire header value shown in Figure 4 (but prior to record number encryption) is
    // used as the additional data value for the AEAD function."
    const plaintext = sealed.subarray(0, content.length + 1);
    this.#keys.aead.seal(nonce, datagram.subarray(start, at), plaintext, sealed);
    const mask = this.#keys.numberCipher.mask(sealed);
    datagram[numberAt]! ^= mask[0]!;
    datagram[numberAt + 1]! ^= mask[1]!;
    return end;
  }

  destroy(): void {
    destroyKeys(this.#keys);
  }
}

/** Opens DTLSCiphertext records of one epoch. */
export class CiphertextOpener implements RecordOpener {
  readonly epoch: number;
  readonly forgedRecordsMax: number = FORGED_RECORDS_MAX;
  readonly #keys: CiphertextKeys;
  readonly #window: ReplayWindow;

  constructor(epoch: number, keys: CiphertextKeys, replayWindowRecords: number) {
    this.epoch = epoch;
    this.#keys = keys;
    this.#window = new ReplayWindow(replayWindowRecords);
  }

  get nextRecordNumber(): number {
    return this.#window.next;
  }

  accepts(record: RawRecord): boolean {
    return record.kind === "ciphertext" && this.epoch % 4 === record.epochBits;
  }

  open(record: RawRecord): OpenResult {
    if (record.kind !== "ciphertext") return { kind: "bad-tag" };
    const header = clearHeader.subarray(0, record.header.length);
    header.set(record.header);
    const mask = this.#keys.numberCipher.mask(record.ciphertext);
    let truncated = 0;
    for (let i = 0; i < record.numberBytes; i++) {
      const at = record.numberOffset + i;
      header[at]! ^= mask[i]!;
      truncated = truncated * 256 + header[at]!;
    }
    const recordNumber = nearest(truncated, 1 << (8 * record.numberBytes), this.#window.next);
    const check = this.#window.check(recordNumber);
    if (check !== "new") return { kind: check };
    fillNonce(nonce, this.#keys.iv, recordNumber);
    const inner = this.#keys.aead.open(nonce, header, record.ciphertext, true);
    if (inner === undefined) return { kind: "bad-tag" };
    this.#window.accept(recordNumber);
    return openedRecord(inner, recordNumber);
  }

  destroy(): void {
    destroyKeys(this.#keys);
  }
}

/**
 * RFC 9147 section 4.2.2: "the full sequence number which is numerically closest to one plus the sequence number
 * of the highest successfully deprotected record in the current epoch".
 */
function nearest(truncated: number, modulus: number, expected: number): number {
  const candidate = expected - (expected % modulus) + truncated;
  if (candidate + modulus / 2 <= expected) return candidate + modulus;
  if (candidate > expected + modulus / 2 && candidate >= modulus) return candidate - modulus;
  return candidate;
}

/** RFC 9147 section 4: DTLSInnerPlaintext is content, its type, and zeros. */
function openedRecord(inner: Uint8Array, recordNumber: number): OpenResult {
  let end = inner.length;
  while (end > 0 && inner[end - 1] === 0) end--;
  // RFC 8446 section 5.4: "If a receiving implementation does not find a non-zero octet in the cleartext, it MUST
  // terminate the connection with an "unexpected_message" alert."
  if (end === 0) throw new DtlsFault("unexpected-message", "a record without a content type");
  if (end - 1 > RECORD_CONTENT_BYTES_MAX) {
    throw new DtlsFault("record-overflow", "a record's content is longer than 2^14 bytes");
  }
  return {
    kind: "opened",
    recordNumber,
    type: inner[end - 1]!,
    content: inner.subarray(0, end - 1),
  };
}
