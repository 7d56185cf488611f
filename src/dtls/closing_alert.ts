// The last alert of an association, sent again for a while for what the peer still sends (RFC 9147 section 5.10).

import type { Milliseconds } from "../base/core.ts";
import { type AlertDescription, type AlertLevel, ContentType } from "./code_points.ts";
import { DtlsError } from "./errors.ts";
import { AMPLIFICATION_MAX } from "./limits.ts";
import type { RecordLayer } from "./record_layer.ts";

/**
 * RFC 9147 section 5.10: an implementation "which would ordinarily issue an alert SHOULD generate a new alert message
 * if the offending record is received again". Here it is the same bytes again: no key is needed, and no number is
 * used twice.
 */
export class ClosingAlert {
  /** When the association forgets its peer. */
  readonly until: Milliseconds;
  readonly #datagram: Uint8Array | undefined;
  #answersLeft: number;
  #isDue: boolean;

  /** `datagram` holds the alert; `undefined` where it could not be sealed, and the peer finds out by silence. */
  constructor(datagram: Uint8Array | undefined, answersMax: number, until: Milliseconds) {
    this.until = until;
    this.#datagram = datagram;
    this.#answersLeft = answersMax;
    this.#isDue = datagram !== undefined;
  }

  /** The peer sent something: the alert may have been lost. */
  onDatagram(datagramBytes: number): void {
    // There are no keys any more that would tell who sent it.
    const isWorthIt = (this.#datagram?.length ?? 0) <= AMPLIFICATION_MAX * datagramBytes;
    if (this.#datagram === undefined || this.#answersLeft === 0 || !isWorthIt) return;
    this.#answersLeft--;
    this.#isDue = true;
  }

  /** The datagram to send, if it is time to. */
  poll(): Uint8Array | undefined {
    if (!this.#isDue) return undefined;
    this.#isDue = false;
    return this.#datagram;
  }
}

/** What the next alert is written from. */
const alert = new Uint8Array(2);

/** A datagram with an alert; `undefined` where the key that would seal it is worn out. */
export function sealAlert(
  records: RecordLayer,
  datagramBytesMax: number,
  level: AlertLevel,
  description: AlertDescription,
): Uint8Array | undefined {
  try {
    const writer = records.startDatagram(datagramBytesMax);
    alert[0] = level;
    alert[1] = description;
    writer.write(records.sealingEpoch, ContentType.ALERT, alert);
    return writer.finish();
  } catch (error) {
    if (!(error instanceof DtlsError)) throw error;
    return undefined;
  }
}
