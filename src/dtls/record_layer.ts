// The record layer of one association: its epochs in both directions, connection IDs, and datagrams of records.

import { Counters } from "../base/counters.ts";
import type { Milliseconds } from "../base/core.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import type { RecordNumber } from "./ack.ts";
import { ReceiveConnectionIds, SendConnectionIds } from "./connection_ids.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import type { RecordSink } from "./flight.ts";
import type { KeyUse } from "./key_update.ts";
import type { DtlsLimits } from "./limits.ts";
import { OpeningEpochs } from "./opening_epochs.ts";
import { ProtocolVersion } from "./code_points.ts";
import {
  PLAINTEXT_HEADER_BYTES,
  type RawRecord,
  readRecord,
  RECORD_CONTENT_BYTES_MAX,
  writePlaintextRecord,
} from "./record.ts";
import type { RecordOpener, RecordSealer } from "./record_protection.ts";

/** Why a record or a piece of one was dropped. */
export type DtlsDropReason =
  | "malformed-record"
  | "malformed-fragment"
  | "unknown-epoch"
  | "plaintext-content"
  | "connection-id"
  | "bad-tag"
  | "replay"
  | "too-old"
  | "early-data"
  | "duplicate-message"
  | "discarded-message"
  | "unexpected-plaintext"
  | "unauthenticated-alert"
  | "unknown-content"
  | "after-close"
  | "event-queue-full";

/** A record whose content may be looked at. In epoch 0 nobody vouches for it. */
export interface OpenedRecord extends RecordNumber {
  readonly type: number;
  readonly content: Uint8Array;
  /** Bytes of the whole record. */
  readonly lengthBytes: number;
  /** Newer, by epoch and number, than all that were opened before. Never in epoch 0. */
  readonly isNewest: boolean;
}

/** What the next record of epoch 0 has. */
export interface PlaintextState {
  /**
   * RFC 9147 section 4: legacy_record_version "MUST be set to {254, 253} for all records other than the initial
   * ClientHello (i.e., one not generated after a HelloRetryRequest), where it may also be {254, 255} for compatibility
   * purposes": there are servers of DTLS 1.2 that take no other.
   */
  version: ProtocolVersion;
  nextRecordNumber: number;
}

/** The epochs of one association. */
export class RecordLayer {
  readonly #drops: Counters<DtlsDropReason>;
  readonly #sealers: RecordSealer[] = [];
  readonly #openers: OpeningEpochs;
  #earlyOpener: RecordOpener | undefined;
  readonly #plaintext: PlaintextState;
  #isAnyOpened = false;
  #hasUnreadable = false;
  #receiveIds: ReceiveConnectionIds;
  #sendBytesMax = RECORD_CONTENT_BYTES_MAX;
  #receiveBytesMax = RECORD_CONTENT_BYTES_MAX;
  /** The newest record that was opened. */
  readonly #newest = { epoch: 0, recordNumber: 0 };
  readonly #sendIds: SendConnectionIds;

  constructor(
    limits: DtlsLimits,
    drops: Counters<DtlsDropReason>,
    plaintext: PlaintextState = { version: ProtocolVersion.DTLS_1_2, nextRecordNumber: 0 },
  ) {
    this.#drops = drops;
    this.#openers = new OpeningEpochs(limits.oldEpochMs, limits.forgedRecordsMax);
    this.#receiveIds = new ReceiveConnectionIds(EMPTY_BYTES, undefined, 1);
    this.#sendIds = new SendConnectionIds(limits.connectionIdsMax);
    this.#plaintext = plaintext;
  }

  /** The version was chosen: what {@linkcode PlaintextState} says of the initial ClientHello is over. */
  onVersion(): void {
    this.#plaintext.version = ProtocolVersion.DTLS_1_2;
  }

  /** The newest epoch that this side seals in, 0 before there are keys. */
  get sealingEpoch(): number {
    return this.#sealers.at(-1)?.epoch ?? 0;
  }

