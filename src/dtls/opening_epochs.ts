// The epochs whose records an association opens: the newest, and those before it for as long as records of theirs may
// be under way (RFC 9147 sections 4.2.1 and 8).

import { type Milliseconds, NEVER } from "../base/core.ts";
import { DtlsError } from "./errors.ts";
import type { KeyUse } from "./key_update.ts";
import type { RawRecord } from "./record.ts";
import type { RecordOpener } from "./record_protection.ts";

/** A header has two bits of the epoch: of two epochs that are four apart only one can be meant. */
const EPOCHS_MAX = 4;

interface OpeningEpoch {
  readonly opener: RecordOpener;
  /** Records that failed to open. */
  forgedRecords: number;
  /** Whether any record was opened. */
  isUsed: boolean;
  /** When its keys go. */
  until: Milliseconds;
}

/** The keys to open with. */
export class OpeningEpochs {
  readonly #oldEpochMs: Milliseconds;
  readonly #forgedRecordsMax: number;
  /** In the order of their epochs. */
  readonly #epochs: OpeningEpoch[] = [];

  /** An earlier epoch lives `oldEpochMs`; `forgedRecordsMax` applies where an AEAD bears more. */
  constructor(oldEpochMs: Milliseconds, forgedRecordsMax: number) {
    this.#oldEpochMs = oldEpochMs;
    this.#forgedRecordsMax = forgedRecordsMax;
  }

  /** The newest epoch, 0 before there are keys. */
  get newest(): number {
    return this.#epochs.at(-1)?.opener.epoch ?? 0;
  }

  /** How many epochs there are keys for. */
  get count(): number {
    return this.#epochs.length;
  }

  /** How many records failed to open under the newest key, and how many may. */
  get newestForged(): KeyUse {
    const newest = this.#epochs.at(-1);
    if (newest === undefined) return { records: 0, recordsMax: Infinity };
    return { records: newest.forgedRecords, recordsMax: this.#forgedMax(newest) };
  }

  /** Adds a newer epoch. */
  add(opener: RecordOpener): void {
    while (this.#epochs.length > 0 && this.#epochs[0]!.opener.epoch <= opener.epoch - EPOCHS_MAX) {
      this.#epochs.shift()!.opener.destroy();
    }
    this.#epochs.push({ opener, forgedRecords: 0, isUsed: false, until: NEVER });
  }

  /**
   * What opens a record. RFC 9147 section 4.2.2: "if the epoch bits do not match those from the current epoch,
   * implementations SHOULD use the most recent past epoch which has matching bits".
   */
  find(record: RawRecord): RecordOpener | undefined {
    return this.#epochs.findLast(({ opener }) => opener.accepts(record))?.opener;
  }

  /**
   * A record was opened. RFC 9147 section 8: "receivers MUST retain the pre-update keying material until receipt and
   * successful decryption of a message using the new keys"; from then on (section 4.2.1) "for up to the default MSL".
   */
  onOpened(by: RecordOpener, now: Milliseconds): void {
    const at = this.#epochs.findIndex(({ opener }) => opener === by);
    const used = this.#epochs[at];
    if (used === undefined || used.isUsed) return;
    used.isUsed = true;
    for (const earlier of this.#epochs.slice(0, at)) {
      earlier.until = Math.min(earlier.until, now + this.#oldEpochMs);
    }
  }

  /**
   * A record failed to open. Throws {@linkcode DtlsError} where the newest key has borne as many as it may. RFC 9147
   * section 4.5.3: "Once a key update has been initiated, the previous keys can be dropped when the limit is reached
   * rather than closing the connection."
   */
  onForged(by: RecordOpener): void {
    const at = this.#epochs.findIndex(({ opener }) => opener === by);
    const forged = this.#epochs[at];
    if (forged === undefined || ++forged.forgedRecords < this.#forgedMax(forged)) return;
    if (at === this.#epochs.length - 1) {
      throw new DtlsError("forgery-limit", "too many records of one key could not be opened");
    }
    forged.opener.destroy();
    this.#epochs.splice(at, 1);
  }

  #forgedMax({ opener }: OpeningEpoch): number {
    return Math.min(opener.forgedRecordsMax, this.#forgedRecordsMax);
  }

  /** When {@linkcode OpeningEpochs.dropOld} is due. */
  pollTimeout(): Milliseconds {
    let next = NEVER;
    for (const { until } of this.#epochs) next = Math.min(next, until);
    return next;
  }

  /** Zeroes the keys whose time is over. */
  dropOld(now: Milliseconds): void {
    for (let at = this.#epochs.length - 1; at >= 0; at--) {
      const { opener, until } = this.#epochs[at]!;
      if (now < until) continue;
      opener.destroy();
      this.#epochs.splice(at, 1);
    }
  }

  /** Zeroes all keys. */
  destroy(): void {
    for (const { opener } of this.#epochs.splice(0)) opener.destroy();
  }
}
