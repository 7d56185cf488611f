// What a handshake is to its association: a coroutine that sends messages, asks for the next one, and ends with a
// result.

import { EMPTY_BYTES } from "../base/bytes.ts";
import type { Entropy, Milliseconds } from "../base/core.ts";
import type { HandshakeType } from "./code_points.ts";
import type { SuiteParameters } from "./cipher_suites.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import type { EarlyDataChannel } from "./early_data_channel.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import {
  exportKeyingMaterial,
  type KeyScheduleParameters,
  type TrafficKeyParameters,
} from "./key_schedule.ts";
import type { KeyLogLabel } from "./key_log.ts";
import type { DtlsLimits } from "./limits.ts";
import type { Credential, DtlsVersion } from "./options.ts";
import type { RecordOpener, RecordSealer } from "./record_protection.ts";
import type { DtlsSession } from "./session.ts";
import type { Transcript } from "./transcript.ts";

/** What both ends know after a handshake. */
export interface HandshakeResult {
  readonly version: DtlsVersion;
  readonly suite: SuiteParameters;
  /** The group of the key exchange; see `NamedGroup`. `undefined` where DTLS 1.2 resumes without one. */
  readonly group: number | undefined;
  /** The protocol that ALPN chose. */
  readonly alpn: string | undefined;
  /** The server name that the client asked for. */
  readonly serverName: string | undefined;
  /** The peer's chain in DER, leaf first, verified; empty where it presented none. */
  readonly peerChain: readonly Uint8Array[];
  /** What this side presented, if it presented a certificate. */
  readonly credential: Credential | undefined;
  /** Whether the server asked for a second ClientHello by a HelloRetryRequest. */
  readonly isRetried: boolean;
  /** Whether a session was resumed. */
  readonly isResumed: boolean;
  /** The external PSK that vouched for the peer, in this handshake or in the one that is resumed. */
  readonly pskIdentity: Uint8Array | undefined;
  /** A client's session for a NewSessionTicket that came, unless the ticket is of no use. */
  readonly acceptTicket?: (body: Uint8Array, now: Milliseconds) => DtlsSession | undefined;
  /** A client's session where the handshake itself gave one. */
  readonly session?: DtlsSession | undefined;
  /** Keying material for the layers above; not to be asked for once the secrets of the association are zeroed. */
  readonly exportKeyingMaterial: Exporter;
  /** Whether both ends know the return routability check. */
  readonly hasRoutabilityCheck: boolean;
  /** In DTLS 1.3 the application traffic secrets of epoch 3. */
  readonly trafficSecrets?: { readonly send: Uint8Array; readonly receive: Uint8Array };
}

/** `lengthBytes` bytes for a label and a context; in DTLS 1.2 no context is not the same as an empty one. */
export type Exporter = (
  label: string,
  context: Uint8Array | undefined,
  lengthBytes: number,
) => Uint8Array;

/** A handshake in progress. It yields the types that may come next and is resumed with a message of one of them. */
export type Handshake = Generator<readonly HandshakeType[], HandshakeResult, HandshakeMessage>;

/** A secret, or an object that holds one. */
export type Erasable = Uint8Array | { destroy(): void };

/** Zeroes a secret. */
export function erase(secret: Erasable): void {
  if (secret instanceof Uint8Array) secret.fill(0);
  else secret.destroy();
}

/** What a handshake may ask of its association. */
export interface HandshakeIo {
  readonly provider: CryptoProvider;
  readonly limits: DtlsLimits;
  readonly entropy: Entropy;
  readonly transcript: Transcript;
  /** The time of the input that is being handled. */
  now(): Milliseconds;
  /** The version was chosen. */
  setVersion(version: DtlsVersion): void;
  /** Begins a flight: what is sent from here on answers all that was received, and nothing older is sent again. */
  beginFlight(): void;
  /** Sends a message in the newest epoch and adds it to the transcript. */
  send(type: HandshakeType, body: Uint8Array): void;
  /** Sends a message once the handshake is over, reliably. */
  sendAfterHandshake(type: HandshakeType, body: Uint8Array): void;
  /** Sends a ChangeCipherSpec in its place of the flight, in the newest epoch. */
  sendChangeCipherSpec(): void;
  /** Starts to seal in a new epoch. */
  installSealer(sealer: RecordSealer): void;
  /** Early data of this association. */
  readonly earlyData: EarlyDataChannel;
  /** Starts to open records of early data. */
  installEarlyOpener(opener: RecordOpener): void;
  /** Starts to open records of a new epoch. */
  installOpener(opener: RecordOpener): void;
  /** The epoch that the messages from here on are to come in. */
  expectEpoch(epoch: number): void;
  /** Both connection IDs, once they are negotiated: what this side wants in records, and what the peer wants. */
  setConnectionIds(receive: Uint8Array, send: Uint8Array): void;
  /** The connection ID that this side wants in records to it. */
  readonly receiveConnectionId: Uint8Array;
  /** How large protected records may be, once that is settled: bytes of content to the peer, and to this side. */
  limitContent(sendBytesMax: number, receiveBytesMax: number): void;
  /** The connection ID that the peer wants in records to it. */
  readonly sendConnectionId: Uint8Array;
  /** Zeroes secrets when the handshake ends, however it does. */
  eraseAfterHandshake(...secrets: readonly Erasable[]): void;
  /** Zeroes secrets when the association ends. */
  eraseAtEnd(...secrets: readonly Erasable[]): void;
  /** Tells a secret to the key log, if there is one. */
  logSecret(label: KeyLogLabel, clientRandom: Uint8Array, secret: Uint8Array): void;
}

/** The key schedule's parameters of a suite. */
export function scheduleParameters(
  provider: CryptoProvider,
  suite: SuiteParameters,
): TrafficKeyParameters {
  return { provider, hash: suite.hash, aead: suite.aead };
}

/** The exporter of DTLS 1.3 on an exporter_master_secret, which stays the caller's to zero. */
export function exporter(parameters: KeyScheduleParameters, secret: Uint8Array): Exporter {
  return (label, context = EMPTY_BYTES, lengthBytes) => {
    const exported = exportKeyingMaterial(parameters, secret, label, context, lengthBytes);
    const own = exported.slice();
    exported.fill(0);
    return own;
  };
}
