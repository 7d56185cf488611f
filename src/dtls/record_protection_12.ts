// Sealing and opening the records of one epoch of DTLS 1.2: GCM (RFC 5288), ChaCha20-Poly1305 (RFC 7905), and both with
// connection IDs (RFC 9146).

import { NONCE_BYTES, type SuiteParameters } from "./cipher_suites.ts";
import { ContentType, ProtocolVersion } from "./code_points.ts";
import type { Aead } from "./crypto/provider.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import { PLAINTEXT_HEADER_BYTES, type RawRecord, RECORD_CONTENT_BYTES_MAX } from "./record.ts";
import type { OpenResult, RecordOpener, RecordSealer } from "./record_protection.ts";
import { ReplayWindow } from "./replay_window.ts";

/** The cipher of one direction, and the secret bytes of its nonces. */
export interface RecordKeys12 {
  readonly aead: Aead;
  /** 4 bytes for GCM, 12 for ChaCha20-Poly1305. */
  readonly iv: Uint8Array;
}

/** RFC 5288 section 3: the part of the nonce that each record carries. */
const EXPLICIT_NONCE_BYTES = 8;

/** RFC 9325 section 4.4, of GCM in DTLS 1.2: "IL (obtained from the same inequalities referenced above) is 2^28." */
const FORGED_RECORDS_MAX_GCM: number = 2 ** 28;

/** RFC 9147 section 4.5.3, of the same algorithm. */
const FORGED_RECORDS_MAX_CHACHA: number = 2 ** 36;

/** Bytes of additional data without a connection ID, and those that one adds besides its own. */
const ADDITIONAL_DATA_BYTES = 13;
const ID_ADDITIONAL_DATA_BYTES = 23;

/** What the two forms of nonces and additional data need of one direction, with buffers that each record reuses. */
class Protection {
  readonly aead: Aead;
  /** Bytes of a record before its ciphertext that the cipher suite asks for. */
  readonly explicitBytes: number;
  readonly #iv: Uint8Array;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  readonly #additional: DataView;
  readonly #additionalBytes: Uint8Array;
  readonly #epoch: number;
  readonly #idBytes: number;

