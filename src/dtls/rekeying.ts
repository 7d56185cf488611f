// New traffic keys for an association that goes on: KeyUpdate messages both ways, asked for by the caller, by the
// peer, or by what the keys have been used for (RFC 9147 sections 4.5.3 and 8).

import type { SuiteParameters } from "./cipher_suites.ts";
import { HandshakeType } from "./code_points.ts";
import { DtlsError } from "./errors.ts";
import { type HandshakeIo, scheduleParameters } from "./handshake.ts";
import type { HandshakeReliability } from "./handshake_reliability.ts";
import { nextTrafficSecret } from "./key_schedule.ts";
import { EPOCH_MAX, isForgedUpdateDue, isUpdateDue, KeyUpdates } from "./key_update.ts";
import type { RecordLayer } from "./record_layer.ts";
import { trafficOpener, trafficSealer } from "./traffic_epochs.ts";

/** The application traffic secrets in use; each is replaced in its place, so that it is zeroed with the association. */
interface TrafficSecrets {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

/** What of an association new keys are made with. */
export interface RekeyingParts {
  readonly io: HandshakeIo;
  readonly records: RecordLayer;
  readonly reliability: HandshakeReliability;
}

/** Updates the keys of one association of DTLS 1.3 after its handshake. */
export class Rekeying {
  readonly #io: HandshakeIo;
  readonly #records: RecordLayer;
  readonly #reliability: HandshakeReliability;
  readonly #suite: SuiteParameters;
  readonly #secrets: TrafficSecrets;
  readonly #updates = new KeyUpdates();
  /** The peer's epoch that it was last asked to leave. */
  #forgedEpoch = 0;

  constructor(
    { io, records, reliability }: RekeyingParts,
    suite: SuiteParameters,
    secrets: TrafficSecrets,
  ) {
    this.#io = io;
    this.#records = records;
    this.#reliability = reliability;
    this.#suite = suite;
    this.#secrets = secrets;
  }

  /** Whether a KeyUpdate of this side is not acknowledged yet. */
  get isUnderWay(): boolean {
    return this.#updates.isUnderWay;
  }

  /**
   * Sends a KeyUpdate. Returns false where one is under way. Throws {@linkcode DtlsError} where the epochs or the
   * message numbers are used up.
   */
  update(asksPeer: boolean): boolean {
    const epoch = this.#records.sealingEpoch;
    if (epoch >= EPOCH_MAX) {
      throw new DtlsError("too-many-key-updates", "the epochs of the association are used up");
    }
    this.#reliability.checkNumbers();
    const isNew = this.#updates.want(asksPeer, epoch);
    this.#send();
    return isNew;
  }

  /** Takes the peer's KeyUpdate. Throws `DtlsFault` or `DecodeError` where it must not be. */
  onKeyUpdate(body: Uint8Array): void {
    const epoch = this.#records.openingEpoch;
    this.#updates.onKeyUpdate(body, epoch, this.#records.sealingEpoch);
    this.#advance(this.#secrets.receive);
    this.#io.installOpener(
      trafficOpener(this.#io, epoch + 1, this.#suite, this.#secrets.receive),
    );
    this.#io.expectEpoch(epoch + 1);
    if (this.#reliability.hasNumbers) this.#send();
  }

  /** A record was sealed: begins an update where the key is near its limit. */
  checkSealed(): void {
    if (isUpdateDue(this.#records.sealedUse)) this.#begin(false);
  }

  /** Records may have failed to open: has the peer update its keys where the key is near its limit. */
  checkForged(): void {
    const epoch = this.#records.openingEpoch;
    if (epoch === this.#forgedEpoch || !isForgedUpdateDue(this.#records.forgedUse)) return;
    if (this.#begin(true)) this.#forgedEpoch = epoch;
  }

  #begin(asksPeer: boolean): boolean {
    if (!this.#reliability.hasNumbers) return false;
    const isNew = this.#updates.want(asksPeer, this.#records.sealingEpoch);
    this.#send();
    return isNew;
  }

  #send(): void {
    const body = this.#updates.take();
    if (body === undefined) return;
    // RFC 9147 section 8: "After sending KeyUpdate in an epoch, implementations MUST NOT send any new post-handshake
    // messages in that epoch."
    const onAcked = () => this.#onAcknowledged();
    this.#reliability.enqueue({ type: HandshakeType.KEY_UPDATE, body, isLast: true, onAcked });
  }

  #onAcknowledged(): void {
    this.#updates.onAcknowledged();
    this.#advance(this.#secrets.send);
    const epoch = this.#records.sealingEpoch + 1;
    this.#io.installSealer(trafficSealer(this.#io, epoch, this.#suite, this.#secrets.send));
  }

  #advance(secret: Uint8Array): void {
    const next = nextTrafficSecret(scheduleParameters(this.#io.provider, this.#suite), secret);
    secret.set(next);
    next.fill(0);
  }
}
