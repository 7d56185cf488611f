// What a client offers: its ClientHello, and what a HelloRetryRequest changes in it (RFC 8446 section 4.1.2).

import { EMPTY_BYTES } from "../base/bytes.ts";
import { codePointName } from "../base/code_points.ts";
import { groupName, SIGNATURE_SCHEMES, type SuiteParameters } from "./cipher_suites.ts";
import { ExtensionType, NamedGroup } from "./code_points.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES, type KeyExchange } from "./crypto/provider.ts";
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
import { encodeClientHello, RANDOM_BYTES } from "./hello_messages.ts";
import {
  DEFAULT_CIPHER_SUITES,
  DEFAULT_GROUPS,
  DEFAULT_VERSIONS,
  type DtlsClientOptions,
  type DtlsVersion,
} from "./options.ts";
import { PSK_KEY_EXCHANGE_MODES } from "./pre_shared_key.ts";
import { offerPsks, type PskOffer } from "./psk_offer.ts";
import { VERSION_NUMBERS } from "./versions.ts";

/** What the client has offered and may be answered with. */
export class ClientOffer {
  readonly versions: readonly DtlsVersion[];
  readonly random: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
  readonly exchanges = new Map<number, KeyExchange>();
  /** What may stand in place of the server's certificate. */
  readonly psks: PskOffer;
  extensions = new Map<number, Uint8Array>();
  /** The cookie of a HelloVerifyRequest. */
  legacyCookie = EMPTY_BYTES;
  readonly #io: HandshakeIo;

  constructor(io: HandshakeIo, options: DtlsClientOptions) {
    this.#io = io;
    this.versions = offeredVersions(options);
    this.signatureSchemes = options.signatureSchemes ?? SIGNATURE_SCHEMES;
    this.random = io.entropy(RANDOM_BYTES);
    this.cipherSuites = options.cipherSuites ?? DEFAULT_CIPHER_SUITES;
    this.groups = options.groups ?? DEFAULT_GROUPS;
    for (const group of options.keyShareGroups ?? this.groups.slice(0, 1)) {
      this.#startExchange(group);
    }
    const set = this.extensions;
    if (options.serverName !== undefined) {
      set.set(ExtensionType.SERVER_NAME, encodeServerName(options.serverName));
    }
    const versions = this.versions.map((version) => VERSION_NUMBERS[version]);
    set.set(ExtensionType.SUPPORTED_VERSIONS, encodeCodePoints(versions, 1));
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
    }
    this.#setKeyShares();
    this.psks = offerPsks(
      options,
      this.versions.includes("1.3") ? this.cipherSuites : [],
      io.now(),
    );
    if (this.versions.includes("1.3")) {
      set.set(ExtensionType.PSK_KEY_EXCHANGE_MODES, PSK_KEY_EXCHANGE_MODES);
    }
  }

  #startExchange(group: number): void {
    const name = groupName(group);
    if (name === undefined) {
      throw new DtlsError(
        "bad-option",
        `the group ${codePointName(NamedGroup, group)} is not implemented`,
      );
    }
    const randomness = this.#io.entropy(KEY_EXCHANGE_RANDOMNESS_BYTES);
    this.exchanges.set(group, this.#io.provider.keyExchange(name, randomness));
    randomness.fill(0);
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
  }

  /** The ClientHello's body. */
  encode(): Uint8Array {
    const { psks, extensions } = this;
    // RFC 8446 section 4.2.11: "The "pre_shared_key" extension MUST be the last extension in the ClientHello".
    extensions.delete(ExtensionType.PRE_SHARED_KEY);
    if (!psks.isEmpty) extensions.set(ExtensionType.PRE_SHARED_KEY, psks.encode(this.#io.now()));
    const body = encodeClientHello({
      random: this.random,
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
