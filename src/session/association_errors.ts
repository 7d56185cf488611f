// What the end of an association means to a client: the error that its user sees, and whether noise may have caused it.

import { codePointName } from "../base/code_points.ts";
import { AlertDescription } from "../dtls/code_points.ts";
import {
  type AssociationError,
  DtlsAlertError,
  DtlsFault,
  type FaultReason,
} from "../dtls/errors.ts";
import { SqpError } from "../wire/errors.ts";

/**
 * Alerts that say of a ClientHello that it is malformed: those of a damaged one. RFC 9147 section 5.1 wants
 * "illegal_parameter" for a cookie, which "allows the client to restart the connection from scratch without a cookie."
 */
const NOISE_ALERTS: ReadonlySet<number> = new Set([
  AlertDescription.UNEXPECTED_MESSAGE,
  AlertDescription.ILLEGAL_PARAMETER,
  AlertDescription.DECODE_ERROR,
  AlertDescription.UNSUPPORTED_EXTENSION,
]);

/** What this side finds wrong with a ServerHello that was damaged. */
const NOISE_FAULTS: ReadonlySet<FaultReason> = new Set<FaultReason>([
  "unexpected-message",
  "illegal-parameter",
  "decode-error",
  "unsupported-extension",
]);

/** Whether a failure before anything was authenticated looks like damage on the way rather than like a refusal. */
export function isLikelyNoise(error: AssociationError): boolean {
  if (error instanceof DtlsAlertError) return NOISE_ALERTS.has(error.description);
  return error instanceof DtlsFault && NOISE_FAULTS.has(error.reason);
}

/** The error that a client sees for the end of its association. */
export function associationError(error: AssociationError): SqpError {
  if (error instanceof DtlsAlertError) {
    const name = codePointName(AlertDescription, error.description).toLowerCase();
    return new SqpError("secure_channel_failed", {
      message: `The server refused the secure channel: ${name}.`,
      cause: error,
    });
  }
  if (error instanceof DtlsFault) {
    const isTrust = TRUST_REASONS.has(error.reason);
    return new SqpError(isTrust ? "server_not_trusted" : "secure_channel_failed", {
      message: error.message,
      cause: error,
    });
  }
  if (error.reason === "handshake-timeout") {
    return new SqpError("handshake_timeout", { cause: error });
  }
  return new SqpError("connection_lost", { message: error.message, cause: error });
}

/** Reasons that speak of the server's certificate. */
const TRUST_REASONS: ReadonlySet<string> = new Set([
  "bad-certificate",
  "unsupported-certificate",
  "certificate-revoked",
  "certificate-expired",
  "certificate-unknown",
  "unknown-ca",
  "bad-signature",
]);
