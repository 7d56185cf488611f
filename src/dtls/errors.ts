// What can go wrong in an association: a peer's fault, a peer's alert, a local fault; and the one table of alerts.

import { DecodeError } from "../base/byte_reader.ts";
import { codePointName } from "../base/code_points.ts";
import { AlertDescription } from "./code_points.ts";

/**
 * Every way in which a peer can break the protocol or fail to be acceptable, with the alert that the RFC names
 * for it. Noise (what nobody authenticated) is never among these: it is dropped and counted.
 */
const ALERTS = {
  // RFC 8446 section 6.2, in the order of the alerts' numbers.
  "unexpected-message": AlertDescription.UNEXPECTED_MESSAGE,
  "record-overflow": AlertDescription.RECORD_OVERFLOW,
  "no-common-parameters": AlertDescription.HANDSHAKE_FAILURE,
  "bad-certificate": AlertDescription.BAD_CERTIFICATE,
  "unsupported-certificate": AlertDescription.UNSUPPORTED_CERTIFICATE,
  "certificate-revoked": AlertDescription.CERTIFICATE_REVOKED,
  "certificate-expired": AlertDescription.CERTIFICATE_EXPIRED,
  "certificate-unknown": AlertDescription.CERTIFICATE_UNKNOWN,
  "illegal-parameter": AlertDescription.ILLEGAL_PARAMETER,
  "unknown-ca": AlertDescription.UNKNOWN_CA,
  "decode-error": AlertDescription.DECODE_ERROR,
  "bad-signature": AlertDescription.DECRYPT_ERROR,
  "bad-finished": AlertDescription.DECRYPT_ERROR,
  "bad-binder": AlertDescription.DECRYPT_ERROR,
  "too-many-cids-requested": AlertDescription.TOO_MANY_CIDS_REQUESTED,
  "unsupported-version": AlertDescription.PROTOCOL_VERSION,
  "inappropriate-fallback": AlertDescription.INAPPROPRIATE_FALLBACK,
  "missing-extension": AlertDescription.MISSING_EXTENSION,
  "unsupported-extension": AlertDescription.UNSUPPORTED_EXTENSION,
  "unrecognized-name": AlertDescription.UNRECOGNIZED_NAME,
  "unknown-psk-identity": AlertDescription.UNKNOWN_PSK_IDENTITY,
  "certificate-required": AlertDescription.CERTIFICATE_REQUIRED,
  "no-application-protocol": AlertDescription.NO_APPLICATION_PROTOCOL,
} as const satisfies Readonly<Record<string, AlertDescription>>;

/** The reasons of a {@linkcode DtlsFault}. */
export type FaultReason =
  | "unexpected-message"
  | "record-overflow"
  | "no-common-parameters"
  | "bad-certificate"
  | "unsupported-certificate"
  | "certificate-revoked"
  | "certificate-expired"
  | "certificate-unknown"
  | "illegal-parameter"
  | "unknown-ca"
  | "decode-error"
  | "bad-signature"
  | "bad-finished"
  | "bad-binder"
  | "too-many-cids-requested"
  | "unsupported-version"
  | "inappropriate-fallback"
  | "missing-extension"
  | "unsupported-extension"
  | "unrecognized-name"
  | "unknown-psk-identity"
  | "certificate-required"
  | "no-application-protocol";

/** The peer broke the protocol, or what it presented is not acceptable. Fatal to the association. */
export class DtlsFault extends Error {
  /** The type's name. */
  override readonly name = "DtlsFault";
  /** What the peer did. */
  readonly reason: FaultReason;

  /** A fault with a text for a person. */
  constructor(reason: FaultReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** The peer ended the association with a fatal alert. */
export class DtlsAlertError extends Error {
  /** The type's name. */
  override readonly name = "DtlsAlertError";
  /** The alert's number; see {@linkcode AlertDescription}. */
  readonly description: number;

  /** An alert by its number. */
  constructor(description: number) {
    super(`the peer sent the alert ${codePointName(AlertDescription, description).toLowerCase()}`);
    this.description = description;
  }
}

/** The reasons of a {@linkcode DtlsError}. */
export type LocalReason =
  | "handshake-timeout"
  | "not-connected"
  | "closed"
  | "aborted"
  | "replaced"
  | "record-too-large"
  | "no-connection-ids"
  | "wrong-version"
  | "key-exhausted"
  | "queue-full"
  | "too-many-messages"
  | "too-many-key-updates"
  | "forgery-limit"
  | "idle-timeout"
  | "bad-option"
  | "bad-session"
  | "internal";

/** The association cannot go on, or a call was wrong, for a reason that is not the peer's fault. */
export class DtlsError extends Error {
  /** The type's name. */
  override readonly name = "DtlsError";
  /** What went wrong. */
  readonly reason: LocalReason;

  /** An error with a text for a person. */
  constructor(reason: LocalReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Any error that ends an association. */
export type AssociationError = DtlsFault | DtlsAlertError | DtlsError;

/** Why an association ended, in a word to count by: the reason, or `alert-` and the peer's alert. */
export function errorReason(error: AssociationError): string {
  return error instanceof DtlsAlertError
    ? `alert-${codePointName(AlertDescription, error.description).toLowerCase()}`
    : error.reason;
}

/** Alerts that DTLS 1.2 does not have: RFC 5246 section 7.2.2 leaves it with handshake_failure. */
const NEWER_ALERTS: readonly AlertDescription[] = [
  AlertDescription.MISSING_EXTENSION,
  AlertDescription.CERTIFICATE_REQUIRED,
];

/** The alert that tells the peer of an error: the one place that chooses it. */
export function alertFor(error: unknown, version?: "1.3" | "1.2"): AlertDescription {
  if (error instanceof DtlsFault) {
    const alert = ALERTS[error.reason];
    const isNewer = version === "1.2" && NEWER_ALERTS.includes(alert);
    return isNewer ? AlertDescription.HANDSHAKE_FAILURE : alert;
  }
  // RFC 8446 section 6.2: "decode_error: A message could not be decoded because some field was out of the
  // specified range or the length of the message was incorrect."
  if (error instanceof DecodeError) return AlertDescription.DECODE_ERROR;
  return AlertDescription.INTERNAL_ERROR;
}

/** Turns whatever a handshake threw into an error that the association can end with. */
export function asAssociationError(error: unknown): AssociationError {
  if (error instanceof DtlsFault || error instanceof DtlsAlertError || error instanceof DtlsError) {
    return error;
  }
  if (error instanceof DecodeError) {
    return new DtlsFault("decode-error", error.message, { cause: error });
  }
  return new DtlsError("internal", error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