  constructor(epoch: number, { aead, iv }: RecordKeys12, connectionId: Uint8Array) {
    this.aead = aead;
    this.#iv = iv;
    this.#epoch = epoch;
    this.explicitBytes = NONCE_BYTES - iv.length === EXPLICIT_NONCE_BYTES
      ? EXPLICIT_NONCE_BYTES
      : 0;
    this.#idBytes = connectionId.length;
    const bytes = new Uint8Array(
      this.#idBytes === 0 ? ADDITIONAL_DATA_BYTES : ID_ADDITIONAL_DATA_BYTES + this.#idBytes,
    );
    this.#additional = new DataView(bytes.buffer);
    this.#additionalBytes = bytes;
    if (this.#idBytes > 0) {
      // RFC 9146 section 5.3: "additional_data = seq_num_placeholder + tls12_cid + cid_length + tls12_cid +
      // DTLSCiphertext.version + epoch + sequence_number + cid + length_of_DTLSInnerPlaintext".
      bytes.fill(0xff, 0, 8);
      bytes.set([ContentType.TLS12_CID, this.#idBytes, ContentType.TLS12_CID], 8);
      this.#additional.setUint16(11, ProtocolVersion.DTLS_1_2);
      this.#additional.setUint16(13, epoch);
      bytes.set(connectionId, 21);
    } else {
      // RFC 5246 section 6.2.3.3: "additional_data = seq_num + TLSCompressed.type + TLSCompressed.version +
      // TLSCompressed.length", where RFC 6347 section 4.1.2.1 has epoch and number for seq_num.
      this.#additional.setUint16(0, epoch);
      this.#additional.setUint16(9, ProtocolVersion.DTLS_1_2);
    }
  }

  /** Valid until the next call. */
  additionalData(recordNumber: number, type: number, plaintextBytes: number): Uint8Array {
    const view = this.#additional;
    if (this.#idBytes > 0) {
      setUint48(view, 15, recordNumber);
    } else {
      setUint48(view, 2, recordNumber);
      view.setUint8(8, type);
    }
    view.setUint16(view.byteLength - 2, plaintextBytes);
    return this.#additionalBytes;
  }

  /** RFC 7905 section 2: the padded number "is XORed with the" IV; of GCM the number is the second part. */
  nonce(recordNumber: number): Uint8Array {
    const nonce = this.#nonce;
    nonce.set(this.#iv);
    if (this.explicitBytes > 0) nonce.fill(0, this.#iv.length);
    nonce[4]! ^= this.#epoch >>> 8;
    nonce[5]! ^= this.#epoch;
    let rest = recordNumber;
    for (let i = NONCE_BYTES - 1; rest > 0; i--) {
      nonce[i]! ^= rest % 256;
      rest = Math.floor(rest / 256);
    }
    return nonce;
  }

  /** The nonce that a record of GCM names. */
  explicitNonce(explicit: Uint8Array): Uint8Array {
    this.#nonce.set(this.#iv);
    this.#nonce.set(explicit, this.#iv.length);
    return this.#nonce;
  }

  destroy(): void {
    this.aead.destroy();
    this.#iv.fill(0);
  }
}

function setUint48(view: DataView, offset: number, value: number): void {
  view.setUint16(offset, Math.floor(value / 0x1_0000_0000));
  view.setUint32(offset + 2, value % 0x1_0000_0000);
}

/** Seals the records that this side sends in an epoch of DTLS 1.2. */
export class RecordSealer12 implements RecordSealer {
  readonly epoch: number;
  readonly #protection: Protection;
  readonly sealedRecordsMax: number;
  readonly connectionId: Uint8Array;
  #nextRecordNumber = 0;

  /** `connectionId` is the peer's, empty where it wants none. */
  constructor(epoch: number, suite: SuiteParameters, keys: RecordKeys12, connectionId: Uint8Array) {
    this.epoch = epoch;
    this.#protection = new Protection(epoch, keys, connectionId);
    this.sealedRecordsMax = suite.sealedRecordsMax;
    this.connectionId = connectionId;
  }

  get nextRecordNumber(): number {
    return this.#nextRecordNumber;
  }

  get overheadBytes(): number {
    const idBytes = this.connectionId.length;
    const { explicitBytes, aead } = this.#protection;
    return PLAINTEXT_HEADER_BYTES + idBytes + explicitBytes + (idBytes > 0 ? 1 : 0) + aead.tagBytes;
  }

  seal(datagram: Uint8Array, start: number, type: number, content: Uint8Array): number {
    const recordNumber = this.#nextRecordNumber;
    if (recordNumber >= this.sealedRecordsMax) {
      throw new DtlsError("key-exhausted", "the sending key has reached its limit");
    }
    this.#nextRecordNumber = recordNumber + 1;
    const { aead, explicitBytes } = this.#protection;
    const id = this.connectionId;
    const hasId = id.length > 0;
    const plaintextBytes = content.length + (hasId ? 1 : 0);
    const end = start + this.overheadBytes + content.length;
    const view = new DataView(datagram.buffer, datagram.byteOffset + start, end - start);
    view.setUint8(0, hasId ? ContentType.TLS12_CID : type);
    view.setUint16(1, ProtocolVersion.DTLS_1_2);
    view.setUint16(3, this.epoch);
    setUint48(view, 5, recordNumber);
    datagram.set(id, start + 11);
    view.setUint16(11 + id.length, explicitBytes + plaintextBytes + aead.tagBytes);
    const nonce = this.#protection.nonce(recordNumber);
    let at = start + PLAINTEXT_HEADER_BYTES + id.length;
    if (explicitBytes > 0) datagram.set(nonce.subarray(NONCE_BYTES - explicitBytes), at);
    at += explicitBytes;
    const sealed = datagram.subarray(at, end);
    sealed.set(content);
    if (hasId) sealed[content.length] = type;
    const additionalData = this.#protection.additionalData(recordNumber, type, plaintextBytes);
    aead.seal(nonce, additionalData, sealed.subarray(0, plaintextBytes), sealed);
    return end;
  }

  destroy(): void {
    this.#protection.destroy();
  }
}

/** Opens the records that the peer sends in an epoch of DTLS 1.2. */
export class RecordOpener12 implements RecordOpener {
  readonly epoch: number;
  readonly #protection: Protection;
  readonly #window: ReplayWindow;
  readonly #hasId: boolean;
  readonly forgedRecordsMax: number;

  /** `connectionId` is this side's, empty where it wants none. */
  constructor(
    epoch: number,
    keys: RecordKeys12,
    connectionId: Uint8Array,
    replayWindowRecords: number,
  ) {
    this.epoch = epoch;
    this.#protection = new Protection(epoch, keys, connectionId);
    this.#window = new ReplayWindow(replayWindowRecords);
    this.#hasId = connectionId.length > 0;
    this.forgedRecordsMax = this.#protection.explicitBytes > 0
      ? FORGED_RECORDS_MAX_GCM
      : FORGED_RECORDS_MAX_CHACHA;
  }

  get nextRecordNumber(): number {
    return this.#window.next;
  }

  /** RFC 9146 section 3: "a check MUST be made to determine whether a non-zero-length CID is expected". */
  accepts(record: RawRecord): boolean {
    return record.kind === "plaintext" && record.epoch === this.epoch &&
      record.version === ProtocolVersion.DTLS_1_2 &&
      (record.type === ContentType.TLS12_CID) === this.#hasId;
  }

  open(record: RawRecord): OpenResult {
    if (record.kind !== "plaintext") return { kind: "bad-tag" };
    const { type, recordNumber, content } = record;
    const check = this.#window.check(recordNumber);
    if (check !== "new") return { kind: check };
    const plaintext = this.#decrypt(type, recordNumber, content);
    if (plaintext === undefined) return { kind: "bad-tag" };
    this.#window.accept(recordNumber);
    if (plaintext.length > RECORD_CONTENT_BYTES_MAX) {
      throw new DtlsFault("record-overflow", "a record's content is longer than 2^14 bytes");
    }
    if (!this.#hasId) return { kind: "opened", recordNumber, type, content: plaintext };
    return { kind: "opened", recordNumber, ...readInnerPlaintext(plaintext) };
  }

  #decrypt(type: number, recordNumber: number, protectedBytes: Uint8Array): Uint8Array | undefined {
    const { aead, explicitBytes } = this.#protection;
    const plaintextBytes = protectedBytes.length - explicitBytes - aead.tagBytes;
    // Pitfall "a record shorter than its tag kills the association".
    if (plaintextBytes < 0) return undefined;
    const nonce = explicitBytes > 0
      ? this.#protection.explicitNonce(protectedBytes.subarray(0, explicitBytes))
      : this.#protection.nonce(recordNumber);
    const additionalData = this.#protection.additionalData(recordNumber, type, plaintextBytes);
    return aead.open(nonce, additionalData, protectedBytes.subarray(explicitBytes), true);
  }

  destroy(): void {
    this.#protection.destroy();
  }
}

/** RFC 9146 section 4: DTLSInnerPlaintext is content, its type, and zeros. */
function readInnerPlaintext(inner: Uint8Array): { type: number; content: Uint8Array } {
  let end = inner.length;
  while (end > 0 && inner[end - 1] === 0) end--;
  // RFC 8446 section 5.4, which RFC 9146 refers to: "If a receiving implementation does not find a non-zero octet in
  // the cleartext, it MUST terminate the connection with an "unexpected_message" alert."
  if (end === 0) throw new DtlsFault("unexpected-message", "a record without a content type");
  return { type: inner[end - 1]!, content: inner.subarray(0, end - 1) };
}
