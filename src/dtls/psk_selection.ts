// Which of a client's PSKs a server takes: a ticket of its own, else an external PSK, else none and a full handshake
// (RFC 8446 sections 4.2.9 and 4.2.11).

import { equalBytes } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import type { SuiteParameters } from "./cipher_suites.ts";
import { suiteParameters } from "./cipher_suites.ts";
import { ExtensionType, ProtocolVersion, PskKeyExchangeMode } from "./code_points.ts";
import type { CryptoProvider, Hash } from "./crypto/provider.ts";
import { decodeExtension, requireExtension } from "./extensions.ts";
import type { ClientHello } from "./hello_messages.ts";
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
import { isPeerIdentified, isPeerStillTrusted } from "./reverification.ts";
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
  readonly external: ExternalPsk | undefined;
  readonly offered: OfferedPsks;
}

/** What of the negotiation a PSK has to fit. */
export interface PskContext {
  readonly suite: SuiteParameters;
  readonly serverName: string | undefined;
  readonly alpn: string | undefined;
}

/**
 * Reads the offer of a ClientHello and takes a PSK of it, whose binder is yet to be checked. `undefined` where there is
 * none that fits. Throws `DtlsFault` or `DecodeError` for an offer that is malformed.
 */
export function selectPsk(
  { extensions }: ClientHello,
  context: PskContext,
  options: DtlsServerOptions,
  now: Milliseconds,
): SelectedPsk | undefined {
  requireLast(extensions);
  const offered = decodeExtension(extensions, ExtensionType.PRE_SHARED_KEY, readOfferedPsks);
  if (offered === undefined) return undefined;
  // RFC 8446 section 4.2.9: "If clients offer "pre_shared_key" without a "psk_key_exchange_modes" extension, servers
  // MUST abort the handshake."
  const modes = requireExtension(
    extensions,
    ExtensionType.PSK_KEY_EXCHANGE_MODES,
    readPskKeyExchangeModes,
  );
  if (!modes.includes(PskKeyExchangeMode.PSK_DHE_KE)) return undefined;
  return selectTicket(offered, context, options, now) ?? selectExternal(offered, context, options);
}

function selectTicket(
  offered: OfferedPsks,
  context: PskContext,
  options: DtlsServerOptions,
  now: Milliseconds,
): SelectedPsk | undefined {
  const { tickets } = options;
  if (tickets === undefined) return undefined;
  for (const [index, entry] of offered.identities.slice(0, TICKETS_TRIED_MAX).entries()) {
    const ticket = tickets.open(entry.identity, now);
    if (ticket === undefined) continue;
    if (!isResumable(ticket, context, options, now)) {
      ticket.secret.fill(0);
      continue;
    }
    return {
      ...entry,
      index,
      key: ticket.secret,
      hash: context.suite.hash,
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
  { suite, serverName, alpn }: PskContext,
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
  { suite }: PskContext,
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