  /** The newest epoch that this side opens, 0 before there are keys. */
  get openingEpoch(): number {
    return this.#openers.newest;
  }

  /** Whether any protected record of the peer was opened: from then on nothing unprotected ends the association. */
  get isAnyOpened(): boolean {
    return this.#isAnyOpened;
  }

  /** The IDs that records to this side carry. */
  get receiveIds(): ReceiveConnectionIds {
    return this.#receiveIds;
  }

  /** The IDs for records to the peer. */
  get sendIds(): SendConnectionIds {
    return this.#sendIds;
  }

  /** The handshake has settled on connection IDs. */
  beginConnectionIds(receiveIds: ReceiveConnectionIds, sendId: Uint8Array): void {
    this.#receiveIds = receiveIds;
    this.#sendIds.begin(sendId);
  }

  /** Puts the present ID into all records from here on. */
  applySendId(): void {
    for (const sealer of this.#sealers) sealer.connectionId = this.#sendIds.current;
  }

  /** Whether protected records came, since the last call, before there were keys for any. */
  takeUnreadable(): boolean {
    const hadUnreadable = this.#hasUnreadable;
    this.#hasUnreadable = false;
    return hadUnreadable;
  }

  /** How many records failed to open under the newest key, and how many may. */
  get forgedUse(): KeyUse {
    return this.#openers.newestForged;
  }

  /** How many records the newest key has sealed, and how many it may. */
  get sealedUse(): KeyUse {
    const sealer = this.#sealers.at(-1);
    if (sealer === undefined) return { records: 0, recordsMax: Infinity };
    return { records: sealer.nextRecordNumber, recordsMax: sealer.sealedRecordsMax };
  }

  /** When {@linkcode RecordLayer.dropOldEpochs} is due. */
  get oldEpochsUntil(): Milliseconds {
    return this.#openers.pollTimeout();
  }

  /**
   * Adds the keys of a newer epoch to send with. Those before stay for retransmissions until {@linkcode
   * RecordLayer.dropSealersBefore}.
   */
  addSealer(sealer: RecordSealer): void {
    this.#sealers.push(sealer);
  }

  /** Adds the keys of a newer epoch to receive with; those before stay a while for records that were overtaken. */
  addOpener(opener: RecordOpener): void {
    this.#openers.add(opener);
  }

  /** Adds the keys of a client's early data, whose records have no connection ID: none was negotiated before. */
  addEarlyOpener(opener: RecordOpener): void {
    this.#earlyOpener = opener;
  }

  /** Whether early data is opened. */
  get isOpeningEarly(): boolean {
    return this.#earlyOpener !== undefined;
  }

  #dropEarlyOpener(): void {
    this.#earlyOpener?.destroy();
    this.#earlyOpener = undefined;
  }

  /** Zeroes sealing keys of epochs before the newest that `isNeeded` does not want. */
  dropSealersBefore(isNeeded: (epoch: number) => boolean): void {
    for (let i = this.#sealers.length - 2; i >= 0; i--) {
      const sealer = this.#sealers[i]!;
      if (isNeeded(sealer.epoch)) continue;
      sealer.destroy();
      this.#sealers.splice(i, 1);
    }
  }

  /** Zeroes the keys of epochs before the newest, once their time is over. */
  dropOldEpochs(now: Milliseconds): void {
    this.#openers.dropOld(now);
  }

