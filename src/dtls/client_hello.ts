// What a client offers: its ClientHello, and what a HelloRetryRequest changes in it (RFC 8446 section 4.1.2).

import { EMPTY_BYTES } from "../base/bytes.ts";
import {
  SIGNATURE_SCHEMES,
  SIGNATURE_SCHEMES_12,
  type SuiteParameters,
  suiteParameters,
} from "./cipher_suites.ts";
import { ExtensionType } from "./code_points.ts";
import type { KeyShares } from "./crypto/provider.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import {
  encodeAuthorities,
  encodeCodePoints,
  encodeConnectionId,
  encodeCookie,
  encodeKeyShares,
  encodeProtocolNames,
  encodeServerName,
} from "./extensions.ts";
import type { HandshakeIo } from "./handshake.ts";
import { EC_POINT_FORMATS, RENEGOTIATION_INFO } from "./handshake_messages_12.ts";
import { encodeClientHello, RANDOM_BYTES } from "./hello_messages.ts";
import { startKeyExchange } from "./key_share.ts";
import {
  DEFAULT_CIPHER_SUITES,
  DEFAULT_GROUPS,
  DEFAULT_VERSIONS,
  type DtlsClientOptions,
  type DtlsVersion,
} from "./options.ts";
import { EARLY_DATA_EXTENSION, earlyDataSession } from "./early_handshake.ts";
import type { DtlsSession } from "./session.ts";
import { PSK_KEY_EXCHANGE_MODES } from "./pre_shared_key.ts";
import { offerPsks, type PskOffer } from "./psk_offer.ts";
import { encodeRecordSizeLimit, ownRecordSizeLimit } from "./record_size_limit.ts";
import { offeredSession12, SESSION_ID_BYTES } from "./resumption_12.ts";
import { VERSION_NUMBERS } from "./versions.ts";

/** What the client has offered and may be answered with. */
export class ClientOffer {
  readonly versions: readonly DtlsVersion[];
  readonly random: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
  readonly exchanges = new Map<number, KeyShares>();
  /** What may stand in place of the server's certificate. */
  readonly psks: PskOffer;
  /** The session whose early data is offered. */
  earlySession: DtlsSession | undefined;
  extensions = new Map<number, Uint8Array>();
  /** What DTLS 1.2 is to resume, and the session ID by which the server says that it does. */
  readonly session12: DtlsSession | undefined;
  readonly legacySessionId: Uint8Array = EMPTY_BYTES;
  /** The cookie of a HelloVerifyRequest. */
  legacyCookie = EMPTY_BYTES;
  readonly #io: HandshakeIo;

  constructor(io: HandshakeIo, options: DtlsClientOptions) {
    this.#io = io;
    this.versions = offeredVersions(options);
    if (this.versions.length === 0) {
      throw new DtlsError("bad-option", "there is no version to offer");
    }
    const is12Offered = this.versions.includes("1.2");
    this.signatureSchemes = options.signatureSchemes ??
      (is12Offered ? SIGNATURE_SCHEMES_12 : SIGNATURE_SCHEMES);
    this.random = io.entropy(RANDOM_BYTES);
    this.cipherSuites = (options.cipherSuites ?? DEFAULT_CIPHER_SUITES).filter((suite) => {
      const version = suiteParameters(suite)?.version;
      return version !== undefined && this.versions.includes(version);
    });
    this.groups = options.groups ?? DEFAULT_GROUPS;
    const set = this.extensions;
    if (options.serverName !== undefined) {
      set.set(ExtensionType.SERVER_NAME, encodeServerName(options.serverName));
    }
    set.set(ExtensionType.SUPPORTED_GROUPS, encodeCodePoints(this.groups, 2));
    // RFC 8446 section 4.2.3: "Clients which desire the server to authenticate itself via a certificate MUST send the
    // "signature_algorithms" extension."
    if (options.verifyPeer !== undefined) {
      set.set(ExtensionType.SIGNATURE_ALGORITHMS, encodeCodePoints(this.signatureSchemes, 2));
    }
    const { certificateAuthorities = [] } = options;
    if (certificateAuthorities.length > 0) {
      set.set(ExtensionType.CERTIFICATE_AUTHORITIES, encodeAuthorities(certificateAuthorities));
    }
    if (options.alpn !== undefined && options.alpn.length > 0) {
      set.set(
        ExtensionType.APPLICATION_LAYER_PROTOCOL_NEGOTIATION,
        encodeProtocolNames(options.alpn),
      );
    }
    if (options.connectionId !== null) {
      // RFC 9147 section 5.1: "DTLS clients which do not want to receive a Connection ID SHOULD still offer the
      // "connection_id" extension".
      set.set(ExtensionType.CONNECTION_ID, encodeConnectionId(options.connectionId ?? EMPTY_BYTES));
      // RFC 9853 section 3: "A client offering the `connection_id` extension SHOULD also offer the `rrc` extension".
      if (options.pathPolicy !== "fixed") set.set(ExtensionType.RRC, EMPTY_BYTES);
    }
    // RFC 8449 section 4: "Endpoints SHOULD advertise the "record_size_limit" extension, even if they have no need to
    // limit the size of records."
    set.set(
      ExtensionType.RECORD_SIZE_LIMIT,
      encodeRecordSizeLimit(ownRecordSizeLimit(options, this.versions)),
    );
    if (is12Offered) {
      this.session12 = offeredSession12(options, this.cipherSuites, io.now());
      const { ticket = EMPTY_BYTES, sessionId = EMPTY_BYTES } = this.session12 ?? {};
      // RFC 5077 section 3.4: "the client MAY generate and include a Session ID in the TLS ClientHello", which the
      // server gives back where it takes the ticket.
      this.legacySessionId = ticket.length > 0 ? io.entropy(SESSION_ID_BYTES) : sessionId;
      set.set(ExtensionType.SESSION_TICKET, ticket);
      set.set(ExtensionType.EXTENDED_MASTER_SECRET, EMPTY_BYTES);
      set.set(ExtensionType.RENEGOTIATION_INFO, RENEGOTIATION_INFO);
      set.set(ExtensionType.EC_POINT_FORMATS, EC_POINT_FORMATS);
    }
    const is13Offered = this.versions.includes("1.3");
    if (is13Offered) this.#offer13(options.keyShareGroups);
    this.psks = offerPsks(options, is13Offered ? this.cipherSuites : [], io.now());
    io.eraseAfterHandshake(this.psks);
    this.earlySession = earlyDataSession(options, this.psks.first, this.cipherSuites);
    if (this.earlySession !== undefined) set.set(ExtensionType.EARLY_DATA, EARLY_DATA_EXTENSION);
  }

