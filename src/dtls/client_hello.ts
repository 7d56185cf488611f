// What a client offers: its ClientHello, and what a HelloRetryRequest changes in it (RFC 8446 section 4.1.2).

import { EMPTY_BYTES } from "../base/bytes.ts";
import { SIGNATURE_SCHEMES, SIGNATURE_SCHEMES_12, suiteParameters } from "./cipher_suites.ts";
import { ExtensionType } from "./code_points.ts";
import type { KeyExchange } from "./crypto/provider.ts";
import { DtlsFault } from "./errors.ts";
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
import { VERSION_NUMBERS } from "./versions.ts";

/** What the client has offered and may be answered with. */
export class ClientOffer {
  readonly versions: readonly DtlsVersion[];
  readonly random: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
  readonly exchanges = new Map<number, KeyExchange>();
  extensions = new Map<number, Uint8Array>();
  /** The cookie of a HelloVerifyRequest. */
  legacyCookie = EMPTY_BYTES;
  readonly #io: HandshakeIo;

  constructor(io: HandshakeIo, options: DtlsClientOptions) {
    this.#io = io;
    this.versions = options.versions ?? DEFAULT_VERSIONS;
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
    set.set(ExtensionType.SIGNATURE_ALGORITHMS, encodeCodePoints(this.signatureSchemes, 2));
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
    if (is12Offered) {
      set.set(ExtensionType.EXTENDED_MASTER_SECRET, EMPTY_BYTES);
      set.set(ExtensionType.RENEGOTIATION_INFO, RENEGOTIATION_INFO);
      set.set(ExtensionType.EC_POINT_FORMATS, EC_POINT_FORMATS);
    }
    if (this.versions.includes("1.3")) this.#offer13(options.keyShareGroups);
  }

  #offer13(keyShareGroups: readonly number[] = this.groups.slice(0, 1)): void {
    const versions = this.versions.map((version) => VERSION_NUMBERS[version]);
    this.extensions.set(ExtensionType.SUPPORTED_VERSIONS, encodeCodePoints(versions, 1));
    for (const group of keyShareGroups) this.#startExchange(group);
    this.#setKeyShares();
  }

  #startExchange(group: number): void {
    this.exchanges.set(group, startKeyExchange(this.#io, group));
  }

  #setKeyShares(): void {
    const shares = [...this.exchanges].map(([group, { publicKey }]) => ({ group, publicKey }));
    this.extensions.set(ExtensionType.KEY_SHARE, encodeKeyShares(shares));
  }

  /** Changes the offer as a HelloRetryRequest asks (RFC 8446 section 4.1.2). */
  retry(group: number | undefined, cookie: Uint8Array | undefined): void {
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
  }

  /** The ClientHello's body. */
  encode(): Uint8Array {
    return encodeClientHello({
      random: this.random,
      legacyCookie: this.legacyCookie,
      cipherSuites: this.cipherSuites,
      extensions: this.extensions,
    });
  }
}
