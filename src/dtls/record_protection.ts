// Sealing and opening the records of one epoch under one traffic secret (RFC 9147 sections 4 and 4.2).

import { FORGED_RECORDS_MAX, NONCE_BYTES, type SuiteParameters } from "./cipher_suites.ts";
import type { Aead, RecordNumberCipher } from "./crypto/provider.ts";
import { DtlsError } from "./errors.ts";
import { type CiphertextRecord, UnifiedHeader } from "./record.ts";
import { ReplayWindow } from "./replay_window.ts";

/** The ciphers of one direction of one epoch, and the secret bytes that belong to them. */
export interface RecordKeys {
  readonly aead: Aead;
  readonly numberCipher: RecordNumberCipher;
  /** 12 bytes. */
  readonly iv: Uint8Array;
}

/** What opening a record can come to; everything but `opened` is noise, counted under its name. */
export type OpenResult =
  | { readonly kind: "opened"; readonly recordNumber: number; readonly inner: Uint8Array }
  | { readonly kind: "bad-tag" | "replay" | "too-old" };

/** RFC 8446 section 5.3: the nonce is the record number, padded to the left, XORed with the IV. */
function fillNonce(nonce: Uint8Array, iv: Uint8Array, recordNumber: number): void {
  nonce.set(iv);
  let rest = recordNumber;
  for (let i = NONCE_BYTES - 1; rest > 0; i--) {
    nonce[i]! ^= rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function destroyKeys(keys: RecordKeys): void {
  keys.aead.destroy();
  keys.numberCipher.destroy();
  keys.iv.fill(0);
}

/** Seals the records that this side sends in one epoch. */
export class RecordSealer {
  readonly epoch: number;
  readonly #keys: RecordKeys;
  readonly #sealedRecordsMax: number;
  readonly #connectionId: Uint8Array;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  #nextRecordNumber = 0;

  /** `connectionId` is the peer's, empty where it wants none. */
  constructor(epoch: number, suite: SuiteParameters, keys: RecordKeys, connectionId: Uint8Array) {
    this.epoch = epoch;
    this.#keys = keys;
    this.#sealedRecordsMax = suite.sealedRecordsMax;
    this.#connectionId = connectionId;
  }

  /** The number that the next record will have. */
  get nextRecordNumber(): number {
    return this.#nextRecordNumber;
  }

  /** Bytes that a record is longer than its content. */
  get overheadBytes(): number {
    return 1 + this.#connectionId.length + 2 + 2 + 1 + this.#keys.aead.tagBytes;
  }

  /**
   * Writes a record at `start` of `datagram` and returns where it ends. Throws {@linkcode DtlsError}
   * (`key-exhausted`) where the key has sealed as many records as it may.
   */
  seal(datagram: Uint8Array, start: number, type: number, content: Uint8Array): number {
    const recordNumber = this.#nextRecordNumber;
    if (recordNumber >= this.#sealedRecordsMax) {
      throw new DtlsError("key-exhausted", "the sending key has reached its limit");
    }
    this.#nextRecordNumber = recordNumber + 1;
    const id = this.#connectionId;
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
    fillNonce(this.#nonce, this.#keys.iv, recordNumber);
    // RFC 9147 section 4: "The entire header value shown in Figure 4 (but prior to record number encryption) is
    // used as the additional data value for the AEAD function."
    const plaintext = sealed.subarray(0, content.length + 1);
    this.#keys.aead.seal(this.#nonce, datagram.subarray(start, at), plaintext, sealed);
    const mask = this.#keys.numberCipher.mask(sealed.subarray(0, 16));
    datagram[numberAt]! ^= mask[0]!;
    datagram[numberAt + 1]! ^= mask[1]!;
    return end;
  }

  /** Zeroes the keys. */
  destroy(): void {
    destroyKeys(this.#keys);
  }
}

/** Opens the records that the peer sends in one epoch. */
export class RecordOpener {
  readonly epoch: number;
  readonly #keys: RecordKeys;
  readonly #window: ReplayWindow;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  #header = new Uint8Array(32);
  #forgedRecords = 0;

  constructor(epoch: number, keys: RecordKeys, replayWindowRecords: number) {
    this.epoch = epoch;
    this.#keys = keys;
    this.#window = new ReplayWindow(replayWindowRecords);
  }

  /** The record number after the largest that was opened. */
  get nextRecordNumber(): number {
    return this.#window.next;
  }

  /**
   * RFC 9147 section 4.5.3: "If the number of packets that fail authentication exceeds a limit that is specific
   * to the AEAD in use, an implementation SHOULD immediately close the connection."
   */
  get isForgeryLimitReached(): boolean {
    return this.#forgedRecords >= FORGED_RECORDS_MAX;
  }

  /** Opens a record. The window moves only where it opened. */
  open(record: CiphertextRecord): OpenResult {
    const headerBytes = record.header.length;
    if (this.#header.length < headerBytes) this.#header = new Uint8Array(headerBytes);
    const header = this.#header.subarray(0, headerBytes);
    header.set(record.header);
    const mask = this.#keys.numberCipher.mask(record.ciphertext.subarray(0, 16));
    let truncated = 0;
    for (let i = 0; i < record.numberBytes; i++) {
      const at = record.numberOffset + i;
      header[at]! ^= mask[i]!;
      truncated = truncated * 256 + header[at]!;
    }
    const recordNumber = nearest(truncated, 2 ** (8 * record.numberBytes), this.#window.next);
    const check = this.#window.check(recordNumber);
    if (check !== "new") return { kind: check };
    fillNonce(this.#nonce, this.#keys.iv, recordNumber);
    const inner = this.#keys.aead.open(this.#nonce, header, record.ciphertext);
    if (inner === undefined) {
      this.#forgedRecords++;
      return { kind: "bad-tag" };
    }
    this.#window.accept(recordNumber);
    return { kind: "opened", recordNumber, inner };
  }

  /** Zeroes the keys. */
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
