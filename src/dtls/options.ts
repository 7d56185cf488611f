// What the users of an association decide: credentials, trust, and what is offered.

import type { Entropy, Milliseconds } from "../base/core.ts";
import { CipherSuite, NamedGroup, type SignatureScheme } from "./code_points.ts";
import type { PathPolicy } from "./association_path.ts";
import type { ConnectionIdSource } from "./connection_ids.ts";
import type { CryptoProvider, SignatureName, SigningKey } from "./crypto/provider.ts";
import type { KeyLogLabel } from "./key_log.ts";
import type { DtlsLimits } from "./limits.ts";
import type { ExternalPsk } from "./psk_importer.ts";
import type { DtlsSession } from "./session.ts";
import type { SessionCache } from "./session_cache.ts";
import type { TicketKeys } from "./ticket_keys.ts";
import type { CookieExemption, EarlyDataPolicy } from "./early_data.ts";

/** A certificate chain and the key of its leaf. */
export interface Credential {
  /** Certificates in DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** The private key that belongs to the leaf. */
  readonly key: SigningKey;
  /** Schemes to sign with, best first. Default: all of the key's. */
  readonly schemes?: readonly SignatureName[];
  /**
   * Whether the credential is for peers alone that name an issuer of its chain in certificate_authorities. Default: no;
   * the names are a hint, and what a peer leaves out it may trust all the same.
   */
  readonly isIssuerRequired?: boolean;
}

/** A server's credentials for the name that a client asks for; none refuses the name. */
export type CredentialSelector = (serverName: string | undefined) => readonly Credential[];

/** What a verifier says of a chain that it accepts. */
export interface VerifiedPeer {
  /** The leaf's SubjectPublicKeyInfo in DER. */
  readonly publicKey: Uint8Array;
}

/**
 * Decides about a peer's chain (DER, leaf first, not empty) at a time. Throws `DtlsFault` with the reason for one
 * that it refuses.
 */
export type PeerVerifier = (chain: readonly Uint8Array[], now: Milliseconds) => VerifiedPeer;

/** Takes the secrets of handshakes, in the terms of SSLKEYLOGFILE. */
export type KeyLog = (label: KeyLogLabel, clientRandom: Uint8Array, secret: Uint8Array) => void;

/** A version, as people write it. */
export type DtlsVersion = "1.3" | "1.2";

/** The versions that are offered and accepted by default. */
export const DEFAULT_VERSIONS: readonly DtlsVersion[] = ["1.3", "1.2"];

/**
 * How lost handshake messages are sought. `eager`: an ACK goes at once where something is missing or a message came
 * after the handshake, timeouts follow the round trip that was measured, and an ACK with gaps and a peer's
 * retransmission bring what is missing without waiting for a timer. `timed`: the timers alone send again, on the plain
 * schedule of RFC 9147 section 5.8, and ACKs wait for a quarter of the timeout, for peers that count on that.
 */
export type RetransmissionPolicy = "eager" | "timed";

/** Options of both ends. */
export interface DtlsOptions {
  /** Where the cryptographic primitives come from. */
  readonly provider: CryptoProvider;
  /** Unpredictable bytes: the system's, except in simulations. */
  readonly entropy: Entropy;
  /** Defaults: `DTLS_LIMITS`. */
  readonly limits?: Partial<DtlsLimits>;
  /** Default: `eager`. */
  readonly retransmission?: RetransmissionPolicy;
  /** Versions that are offered or accepted, in any order: the latest that both ends have is spoken. Default: both. */
  readonly versions?: readonly DtlsVersion[];
  /** Cipher suites of all these versions, best first. Default: `DEFAULT_CIPHER_SUITES`. */
  readonly cipherSuites?: readonly CipherSuite[];
  /** Groups, best first. Default: `DEFAULT_GROUPS`. */
  readonly groups?: readonly NamedGroup[];
  /** Signature schemes that are verified, best first. Default: `SIGNATURE_SCHEMES`. */
  readonly signatureSchemes?: readonly SignatureScheme[];
  /** Encoded names of the authorities that peers' certificates should be from, as a hint to them. Default: none. */
  readonly certificateAuthorities?: readonly Uint8Array[];
  /** Protocols for ALPN, best first. Default: none. */
  readonly alpn?: readonly string[];
  /** Whether the handshake fails where ALPN chooses no protocol. Default: no. */
  readonly isAlpnRequired?: boolean;
  /**
   * Keys that both ends were given by other means, the best first. A client offers them all; a server takes the first
   * of its own that is offered, and asks for no certificate then. Default: none.
   */
  readonly externalPsks?: readonly ExternalPsk[];
  /**
   * Whether the chain of a session is verified again when it is resumed, so that one that has expired, is revoked or
   * has lost its root is refused. Default: yes.
   */
  readonly reverifyPeer?: boolean;
  /**
   * Where further connection IDs come from, after that of the handshake. Default: random ones of the same length;
   * whoever has to find the association by them brings a source of its own.
   */
  readonly connectionIds?: ConnectionIdSource;
  /**
   * How many spare connection IDs of the peer are asked for, so that nobody can tell from them that an association
   * goes on at another address. Default: none.
   */
  readonly spareConnectionIds?: number;
  /**
   * When a new address of the peer counts; it has to be found by a connection ID. Default: `enhanced`, and without a
   * peer that knows RFC 9853 never.
   */
  readonly pathPolicy?: PathPolicy;
  /** Bytes of the records that this side wants to be sent (RFC 8449). Default: all that the version allows. */
  readonly recordSizeLimit?: number;
  /** Where the secrets of each handshake go. Whoever has them can read everything. */
  readonly keyLog?: KeyLog;
}

