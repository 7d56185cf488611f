// Sessions of DTLS 1.2, resumed by ticket (RFC 5077) or by session ID (RFC 5246 section 7.3): which one a client
// offers, whether a server takes it, and what both keep.

import { EMPTY_BYTES } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { type SuiteParameters, suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, ProtocolVersion } from "./code_points.ts";
import type { MasterSecret12 } from "./handshake_12.ts";
import type { NewSessionTicket12 } from "./handshake_messages_12.ts";
import type { ClientHello } from "./hello_messages.ts";
import type { HelloNegotiation12 } from "./hello_negotiation_12.ts";
import type { DtlsClientOptions, DtlsServerOptions } from "./options.ts";
import { isPeerIdentified, isPeerStillTrusted } from "./peer_trust.ts";
import { isSessionOf } from "./psk_offer.ts";
import {
  type DtlsSession,
  isSessionUsable,
  type ResumableState,
  SESSION_LIFETIME_MS_MAX,
} from "./session.ts";
import { CACHED_SESSION_LIFETIME_MS } from "./session_cache.ts";

/** Bytes of the session IDs that a server gives, and a client where it has a ticket. */
export const SESSION_ID_BYTES = 32;

/** What a session says of the association that it is of, besides the master secret. */
export interface SessionFacts12 {
  readonly serverName: string | undefined;
  readonly alpn: string | undefined;
  readonly peerChain: readonly Uint8Array[];
  readonly authenticatedAt: Milliseconds;
}

/** What both ends keep of an association. The secret is a copy. */
export function resumableState12(master: MasterSecret12, facts: SessionFacts12): ResumableState {
  const { serverName, alpn, peerChain, authenticatedAt } = facts;
  return {
    version: ProtocolVersion.DTLS_1_2,
    suite: master.suite.suite,
    secret: master.secret.slice(),
    serverName,
    alpn,
    peerChain,
    pskIdentity: undefined,
    authenticatedAt,
    ageAdd: 0,
    earlyDataBytesMax: 0,
  };
}

// The client

/** The session that a client with these options offers, among these suites; `undefined` for a full handshake. */
export function offeredSession12(
  options: DtlsClientOptions,
  cipherSuites: readonly number[],
  now: Milliseconds,
): DtlsSession | undefined {
  const { session } = options;
  if (session?.version !== ProtocolVersion.DTLS_1_2) return undefined;
  if (!cipherSuites.includes(session.suite)) return undefined;
  const isResumable = isSessionUsable(session, now) && isSessionOf(session, options) &&
    isPeerIdentified(session) && isPeerStillTrusted(session, options, now);
  return isResumable ? session : undefined;
}

/**
 * The session of an association: by the ticket that came, else by the ID that the server gave it. `undefined` where
 * there is neither.
 */
export function sessionOf12(
  state: () => ResumableState,
  message: NewSessionTicket12 | undefined,
  sessionId: Uint8Array,
  now: Milliseconds,
): DtlsSession | undefined {
  const { lifetimeSeconds = 0, ticket = EMPTY_BYTES } = message ?? {};
  // RFC 5077 section 3.3: a ticket of no bytes means that the server has none after all.
  if (ticket.length === 0 && sessionId.length === 0) return undefined;
  // RFC 5077 section 3.3: "A value of zero is reserved to indicate that the lifetime of the ticket is unspecified."
  const lifetimeMs = lifetimeSeconds === 0
    ? CACHED_SESSION_LIFETIME_MS
    : Math.min(1_000 * lifetimeSeconds, SESSION_LIFETIME_MS_MAX);
  return {
    ...state(),
    ticket: ticket.slice(),
    sessionId: ticket.length === 0 ? sessionId.slice() : EMPTY_BYTES,
    lifetimeMs,
    receivedAt: now,
  };
}

// The server

/** A session that a server takes. */
export interface SelectedSession12 {
  readonly state: ResumableState;
  readonly suite: SuiteParameters;
  /** Whether the client is to have a new ticket. */
  readonly isTicketDue: boolean;
}

/** Takes the session that a ClientHello offers, if it is one of this server's that fits. */
export function selectSession12(
  hello: ClientHello,
  negotiation: HelloNegotiation12,
  options: DtlsServerOptions,
  now: Milliseconds,
): SelectedSession12 | undefined {
  const { tickets, sessionCache } = options;
  const ticket = hello.extensions.get(ExtensionType.SESSION_TICKET) ?? EMPTY_BYTES;
  const opened = ticket.length > 0 ? tickets?.open(ticket, now) : undefined;
  const state = opened ?? sessionCache?.get(hello.legacySessionId, now);
  if (state === undefined) return undefined;
  const suite = suiteParameters(state.suite);
  if (suite === undefined || !isResumable12(state, negotiation, options, now)) {
    state.secret.fill(0);
    return undefined;
  }
  // RFC 5077 section 3.3: the server may renew a ticket; here the one that has half of its life behind it.
  const isOld = opened !== undefined && now - opened.issuedAt > (tickets?.lifetimeMs ?? 0) / 2;
  return { state, suite, isTicketDue: isOld };
}

/**
 * Whether a session is of an association like the one that is wanted now: the same version and suite, the same server
 * name and protocol, and a client that would still be let in. Anything else is a full handshake.
 */
function isResumable12(
  state: ResumableState,
  { suites, serverName, alpn }: HelloNegotiation12,
  options: DtlsServerOptions,
  now: Milliseconds,
): boolean {
  if (state.version !== ProtocolVersion.DTLS_1_2) return false;
  // RFC 5246 section 7.4.1.2: the ClientHello "MUST include at least the cipher_suite from that session".
  if (!suites.some(({ suite }) => suite === state.suite)) return false;
  // Pitfall "resumption not bound to server name and ALPN".
  if (state.serverName !== serverName || state.alpn !== alpn) return false;
  if (options.clientCertificate === "required" && !isPeerIdentified(state)) return false;
  return isPeerStillTrusted(state, options, now);
}

/** The ticket of an association; one of no bytes where there can be none. */
export function makeTicket12(
  { tickets }: DtlsServerOptions,
  state: ResumableState,
  now: Milliseconds,
): NewSessionTicket12 {
  const authenticationMs = SESSION_LIFETIME_MS_MAX - (now - state.authenticatedAt);
  const lifetimeMs = Math.min(tickets?.lifetimeMs ?? 0, authenticationMs);
  const lifetimeSeconds = Math.max(Math.floor(lifetimeMs / 1_000), 0);
  const ticket = lifetimeSeconds === 0 ? undefined : tickets?.seal({
    ...state,
    issuedAt: now,
    address: undefined,
    singleUse: undefined,
  }, now);
  return { lifetimeSeconds, ticket: ticket ?? EMPTY_BYTES };
}
