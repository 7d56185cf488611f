// KeyUpdate: when this side changes its sending keys, and what it owes to a peer that changes its own (RFC 9147
// section 8, RFC 8446 section 4.6.3).

import { ByteReader } from "../base/byte_reader.ts";
import { DtlsFault } from "./errors.ts";

/**
 * RFC 9147 section 8: "sending implementations MUST NOT allow the epoch to exceed 2^48-1". Each epoch takes a
 * message_seq of two bytes, so less is reached; the RFC's revision: "implementations [...] MAY choose to enforce an
 * epoch limit of 2^16-1. In this case, the implementation MUST check for this limit, if reached, terminate the
 * association."
 */
export const EPOCH_MAX: number = 2 ** 16 - 1;

/**
 * Of the records that one key may seal, the part after which new keys are asked for. RFC 9147 section 4.5.3:
 * "Implementations SHOULD initiate a key update before reaching this limit."
 */
const UPDATE_AT_FRACTION = 3 / 4;

/** The part that application data may use. The rest is for what brings the update about: KeyUpdate, ACKs, alerts. */
const APPLICATION_DATA_FRACTION = 15 / 16;

/** Of the records that may fail to open under one key, the part after which the peer is asked for new keys. */
const UPDATE_AT_FORGED_FRACTION = 1 / 2;

const RequestUpdate = { NOT_REQUESTED: 0, REQUESTED: 1 } as const;

/** The body of a KeyUpdate. */
export function encodeKeyUpdate(isPeerAsked: boolean): Uint8Array {
  return new Uint8Array([isPeerAsked ? RequestUpdate.REQUESTED : RequestUpdate.NOT_REQUESTED]);
}

/** Whether a KeyUpdate asks for one in return. Throws `DecodeError`, or {@linkcode DtlsFault} for an unknown value. */
export function decodeKeyUpdate(body: Uint8Array): boolean {
  const reader = new ByteReader(body);
  const request = reader.u8();
  reader.expectEnd();
  // RFC 8446 section 4.6.3: "If an implementation receives any other value, it MUST terminate the connection with an
  // "illegal_parameter" alert."
  if (request !== RequestUpdate.NOT_REQUESTED && request !== RequestUpdate.REQUESTED) {
    throw new DtlsFault("illegal-parameter", "a KeyUpdate with an unknown request");
  }
  return request === RequestUpdate.REQUESTED;
}

/** How far one key has been used. */
export interface KeyUse {
  /** Records that were sealed, or failed to open. */
  readonly records: number;
  /** How many may be. */
  readonly recordsMax: number;
}

/** Whether a sending key is used so far that it is to be replaced. */
export function isUpdateDue({ records, recordsMax }: KeyUse): boolean {
  return records >= recordsMax * UPDATE_AT_FRACTION;
}

/** Whether a sending key may seal one more record of application data. */
export function mayCarryData({ records, recordsMax }: KeyUse): boolean {
  return records < recordsMax * APPLICATION_DATA_FRACTION;
}

/**
 * Whether so many records failed to open under a receiving key that the peer is to be asked for another one. RFC 9147
 * section 4.5.3: "Implementations SHOULD initiate a key update with update_requested before reaching this limit."
 */
export function isForgedUpdateDue({ records, recordsMax }: KeyUse): boolean {
  return records >= recordsMax * UPDATE_AT_FORGED_FRACTION;
}

/**
 * The updates of this side's sending keys: one at a time, from the wish for it to its acknowledgement. RFC 9147
 * section 5.8.4: "implementations MUST NOT send KeyUpdate [...] messages if an earlier message of the same type has
 * not yet been acknowledged."
 */
export class KeyUpdates {
  #phase: "idle" | "wanted" | "sent" = "idle";
  #asksPeer = false;

  /** Whether an update is wanted or was sent and is not acknowledged. */
  get isUnderWay(): boolean {
    return this.#phase !== "idle";
  }

  /**
   * Wants an update in an epoch; `asksPeer` wants the peer to change its keys as well. Returns whether one will be: not
   * while another is under way, and not past the last epoch.
   */
  want(asksPeer: boolean, sendingEpoch: number): boolean {
    if (this.#phase === "sent" || sendingEpoch >= EPOCH_MAX) return false;
    const isNew = this.#phase === "idle";
    this.#phase = "wanted";
    this.#asksPeer ||= asksPeer;
    return isNew;
  }

  /**
   * Takes the peer's KeyUpdate, which came in an epoch. Throws {@linkcode DtlsFault} or `DecodeError` where it must not
   * be; the next epoch's keys are to be installed where this returns.
   */
  onKeyUpdate(body: Uint8Array, receivingEpoch: number, sendingEpoch: number): void {
    const isAnswerWanted = decodeKeyUpdate(body);
    if (receivingEpoch >= EPOCH_MAX) {
      throw new DtlsFault("unexpected-message", "too many key updates: the epochs are used up");
    }
    // RFC 8446 section 4.6.3: "If the request_update field is set to "update_requested", then the receiver MUST send a
    // KeyUpdate of its own"; several requests, and one that crosses this side's own update, have one answer. RFC 9147
    // section 8: past the last epoch it "SHOULD instead ignore the "update_requested" flag".
    if (isAnswerWanted) this.want(false, sendingEpoch);
  }

  /** The body of the KeyUpdate that is to be sent now, if one is. */
  take(): Uint8Array | undefined {
    if (this.#phase !== "wanted") return undefined;
    this.#phase = "sent";
    return encodeKeyUpdate(this.#asksPeer);
  }

  /**
   * The KeyUpdate was acknowledged, and so was all before it: the new keys are to be installed. RFC 9147 section 8:
   * "Implementations MUST NOT send records with the new keys until the KeyUpdate and all preceding messages have been
   * acknowledged."
   */
  onAcknowledged(): void {
    this.#phase = "idle";
    this.#asksPeer = false;
  }
}
