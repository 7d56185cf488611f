// 0-RTT in the handshake: what a client offers with its first ClientHello, and what of it a server takes (RFC 8446
// sections 4.2.10 and 8).

import type { Milliseconds } from "../base/core.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { type SuiteParameters, suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, HandshakeType } from "./code_points.ts";
import { EARLY_DATA_WINDOW_MS, isFresh, isTicketOfHost } from "./early_data.ts";
import { DtlsFault } from "./errors.ts";
import { decodeExtension, type Extensions } from "./extensions.ts";
import { type Exporter, exporter, type HandshakeIo, scheduleParameters } from "./handshake.ts";
import type { ClientHello } from "./hello_messages.ts";
import type { HelloNegotiation } from "./hello_negotiation.ts";
import { EarlySecret } from "./key_schedule.ts";
import type { DtlsClientOptions, DtlsServerOptions } from "./options.ts";
import type { OfferedPsk } from "./psk_offer.ts";
import { checkSelectedPsk, type SelectedPsk, selectPsk } from "./psk_selection.ts";
import type { DtlsSession } from "./session.ts";
import { trafficOpener, trafficSealer } from "./traffic_epochs.ts";
import { hashMessage } from "./transcript.ts";

/** Whether a ClientHello or EncryptedExtensions has the extension. Throws `DecodeError` where it is not empty. */
export function hasEarlyData(extensions: Extensions): boolean {
  return decodeExtension(extensions, ExtensionType.EARLY_DATA, (reader) => {
    reader.expectEnd();
    return true;
  }) ?? false;
}

// A client

/**
 * The session whose early data a client offers: RFC 8446 section 4.2.10: "The PSK used to encrypt the early data MUST
 * be the first PSK listed", and the suite is the session's.
 */
export function earlyDataSession(
  options: DtlsClientOptions,
  first: OfferedPsk | undefined,
  cipherSuites: readonly number[],
): DtlsSession | undefined {
  const session = first?.session;
  if (options.offersEarlyData !== true || session === undefined) return undefined;
  const isOfferable = session.earlyDataBytesMax > 0 && cipherSuites.includes(session.suite);
  return isOfferable ? session : undefined;
}

/** Opens the channel for the early data of a ClientHello that offers some. */
export function offerEarlyData(
  io: HandshakeIo,
  session: DtlsSession,
  clientRandom: Uint8Array,
  body: Uint8Array,
): void {
  const suite = suiteParameters(session.suite)!;
  const transcript = io.provider.hash(suite.hash);
  hashMessage(transcript, HandshakeType.CLIENT_HELLO, body);
  const secrets = earlySecrets(io, suite, session.secret, transcript.digest(), clientRandom);
  const sealer = trafficSealer(io, 1, suite, secrets.traffic);
  io.earlyData.offer(sealer, session.earlyDataBytesMax, secrets.exporter);
}

/** Takes the server's answer to the offer, in its EncryptedExtensions. */
export function settleEarlyData(
  io: HandshakeIo,
  extensions: Extensions,
  answer: {
    readonly session: DtlsSession | undefined;
    readonly psk: OfferedPsk | undefined;
    readonly suite: SuiteParameters;
    readonly alpn: string | undefined;
  },
): void {
  const isAccepted = hasEarlyData(extensions);
  const { session, psk, suite, alpn } = answer;
  // RFC 8446 section 4.2.11: "If the server supplies an "early_data" extension, the client MUST verify that the
  // server's selected_identity is 0. If any other value is returned, the client MUST abort the handshake with an
  // "illegal_parameter" alert." Suite and protocol are the session's as well (section 4.2.10).
  const isConsistent = session !== undefined && psk?.session === session &&
    suite.suite === session.suite && alpn === session.alpn;
  if (isAccepted && !isConsistent) {
    throw new DtlsFault("illegal-parameter", "early data is accepted for another session");
  }
  io.earlyData.settle(isAccepted);
}

// A server

