// The code points of TLS and DTLS that this library knows, each registry in the order of its standard.

import type { CodePoint } from "../base/code_points.ts";

/** Protocol versions on the wire (RFC 9147 section 5.3). */
export const ProtocolVersion = {
  DTLS_1_0: 0xfeff,
  DTLS_1_2: 0xfefd,
  DTLS_1_3: 0xfefc,
} as const;
/** A value of {@linkcode ProtocolVersion}. */
export type ProtocolVersion = CodePoint<typeof ProtocolVersion>;

/** Record content types (RFC 8446 section 5.1, RFC 9147 section 4, RFC 9146, RFC 9853). */
export const ContentType = {
  CHANGE_CIPHER_SPEC: 20,
  ALERT: 21,
  HANDSHAKE: 22,
  APPLICATION_DATA: 23,
  TLS12_CID: 25,
  ACK: 26,
  RETURN_ROUTABILITY_CHECK: 27,
} as const;
/** A value of {@linkcode ContentType}. */
export type ContentType = CodePoint<typeof ContentType>;

/** Handshake message types (RFC 9147 section 5.2, RFC 6347 section 4.3.2). */
export const HandshakeType = {
  HELLO_REQUEST: 0,
  CLIENT_HELLO: 1,
  SERVER_HELLO: 2,
  HELLO_VERIFY_REQUEST: 3,
  NEW_SESSION_TICKET: 4,
  END_OF_EARLY_DATA: 5,
  ENCRYPTED_EXTENSIONS: 8,
  REQUEST_CONNECTION_ID: 9,
  NEW_CONNECTION_ID: 10,
  CERTIFICATE: 11,
  SERVER_KEY_EXCHANGE: 12,
  CERTIFICATE_REQUEST: 13,
  SERVER_HELLO_DONE: 14,
  CERTIFICATE_VERIFY: 15,
  CLIENT_KEY_EXCHANGE: 16,
  FINISHED: 20,
  KEY_UPDATE: 24,
  MESSAGE_HASH: 254,
} as const;
/** A value of {@linkcode HandshakeType}. */
export type HandshakeType = CodePoint<typeof HandshakeType>;

/** Extension types (RFC 8446 section 4.2, RFC 8422, RFC 7627, RFC 5077, RFC 9146, RFC 5746). */
export const ExtensionType = {
  SERVER_NAME: 0,
  SUPPORTED_GROUPS: 10,
  EC_POINT_FORMATS: 11,
  SIGNATURE_ALGORITHMS: 13,
  APPLICATION_LAYER_PROTOCOL_NEGOTIATION: 16,
  SERVER_CERTIFICATE_TYPE: 20,
  PADDING: 21,
  EXTENDED_MASTER_SECRET: 23,
  RECORD_SIZE_LIMIT: 28,
  SESSION_TICKET: 35,
  PRE_SHARED_KEY: 41,
  EARLY_DATA: 42,
  SUPPORTED_VERSIONS: 43,
  COOKIE: 44,
  PSK_KEY_EXCHANGE_MODES: 45,
  CERTIFICATE_AUTHORITIES: 47,
  POST_HANDSHAKE_AUTH: 49,
  SIGNATURE_ALGORITHMS_CERT: 50,
  KEY_SHARE: 51,
  CONNECTION_ID: 54,
  RRC: 61,
  RENEGOTIATION_INFO: 0xff01,
} as const;
/** A value of {@linkcode ExtensionType}. */
export type ExtensionType = CodePoint<typeof ExtensionType>;

/** Ways to use a PSK (RFC 8446 section 4.2.9). */
export const PskKeyExchangeMode = {
  PSK_KE: 0,
  PSK_DHE_KE: 1,
} as const;
/** A value of {@linkcode PskKeyExchangeMode}. */
export type PskKeyExchangeMode = CodePoint<typeof PskKeyExchangeMode>;

/** Cipher suites of DTLS 1.3 (RFC 8446 appendix B.4), and of DTLS 1.2 (RFC 5289, RFC 7905). */
export const CipherSuite = {
  TLS_AES_128_GCM_SHA256: 0x1301,
  TLS_AES_256_GCM_SHA384: 0x1302,
  TLS_CHACHA20_POLY1305_SHA256: 0x1303,
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 0xc02b,
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 0xc02c,
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 0xc02f,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 0xc030,
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 0xcca8,
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 0xcca9,
} as const;
/** A value of {@linkcode CipherSuite}. */
export type CipherSuite = CodePoint<typeof CipherSuite>;