  /** Zeroes all keys. */
  destroy(): void {
    for (const sealer of this.#sealers.splice(0)) sealer.destroy();
    this.#openers.destroy();
    this.#dropEarlyOpener();
  }

  /**
   * Opens the records of a datagram one after the other. Noise is counted; an authenticated record that is
   * malformed throws {@linkcode DtlsFault}, and too many forged ones {@linkcode DtlsError}.
   */
  openDatagram(
    datagram: Uint8Array,
    now: Milliseconds,
    onRecord: (record: OpenedRecord) => void,
  ): void {
    let at = 0;
    do {
      const start = at;
      const record = readRecord(datagram, start, this.#receiveIds.lengthBytes);
      if (record === undefined) return this.#drops.add("malformed-record");
      at = record.end;
      if (record.kind === "plaintext" && record.epoch === 0) {
        const { epoch, recordNumber, type, content } = record;
        const lengthBytes = at - start;
        onRecord({ epoch, recordNumber, type, content, lengthBytes, isNewest: false });
        continue;
      }
      const early = this.#earlyOpener;
      if (early?.accepts(record) === true) {
        const opened = this.#openEarly(early, record, at - start);
        if (opened !== undefined) onRecord(opened);
        continue;
      }
      // RFC 9147 section 4: "If the second or later record has a connection ID which does not correspond to the
      // same association used for previous records, the rest of the datagram MUST be discarded."
      const id = record.connectionId;
      if (!this.#receiveIds.accepts(id)) {
        return this.#drops.add("connection-id");
      }
      const opened = this.#open(record, at - start, now);
      if (opened === undefined) continue;
      if (id !== undefined) this.#receiveIds.onUsed(id);
      onRecord(opened);
    } while (at < datagram.length);
  }

  /** A record of early data says nothing of the client's keys, or of whether it is there: anybody may have sent it. */
  #openEarly(
    opener: RecordOpener,
    record: RawRecord,
    lengthBytes: number,
  ): OpenedRecord | undefined {
    const result = opener.open(record);
    if (result.kind !== "opened") {
      this.#drops.add(result.kind);
      return undefined;
    }
    const { recordNumber, type, content } = result;
    return { epoch: opener.epoch, recordNumber, type, content, lengthBytes, isNewest: false };
  }

  #open(
    record: RawRecord,
    lengthBytes: number,
    now: Milliseconds,
  ): OpenedRecord | undefined {
    const opener = this.#openers.find(record);
    if (opener === undefined) {
      this.#drops.add("unknown-epoch");
      this.#hasUnreadable ||= this.#openers.count === 0;
      return undefined;
    }
    const result = opener.open(record);
    if (result.kind !== "opened") {
      this.#drops.add(result.kind);
      if (result.kind === "bad-tag") this.#openers.onForged(opener);
      return undefined;
    }
    this.#openers.onOpened(opener, now);
    this.#isAnyOpened = true;
    // RFC 9147 section 5.6: "Servers SHOULD NOT accept records from epoch 1 indefinitely once they are able to process
    // records from epoch 3. [...] Servers could discard epoch 1 keys after the first epoch 3 data arrives".
    if (opener.epoch >= 3) this.#dropEarlyOpener();
    const { recordNumber, type, content } = result;
    // RFC 8449 section 4: "a DTLS endpoint that receives a record larger than its advertised limit MAY either
    // generate a fatal "record_overflow" alert or discard the record."
    if (content.length > this.#receiveBytesMax) {
      throw new DtlsFault("record-overflow", "a record's content is longer than was announced");
    }
    const { epoch } = opener;
    return {
      epoch,
      recordNumber,
      type,
      content,
      lengthBytes,
      isNewest: this.#isNewest(epoch, recordNumber),
    };
  }

