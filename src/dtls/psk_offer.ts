// The PSKs that a client offers, and which of them the server took (RFC 8446 section 4.2.11).

import type { Milliseconds } from "../base/core.ts";
import { shortCopy } from "../base/short_bytes.ts";
import { type SuiteParameters, suiteParameters } from "./cipher_suites.ts";
import { ProtocolVersion } from "./code_points.ts";
import type { CryptoProvider, Hash, HashName } from "./crypto/provider.ts";
import { DtlsFault } from "./errors.ts";
import type { DtlsClientOptions } from "./options.ts";
import { bindersBytesOf, encodeOfferedPsks, pskBinder, setBinders } from "./pre_shared_key.ts";
import { type ExternalPsk, type OfferablePsk, offerablePsk } from "./psk_importer.ts";
import { isPeerIdentified, isPeerStillTrusted } from "./peer_trust.ts";
import { type DtlsSession, isSessionUsable } from "./session.ts";
import { obfuscatedAge } from "./ticket_age.ts";

/** A PSK of an offer, and what it stands for. */
export interface OfferedPsk extends OfferablePsk {
  readonly session?: DtlsSession;
  readonly external?: ExternalPsk;
}

/** The list of PSKs in a client's hellos. */
export class PskOffer {
  readonly #provider: CryptoProvider;
  #psks: readonly OfferedPsk[];

  constructor(provider: CryptoProvider, psks: readonly OfferedPsk[]) {
    this.#provider = provider;
    this.#psks = psks;
  }

  /** Whether there is nothing to offer. */
  get isEmpty(): boolean {
    return this.#psks.length === 0;
  }

  /** The first, which is the one of early data. */
  get first(): OfferedPsk | undefined {
    return this.#psks[0];
  }

  /**
   * RFC 8446 section 4.1.2: after a HelloRetryRequest, which names the suite, the client updates the extension
   * "optionally removing any PSKs which are incompatible with the server's indicated cipher suite".
   */
  keepHash(hash: HashName): void {
    for (const psk of this.#psks) if (psk.hash !== hash) psk.key.fill(0);
    this.#psks = this.#psks.filter((psk) => psk.hash === hash);
  }

  /** The extension at a time, without binders. */
  encode(now: Milliseconds): Uint8Array {
    const identities = this.#psks.map(({ identity, session }) => ({
      identity,
      // RFC 8446 section 4.2.11: "For identities established externally, an obfuscated_ticket_age of 0 SHOULD be used".
      obfuscatedAge: session === undefined
        ? 0
        : obfuscatedAge(now - session.receivedAt, session.ageAdd),
    }));
    return encodeOfferedPsks(identities, this.#hashes);
  }

  get #hashes(): HashName[] {
    return this.#psks.map(({ hash }) => hash);
  }

  /** Fills the binders of a ClientHello's body. `before` is the transcript before it, of a hash. */
  addBinders(body: Uint8Array, before: (hash: HashName) => Hash): void {
    const bindersBytes = bindersBytesOf(this.#hashes);
    const binders = this.#psks.map(({ hash, kind, key }) => {
      const parameters = { provider: this.#provider, hash, kind, psk: key };
      return pskBinder(parameters, before(hash), body, bindersBytes);
    });
    setBinders(body, binders);
  }

  /** The PSK that the server took. */
  select(index: number, suite: SuiteParameters): OfferedPsk {
    const selected = this.#psks[index];
    // RFC 8446 section 4.2.11: "Clients MUST verify that the server's selected_identity is within the range supplied by
    // the client, that the server selected a cipher suite indicating a Hash associated with the PSK [...] If these
    // values are not consistent, the client MUST abort the handshake with an "illegal_parameter" alert."
    if (selected === undefined) {
      throw new DtlsFault("illegal-parameter", "the server took a PSK that was not offered");
    }
    if (selected.hash !== suite.hash) {
      throw new DtlsFault("illegal-parameter", "the hash of the suite is not the one of the PSK");
    }
    return selected;
  }

  /** Zeroes the keys of the offer; a session keeps its own. */
  destroy(): void {
    for (const { key } of this.#psks) key.fill(0);
    this.#psks = [];
  }
}

/** What a client with these options offers at a time, for the suites that it offers. */
export function offerPsks(
  options: DtlsClientOptions,
  cipherSuites: readonly number[],
  now: Milliseconds,
): PskOffer {
  const { session: offered, externalPsks = [] } = options;
  if (offered === undefined && externalPsks.length === 0) return new PskOffer(options.provider, []);
  const hashes = new Set<HashName>();
  for (const suite of cipherSuites) {
    const parameters = suiteParameters(suite);
    if (parameters?.version === "1.3") hashes.add(parameters.hash);
  }
  const psks: OfferedPsk[] = [];
  const session = resumableSession(options, hashes, now);
  if (session !== undefined) psks.push(session);
  for (const external of externalPsks) {
    for (const hash of hashes) {
      const psk = offerablePsk(options.provider, external, hash);
      if (psk !== undefined) psks.push({ ...psk, external });
    }
  }
  return new PskOffer(options.provider, psks);
}

/**
 * The session as a PSK, where the server that it is of may be resumed with: the same name, a protocol that is still
 * wanted, a chain that is still valid, a PSK that is still known. Everything else is a full handshake.
 */
function resumableSession(
  options: DtlsClientOptions,
  hashes: ReadonlySet<HashName>,
  now: Milliseconds,
): OfferedPsk | undefined {
  const { session } = options;
  const hash = session === undefined ? undefined : suiteParameters(session.suite)?.hash;
  if (session?.version !== ProtocolVersion.DTLS_1_3 || hash === undefined) return undefined;
  const isResumable = hashes.has(hash) && isSessionUsable(session, now) &&
    isSessionOf(session, options) &&
    isPeerIdentified(session) && isPeerStillTrusted(session, options, now);
  if (!isResumable) return undefined;
  const { ticket: identity, secret } = session;
  return { identity, key: shortCopy(secret), hash, kind: "resumption", session };
}

/**
 * Whether a session is of the server that is meant. RFC 8446 section 4.6.1: clients "SHOULD only resume if the SNI
 * value matches the one used in the original session"; pitfall "resumption not bound to server name and ALPN".
 */
export function isSessionOf(session: DtlsSession, options: DtlsClientOptions): boolean {
  const { serverName, alpn = [], isAlpnRequired = false } = options;
  if (session.serverName !== serverName) return false;
  return session.alpn === undefined ? !isAlpnRequired : alpn.includes(session.alpn);
}