/** A ClientHello, where it came from and when. */
export interface EarlyHello {
  readonly hello: ClientHello;
  readonly body: Uint8Array;
  /** `undefined` where the address was validated by other means. */
  readonly address: string | undefined;
  readonly now: Milliseconds;
}

/** A PSK that is taken from a first ClientHello. */
export interface VouchingPsk {
  /** The PSK. */
  readonly psk: SelectedPsk;
  /** Whether early data that comes with it is taken. */
  readonly takesEarlyData: boolean;
}

/**
 * The PSK of a first ClientHello that needs no other, its binder checked and its ticket used up: it vouches for the
 * address, and for early data that comes with it. `undefined` where the one that is offered does neither, which is no
 * fault.
 */
export function takeVouchingPsk(
  { hello, body, address, now }: EarlyHello,
  negotiation: HelloNegotiation,
  options: DtlsServerOptions,
): VouchingPsk | undefined {
  const isEarlyDataOffered = hasEarlyData(hello.extensions);
  const earlyData = isEarlyDataOffered ? options.earlyData : undefined;
  const policy = earlyData ?? (address === undefined ? undefined : options.cookieExemption);
  // Without a key share the client is asked for one, and early data is over.
  if (policy === undefined || negotiation.share === undefined) return undefined;
  const psk = selectPsk(hello, negotiation, options, now);
  if (psk === undefined) return undefined;
  const isTaken = () => {
    const { ticket } = psk;
    if (ticket?.singleUse === undefined) return false;
    if (address !== undefined && !isTicketOfHost(policy, ticket, address)) return false;
    if (earlyData !== undefined) {
      // RFC 8446 section 4.2.10: "the server MUST have accepted a PSK cipher suite and selected the first key offered
      // in the client's "pre_shared_key" extension", with the same version, suite and protocol.
      if (psk.index !== 0 || ticket.suite !== negotiation.suite.suite) return false;
      const { windowMs = EARLY_DATA_WINDOW_MS } = earlyData;
      if (!isFresh(ticket, psk.obfuscatedAge, now, windowMs)) return false;
    }
    const before = options.provider.hash(psk.hash);
    checkSelectedPsk(options.provider, psk, before, body);
    return policy.tickets.use(ticket.singleUse);
  };
  if (isTaken()) return { psk, takesEarlyData: earlyData !== undefined };
  psk.key.fill(0);
  return undefined;
}

/** Begins to take the early data of a ClientHello, which the transcript ends with. */
export function acceptEarlyData(
  io: HandshakeIo,
  suite: SuiteParameters,
  psk: SelectedPsk,
  clientRandom: Uint8Array,
): void {
  const secrets = earlySecrets(io, suite, psk.key, io.transcript.digest(), clientRandom);
  io.installEarlyOpener(trafficOpener(io, 1, suite, secrets.traffic));
  io.earlyData.accept(psk.ticket?.earlyDataBytesMax ?? 0, secrets.exporter);
}

function earlySecrets(
  io: HandshakeIo,
  suite: SuiteParameters,
  psk: Uint8Array,
  helloHash: Uint8Array,
  clientRandom: Uint8Array,
): { readonly traffic: Uint8Array; readonly exporter: Exporter } {
  const parameters = scheduleParameters(io.provider, suite);
  const earlySecret = new EarlySecret(parameters, psk);
  const traffic = earlySecret.clientEarlyTrafficSecret(helloHash);
  const exporterSecret = earlySecret.earlyExporterMasterSecret(helloHash);
  earlySecret.destroy();
  io.eraseAfterHandshake(traffic);
  io.eraseAtEnd(exporterSecret);
  io.logSecret("CLIENT_EARLY_TRAFFIC_SECRET", clientRandom, traffic);
  io.logSecret("EARLY_EXPORTER_SECRET", clientRandom, exporterSecret);
  return { traffic, exporter: exporter(parameters, exporterSecret) };
}

/** The extension, as a ClientHello and EncryptedExtensions have it. */
export const EARLY_DATA_EXTENSION: Uint8Array = EMPTY_BYTES;
