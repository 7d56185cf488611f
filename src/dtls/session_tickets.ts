// The tickets of one association of DTLS 1.3: what a server sends, and what a client makes of it (RFC 8446 section
// 4.6.1).

import type { Milliseconds } from "../base/core.ts";
import { ByteReader } from "../base/byte_reader.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { shortBytes } from "../base/short_bytes.ts";
import type { SuiteParameters } from "./cipher_suites.ts";
import { HandshakeType, ProtocolVersion } from "./code_points.ts";
import { type HandshakeIo, scheduleParameters } from "./handshake.ts";
import { resumptionPsk } from "./key_schedule.ts";
import { decodeNewSessionTicket, encodeNewSessionTicket } from "./new_session_ticket.ts";
import type { DtlsServerOptions } from "./options.ts";
import { type DtlsSession, SESSION_LIFETIME_MS_MAX } from "./session.ts";
import type { CryptoProvider } from "./crypto/provider.ts";

/** Tickets that a client gets after each handshake, unless options say otherwise: it may begin two at one time. */
const TICKETS_PER_HANDSHAKE = 2;

/** A ticket's nonce is its number, in one byte. */
const TICKETS_PER_HANDSHAKE_MAX = 8;

/** What an association hands on to those that resume it. */
export interface Resumable {
  readonly suite: SuiteParameters;
  /** The resumption_master_secret. */
  readonly resumptionSecret: Uint8Array;
  readonly serverName: string | undefined;
  readonly alpn: string | undefined;
  readonly peerChain: readonly Uint8Array[];
  readonly pskIdentity: Uint8Array | undefined;
  readonly authenticatedAt: Milliseconds;
}

/** What the states of both ends say of an association. */
function resumableState(resumable: Resumable) {
  const { suite, serverName, alpn, peerChain, pskIdentity, authenticatedAt } = resumable;
  const version = ProtocolVersion.DTLS_1_3;
  return { version, suite: suite.suite, serverName, alpn, peerChain, pskIdentity, authenticatedAt };
}

/** Sends the tickets of an association whose client is at `address`, as many as there are to be. */
export function sendTickets(
  io: HandshakeIo,
  options: DtlsServerOptions,
  resumable: Resumable,
  address: string | undefined,
): void {
  const { tickets, ticketsPerHandshake = TICKETS_PER_HANDSHAKE, earlyData } = options;
  const singleUse = earlyData ?? options.cookieExemption;
  if (tickets === undefined) return;
  const now = io.now();
  // RFC 8446 section 4.6.1: "It is RECOMMENDED that implementations place limits on the total lifetime of such keying
  // material", however often tickets are renewed.
  const authenticationMs = SESSION_LIFETIME_MS_MAX - (now - resumable.authenticatedAt);
  const lifetimeSeconds = Math.floor(Math.min(tickets.lifetimeMs, authenticationMs) / 1_000);
  if (lifetimeSeconds <= 0) return;
  const parameters = scheduleParameters(io.provider, resumable.suite);
  for (
    let number = 0;
    number < Math.min(ticketsPerHandshake, TICKETS_PER_HANDSHAKE_MAX);
    number++
  ) {
    const nonce = shortBytes(1);
    nonce[0] = number;
    const secret = resumptionPsk(parameters, resumable.resumptionSecret, nonce);
    // RFC 8446 section 4.6.1: "The server MUST generate a fresh value for each ticket it sends."
    const ageAdd = new ByteReader(io.entropy(4)).u32();
    const earlyDataBytesMax = earlyData?.bytesMax ?? 0;
    const ticket = tickets.seal({
      ...resumableState(resumable),
      secret,
      ageAdd,
      earlyDataBytesMax,
      issuedAt: now,
      address,
      singleUse: singleUse?.tickets.issue(),
    }, now);
    secret.fill(0);
    // What does not fit a ticket is not resumed.
    if (ticket === undefined) return;
    const message = { lifetimeSeconds, ageAdd, nonce, ticket, earlyDataBytesMax };
    io.sendAfterHandshake(HandshakeType.NEW_SESSION_TICKET, encodeNewSessionTicket(message));
  }
}

/** The session that a ticket stands for; `undefined` for a ticket of no life. Throws `DtlsFault` or `DecodeError`. */
export function sessionOfTicket(
  provider: CryptoProvider,
  resumable: Resumable,
  body: Uint8Array,
  now: Milliseconds,
): DtlsSession | undefined {
  const { lifetimeSeconds, nonce, ageAdd, ticket, earlyDataBytesMax } = decodeNewSessionTicket(
    body,
  );
  // RFC 8446 section 4.6.1: "The value of zero indicates that the ticket should be discarded immediately."
  if (lifetimeSeconds === 0) return undefined;
  const parameters = scheduleParameters(provider, resumable.suite);
  const psk = resumptionPsk(parameters, resumable.resumptionSecret, nonce);
  const secret = psk.slice();
  psk.fill(0);
  return {
    ...resumableState(resumable),
    secret,
    ageAdd,
    earlyDataBytesMax,
    ticket: ticket.slice(),
    sessionId: EMPTY_BYTES,
    lifetimeMs: Math.min(1_000 * lifetimeSeconds, SESSION_LIFETIME_MS_MAX),
    receivedAt: now,
  };
}