  #offer13(keyShareGroups: readonly number[] = this.groups.slice(0, 1)): void {
    const versions = this.versions.map((version) => VERSION_NUMBERS[version]);
    this.extensions.set(ExtensionType.SUPPORTED_VERSIONS, encodeCodePoints(versions, 1));
    for (const group of keyShareGroups) this.#startExchange(group);
    this.#setKeyShares();
    this.extensions.set(ExtensionType.PSK_KEY_EXCHANGE_MODES, PSK_KEY_EXCHANGE_MODES);
  }

  #startExchange(group: number): void {
    this.exchanges.set(group, startKeyExchange(this.#io, group));
  }

  #setKeyShares(): void {
    const shares = [...this.exchanges].map(([group, { publicKey }]) => ({ group, publicKey }));
    this.extensions.set(ExtensionType.KEY_SHARE, encodeKeyShares(shares));
  }

  /** Changes the offer as a HelloRetryRequest, which names the suite, asks (RFC 8446 section 4.1.2). */
  retry(suite: SuiteParameters, group: number | undefined, cookie: Uint8Array | undefined): void {
    if (group !== undefined) {
      // RFC 8446 section 4.2.8: the client checks that the group was offered, and had no share before.
      if (!this.groups.includes(group) || this.exchanges.has(group)) {
        throw new DtlsFault(
          "illegal-parameter",
          "the HelloRetryRequest asks for a group that makes no sense",
        );
      }
      this.exchanges.clear();
      this.#startExchange(group);
      this.#setKeyShares();
    }
    if (cookie !== undefined) this.extensions.set(ExtensionType.COOKIE, encodeCookie(cookie));
    this.psks.keepHash(suite.hash);
    // RFC 8446 section 4.2.10: "A client MUST NOT include the "early_data" extension in its followup ClientHello."
    this.extensions.delete(ExtensionType.EARLY_DATA);
    this.earlySession = undefined;
  }

  /** The ClientHello's body. */
  encode(): Uint8Array {
    const { psks, extensions } = this;
    // RFC 8446 section 4.2.11: "The "pre_shared_key" extension MUST be the last extension in the ClientHello".
    extensions.delete(ExtensionType.PRE_SHARED_KEY);
    if (!psks.isEmpty) extensions.set(ExtensionType.PRE_SHARED_KEY, psks.encode(this.#io.now()));
    const body = encodeClientHello({
      random: this.random,
      legacySessionId: this.legacySessionId,
      legacyCookie: this.legacyCookie,
      cipherSuites: this.cipherSuites,
      extensions,
    });
    if (!psks.isEmpty) psks.addBinders(body, (hash) => this.#io.transcript.before(hash));
    return body;
  }
}

/** Without a verifier of certificates there are only PSKs, which DTLS 1.2 does not have here. */
function offeredVersions(options: DtlsClientOptions): readonly DtlsVersion[] {
  const { versions = DEFAULT_VERSIONS, verifyPeer } = options;
  return verifyPeer === undefined ? versions.filter((version) => version === "1.3") : versions;
}
