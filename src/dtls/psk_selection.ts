// Which of a client's PSKs a server takes: a ticket of its own, else an external PSK, else none and a full handshake
// (RFC 8446 sections 4.2.9 and 4.2.11).

import { equalBytes } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, ProtocolVersion, PskKeyExchangeMode } from "./code_points.ts";
import type { CryptoProvider, Hash } from "./crypto/provider.ts";
import { serverCredential } from "./credentials.ts";
import { DtlsFault } from "./errors.ts";
import { decodeExtension, requireExtension } from "./extensions.ts";
import type { ClientHello } from "./hello_messages.ts";
import type { HelloNegotiation } from "./hello_negotiation.ts";
import type { DtlsServerOptions } from "./options.ts";
import {
  checkBinder,
  type OfferedPsks,
  readOfferedPsks,
  readPskKeyExchangeModes,
  requireLast,
} from "./pre_shared_key.ts";
import {
  type ExternalPsk,
  type OfferablePsk,
  offerablePsk,
  offeredIdentity,
} from "./psk_importer.ts";
import { isPeerIdentified, isPeerStillTrusted } from "./peer_trust.ts";
import type { TicketState } from "./ticket_keys.ts";

/** Identities of one offer that are tried as tickets: opening one costs the server more than sending one costs. */
const TICKETS_TRIED_MAX = 4;

/** A PSK that the server takes. */
export interface SelectedPsk extends OfferablePsk {
  /** Its place in the client's offer. */
  readonly index: number;
  /** What hides its age there. */
  readonly obfuscatedAge: number;
  /** What its ticket told; `undefined` for an external PSK. */
  readonly ticket: TicketState | undefined;
  /** The server's own; `undefined` for a ticket. */
  readonly external: ExternalPsk | undefined;
  /** The offer that it is from. */
  readonly offered: OfferedPsks;
}

/**
 * Reads the offer of a ClientHello and takes a PSK of it, whose binder is yet to be checked. `undefined` where there is
 * none that fits. Throws `DtlsFault` or `DecodeError` for an offer that is malformed.
 */
export function selectPsk(
  hello: ClientHello,
  negotiation: HelloNegotiation,
  options: DtlsServerOptions,
  now: Milliseconds,
): SelectedPsk | undefined {
  const { extensions } = hello;
  requireLast(extensions);
  const offered = decodeExtension(extensions, ExtensionType.PRE_SHARED_KEY, readOfferedPsks);
  if (offered === undefined) return undefined;
  // RFC 8446 section 4.2.9: "If clients offer "pre_shared_key" without a "psk_key_exchange_modes" extension, servers
  // MUST abort the handshake."
  requireExtension(extensions, ExtensionType.PSK_KEY_EXCHANGE_MODES, readPskKeyExchangeModes);
  if (!usesPskWithExchange(hello)) return undefined;
  const ticket = selectTicket(offered, negotiation, options, now);
  if (ticket !== undefined) return ticket;
  const { isPskPreferred = true } = options;
  if (!isPskPreferred && serverCredential(options, negotiation) !== undefined) return undefined;
  return selectExternal(offered, negotiation, options);
}

/** Whether a client uses PSKs in the one way that is offered here, with (EC)DHE. */
export function usesPskWithExchange({ extensions }: ClientHello): boolean {
  const modes = decodeExtension(
    extensions,
    ExtensionType.PSK_KEY_EXCHANGE_MODES,
    readPskKeyExchangeModes,
  );
  return modes?.includes(PskKeyExchangeMode.PSK_DHE_KE) ?? false;
}

function selectTicket(
  offered: OfferedPsks,
  negotiation: HelloNegotiation,
  options: DtlsServerOptions,
  now: Milliseconds,
): SelectedPsk | undefined {
  const { tickets } = options;
  if (tickets === undefined) return undefined;
  for (const [index, entry] of offered.identities.slice(0, TICKETS_TRIED_MAX).entries()) {
    const ticket = tickets.open(entry.identity, now);
    if (ticket === undefined) continue;
    if (!isResumable(ticket, negotiation, options, now)) {
      ticket.secret.fill(0);
      continue;
    }
    return {
      ...entry,
      index,
      key: ticket.secret,
      hash: negotiation.suite.hash,
      kind: "resumption",
      ticket,
      external: undefined,
      offered,
    };
  }
  return undefined;
}

/**
 * Whether a ticket is of an association like the one that is wanted now: the same version, a suite with the same hash,
 * the same server name and protocol, and a client that would still be let in. Anything else is a full handshake.
 */
function isResumable(
  ticket: TicketState,
  { suite, serverName, alpn }: HelloNegotiation,
  options: DtlsServerOptions,
  now: Milliseconds,
): boolean {
  if (ticket.version !== ProtocolVersion.DTLS_1_3) return false;
  // RFC 8446 section 4.6.1: "Any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm
  // as that used to establish the original connection."
  if (suiteParameters(ticket.suite)?.hash !== suite.hash) return false;
  // Pitfall "resumption not bound to server name and ALPN".
  if (ticket.serverName !== serverName || ticket.alpn !== alpn) return false;
  if (options.clientCertificate === "required" && !isPeerIdentified(ticket)) return false;
  return isPeerStillTrusted(ticket, options, now);
}

/** The first of the server's external PSKs that the client offers for the suite. */
function selectExternal(
  offered: OfferedPsks,
  { suite }: HelloNegotiation,
  { provider, externalPsks = [] }: DtlsServerOptions,
): SelectedPsk | undefined {
  for (const external of externalPsks) {
    const identity = offeredIdentity(external, suite.hash);
    if (identity === undefined) continue;
    const index = offered.identities.findIndex((entry) => equalBytes(entry.identity, identity));
    const psk = index < 0 ? undefined : offerablePsk(provider, external, suite.hash);
    if (psk === undefined) continue;
    const { obfuscatedAge } = offered.identities[index]!;
    return { ...psk, index, obfuscatedAge, ticket: undefined, external, offered };
  }
  return undefined;
}

/**
 * Checks the binder of a PSK that was taken. RFC 8446 section 4.2.11: "Prior to accepting PSK key establishment, the
 * server MUST validate the corresponding binder value". `before` is the transcript before the ClientHello.
 */
export function checkSelectedPsk(
  provider: CryptoProvider,
  psk: SelectedPsk,
  before: Hash,
  body: Uint8Array,
): void {
  const parameters = { provider, hash: psk.hash, kind: psk.kind, psk: psk.key };
  checkBinder(parameters, before, body, psk.offered, psk.index);
}

/**
 * RFC 8446 section 4.1.2: what a client may change after a HelloRetryRequest leaves a PSK that the server took where it
 * was, since it fits the suite.
 */
export function requireStillOffered({ identity }: SelectedPsk, { extensions }: ClientHello): void {
  const offered = requireExtension(extensions, ExtensionType.PRE_SHARED_KEY, readOfferedPsks);
  if (!offered.identities.some((entry) => equalBytes(entry.identity, identity))) {
    throw new DtlsFault("illegal-parameter", "the PSK is gone after the HelloRetryRequest");
  }
}