/** Options of a client. */
export interface DtlsClientOptions extends DtlsOptions {
  /** Decides about the server's chain. Without it only a server that has one of `externalPsks` is accepted. */
  readonly verifyPeer?: PeerVerifier;
  /** Sent in server_name; not for IP addresses. */
  readonly serverName?: string;
  /** Whether a server may choose a protocol that is not in `alpn`, as RFC 7301 forbids it. Default: no. */
  readonly isAnyProtocolAccepted?: boolean;
  /** What the client presents where the server asks for it: the first that the server can verify. Default: none. */
  readonly credentials?: readonly Credential[];
  /**
   * Whether the handshake fails where the server asks for a certificate and can verify none of `credentials`. Default:
   * no, the client says that it has none.
   */
  readonly isCredentialRequired?: boolean;
  /**
   * The connection ID that the client wants in records to it. Default: empty, which lets the server have one.
   * `null`: none is offered.
   */
  readonly connectionId?: Uint8Array | null;
  /** A session with the same server, to be resumed where both still can. Default: none, a full handshake. */
  readonly session?: DtlsSession;
  /**
   * Whether early data is offered where the session allows it: see `DtlsAssociation.sealEarlyData`. Default: no, since
   * whoever records early data can send it again.
   */
  readonly offersEarlyData?: boolean;
  /** Groups that the first ClientHello carries shares for. Default: the first of `groups`. */
  readonly keyShareGroups?: readonly NamedGroup[];
}

/** Whether a server asks clients for a certificate. */
export type ClientCertificatePolicy = "none" | "optional" | "required";

/** Options of a server's association. */
export interface DtlsServerOptions extends DtlsOptions {
  /** Best first: the first that the client can verify is used. A function answers for each server name. */
  readonly credentials: readonly Credential[] | CredentialSelector;
  /** Whether a client is told that its server name was used. Default: yes. */
  readonly isServerNameAcknowledged?: boolean;
  /** Chooses among the protocols that a client offers; `undefined` refuses it. Default: the first of `alpn`. */
  readonly chooseProtocol?: (offered: readonly string[]) => string | undefined;
  /** Default: `none`. */
  readonly clientCertificate?: ClientCertificatePolicy;
  /** Needed unless `clientCertificate` is `none`. */
  readonly verifyPeer?: PeerVerifier;
  /** Whether an external PSK is taken where a certificate would do as well. Default: yes. */
  readonly isPskPreferred?: boolean;
  /** Seals and opens tickets. Default: none are sent, and nothing is resumed. */
  readonly tickets?: TicketKeys;
  /** Sessions of DTLS 1.2 by their IDs, for clients that know no tickets. Default: none are kept. */
  readonly sessionCache?: SessionCache;
  /** Tickets that a client gets after each handshake, in DTLS 1.2 one at most. Default: 2. */
  readonly ticketsPerHandshake?: number;
  /** Lets clients that resume skip the cookie; with `earlyData` the same object, or its tickets. Default: none does. */
  readonly cookieExemption?: CookieExemption;
  /** Early data, and what keeps it from being taken twice. Default: it is refused. */
  readonly earlyData?: EarlyDataPolicy;
  /** The connection ID that the server wants in records to it, where the client can. Default: none. */
  readonly connectionId?: Uint8Array;
}

/** The cipher suites that are offered and accepted by default. */
export const DEFAULT_CIPHER_SUITES: readonly CipherSuite[] = [
  CipherSuite.TLS_AES_128_GCM_SHA256,
  CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
  CipherSuite.TLS_AES_256_GCM_SHA384,
  CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
  CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
  CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
  CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
  CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/** The groups that are offered and accepted by default. */
export const DEFAULT_GROUPS: readonly NamedGroup[] = [
  NamedGroup.X25519,
  NamedGroup.SECP256R1,
  NamedGroup.SECP384R1,
];
