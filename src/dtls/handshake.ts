// What a handshake is to its association: a coroutine that sends messages, asks for the next one, and ends with a
// result.

import type { Entropy, Milliseconds } from "../base/core.ts";
import type { HandshakeType } from "./code_points.ts";
import type { SuiteParameters } from "./cipher_suites.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import type { HandshakeMessage } from "./handshake_fragment.ts";
import type { TrafficKeyParameters } from "./key_schedule.ts";
import type { DtlsLimits } from "./limits.ts";
import type { Transcript } from "./transcript.ts";

/** The labels of SSLKEYLOGFILE lines. */
export type KeyLogLabel =
  | "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
  | "SERVER_HANDSHAKE_TRAFFIC_SECRET"
  | "CLIENT_TRAFFIC_SECRET_0"
  | "SERVER_TRAFFIC_SECRET_0"
  | "EXPORTER_SECRET";

/** What both ends know after a handshake. */
export interface HandshakeResult {
  readonly suite: SuiteParameters;
  /** The group of the key exchange; see `NamedGroup`. */
  readonly group: number;
  /** The protocol that ALPN chose. */
  readonly alpn: string | undefined;
  /** The server name that the client asked for. */
  readonly serverName: string | undefined;
  /** The peer's chain in DER, leaf first, verified; empty where it presented none. */
  readonly peerChain: readonly Uint8Array[];
  /** The exporter_master_secret. */
  readonly exporterSecret: Uint8Array;
  /** The application traffic secrets of epoch 3. */
  readonly sendSecret: Uint8Array;
  readonly receiveSecret: Uint8Array;
}

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
  /** Begins a flight: what is sent from here on answers all that was received, and nothing older is sent again. */
  beginFlight(): void;
  /** Sends a message in the newest epoch and adds it to the transcript. */
  send(type: HandshakeType, body: Uint8Array): void;
  /** Starts to seal in a new epoch. */
  installSealer(epoch: number, suite: SuiteParameters, trafficSecret: Uint8Array): void;
  /** Starts to open records of a new epoch. */
  installOpener(epoch: number, suite: SuiteParameters, trafficSecret: Uint8Array): void;
  /** Both connection IDs, once they are negotiated: what this side wants in records, and what the peer wants. */
  setConnectionIds(receive: Uint8Array, send: Uint8Array): void;
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
