// What an association gives its handshake to work with.

import type { Milliseconds } from "../base/core.ts";
import { ownConnectionIds, ReceiveConnectionIds } from "./connection_ids.ts";
import type { EarlyDataChannel } from "./early_data_channel.ts";
import { type Erasable, erase, type HandshakeIo } from "./handshake.ts";
import type { HandshakeReliability } from "./handshake_reliability.ts";
import type { DtlsLimits } from "./limits.ts";
import type { DtlsOptions, DtlsVersion } from "./options.ts";
import type { RecordLayer } from "./record_layer.ts";
import { Transcript } from "./transcript.ts";

/** The secrets of one association, until each is zeroed. */
export class Secrets {
  #ofHandshake: readonly Erasable[] = [];
  #ofAssociation: readonly Erasable[] = [];

  /** Keeps secrets for the handshake. */
  addOfHandshake(secrets: readonly Erasable[]): void {
    this.#ofHandshake = [...this.#ofHandshake, ...secrets];
  }

  /** Keeps secrets for the association. */
  add(secrets: readonly Erasable[]): void {
    this.#ofAssociation = [...this.#ofAssociation, ...secrets];
  }

  /** The handshake is over. */
  eraseOfHandshake(): void {
    for (const secret of this.#ofHandshake) erase(secret);
    this.#ofHandshake = [];
  }

  /** The association is over. */
  erase(): void {
    this.eraseOfHandshake();
    for (const secret of this.#ofAssociation) erase(secret);
    this.#ofAssociation = [];
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
export function handshakeIo(
  { options, limits, records, reliability, secrets, earlyData, now, onVersion, onExpectedEpoch }:
    AssociationParts,
): HandshakeIo {
  const transcript = new Transcript(options.provider);
  return {
    provider: options.provider,
    limits,
    entropy: options.entropy,
    transcript,
    now,
    get receiveConnectionId() {
      return records.receiveIds.first;
    },
    get sendConnectionId() {
      return records.sendIds.current;
    },
    setVersion: (version) => {
      reliability.version = version;
      onVersion(version);
      records.onVersion();
    },
    beginFlight: () => reliability.beginFlight(),
    send: (type, body) => transcript.add(reliability.send(type, body, records.sealingEpoch)),
    sendAfterHandshake: (type, body) => reliability.enqueue({ type, body }),
    sendChangeCipherSpec: () => reliability.sendChangeCipherSpec(records.sealingEpoch),
    installSealer: (sealer) => records.addSealer(sealer),
    earlyData,
    installEarlyOpener: (opener) => records.addEarlyOpener(opener),
    installOpener: (opener) => records.addOpener(opener),
    expectEpoch: (epoch) => {
      onExpectedEpoch(epoch);
      reliability.onNewEpoch(epoch);
    },
    setConnectionIds: (receive, send) => {
      const source = options.connectionIds ?? ownConnectionIds(options.entropy, receive.length);
      const ids = new ReceiveConnectionIds(receive, source, limits.connectionIdsMax);
      records.beginConnectionIds(ids, send);
    },
    limitContent: (send, receive) => records.limitContent(send, receive),
    eraseAfterHandshake: (...added) => secrets.addOfHandshake(added),
    eraseAtEnd: (...added) => secrets.add(added),
    logSecret: (label, clientRandom, secret) => options.keyLog?.(label, clientRandom, secret),
  };
}