/** What stands among cipher suites and is none (RFC 5746 section 3.3, RFC 7507 section 2). */
export const SignallingSuite = {
  TLS_EMPTY_RENEGOTIATION_INFO_SCSV: 0x00ff,
  TLS_FALLBACK_SCSV: 0x5600,
} as const;
/** A value of {@linkcode SignallingSuite}. */
export type SignallingSuite = CodePoint<typeof SignallingSuite>;

/** Kinds of client certificates in DTLS 1.2 (RFC 5246 section 7.4.4, RFC 8422 section 5.5). */
export const ClientCertificateType = { RSA_SIGN: 1, ECDSA_SIGN: 64 } as const;
/** A value of {@linkcode ClientCertificateType}. */
export type ClientCertificateType = CodePoint<typeof ClientCertificateType>;

/** Groups for key exchange (RFC 8446 section 4.2.7). */
export const NamedGroup = {
  SECP256R1: 0x0017,
  SECP384R1: 0x0018,
  X25519: 0x001d,
  /** draft-ietf-tls-ecdhe-mlkem; of DTLS 1.3 alone. */
  X25519_MLKEM768: 0x11ec,
} as const;
/** A value of {@linkcode NamedGroup}. */
export type NamedGroup = CodePoint<typeof NamedGroup>;

/** Signature schemes (RFC 8446 section 4.2.3). */
export const SignatureScheme = {
  RSA_PKCS1_SHA256: 0x0401,
  RSA_PKCS1_SHA384: 0x0501,
  RSA_PKCS1_SHA512: 0x0601,
  ECDSA_SECP256R1_SHA256: 0x0403,
  ECDSA_SECP384R1_SHA384: 0x0503,
  RSA_PSS_RSAE_SHA256: 0x0804,
  RSA_PSS_RSAE_SHA384: 0x0805,
  RSA_PSS_RSAE_SHA512: 0x0806,
  ED25519: 0x0807,
} as const;
/** A value of {@linkcode SignatureScheme}. */
export type SignatureScheme = CodePoint<typeof SignatureScheme>;

/** Certificate types (RFC 7250 section 3). */
export const CertificateType = { X509: 0, RAW_PUBLIC_KEY: 2 } as const;

/** Alert levels (RFC 8446 section 6). */
export const AlertLevel = { WARNING: 1, FATAL: 2 } as const;
/** A value of {@linkcode AlertLevel}. */
export type AlertLevel = CodePoint<typeof AlertLevel>;

/** Alert descriptions (RFC 8446 section 6, RFC 5246 section 7.2, RFC 7507, RFC 7301, RFC 9147 section 9). */
export const AlertDescription = {
  CLOSE_NOTIFY: 0,
  UNEXPECTED_MESSAGE: 10,
  BAD_RECORD_MAC: 20,
  RECORD_OVERFLOW: 22,
  DECOMPRESSION_FAILURE: 30,
  HANDSHAKE_FAILURE: 40,
  BAD_CERTIFICATE: 42,
  UNSUPPORTED_CERTIFICATE: 43,
  CERTIFICATE_REVOKED: 44,
  CERTIFICATE_EXPIRED: 45,
  CERTIFICATE_UNKNOWN: 46,
  ILLEGAL_PARAMETER: 47,
  UNKNOWN_CA: 48,
  ACCESS_DENIED: 49,
  DECODE_ERROR: 50,
  DECRYPT_ERROR: 51,
  TOO_MANY_CIDS_REQUESTED: 52,
  PROTOCOL_VERSION: 70,
  INSUFFICIENT_SECURITY: 71,
  INTERNAL_ERROR: 80,
  INAPPROPRIATE_FALLBACK: 86,
  USER_CANCELED: 90,
  NO_RENEGOTIATION: 100,
  MISSING_EXTENSION: 109,
  UNSUPPORTED_EXTENSION: 110,
  UNRECOGNIZED_NAME: 112,
  UNKNOWN_PSK_IDENTITY: 115,
  CERTIFICATE_REQUIRED: 116,
  NO_APPLICATION_PROTOCOL: 120,
} as const;
/** A value of {@linkcode AlertDescription}. */
export type AlertDescription = CodePoint<typeof AlertDescription>;
