// What an association gives its handshake to work with.

import type { Entropy, Milliseconds } from "../base/core.ts";
import type { HandshakeType } from "./code_points.ts";
import { ownConnectionIds, ReceiveConnectionIds } from "./connection_ids.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import type { EarlyDataChannel } from "./early_data_channel.ts";
import { type Erasable, erase, type HandshakeIo } from "./handshake.ts";
import type { HandshakeReliability } from "./handshake_reliability.ts";
import type { KeyLogLabel } from "./key_log.ts";
import type { DtlsLimits } from "./limits.ts";
import type { DtlsOptions, DtlsVersion } from "./options.ts";
import type { RecordLayer } from "./record_layer.ts";
import type { RecordOpener, RecordSealer } from "./record_protection.ts";
import { Transcript } from "./transcript.ts";

/** The secrets of one association, until each is zeroed. */
export class Secrets {
  readonly #ofHandshake: Erasable[] = [];
  readonly #ofAssociation: Erasable[] = [];

  /** Keeps secrets for the handshake. */
  addOfHandshake(secrets: readonly Erasable[]): void {
    this.#ofHandshake.push(...secrets);
  }

  /** Keeps secrets for the association. */
  add(secrets: readonly Erasable[]): void {
    this.#ofAssociation.push(...secrets);
  }

  /** The handshake is over. */
  eraseOfHandshake(): void {
    for (const secret of this.#ofHandshake) erase(secret);
    this.#ofHandshake.length = 0;
  }

  /** The association is over. */
  erase(): void {
    this.eraseOfHandshake();
    for (const secret of this.#ofAssociation) erase(secret);
    this.#ofAssociation.length = 0;
  }
}

/** The parts of an association that a handshake works on. */
export interface AssociationParts {
  readonly options: DtlsOptions;
  readonly limits: DtlsLimits;
  readonly records: RecordLayer;
  readonly reliability: HandshakeReliability;
  readonly secrets: Secrets;
  readonly earlyData: EarlyDataChannel;
  readonly now: () => Milliseconds;
  readonly onVersion: (version: DtlsVersion) => void;
  readonly onExpectedEpoch: (epoch: number) => void;
}

/** Joins the parts into what a handshake is written against. */
export class AssociationIo implements HandshakeIo {
  readonly provider: CryptoProvider;
  readonly limits: DtlsLimits;
  readonly entropy: Entropy;
  readonly transcript: Transcript;
  readonly earlyData: EarlyDataChannel;
  readonly #parts: AssociationParts;

  constructor(parts: AssociationParts) {
    const { options, limits, earlyData } = parts;
    this.provider = options.provider;
    this.limits = limits;
    this.entropy = options.entropy;
    this.transcript = new Transcript(options.provider);
    this.earlyData = earlyData;
    this.#parts = parts;
  }

  now(): Milliseconds {
    return this.#parts.now();
  }

  get receiveConnectionId(): Uint8Array {
    return this.#parts.records.receiveIds.first;
  }

  get sendConnectionId(): Uint8Array {
    return this.#parts.records.sendIds.current;
  }

  setVersion(version: DtlsVersion): void {
    const { reliability, records, onVersion } = this.#parts;
    reliability.version = version;
    onVersion(version);
    records.onVersion();
  }

  beginFlight(): void {
    this.#parts.reliability.beginFlight();
  }

  send(type: HandshakeType, body: Uint8Array): void {
    const { reliability, records } = this.#parts;
    this.transcript.add(reliability.send(type, body, records.sealingEpoch));
  }

  sendAfterHandshake(type: HandshakeType, body: Uint8Array): void {
    this.#parts.reliability.enqueue({ type, body });
  }

  sendChangeCipherSpec(): void {
    const { reliability, records } = this.#parts;
    reliability.sendChangeCipherSpec(records.sealingEpoch);
  }

  installSealer(sealer: RecordSealer): void {
    this.#parts.records.addSealer(sealer);
  }

  installEarlyOpener(opener: RecordOpener): void {
    this.#parts.records.addEarlyOpener(opener);
  }

  installOpener(opener: RecordOpener): void {
    this.#parts.records.addOpener(opener);
  }

  expectEpoch(epoch: number): void {
    this.#parts.onExpectedEpoch(epoch);
    this.#parts.reliability.onNewEpoch(epoch);
  }

  setConnectionIds(receive: Uint8Array, send: Uint8Array): void {
    const { options, limits, records } = this.#parts;
    const source = options.connectionIds ?? ownConnectionIds(options.entropy, receive.length);
    const ids = new ReceiveConnectionIds(receive, source, limits.connectionIdsMax);
    records.beginConnectionIds(ids, send);
  }

  limitContent(sendBytesMax: number, receiveBytesMax: number): void {
    this.#parts.records.limitContent(sendBytesMax, receiveBytesMax);
  }

  eraseAfterHandshake(...secrets: readonly Erasable[]): void {
    this.#parts.secrets.addOfHandshake(secrets);
  }

  eraseAtEnd(...secrets: readonly Erasable[]): void {
    this.#parts.secrets.add(secrets);
  }

  logSecret(label: KeyLogLabel, clientRandom: Uint8Array, secret: Uint8Array): void {
    this.#parts.options.keyLog?.(label, clientRandom, secret);
  }
}