  #isNewest(epoch: number, recordNumber: number): boolean {
    const newest = this.#newest;
    if (epoch < newest.epoch) return false;
    if (epoch === newest.epoch && recordNumber <= newest.recordNumber) return false;
    newest.epoch = epoch;
    newest.recordNumber = recordNumber;
    return true;
  }

  /** Both sides have told how large the records to them may be: bytes of content. */
  limitContent(sendBytesMax: number, receiveBytesMax: number): void {
    this.#sendBytesMax = sendBytesMax;
    this.#receiveBytesMax = receiveBytesMax;
  }

  /** Bytes of content that a protected record to the peer may have. */
  get contentBytesMax(): number {
    return this.#sendBytesMax;
  }

  /**
   * Seals one record of the newest epoch into a datagram of its own, with a connection ID that need not be the one in
   * use. Throws {@linkcode DtlsError} before there are keys, and where the content is larger than a record may be.
   */
  sealAlone(
    type: number,
    content: Uint8Array,
    connectionId: Uint8Array = this.#sendIds.current,
  ): Uint8Array {
    const sealer = this.#sealers.at(-1);
    if (sealer === undefined) throw new DtlsError("not-connected", "there are no keys yet");
    if (content.length > this.#sendBytesMax) {
      throw new DtlsError(
        "record-too-large",
        `a record carries at most ${this.#sendBytesMax} bytes`,
      );
    }
    const usual = sealer.connectionId;
    if (connectionId !== usual) sealer.connectionId = connectionId;
    const datagram = new Uint8Array(content.length + sealer.overheadBytes);
    sealer.seal(datagram, 0, type, content);
    if (connectionId !== usual) sealer.connectionId = usual;
    return datagram;
  }

  /** Bytes that a record of the newest epoch is longer than its content. */
  get overheadBytes(): number {
    return this.#sealers.at(-1)?.overheadBytes ?? PLAINTEXT_HEADER_BYTES;
  }

  /** Begins a datagram of at most `datagramBytesMax` bytes that records are written into. */
  startDatagram(datagramBytesMax: number): DatagramWriter {
    return new DatagramWriter(
      datagramBytesMax,
      this.#sendBytesMax,
      this.#sealers,
      this.#plaintext,
    );
  }
}

/** Where the next datagram is put together: most of them are shorter than they may be, and many are empty. */
let spareRoom: Uint8Array | undefined;

/** One datagram to be filled with records of any epochs that there are keys for. */
export class DatagramWriter implements RecordSink {
  readonly #bytes: Uint8Array;
  readonly #contentBytesMax: number;
  readonly #bytesMax: number;
  readonly #sealers: readonly RecordSealer[];
  readonly #plaintext: PlaintextState;
  #length = 0;

  constructor(
    bytesMax: number,
    contentBytesMax: number,
    sealers: readonly RecordSealer[],
    plaintext: PlaintextState,
  ) {
    this.#bytes = spareRoom !== undefined && spareRoom.length >= bytesMax
      ? spareRoom
      : new Uint8Array(bytesMax);
    spareRoom = undefined;
    this.#bytesMax = bytesMax;
    this.#contentBytesMax = contentBytesMax;
    this.#sealers = sealers;
    this.#plaintext = plaintext;
  }

  roomFor(epoch: number): number {
    const left = this.#bytesMax - this.#length;
    if (epoch === 0) return left - PLAINTEXT_HEADER_BYTES;
    return Math.min(left - this.#sealer(epoch).overheadBytes, this.#contentBytesMax);
  }

  write(epoch: number, type: number, content: Uint8Array): RecordNumber {
    if (epoch === 0) {
      const { version } = this.#plaintext;
      const recordNumber = this.#plaintext.nextRecordNumber++;
      const start = this.#length;
      this.#length = writePlaintextRecord(this.#bytes, start, type, recordNumber, content, version);
      return { epoch, recordNumber };
    }
    const sealer = this.#sealer(epoch);
    const recordNumber = sealer.nextRecordNumber;
    this.#length = sealer.seal(this.#bytes, this.#length, type, content);
    return { epoch, recordNumber };
  }

  #sealer(epoch: number): RecordSealer {
    const sealer = this.#sealers.find((candidate) => candidate.epoch === epoch);
    if (sealer === undefined) {
      throw new DtlsError("internal", `no keys to send with in epoch ${epoch}`);
    }
    return sealer;
  }

  /** The datagram, or `undefined` where nothing was written. Nothing is written after that. */
  finish(): Uint8Array | undefined {
    spareRoom = this.#bytes;
    return this.#length === 0 ? undefined : this.#bytes.slice(0, this.#length);
  }
}
